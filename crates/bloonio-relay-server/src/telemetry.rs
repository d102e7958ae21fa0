//! Logs and metrics. Logs go to standard error; what they must never hold is SECURITY, "Outbound and operators".

pub mod catalogue;
pub mod introduction;
pub mod metrics;
pub mod open;
pub mod pool;
mod process;
pub mod skew;
pub mod stage;
pub mod trace;

use std::io::IsTerminal;

use bloonio_wire::id::InstructionId;
use sha2::{Digest, Sha256};
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Whether a line that cannot be written is complained of, on standard error, by panicking where that is what is gone: a
/// relay whose log nobody reads any more must go on, and stop when it is told to.
const COMPLAIN: bool = false;

/// Log target of the audit trail: one line for every operator call, and for what happens to one-time codes.
pub const AUDIT: &str = "bloonio::audit";

/// Starts logging to standard error. `RUST_LOG` chooses what; the default is `info`. A second call changes nothing.
pub fn start_log(format: LogFormat) {
    start(format, "info");
}

/// As [`start_log`], for a command whose answer says it all: nothing is logged unless `RUST_LOG` asks for it.
pub fn start_quiet_log(format: LogFormat) {
    start(format, "off");
}

fn start(format: LogFormat, default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    #[cfg(feature = "otel")]
    if trace::is_wanted() {
        return start_with_traces(format, filter);
    }
    let colours = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let builder = builder.log_internal_errors(COMPLAIN);
    // A second subscriber is refused; the first one keeps working.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    if trace::is_wanted() {
        tracing::warn!("{} is set, but this relay was built without the feature otel", trace::ENDPOINT);
    }
}

/// The log as ever, and traces beside it.
#[cfg(feature = "otel")]
fn start_with_traces(format: LogFormat, filter: EnvFilter) {
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    let (traces, failure) = match trace::layer() {
        Ok(traces) => (traces, None),
        Err(failure) => (None, Some(failure)),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = lines.with_ansi(std::io::stderr().is_terminal()).log_internal_errors(COMPLAIN);
    let subscriber = tracing_subscriber::registry().with(traces);
    // A second subscriber is refused; the first one keeps working.
    let _ = match format {
        LogFormat::Text => subscriber.with(lines.with_filter(filter)).try_init(),
        LogFormat::Json => subscriber.with(lines.json().with_filter(filter)).try_init(),
    };
    if let Some(failure) = failure {
        tracing::error!(error = %format!("{failure:#}"), "no traces: {} cannot be used", trace::ENDPOINT);
    }
}

/// An instruction's name in the log: 8 hex digits of its SHA-256, enough to follow it and useless to anybody else.
pub fn short_hash(id: &InstructionId) -> String {
    short_hash_of(id.as_str())
}

/// Likewise for ids of other kinds.
pub fn short_hash_of(id: &str) -> String {
    hex::encode(&Sha256::digest(id.as_bytes())[..4])
}
