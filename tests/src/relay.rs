//! The relay as an operator runs it: one process, one data folder.

use std::path::{Path, PathBuf};

use bloonio_demo::process::{Process, binary};
use tempfile::TempDir;
use tokio::process::Command;

use crate::operator::Operator;

/// The admin key that the tests use.
pub const ADMIN_KEY: &str = "admin-key-of-the-tests-0123456789abcdef";

/// Settings of a relay to be started.
#[derive(Debug, Clone, Default)]
pub struct RelaySetup {
    variables: Vec<(String, String)>,
}

impl RelaySetup {
    /// Sets an environment variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Starts the relay on a fresh data folder.
    pub async fn start(self) -> Relay {
        let folder = TempDir::new().expect("temporary folder");
        let process = launch(folder.path(), "127.0.0.1:0", &self.variables).await;
        Relay { process, folder, setup: self }
    }
}

async fn launch(folder: &Path, listen: &str, variables: &[(String, String)]) -> Process {
    let mut command = Command::new(binary("bloonio-relay-server").expect("built"));
    command
        .arg("serve")
        .env_clear()
        .env("RELAY_LISTEN", listen)
        .env("RELAY_DATA_DIR", folder)
        .env("RELAY_ADMIN_KEY", ADMIN_KEY)
        .env("RELAY_ALLOW_PRIVATE_CALLBACKS", "true")
        .env("RUST_LOG", "info,bloonio_relay_server=debug")
        .envs(variables.iter().map(|(name, value)| (name, value)));
    Process::start("bloonio-relay-server", command).await.expect("the relay starts")
}

/// A running relay.
#[derive(Debug)]
pub struct Relay {
    /// The process.
    pub process: Process,
    folder: TempDir,
    setup: RelaySetup,
}

impl Relay {
    /// A relay with the tests' settings.
    pub async fn start() -> Self {
        RelaySetup::default().start().await
    }

    /// `http://ADDR`
    pub fn base_url(&self) -> &str {
        &self.process.address
    }

    /// Its data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Somebody with the admin key.
    pub fn operator(&self) -> Operator {
        Operator::new(self.base_url(), ADMIN_KEY)
    }

    /// Starts it again after it was ended, on the same folder and the same port.
    pub async fn restart(&mut self) {
        assert!(!self.process.is_running(), "end it first");
        let listen = self.process.address.trim_start_matches("http://").to_owned();
        self.process = launch(self.folder.path(), &listen, &self.setup.variables).await;
    }
}
