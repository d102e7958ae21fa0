//! The bank's database: what was executed, and on which approval.

use std::path::Path;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bloonio_axum::Sudo;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};

use crate::used::UsedInTransaction;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS ledger (
        transfer_id INTEGER PRIMARY KEY, approved_by TEXT NOT NULL, amount TEXT NOT NULL, recipient TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS used_approvals (
        tenant_id TEXT NOT NULL, instruction_id TEXT NOT NULL, good_until_ms INTEGER NOT NULL,
        PRIMARY KEY (tenant_id, instruction_id)
    ) STRICT;";

/// Opens the database, and makes its tables where they are missing.
pub async fn open(path: &Path) -> Result<SqlitePool, sqlx::Error> {
    let options =
        SqliteConnectOptions::new().filename(path).create_if_missing(true).synchronous(SqliteSynchronous::Full);
    let pool = SqlitePool::connect_with(options).await?;
    sqlx::raw_sql(TABLES).execute(&pool).await?;
    Ok(pool)
}

/// Body of a transfer.
#[derive(Debug, Deserialize)]
pub struct Transfer {
    amount: String,
    recipient: String,
}

/// One executed transfer.
#[derive(Debug, Serialize)]
pub struct Entry {
    transfer_id: i64,
    approved_by: String,
    amount: String,
    recipient: String,
}

/// A row of the ledger.
type Row = (i64, String, String, String);

impl From<Row> for Entry {
    fn from((transfer_id, approved_by, amount, recipient): Row) -> Self {
        Self { transfer_id, approved_by, amount, recipient }
    }
}

/// Moves money: the entry and the use of its approval are committed together, or neither is.
pub async fn transfer(
    State(pool): State<SqlitePool>,
    Sudo(grant): Sudo,
    Json(order): Json<Transfer>,
) -> Result<Json<Entry>, Failure> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    grant.consume_in(&mut UsedInTransaction(&mut transaction)).await?;
    let entry: Row = sqlx::query_as(
        "-- execute_transfer
         INSERT INTO ledger (approved_by, amount, recipient) VALUES ($1, $2, $3) RETURNING transfer_id, approved_by, amount, recipient",
    )
    .bind(grant.approved_by().as_str())
    .bind(order.amount)
    .bind(order.recipient)
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Json(entry.into()))
}

/// What has been executed.
pub async fn ledger(State(pool): State<SqlitePool>) -> Result<Json<Value>, Failure> {
    let statement = "-- list_transfers
         SELECT transfer_id, approved_by, amount, recipient FROM ledger ORDER BY transfer_id";
    let rows: Vec<Row> = sqlx::query_as(statement).fetch_all(&pool).await?;
    let items: Vec<_> = rows.into_iter().map(Entry::from).collect();
    Ok(Json(json!({"count": items.len(), "items": items})))
}

/// Nothing was committed.
pub struct Failure;

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        tracing::error!(%error, "a transfer was rolled back");
        Self
    }
}

impl IntoResponse for Failure {
    /// After an approval that was used before, the layer answers in place of this.
    fn into_response(self) -> Response {
        let body =
            json!({"success": false, "status_code": 503, "error": "LEDGER_UNAVAILABLE", "message": "Try again."});
        (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
    }
}
