//! The example bank on axum: a transfer that runs once a person has approved it on the phone.
//!
//! | module | what it shows |
//! | --- | --- |
//! | `sign_in` | who asks: the one identity closure of the application |
//! | `protection` | which routes need an approval, and what the phone shows |
//! | `bank` | handlers that run only after it |
//! | `pairing` | how a phone is paired |

mod bank;
mod pairing;
mod protection;
mod sign_in;

use std::net::{AddrParseError, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use bloonio_axum::BloonioAuth;
use clap::Parser;

/// The example bank: protected routes on axum.
///
/// The relay and the credentials come from the environment: BLOONIO_RELAY_BASE_URL, BLOONIO_RELAY_TENANT_ID,
/// BLOONIO_RELAY_TENANT_SECRET and BLOONIO_RELAY_STATE_BACKEND=memory at least.
#[derive(Debug, Parser)]
struct Options {
    /// Address to listen on; port 0 picks a free one.
    #[arg(long, env = "APP_LISTEN", default_value = DEFAULT_LISTEN, value_parser = address)]
    app_listen: SocketAddr,
}

const DEFAULT_LISTEN: &str = "127.0.0.1:8701";

/// An address. A variable that is set to nothing counts as unset.
fn address(text: &str) -> Result<SocketAddr, AddrParseError> {
    if text.is_empty() { DEFAULT_LISTEN } else { text }.parse()
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    let auth = BloonioAuth::from_env(sign_in::identify).context("the step-up approval cannot start")?;
    let listener = tokio::net::TcpListener::bind(options.app_listen)
        .await
        .with_context(|| format!("APP_LISTEN: cannot listen on {}", options.app_listen))?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app(auth.clone())).with_graceful_shutdown(stop(auth)).await?;
    Ok(())
}

fn app(auth: BloonioAuth) -> Router {
    let ledger = Arc::new(bank::Ledger::default());
    let protected = Router::new()
        .route("/transfer/execute", post(bank::transfer).layer(auth.sudo_required(protection::transfer())))
        .route("/payout/execute", post(bank::transfer).layer(auth.sudo_required(protection::payout())))
        .route("/password/change", post(bank::change_password).layer(auth.sudo_required(protection::password())))
        .with_state(Arc::clone(&ledger));
    let pairing = Router::new()
        .route("/pair", get(pairing::pair).layer(auth.sudo_required(protection::pair())))
        .with_state(auth.clone());
    let signed_in = Router::new().route("/ledger", get(bank::ledger)).with_state(ledger);
    protected.merge(pairing).merge(signed_in).layer(from_fn(sign_in::required)).merge(auth.routes())
}

/// Waits for ctrl-c or SIGTERM, then ends the requests that wait for a phone: they would keep the server alive.
async fn stop(auth: BloonioAuth) {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate => {}
    }
    auth.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_the_default_address_and_nonsense_is_none() {
        assert_eq!(address("").unwrap(), "127.0.0.1:8701".parse().unwrap());
        assert_eq!(address("127.0.0.1:0").unwrap().port(), 0);
        assert!(address("somewhere").is_err());
    }
}
