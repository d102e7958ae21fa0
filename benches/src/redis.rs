//! A private Redis on a free port, gone with the run.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use tempfile::TempDir;

/// A running server.
pub struct PrivateRedis {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl PrivateRedis {
    /// Starts one that keeps nothing on disk.
    pub fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(folder.path()).stdout(Stdio::null());
        let process = command.spawn().context("redis-server does not start: it is Debian's package redis-server")?;
        let mut redis = Self { process, port, _folder: folder };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = redis.process.try_wait()? {
                bail!("redis-server ended: {status}");
            }
            std::thread::yield_now();
        }
        Ok(redis)
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
