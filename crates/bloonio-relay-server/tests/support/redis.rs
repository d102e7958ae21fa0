//! A private Redis server: on a free port, in a folder of its own, gone with the test, however that ends.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bloonio_wire::secret::Secret;

/// Keeps a server as long as its standard input is open. That closes when the test lets go of it, and when the test's
/// process ends in whatever way.
const KEEPER: &str = r#"
redis-server --port "$2" --bind 127.0.0.1 --save "" --dir "$1" >>"$1/log" 2>&1 &
server=$!
echo "$server"
read -r _
kill -9 "$server" 2>/dev/null
wait "$server"
"#;

/// A running server, or one that was killed and can be started again on its port, empty.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    folder: tempfile::TempDir,
    keeper: Child,
    server: u32,
}

impl RedisServer {
    /// Starts a server that keeps nothing on disk.
    pub async fn start() -> Self {
        // Between choosing a port and binding it somebody else may take it.
        for _ in 0..8 {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let folder = tempfile::tempdir().unwrap();
            let (keeper, server) = keep(&folder, port);
            let redis = Self { port, folder, keeper, server };
            if redis.accepts().await {
                return redis;
            }
        }
        panic!("no server could be started");
    }

    /// Whether it runs: it does not if the port is taken.
    async fn accepts(&self) -> bool {
        loop {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            let this_run = log.rfind("Redis is starting").map_or("", |from| &log[from..]);
            if this_run.contains("Ready to accept connections") {
                return true;
            }
            if this_run.contains("Failed listening") {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// `redis://…`
    pub fn url(&self) -> Secret {
        Secret::new(format!("redis://127.0.0.1:{}", self.port))
    }

    /// Ends it with SIGKILL: it forgets everything.
    pub fn kill(&self) {
        self.signal("KILL");
    }

    /// Stops its process, which hears and says nothing then, or lets it go on.
    pub fn pause(&self, paused: bool) {
        self.signal(if paused { "STOP" } else { "CONT" });
    }

    /// Starts it again after it was killed.
    pub async fn restart(&mut self) {
        self.end();
        (self.keeper, self.server) = keep(&self.folder, self.port);
        assert!(self.accepts().await, "the port was taken");
    }

    /// Runs a command on it, and gives what it says.
    pub fn command(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string()]).args(arguments);
        String::from_utf8(command.output().expect("redis-cli").stdout).expect("text")
    }

    fn signal(&self, name: &str) {
        let order = format!("kill -{name} {}", self.server);
        assert!(Command::new("sh").args(["-c", &order]).status().expect("a shell").success());
    }

    fn end(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

fn keep(folder: &tempfile::TempDir, port: u16) -> (Child, u32) {
    let mut command = Command::new("sh");
    command.args(["-c", KEEPER, "redis-keeper"]).arg(folder.path()).arg(port.to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut keeper = command.spawn().expect("a shell");
    let mut line = String::new();
    BufReader::new(keeper.stdout.take().expect("standard output")).read_line(&mut line).expect("a line");
    (keeper, line.trim().parse().expect("a process id"))
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.end();
    }
}
