//! A person's phone: the `bloonio-phone` command line, driven as a script would.

use bloonio_demo::process::binary;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::wait;

/// A phone with its own memory.
#[derive(Debug)]
pub struct Phone {
    home: TempDir,
}

/// How a command of the phone ended.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code.
    pub code: i32,
    /// Each line of standard output that is JSON.
    pub lines: Vec<Value>,
    /// Standard error.
    pub errors: String,
}

impl Outcome {
    /// The first line.
    ///
    /// # Panics
    /// If the command failed or said nothing.
    pub fn ok(&self) -> &Value {
        assert_eq!(self.code, 0, "{self:?}");
        self.lines.first().unwrap_or(&Value::Null)
    }

    /// The code of a refusal.
    pub fn error(&self) -> &str {
        self.lines.first().and_then(|line| line["error"].as_str()).unwrap_or_default()
    }
}

impl Default for Phone {
    fn default() -> Self {
        Self { home: TempDir::new().expect("temporary folder") }
    }
}

impl Phone {
    /// A phone fresh out of its box, paired by `pairing_uri`.
    pub async fn paired(pairing_uri: &str) -> Self {
        let phone = Self::default();
        phone.run(&["pair", pairing_uri]).await.ok();
        phone
    }

    /// Runs a command.
    pub async fn run(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(binary("bloonio-phone").expect("built"));
        command.env_clear().arg("--home").arg(self.home.path()).arg("--json").args(arguments).kill_on_drop(true);
        let output = tokio::time::timeout(wait::DEADLINE, command.output()).await.expect("ends").expect("runs");
        let text = String::from_utf8_lossy(&output.stdout);
        Outcome {
            code: output.status.code().unwrap_or(-1),
            lines: text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The open prompts.
    pub async fn prompts(&self) -> Vec<Value> {
        self.run(&["list"]).await.ok()["items"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until the prompt is there.
    pub async fn prompt(&self, instruction: &str) -> Value {
        wait::until("the prompt on the phone", || async {
            self.prompts().await.into_iter().find(|prompt| prompt["instruction_id"] == instruction)
        })
        .await
    }

    /// Approves.
    pub async fn approve(&self, instruction: &str) {
        self.run(&["approve", instruction]).await.ok();
    }

    /// Denies.
    pub async fn deny(&self, instruction: &str) {
        self.run(&["deny", instruction]).await.ok();
    }
}
