//! The relay's command line.

use std::process::ExitCode;

use bloonio_relay_server::command::Command;
use clap::Parser;

/// The Bloonio relay: takes prompts from backends, brings them to phones, and carries the decisions back.
#[derive(Debug, Parser)]
#[command(version, about, long_about = None)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[tokio::main]
async fn main() -> ExitCode {
    let line = Line::parse();
    match line.command.run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
