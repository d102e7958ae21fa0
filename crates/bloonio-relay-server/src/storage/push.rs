//! Rows of `pushes`: the delivery status of each device, and the queue of messages still to be sent.
//!
//! A row is written in the transaction of the prompt, already under lease: the caller's process makes the first attempt at
//! once, without a claim, and if it dies the lease lapses and the push worker takes over. `stream` devices need no
//! message: for them a prompt is delivered once it is durable (PROTOCOL 5).

pub mod hold;
pub mod status;

use std::str::FromStr;

use bloonio_wire::clock::Timestamp;
use bloonio_wire::device::Platform;
use bloonio_wire::id::{DeviceId, RelayUserLinkedId, TenantId};
use serde_json::{Value, json};
use tracing::error;

use self::status::PushState;
use super::delivery::Lease;
use super::{Storage, StorageError, Tx, hold_queue};
use crate::push::{PushAddress, PushKind, PushTarget};
use crate::storage::db::{Row, query, query_rows};

/// What shall be pushed.
#[derive(Debug, Clone, Copy)]
pub struct NewPush<'a> {
    /// What it is about.
    pub kind: PushKind,
    /// Instruction id, or notification id.
    pub subject_id: &'a str,
    /// End of its life; exclusive.
    pub expires_at: Timestamp,
}

/// A message to one device, as its row and the device's row tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushJob {
    /// Whose prompt.
    pub tenant_id: TenantId,
    /// What it is about.
    pub kind: PushKind,
    /// Instruction id, or notification id.
    pub subject_id: String,
    /// The device.
    pub device_id: DeviceId,
    /// Its pairing.
    pub relay_user_linked_id: RelayUserLinkedId,
    /// How it is reached.
    pub platform: Platform,
    /// Its address, if it has a live one.
    pub address: Option<PushAddress>,
    /// End of the message's life.
    pub expires_at: Timestamp,
    /// Attempts so far, the claimed one included.
    pub attempts: i64,
    /// Where the message stands.
    pub state: PushState,
    /// The lease's token; `None` once the row is settled.
    pub lease_token: Option<String>,
    /// The push service's name of the message, once it is accepted.
    pub message_id: Option<String>,
    /// When it was delivered.
    pub sent_at: Option<Timestamp>,
}

/// How an attempt that failed ends a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// Again at this instant.
    Due(Timestamp),
    /// Never again.
    Failed,
}

/// What becomes of an address that the push service refused (PUSH.md 1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retirement {
    /// Gone or malformed.
    Dead,
    /// Another project's.
    Quarantined,
}

impl Retirement {
    /// The address's state as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Quarantined => "quarantined",
        }
    }
}

impl FromStr for Retirement {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "dead" => Ok(Self::Dead),
            "quarantined" => Ok(Self::Quarantined),
            _ => Err("must be dead or quarantined"),
        }
    }
}

/// Writes one row a device: `stream` devices delivered, the others under `lease` with their first attempt counted. Call
/// [`crate::push::Pusher::first_attempts`] after the commit.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn enqueue(
    tx: &mut Tx,
    tenant: &TenantId,
    new: NewPush<'_>,
    devices: &[PushTarget],
    now: Timestamp,
    lease: &Lease,
) -> Result<(), StorageError> {
    let devices: Vec<_> = devices.iter().map(|device| [device.device_id.as_str(), device.platform.as_str()]).collect();
    query_rows(tx.engine(), "$9", |devices| {
        let (table, device_id, platform) = (devices.table(), devices.text(0), devices.text(1));
        format!(
            "-- enqueue_pushes
             INSERT INTO pushes (tenant_id, subject_id, kind, device_id, platform, state, attempts, next_at, lease_until,
                                 lease_token, expires_at, sent_at)
             SELECT $1, $2, $3, {device_id}, {platform}, CASE {platform} WHEN $4 THEN 'delivered' ELSE 'sending' END, 1, $5,
                    CASE {platform} WHEN $4 THEN NULL ELSE $6 END, CASE {platform} WHEN $4 THEN NULL ELSE $7 END, $8,
                    CASE {platform} WHEN $4 THEN $5 END
             FROM {table} WHERE true
             ON CONFLICT DO NOTHING"
        )
    })
    .bind(tenant.as_str())
    .bind(new.subject_id)
    .bind(new.kind.as_str())
    .bind(Platform::Stream.as_str())
    .bind(now.as_millis())
    .bind(lease.until.as_millis())
    .bind(&lease.token)
    .bind(new.expires_at.as_millis())
    .bind(json!(devices).to_string())
    .execute(&mut *tx)
    .await?;
    Ok(())
}

