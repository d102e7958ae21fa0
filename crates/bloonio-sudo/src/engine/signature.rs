//! Decisions signed by the device itself, checked with the key that was pinned when it was paired (SECURITY, "Devices").

use bloonio_wire::decision::Decision;

use super::{SudoEngine, short_hash};
use crate::instruction::Instruction;
use crate::store::StoreError;

/// What a device says it decided, and its signature.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Signed<'a> {
    /// The device; unknown where it answers the backend itself.
    pub(crate) device_id: Option<&'a str>,
    pub(crate) approved: bool,
    pub(crate) selected_number: Option<i64>,
    /// Unix milliseconds, by the device's clock.
    pub(crate) decided_at: Option<i64>,
    /// SHA-256 of the prompt as the device received it, hex. It is the device's own word; what was asked is bound by the
    /// challenge digest, which is signed too.
    pub(crate) challenge_sha256: Option<&'a str>,
    pub(crate) signature: Option<&'a str>,
}

/// What a signature is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// There is none, or no key to check it with.
    None,
    /// This device of the user decided so.
    Device(String),
    /// It contradicts the pinned key.
    Broken,
}

impl SudoEngine {
    /// Checks a decision's signature with the pinned keys of the user who was asked.
    pub(crate) async fn proof(&self, of: &Instruction, signed: Signed<'_>) -> Result<Proof, StoreError> {
        let Some(signature) = signed.signature else { return Ok(Proof::None) };
        let tenant = self.settings().tenant_id();
        let devices = self.inner.device_keys.devices(tenant, &of.user).await?;
        let named = |device_id: &str| signed.device_id.is_none_or(|named| named == device_id);
        let mut proof = Proof::None;
        for device in devices.iter().filter(|device| named(&device.device_id)) {
            let Some(key) = &device.device_public_key else { continue };
            let digest = signed.challenge_sha256.and_then(|text| hex::decode(text).ok()?.try_into().ok());
            let (Some(challenge_sha256), Some(decided_at)) = (digest, signed.decided_at) else {
                return Ok(Proof::Broken);
            };
            let decision = Decision {
                tenant_id: tenant.as_str(),
                instruction_id: of.instruction_id.as_str(),
                device_id: &device.device_id,
                user_socket_hash: of.user.as_str(),
                custom_type: of.custom_type,
                approved: signed.approved,
                selected_number: signed.selected_number,
                challenge_sha256,
                challenge_digest: Some(&of.challenge_digest),
                decided_at,
            };
            if key.verify(&decision, signature).is_ok() {
                return Ok(Proof::Device(device.device_id.clone()));
            }
            proof = Proof::Broken;
        }
        if proof == Proof::Broken {
            tracing::error!(instruction = %short_hash(&of.instruction_id), "a decision's signature does not hold");
        }
        Ok(proof)
    }

    /// Whether a decision may count with this proof: a denial always, and an approval if it is proven wherever the engine
    /// requires that.
    pub(crate) fn suffices(&self, proof: &Proof, approved: bool) -> bool {
        !approved
            || match proof {
                Proof::Broken => false,
                Proof::None => !self.inner.require_device_signature,
                Proof::Device(_) => true,
            }
    }
}
