//! Rows of `deliveries`, the outbox of callbacks (PROTOCOL 9.5): insert, claim, settle, release.
//!
//! A row is inserted in the transaction of the change that it tells of. A worker claims it with a lease, sends, and
//! settles with the lease's token: a worker whose lease was taken over changes nothing. `attempts` grows at the claim, so
//! that a row which brings its worker down is counted too.

pub mod listing;

use bloonio_wire::callback::Flow;
use bloonio_wire::clock::Timestamp;
use bloonio_wire::digest::Framed;
use bloonio_wire::id::TenantId;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use url::Url;

use super::{Storage, StorageError, Tx};

/// A callback to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    /// `instruction_id` for decisions, `device_id` for pairing events.
    pub subject_id: String,
    /// Which event.
    pub flow: Flow,
    /// Where it goes; see [`crate::outbox::callback::target`].
    pub url: String,
    /// The exact bytes of the body, which every attempt signs and sends.
    pub payload: String,
    /// When the event happened: the origin of the schedule, and due at once.
    pub created_at: Timestamp,
    /// Last instant of the schedule; see [`crate::outbox::backoff::give_up_at`].
    pub give_up_at: Timestamp,
}

/// A claim on a row: until when, and the token without which nothing can be settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Drawn anew for each claim.
    pub token: String,
    /// From this instant on, others may claim the row.
    pub until: Timestamp,
}

/// A row under lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Whose event.
    pub tenant_id: TenantId,
    /// The delivery, which is the `webhook-id` of every attempt.
    pub delivery_id: String,
    /// Where it goes.
    pub url: String,
    /// The body.
    pub payload: String,
    /// Attempts so far, this one included.
    pub attempts: i64,
    /// Origin of the schedule.
    pub scheduled_from: Timestamp,
    /// Last instant of the schedule.
    pub give_up_at: Timestamp,
    /// The lease's token.
    pub lease_token: String,
}

/// How an attempt ends a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// The receiver has it.
    Acknowledged,
    /// Again at this instant.
    Due(Timestamp),
    /// Never again, unless an operator says so.
    Dead,
}

/// What an attempt met, for the operator's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Met {
    /// The receiver's HTTP status, if it answered.
    pub status: Option<u16>,
    /// A short, stable word such as `timeout`; never a text of the other side.
    pub error: Option<&'static str>,
}

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

/// The stable name of a delivery. It is derived and not drawn, so that the same event is the same `webhook-id` even if a
/// database is restored to a point before the event and the event happens again.
pub fn delivery_id(tenant: &TenantId, subject_id: &str, flow: Flow) -> String {
    let mut framed = Framed::new("bloonio-delivery-v1");
    framed.text(tenant.as_str()).text(subject_id).text(flow.as_str());
    format!("dlv_{}", hex::encode(&framed.digest()[..16]))
}

/// The lane of a URL: its origin.
fn endpoint(url: &str) -> String {
    Url::parse(url).map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
}

/// Inserts a callback, due at once. The same event twice is one row.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn insert(tx: &mut Tx, tenant: &TenantId, new: &NewDelivery) -> Result<(), StorageError> {
    sqlx::query(
        "-- insert_delivery
         INSERT INTO deliveries (tenant_id, delivery_id, subject_id, flow, url, endpoint, payload, state, next_at,
                                 created_at, scheduled_from, give_up_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'due', $8, $8, $8, $9)
         ON CONFLICT DO NOTHING",
    )
    .bind(tenant.as_str())
    .bind(delivery_id(tenant, &new.subject_id, new.flow))
    .bind(&new.subject_id)
    .bind(new.flow.as_str())
    .bind(&new.url)
    .bind(endpoint(&new.url))
    .bind(&new.payload)
    .bind(new.created_at.as_millis())
    .bind(new.give_up_at.as_millis())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Claims what is due, and what a lapsed lease has left behind, of active tenants: a suspended tenant's callbacks are
/// held (PROTOCOL 3). First attempts come before retries. Lanes take turns: the first row of every lane comes before the
/// second of any, so that a thousand rows of one lane delay no other lane's first.
///
/// # Errors
/// [`StorageError`].
pub async fn claim(
    storage: &Storage,
    now: Timestamp,
    lease: &Lease,
    limits: ClaimLimits,
) -> Result<Vec<Claimed>, StorageError> {
    let rows = sqlx::query(
        "-- claim_deliveries
         WITH busy AS (
             SELECT tenant_id, endpoint, count(*) AS rows FROM deliveries
             WHERE state IN ('due', 'sending') AND state = 'sending' AND lease_until > $1
             GROUP BY tenant_id, endpoint
         ), ready AS (
             SELECT d.tenant_id, d.delivery_id, d.next_at, d.attempts > 0 AS retry,
                    coalesce(busy.rows, 0) + row_number() OVER (
                        PARTITION BY d.tenant_id, d.endpoint ORDER BY d.attempts, d.next_at, d.delivery_id
                    ) AS place
             FROM deliveries d
             JOIN tenants t ON t.tenant_id = d.tenant_id AND t.status = 'active'
             LEFT JOIN busy ON busy.tenant_id = d.tenant_id AND busy.endpoint = d.endpoint
             WHERE d.state IN ('due', 'sending')
               AND ((d.state = 'due' AND d.next_at <= $1) OR (d.state = 'sending' AND d.lease_until <= $1))
         ), queue AS (
             SELECT *, row_number() OVER (PARTITION BY retry ORDER BY place, next_at, delivery_id) AS turn
             FROM ready WHERE place <= $4
         )
         UPDATE deliveries SET state = 'sending', attempts = attempts + 1, lease_until = $2, lease_token = $3
         WHERE (tenant_id, delivery_id) IN (
             SELECT tenant_id, delivery_id FROM queue WHERE retry = 0 OR turn <= $6
             ORDER BY retry, turn LIMIT $5
         )
         RETURNING tenant_id, delivery_id, url, payload, attempts, scheduled_from, give_up_at, lease_token",
    )
    .bind(now.as_millis())
    .bind(lease.until.as_millis())
    .bind(&lease.token)
    .bind(limits.per_lane)
    .bind(limits.total)
    .bind(limits.retries)
    .fetch_all(storage.writer())
    .await?;
    rows.iter().map(claimed).collect()
}

