//! Claiming: which rows are next, and what a starting process finds.

use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::TenantId;
use tracing::error;

use super::health::TRIPS_AFTER;
use super::{Claimed, Lease};
use crate::storage::db::{Row, query, query_for};
use crate::storage::{Storage, StorageError, Tx, hold_queue};

/// What a row that cannot be read is given up for.
pub const UNREADABLE: &str = "unreadable";

/// How many rows a claim may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimLimits {
    /// Rows of one lane (a tenant's endpoint) in flight at most, those claimed before included.
    pub per_lane: u32,
    /// Rows of this claim at most, retries included.
    pub total: u32,
    /// Retries of this claim at most.
    pub retries: u32,
}

/// What a claim came to.
#[derive(Debug, Default)]
pub struct Claims {
    /// The rows, under lease.
    pub readable: Vec<Claimed>,
    /// The names of those that were given up because they cannot be read.
    pub unreadable: Vec<String>,
}

/// The statement of a claim, from what differs: how the first few rows of each lane are found, and how those that are
/// taken.
///
/// Every lane with something open is visited once, from one index entry to the first one of the next lane; of each, no
/// more than its first few rows are looked at. So a claim's cost does not grow with what waits, nor with what is kept.
macro_rules! claim_deliveries {
    ($first_rows:literal, $one_of:literal, $end:literal) => {
        concat!(
            "-- claim_deliveries
    WITH RECURSIVE lanes (lane) AS (
        SELECT min(lane) FROM deliveries WHERE state IN ('due', 'sending')
        UNION ALL
        SELECT (SELECT min(d.lane) FROM deliveries d WHERE d.state IN ('due', 'sending') AND d.lane > lanes.lane)
        FROM lanes WHERE lanes.lane IS NOT NULL
    ), ready AS (
        SELECT d.delivery_id, d.lane, d.next_at, d.attempts > 0 AS retry,
               row_number() OVER (PARTITION BY lanes.lane ORDER BY d.attempts > 0, d.next_at, d.delivery_id)
               + (SELECT count(*) FROM deliveries b WHERE b.state = 'sending' AND b.lane = lanes.lane AND b.next_at > $1)
               AS place
        FROM lanes CROSS JOIN ",
            $first_rows,
            " EXISTS (SELECT 1 FROM tenants t WHERE t.tenant_id = d.tenant_id AND t.status = 'active')
    ), queue AS (
        SELECT delivery_id, retry, row_number() OVER (PARTITION BY retry ORDER BY place, next_at, delivery_id) AS turn
        FROM ready WHERE place <= $4 AND (
            place = 1 OR NOT EXISTS (SELECT 1 FROM failing_lanes f WHERE f.lane = ready.lane AND f.failures >= $7)
        )
    )
    UPDATE deliveries SET state = 'sending', attempts = attempts + 1, next_at = $2, lease_token = $3
    WHERE delivery_id ",
            $one_of,
            "
        SELECT delivery_id FROM queue WHERE retry = FALSE OR turn <= $6 ORDER BY turn, retry LIMIT $5
    ",
            $end,
            " AND state NOT IN ('acknowledged', 'dead') AND next_at <= $1
    RETURNING tenant_id, delivery_id, url, payload, attempts, scheduled_from, give_up_at, lease_token"
        )
    };
}

/// SQLite finds the rows of a lane by the list of their ids.
const CLAIM_ON_SQLITE: &str = claim_deliveries!(
    "deliveries d
        WHERE d.delivery_id IN (
            SELECT * FROM (
                SELECT f.delivery_id FROM deliveries f
                WHERE f.state IN ('due', 'sending') AND f.lane = lanes.lane AND (f.attempts > 0) = FALSE
                  AND f.next_at <= $1
                ORDER BY f.next_at LIMIT $4
            ) AS firsts
            UNION ALL
            SELECT * FROM (
                SELECT r.delivery_id FROM deliveries r
                WHERE r.state IN ('due', 'sending') AND r.lane = lanes.lane AND (r.attempts > 0) = TRUE
                  AND r.next_at <= $1
                ORDER BY r.next_at LIMIT $4
            ) AS retries
        ) AND",
    "IN (",
    ")"
);

/// PostgreSQL would make that list anew for every delivery that was ever made, and the one of what is taken for every one
/// that waits. `= FALSE` it would turn into what its index does not have.
const CLAIM_ON_POSTGRES: &str = claim_deliveries!(
    "LATERAL (
            (
                SELECT * FROM deliveries f
                WHERE f.state IN ('due', 'sending') AND f.lane = lanes.lane AND (f.attempts > 0) IS FALSE
                  AND f.next_at <= $1
                ORDER BY f.next_at LIMIT $4
            )
            UNION ALL
            (
                SELECT * FROM deliveries r
                WHERE r.state IN ('due', 'sending') AND r.lane = lanes.lane AND (r.attempts > 0) IS TRUE
                  AND r.next_at <= $1
                ORDER BY r.next_at LIMIT $4
            )
        ) AS d
        WHERE",
    "= ANY (ARRAY(",
    "))"
);

