//! Private Redis servers: on free ports, in folders of their own, gone with the test, however that ends.

mod cluster;
mod sentinel;
mod tls;
mod wire;

use std::path::PathBuf;

use crate::keeper::{Keeper, free_port, signal};
use crate::wait;

pub use cluster::Cluster;
pub use sentinel::Sentinel;
pub use tls::TlsServer;
pub use wire::Wire;

/// One running server.
#[derive(Debug)]
pub struct RedisServer {
    /// On 127.0.0.1.
    pub port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
    /// All that were started in the folder: each clears it away in the end.
    keepers: Vec<Keeper>,
}

impl RedisServer {
    /// A server that keeps nothing on disk.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A server that loses nothing that it has answered, even by `kill -9`.
    pub async fn start_durable() -> Self {
        Self::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await
    }

    /// A server with more arguments.
    pub async fn start_with(more: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("redis-").tempdir().expect("temporary folder").keep();
        let usual = ["--bind", "127.0.0.1", "--save", "", "--repl-diskless-sync-delay", "0"];
        let more = [&usual[..], more].concat();
        Self::start_in(folder, |port| vec!["--port".to_owned(), port.to_string()], &more).await
    }

    /// A server in `folder`; what of its arguments depends on the port is told by `at`.
    async fn start_in(folder: PathBuf, at: impl Fn(u16) -> Vec<String>, more: &[&str]) -> Self {
        let mut keepers = Vec::new();
        // Between choosing a port and binding it somebody else may take it.
        for _ in 0..8 {
            let port = free_port().await;
            let mut arguments = at(port);
            arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
            let mut server = Self { port, folder: folder.clone(), arguments, keepers };
            if server.launch().await {
                return server;
            }
            keepers = server.keepers;
        }
        panic!("no server could be started");
    }

    /// Whether it runs: it does not if the port is taken.
    async fn launch(&mut self) -> bool {
        let folder = self.folder.to_str().expect("a path in UTF-8").to_owned();
        let program = ["redis-server".to_owned()];
        let command = [&program[..], &self.arguments, &["--dir".to_owned(), folder]].concat();
        let keeper = Keeper::start(&self.folder, &command);
        self.keepers.push(keeper);
        let server: &Self = self;
        wait::until("redis to accept connections or to fail", || async move {
            let log = server.log();
            let this_run = log.rfind("Redis is starting").map_or("", |from| &log[from..]);
            if this_run.contains("Ready to accept connections") || this_run.contains("Sentinel ID is") {
                return Some(true);
            }
            this_run.contains("Failed listening").then_some(false)
        })
        .await
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// `redis://…`
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The id of its process.
    pub fn process_id(&self) -> u32 {
        self.keepers.last().expect("it was started").server
    }

    /// Ends it with SIGKILL.
    pub fn kill(&self) {
        signal("KILL", self.process_id());
    }

    /// Stops its process, which hears and says nothing then, and lets it go on.
    pub fn pause(&self, paused: bool) {
        signal(if paused { "STOP" } else { "CONT" }, self.process_id());
    }

    /// Starts it again after it was killed, on the same folder and port.
    pub async fn restart(&mut self) {
        assert!(self.launch().await, "{}", self.log());
    }

    /// Runs a command on it, and gives what it says.
    pub async fn command(&self, arguments: &[&str]) -> String {
        command(self.port, arguments).await
    }

    /// A number of `INFO`.
    pub async fn info(&self, section: &str, name: &str) -> String {
        let info = self.command(&["INFO", section]).await;
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    }
}

async fn command(port: u16, arguments: &[&str]) -> String {
    let mut command = tokio::process::Command::new("redis-cli");
    command.args(["-p", &port.to_string()]).args(arguments);
    let output = command.output().await.expect("redis-cli");
    String::from_utf8(output.stdout).expect("text")
}

/// One server for all tests of this process; each takes a space of its own.
pub async fn shared() -> &'static RedisServer {
    static SHARED: tokio::sync::OnceCell<RedisServer> = tokio::sync::OnceCell::const_new();
    SHARED.get_or_init(RedisServer::start).await
}

/// Goes before the keys of one test.
pub fn fresh_space() -> String {
    let token = bloonio_wire::random::hex_token::<8>(&bloonio_wire::random::SystemRandom).expect("randomness");
    format!("test-{token}:")
}