const JOBS: &str = "SELECT p.tenant_id, p.subject_id, p.kind, p.device_id, p.platform, p.state, p.attempts,
        p.expires_at, p.lease_token, p.fcm_message_id, p.sent_at, d.relay_user_linked_id,
        CASE WHEN d.address_state = 'live' AND d.status = 'active' THEN d.address_kind END AS address_kind,
        CASE WHEN d.address_state = 'live' AND d.status = 'active' THEN d.address END AS address
    FROM pushes p JOIN devices d ON d.tenant_id = p.tenant_id AND d.device_id = p.device_id";

fn job(row: &Row) -> Result<PushJob, StorageError> {
    let corrupt = || StorageError::Corrupt("push");
    let text = |name| Ok::<String, StorageError>(row.get(name)?);
    let address = match (row.get::<Option<String>>("address_kind")?, row.get("address")?) {
        (Some(kind), Some(value)) => Some(PushAddress::of_kind(&kind, value).ok_or_else(corrupt)?),
        _ => None,
    };
    Ok(PushJob {
        tenant_id: TenantId::parse(text("tenant_id")?).map_err(|_| corrupt())?,
        kind: PushKind::from_name(&text("kind")?).ok_or_else(corrupt)?,
        subject_id: text("subject_id")?,
        device_id: DeviceId::parse(text("device_id")?).map_err(|_| corrupt())?,
        relay_user_linked_id: RelayUserLinkedId::parse(text("relay_user_linked_id")?).map_err(|_| corrupt())?,
        platform: text("platform")?.parse().map_err(|_| corrupt())?,
        address,
        expires_at: Timestamp::from_millis(row.get("expires_at")?),
        attempts: row.get("attempts")?,
        state: PushState::from_name(&text("state")?).ok_or_else(corrupt)?,
        lease_token: row.get("lease_token")?,
        message_id: row.get("fcm_message_id")?,
        sent_at: row.get::<Option<i64>>("sent_at")?.map(Timestamp::from_millis),
    })
}

/// The rows of a subject, by device.
///
/// # Errors
/// [`StorageError`].
pub async fn jobs(
    storage: &Storage,
    tenant: &TenantId,
    kind: PushKind,
    subject_id: &str,
) -> Result<Vec<PushJob>, StorageError> {
    let statement = format!(
        "-- push_jobs\n{JOBS} WHERE p.tenant_id = $1 AND p.subject_id = $2 AND p.kind = $3 ORDER BY p.device_id"
    );
    let rows = query(statement)
        .bind(tenant.as_str())
        .bind(subject_id)
        .bind(kind.as_str())
        .fetch_all(storage.readers())
        .await?;
    rows.iter().map(job).collect()
}

