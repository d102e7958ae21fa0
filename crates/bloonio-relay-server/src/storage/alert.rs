//! Rows of `alerts`: passive notices (PROTOCOL 5), the tenants' and the relay's own.

use std::ops::RangeInclusive;

use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::{DeviceId, RelayUserLinkedId, TenantId};

use super::{Storage, StorageError, Tx};
use crate::storage::db::{On, Row, query};

/// A notice to be stored.
#[derive(Debug)]
pub struct NewAlert<'a> {
    /// Names it.
    pub notification_id: &'a str,
    /// Whom it tells.
    pub relay_user_linked_id: &'a RelayUserLinkedId,
    /// Tells another request under the same name.
    pub request_sha256: [u8; 32],
    /// What it says, sealed.
    pub content_sealed: Vec<u8>,
    /// When it was sent.
    pub created_at: Timestamp,
    /// First instant at which it leaves the list.
    pub expires_at: Timestamp,
}

/// A stored notice.
#[derive(Debug, Clone)]
pub struct StoredAlert {
    /// Names it.
    pub notification_id: String,
    /// SHA-256 of the request.
    pub request_sha256: Vec<u8>,
    /// What it says, sealed.
    pub content_sealed: Vec<u8>,
    /// When it was sent.
    pub created_at: Timestamp,
    /// First instant at which it leaves the list.
    pub expires_at: Timestamp,
    /// The `PushReceipt` as JSON, once the first attempts are over.
    pub receipt: Option<String>,
}

const COLUMNS: &str =
    "SELECT notification_id, request_sha256, content_sealed, created_at, expires_at, receipt FROM alerts";

fn alert(row: &Row) -> Result<StoredAlert, StorageError> {
    let time = |name| Ok::<_, StorageError>(Timestamp::from_millis(row.get(name)?));
    Ok(StoredAlert {
        notification_id: row.get("notification_id")?,
        request_sha256: row.get("request_sha256")?,
        content_sealed: row.get("content_sealed")?,
        created_at: time("created_at")?,
        expires_at: time("expires_at")?,
        receipt: row.get("receipt")?,
    })
}

/// Stores a notice, unless the tenant has one of that name: then `false`, and nothing is changed.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn insert(tx: &mut Tx, tenant: &TenantId, new: &NewAlert<'_>) -> Result<bool, StorageError> {
    let done = query(
        "-- insert_alert
         INSERT INTO alerts (tenant_id, notification_id, relay_user_linked_id, request_sha256, content_sealed,
                             created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT DO NOTHING",
    )
    .bind(tenant.as_str())
    .bind(new.notification_id)
    .bind(new.relay_user_linked_id.as_str())
    .bind(new.request_sha256.as_slice())
    .bind(&new.content_sealed)
    .bind(new.created_at.as_millis())
    .bind(new.expires_at.as_millis())
    .execute(&mut *tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The tenant's notice of that name.
///
/// # Errors
/// [`StorageError`].
pub async fn get(
    db: impl Into<On<'_>>,
    tenant: &TenantId,
    notification: &str,
) -> Result<Option<StoredAlert>, StorageError> {
    let statement = format!("-- alert\n{COLUMNS} WHERE tenant_id = $1 AND notification_id = $2");
    let row = query(statement).bind(tenant.as_str()).bind(notification).fetch_optional(db).await?;
    row.as_ref().map(alert).transpose()
}

/// A pairing's notices that are not over, newest first.
///
/// # Errors
/// [`StorageError`].
pub async fn current(
    storage: &Storage,
    tenant: &TenantId,
    linked_id: &RelayUserLinkedId,
    now: Timestamp,
) -> Result<Vec<StoredAlert>, StorageError> {
    let statement = format!(
        "-- current_alerts\n{COLUMNS} WHERE tenant_id = $1 AND relay_user_linked_id = $2 AND expires_at > $3
         ORDER BY created_at DESC, notification_id LIMIT 200"
    );
    let rows = query(statement)
        .bind(tenant.as_str())
        .bind(linked_id.as_str())
        .bind(now.as_millis())
        .fetch_all(storage.readers())
        .await?;
    rows.iter().map(alert).collect()
}

/// Keeps what the first attempts came to; the first receipt stands.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn set_receipt(
    storage: &Storage,
    tenant: &TenantId,
    notification: &str,
    receipt: &str,
) -> Result<(), StorageError> {
    query(
        "-- set_alert_receipt
         UPDATE alerts SET receipt = $3 WHERE tenant_id = $1 AND notification_id = $2 AND receipt IS NULL",
    )
    .bind(tenant.as_str())
    .bind(notification)
    .bind(receipt)
    .execute(storage.writer())
    .await?;
    Ok(())
}

/// The notices sent to a device that it has not looked at, oldest first, with their ends.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn unseen(
    storage: &Storage,
    tenant: &TenantId,
    device: &DeviceId,
    now: Timestamp,
) -> Result<Vec<(String, Timestamp)>, StorageError> {
    let rows = query(
        "-- unseen_alerts
         SELECT a.notification_id, a.expires_at FROM alerts a
         JOIN devices d ON d.tenant_id = a.tenant_id AND d.relay_user_linked_id = a.relay_user_linked_id
         JOIN pushes p ON p.tenant_id = a.tenant_id AND p.subject_id = a.notification_id
          AND p.kind = 'security_alert' AND p.device_id = d.device_id
         WHERE d.tenant_id = $1 AND d.device_id = $2 AND a.expires_at > $3 AND p.seen_at IS NULL
         ORDER BY a.created_at, a.notification_id LIMIT 200",
    )
    .bind(tenant.as_str())
    .bind(device.as_str())
    .bind(now.as_millis())
    .fetch_all(storage.readers())
    .await?;
    rows.iter().map(|row| Ok((row.at(0)?, Timestamp::from_millis(row.at(1)?)))).collect()
}

/// Records that a device has looked at the notices made in the time that was `shown`; the first look stands.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn mark_seen(
    storage: &Storage,
    tenant: &TenantId,
    device: &DeviceId,
    shown: RangeInclusive<Timestamp>,
    now: Timestamp,
) -> Result<(), StorageError> {
    if unseen(storage, tenant, device, now).await?.is_empty() {
        // Most looks: nothing to write, and no turn at the writer.
        return Ok(());
    }
    query(
        "-- mark_alerts_seen
         UPDATE pushes SET seen_at = $3
         WHERE tenant_id = $1 AND device_id = $2 AND kind = 'security_alert' AND seen_at IS NULL
           AND subject_id IN (
               SELECT a.notification_id FROM alerts a
               JOIN devices d ON d.tenant_id = a.tenant_id AND d.relay_user_linked_id = a.relay_user_linked_id
               WHERE d.tenant_id = $1 AND d.device_id = $2 AND a.expires_at > $3
                 AND a.created_at BETWEEN $4 AND $5
           )",
    )
    .bind(tenant.as_str())
    .bind(device.as_str())
    .bind(now.as_millis())
    .bind(shown.start().as_millis())
    .bind(shown.end().as_millis())
    .execute(storage.writer())
    .await?;
    Ok(())
}