fn claimed(row: &SqliteRow) -> Result<Claimed, StorageError> {
    let tenant_id: String = row.try_get("tenant_id")?;
    Ok(Claimed {
        tenant_id: TenantId::parse(tenant_id).map_err(|_| StorageError::Corrupt("delivery"))?,
        delivery_id: row.try_get("delivery_id")?,
        url: row.try_get("url")?,
        payload: row.try_get("payload")?,
        attempts: row.try_get("attempts")?,
        scheduled_from: Timestamp::from_millis(row.try_get("scheduled_from")?),
        give_up_at: Timestamp::from_millis(row.try_get("give_up_at")?),
        lease_token: row.try_get("lease_token")?,
    })
}

/// Ends a claim; `false` means that the lease was lost meanwhile and nothing was changed.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn settle(
    storage: &Storage,
    claimed: &Claimed,
    settlement: Settlement,
    met: Met,
    now: Timestamp,
) -> Result<bool, StorageError> {
    let (state, next_at, settled_at) = match settlement {
        Settlement::Acknowledged => ("acknowledged", None, Some(now.as_millis())),
        Settlement::Due(at) => ("due", Some(at.as_millis()), None),
        Settlement::Dead => ("dead", None, Some(now.as_millis())),
    };
    let done = sqlx::query(
        "-- settle_delivery
         UPDATE deliveries SET state = $4, next_at = coalesce($5, next_at), settled_at = $6, last_status = $7,
                               last_error = $8, lease_until = NULL, lease_token = NULL
         WHERE tenant_id = $1 AND delivery_id = $2 AND state = 'sending' AND lease_token = $3",
    )
    .bind(claimed.tenant_id.as_str())
    .bind(&claimed.delivery_id)
    .bind(&claimed.lease_token)
    .bind(state)
    .bind(next_at)
    .bind(settled_at)
    .bind(met.status)
    .bind(met.error)
    .execute(storage.writer())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Hands a claimed row back, due at once: the process stops before the attempt is over.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn release(storage: &Storage, claimed: &Claimed, now: Timestamp) -> Result<bool, StorageError> {
    let done = sqlx::query(
        "-- release_delivery
         UPDATE deliveries SET state = 'due', next_at = $4, lease_until = NULL, lease_token = NULL
         WHERE tenant_id = $1 AND delivery_id = $2 AND state = 'sending' AND lease_token = $3",
    )
    .bind(claimed.tenant_id.as_str())
    .bind(&claimed.delivery_id)
    .bind(&claimed.lease_token)
    .bind(now.as_millis())
    .execute(storage.writer())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Prepares the outbox when the process starts: nobody can be sending, so every claimed row is due at once; and a row
/// whose schedule ran out while the relay was away starts it anew, up to `give_up_at`.
///
/// Answers how many rows were found claimed.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn resume(storage: &Storage, now: Timestamp, give_up_at: Timestamp) -> Result<u64, StorageError> {
    let mut tx = storage.begin().await?;
    sqlx::query(
        "-- reschedule_deliveries
         UPDATE deliveries SET scheduled_from = $1, next_at = $1, give_up_at = $2
         WHERE state IN ('due', 'sending') AND give_up_at <= $1",
    )
    .bind(now.as_millis())
    .bind(give_up_at.as_millis())
    .execute(&mut *tx)
    .await?;
    let found = sqlx::query(
        "-- reclaim_deliveries
         UPDATE deliveries SET state = 'due', next_at = $1, lease_until = NULL, lease_token = NULL
         WHERE state IN ('due', 'sending') AND state = 'sending'",
    )
    .bind(now.as_millis())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(found.rows_affected())
}

/// Lets a reactivated tenant's held callbacks go: their schedule starts anew, since time spent held is not the
/// receiver's silence. To be called in the transaction that reactivates.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn resume_tenant(
    tx: &mut Tx,
    tenant: &TenantId,
    now: Timestamp,
    give_up_at: Timestamp,
) -> Result<(), StorageError> {
    sqlx::query(
        "-- resume_tenant_deliveries
         UPDATE deliveries SET scheduled_from = $2, next_at = $2, give_up_at = max(give_up_at, $3)
         WHERE tenant_id = $1 AND state = 'due'",
    )
    .bind(tenant.as_str())
    .bind(now.as_millis())
    .bind(give_up_at.as_millis())
    .execute(&mut **tx)
    .await?;
    Ok(())
}
