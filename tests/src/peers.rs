//! Backends in other languages: programs of `tests/peers`, on libraries that others have written.
//!
//! `cargo xtask test` installs these libraries into `target/peers`; without them the tests that want them fail.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::wait::DEADLINE;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");
const INSTALLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/peers");

/// Where the libraries of `language` are installed.
///
/// # Panics
/// If they are not, saying what to do.
pub fn installed(language: &str) -> PathBuf {
    let folder = Path::new(INSTALLED).join(language);
    let whole = folder.join("installed.txt").is_file();
    assert!(whole, "the {language} libraries of tests/peers are not installed: run cargo xtask peers");
    folder
}

/// A language that a backend may be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// npm: `http-message-signatures`, `standardwebhooks`.
    Node,
    /// PyPI: `http-message-signatures`, `standardwebhooks`.
    Python,
}

impl Peer {
    fn command(self) -> Command {
        match self {
            Self::Node => {
                let mut command = Command::new("node");
                command.current_dir(installed("node")).arg(format!("{SOURCES}/node/peer.mjs"));
                command
            }
            Self::Python => {
                let mut command = Command::new(installed("python").join("bin/python"));
                command.arg(format!("{SOURCES}/python/peer.py"));
                command
            }
        }
    }

    /// Has it do `what` with `request`; gives its answer.
    ///
    /// # Panics
    /// If the libraries are not installed, or the program fails.
    pub async fn run(self, what: &str, request: &Value) -> Value {
        let mut command = self.command();
        command.arg(what).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{self:?} does not start: {error}"));
        let mut input = process.stdin.take().expect("piped");
        input.write_all(request.to_string().as_bytes()).await.expect("reads");
        drop(input);
        let output = tokio::time::timeout(DEADLINE, process.wait_with_output()).await.expect("ends").expect("runs");
        let (said, complaint) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{self:?} cannot {what}: {complaint}");
        serde_json::from_slice(said).unwrap_or_else(|error| panic!("{self:?}: {error}: {complaint}"))
    }
}
