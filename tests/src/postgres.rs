//! A private PostgreSQL server: on a free port, in a folder of its own, gone with the test, however that ends.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use bloonio_wire::random::{SystemRandom, hex_token};

use crate::keeper::{Keeper, free_port, signal};
use crate::wait;

/// Where Debian puts the versions of the server.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Who runs the server where the tests are run by root, whom it refuses.
const USER: &str = "postgres";

/// One running server.
#[derive(Debug)]
pub struct PostgresServer {
    /// On 127.0.0.1.
    pub port: u16,
    folder: PathBuf,
    more: Vec<String>,
    keepers: Vec<Keeper>,
}

impl PostgresServer {
    /// A server that loses nothing that it has committed.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A server for tests that look at nothing but answers: it is quicker, for it does not wait for the disk.
    pub async fn start_hasty() -> Self {
        Self::start_with(&["fsync=off", "synchronous_commit=off", "full_page_writes=off"]).await
    }

    /// A server with more settings.
    pub async fn start_with(settings: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("postgres-").tempdir().expect("temporary folder").keep();
        if let Some((user, group)) = other_user() {
            chown(&folder, Some(user), Some(group)).expect("a folder of the server's user");
        }
        let data = folder.join("data").to_str().expect("a path in UTF-8").to_owned();
        let made = as_server(&["initdb", "-D", &data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]);
        let made = Command::new(&made[0]).args(&made[1..]).output().expect("initdb");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let more = settings.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]).collect();
        let mut server = Self { port: 0, folder, more, keepers: Vec::new() };
        // Between choosing a port and binding it somebody else may take it.
        for _ in 0..8 {
            server.port = free_port().await;
            if server.launch().await {
                return server;
            }
        }
        panic!("no server could be started: {}", server.log());
    }

    /// Whether it runs: it does not if the port is taken.
    async fn launch(&mut self) -> bool {
        let earlier = self.log().len();
        let (data, port) = (self.folder.join("data"), self.port.to_string());
        let data = data.to_str().expect("a path in UTF-8");
        let mut command = as_server(&["postgres", "-D", data, "-p", &port]);
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=400"] {
            command.extend(["-c".to_owned(), setting.to_owned()]);
        }
        command.extend(self.more.iter().cloned());
        self.keepers.push(Keeper::start(&self.folder, &command));
        let server: &Self = self;
        wait::until("PostgreSQL to accept connections or to fail", || async move {
            let log = server.log();
            let this_run = log.get(earlier..).unwrap_or_default();
            if this_run.contains("database system is ready to accept connections") {
                return Some(true);
            }
            // Whoever asks too early is refused with FATAL as well, which says nothing about the server.
            let fatal = |line: &str| line.contains("FATAL") && !line.contains("the database system is");
            this_run.lines().any(fatal).then_some(false)
        })
        .await
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// The URL of the database that every server has.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The URL of a database.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// A fresh database; gives its URL.
    pub async fn database(&self) -> String {
        let name = format!("test_{}", hex_token::<8>(&SystemRandom).expect("randomness"));
        self.sql("postgres", &format!("CREATE DATABASE {name}")).await;
        self.url_of(&name)
    }

    /// Runs statements in a database by the server's own client, and gives what it prints: rows, columns apart by `|`.
    pub async fn sql(&self, database: &str, statements: &str) -> String {
        let mut client = tokio::process::Command::new("psql");
        client.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statements]).arg(self.url_of(database));
        let done = client.output().await.expect("psql");
        assert!(done.status.success(), "{statements}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("text")
    }

    /// Ends it without a goodbye: connections break, and what was not committed is gone.
    pub fn crash(&self) {
        signal("QUIT", self.keepers.last().expect("it was started").server);
    }

    /// Starts it again after a crash, on the same folder and port.
    pub async fn restart(&mut self) {
        let folder = self.folder.clone();
        wait::until("the server to be gone", || {
            let there = folder.join("data/postmaster.pid").exists();
            async move { (!there).then_some(()) }
        })
        .await;
        assert!(self.launch().await, "{}", self.log());
    }
}

/// The newest installed version's programs.
fn programs() -> PathBuf {
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten().map(|entry| entry.path());
    let newest = versions.filter(|path| path.join("bin/postgres").is_file()).max_by_key(|path| version(path));
    newest.expect("PostgreSQL is missing: the tests need Debian's package postgresql").join("bin")
}

/// User and group of [`USER`], if the tests are run by root.
fn other_user() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(arguments).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    (id(&["-u"]) == Some(0)).then(|| Some((id(&["-u", USER])?, id(&["-g", USER])?)))?
}

/// A command of the server, to be run by whoever may.
fn as_server(command: &[&str]) -> Vec<String> {
    let program = programs().join(command[0]).to_str().expect("a path in UTF-8").to_owned();
    let mut whole = Vec::new();
    if let Some((user, group)) = other_user() {
        whole.extend(["setpriv".to_owned(), format!("--reuid={user}"), format!("--regid={group}")]);
        whole.push("--clear-groups".to_owned());
    }
    whole.push(program);
    whole.extend(command[1..].iter().map(|&argument| argument.to_owned()));
    whole
}
