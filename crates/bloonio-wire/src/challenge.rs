//! Prompts: what a backend sends, what a device fetches, what the relay answers (PROTOCOL 5).

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::display::{Display, wire_enum};
use crate::id::{InstructionId, TenantId, UserSocketHash};
use crate::secret::debug_shows;

wire_enum!(
    /// How a person proves that the approval is his.
    CustomType,
    "must be totp, goldenNumber or localAuth",
    /// A code from an authenticator.
    Totp = "totp",
    /// The number that the protected page shows.
    GoldenNumber = "goldenNumber",
    /// The phone's own lock: fingerprint, face, PIN.
    LocalAuth = "localAuth",
);

wire_enum!(
    /// Kind of a passive notice.
    AlertKind,
    "must be sign_in, security or info",
    /// Somebody signed in.
    SignIn = "sign_in",
    /// Something to look at.
    Security = "security",
    /// Something to know.
    Info = "info",
);

wire_enum!(
    /// Where a prompt stands, as its devices and its tenant see it.
    ChallengeStatus,
    "must be a known status",
    /// Nobody has answered.
    Pending = "pending",
    /// Answered, whatever the answer.
    Answered = "answered",
    /// Out of time.
    Expired = "expired",
    /// Withdrawn by the tenant.
    Cancelled = "cancelled",
);

/// Body of POST /relay/send/auth-challenge. Its `Debug` shows neither token nor numbers, nor what the person is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({
    "user_socket_hash": "f3a1c2d4e5b60718", "instruction_id": "transfer-0000001", "custom_type": "localAuth",
    "expected_action": "transfer_funds", "backend_url": "https://bank.example", "ttl_seconds": 180,
    "display": {"title": "Transfer", "fields": [
        {"key": "amount", "title": "Amount", "value": "1000.00", "data_type": "CURRENCY_USD"}
    ]}
})))]
pub struct AuthChallenge {
    /// Whom to ask.
    pub user_socket_hash: UserSocketHash,
    /// The tenant's name of this approval.
    pub instruction_id: InstructionId,
    /// How to approve.
    pub custom_type: CustomType,
    /// What is to be approved, such as `transfer_funds`.
    pub expected_action: String,
    /// Where the protected backend is.
    pub backend_url: String,
    /// One sentence for the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Life of the prompt in seconds, 10 to 600, default 180.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 10, maximum = 600))]
    pub ttl_seconds: Option<i64>,
    /// Numbers to pick from (goldenNumber): 3 to 5 distinct integers. Absent: the number is typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_items = 3, max_items = 5))]
    pub numbers: Option<Vec<i64>>,
    /// The caller's mode of use, passed through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// What to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<Display>,
    /// Where to call back; must share the origin of the tenant's `callback_url_base`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    /// Proof that a device fetched this prompt; shown to that device alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_token: Option<String>,
    /// The SDK's digest of what it asked; echoed in the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge_digest: Option<String>,
}

debug_shows!(AuthChallenge { user_socket_hash, instruction_id, custom_type, expected_action, ttl_seconds });

/// Answer to a prompt or an alert.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PushReceipt {
    /// The tenant's name of it: an instruction id, or a notification id.
    pub instruction_id: String,
    /// Devices whose message FCM accepted, and every `stream` device.
    pub delivered_count: u32,
    /// Devices whose first attempt failed.
    pub failed_count: u32,
    /// FCM's own message names.
    pub fcm_message_ids: Vec<String>,
    /// Failed addresses, cut to 12 characters.
    pub failed_tokens_sample: Vec<String>,
    /// When the first attempts were over.
    pub sent_at: Timestamp,
}

debug_shows!(PushReceipt { instruction_id, delivered_count, failed_count, sent_at });

/// A prompt as a device fetches it. Its `Debug` shows neither token nor numbers, nor what the person is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Challenge {
    /// The approval.
    pub instruction_id: InstructionId,
    /// Who asks.
    pub tenant_id: TenantId,
    /// Who asks, for people.
    pub tenant_name: String,
    /// How to approve.
    pub custom_type: CustomType,
    /// What is to be approved.
    pub expected_action: String,
    /// One sentence for the person.
    pub description: Option<String>,
    /// What to show.
    pub display: Option<Display>,
    /// Numbers to pick from; `null` means that the number is typed.
    pub numbers: Option<Vec<i64>>,
    /// The backend's digest of what it asked.
    pub challenge_digest: Option<String>,
    /// When it was asked.
    pub created_at: Timestamp,
    /// When it is too late; exclusive.
    pub expires_at: Timestamp,
    /// Where it stands.
    pub status: ChallengeStatus,
    /// Proof of having fetched it; only in the answer to GET /device/challenges/{id}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_token: Option<String>,
    /// Where the backend is; only in the answer to GET /device/challenges/{id}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_url: Option<String>,
}

debug_shows!(Challenge { instruction_id, tenant_id, custom_type, expected_action, created_at, expires_at, status });

/// A passive notice as a device fetches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Alert {
    /// Names the notice.
    pub notification_id: String,
    /// Who tells.
    pub tenant_id: TenantId,
    /// Who tells, for people.
    pub tenant_name: String,
    /// Headline.
    pub title: String,
    /// Text.
    pub body: String,
    /// What kind of notice.
    pub kind: AlertKind,
    /// When it was sent.
    pub created_at: Timestamp,
    /// When it leaves the list.
    pub expires_at: Timestamp,
}

/// Body of POST /device/submit-response, and of the backend's own /_bloonio/submit-response (PROTOCOL 9.4). Its
/// `Debug` shows no code, number, token or signature.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({"instruction_id": "transfer-0000001", "approved": true, "custom_type": "localAuth"})))]
pub struct DeviceResponse {
    /// The prompt.
    pub instruction_id: InstructionId,
    /// The person's answer.
    pub approved: bool,
    /// Must be the prompt's own.
    pub custom_type: CustomType,
    /// The code, for `totp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totp_code: Option<String>,
    /// The number, for `goldenNumber`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected_number: Option<i64>,
    /// Why, in the person's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Proof of having fetched the prompt; for the backend's own route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_token: Option<String>,
    /// When the person decided, Unix milliseconds; signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<i64>,
    /// ES256 over [`crate::decision::Decision`], base64url; a device that registered a key must sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

debug_shows!(DeviceResponse { approved, custom_type, decided_at });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a103_a_response_shows_nothing_of_what_proves_it_in_debug() {
        let json = r#"{"instruction_id": "instruction-1", "approved": true, "custom_type": "totp",
            "totp_code": "287082", "selected_number": 4711, "reason": "hush", "response_token": "hush", "signature": "hush"}"#;
        let text = format!("{:?}", serde_json::from_str::<DeviceResponse>(json).unwrap());
        assert_eq!(text, "DeviceResponse { approved: true, custom_type: Totp, decided_at: None, .. }");
    }
}