/// Claims what is due for another attempt, and what a lapsed lease has left behind; of active tenants, and never after a
/// prompt was answered or withdrawn or is over: such rows end here. One that cannot be read ends, too, with an alarm: it
/// must hold up no other.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn claim(storage: &Storage, now: Timestamp, lease: &Lease, limit: u32) -> Result<Vec<PushJob>, StorageError> {
    let mut tx = storage.begin_shared().await?;
    hold_queue(&mut tx, "pushes").await?;
    query(
        "-- expire_pushes
         UPDATE pushes SET state = 'expired', lease_until = NULL, lease_token = NULL
         WHERE state IN ('due', 'sending') AND (state = 'due' OR lease_until <= $1)
           AND (expires_at <= $1 OR (kind = 'auth_challenge' AND EXISTS (
               SELECT 1 FROM prompts q
               WHERE q.tenant_id = pushes.tenant_id AND q.instruction_id = pushes.subject_id AND q.status <> 'pending'
           )))",
    )
    .bind(now.as_millis())
    .execute(&mut tx)
    .await?;
    query(
        "-- claim_pushes
         UPDATE pushes SET state = 'sending', attempts = attempts + 1, lease_until = $2, lease_token = $3
         WHERE (tenant_id, subject_id, kind, device_id) IN (
             SELECT p.tenant_id, p.subject_id, p.kind, p.device_id FROM pushes p
             JOIN tenants t ON t.tenant_id = p.tenant_id AND t.status = 'active'
             WHERE p.state IN ('due', 'sending')
               AND ((p.state = 'due' AND p.next_at <= $1) OR (p.state = 'sending' AND p.lease_until <= $1))
             ORDER BY p.next_at LIMIT $4
         )",
    )
    .bind(now.as_millis())
    .bind(lease.until.as_millis())
    .bind(&lease.token)
    .bind(limit)
    .execute(&mut tx)
    .await?;
    let statement = format!("-- claimed_pushes\n{JOBS} WHERE p.state IN ('due', 'sending') AND p.lease_token = $1");
    let rows = query(statement).bind(&lease.token).fetch_all(&mut tx).await?;
    let mut readable = Vec::with_capacity(rows.len());
    for row in &rows {
        match job(row) {
            Ok(job) => readable.push(job),
            Err(StorageError::Corrupt(_)) => give_up(&mut tx, row).await?,
            Err(failure) => return Err(failure),
        }
    }
    tx.commit().await?;
    Ok(readable)
}

