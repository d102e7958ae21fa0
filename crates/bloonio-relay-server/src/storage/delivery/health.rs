//! Rows of `failing_lanes`: endpoints that fail attempt after attempt, remembered for all relays on one database.

use bloonio_wire::clock::Timestamp;

use crate::storage::db::query;
use crate::storage::{Storage, StorageError, Tx};

/// Failures in a row after which an endpoint gets one attempt at a time (PUSH.md 3.3).
pub const TRIPS_AFTER: i64 = 10;

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

/// Gives up the rows of tripped lanes whose schedule is over: with one attempt at a time not every row gets to all of its
/// tries, and its end must not wait for them. A row that was never tried is left alone. Answers how many rows that were.
///
/// To be called after [`super::claim::claim`], which no two transactions make at a time.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn give_up_overdue(tx: &mut Tx, now: Timestamp) -> Result<u64, StorageError> {
    let done = query(
        "-- give_up_overdue_deliveries
         UPDATE deliveries SET state = 'dead', settled_at = $1
         WHERE state = 'due' AND attempts > 0 AND give_up_at < $1
           AND lane IN (SELECT f.lane FROM failing_lanes f WHERE f.failures >= $2)",
    )
    .bind(now.as_millis())
    .bind(TRIPS_AFTER)
    .execute(&mut *tx)
    .await?;
    Ok(done.rows_affected())
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
