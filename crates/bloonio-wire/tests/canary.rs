//! No message shows a secret when it is printed for a log: each is filled with a canary where its secrets stand.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fmt::Debug;

use bloonio_wire::callback::{ApprovalEvent, ResponseData};
use bloonio_wire::challenge::{AuthChallenge, Challenge, DeviceResponse, PushReceipt};
use bloonio_wire::device::{PairingOffer, PreparePairing, RegisterDevice, Registration};
use bloonio_wire::dispatch::SudoDispatch;
use bloonio_wire::group::{PairedUser, PendingValidation, SignatureImage};
use bloonio_wire::passkey::{PasskeyAssertion, PasskeyAttestation, PasskeyCeremony, PasskeyRegistration};
use bloonio_wire::qr::PairingUri;
use bloonio_wire::qr_login::QrLogin;
use bloonio_wire::secret::Secret;
use rstest::rstest;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const CANARY: &str = "canary7";
/// A number that is a secret while somebody is asked for it.
const NUMBER: i64 = 777_001;
const TENANT: &str = "tnt_0123456789abcdef0123456789abcdef";
const LINKED: &str = "0123456789abcdef01234567";
const AT: &str = "2027-01-15T08:00:00Z";

/// Reads a message of type `T` and prints it both ways.
fn printed<T: DeserializeOwned + Debug>(body: Value) -> String {
    let message: T = serde_json::from_value(body).unwrap();
    format!("{message:?} {message:#?}")
}

fn auth_challenge() -> Value {
    json!({
        "user_socket_hash": "jane-0001", "instruction_id": "instruction-1", "custom_type": "goldenNumber",
        "expected_action": "seen", "backend_url": CANARY, "description": CANARY, "numbers": [NUMBER, 2, 3],
        "display": {"title": CANARY, "fields": []}, "callback_url": CANARY, "response_token": CANARY,
        "challenge_digest": CANARY,
    })
}

fn challenge() -> Value {
    json!({
        "instruction_id": "instruction-1", "tenant_id": TENANT, "tenant_name": CANARY, "custom_type": "goldenNumber",
        "expected_action": "seen", "description": CANARY, "display": {"title": CANARY}, "numbers": [NUMBER, 2, 3],
        "challenge_digest": CANARY, "created_at": AT, "expires_at": AT, "status": "pending", "response_token": CANARY,
        "backend_url": CANARY,
    })
}

fn response_data() -> Value {
    json!({
        "selected_number": NUMBER, "totp_verified": true, "reason": CANARY, "device_id": "seen", "signature": CANARY,
        "challenge_sha256": CANARY, "more": CANARY,
    })
}

fn approval_event() -> Value {
    json!({
        "instruction_id": "instruction-1", "user_socket_hash": "jane-0001", "tenant_id": TENANT, "approved": true,
        "response_data": response_data(), "timestamp": AT,
    })
}

fn registration() -> Value {
    json!({
        "device_session_token": CANARY, "expires_in": 60, "device_status": "active", "totp": {"otpauth_uri": CANARY},
        "pairing": {
            "tenant_id": TENANT, "tenant_name": CANARY, "user_socket_hash": "jane-0001", "display_logo_url": CANARY,
            "relay_user_linked_id": LINKED, "device_id": LINKED, "display_name": CANARY,
        },
    })
}

fn dispatch() -> Value {
    json!({
        "event_type": "sudo_action", "action_type": "update", "idempotency_key": CANARY, "title": CANARY,
        "description": CANARY, "data_access_type": "static", "data_fetch_url": CANARY, "on_validate_data": CANARY,
        "data_items": [{"display_title": CANARY, "display_value": CANARY, "data_type": "STRING"}],
        "on_reject_data": CANARY, "on_validate_callback_url": CANARY, "challenge_digest": CANARY,
        "relay_user_linked_id_list": [LINKED],
    })
}

fn profile() -> Value {
    json!({
        "user_socket_hash": "jane-0001", "backend_user_id": CANARY, "display_name": CANARY, "user_email": CANARY,
        "user_phone": CANARY, "first_name": CANARY, "last_name": CANARY, "display_logo_url": CANARY,
    })
}

