//! Rows of `audit` and `audit_heads`. They are added in the transaction of the change that they tell of, as the last thing
//! before its commit: whoever holds a chain's end keeps others from adding to it.

use std::collections::BTreeMap;

use bloonio_wire::clock::Timestamp;
use serde_json::{Value, json};

use super::db::{Row, query, query_rows};
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
    append_all(tx, [(chain.into(), event)], at).await
}

/// Adds entries to chains, those of a chain in the order given. The chains' ends are held in the order of their names: of
/// several transactions none waits for one that waits for it.
///
/// # Errors
/// [`StorageError`].
pub async fn append_all(
    tx: &mut Tx,
    events: impl IntoIterator<Item = (Chain, Event)>,
    at: Timestamp,
) -> Result<(), StorageError> {
    let mut chains: BTreeMap<Chain, Vec<Event>> = BTreeMap::new();
    for (chain, event) in events {
        chains.entry(chain).or_default().push(event);
    }
    let mut rows = Vec::new();
    for (chain, events) in chains {
        let mut end = hold(tx, chain).await?;
        for event in events {
            let entry = event.follow(&end, at);
            end = entry.head();
            rows.push(row_of(entry));
        }
    }
    if !rows.is_empty() {
        insert(tx, rows).await?;
    }
    Ok(())
}

fn row_of(entry: Entry) -> Value {
    let Entry { chain, seq, at, kind, subject, details, prev_hash, hash } = entry;
    json!([chain.as_str(), seq, at.as_millis(), kind, subject, details, hex::encode(prev_hash), hex::encode(hash)])
}

/// The database checks that each entry is the next of its chain, and moves the chain's end to it.
async fn insert(tx: &mut Tx, rows: Vec<Value>) -> Result<(), StorageError> {
    query_rows(tx.engine(), "$1", |rows| {
        let [chain, kind, subject, details] = [0, 3, 4, 5].map(|cell| rows.text(cell));
        let ([seq, at], [prev_hash, hash]) = ([1, 2].map(|cell| rows.whole(cell)), [6, 7].map(|cell| rows.bytes(cell)));
        let entries = rows.table();
        format!(
            "-- insert_audit
             INSERT INTO audit (chain, seq, at, kind, subject, details, prev_hash, hash)
             SELECT {chain}, {seq}, {at}, {kind}, {subject}, {details}, {prev_hash}, {hash} FROM {entries}"
        )
    })
    .bind(Value::Array(rows).to_string())
    .execute(&mut *tx)
    .await?;
    Ok(())
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
