//! Whether the bearer of a session token may act: asked of the device's row at every request (SECURITY, "Devices").

use bloonio_wire::code::ErrorCode;
use bloonio_wire::device::DeviceStatus;
use tracing::warn;

use crate::app::SharedApp;
use crate::audit::{Event, Kind};
use crate::push::stream::StreamEvent;
use crate::service::error::ServiceError;
use crate::service::notice::{self, Notice};
use crate::service::profile;
use crate::service::receipt;
use crate::service::tenant::Tenant;
use crate::storage::device::session::{self, Device};
use crate::storage::{audit, device};
use crate::token::Session;

/// A device that may speak to the relay. Whether it may act is [`Bearer::confirmed`]'s to say.
#[derive(Debug, Clone)]
pub struct Bearer {
    /// Its tenant, which is active.
    pub tenant: Tenant,
    /// The device and its pairing.
    pub device: Device,
    /// The token.
    pub session: Session,
}

impl Bearer {
    /// Refuses a device that awaits confirmation: it may refresh and unpair, and nothing else.
    ///
    /// # Errors
    /// `DEVICE_NOT_CONFIRMED`.
    pub fn confirmed(self) -> Result<Self, ServiceError> {
        match self.device.status {
            DeviceStatus::Active => Ok(self),
            _ => Err(ErrorCode::DeviceNotConfirmed.into()),
        }
    }
}

/// What the storage says of a token that this relay has signed.
#[derive(Debug)]
pub enum Standing {
    /// It holds.
    Good(Box<Bearer>),
    /// It was replaced, and its time after that is over.
    Superseded(Box<Tenant>, Box<Device>),
    /// The tenant is suspended.
    Suspended,
    /// The device, its pairing or its tenant is gone.
    Gone,
}

/// Asks the storage whether a token still holds. Changes nothing.
///
/// # Errors
/// [`ServiceError::Storage`].
pub async fn standing(app: &SharedApp, session: &Session) -> Result<Standing, ServiceError> {
    let Session { tenant_id, device_id, generation, .. } = session;
    let now = app.clock.now();
    if now >= session.expires_at {
        return Ok(Standing::Gone);
    }
    let device = session::bearer(app.storage.readers(), tenant_id, device_id, *generation).await?;
    let tenant = app.storage.tenant(&app.sealer, tenant_id).await?;
    let (Some(device), Some(tenant)) = (device, tenant) else { return Ok(Standing::Gone) };
    if !tenant.is_active() {
        // Before anything that would change a row: a suspended tenant's devices are held, and nothing of it is deleted.
        return Ok(Standing::Suspended);
    }
    let in_grace = device.grace_until.is_some_and(|until| now < until);
    if *generation < device.generation && !in_grace {
        return Ok(Standing::Superseded(Box::new(tenant), Box::new(device)));
    }
    if *generation > device.generation {
        return Ok(Standing::Gone);
    }
    Ok(Standing::Good(Box::new(Bearer { tenant, device, session: session.clone() })))
}

/// The bearer of a session token. A token that was replaced more than 60 s ago is in two hands: its device is removed,
/// its pairing's seed deleted, and the others are alerted.
///
/// # Errors
/// `INVALID_DEVICE_TOKEN`, `TENANT_SUSPENDED`.
pub async fn authenticate(app: &SharedApp, token: &str) -> Result<Bearer, ServiceError> {
    let session = app.tokens.read_session(token, app.clock.now()).map_err(|_| ErrorCode::InvalidDeviceToken)?;
    match standing(app, &session).await? {
        Standing::Good(bearer) => Ok(*bearer),
        Standing::Suspended => Err(ErrorCode::TenantSuspended.into()),
        Standing::Gone => Err(ErrorCode::InvalidDeviceToken.into()),
        Standing::Superseded(tenant, device) => {
            remove_stolen(app, &tenant, &device).await?;
            Err(ErrorCode::InvalidDeviceToken.into())
        }
    }
}

async fn remove_stolen(app: &SharedApp, tenant: &Tenant, device: &Device) -> Result<(), ServiceError> {
    let linked_id = &device.pairing.relay_user_linked_id;
    let mut tx = app.storage.begin(&tenant.tenant_id).await?;
    let now = app.clock.now();
    if !device::remove(&mut tx, &tenant.tenant_id, &device.device_id, now).await? {
        return Ok(());
    }
    // Whoever has the token may have the seed, too.
    app.totp.forget(&mut tx, &tenant.tenant_id, linked_id).await?;
    let open = |sealed: &Vec<u8>| profile::open_name(app, &tenant.tenant_id, &device.device_id, sealed);
    let device_name = device.name_sealed.as_ref().map(open).transpose()?;
    let notice = Notice::Stolen { device_id: &device.device_id, device_name: device_name.as_deref() };
    let alert = notice::insert(app, &mut tx, tenant, linked_id, notice, now).await?;
    let event = Event::new(Kind::DeviceRemoved, device.device_id.as_str()).with("cause", "superseded_token");
    audit::append(&mut tx, &tenant.tenant_id, event, now).await?;
    app.storage.commit(tx).await?;
    warn!(
        tenant.id = tenant.tenant_id.as_str(),
        device.id = device.device_id.as_str(),
        "a superseded session token was used; its device was removed"
    );
    app.streams.wake(&(tenant.tenant_id.clone(), linked_id.clone()), StreamEvent::Recheck);
    if let Some(alert) = alert {
        receipt::push_unattended(app, alert);
    }
    Ok(())
}
