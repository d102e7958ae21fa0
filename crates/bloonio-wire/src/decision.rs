//! What a device signs when a person decides (SECURITY, "Devices"): ES256 over a length-prefixed sequence.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::Digest;

use crate::challenge::{Challenge, CustomType};
use crate::digest::Framed;

/// Everything that a decision's signature covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<'a> {
    /// The tenant.
    pub tenant_id: &'a str,
    /// The approval.
    pub instruction_id: &'a str,
    /// The signing device.
    pub device_id: &'a str,
    /// The user of the pairing.
    pub user_socket_hash: &'a str,
    /// How it was approved.
    pub custom_type: CustomType,
    /// The answer.
    pub approved: bool,
    /// The number, for `goldenNumber`.
    pub selected_number: Option<i64>,
    /// [`challenge_sha256`] of the prompt as received.
    pub challenge_sha256: [u8; 32],
    /// The backend's digest, as received.
    pub challenge_digest: Option<&'a str>,
    /// When, Unix milliseconds.
    pub decided_at: i64,
}

impl Decision<'_> {
    fn framed(&self) -> Framed {
        let mut framed = Framed::new("bloonio-decision-v1");
        framed
            .text(self.tenant_id)
            .text(self.instruction_id)
            .text(self.device_id)
            .text(self.user_socket_hash)
            .text(self.custom_type.as_str())
            .text(if self.approved { "true" } else { "false" })
            .text(&self.selected_number.map(|n| n.to_string()).unwrap_or_default())
            .part(&self.challenge_sha256)
            .text(self.challenge_digest.unwrap_or_default())
            .text(&self.decided_at.to_string());
        framed
    }
}

/// SHA-256 of a prompt as a device received it: the RFC 8785 form of its fields without `status`, `response_token` and
/// `backend_url`, which belong to the fetching and not to what is asked.
pub fn challenge_sha256(challenge: &Challenge) -> [u8; 32] {
    let mut value = serde_json::to_value(challenge).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        for name in ["status", "response_token", "backend_url"] {
            object.remove(name);
        }
    }
    let canonical = serde_json_canonicalizer::to_vec(&value).unwrap_or_default();
    sha2::Sha256::digest(canonical).into()
}

/// A text that is not a P-256 public key, or not a signature of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeviceKeyError {
    /// Not a JWK of a point on P-256.
    #[error("must be a public JWK with kty EC, crv P-256, x and y")]
    NotAKey,
    /// The signature does not hold.
    #[error("the signature does not match")]
    Mismatch,
}

/// A device's public key as a JWK (RFC 7517), P-256.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeviceKey {
    /// `EC`.
    pub kty: String,
    /// `P-256`.
    pub crv: String,
    /// First coordinate, base64url.
    pub x: String,
    /// Second coordinate, base64url.
    pub y: String,
}

impl DeviceKey {
    /// Checks that this is a point on the curve.
    ///
    /// # Errors
    /// [`DeviceKeyError::NotAKey`].
    pub fn check(&self) -> Result<(), DeviceKeyError> {
        self.verifying_key().map(|_| ())
    }

    fn verifying_key(&self) -> Result<VerifyingKey, DeviceKeyError> {
        if self.kty != "EC" || self.crv != "P-256" {
            return Err(DeviceKeyError::NotAKey);
        }
        let mut point = vec![4u8];
        for coordinate in [&self.x, &self.y] {
            let bytes = URL_SAFE_NO_PAD.decode(coordinate).map_err(|_| DeviceKeyError::NotAKey)?;
            if bytes.len() != 32 {
                return Err(DeviceKeyError::NotAKey);
            }
            point.extend_from_slice(&bytes);
        }
        VerifyingKey::from_sec1_bytes(&point).map_err(|_| DeviceKeyError::NotAKey)
    }

    /// Verifies a decision's signature (64 bytes r and s, base64url without padding).
    ///
    /// # Errors
    /// [`DeviceKeyError`].
    pub fn verify(&self, decision: &Decision<'_>, signature: &str) -> Result<(), DeviceKeyError> {
        let bytes = URL_SAFE_NO_PAD.decode(signature).map_err(|_| DeviceKeyError::Mismatch)?;
        let signature = Signature::from_slice(&bytes).map_err(|_| DeviceKeyError::Mismatch)?;
        self.verifying_key()?.verify(decision.framed().as_bytes(), &signature).map_err(|_| DeviceKeyError::Mismatch)
    }
}

