//! Reads the answers to the calls that [`RelayClient`](crate::RelayClient) has of its own.

use bloonio_wire::challenge::PushReceipt;
use bloonio_wire::device::PairingOffer;
use bloonio_wire::id::{InstructionId, TenantId};
use bloonio_wire::qr::PairingUri;
use bloonio_wire::secret::Secret;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::client::read::{ABOUT_ANOTHER, NOT_OF_THE_PROTOCOL, acknowledged, data};
use crate::client::{Outcome, RelayError};
use crate::engine::Event;

/// A prompt that is not open any more, because it was withdrawn or was over before.
pub(super) fn cancelled(data: &Value, asked: &InstructionId) -> Result<(), RelayError> {
    acknowledged(data, &[("instruction_id", asked.as_str())])?;
    match data["status"].as_str() {
        None | Some("cancelled" | "expired") => Ok(()),
        Some(_) => Err(RelayError::Unreadable("its status is unknown")),
    }
}

pub(super) fn receipt(found: Value, asked: Option<&InstructionId>) -> Result<PushReceipt, RelayError> {
    let receipt: PushReceipt = data(found)?;
    if asked.is_some_and(|asked| receipt.instruction_id != asked.as_str()) {
        return Err(ABOUT_ANOTHER);
    }
    Ok(receipt)
}

/// A relay that gives no `pairing_uri` gives all that it is made of.
pub(super) fn pairing_offer(mut found: Value, relay: &Url) -> Result<PairingOffer, RelayError> {
    if let (Some(proof), true) = (found["pairing_proof"].as_str(), found["pairing_uri"].is_null()) {
        let uri = PairingUri { relay: relay.clone(), proof: Secret::new(proof) }.to_text();
        found["pairing_uri"] = uri.into();
    }
    let offer: PairingOffer = data(found)?;
    if offer.pairing_proof.is_empty() { Err(NOT_OF_THE_PROTOCOL) } else { Ok(offer) }
}

/// `{"ok": true}`, and nothing else is a yes.
pub(super) fn totp_ok(data: &Value) -> Result<bool, RelayError> {
    if data["ok"] == Value::Bool(true) { Ok(true) } else { Err(NOT_OF_THE_PROTOCOL) }
}

/// An id in the answer must be the one asked for: an old answer, signed well, may not stand in for another.
pub(super) fn outcome(found: Value, asked: &InstructionId, tenant: &TenantId) -> Result<Outcome, RelayError> {
    if found["instruction_id"] != asked.as_str() {
        return Err(ABOUT_ANOTHER);
    }
    match found["status"].as_str() {
        Some("pending") => Ok(Outcome::Pending),
        Some("expired") => Ok(Outcome::Expired),
        Some("cancelled") => Ok(Outcome::Cancelled),
        Some("decided") => decided(found, tenant),
        _ => Err(RelayError::Unreadable("its status is unknown")),
    }
}

fn decided(found: Value, tenant: &TenantId) -> Result<Outcome, RelayError> {
    let incomplete = |_| RelayError::Unreadable("its event is incomplete");
    // What `outcome` and `event_id` say is checked here: the event that is handed on has neither.
    if !Event::deserialize(&found).map_err(incomplete)?.is_coherent() {
        return Err(RelayError::Unreadable("its event contradicts itself"));
    }
    let event: Box<bloonio_wire::callback::ApprovalEvent> =
        Box::new(serde_json::from_value(found).map_err(incomplete)?);
    if event.tenant_id == *tenant { Ok(Outcome::Decided(event)) } else { Err(ABOUT_ANOTHER) }
}
