//! `totp`, and the code of an approval: one-time codes from the seed in the phone's memory.

use bloonio_wire::id::TenantId;
use bloonio_wire::secret::Secret;
use serde_json::json;

use crate::error::PhoneError;
use crate::phone::Phone;
use crate::state::Pairing;

/// Prints the current code of every pairing whose seed this phone has.
pub async fn show(phone: &Phone, tenant: Option<&TenantId>) -> Result<(), PhoneError> {
    let pairings = phone.some_pairings(tenant).await?;
    let mut shown = 0;
    for pairing in pairings {
        let Some(maker) = pairing.code_maker() else { continue };
        let current = maker?.code_at(phone.clock.now());
        // One that was used passes nowhere any more: whoever is to type one waits for the next.
        let used = pairing.last_totp_step.is_some_and(|last| current.step <= last);
        let value = json!({
            "tenant_id": pairing.info.tenant_id, "tenant_name": pairing.info.tenant_name,
            "relay_user_linked_id": pairing.info.relay_user_linked_id,
            "code": current.code.expose(), "seconds_left": current.seconds_left, "used": used
        });
        let note = if used { " (used: wait for the next one)" } else { "" };
        let text = format!("{} {:>2} s  {pairing}{note}", current.code.expose(), current.seconds_left);
        phone.output.print(&value, &text)?;
        shown += 1;
    }
    if shown == 0 { Err(PhoneError::NoSeed) } else { Ok(()) }
}

/// A code for an approval. It counts as used from now on, whatever becomes of the approval: two commands at once never send
/// the same one, and three that the relay refuses would deny the prompt.
pub async fn spend(phone: &Phone, pairing: &Pairing) -> Result<Secret, PhoneError> {
    let mut locked = phone.lock().await?;
    let pairing = locked.state.pairing_mut(&pairing.info.device_id).ok_or(PhoneError::NotPaired(""))?;
    let maker = pairing.code_maker().ok_or(PhoneError::NoSeed)??;
    let unused = maker.unused_code(phone.clock.now(), pairing.last_totp_step)?;
    pairing.last_totp_step = Some(unused.step);
    locked.save()?;
    Ok(unused.code)
}
