//! A built binary of this workspace, running.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

/// Long enough for a loaded machine; a server that needs longer to start is broken.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// Path of a built binary: it lies beside this one, or beside its folder `deps` when a test runs.
///
/// # Errors
/// If it has not been built.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find the own path")?;
    let folders = own.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not built: run `cargo build --workspace --bins`"))
}

/// A running server and what it has logged. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: Arc<Mutex<String>>,
    /// The address that it announced, `http://…`.
    pub address: String,
}

impl Process {
    /// Starts `command` and waits for its one line `listening on http://ADDR`.
    ///
    /// # Errors
    /// If it does not start or ends instead; its log is part of the error.
    pub async fn start(name: &str, mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("{name} does not start"))?;
        let log = Arc::new(Mutex::new(String::new()));
        let errors = child.stderr.take().context("standard error is piped")?;
        let mut errors = BufReader::new(errors).lines();
        let sink = Arc::clone(&log);
        let reading = tokio::spawn(async move {
            while let Ok(Some(line)) = errors.next_line().await {
                let mut log = sink.lock().unwrap_or_else(PoisonError::into_inner);
                log.push_str(&line);
                log.push('\n');
            }
        });
        let output = child.stdout.take().context("standard output is piped")?;
        match tokio::time::timeout(START_DEADLINE, announced(output)).await {
            Ok(Some(address)) => Ok(Self { name: name.to_owned(), child, log, address }),
            _ => {
                // Its last words: the pipe ends with the process.
                child.kill().await.ok();
                reading.await.ok();
                bail!("{name} did not start:\n{}", log.lock().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }

    /// `http://ADDR` and `path`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// What it has written to standard error.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it with SIGKILL: no chance to tidy up.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.with_context(|| format!("{} cannot be killed", self.name))
    }

    /// Asks it to end with SIGTERM and waits.
    ///
    /// # Errors
    /// If it has ended before.
    pub async fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        let id = self.child.id().with_context(|| format!("{} has ended", self.name))?;
        // The shell's own `kill`: a bare system has no other.
        let sent = Command::new("sh").args(["-c", &format!("kill -TERM {id}")]).status().await?;
        ensure!(sent.success(), "{} cannot be asked to end", self.name);
        Ok(self.child.wait().await?)
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

/// Reads the announced address, and keeps the pipe open behind it.
async fn announced(output: ChildStdout) -> Option<String> {
    let mut lines = BufReader::new(output).lines();
    let line = lines.next_line().await.ok()??;
    let address = line.strip_prefix("listening on ")?.to_owned();
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Some(address)
}
