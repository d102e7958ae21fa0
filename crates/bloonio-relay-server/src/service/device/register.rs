//! POST /device/register-token: a proof becomes a device (PROTOCOL 4, SECURITY "Devices").
//!
//! Proof, pairing, device, seed, alert and callback change in one transaction, or none of them does.

use bloonio_auth_api::totp::Enrolment;
use bloonio_wire::callback::Flow;
use bloonio_wire::clock::Timestamp;
use bloonio_wire::code::ErrorCode;
use bloonio_wire::decision::DeviceKey;
use bloonio_wire::device::{DeviceStatus, PairingInfo, Platform, PreparePairing, Registration, TotpSeed};
use bloonio_wire::id::{DeviceId, RelayUserLinkedId, TenantId, UserSocketHash};
use serde::Serialize;
use tracing::info;

use crate::app::SharedApp;
use crate::audit::{Event, Kind, digest_of};
use crate::outbox::backoff::give_up_at;
use crate::outbox::callback;
use crate::push::PushAddress;
use crate::service::error::ServiceError;
use crate::service::notice::{self, Notice};
use crate::service::profile::{open_offer, seal_name, seal_profile};
use crate::service::receipt;
use crate::service::tenant::{DeviceAddition, Tenant};
use crate::storage::delivery::{self, NewDelivery};
use crate::storage::device::NewDevice;
use crate::storage::pairing::{Pairing, ProofUse};
use crate::storage::{Tx, audit, device, pairing};
use crate::telemetry::AUDIT;
use crate::token::{Proof, SESSION_TTL};

/// A pairing has no more devices than this, those that wait included (PROTOCOL 4).
const MAX_DEVICES: i64 = 10;

/// What a device says of itself; address and platform fit each other.
#[derive(Debug, Clone)]
pub struct Introduction {
    /// What it is.
    pub platform: Platform,
    /// Where it is pushed; none for `stream`.
    pub address: Option<PushAddress>,
    /// For people.
    pub device_name: Option<String>,
    /// Version of the app.
    pub app_version: Option<String>,
    /// The key that will sign its decisions.
    pub device_public_key: Option<DeviceKey>,
}

/// Body of the `pairing-completed` and `device-added` callbacks.
#[derive(Debug, Serialize)]
struct PairingEvent<'a> {
    tenant_id: &'a TenantId,
    user_socket_hash: &'a UserSocketHash,
    backend_user_id: &'a str,
    relay_user_linked_id: &'a RelayUserLinkedId,
    device_id: &'a DeviceId,
    device_status: DeviceStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_public_key: Option<&'a DeviceKey>,
    timestamp: Timestamp,
}

/// Registers a device for the bearer of a proof.
///
/// # Errors
/// `PAIRING_PROOF_USED`, `INVALID_DEVICE_TOKEN` for a voided proof, `TOO_MANY_DEVICES`.
pub async fn register(
    app: &SharedApp,
    tenant: &Tenant,
    proof: &Proof,
    introduction: Introduction,
) -> Result<Registration, ServiceError> {
    let tenant_id = &tenant.tenant_id;
    let mut tx = app.storage.begin(tenant_id).await?;
    let now = app.clock.now();
    let profile = match pairing::take_proof(&mut tx, tenant_id, proof, now).await? {
        ProofUse::Taken(sealed) => open_offer(app, tenant_id, &proof.jti, &sealed)?,
        ProofUse::Used => return Err(ErrorCode::PairingProofUsed.into()),
        ProofUse::Void => return Err(ErrorCode::InvalidDeviceToken.into()),
    };
    let pairing = take_over(app, &mut tx, tenant_id, &profile, now).await?;
    let count = device::count(&mut tx, tenant_id, &pairing.relay_user_linked_id, now).await?;
    if count.registered >= MAX_DEVICES {
        return Err(ErrorCode::TooManyDevices.into());
    }
    let first = count.live == 0;
    let waits = !first && tenant.config.device_addition == DeviceAddition::Confirm;
    let device_id = DeviceId::draw(app.random.as_ref())?;
    let device_name = introduction.device_name.as_deref();
    let new = NewDevice {
        name_sealed: device_name.map(|name| seal_name(app, tenant_id, &device_id, name)).transpose()?,
        device_id,
        relay_user_linked_id: pairing.relay_user_linked_id.clone(),
        platform: introduction.platform,
        status: if waits { DeviceStatus::AwaitingConfirmation } else { DeviceStatus::Active },
        app_version: introduction.app_version,
        device_public_key: introduction.device_public_key,
        address: introduction.address,
    };
    // Before the new device's row is there: the alert is for those that were there first. One that push no longer reaches
    // finds it when its app is opened.
    let alert = if count.registered == 0 {
        None
    } else {
        let notice = Notice::Added { device_id: &new.device_id, device_name, waits };
        notice::insert(app, &mut tx, tenant, &pairing.relay_user_linked_id, notice, now).await?
    };
    device::insert(&mut tx, tenant_id, &new, now).await?;
    if count.active == 0 {
        // Whatever the codes of devices that are gone: the pairing begins anew, and so does its seed.
        app.totp.forget(&mut tx, tenant_id, &pairing.relay_user_linked_id).await?;
    }
    let totp = hand_over_seed(app, &mut tx, tenant, &profile, &new).await?;
    call_back(&mut tx, tenant, (&pairing, &profile), &new, first, now).await?;
    let token = app.tokens.issue_session(app.random.as_ref(), now, tenant_id, &new.device_id, 1)?;
    record(&mut tx, tenant_id, &pairing, &new, first, now).await?;
    app.storage.commit(tx).await?;

    info!(tenant.id = tenant_id.as_str(), device.id = new.device_id.as_str(), first, waits, "a device was registered");
    if totp.is_some() {
        audit_seed(tenant_id, &new);
    }
    app.outbox.wake();
    if let Some(alert) = alert {
        receipt::push_unattended(app, alert);
    }
    Ok(Registration {
        device_session_token: token.expose().to_owned(),
        expires_in: SESSION_TTL.as_secs(),
        pairing: info_of(tenant, pairing, profile, new.device_id),
        device_status: new.status,
        totp,
    })
}

