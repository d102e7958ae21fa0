//! The example bank on axum: a transfer that runs once a person has approved it on the phone. What the bank does, and what
//! it protects, is in `example-bank`.

mod bank;

use std::net::{AddrParseError, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use bloonio_axum::BloonioAuth;
use clap::Parser;
use example_bank::ledger::Ledger;
use example_bank::{page, process, protection, sign_in};

/// The example bank: protected routes on axum.
///
/// The relay and the credentials come from the environment: BLOONIO_RELAY_BASE_URL, BLOONIO_RELAY_TENANT_ID,
/// BLOONIO_RELAY_TENANT_SECRET, and BLOONIO_RELAY_STATE_BACKEND_URL or BLOONIO_RELAY_STATE_BACKEND=memory at least.
#[derive(Debug, Parser)]
struct Options {
    /// Address to listen on; port 0 picks a free one.
    #[arg(long, env = "APP_LISTEN", default_value = DEFAULT_LISTEN, value_parser = address)]
    app_listen: SocketAddr,
}

const DEFAULT_LISTEN: &str = "127.0.0.1:8701";

fn address(text: &str) -> Result<SocketAddr, AddrParseError> {
    process::address(text, DEFAULT_LISTEN)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    process::start_log();
    let auth = BloonioAuth::from_env(sign_in::identify).await.context("the step-up approval cannot start")?;
    let app = app(auth.clone());
    auth.doctor()?;
    let listener = tokio::net::TcpListener::bind(options.app_listen)
        .await
        .with_context(|| format!("APP_LISTEN: cannot listen on {}", options.app_listen))?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(stop(auth)).await?;
    Ok(())
}

fn app(auth: BloonioAuth) -> Router {
    let ledger = Arc::new(Ledger::default());
    let protected = Router::new()
        .route("/transfer/execute", post(bank::transfer).layer(auth.sudo_required(protection::transfer())))
        .route("/payout/execute", post(bank::transfer).layer(auth.sudo_required(protection::payout())))
        .route("/password/change", post(bank::change_password).layer(auth.sudo_required(protection::password())))
        .with_state(Arc::clone(&ledger));
    let pairing = Router::new()
        .route("/pair", get(bank::pair).layer(auth.sudo_required(protection::pair())))
        .with_state(auth.clone());
    let signed_in = Router::new().route("/ledger", get(bank::ledger)).with_state(ledger);
    protected.merge(pairing).merge(signed_in).layer(from_fn(bank::sign_in)).merge(page()).merge(auth.routes())
}

fn page() -> Router {
    let route = |router: Router, asset: &'static page::Asset| {
        router.route(asset.path, get(move || std::future::ready(bank::asset(asset))))
    };
    page::ASSETS.iter().fold(Router::new(), route)
}

/// Waits to be told, then ends the requests that wait for a phone: they would keep the server alive.
async fn stop(auth: BloonioAuth) {
    process::told_to_stop().await;
    auth.shutdown().await;
}
