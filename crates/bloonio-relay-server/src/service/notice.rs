//! The relay's own alerts: what the existing devices of a pairing must know (SECURITY, "Devices").

use std::time::Duration;

use bloonio_wire::challenge::AlertKind;
use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::{DeviceId, InstructionId, RelayUserLinkedId};

use crate::app::SharedApp;
use crate::push::PushKind;
use crate::service::content::{AlertContent, request_sha256, seal_alert};
use crate::service::error::ServiceError;
use crate::service::prompt::enqueue;
use crate::service::receipt::Subject;
use crate::service::tenant::Tenant;
use crate::storage::alert::{self, NewAlert};
use crate::storage::{Tx, device};

/// As long as such an alert stays in the list: a week, since a waiting device is confirmed from it.
const LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What happened to a device.
#[derive(Debug, Clone, Copy)]
pub enum Notice<'a> {
    /// It was registered, and may or may not act yet.
    Added {
        /// The device.
        device_id: &'a DeviceId,
        /// Its name.
        device_name: Option<&'a str>,
        /// Whether it awaits confirmation.
        waits: bool,
    },
    /// A session token of it that was replaced long ago was used: it was removed.
    Stolen {
        /// The device.
        device_id: &'a DeviceId,
        /// Its name.
        device_name: Option<&'a str>,
    },
}

/// How the ids of the relay's own alerts begin. No tenant may use them: one who did could keep an alert from its user.
const ADDED: &str = "device-added-";
const REMOVED: &str = "device-removed-";

/// Whether an alert of that id is the relay's own.
pub fn is_reserved(notification_id: &str) -> bool {
    notification_id.starts_with(ADDED) || notification_id.starts_with(REMOVED)
}

impl Notice<'_> {
    fn id(&self) -> String {
        match self {
            Self::Added { device_id, .. } => format!("{ADDED}{device_id}"),
            Self::Stolen { device_id, .. } => format!("{REMOVED}{device_id}"),
        }
    }

    fn text(&self) -> (&'static str, String) {
        // What a device calls itself is its own claim: it comes last, and nothing of ours stands behind it.
        let claim = |name: Option<&str>| name.map(|name| format!(" It calls itself: {name}")).unwrap_or_default();
        let (title, text, name) = match *self {
            Self::Added { device_id, device_name, waits: true } => (
                "Confirm a new device",
                format!(
                    "Device {device_id} wants to approve for you. Confirm it only if it is yours; until then it may do \
                     nothing."
                ),
                device_name,
            ),
            Self::Added { device_id, device_name, waits: false } => {
                ("New device", format!("Device {device_id} was added and may approve for you."), device_name)
            }
            Self::Stolen { device_id, device_name } => (
                "Device removed",
                format!(
                    "Device {device_id} was removed, because an old session of it was used again. If it is yours, pair it \
                     anew."
                ),
                device_name,
            ),
        };
        (title, text + &claim(name))
    }
}

/// Writes the alert for the devices that may act at this moment, in the transaction of what it tells. After the commit,
/// [`crate::service::receipt::push_unattended`] sends it; `None` means that there is nobody to tell.
///
/// # Errors
/// [`ServiceError`].
pub async fn insert(
    app: &SharedApp,
    tx: &mut Tx,
    tenant: &Tenant,
    linked_id: &RelayUserLinkedId,
    notice: Notice<'_>,
    now: Timestamp,
) -> Result<Option<Subject>, ServiceError> {
    let (title, body) = notice.text();
    let content = AlertContent {
        tenant_name: tenant.display_name().to_owned(),
        title: title.to_owned(),
        body,
        kind: AlertKind::Security,
    };
    let id = InstructionId::parse(notice.id()).map_err(|error| ServiceError::Internal(Box::new(error)))?;
    let expires_at = now.plus(LIFE);
    let new = NewAlert {
        notification_id: id.as_str(),
        relay_user_linked_id: linked_id,
        request_sha256: request_sha256(&content)?,
        content_sealed: seal_alert(app, &tenant.tenant_id, id.as_str(), &content)?,
        created_at: now,
        expires_at,
    };
    let devices = device::targets(&mut *tx, &tenant.tenant_id, linked_id, now).await?;
    let inserted = alert::insert(tx, &tenant.tenant_id, &new).await?;
    if devices.is_empty() || !inserted {
        return Ok(None);
    }
    let subject = Subject { tenant_id: tenant.tenant_id.clone(), kind: PushKind::SecurityAlert, id };
    enqueue(app, tx, &subject, expires_at, &devices, now).await?;
    Ok(Some(subject))
}