/// Writes the device, and the pairing that it completes, to the audit trail.
async fn record(
    tx: &mut Tx,
    tenant: &TenantId,
    pairing: &Pairing,
    new: &NewDevice,
    first: bool,
    now: Timestamp,
) -> Result<(), ServiceError> {
    let added = Event::new(Kind::DeviceAdded, new.device_id.as_str())
        .with("pairing", pairing.relay_user_linked_id.as_str())
        .with("platform", new.platform.as_str())
        .with("status", new.status.as_str())
        .with("signs", new.device_public_key.is_some());
    audit::append(tx, tenant, added, now).await?;
    if first {
        let completed = Event::new(Kind::PairingCompleted, pairing.relay_user_linked_id.as_str())
            .with("user", digest_of(tenant, pairing.user_socket_hash.as_str()))
            .with("device", new.device_id.as_str());
        audit::append(tx, tenant, completed, now).await?;
    }
    Ok(())
}

fn audit_seed(tenant: &TenantId, new: &NewDevice) {
    info!(
        target: AUDIT,
        operation = "register-token",
        tenant.id = tenant.as_str(),
        pairing.id = new.relay_user_linked_id.as_str(),
        device.id = new.device_id.as_str(),
        "a seed for one-time codes was made and handed over"
    );
}

/// The pairing's seed, made for the first device that may act at once. Further devices get none, and one that waits none
/// ever: this answer is the only one that a seed travels in (PROTOCOL 4; SECURITY, "Devices").
async fn hand_over_seed(
    app: &SharedApp,
    tx: &mut Tx,
    tenant: &Tenant,
    profile: &PreparePairing,
    new: &NewDevice,
) -> Result<Option<TotpSeed>, ServiceError> {
    if new.status != DeviceStatus::Active {
        return Ok(None);
    }
    let enrolment = Enrolment {
        relay_user_linked_id: &new.relay_user_linked_id,
        device_id: &new.device_id,
        issuer: tenant.display_name(),
        account: &profile.display_name,
    };
    let made = app.totp.enrol(tx, &tenant.tenant_id, &enrolment).await?;
    Ok(made.map(|uri| TotpSeed { otpauth_uri: uri.expose().to_owned() }))
}

/// The user's pairing with what the backend says of him now; begun if there is none.
async fn take_over(
    app: &SharedApp,
    tx: &mut Tx,
    tenant: &TenantId,
    profile: &PreparePairing,
    now: Timestamp,
) -> Result<Pairing, ServiceError> {
    if let Some(pairing) = pairing::of_user(&mut *tx, tenant, &profile.user_socket_hash).await? {
        let linked_id = &pairing.relay_user_linked_id;
        pairing::update_profile(tx, tenant, linked_id, &seal_profile(app, tenant, linked_id, profile)?).await?;
        return Ok(pairing);
    }
    let pairing = Pairing {
        relay_user_linked_id: RelayUserLinkedId::draw(app.random.as_ref())?,
        user_socket_hash: profile.user_socket_hash.clone(),
    };
    let sealed = seal_profile(app, tenant, &pairing.relay_user_linked_id, profile)?;
    pairing::insert(tx, tenant, &pairing, &sealed, now).await?;
    Ok(pairing)
}

/// `pairing-completed` where the pairing had no live device, else `device-added`.
async fn call_back(
    tx: &mut Tx,
    tenant: &Tenant,
    (pairing, profile): (&Pairing, &PreparePairing),
    new: &NewDevice,
    first: bool,
    now: Timestamp,
) -> Result<(), ServiceError> {
    let flow = if first { Flow::PairingCompleted } else { Flow::DeviceAdded };
    let Some(url) = callback::target(&tenant.config, None, flow) else { return Ok(()) };
    let event = PairingEvent {
        tenant_id: &tenant.tenant_id,
        user_socket_hash: &pairing.user_socket_hash,
        backend_user_id: &profile.backend_user_id,
        relay_user_linked_id: &pairing.relay_user_linked_id,
        device_id: &new.device_id,
        device_status: new.status,
        device_public_key: new.device_public_key.as_ref(),
        timestamp: now,
    };
    let new = NewDelivery {
        subject_id: new.device_id.as_str().to_owned(),
        flow,
        url,
        payload: serde_json::to_string(&event)?,
        created_at: now,
        give_up_at: give_up_at(now, None),
    };
    delivery::insert(tx, &tenant.tenant_id, &new).await?;
    Ok(())
}

fn info_of(tenant: &Tenant, pairing: Pairing, profile: PreparePairing, device_id: DeviceId) -> PairingInfo {
    PairingInfo {
        tenant_id: tenant.tenant_id.clone(),
        tenant_name: tenant.display_name().to_owned(),
        user_socket_hash: pairing.user_socket_hash,
        relay_user_linked_id: pairing.relay_user_linked_id,
        device_id,
        display_name: profile.display_name,
        display_logo_url: profile.display_logo_url,
    }
}