async fn give_up(tx: &mut Tx, row: &Row) -> Result<(), StorageError> {
    let key = |name| row.get::<String>(name);
    error!(tenant.id = key("tenant_id")?, "a push in the queue cannot be read; it is given up");
    query(
        "-- give_up_unreadable_push
         UPDATE pushes SET state = 'failed', error = 'unreadable', lease_until = NULL, lease_token = NULL
         WHERE tenant_id = $1 AND subject_id = $2 AND kind = $3 AND device_id = $4",
    )
    .bind(key("tenant_id")?)
    .bind(key("subject_id")?)
    .bind(key("kind")?)
    .bind(key("device_id")?)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Ends a claim after an attempt that failed; `false` means that the lease was lost meanwhile and nothing was changed.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn settle(tx: &mut Tx, job: &PushJob, settlement: Settlement, error: &str) -> Result<bool, StorageError> {
    let (state, next_at) = match settlement {
        Settlement::Due(at) => ("due", Some(at.as_millis())),
        Settlement::Failed => ("failed", None),
    };
    let done = query(
        "-- settle_push
         UPDATE pushes SET state = $6, next_at = coalesce($7, next_at), error = $8, lease_until = NULL, lease_token = NULL
         WHERE tenant_id = $1 AND subject_id = $2 AND kind = $3 AND device_id = $4
           AND state = 'sending' AND lease_token = $5",
    )
    .bind(job.tenant_id.as_str())
    .bind(&job.subject_id)
    .bind(job.kind.as_str())
    .bind(job.device_id.as_str())
    .bind(job.lease_token.as_deref())
    .bind(state)
    .bind(next_at)
    .bind(error)
    .execute(&mut *tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A message that was accepted: its claim, the push service's name of it, and when.
pub type Accepted<'a> = (&'a PushJob, &'a str, Timestamp);

/// Ends the claims of messages that were accepted, all in one statement; gives how many still had their lease.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn settle_accepted(tx: &mut Tx, accepted: &[Accepted<'_>]) -> Result<u64, StorageError> {
    if accepted.is_empty() {
        return Ok(0);
    }
    let row = |(job, message_id, at): &Accepted<'_>| {
        let key = [job.tenant_id.as_str(), &job.subject_id, job.kind.as_str(), job.device_id.as_str()];
        json!([key[0], key[1], key[2], key[3], job.lease_token, message_id, at.as_millis()])
    };
    let done = query_rows(tx.engine(), "$1", |rows| {
        let [tenant, subject, kind, device, lease, message_id] = [0, 1, 2, 3, 4, 5].map(|cell| rows.text(cell));
        format!(
            "-- settle_accepted_pushes
             UPDATE pushes SET state = 'delivered', fcm_message_id = {message_id}, error = NULL, sent_at = {sent_at},
                               lease_until = NULL, lease_token = NULL
             FROM {accepted}
             WHERE tenant_id = {tenant} AND subject_id = {subject} AND kind = {kind} AND device_id = {device}
               AND state = 'sending' AND lease_token = {lease}",
            sent_at = rows.whole(6),
            accepted = rows.table(),
        )
    })
    .bind(Value::from_iter(accepted.iter().map(row)).to_string())
    .execute(&mut *tx)
    .await?;
    Ok(done.rows_affected())
}

/// Takes an address out of use, with the reason; the row keeps it, so that a wrong verdict can be undone. An address that
/// the device has replaced meanwhile is left alone, even by itself in the other kind: asking for a registration token makes
/// FCM forget the installation id, and the other way round.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn retire_address(
    tx: &mut Tx,
    tenant: &TenantId,
    device: &DeviceId,
    address: &PushAddress,
    to: (Retirement, &str),
    now: Timestamp,
) -> Result<bool, StorageError> {
    let done = query(
        "-- retire_address
         UPDATE devices SET address_state = $4, address_reason = $5, address_changed_at = $6
         WHERE tenant_id = $1 AND device_id = $2 AND address = $3 AND address_kind = $7 AND address_state = 'live'",
    )
    .bind(tenant.as_str())
    .bind(device.as_str())
    .bind(address.value())
    .bind(to.0.as_str())
    .bind(to.1)
    .bind(now.as_millis())
    .bind(address.kind())
    .execute(&mut *tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Prepares the queue when the process starts: a row whose lease ends before `leased_until` was claimed by a process that
/// is no more, so it is due at once. Rows born since the start have later leases and are left to their first attempt.
/// Beside other processes nothing is prepared: their leases are alive, and those of the dead lapse.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn resume(storage: &Storage, now: Timestamp, leased_until: Timestamp) -> Result<u64, StorageError> {
    if storage.is_shared() {
        return Ok(0);
    }
    let found = query(
        "-- reclaim_pushes
         UPDATE pushes SET state = 'due', next_at = $1, lease_until = NULL, lease_token = NULL
         WHERE state IN ('due', 'sending') AND state = 'sending' AND lease_until < $2",
    )
    .bind(now.as_millis())
    .bind(leased_until.as_millis())
    .execute(storage.writer())
    .await?;
    Ok(found.rows_affected())
}

/// How many rows are due or lapsed, and the next instant after now at which another one is.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn outlook(storage: &Storage, now: Timestamp) -> Result<(i64, Option<Timestamp>), StorageError> {
    let row = query(
        "-- push_outlook
         SELECT count(CASE WHEN q.at <= $1 THEN 1 END), min(CASE WHEN q.at > $1 THEN q.at END) FROM (
             SELECT CASE state WHEN 'due' THEN next_at ELSE lease_until END AS at
             FROM pushes WHERE state IN ('due', 'sending')
         ) AS q",
    )
    .bind(now.as_millis())
    .fetch_one(storage.readers())
    .await?;
    Ok((row.at(0)?, row.at::<Option<i64>>(1)?.map(Timestamp::from_millis)))
}
