//! A built binary of this workspace, running.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::wait::DEADLINE;

/// Path of a built binary: it lies beside the test's own folder.
///
/// # Panics
/// If it has not been built; `cargo xtask test` builds all of them first.
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("own path");
    let folder = own.parent().and_then(|deps| deps.parent()).expect("target folder");
    let path = folder.join(name);
    assert!(path.exists(), "{} is missing: run `cargo xtask test`, or `cargo build --workspace --bins`", path.display());
    path
}

/// A running server and what it has printed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: Arc<Mutex<String>>,
    /// The address that it announced.
    pub address: String,
}

impl Process {
    /// Starts `command` and waits for its one line `listening on http://ADDR`.
    ///
    /// # Panics
    /// If the process ends, or the line does not come.
    pub async fn start(name: &str, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        let log = Arc::new(Mutex::new(String::new()));
        let mut errors = BufReader::new(child.stderr.take().expect("piped")).lines();
        let sink = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = errors.next_line().await {
                let mut log = sink.lock().expect("log");
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let first = tokio::time::timeout(DEADLINE, lines.next_line()).await;
        let Ok(Ok(Some(line))) = first else {
            let status = child.wait().await;
            panic!("{name} announced nothing ({status:?}):\n{}", log.lock().expect("log"));
        };
        let address = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{name} said {line:?}")).to_owned();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { name: name.to_owned(), child, log, address }
    }

    /// `http://ADDR` and `path`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// What it has written to standard error.
    pub fn log(&self) -> String {
        self.log.lock().expect("log").clone()
    }

    /// Ends it with SIGKILL: no chance to tidy up.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap_or_else(|e| panic!("{} cannot be killed: {e}", self.name));
    }

    /// Asks it to end with SIGTERM and waits; gives its exit code.
    pub async fn terminate(&mut self) -> Option<i32> {
        let id = self.child.id().unwrap_or_else(|| panic!("{} has ended", self.name));
        let sent = Command::new("kill").args(["-TERM", &id.to_string()]).status().await.expect("kill");
        assert!(sent.success());
        let status = tokio::time::timeout(DEADLINE, self.child.wait()).await.expect("ends in time").expect("status");
        status.code()
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}
