//! The relay's command line.

use std::process::ExitCode;
use std::time::Duration;

use bloonio_relay_server::command::Command;
use clap::Parser;

/// The Bloonio relay: takes prompts from backends, brings them to phones, and carries the decisions back.
#[derive(Debug, Parser)]
#[command(version, about, long_about = None)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// How long what blocks a thread, such as the resolution of a name, may hold up the end of the process.
const LINGER: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let line = Line::parse();
    let ended = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(anyhow::Error::from);
    let ended = ended.and_then(|runtime| {
        let ended = runtime.block_on(line.command.run());
        runtime.shutdown_timeout(LINGER);
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
