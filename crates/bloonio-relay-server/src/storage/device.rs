//! Rows of `devices` (PROTOCOL 4): register, find the bearer of a session, refresh, remove, confirm.

pub mod revival;
pub mod session;
pub mod silence;

use bloonio_wire::clock::Timestamp;
use bloonio_wire::decision::DeviceKey;
use bloonio_wire::device::{DeviceStatus, Platform};
use bloonio_wire::id::{DeviceId, RelayUserLinkedId, TenantId};

use super::{StorageError, Tx};
use crate::push::{PushAddress, PushTarget};
use crate::storage::db::{On, Row, query};
use crate::token::SESSION_TTL;

/// A device to be registered.
#[derive(Debug, Clone)]
pub struct NewDevice {
    /// Names it, for good.
    pub device_id: DeviceId,
    /// Its pairing.
    pub relay_user_linked_id: RelayUserLinkedId,
    /// How it is reached.
    pub platform: Platform,
    /// Whether it may act at once.
    pub status: DeviceStatus,
    /// What people call it, sealed.
    pub name_sealed: Option<Vec<u8>>,
    /// Version of the app.
    pub app_version: Option<String>,
    /// The key that signs its decisions.
    pub device_public_key: Option<DeviceKey>,
    /// Its push address; none for `stream`.
    pub address: Option<PushAddress>,
}

/// How many devices a pairing has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceCount {
    /// Not removed, whether they may act or not.
    pub registered: i64,
    /// Those that may act.
    pub active: i64,
    /// Those that may act, and whose address no push service has declared gone.
    pub live: i64,
}

fn address_parts(address: Option<&PushAddress>) -> (Option<&'static str>, Option<&str>, &'static str) {
    match address {
        None => (None, None, "none"),
        Some(PushAddress::Token(value)) => (Some("token"), Some(value), "live"),
        Some(PushAddress::Fid(value)) => (Some("fid"), Some(value), "live"),
    }
}

/// Registers a device, in its first generation.
///
/// # Errors
/// [`StorageError`].
pub async fn insert(tx: &mut Tx, tenant: &TenantId, new: &NewDevice, now: Timestamp) -> Result<(), StorageError> {
    let (kind, address, state) = address_parts(new.address.as_ref());
    let key = new.device_public_key.as_ref().map(serde_json::to_string).transpose();
    query(
        "-- insert_device
         INSERT INTO devices (tenant_id, device_id, relay_user_linked_id, platform, status, name_sealed, app_version,
                              device_public_key, address_kind, address, address_state, address_changed_at, generation,
                              created_at, last_seen_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1, $12, $12)",
    )
    .bind(tenant.as_str())
    .bind(new.device_id.as_str())
    .bind(new.relay_user_linked_id.as_str())
    .bind(new.platform.as_str())
    .bind(new.status.as_str())
    .bind(new.name_sealed.clone())
    .bind(&new.app_version)
    .bind(key.map_err(|_| StorageError::Corrupt("device key"))?)
    .bind(kind)
    .bind(address)
    .bind(state)
    .bind(now.as_millis())
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Counts a pairing's devices. One whose session has run out can do nothing any more, and counts for nothing.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn count(
    tx: &mut Tx,
    tenant: &TenantId,
    linked_id: &RelayUserLinkedId,
    now: Timestamp,
) -> Result<DeviceCount, StorageError> {
    let row = query(
        "-- count_devices
         SELECT count(*), count(*) FILTER (WHERE status = 'active'),
                count(*) FILTER (WHERE status = 'active' AND address_state <> 'dead')
         FROM devices
         WHERE tenant_id = $1 AND relay_user_linked_id = $2 AND status <> 'removed' AND last_seen_at > $3",
    )
    .bind(tenant.as_str())
    .bind(linked_id.as_str())
    .bind(now.minus(SESSION_TTL).as_millis())
    .fetch_one(&mut *tx)
    .await?;
    Ok(DeviceCount { registered: row.at(0)?, active: row.at(1)?, live: row.at(2)? })
}

