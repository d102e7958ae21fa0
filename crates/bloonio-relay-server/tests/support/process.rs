//! The built relay as an operator starts it: a process, its two outputs, its end.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};

use super::ADMIN_KEY;

/// The relay's command line, with no variable of the surrounding environment.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bloonio-relay-server"));
    command.env_clear().args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn run(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the relay's binary runs")
}

/// Standard output as text.
pub fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error as text.
pub fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A relay that listens.
pub struct RunningRelay {
    child: Child,
    out: BufReader<ChildStdout>,
    log: PathBuf,
    /// Where.
    pub address: SocketAddr,
}

impl RunningRelay {
    /// Starts a relay on a free port and waits until it says where it listens. Its log goes beside its folder.
    pub fn start(folder: &Path, variables: &[(&str, &str)]) -> Self {
        if let Some(parent) = folder.parent() {
            std::fs::create_dir_all(parent).expect("a folder for the log");
        }
        let mut command = command(&["serve"]);
        command
            .env("RELAY_LISTEN", "127.0.0.1:0")
            .env("RELAY_DATA_DIR", folder)
            .env("RELAY_ADMIN_KEY", ADMIN_KEY)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.with_extension("log")).expect("a file for the log"));
        let mut child = command.spawn().expect("the relay's binary runs");
        let mut out = BufReader::new(child.stdout.take().expect("standard output"));
        let mut line = String::new();
        out.read_line(&mut line).expect("a line");
        let address = line.trim_end().strip_prefix("listening on http://").expect("where it listens");
        let log = folder.with_extension("log");
        Self { address: address.parse().expect("an address"), child, out, log }
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the log")
    }

    /// `http://ADDR` and a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let order = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &order]).status().expect("a shell").success());
    }

    /// Waits for its end: exit code, and what else it printed.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).expect("standard output");
        (self.child.wait().expect("its end"), rest)
    }
}

impl Drop for RunningRelay {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