/// A device's private key. Kept by the device alone.
pub struct DeviceSigningKey(SigningKey);

impl std::fmt::Debug for DeviceSigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeviceSigningKey(redacted)")
    }
}

impl DeviceSigningKey {
    /// Takes a private key from 32 random bytes.
    ///
    /// # Errors
    /// [`DeviceKeyError::NotAKey`] for the few values that are no key (zero and the curve's order upwards).
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, DeviceKeyError> {
        SigningKey::from_slice(bytes).map(Self).map_err(|_| DeviceKeyError::NotAKey)
    }

    /// The public half, for registration.
    pub fn public(&self) -> DeviceKey {
        let point = self.0.verifying_key().to_sec1_point(false);
        let encode =
            |part: Option<_>| part.map(|bytes: &p256::FieldBytes| URL_SAFE_NO_PAD.encode(bytes)).unwrap_or_default();
        DeviceKey { kty: "EC".into(), crv: "P-256".into(), x: encode(point.x()), y: encode(point.y()) }
    }

    /// Signs a decision.
    pub fn sign(&self, decision: &Decision<'_>) -> String {
        let signature: Signature = self.0.sign(decision.framed().as_bytes());
        URL_SAFE_NO_PAD.encode(signature.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn decision() -> Decision<'static> {
        Decision {
            tenant_id: "tnt_1",
            instruction_id: "instr",
            device_id: "dev",
            user_socket_hash: "user",
            custom_type: CustomType::LocalAuth,
            approved: true,
            selected_number: None,
            challenge_sha256: [7; 32],
            challenge_digest: None,
            decided_at: 5,
        }
    }

    #[test]
    fn signature_holds_for_this_decision_alone() {
        let key = DeviceSigningKey::from_bytes(&[9; 32]).unwrap();
        let signature = key.sign(&decision());
        assert_eq!(key.public().verify(&decision(), &signature), Ok(()));
        for other in [
            Decision { approved: false, ..decision() },
            Decision { instruction_id: "instr2", ..decision() },
            Decision { device_id: "", instruction_id: "instrdev", ..decision() },
            Decision { selected_number: Some(5), ..decision() },
            Decision { challenge_sha256: [8; 32], ..decision() },
            Decision { challenge_digest: Some("d"), ..decision() },
            Decision { decided_at: 6, ..decision() },
        ] {
            assert_eq!(key.public().verify(&other, &signature), Err(DeviceKeyError::Mismatch));
        }
        let stranger = DeviceSigningKey::from_bytes(&[10; 32]).unwrap();
        assert!(stranger.public().verify(&decision(), &signature).is_err());
        assert!(key.public().verify(&decision(), "").is_err());
    }

    #[test]
    fn keys_off_the_curve_are_refused() {
        let good = DeviceSigningKey::from_bytes(&[9; 32]).unwrap().public();
        assert!(good.check().is_ok());
        assert!(DeviceKey { x: good.y.clone(), ..good.clone() }.check().is_err());
        assert!(DeviceKey { crv: "P-384".into(), ..good.clone() }.check().is_err());
        assert!(DeviceKey { x: "AAAA".into(), ..good }.check().is_err());
    }

    #[test]
    fn prompt_digest_ignores_what_belongs_to_the_fetching() {
        let challenge = Challenge {
            instruction_id: "instruction-1".parse().unwrap(),
            tenant_id: "tnt_0123456789abcdef0123456789abcdef".parse().unwrap(),
            tenant_name: "Bank".into(),
            custom_type: CustomType::LocalAuth,
            expected_action: "transfer_funds".into(),
            description: None,
            display: None,
            numbers: None,
            challenge_digest: None,
            created_at: Timestamp::from_secs(1),
            expires_at: Timestamp::from_secs(2),
            status: crate::challenge::ChallengeStatus::Pending,
            response_token: None,
            backend_url: None,
        };
        let digest = challenge_sha256(&challenge);
        let fetched = Challenge { response_token: Some("t".into()), ..challenge.clone() };
        assert_eq!(challenge_sha256(&fetched), digest);
        let changed = Challenge { expected_action: "transfer_fundz".into(), ..challenge };
        assert_ne!(challenge_sha256(&changed), digest);
    }
}