fn qr_login() -> Value {
    json!({
        "session_id": "session-0001", "poll_token": CANARY, "qr_payload": CANARY, "qr_code_str": CANARY,
        "signature": CANARY, "expires_at": AT, "expires_in": 180,
    })
}

#[rstest]
#[case::auth_challenge(printed::<AuthChallenge>(auth_challenge()), "instruction-1")]
#[case::challenge(printed::<Challenge>(challenge()), "instruction-1")]
#[case::device_response(printed::<DeviceResponse>(json!({
    "instruction_id": "instruction-1", "approved": true, "custom_type": "totp", "totp_code": CANARY,
    "selected_number": NUMBER, "reason": CANARY, "response_token": CANARY, "signature": CANARY,
})), "Totp")]
#[case::push_receipt(printed::<PushReceipt>(json!({
    "instruction_id": "instruction-1", "delivered_count": 1, "failed_count": 1, "fcm_message_ids": [CANARY],
    "failed_tokens_sample": [CANARY], "sent_at": AT,
})), "instruction-1")]
#[case::response_data(printed::<ResponseData>(response_data()), "seen")]
#[case::approval_event(printed::<ApprovalEvent>(approval_event()), "instruction-1")]
#[case::prepare_pairing(printed::<PreparePairing>(profile()), "jane-0001")]
#[case::pairing_offer(printed::<PairingOffer>(json!({
    "pairing_proof": CANARY, "expires_in": 300, "pairing_uri": CANARY,
})), "300")]
#[case::register_device(printed::<RegisterDevice>(json!({
    "fcm_token": CANARY, "fid": CANARY, "platform": "android", "device_name": "seen",
})), "seen")]
#[case::registration(printed::<Registration>(registration()), LINKED)]
#[case::dispatch(printed::<SudoDispatch>(dispatch()), LINKED)]
#[case::paired_user(printed::<PairedUser>(json!({
    "relay_user_linked_id": LINKED, "public_id_str": "bth-0001", "first_name": CANARY, "last_name": CANARY,
    "username": CANARY,
})), LINKED)]
#[case::pending_validation(printed::<PendingValidation>(json!({"event_id": LINKED, "title": CANARY})), LINKED)]
#[case::signature_image(printed::<SignatureImage>(json!({
    "signature_base64": CANARY, "mime_type": "image/png", "filename": CANARY, "size_bytes": 5,
})), "image/png")]
#[case::qr_login(printed::<QrLogin>(qr_login()), "session-0001")]
#[case::passkey_registration(printed::<PasskeyRegistration>(json!({
    "relay_user_linked_id": LINKED, "username": CANARY, "display_name": CANARY, "browser_origin": "https://seen",
})), LINKED)]
#[case::passkey_ceremony(printed::<PasskeyCeremony>(json!({"session_id": CANARY, "options": {"challenge": CANARY}})), "")]
#[case::passkey_attestation(printed::<PasskeyAttestation>(json!({
    "session_id": CANARY, "attestation": {"id": CANARY}, "browser_origin": "https://seen",
})), "https://seen")]
#[case::passkey_assertion(printed::<PasskeyAssertion>(json!({
    "session_id": CANARY, "assertion": {"id": CANARY}, "browser_origin": "https://seen",
})), "https://seen")]
fn a_message_prints_no_secret(#[case] printed: String, #[case] seen: &str) {
    assert!(!printed.contains(CANARY), "{printed}");
    assert!(!printed.contains(&NUMBER.to_string()), "{printed}");
    assert!(printed.contains(seen), "{printed}");
}

#[test]
fn a_pairing_address_prints_no_proof_and_is_written_whole() {
    let text = format!("bloonio://pair?relay=https%3A%2F%2Frelay.example&proof={CANARY}");
    let uri = PairingUri::parse(&text).unwrap();
    assert!(!format!("{uri:?}").contains(CANARY));
    assert_eq!(uri.to_text(), text);
}

#[test]
fn a_secret_is_read_from_json_and_handed_over_only_where_its_field_says_so() {
    assert_eq!(serde_json::from_value::<Secret>(json!(CANARY)).unwrap().expose(), CANARY);
    let login: QrLogin = serde_json::from_value(qr_login()).unwrap();
    assert_eq!(serde_json::to_value(login).unwrap()["poll_token"], CANARY);
}
