//! What the rows of `pushes` tell a tenant: which device got the message, and which has looked at it.

use bloonio_wire::clock::Timestamp;
use bloonio_wire::device::Platform;
use bloonio_wire::id::{DeviceId, TenantId};

use crate::push::PushKind;
use crate::storage::db::{Row, query};
use crate::storage::{Storage, StorageError};

/// Where a message to a device stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushState {
    /// Waits for its next attempt.
    Due,
    /// An attempt is under way.
    Sending,
    /// The push service took it, or the device needs none.
    Delivered,
    /// It was refused, or all attempts failed.
    Failed,
    /// It ran out of time, or was answered or withdrawn first.
    Expired,
}

impl PushState {
    /// Every state.
    pub const ALL: &'static [Self] = &[Self::Due, Self::Sending, Self::Delivered, Self::Failed, Self::Expired];

    /// The state as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Sending => "sending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.as_str() == name)
    }
}

/// One device's line of a delivery status (PROTOCOL 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushRow {
    /// The device.
    pub device_id: DeviceId,
    /// How it is reached.
    pub platform: Platform,
    /// Where its message stands.
    pub state: PushState,
    /// FCM's name of the message.
    pub fcm_message_id: Option<String>,
    /// What the last attempt failed of: a stable word.
    pub error: Option<String>,
    /// Attempts so far.
    pub attempts: i64,
    /// When it was taken.
    pub sent_at: Option<Timestamp>,
    /// When the device fetched what it is about.
    pub seen_at: Option<Timestamp>,
    /// The device's address at present, whatever its state.
    pub address: Option<String>,
}

fn push(row: &Row) -> Result<PushRow, StorageError> {
    let corrupt = || StorageError::Corrupt("push");
    let text = |name| Ok::<String, StorageError>(row.get(name)?);
    let time = |name| Ok::<_, StorageError>(row.get::<Option<i64>>(name)?.map(Timestamp::from_millis));
    Ok(PushRow {
        device_id: DeviceId::parse(text("device_id")?).map_err(|_| corrupt())?,
        platform: text("platform")?.parse().map_err(|_| corrupt())?,
        state: PushState::from_name(&text("state")?).ok_or_else(corrupt)?,
        fcm_message_id: row.get("fcm_message_id")?,
        error: row.get("error")?,
        attempts: row.get("attempts")?,
        sent_at: time("sent_at")?,
        seen_at: time("seen_at")?,
        address: row.get("address")?,
    })
}

/// The lines of a subject, by device.
///
/// # Errors
/// [`StorageError`].
pub async fn list(
    storage: &Storage,
    tenant: &TenantId,
    kind: PushKind,
    subject_id: &str,
) -> Result<Vec<PushRow>, StorageError> {
    let rows = query(
        "-- list_pushes
         SELECT p.device_id, p.platform, p.state, p.fcm_message_id, p.error, p.attempts, p.sent_at, p.seen_at, d.address
         FROM pushes p LEFT JOIN devices d ON d.tenant_id = p.tenant_id AND d.device_id = p.device_id
         WHERE p.tenant_id = $1 AND p.subject_id = $2 AND p.kind = $3 ORDER BY p.device_id",
    )
    .bind(tenant.as_str())
    .bind(subject_id)
    .bind(kind.as_str())
    .fetch_all(storage.readers())
    .await?;
    rows.iter().map(push).collect()
}

/// Records that a device has fetched a subject; the first time stands.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn mark_seen(
    storage: &Storage,
    tenant: &TenantId,
    kind: PushKind,
    subject_id: &str,
    device: &DeviceId,
    now: Timestamp,
) -> Result<(), StorageError> {
    query(
        "-- mark_push_seen
         UPDATE pushes SET seen_at = $5
         WHERE tenant_id = $1 AND subject_id = $2 AND kind = $3 AND device_id = $4 AND seen_at IS NULL",
    )
    .bind(tenant.as_str())
    .bind(subject_id)
    .bind(kind.as_str())
    .bind(device.as_str())
    .bind(now.as_millis())
    .execute(storage.writer())
    .await?;
    Ok(())
}