/// Makes the rest of a transaction the only one that claims callbacks, whatever process it is made by. Before any row of the
/// outbox is changed in it: another claim may be after a row whose lease has lapsed.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn hold(tx: &mut Tx) -> Result<(), StorageError> {
    hold_queue(tx, "deliveries").await
}

/// Claims what is due, and what a lapsed lease has left behind, of active tenants: a suspended tenant's callbacks are
/// held (PROTOCOL 3). Lanes take turns: the first row of every lane comes before the second of any, so that a thousand
/// rows of one lane delay no other lane's first. So do first attempts and retries, so that neither starves the other. A
/// lane that has tripped has one row in flight (see [`super::health`]).
///
/// To be called in a transaction that holds the outbox ([`hold`]): so each claim sees what the others have in hand, and a
/// lane's places are counted over all of them.
///
/// A row that cannot be read is given up at once, with an alarm: it must hold up nobody else's.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn claim(tx: &mut Tx, now: Timestamp, lease: &Lease, limits: ClaimLimits) -> Result<Claims, StorageError> {
    let rows = query_for(CLAIM_ON_SQLITE, CLAIM_ON_POSTGRES)
        .bind(now.as_millis())
        .bind(lease.until.as_millis())
        .bind(&lease.token)
        .bind(limits.per_lane)
        .bind(limits.total)
        .bind(limits.retries)
        .bind(TRIPS_AFTER)
        .fetch_all(&mut *tx)
        .await?;
    let mut claims = Claims::default();
    for row in &rows {
        match claimed(row) {
            Ok(claimed) => claims.readable.push(claimed),
            Err(StorageError::Corrupt(_)) => claims.unreadable.push(give_up(tx, row, now).await?),
            Err(failure) => return Err(failure),
        }
    }
    Ok(claims)
}

async fn give_up(tx: &mut Tx, row: &Row, now: Timestamp) -> Result<String, StorageError> {
    let delivery_id: String = row.get("delivery_id")?;
    error!(delivery.id = delivery_id, "a callback in the outbox cannot be read; it is given up");
    query(
        "-- give_up_unreadable_delivery
         UPDATE deliveries SET state = 'dead', settled_at = $2, last_error = $3, lease_token = NULL
         WHERE delivery_id = $1",
    )
    .bind(&delivery_id)
    .bind(now.as_millis())
    .bind(UNREADABLE)
    .execute(&mut *tx)
    .await?;
    Ok(delivery_id)
}

fn claimed(row: &Row) -> Result<Claimed, StorageError> {
    let tenant_id: String = row.get("tenant_id")?;
    Ok(Claimed {
        tenant_id: TenantId::parse(tenant_id).map_err(|_| StorageError::Corrupt("delivery"))?,
        delivery_id: row.get("delivery_id")?,
        url: row.get("url")?,
        payload: row.get("payload")?,
        attempts: row.get("attempts")?,
        scheduled_from: Timestamp::from_millis(row.get("scheduled_from")?),
        give_up_at: Timestamp::from_millis(row.get("give_up_at")?),
        lease_token: row.get("lease_token")?,
    })
}

/// Prepares the outbox when the process starts: every open row that nobody can be sending is due at once; and each starts
/// its schedule anew, up to `give_up_at` at least, for the time that the relay was away was none that it was tried in.
///
/// A process that has the database for itself knows that nobody is sending. Beside others, what is being sent is left to
/// them, and what a process that is no more was sending, to the end of its lease.
///
/// Answers how many rows were found claimed.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn resume(storage: &Storage, now: Timestamp, give_up_at: Timestamp) -> Result<u64, StorageError> {
    let mut tx = storage.begin_shared().await?;
    let found = if storage.is_shared() { 0 } else { reclaim(&mut tx, now).await? };
    query(
        "-- reschedule_deliveries
         UPDATE deliveries SET scheduled_from = $1, next_at = $1,
                               give_up_at = CASE WHEN give_up_at < $2 THEN $2 ELSE give_up_at END
         WHERE state = 'due'",
    )
    .bind(now.as_millis())
    .bind(give_up_at.as_millis())
    .execute(&mut tx)
    .await?;
    tx.commit().await?;
    Ok(found)
}

async fn reclaim(tx: &mut Tx, now: Timestamp) -> Result<u64, StorageError> {
    let found = query(
        "-- reclaim_deliveries
         UPDATE deliveries SET state = 'due', next_at = $1, lease_token = NULL WHERE state = 'sending'",
    )
    .bind(now.as_millis())
    .execute(&mut *tx)
    .await?;
    Ok(found.rows_affected())
}

/// What lies ahead of the worker: whether anything may be claimed now, and when the next row after that may.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn outlook(storage: &Storage, now: Timestamp) -> Result<(bool, Option<Timestamp>), StorageError> {
    let row = query(
        "-- delivery_outlook
         SELECT EXISTS (SELECT 1 FROM deliveries WHERE state IN ('due', 'sending') AND next_at <= $1),
                (SELECT min(next_at) FROM deliveries WHERE state IN ('due', 'sending') AND next_at > $1)",
    )
    .bind(now.as_millis())
    .fetch_one(storage.readers())
    .await?;
    Ok((row.at(0)?, row.at::<Option<i64>>(1)?.map(Timestamp::from_millis)))
}
