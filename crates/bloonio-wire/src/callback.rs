//! The decision on its way from the relay to the backend (PROTOCOL 9.5).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::display::wire_enum;
use crate::id::{InstructionId, TenantId, UserSocketHash};
use crate::secret::debug_shows;

wire_enum!(
    /// Which event a callback path announces; a cross-check, never the decision itself.
    Flow,
    "must be a known flow",
    /// Approved.
    SudoValidated = "sudo-validated",
    /// Rejected.
    SudoRejected = "sudo-rejected",
    /// A pairing gained its first device.
    PairingCompleted = "pairing-completed",
    /// A further device was registered.
    DeviceAdded = "device-added",
);

/// A decision as the relay tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApprovalEvent {
    /// The approval.
    pub instruction_id: InstructionId,
    /// Who answered.
    pub user_socket_hash: UserSocketHash,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The answer; for `goldenNumber` it counts only with the right `selected_number`.
    pub approved: bool,
    /// How it was answered.
    pub response_data: ResponseData,
    /// When, as information; freshness comes from the signed headers.
    pub timestamp: Timestamp,
    /// The backend's own digest, echoed where it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge_digest: Option<String>,
}

/// How a prompt was answered. Its `Debug` shows neither number nor signature, nor what newer relays add.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResponseData {
    /// The number typed or picked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected_number: Option<i64>,
    /// Exactly `true` where the relay checked a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totp_verified: Option<bool>,
    /// The person's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The device that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// The device's own signature, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// When the device says it decided, Unix milliseconds; part of what it signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<i64>,
    /// SHA-256 of the prompt as the device received it, hex; part of what it signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge_sha256: Option<String>,
    /// What newer relays add.
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub more: serde_json::Map<String, Value>,
}

debug_shows!(ResponseData { totp_verified, device_id, decided_at });
