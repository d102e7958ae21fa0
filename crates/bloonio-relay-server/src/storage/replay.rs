//! Rows of `replays`: what was seen before, across restarts and instances (PROTOCOL 2.3).

use std::time::Duration;

use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::TenantId;

use super::{Storage, StorageError, Tx};
use crate::storage::db::query;

/// How long a signature is remembered. The window is 30 s either way, so a signed request is good for 60 s at most.
pub const REMEMBERED: Duration = Duration::from_secs(90);

/// What was signed before a restore may have been seen before it: what was remembered of that is lost (`epoch`).
const CLAIM: &str = "-- claim_replay
    INSERT INTO replays (tenant_id, seen_key, expires_at)
    SELECT $1, $2, $3 FROM epoch WHERE signed_after < $5
    ON CONFLICT (tenant_id, seen_key) DO UPDATE SET expires_at = excluded.expires_at WHERE replays.expires_at <= $4";

const REMEMBER: &str = "-- remember_replay
    INSERT INTO replays (tenant_id, seen_key, expires_at) VALUES ($1, $2, $3)
    ON CONFLICT (tenant_id, seen_key) DO UPDATE SET expires_at = excluded.expires_at WHERE replays.expires_at <= $4";

/// Claims `key` for a request of `tenant`, signed at `signed_at`; `false` means that it was seen before. One statement, so of any number of equal
/// requests one gets it.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn claim(
    storage: &Storage,
    tenant: &TenantId,
    key: &[u8],
    signed_at: Timestamp,
    now: Timestamp,
) -> Result<bool, StorageError> {
    let done = query(CLAIM)
        .bind(tenant.as_str())
        .bind(key)
        .bind(now.plus(REMEMBERED).as_millis())
        .bind(now.as_millis())
        .bind(signed_at.as_millis())
        .execute(storage.writer())
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Remembers `key` without asking whether it was seen: the relay's own callback signatures, which must never come back as
/// calls (SECURITY, "Signatures and replay").
///
/// # Errors
/// [`StorageError::Database`].
pub async fn remember(tx: &mut Tx, tenant: &TenantId, key: &[u8], now: Timestamp) -> Result<(), StorageError> {
    query(REMEMBER)
        .bind(tenant.as_str())
        .bind(key)
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
