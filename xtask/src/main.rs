//! The workspace's own commands: `cargo xtask <command>`.

mod cargo;
mod deps;
mod install;
mod peers;

use clap::{Parser, Subcommand};

/// The workspace's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what the tests need and is missing, build every binary, then run every test; further arguments go to the
    /// test runner.
    ///
    /// Uses cargo-nextest where it is installed, `cargo test` elsewhere.
    Test {
        /// Arguments for the test runner, such as a test's name.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Install what the tests' backends in other languages are built on, where it is missing or has changed.
    Peers,
    /// Check formatting, and clippy without a warning on all targets.
    Lint,
    /// Check that each crate knows only those crates that it may know.
    Deps,
    /// Build the documentation of every crate without a warning.
    Docs,
}

fn main() -> anyhow::Result<()> {
    match Options::parse().command {
        Command::Test { arguments } => cargo::test(&arguments),
        Command::Peers => peers::install(),
        Command::Lint => cargo::lint(),
        Command::Deps => deps::check(),
        Command::Docs => cargo::docs(),
    }
}
