//! What the relay knows of people, as it is stored: sealed, each bound to its own row.

use bloonio_wire::device::PreparePairing;
use bloonio_wire::id::{DeviceId, RelayUserLinkedId, TenantId};

use crate::app::App;
use crate::service::content::{open, seal};
use crate::service::error::ServiceError;
use crate::storage::StorageError;

/// Seals what an offer says of the user, until a device takes the offer.
///
/// # Errors
/// [`ServiceError::Internal`].
pub fn seal_offer(app: &App, tenant: &TenantId, jti: &str, profile: &PreparePairing) -> Result<Vec<u8>, ServiceError> {
    seal(app, &["pairing-proof", tenant.as_str(), jti], profile)
}

/// Opens what an offer says of the user.
///
/// # Errors
/// [`ServiceError::Internal`], [`ServiceError::Storage`].
pub fn open_offer(app: &App, tenant: &TenantId, jti: &str, sealed: &[u8]) -> Result<PreparePairing, ServiceError> {
    open(app, &["pairing-proof", tenant.as_str(), jti], sealed)
}

/// Seals what the tenant says of the user of a pairing.
///
/// # Errors
/// [`ServiceError::Internal`].
pub fn seal_profile(
    app: &App,
    tenant: &TenantId,
    linked_id: &RelayUserLinkedId,
    profile: &PreparePairing,
) -> Result<Vec<u8>, ServiceError> {
    seal(app, &["pairing-profile", tenant.as_str(), linked_id.as_str()], profile)
}

/// Seals a device's name.
///
/// # Errors
/// [`ServiceError::Internal`].
pub fn seal_name(app: &App, tenant: &TenantId, device: &DeviceId, name: &str) -> Result<Vec<u8>, ServiceError> {
    Ok(app.sealer.seal(app.random.as_ref(), &["device-name", tenant.as_str(), device.as_str()], name.as_bytes())?)
}

/// Opens a device's name.
///
/// # Errors
/// [`ServiceError::Internal`], [`ServiceError::Storage`].
pub fn open_name(app: &App, tenant: &TenantId, device: &DeviceId, sealed: &[u8]) -> Result<String, ServiceError> {
    let plain = app.sealer.open(&["device-name", tenant.as_str(), device.as_str()], sealed)?;
    let name = std::str::from_utf8(&plain).map_err(|_| StorageError::Corrupt("device name"))?;
    Ok(name.to_owned())
}
