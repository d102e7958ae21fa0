//! Rows of `replays`: what was seen before, across restarts and instances (PROTOCOL 2.3).

use std::collections::BTreeSet;
use std::time::Duration;

use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::TenantId;
use serde_json::json;

use super::{Storage, StorageError, Tx};
use crate::storage::db::{query, query_rows};

/// How long a signature is remembered. The window is 30 s either way, so a signed request is good for 60 s at most.
pub const REMEMBERED: Duration = Duration::from_secs(90);

/// Claims `keys` for a request of `tenant`, signed at `signed_at`; `false` means that one of them was seen before. One
/// statement, so of any number of equal requests one gets them, and however many keys there are, one write. What was signed
/// before a restore may have been seen before it: what was remembered of that is lost (`epoch`).
///
/// # Errors
/// [`StorageError::Database`].
pub async fn claim(
    storage: &Storage,
    tenant: &TenantId,
    keys: &[[u8; 32]],
    signed_at: Timestamp,
    now: Timestamp,
) -> Result<bool, StorageError> {
    let rows: Vec<_> = keys.iter().map(|key| [hex::encode(key)]).collect();
    let done = query_rows(storage.writer().engine(), "$5", |rows| {
        let (key, keys) = (rows.bytes(0), rows.table());
        format!(
            "-- claim_replay
             INSERT INTO replays (tenant_id, seen_key, expires_at)
             SELECT $1, {key}, $2 FROM epoch CROSS JOIN {keys} WHERE epoch.signed_after < $4
             ON CONFLICT (tenant_id, seen_key) DO UPDATE SET expires_at = excluded.expires_at
             WHERE replays.expires_at <= $3"
        )
    })
    .bind(tenant.as_str())
    .bind(now.plus(REMEMBERED).as_millis())
    .bind(now.as_millis())
    .bind(signed_at.as_millis())
    .bind(json!(rows).to_string())
    .execute(storage.writer())
    .await?;
    Ok(u64::try_from(keys.len()) == Ok(done.rows_affected()))
}

/// Remembers keys without asking whether they were seen: the relay's own callback signatures, which must never come back as
/// calls (SECURITY, "Signatures and replay").
///
/// # Errors
/// [`StorageError::Database`].
pub async fn remember(
    tx: &mut Tx,
    keys: impl IntoIterator<Item = (&TenantId, &[u8; 32])>,
    now: Timestamp,
) -> Result<(), StorageError> {
    // Each once, and in an order that is everybody's: no two transactions wait for each other.
    let keys: BTreeSet<_> = keys.into_iter().map(|(tenant, key)| (tenant.as_str(), hex::encode(key))).collect();
    if keys.is_empty() {
        return Ok(());
    }
    query_rows(tx.engine(), "$1", |rows| {
        let (tenant, key, keys) = (rows.text(0), rows.bytes(1), rows.table());
        format!(
            "-- remember_replays
             INSERT INTO replays (tenant_id, seen_key, expires_at) SELECT {tenant}, {key}, $2 FROM {keys} WHERE true
             ON CONFLICT (tenant_id, seen_key) DO UPDATE SET expires_at = excluded.expires_at
             WHERE replays.expires_at <= $3"
        )
    })
    .bind(json!(keys).to_string())
    .bind(now.plus(REMEMBERED).as_millis())
    .bind(now.as_millis())
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Forgets what is too old to be accepted anyway; gives the number of rows.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn sweep(storage: &Storage, now: Timestamp) -> Result<u64, StorageError> {
    let done = query("-- sweep_replays\nDELETE FROM replays WHERE expires_at <= $1")
        .bind(now.as_millis())
        .execute(storage.writer())
        .await?;
    Ok(done.rows_affected())
}
