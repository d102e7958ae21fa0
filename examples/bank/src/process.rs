//! What every server process of the examples does alike.

use std::net::{AddrParseError, SocketAddr};

use tokio::signal::unix::{SignalKind, signal};

/// Logs to standard error, as `RUST_LOG` says.
pub fn start_log() {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
}

/// An address to listen on. A variable that is set to nothing counts as unset: `default`.
///
/// # Errors
/// If it is none.
pub fn address(text: &str, default: &str) -> Result<SocketAddr, AddrParseError> {
    if text.is_empty() { default } else { text }.parse()
}

/// Waits for ctrl-c or SIGTERM.
pub async fn told_to_stop() {
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_the_default_address_and_nonsense_is_none() {
        assert_eq!(address("", "127.0.0.1:8701").unwrap(), "127.0.0.1:8701".parse().unwrap());
        assert_eq!(address("127.0.0.1:0", "127.0.0.1:8701").unwrap().port(), 0);
        assert!(address("somewhere", "127.0.0.1:8701").is_err());
    }
}
