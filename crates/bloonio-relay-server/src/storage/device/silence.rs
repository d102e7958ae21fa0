//! Devices that have fallen silent (PUSH.md 1.10): counting them, and giving up their addresses in the end.

use std::time::Duration;

use bloonio_wire::clock::Timestamp;

use crate::storage::db::query;
use crate::storage::{Storage, StorageError};
use crate::token::SESSION_TTL;

/// A device that has not been heard of for so long is stale: its session has run out, it is no longer pushed, and FCM
/// throws messages to it away.
pub const STALE_AFTER: Duration = SESSION_TTL;
/// FCM expires an Android address after so much silence; no address is kept longer.
pub const GIVEN_UP_AFTER: Duration = Duration::from_secs(270 * 24 * 60 * 60);
/// Rows of one statement.
const BATCH: u32 = 500;

/// Devices with a push address, by what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddressCounts {
    /// In use, of devices heard of lately.
    pub live: i64,
    /// In use, of devices that have fallen silent.
    pub stale: i64,
    /// Declared gone by the push service.
    pub dead: i64,
    /// Declared another project's.
    pub quarantined: i64,
}

/// Counts the addresses of all tenants. It reads every device: for now and then.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn count(storage: &Storage, now: Timestamp) -> Result<AddressCounts, StorageError> {
    let row = query(
        "-- count_addresses
         SELECT count(CASE WHEN address_state = 'live' AND last_seen_at > $1 THEN 1 END),
                count(CASE WHEN address_state = 'live' AND last_seen_at <= $1 THEN 1 END),
                count(CASE WHEN address_state = 'dead' THEN 1 END),
                count(CASE WHEN address_state = 'quarantined' THEN 1 END)
         FROM devices WHERE status <> 'removed'",
    )
    .bind(now.minus(STALE_AFTER).as_millis())
    .fetch_one(storage.readers())
    .await?;
    Ok(AddressCounts { live: row.at(0)?, stale: row.at(1)?, dead: row.at(2)?, quarantined: row.at(3)? })
}

/// Forgets the addresses of devices that have been silent for [`GIVEN_UP_AFTER`], a batch at most. The device stays, and
/// brings an address when it registers again. Answers how many addresses that were.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn give_up(storage: &Storage, now: Timestamp) -> Result<u64, StorageError> {
    let done = query(
        "-- give_up_silent_addresses
         UPDATE devices SET address_kind = NULL, address = NULL, address_state = 'none', address_reason = 'silent',
                            address_changed_at = $2
         WHERE (tenant_id, device_id) IN (
             SELECT tenant_id, device_id FROM devices
             WHERE address_state <> 'none' AND last_seen_at <= $1 LIMIT $3
         )",
    )
    .bind(now.minus(GIVEN_UP_AFTER).as_millis())
    .bind(now.as_millis())
    .bind(BATCH)
    .execute(storage.writer())
    .await?;
    Ok(done.rows_affected())
}