fn target(row: &Row) -> Result<PushTarget, StorageError> {
    let corrupt = || StorageError::Corrupt("device");
    let text = |name| Ok::<String, StorageError>(row.get(name)?);
    Ok(PushTarget {
        device_id: text("device_id")?.parse().map_err(|_| corrupt())?,
        platform: text("platform")?.parse().map_err(|_| corrupt())?,
        relay_user_linked_id: text("relay_user_linked_id")?.parse().map_err(|_| corrupt())?,
    })
}

/// The devices that can be told something: those that may act, have a session left to act with, and can be reached.
///
/// # Errors
/// [`StorageError`].
pub async fn targets(
    db: impl Into<On<'_>>,
    tenant: &TenantId,
    linked_id: &RelayUserLinkedId,
    now: Timestamp,
) -> Result<Vec<PushTarget>, StorageError> {
    let rows = query(
        "-- push_targets
         SELECT device_id, platform, relay_user_linked_id FROM devices
         WHERE tenant_id = $1 AND relay_user_linked_id = $2 AND status = 'active'
           AND (platform = 'stream' OR address_state = 'live') AND last_seen_at > $3
         ORDER BY created_at, device_id",
    )
    .bind(tenant.as_str())
    .bind(linked_id.as_str())
    .bind(now.minus(SESSION_TTL).as_millis())
    .fetch_all(db)
    .await?;
    rows.iter().map(target).collect()
}

/// Removes a device for good and forgets its address; `false` means that it was removed before.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn remove(tx: &mut Tx, tenant: &TenantId, device: &DeviceId, now: Timestamp) -> Result<bool, StorageError> {
    let done = query(
        "-- remove_device
         UPDATE devices SET status = 'removed', removed_at = $3, address_kind = NULL, address = NULL,
                            address_state = 'none', address_changed_at = $3
         WHERE tenant_id = $1 AND device_id = $2 AND status <> 'removed'",
    )
    .bind(tenant.as_str())
    .bind(device.as_str())
    .bind(now.as_millis())
    .execute(&mut *tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Removes all devices of a pairing; answers how many there were.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn remove_all(
    tx: &mut Tx,
    tenant: &TenantId,
    linked_id: &RelayUserLinkedId,
    now: Timestamp,
) -> Result<u64, StorageError> {
    let done = query(
        "-- remove_devices_of_pairing
         UPDATE devices SET status = 'removed', removed_at = $3, address_kind = NULL, address = NULL,
                            address_state = 'none', address_changed_at = $3
         WHERE tenant_id = $1 AND relay_user_linked_id = $2 AND status <> 'removed'",
    )
    .bind(tenant.as_str())
    .bind(linked_id.as_str())
    .bind(now.as_millis())
    .execute(&mut *tx)
    .await?;
    Ok(done.rows_affected())
}

/// Lets a waiting device of the pairing act; `false` means that no such device waits.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn confirm(
    tx: &mut Tx,
    tenant: &TenantId,
    linked_id: &RelayUserLinkedId,
    device: &DeviceId,
) -> Result<bool, StorageError> {
    let done = query(
        "-- confirm_device
         UPDATE devices SET status = 'active'
         WHERE tenant_id = $1 AND relay_user_linked_id = $2 AND device_id = $3 AND status = 'awaiting_confirmation'",
    )
    .bind(tenant.as_str())
    .bind(linked_id.as_str())
    .bind(device.as_str())
    .execute(&mut *tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Where a device of the pairing stands; `None` means that the pairing has no such device.
///
/// # Errors
/// [`StorageError`].
pub async fn status(
    tx: &mut Tx,
    tenant: &TenantId,
    linked_id: &RelayUserLinkedId,
    device: &DeviceId,
) -> Result<Option<DeviceStatus>, StorageError> {
    let status: Option<String> = query(
        "-- device_status
         SELECT status FROM devices WHERE tenant_id = $1 AND relay_user_linked_id = $2 AND device_id = $3",
    )
    .bind(tenant.as_str())
    .bind(linked_id.as_str())
    .bind(device.as_str())
    .fetch_value(&mut *tx)
    .await?;
    status.map(|status| status.parse().map_err(|_| StorageError::Corrupt("device"))).transpose()
}
