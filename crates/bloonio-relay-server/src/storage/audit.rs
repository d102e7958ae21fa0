//! Rows of `audit` and `audit_heads`. They are added in the transaction of the change that they tell of, as the last thing
//! before its commit: whoever holds a chain's end keeps others from adding to it.

use bloonio_wire::clock::Timestamp;

use super::db::{Row, query};
use super::{Storage, StorageError, Tx};
use crate::audit::{Chain, Entry, Event, GENESIS, Hash, Head};

const COLUMNS: &str = "SELECT chain, seq, at, kind, subject, details, prev_hash, hash FROM audit";

fn corrupt() -> StorageError {
    StorageError::Corrupt("audit entry")
}

fn chain(row: &Row) -> Result<Chain, StorageError> {
    row.get::<String>("chain")?.parse().map_err(|_| corrupt())
}

fn hash(row: &Row, column: &str) -> Result<Hash, StorageError> {
    row.get::<Vec<u8>>(column)?.try_into().map_err(|_| corrupt())
}

fn head(row: &Row) -> Result<Head, StorageError> {
    Ok(Head { chain: chain(row)?, seq: row.get("seq")?, hash: hash(row, "hash")? })
}

fn entry(row: &Row) -> Result<Entry, StorageError> {
    Ok(Entry {
        chain: chain(row)?,
        seq: row.get("seq")?,
        at: Timestamp::from_millis(row.get("at")?),
        kind: row.get("kind")?,
        subject: row.get("subject")?,
        details: row.get("details")?,
        prev_hash: hash(row, "prev_hash")?,
        hash: hash(row, "hash")?,
    })
}

/// Adds an entry to a chain, if `tx` is committed.
///
/// # Errors
/// [`StorageError`].
pub async fn append(tx: &mut Tx, chain: impl Into<Chain>, event: Event, at: Timestamp) -> Result<(), StorageError> {
    let previous = hold(tx, chain.into()).await?;
    let entry = event.follow(&previous, at);
    query(
        "-- insert_audit
         INSERT INTO audit (chain, seq, at, kind, subject, details, prev_hash, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(entry.chain.as_str())
    .bind(entry.seq)
    .bind(entry.at.as_millis())
    .bind(&entry.kind)
    .bind(&entry.subject)
    .bind(&entry.details)
    .bind(entry.prev_hash.as_slice())
    .bind(entry.hash.as_slice())
    .execute(&mut *tx)
    .await?;
    let moved = query("-- move_audit_head\nUPDATE audit_heads SET seq = $2, hash = $3 WHERE chain = $1 AND seq = $4")
        .bind(entry.chain.as_str())
        .bind(entry.seq)
        .bind(entry.hash.as_slice())
        .bind(previous.seq)
        .execute(&mut *tx)
        .await?;
    // Its row is held since it was read.
    if moved.rows_affected() == 1 { Ok(()) } else { Err(corrupt()) }
}

/// A chain's end, held until the transaction ends. A chain without entries gets its row here.
async fn hold(tx: &mut Tx, chain: Chain) -> Result<Head, StorageError> {
    let row = query(
        "-- hold_audit_head
         INSERT INTO audit_heads (chain, seq, hash) VALUES ($1, 0, $2)
         ON CONFLICT (chain) DO UPDATE SET seq = audit_heads.seq
         RETURNING chain, seq, hash",
    )
    .bind(chain.as_str())
    .bind(GENESIS.as_slice())
    .fetch_one(&mut *tx)
    .await?;
    head(&row)
}

/// The names of all chains that have an entry, an end, or both.
///
/// # Errors
/// [`StorageError`].
pub async fn chains(storage: &Storage) -> Result<Vec<Chain>, StorageError> {
    let sql = "-- audit_chains\nSELECT chain FROM audit_heads UNION SELECT chain FROM audit ORDER BY chain";
    query(sql).fetch_all(storage.readers()).await?.iter().map(chain).collect()
}

/// The end of one chain.
///
/// # Errors
/// [`StorageError`].
pub async fn head_of(tx: &mut Tx, chain: &Chain) -> Result<Head, StorageError> {
    let row = query("-- audit_head\nSELECT chain, seq, hash FROM audit_heads WHERE chain = $1")
        .bind(chain.as_str())
        .fetch_optional(&mut *tx)
        .await?;
    row.as_ref().map_or_else(|| Ok(Head::empty(chain.clone())), head)
}

/// The entries of a chain behind place `after`, in order.
///
/// # Errors
/// [`StorageError`].
pub async fn page(tx: &mut Tx, chain: &Chain, after: i64, limit: i64) -> Result<Vec<Entry>, StorageError> {
    let statement = format!("-- audit_page\n{COLUMNS} WHERE chain = $1 AND seq > $2 ORDER BY seq LIMIT $3");
    let rows = query(statement).bind(chain.as_str()).bind(after).bind(limit).fetch_all(&mut *tx).await?;
    rows.iter().map(entry).collect()
}

/// The entries of a chain that tell of a subject, oldest first.
///
/// # Errors
/// [`StorageError`].
pub async fn of_subject(storage: &Storage, chain: &Chain, subject: &str) -> Result<Vec<Entry>, StorageError> {
    let statement = format!("-- audit_of_subject\n{COLUMNS} WHERE chain = $1 AND subject = $2 ORDER BY seq");
    let rows = query(statement).bind(chain.as_str()).bind(subject).fetch_all(storage.readers()).await?;
    rows.iter().map(entry).collect()
}

/// The last entries of a chain, oldest first.
///
/// # Errors
/// [`StorageError`].
pub async fn last(storage: &Storage, chain: &Chain, limit: i64) -> Result<Vec<Entry>, StorageError> {
    let statement = format!("-- last_audit\n{COLUMNS} WHERE chain = $1 ORDER BY seq DESC LIMIT $2");
    let rows = query(statement).bind(chain.as_str()).bind(limit).fetch_all(storage.readers()).await?;
    rows.iter().rev().map(entry).collect()
}
