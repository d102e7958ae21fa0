//! The processes: one PostgreSQL, one Redis, an FCM, and relays that are killed and come again at the same address.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bloonio_demo::process::{Process, binary};
use tempfile::TempDir;
use tokio::process::Command;

use super::plan::RELAYS;
use crate::fcm::FcmEmulator;
use crate::operator::Operator;
use crate::postgres::PostgresServer;
use crate::redis::RedisServer;
use crate::relay::ADMIN_KEY;
use crate::wait;

/// The shell gives way to the relay, which so logs to a file: what it said before it was killed stays.
const LOGGED: &str = r#"exec "$0" serve 2>>"$1""#;

/// Everything that can be broken.
#[derive(Debug)]
pub struct Cluster {
    /// The truth.
    pub postgres: PostgresServer,
    /// The relays' common memory.
    pub redis: RedisServer,
    /// The push service.
    pub fcm: FcmEmulator,
    /// The addresses of the relays, `http://…`, which never change.
    pub bases: Vec<String>,
    relays: Vec<Process>,
    database: String,
    folder: TempDir,
}

impl Cluster {
    /// Starts all of it.
    pub async fn start() -> Self {
        let (postgres, redis, fcm) = tokio::join!(PostgresServer::start(), RedisServer::start(), FcmEmulator::start());
        let database = postgres.database().await;
        let folder = tempfile::Builder::new().prefix("chaos-").tempdir().expect("temporary folder");
        let mut cluster = Self { postgres, redis, fcm, bases: Vec::new(), relays: Vec::new(), database, folder };
        for index in 0..RELAYS {
            let relay = cluster.launch(index, "127.0.0.1:0").await.expect("the relay starts");
            cluster.bases.push(relay.address.clone());
            cluster.relays.push(relay);
        }
        cluster
    }

    /// A relay process, `None` if it ends before it serves. All of them bear the first one's public address, as behind one balancer.
    async fn launch(&self, index: usize, listen: &str) -> Option<Process> {
        let mut command = Command::new("sh");
        command.args(["-c", LOGGED]).arg(binary("bloonio-relay-server").expect("built")).arg(self.log_of(index));
        self.settings(&mut command);
        command.env("RELAY_LISTEN", listen);
        if let Some(first) = self.bases.first() {
            command.env("RELAY_PUBLIC_URL", first);
        }
        Process::start("bloonio-relay-server", command).await.ok()
    }

    /// What relays and the operator's commands are told.
    fn settings(&self, command: &mut Command) {
        command
            .env_clear()
            .env("RELAY_DATA_DIR", self.folder.path())
            .env("RELAY_DATABASE_URL", &self.database)
            .env("RELAY_MASTER_KEY", STANDARD.encode([7; 32]))
            .env("RELAY_REDIS_URL", self.redis.url())
            .env("RELAY_ADMIN_KEY", ADMIN_KEY)
            .env("RELAY_ALLOW_PRIVATE_CALLBACKS", "true")
            .env("RELAY_FCM_CREDENTIALS", self.fcm.credentials_path())
            .env("RELAY_FCM_ENDPOINT", self.fcm.endpoint())
            .env("RELAY_EXTRA_CA_FILE", self.fcm.ca_pem_path())
            .env("RUST_LOG", "info");
    }

    fn log_of(&self, index: usize) -> PathBuf {
        self.folder.path().join(format!("relay-{index}.log"))
    }

    /// Where the logs are.
    pub fn logs(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves the logs there for whoever has to look at them.
    pub fn keep_logs(&mut self) {
        self.folder.disable_cleanup(true);
        let log = self.folder.path().join("postgres.log");
        std::fs::write(log, self.postgres.log()).expect("a file in the own folder");
    }

    /// Somebody with the admin key, at this relay.
    pub fn operator(&self, relay: usize) -> Operator {
        Operator::new(&self.bases[relay], ADMIN_KEY)
    }

    /// Kills a relay where it stands.
    pub async fn kill(&mut self, relay: usize) {
        self.relays[relay].kill().await.expect("a running relay");
    }

    /// Starts it again, however often that takes: the database may be away, or somebody may hold its port for a moment.
    pub async fn restart(&mut self, relay: usize) {
        let listen = self.bases[relay].trim_start_matches("http://").to_owned();
        let cluster: &Self = self;
        let listen = listen.as_str();
        let launched = wait::until("the relay to start again", || async move { cluster.launch(relay, listen).await });
        self.relays[relay] = launched.await;
    }

    /// Runs a command of the operator's at the database; gives whether it succeeded, and what it printed.
    pub async fn command(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(binary("bloonio-relay-server").expect("built"));
        self.settings(&mut command);
        let output = command.args(arguments).kill_on_drop(true).output().await.expect("runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned() + &*errors)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.keep_logs();
            eprintln!("the logs are in {}", self.logs().display());
        }
    }
}
