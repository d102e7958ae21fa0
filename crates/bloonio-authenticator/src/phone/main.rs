//! `bloonio-phone`: a phone for the command line (PROTOCOL 11).

mod args;
mod command;
mod error;
mod output;
mod phone;
mod prompt;
mod state;

use std::process::ExitCode;

use args::Args;
use clap::Parser;
use error::PhoneError;
use output::Output;
use phone::Phone;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    let output = Output::new(args.json);
    match run(args, output).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

async fn run(args: Args, output: Output) -> Result<(), PhoneError> {
    let phone = Phone::new(&args, output)?;
    command::run(&phone, args.command).await
}

/// A call that cannot be understood, or `--help`. Scripts get their one JSON object for the former.
fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && std::env::args().any(|argument| argument == "--json") {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        Output::new(true).error(&PhoneError::Usage(first.trim_start_matches("error: ").to_owned()));
    }
    // Nobody is left to tell when printing fails.
    error.print().ok();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
