//! What the approval costs, measured as ratios of two things in one run: machines are shared and noisy, so a rate alone says
//! little. `docs/src/performance.md` has the figures and the commands that made them.

mod app;
mod callback;
mod drive;
mod fanout;
mod instructions;
mod load;
mod noisy;
mod open_prompts;
mod play;
mod quiet_relay;
mod redis;
mod relay;
mod relay_prompt;
mod relay_read;
mod release;
mod serve;
mod site;
mod stats;
mod waiting;

use bloonio_relay_server::config::RelayArgs;
use clap::{Parser, Subcommand};

use crate::app::{Framework, Scene};
use crate::redis::PrivateRedis;

/// Measures what the approval costs.
#[derive(Debug, Parser)]
#[command(name = "bloonio-bench")]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Count the instructions of a request with each layer, by callgrind; needs valgrind.
    Instructions,
    /// Compare request rates, A B B A, from another process; starts a private Redis.
    Load {
        /// How often A B B A is played.
        #[arg(long, default_value_t = 7)]
        rounds: usize,
        /// Requests of each play.
        #[arg(long, default_value_t = 4000)]
        requests: usize,
    },
    /// Measure how long after a decision a waiting request runs, in memory and through Redis.
    Release {
        /// How many requests wait, one after the other.
        #[arg(long, default_value_t = 400)]
        waits: usize,
    },
    /// Compare the memory of waiting requests with that of requests that are merely parked.
    Waiting {
        /// How many wait at once; each takes an open file on both sides.
        #[arg(long, default_value_t = 9000)]
        requests: usize,
    },
    /// Compare a quiet tenant's latencies at the relay with and without a noisy one, A B B A; starts a private Redis.
    Noisy {
        /// How often A B B A is played.
        #[arg(long, default_value_t = 7)]
        rounds: usize,
        /// The quiet tenant's calls of each play.
        #[arg(long, default_value_t = 300)]
        calls: usize,
        /// The noisy tenant's calls a second.
        #[arg(long, default_value_t = 200)]
        noise: u32,
    },
    /// Compare a signed read at the relay with a bare handler that verifies the same, A B B A; starts a private PostgreSQL.
    RelayRead {
        /// How often A B B A is played.
        #[arg(long, default_value_t = 7)]
        rounds: usize,
        /// Reads of each play.
        #[arg(long, default_value_t = 500)]
        reads: usize,
    },
    /// Compare a signed prompt to one stream device with the transaction that it makes, A B C C B A; starts a private PostgreSQL.
    RelayPrompt {
        /// How often A B C C B A is played.
        #[arg(long, default_value_t = 7)]
        rounds: usize,
        /// Prompts of each play.
        #[arg(long, default_value_t = 200)]
        prompts: usize,
    },
    /// Measure memory and latencies beside many open prompts, sizes in turn; starts a private PostgreSQL.
    OpenPrompts {
        /// How often the sizes are played forwards and backwards.
        #[arg(long, default_value_t = 7)]
        rounds: usize,
        /// Calls of each play.
        #[arg(long, default_value_t = 100)]
        calls: usize,
        /// Open prompts of the largest size; the others are a tenth and a hundredth of it.
        #[arg(long, default_value_t = 100_000)]
        most: usize,
    },
    /// Measure how soon a device's answer is called back, with an idle outbox and beside a dead endpoint's deliveries, and
    /// callbacks a second; starts a private PostgreSQL.
    Callback {
        /// Answers of each database and queue.
        #[arg(long, default_value_t = 200)]
        answers: usize,
        /// Deliveries that wait for the dead endpoint.
        #[arg(long, default_value_t = 100_000)]
        waiting: usize,
        /// Deliveries that are due at once.
        #[arg(long, default_value_t = 2000)]
        deliveries: usize,
    },
    /// Compare prompts to devices behind an emulated FCM, through the whole relay, with the official Node SDK, A B B A; needs
    /// node and npm.
    Fanout {
        /// How often A B B A is played.
        #[arg(long, default_value_t = 7)]
        rounds: usize,
        /// Prompts of the largest play, to ten devices each; the others are a tenth and a hundredth of it.
        #[arg(long, default_value_t = 100)]
        prompts: usize,
    },
    /// Run a relay; what the commands about the relay ask.
    #[command(hide = true)]
    Relay {
        #[command(flatten)]
        args: Box<RelayArgs>,
    },
    /// Verify signed reads; what `relay-read` compares with.
    #[command(hide = true)]
    Verify,
    /// Answer some requests in this process; what `instructions` counts.
    #[command(hide = true)]
    Drive { framework: Framework, scene: Scene, prepared: usize, executed: usize },
    /// Serve on a free port; what `load` and `waiting` ask.
    #[command(hide = true)]
    Serve { framework: Framework, redis: Option<String> },
}

fn main() -> anyhow::Result<()> {
    match Options::parse().command {
        Command::Instructions => instructions::run(),
        Command::Load { rounds, requests } => load::run(rounds, requests),
        Command::Release { waits } => release::run(waits),
        Command::Waiting { requests } => waiting::run(requests),
        Command::Noisy { rounds, calls, noise } => {
            println!("Without Redis:\n");
            noisy::run(rounds, calls, noise, None)?;
            println!("\nWith Redis:\n");
            noisy::run(rounds, calls, noise, Some(&PrivateRedis::start()?.url()))
        }
        Command::RelayRead { rounds, reads } => relay_read::run(rounds, reads),
        Command::RelayPrompt { rounds, prompts } => relay_prompt::run(rounds, prompts),
        Command::OpenPrompts { rounds, calls, most } => open_prompts::run(rounds, calls, most),
        Command::Callback { answers, waiting, deliveries } => callback::run(answers, waiting, deliveries),
        Command::Fanout { rounds, prompts } => fanout::run(rounds, prompts),
        Command::Relay { args } => relay::serve(*args),
        Command::Verify => relay_read::serve(),
        Command::Drive { framework, scene, prepared, executed } => drive::run(framework, scene, prepared, executed),
        Command::Serve { framework, redis } => serve::run(framework, redis),
    }
}
