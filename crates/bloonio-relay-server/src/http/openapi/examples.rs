//! Examples of bodies, one for each call that has one. A test sends them: they are what the relay takes.

use serde_json::{Value, json};
use utoipa::Modify;
use utoipa::openapi::{OpenApi, RefOr};

/// Every example, with the path of its call. Together they are one approval, in the order of its calls.
pub fn bodies() -> Vec<(&'static str, Value)> {
    vec![
        (
            "/api/v1/provision/tenant",
            json!({"tenant_name": "Example Bank", "callback_url_base": "https://bank.example/hooks"}),
        ),
        ("/api/v1/update/tenant", json!({"rate_limit_per_min": 600, "branding_logo_url": null})),
        (
            "/api/v1/relay/prepare-pairing",
            json!({
                "user_socket_hash": "4bd1a2f07e6c", "backend_user_id": "1001", "display_name": "Jane Doe",
                "user_email": "jane@example.com"
            }),
        ),
        ("/api/v1/device/register-token", json!({"platform": "stream", "device_name": "Jane's phone"})),
        ("/api/v1/device/refresh-token", json!({})),
        ("/api/v1/device/confirm-device", json!({"device_id": "0123456789abcdef01234567", "approved": true})),
        (
            "/api/v1/relay/send/auth-challenge",
            json!({
                "user_socket_hash": "4bd1a2f07e6c", "instruction_id": "ins_8f2c4e1a", "custom_type": "localAuth",
                "expected_action": "transfer_funds", "backend_url": "https://bank.example",
                "description": "Transfer to a new payee", "ttl_seconds": 180,
                "display": {"title": "Transfer", "fields": [
                    {"key": "amount", "title": "Amount", "value": "1000.00", "data_type": "CURRENCY_USD"},
                    {"key": "payee", "title": "Payee", "value": "ACME Corp", "data_type": "PARTY_NAME"}
                ]}
            }),
        ),
        (
            "/api/v1/device/submit-response",
            json!({"instruction_id": "ins_8f2c4e1a", "approved": true, "custom_type": "localAuth"}),
        ),
        ("/api/v1/relay/cancel/auth-challenge", json!({"instruction_id": "ins_8f2c4e1a"})),
        (
            "/api/v1/relay/send/security-alert",
            json!({
                "user_socket_hash": "4bd1a2f07e6c", "title": "New sign-in", "body": "Somebody signed in as you from a new browser.",
                "kind": "sign_in"
            }),
        ),
        (
            "/api/v1/relay/sudo/verify-totp",
            json!({"relay_user_linked_id": "0123456789abcdef01234567", "totp": "287082"}),
        ),
        ("/api/v1/relay/revoke-pairing", json!({"user_socket_hash": "4bd1a2f07e6c"})),
    ]
}

/// Puts the examples into the document.
pub(super) struct Examples;

impl Modify for Examples {
    fn modify(&self, document: &mut OpenApi) {
        for (path, body) in bodies() {
            let operation = document.paths.paths.get_mut(path).and_then(|item| item.post.as_mut());
            let Some(RefOr::T(request)) = operation.and_then(|operation| operation.request_body.as_mut()) else {
                continue;
            };
            if let Some(RefOr::T(content)) = request.content.get_mut("application/json") {
                content.example = Some(body);
            }
        }
    }
}
