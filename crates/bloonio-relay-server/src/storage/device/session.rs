//! The rows behind session tokens: who bears one, and which generation still works (SECURITY, "Devices").

use bloonio_wire::clock::Timestamp;
use bloonio_wire::decision::DeviceKey;
use bloonio_wire::device::{DeviceStatus, Platform};
use bloonio_wire::id::{DeviceId, TenantId};

use super::address_parts;
use crate::push::PushAddress;
use crate::storage::db::{On, Row, query};
use crate::storage::pairing::{self, Pairing};
use crate::storage::{StorageError, Tx};

/// A device that was not removed, with its pairing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Names it.
    pub device_id: DeviceId,
    /// How it is reached.
    pub platform: Platform,
    /// Whether it may act.
    pub status: DeviceStatus,
    /// What people call it, sealed.
    pub name_sealed: Option<Vec<u8>>,
    /// The key that signs its decisions.
    pub device_public_key: Option<DeviceKey>,
    /// Its pairing.
    pub pairing: Pairing,
    /// The generation of its newest session token.
    pub generation: i64,
    /// Until when the asked generation works, if it is an older one that was superseded lately.
    pub grace_until: Option<Timestamp>,
}

fn device(row: &Row) -> Result<Device, StorageError> {
    let corrupt = || StorageError::Corrupt("device");
    let text = |name| Ok::<String, StorageError>(row.get(name)?);
    let key: Option<String> = row.get("device_public_key")?;
    Ok(Device {
        device_id: text("device_id")?.parse().map_err(|_| corrupt())?,
        platform: text("platform")?.parse().map_err(|_| corrupt())?,
        status: text("status")?.parse().map_err(|_| corrupt())?,
        name_sealed: row.get("name_sealed")?,
        device_public_key: key.map(|key| serde_json::from_str(&key)).transpose().map_err(|_| corrupt())?,
        pairing: pairing::pairing(row)?,
        generation: row.get("generation")?,
        grace_until: row.get::<Option<i64>>("grace_until")?.map(Timestamp::from_millis),
    })
}

/// The device that a session token names, as long as neither it nor its pairing is gone.
///
/// # Errors
/// [`StorageError`].
pub async fn bearer(
    db: impl Into<On<'_>>,
    tenant: &TenantId,
    device_id: &DeviceId,
    generation: i64,
) -> Result<Option<Device>, StorageError> {
    let row = query(
        "-- session_bearer
         SELECT d.device_id, d.platform, d.status, d.name_sealed, d.device_public_key, d.generation,
                g.until AS grace_until, p.relay_user_linked_id, p.user_socket_hash
         FROM devices d
         JOIN pairings p ON p.tenant_id = d.tenant_id AND p.relay_user_linked_id = d.relay_user_linked_id
         LEFT JOIN device_grace g
           ON g.tenant_id = d.tenant_id AND g.device_id = d.device_id AND g.generation = $3
         WHERE d.tenant_id = $1 AND d.device_id = $2 AND d.status <> 'removed' AND p.revoked_at IS NULL",
    )
    .bind(tenant.as_str())
    .bind(device_id.as_str())
    .bind(generation)
    .fetch_optional(db)
    .await?;
    row.as_ref().map(device).transpose()
}

/// Replaces the push address and begins a new generation, which is answered; `None` means that the device is gone. The
/// generation before it works until `grace_until`.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn refresh(
    tx: &mut Tx,
    tenant: &TenantId,
    device_id: &DeviceId,
    address: Option<&PushAddress>,
    now: Timestamp,
    grace_until: Timestamp,
) -> Result<Option<i64>, StorageError> {
    let (kind, address, state) = address_parts(address);
    let generation: Option<i64> = query(
        "-- refresh_device
         UPDATE devices SET generation = generation + 1, address_kind = $3, address = $4, address_state = $5,
                            address_reason = NULL, address_changed_at = $6, last_seen_at = $6
         WHERE tenant_id = $1 AND device_id = $2 AND status <> 'removed'
         RETURNING generation",
    )
    .bind(tenant.as_str())
    .bind(device_id.as_str())
    .bind(kind)
    .bind(address)
    .bind(state)
    .bind(now.as_millis())
    .fetch_value(&mut *tx)
    .await?;
    let Some(generation) = generation else { return Ok(None) };
    query("-- forget_lapsed_grace\nDELETE FROM device_grace WHERE tenant_id = $1 AND device_id = $2 AND until <= $3")
        .bind(tenant.as_str())
        .bind(device_id.as_str())
        .bind(now.as_millis())
        .execute(&mut *tx)
        .await?;
    query(
        "-- insert_grace\nINSERT INTO device_grace (tenant_id, device_id, generation, until) VALUES ($1, $2, $3, $4)",
    )
    .bind(tenant.as_str())
    .bind(device_id.as_str())
    .bind(generation - 1)
    .bind(grace_until.as_millis())
    .execute(&mut *tx)
    .await?;
    Ok(Some(generation))
}
