//! A bank whose transfers happen exactly once: each is committed in one database transaction with the use of its approval,
//! so that no crash comes between the two.

mod ledger;
mod used;

use std::net::{AddrParseError, SocketAddr};
use std::path::PathBuf;

use anyhow::Context;
use axum::Router;
use axum::routing::{get, post};
use bloonio_axum::BloonioAuth;
use clap::Parser;
use example_bank::{process, protection, sign_in};
use sqlx::SqlitePool;

/// A bank whose transfers and approvals are committed together, on axum and SQLite.
///
/// The relay and the credentials come from the environment, as for axum-transfer. The approvals should be in Redis: with the
/// memory store a restart forgets them, and none is left to be tried again.
#[derive(Debug, Parser)]
struct Options {
    /// Address to listen on; port 0 picks a free one.
    #[arg(long, env = "APP_LISTEN", default_value = DEFAULT_LISTEN, value_parser = address)]
    app_listen: SocketAddr,
    /// The bank's database; made where it is missing.
    #[arg(long, env = "APP_DATABASE", default_value = "bank.db")]
    app_database: PathBuf,
}

const DEFAULT_LISTEN: &str = "127.0.0.1:8703";

fn address(text: &str) -> Result<SocketAddr, AddrParseError> {
    process::address(text, DEFAULT_LISTEN)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    process::start_log();
    let auth = BloonioAuth::from_env(sign_in::identify).await.context("the step-up approval cannot start")?;
    let pool = ledger::open(&options.app_database)
        .await
        .with_context(|| format!("APP_DATABASE: cannot open {}", options.app_database.display()))?;
    let app = app(&auth, pool);
    auth.doctor()?;
    let listener = tokio::net::TcpListener::bind(options.app_listen)
        .await
        .with_context(|| format!("APP_LISTEN: cannot listen on {}", options.app_listen))?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(stop(auth)).await?;
    Ok(())
}

fn app(auth: &BloonioAuth, pool: SqlitePool) -> Router {
    let transfer = protection::transfer().with_consume_in_transaction();
    Router::new()
        .route("/transfer/execute", post(ledger::transfer).layer(auth.sudo_required(transfer)))
        .route("/ledger", get(ledger::ledger))
        .with_state(pool)
        .merge(auth.routes())
}

/// Waits to be told, then ends what waits.
async fn stop(auth: BloonioAuth) {
    process::told_to_stop().await;
    auth.shutdown().await;
}
