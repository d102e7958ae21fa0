//! Rows of `deliveries`, the outbox of callbacks (PROTOCOL 9.5): insert, settle, release; [`claim`], [`listing`].
//!
//! A row is inserted in the transaction of the change that it tells of. A worker claims it with a lease, sends, and
//! settles with the lease's token: a worker whose lease was taken over changes nothing. `attempts` grows at the claim, so
//! that a row which brings its worker down is counted too.

pub mod claim;
pub mod health;
pub mod listing;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use bloonio_wire::callback::Flow;
use bloonio_wire::clock::Timestamp;
use bloonio_wire::digest::Framed;
use bloonio_wire::id::TenantId;
use serde_json::{Value, json};
use url::Url;

use super::{StorageError, Tx};
use crate::storage::db::{Row, query, query_rows};

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

/// The stable name of a delivery. It is derived and not drawn, so that the same event is the same `webhook-id` even if a
/// database is restored to a point before the event and the event happens again.
pub fn delivery_id(tenant: &TenantId, subject_id: &str, flow: Flow) -> String {
    let mut framed = Framed::new("bloonio-delivery-v1");
    framed.text(tenant.as_str()).text(subject_id).text(flow.as_str());
    format!("dlv_{}", hex::encode(&framed.digest()[..16]))
}

/// The lane of a tenant's callbacks to a URL: tenant and origin.
pub fn lane(tenant: &TenantId, url: &str) -> String {
    let origin = Url::parse(url).map_or_else(|_| String::new(), |url| url.origin().ascii_serialization());
    format!("{tenant} {origin}")
}

/// Inserts a callback, due at once. The same event twice is one row.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn insert(tx: &mut Tx, tenant: &TenantId, new: &NewDelivery) -> Result<(), StorageError> {
    query(
        "-- insert_delivery
         INSERT INTO deliveries (tenant_id, delivery_id, subject_id, flow, url, lane, payload, state, next_at,
                                 created_at, scheduled_from, give_up_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'due', $8, $8, $8, $9)
         ON CONFLICT DO NOTHING",
    )
    .bind(tenant.as_str())
    .bind(delivery_id(tenant, &new.subject_id, new.flow))
    .bind(&new.subject_id)
    .bind(new.flow.as_str())
    .bind(&new.url)
    .bind(lane(tenant, &new.url))
    .bind(&new.payload)
    .bind(new.created_at.as_millis())
    .bind(new.give_up_at.as_millis())
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// The end of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End<'a> {
    /// The claim that it ends.
    pub claimed: &'a Claimed,
    /// How.
    pub settlement: Settlement,
    /// What it met.
    pub met: Met,
}

impl<'a> End<'a> {
    /// Which claim: a delivery may have been claimed again meanwhile.
    pub fn claim(&self) -> (&'a str, &'a str) {
        (&self.claimed.delivery_id, &self.claimed.lease_token)
    }

    fn row(&self, now: Timestamp) -> Value {
        let (state, next_at) = match self.settlement {
            Settlement::Acknowledged => ("acknowledged", None),
            Settlement::Due(at) => ("due", Some(at.as_millis())),
            Settlement::Dead => ("dead", None),
        };
        let settled_at = next_at.is_none().then_some(now.as_millis());
        let (id, lease) = self.claim();
        json!([self.claimed.tenant_id, id, lease, state, next_at, settled_at, self.met.status, self.met.error])
    }
}

/// Ends claims; gives those that were ended. Of the others the lease was lost meanwhile, and nothing was changed.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn settle<'a>(
    tx: &mut Tx,
    ends: &[End<'a>],
    now: Timestamp,
) -> Result<HashSet<(&'a str, &'a str)>, StorageError> {
    let mut held = HashSet::with_capacity(ends.len());
    let mut left: Vec<&End<'_>> = ends.iter().collect();
    while !left.is_empty() {
        // The database names what it has settled by the delivery alone: each statement is over one claim of it.
        let mut claims: HashMap<&str, (&str, &str)> = HashMap::new();
        let mut rows = Vec::with_capacity(left.len());
        left.retain(|end| match claims.entry(&end.claimed.delivery_id) {
            Entry::Occupied(_) => true,
            Entry::Vacant(free) => {
                free.insert(end.claim());
                rows.push(end.row(now));
                false
            }
        });
        for row in settle_rows(tx, rows).await? {
            held.extend(claims.get(row.get::<String>("delivery_id")?.as_str()));
        }
    }
    Ok(held)
}

async fn settle_rows(tx: &mut Tx, rows: Vec<Value>) -> Result<Vec<Row>, StorageError> {
    let statement = query_rows(tx.engine(), "$1", |rows| {
        let [tenant, id, lease, state, error] = [0, 1, 2, 3, 7].map(|cell| rows.text(cell));
        let [next_at, settled_at, status] = [4, 5, 6].map(|cell| rows.whole(cell));
        let ends = rows.table();
        format!(
            "-- settle_deliveries
             UPDATE deliveries SET state = {state}, next_at = coalesce({next_at}, next_at), settled_at = {settled_at},
                                   last_status = {status}, last_error = {error}, lease_token = NULL
             FROM {ends}
             WHERE tenant_id = {tenant} AND delivery_id = {id} AND state = 'sending' AND lease_token = {lease}
             RETURNING delivery_id"
        )
    });
    Ok(statement.bind(Value::Array(rows).to_string()).fetch_all(&mut *tx).await?)
}

/// Hands a claimed row back, due at once: the process stops before the attempt is over. `false` if the lease was lost.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn release(tx: &mut Tx, claimed: &Claimed, now: Timestamp) -> Result<bool, StorageError> {
    let done = query(
        "-- release_delivery
         UPDATE deliveries SET state = 'due', next_at = $4, lease_token = NULL
         WHERE tenant_id = $1 AND delivery_id = $2 AND state = 'sending' AND lease_token = $3",
    )
    .bind(claimed.tenant_id.as_str())
    .bind(&claimed.delivery_id)
    .bind(&claimed.lease_token)
    .bind(now.as_millis())
    .execute(&mut *tx)
    .await?;
    Ok(done.rows_affected() == 1)
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
    query(
        "-- resume_tenant_deliveries
         UPDATE deliveries SET scheduled_from = $2, next_at = $2, 
                               give_up_at = CASE WHEN give_up_at < $3 THEN $3 ELSE give_up_at END
         WHERE tenant_id = $1 AND state = 'due'",
    )
    .bind(tenant.as_str())
    .bind(now.as_millis())
    .bind(give_up_at.as_millis())
    .execute(&mut *tx)
    .await?;
    Ok(())
}
