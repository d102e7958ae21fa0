//! `confirm-device`, `refresh` and `unpair`: the pairings themselves.

use bloonio_authenticator::error::{Advice, ClientError};
use bloonio_wire::device::Platform;
use bloonio_wire::id::{DeviceId, TenantId};
use bloonio_wire::secret::Secret;
use serde_json::{Value, json};

use crate::error::PhoneError;
use crate::phone::Phone;
use crate::state::Pairing;

pub async fn confirm(
    phone: &Phone,
    device_id: &DeviceId,
    approved: bool,
    tenant: Option<&TenantId>,
) -> Result<(), PhoneError> {
    let mut refused = None;
    for pairing in phone.some_pairings(tenant).await? {
        match phone.device(&pairing)?.confirm_device(device_id, approved).await {
            Ok(()) => {
                let value = json!({"device_id": device_id, "approved": approved, "recorded": true});
                let done = if approved { "may act now" } else { "stays out" };
                return Ok(phone.output.print(&value, &format!("The device {device_id} {done} ({pairing})."))?);
            }
            // The device of another pairing; a pairing that is over cannot tell.
            Err(error) if error.status() == Some(404) || error.advice() == Advice::PairAgain => {
                refused.get_or_insert(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(refused.map_or(PhoneError::NotPaired(""), PhoneError::Client))
}

pub async fn refresh(phone: &Phone, fcm_token: Option<Secret>, tenant: Option<&TenantId>) -> Result<(), PhoneError> {
    phone.some_pairings(tenant).await?;
    let mut locked = phone.lock().await?;
    let mut done = Vec::new();
    for i in 0..locked.state.pairings.len() {
        let mut pairing = locked.state.pairings[i].clone();
        if !pairing.is_of(tenant) {
            continue;
        }
        if fcm_token.is_some() && pairing.platform != Platform::Stream {
            pairing.fcm_token.clone_from(&fcm_token);
        }
        let session = phone.device(&pairing)?.refresh(&pairing.push_address()).await?;
        pairing.renew(&session, phone.clock.now());
        done.push(named(&pairing));
        locked.state.pairings[i] = pairing;
        // Each at once: the former token dies in a minute, whatever becomes of the next relay.
        locked.save()?;
    }
    report(phone, "refreshed", &done)
}

pub async fn unpair(phone: &Phone, force: bool, tenant: Option<&TenantId>) -> Result<(), PhoneError> {
    phone.some_pairings(tenant).await?;
    let mut locked = phone.lock().await?;
    let meant: Vec<_> = locked.state.pairings.iter().filter(|pairing| pairing.is_of(tenant)).cloned().collect();
    let mut done = Vec::new();
    let mut failed = None;
    for pairing in meant {
        match phone.device(&pairing)?.unpair().await {
            Err(error) if !force && !is_over(&error) => {
                failed.get_or_insert(error);
                continue;
            }
            Ok(()) | Err(_) => {}
        }
        locked.state.remove(&pairing.info.device_id);
        locked.save()?;
        done.push(named(&pairing));
    }
    match failed {
        Some(error) => Err(error.into()),
        None => report(phone, "unpaired", &done),
    }
}

/// Whether the relay no longer knows this device anyway.
fn is_over(error: &ClientError) -> bool {
    error.advice() == Advice::PairAgain
}

fn named(pairing: &Pairing) -> (Value, String) {
    let info = &pairing.info;
    let ids = json!({
        "tenant_id": info.tenant_id, "user_socket_hash": info.user_socket_hash, "device_id": info.device_id
    });
    (ids, pairing.to_string())
}

fn report(phone: &Phone, what: &str, done: &[(Value, String)]) -> Result<(), PhoneError> {
    let items: Vec<_> = done.iter().map(|(ids, _)| ids).collect();
    let value = json!({what: true, "items": items, "count": items.len()});
    let lines: Vec<_> = done.iter().map(|(_, name)| format!("{what}: {name}")).collect();
    Ok(phone.output.print(&value, &lines.join("\n"))?)
}
