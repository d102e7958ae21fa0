//! The device's side of pairing: refreshing a session, leaving, and letting a further device in (PROTOCOL 4).

pub mod register;

use std::time::Duration;

use bloonio_wire::code::ErrorCode;
use bloonio_wire::device::DeviceStatus;
use bloonio_wire::id::DeviceId;
use serde::Serialize;
use tracing::info;
use utoipa::ToSchema;

use crate::app::SharedApp;
use crate::audit::{Event, Kind};
use crate::push::PushAddress;
use crate::push::stream::StreamEvent;
use crate::service::error::ServiceError;
use crate::service::session::Bearer;
use crate::storage::audit;
use crate::storage::device::{self, session};
use crate::token::SESSION_TTL;

/// How long a replaced session token still works (PROTOCOL 4).
const GRACE: Duration = Duration::from_secs(60);

/// Answer to POST /device/refresh-token.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Refreshed {
    /// JWT, 30 days.
    pub device_session_token: String,
    /// Seconds that it lives.
    pub expires_in: u64,
    /// The device.
    pub device_id: DeviceId,
    /// Whether it may act.
    pub device_status: DeviceStatus,
}

/// Answer to POST /device/unpair and /device/confirm-device.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DeviceChanged {
    /// The device.
    pub device_id: DeviceId,
    /// What it is now.
    pub status: DeviceStatus,
}

/// Replaces the push address and the session token; the old token works for 60 s more.
///
/// # Errors
/// `INVALID_DEVICE_TOKEN` if the device is removed meanwhile.
pub async fn refresh(
    app: &SharedApp,
    bearer: &Bearer,
    address: Option<&PushAddress>,
) -> Result<Refreshed, ServiceError> {
    let Bearer { tenant, device, .. } = bearer;
    let mut tx = app.storage.begin(&tenant.tenant_id).await?;
    let now = app.clock.now();
    let (tenant_id, device_id) = (&tenant.tenant_id, &device.device_id);
    let generation = session::refresh(&mut tx, tenant_id, device_id, address, now, now.plus(GRACE)).await?;
    let generation = generation.ok_or(ErrorCode::InvalidDeviceToken)?;
    let token = app.tokens.issue_session(app.random.as_ref(), now, tenant_id, device_id, generation)?;
    let event = Event::new(Kind::DeviceRefreshed, device_id.as_str())
        .with("generation", generation)
        .with("address", address.is_some());
    audit::append(&mut tx, tenant_id, event, now).await?;
    app.storage.commit(tx).await?;
    Ok(Refreshed {
        device_session_token: token.expose().to_owned(),
        expires_in: SESSION_TTL.as_secs(),
        device_id: device_id.clone(),
        device_status: device.status,
    })
}

/// Removes the calling device. Its pairing stays; the seed of its codes, as long as another device may act.
///
/// # Errors
/// `INVALID_DEVICE_TOKEN` if it is removed meanwhile.
pub async fn unpair(app: &SharedApp, bearer: &Bearer) -> Result<DeviceChanged, ServiceError> {
    let Bearer { tenant, device, .. } = bearer;
    let linked_id = &device.pairing.relay_user_linked_id;
    let mut tx = app.storage.begin(&tenant.tenant_id).await?;
    let now = app.clock.now();
    if !device::remove(&mut tx, &tenant.tenant_id, &device.device_id, now).await? {
        return Err(ErrorCode::InvalidDeviceToken.into());
    }
    // Nobody is left who may approve: then no code does, either.
    if device::count(&mut tx, &tenant.tenant_id, linked_id, now).await?.active == 0 {
        app.totp.forget(&mut tx, &tenant.tenant_id, linked_id).await?;
    }
    let event = Event::new(Kind::DeviceRemoved, device.device_id.as_str()).with("cause", "left");
    audit::append(&mut tx, &tenant.tenant_id, event, now).await?;
    app.storage.commit(tx).await?;
    info!(tenant.id = tenant.tenant_id.as_str(), device.id = device.device_id.as_str(), "a device has left");
    wake_streams(app, bearer);
    Ok(DeviceChanged { device_id: device.device_id.clone(), status: DeviceStatus::Removed })
}

/// An existing device lets a waiting one act, or turns it away for good.
///
/// # Errors
/// `NOT_FOUND` for a device that is not of this pairing, `ALREADY_DECIDED` for one that does not wait.
pub async fn confirm(
    app: &SharedApp,
    bearer: &Bearer,
    waiting: &DeviceId,
    approved: bool,
) -> Result<DeviceChanged, ServiceError> {
    let (tenant_id, pairing) = (&bearer.tenant.tenant_id, &bearer.device.pairing);
    let linked_id = &pairing.relay_user_linked_id;
    let mut tx = app.storage.begin(tenant_id).await?;
    // The caller may have been removed since it was authenticated; the transaction is the truth.
    if device::status(&mut tx, tenant_id, linked_id, &bearer.device.device_id).await? != Some(DeviceStatus::Active) {
        return Err(ErrorCode::InvalidDeviceToken.into());
    }
    match device::status(&mut tx, tenant_id, linked_id, waiting).await? {
        None => return Err(ErrorCode::NotFound.into()),
        Some(DeviceStatus::AwaitingConfirmation) => (),
        Some(_) => return Err(ErrorCode::AlreadyDecided.into()),
    }
    let (changed, status) = match approved {
        true => (device::confirm(&mut tx, tenant_id, linked_id, waiting).await?, DeviceStatus::Active),
        false => (device::remove(&mut tx, tenant_id, waiting, app.clock.now()).await?, DeviceStatus::Removed),
    };
    if !changed {
        return Err(ErrorCode::AlreadyDecided.into());
    }
    let kind = if approved { Kind::DeviceConfirmed } else { Kind::DeviceRefused };
    let event = Event::new(kind, waiting.as_str()).with("by", bearer.device.device_id.as_str());
    audit::append(&mut tx, tenant_id, event, app.clock.now()).await?;
    app.storage.commit(tx).await?;
    info!(tenant.id = tenant_id.as_str(), device.id = waiting.as_str(), approved, "a waiting device was decided on");
    wake_streams(app, bearer);
    Ok(DeviceChanged { device_id: waiting.clone(), status })
}

fn wake_streams(app: &SharedApp, bearer: &Bearer) {
    let linked_id = bearer.device.pairing.relay_user_linked_id.clone();
    app.streams.wake(&(bearer.tenant.tenant_id.clone(), linked_id), StreamEvent::Recheck);
}
