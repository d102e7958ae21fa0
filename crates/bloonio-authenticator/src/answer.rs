//! Turns a person's decision into a response that the device's key has signed (SECURITY, "Devices").

use std::fmt;

use bloonio_wire::challenge::{Challenge, DeviceResponse};
use bloonio_wire::clock::Clock;
use bloonio_wire::decision::{Decision, DeviceKey, DeviceSigningKey, challenge_sha256};
use bloonio_wire::device::PairingInfo;
use bloonio_wire::random::{Random, RandomError};
use zeroize::Zeroizing;

/// What a person decided about a prompt.
#[derive(Clone, Default)]
pub struct Answer {
    approved: bool,
    selected_number: Option<i64>,
    totp_code: Option<String>,
    reason: Option<String>,
}

/// Without number, code and words: they are the person's.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("approved", &self.approved).finish_non_exhaustive()
    }
}

impl Answer {
    /// Yes.
    pub fn approve() -> Self {
        Self { approved: true, ..Self::default() }
    }

    /// No.
    pub fn deny() -> Self {
        Self::default()
    }

    /// The number that the protected page shows, for `goldenNumber`.
    #[must_use]
    pub fn with_number(mut self, number: Option<i64>) -> Self {
        self.selected_number = number;
        self
    }

    /// The code, for `totp`.
    #[must_use]
    pub fn with_totp(mut self, code: Option<String>) -> Self {
        self.totp_code = code;
        self
    }

    /// The person's words.
    #[must_use]
    pub fn with_reason(mut self, reason: Option<String>) -> Self {
        self.reason = reason;
        self
    }
}

/// The prompt belongs to another tenant than the pairing it was fetched with. It is never answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the prompt names another tenant than this pairing")]
pub struct ForeignPrompt;

/// Who this device is in one pairing, and its key.
#[derive(Debug)]
pub struct DeviceIdentity {
    pairing: PairingInfo,
    key: DeviceSigningKey,
}

impl DeviceIdentity {
    /// The device of `pairing` that registered the public half of `key`.
    pub fn new(pairing: PairingInfo, key: DeviceSigningKey) -> Self {
        Self { pairing, key }
    }

    /// Draws a key for a device that is about to register: the key, and its bytes to keep.
    ///
    /// # Errors
    /// [`RandomError`] when the source fails.
    pub fn draw_key(random: &dyn Random) -> Result<(DeviceSigningKey, Zeroizing<[u8; 32]>), RandomError> {
        loop {
            let mut bytes = Zeroizing::new([0u8; 32]);
            random.fill(bytes.as_mut_slice())?;
            // One draw in 2^32 is not below the order of P-256.
            if let Ok(key) = DeviceSigningKey::from_bytes(&bytes) {
                return Ok((key, bytes));
            }
        }
    }

    /// The pairing.
    pub fn pairing(&self) -> &PairingInfo {
        &self.pairing
    }

    /// The key that the device has registered.
    pub fn public_key(&self) -> DeviceKey {
        self.key.public()
    }

    /// The signed response to `challenge`, as fetched, for the relay. Whoever answers the backend itself instead
    /// (PROTOCOL 9.4) adds the prompt's `response_token`, which is no business of the relay's.
    ///
    /// # Errors
    /// [`ForeignPrompt`].
    pub fn respond(
        &self,
        challenge: &Challenge,
        answer: &Answer,
        clock: &dyn Clock,
    ) -> Result<DeviceResponse, ForeignPrompt> {
        if challenge.tenant_id != self.pairing.tenant_id {
            return Err(ForeignPrompt);
        }
        let decided_at = clock.now().as_millis();
        let decision = Decision {
            tenant_id: self.pairing.tenant_id.as_str(),
            instruction_id: challenge.instruction_id.as_str(),
            device_id: self.pairing.device_id.as_str(),
            user_socket_hash: self.pairing.user_socket_hash.as_str(),
            custom_type: challenge.custom_type,
            approved: answer.approved,
            selected_number: answer.selected_number,
            challenge_sha256: challenge_sha256(challenge),
            challenge_digest: challenge.challenge_digest.as_deref(),
            decided_at,
        };
        Ok(DeviceResponse {
            instruction_id: challenge.instruction_id.clone(),
            approved: answer.approved,
            custom_type: challenge.custom_type,
            totp_code: answer.totp_code.clone(),
            selected_number: answer.selected_number,
            reason: answer.reason.clone(),
            response_token: None,
            decided_at: Some(decided_at),
            signature: Some(self.key.sign(&decision)),
        })
    }
}
