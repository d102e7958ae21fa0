//! The built `bloonio-phone`, run as somebody would.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Long enough for a loaded machine; reaching it means a defect.
const DEADLINE: Duration = Duration::from_secs(60);

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub text: String,
    pub errors: String,
}

impl Outcome {
    async fn of(mut command: Command) -> Self {
        let output = tokio::time::timeout(DEADLINE, command.output()).await.unwrap().unwrap();
        Self {
            code: output.status.code().unwrap(),
            text: String::from_utf8(output.stdout).unwrap(),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The lines of a command that went well.
    pub fn lines(&self) -> Vec<Value> {
        assert_eq!(self.code, 0, "{self:?}");
        self.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The one object of a command that went well.
    pub fn ok(&self) -> Value {
        let mut lines = self.lines();
        assert_eq!(lines.len(), 1, "{self:?}");
        lines.remove(0)
    }

    /// Code and status of the error.
    pub fn error(&self) -> (String, i64) {
        assert_ne!(self.code, 0, "{self:?}");
        let value: Value = serde_json::from_str(self.text.trim_end()).unwrap_or_else(|_| panic!("{self:?}"));
        assert!(value["message"].is_string(), "{self:?}");
        (value["error"].as_str().unwrap().to_owned(), value["status"].as_i64().unwrap())
    }
}

/// A phone's home.
#[derive(Debug)]
pub struct PhoneHome(TempDir);

impl Default for PhoneHome {
    fn default() -> Self {
        Self(TempDir::new().unwrap())
    }
}

impl PhoneHome {
    /// A phone that has read this pairing code.
    pub async fn paired(uri: &str) -> Self {
        let phone = Self::default();
        phone.json(&["pair", uri]).await.ok();
        phone
    }

    pub fn state_file(&self) -> PathBuf {
        self.0.path().join("state.json")
    }

    pub fn state(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.state_file()).unwrap()).unwrap()
    }

    /// Writes a file beside the memory; gives its path.
    pub fn write(&self, name: &str, content: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Runs `list` without `--home`, with this environment instead.
    pub async fn list_by(&self, variables: &[(&str, &str)]) -> Outcome {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bloonio-phone"));
        command.env_clear().envs(variables.iter().copied()).args(["--json", "list"]).kill_on_drop(true);
        Outcome::of(command).await
    }

    /// The folder above the memory's file.
    pub fn folder(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bloonio-phone"));
        // A machine without any certificate: a relay on it needs none, and one with its own authority only that.
        command.env_clear().env("SSL_CERT_FILE", "/dev/null").env("SSL_CERT_DIR", "/dev/null");
        command.arg("--home").arg(self.0.path()).args(arguments).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command for people.
    pub async fn run(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(self.command(arguments)).await
    }

    /// Runs a command for scripts.
    pub async fn json(&self, arguments: &[&str]) -> Outcome {
        self.run(&[&["--json"], arguments].concat()).await
    }

    /// Starts `watch` for scripts.
    pub fn watch(&self, arguments: &[&str]) -> Watch {
        let mut child = self.command(&[&["--json", "watch"], arguments].concat()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Watch { child, lines }
    }
}

/// A running `watch`.
#[derive(Debug)]
pub struct Watch {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watch {
    /// The next line; `None` at the end.
    pub async fn next(&mut self) -> Option<Value> {
        let line = tokio::time::timeout(DEADLINE, self.lines.next_line()).await.unwrap().unwrap()?;
        Some(serde_json::from_str(&line).unwrap())
    }

    /// What ctrl-c does.
    pub async fn interrupt(&self) {
        // The shell's own `kill`: a bare system has no other.
        let kill = format!("kill -INT {}", self.child.id().unwrap());
        assert!(Command::new("sh").args(["-c", &kill]).status().await.unwrap().success());
    }

    /// Waits for the end; gives the exit code.
    pub async fn ended(&mut self) -> i32 {
        tokio::time::timeout(DEADLINE, self.child.wait()).await.unwrap().unwrap().code().unwrap()
    }
}
