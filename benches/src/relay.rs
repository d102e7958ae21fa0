//! The relay as a process of its own, and what the system knows of a process.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use bloonio_relay_server::config::{Config, RelayArgs};
use tempfile::TempDir;

/// The admin key of every relay here.
pub const ADMIN_KEY: &str = "admin-key-of-the-benchmark-0123456789";

/// Their master key, 32 bytes in base64: a database on a server is opened with none but a given one.
const MASTER_KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

/// Ticks of /proc/PID/stat a second: Linux shows programs this many, whatever its own clock does.
const TICKS: f64 = 100.0;

/// Runs the relay: what [`Relay::start`] starts.
pub fn serve(args: RelayArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(bloonio_relay_server::serve::serve(Config::from_args(args)?))
}

/// A server that runs in a process of its own and names its address in its first line; gone with the run.
pub struct Running {
    process: Child,
    /// `http://ADDR`
    pub url: String,
}

impl Running {
    /// Starts one.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("standard output is piped")?).read_line(&mut line)?;
        let url = line.trim_end().strip_prefix("listening on ").context("the server does not start")?.to_owned();
        Ok(Self { process, url })
    }

    /// Seconds of processor time so far, to 10 ms.
    pub fn cpu(&self) -> anyhow::Result<f64> {
        cpu_of(self.process.id())
    }

    /// See [`mebibytes_of`].
    pub fn mebibytes(&self, name: &str) -> anyhow::Result<f64> {
        mebibytes_of(self.process.id(), name)
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A line of /proc/PID/status in MiB: `VmRSS:`, or `VmHWM:` for the most that it ever was.
pub fn mebibytes_of(process: u32, name: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    let kib: f64 = line.split_whitespace().next().context("a size")?.parse()?;
    Ok(kib / 1024.0)
}

/// Seconds of processor time that a process has used, to 10 ms.
pub fn cpu_of(process: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold anything; utime and stime are the 12th and 13th fields behind it.
    let (_, fields) = stat.rsplit_once(')').context("a name in parentheses")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(ticks / TICKS)
}

/// A relay on a fresh data folder, with private callbacks allowed.
pub struct Relay {
    /// Its process.
    pub running: Running,
    /// `http://ADDR`
    pub url: String,
    folder: TempDir,
}

impl Relay {
    /// Starts one with more variables.
    pub fn start(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("relay").env("RELAY_LISTEN", "127.0.0.1:0").env("RELAY_ADMIN_KEY", ADMIN_KEY);
        command
            .env("RELAY_MASTER_KEY", MASTER_KEY)
            .env("RELAY_DATA_DIR", folder.path())
            .env("RELAY_ALLOW_PRIVATE_CALLBACKS", "true");
        let running = Running::start(command.envs(settings.iter().copied()))?;
        Ok(Self { url: running.url.clone(), running, folder })
    }

    /// Its SQLite file, where it is on no other database.
    pub fn database_file(&self) -> PathBuf {
        self.folder.path().join("relay.db")
    }
}
