//! Rows of `failing_lanes`: endpoints that fail attempt after attempt, remembered for all relays on one database.

use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::TenantId;

use crate::storage::db::{Row, query};
use crate::storage::{Storage, StorageError, Tx};

/// Failures in a row after which an endpoint gets one attempt at a time (PUSH.md 3.3).
pub const TRIPS_AFTER: i64 = 10;
/// Rows given up by one statement.
const BATCH: i64 = 100;

/// An attempt has succeeded. Answers how many had failed in a row before it.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn succeeded(tx: &mut Tx, lane: &str) -> Result<i64, StorageError> {
    let before = query("-- forget_failing_lane\nDELETE FROM failing_lanes WHERE lane = $1 RETURNING failures")
        .bind(lane)
        .fetch_value(&mut *tx)
        .await?;
    Ok(before.unwrap_or(0))
}

/// So many more attempts have failed. Answers how many those are in a row by now.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn failed(tx: &mut Tx, lane: &str, count: i64, now: Timestamp) -> Result<i64, StorageError> {
    let row = query(
        "-- count_failing_lane
         INSERT INTO failing_lanes (lane, failures, last_failed) VALUES ($1, $2, $3)
         ON CONFLICT (lane) DO UPDATE
         SET failures = failing_lanes.failures + excluded.failures, last_failed = excluded.last_failed
         RETURNING failures",
    )
    .bind(lane)
    .bind(count)
    .bind(now.as_millis())
    .fetch_one(&mut *tx)
    .await?;
    Ok(row.at(0)?)
}

/// A callback that was given up because its schedule was over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// Whose.
    pub tenant_id: TenantId,
    /// Its name.
    pub delivery_id: String,
    /// Attempts that were made.
    pub attempts: i64,
    /// Origin of its schedule.
    pub scheduled_from: Timestamp,
}

/// Gives up the rows of tripped lanes whose schedule is over, a batch at most: with one attempt at a time not every row gets
/// to all of its tries, and its end must not wait for them. A row that was never tried is left alone.
///
/// To be called after [`super::claim::claim`], which no two transactions make at a time.
///
/// # Errors
/// [`StorageError`].
pub async fn give_up_overdue(tx: &mut Tx, now: Timestamp) -> Result<Vec<Overdue>, StorageError> {
    let rows = query(
        "-- give_up_overdue_deliveries
         UPDATE deliveries SET state = 'dead', settled_at = $1
         WHERE delivery_id IN (
             SELECT d.delivery_id FROM failing_lanes f CROSS JOIN deliveries d
             WHERE f.failures >= $2 AND d.lane = f.lane AND d.state = 'due' AND d.attempts > 0 AND d.give_up_at < $1
             LIMIT $3
         )
         RETURNING tenant_id, delivery_id, attempts, scheduled_from",
    )
    .bind(now.as_millis())
    .bind(TRIPS_AFTER)
    .bind(BATCH)
    .fetch_all(&mut *tx)
    .await?;
    rows.iter().map(overdue).collect()
}

fn overdue(row: &Row) -> Result<Overdue, StorageError> {
    let tenant_id: String = row.get("tenant_id")?;
    Ok(Overdue {
        tenant_id: TenantId::parse(tenant_id).map_err(|_| StorageError::Corrupt("delivery"))?,
        delivery_id: row.get("delivery_id")?,
        attempts: row.get("attempts")?,
        scheduled_from: Timestamp::from_millis(row.get("scheduled_from")?),
    })
}

/// How many lanes are tripped.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn tripped(storage: &Storage) -> Result<i64, StorageError> {
    let row = query("-- tripped_lanes\nSELECT count(*) FROM failing_lanes WHERE failures >= $1")
        .bind(TRIPS_AFTER)
        .fetch_one(storage.readers())
        .await?;
    Ok(row.at(0)?)
}
