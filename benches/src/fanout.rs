//! Prompts through the whole relay to devices behind FCM, against the official Node SDK, on the same emulator.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, ensure};
use bloonio_sudo::wire::device::Platform;
use bloonio_tests::fcm::FcmEmulator;
use serde_json::json;

use crate::play::{Turns, rate};
use crate::relay::{cpu_of, mebibytes_of};
use crate::site::{DEVICES, Site, TENANTS};
use crate::stats::now;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/node");
const INSTALLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/peers/bench-node");
/// The relay takes no more than 30 unanswered prompts a person in ten minutes.
const PER_PERSON: usize = 25;
const PEER_DEVICES: &str = "peer-device-";

/// Prints a line for each size: so many prompts to ten devices each.
pub fn run(rounds: usize, prompts: usize) -> anyhow::Result<()> {
    let peer_folder = install()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let sizes = [prompts / 100, prompts / 10, prompts].map(|size| size.max(1));
        // Every size is played for the processor's time, and for the clock's.
        let made = 2 * sizes.iter().sum::<usize>() * (2 * rounds + 1);
        let bench = Bench::start(made.div_ceil(TENANTS * PER_PERSON), prompts * DEVICES, &peer_folder).await?;
        println!(
            "| messages at once | relay, messages a CPU second | of the SDK's | messages a second | of the SDK's |"
        );
        println!("| --- | --- | --- | --- | --- |");
        for size in sizes {
            let [by_cpu, by_time] = bench.compare(rounds, size).await?;
            println!(
                "| {} | {} | {} | {} | {} |",
                size * DEVICES,
                by_cpu.of(0),
                by_cpu.ratio(0, 1),
                by_time.of(0),
                by_time.ratio(0, 1)
            );
        }
        let relay = bench.site.relay.running.mebibytes("VmHWM:")?;
        println!("\nAt most {relay:.0} MiB of the relay, {:.0} MiB of Node.", bench.peer.mebibytes()?);
        Ok(())
    })
}

struct Bench {
    site: Site,
    peer: Peer,
    _emulator: FcmEmulator,
}

impl Bench {
    async fn start(people: usize, peer_devices: usize, peer_folder: &Path) -> anyhow::Result<Self> {
        let emulator = FcmEmulator::start().await;
        let text = |path: &Path| path.to_str().map(str::to_owned).context("a path in UTF-8");
        let (account, authority) = (text(&emulator.credentials_path())?, text(&emulator.ca_pem_path())?);
        let settings = [
            ("RELAY_FCM_ENDPOINT", emulator.endpoint()),
            ("RELAY_FCM_CREDENTIALS", &account),
            ("RELAY_EXTRA_CA_FILE", &authority),
            ("RELAY_FCM_MESSAGES_PER_MIN", "600000"),
        ];
        let site = Site::start_with(None, people, &settings).await?;
        for address in site.give_phones().await? {
            emulator.add_device(&address, Platform::Android);
        }
        for n in 0..peer_devices {
            emulator.add_device(&format!("{PEER_DEVICES}{n}"), Platform::Android);
        }
        let peer = Peer::start(peer_folder, emulator.endpoint(), &account, &authority, peer_devices)?;
        Ok(Self { site, peer, _emulator: emulator })
    }

    /// By processor time, and by the clock.
    async fn compare(&self, rounds: usize, prompts: usize) -> anyhow::Result<[Turns; 2]> {
        let messages = prompts * DEVICES;
        let by_cpu = Turns::play(rounds, 2, async |thing| {
            let process = if thing == 0 { self.site.relay.running.id() } else { self.peer.process.id() };
            let before = cpu_of(process)?;
            self.send(thing, prompts).await?;
            // A play of less than a tick counts as one.
            Ok(messages as f64 / (cpu_of(process)? - before).max(0.01))
        });
        let by_cpu = by_cpu.await?;
        let by_time = Turns::play(rounds, 2, async |thing| {
            let began = now();
            self.send(thing, prompts).await?;
            Ok(messages as f64 / began.elapsed().as_secs_f64())
        });
        Ok([by_cpu, by_time.await?])
    }

    async fn send(&self, thing: usize, prompts: usize) -> anyhow::Result<()> {
        if thing == 1 {
            return tokio::task::block_in_place(|| self.peer.send(prompts * DEVICES));
        }
        rate(prompts, TENANTS, async |_| self.site.prompt().await).await?;
        Ok(())
    }
}

/// Installs the SDK, where it is not yet.
fn install() -> anyhow::Result<std::path::PathBuf> {
    let folder = Path::new(INSTALLED);
    std::fs::create_dir_all(folder)?;
    for file in ["package.json", "package-lock.json", "fanout.js", "redirect.cjs"] {
        std::fs::copy(Path::new(SOURCES).join(file), folder.join(file))?;
    }
    if !folder.join("node_modules/firebase-admin").is_dir() {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(folder).stdout(Stdio::null());
        ensure!(npm.status().context("npm does not start: it is Debian's package npm")?.success(), "npm ci failed");
    }
    Ok(folder.to_owned())
}

/// The SDK in a process of its own, gone with the run.
struct Peer {
    process: Child,
    talk: std::sync::Mutex<(ChildStdin, BufReader<ChildStdout>, usize)>,
    devices: usize,
}

impl Peer {
    fn start(folder: &Path, endpoint: &str, account: &str, authority: &str, devices: usize) -> anyhow::Result<Self> {
        let mut node = Command::new("node");
        node.args(["--require", "./redirect.cjs", "fanout.js"]).current_dir(folder);
        node.env("FCM_EMULATOR", endpoint).env("FCM_ACCOUNT", account).env("NODE_EXTRA_CA_CERTS", authority);
        let mut process = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("node does not start")?;
        let input = process.stdin.take().context("piped")?;
        let mut output = BufReader::new(process.stdout.take().context("piped")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        ensure!(line.trim_end() == "ready", "the SDK does not start");
        Ok(Self { process, talk: std::sync::Mutex::new((input, output, 0)), devices })
    }

    fn send(&self, count: usize) -> anyhow::Result<()> {
        let mut talk = self.talk.lock().map_err(|_| anyhow::anyhow!("it was said wrongly before"))?;
        let (input, output, next) = &mut *talk;
        let from = if *next + count > self.devices { 0 } else { *next };
        *next = from + count;
        writeln!(input, "{}", json!({"prefix": PEER_DEVICES, "from": from, "count": count}))?;
        let mut line = String::new();
        output.read_line(&mut line)?;
        ensure!(line.trim_end() == count.to_string(), "the SDK sent {line:?} of {count}");
        Ok(())
    }

    fn mebibytes(&self) -> anyhow::Result<f64> {
        mebibytes_of(self.process.id(), "VmHWM:")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
