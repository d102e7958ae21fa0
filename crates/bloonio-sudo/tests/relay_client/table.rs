//! Every tenant call of PROTOCOL 4 to 8: what goes over the wire, a good answer, and bad ones.

use std::time::Duration;

use bloonio_sudo::client::{Outcome, RelayApi, Repeat};
use bloonio_sudo::wire::challenge::AuthChallenge;
use bloonio_sudo::wire::dispatch::{ActionType, DataItem, EventType, PlainType, SudoDispatch};
use bloonio_sudo::wire::id::{GroupPublicId, QrSessionId, RelayUserLinkedId, UserPublicId};
use bloonio_sudo::wire::passkey::{
    PasskeyAssertion, PasskeyAttestation, PasskeyName, PasskeyRegistration, PasskeyRequest,
};
use bloonio_sudo::{
    AlertKind, CustomType, InstructionId, PreparePairing, RelayClient, RelayError, Secret, SecurityAlert,
    UserSocketHash,
};
use serde_json::{Value, json};

use crate::caller::{Caller, as_json, ask};
use crate::server::TENANT;

pub const LINKED: &str = "0123456789abcdef01234567";
pub const INSTRUCTION: &str = "instruction-1";
const ORIGIN: &str = "https://bank.example";
const AT: &str = "2027-01-15T08:00:00.000Z";

/// One call.
pub struct Row {
    /// Method and target, below `/base/api/v1/relay`.
    pub line: &'static str,
    /// The body that must be sent; `Null` for none.
    pub body: Value,
    /// Status of the documented answer.
    pub status: u16,
    /// Its `data`.
    pub data: Value,
    /// What the client makes of it; `Null` where it is an acknowledgement.
    pub gives: Value,
    /// Fields of `data` that, set to these values, make it no answer to this call.
    pub spoiled: Vec<(&'static str, Value)>,
    /// Whether the client may try again by itself.
    pub repeat: Repeat,
    /// Makes the call.
    pub call: fn(&Caller) -> Result<Value, RelayError>,
}

impl Row {
    fn new(line: &'static str, body: Value, data: Value, call: fn(&Caller) -> Result<Value, RelayError>) -> Self {
        let repeat = if body.is_null() { Repeat::Safe } else { Repeat::IfUnsent };
        Self { line, body, status: 200, gives: data.clone(), data, spoiled: Vec::new(), repeat, call }
    }

    fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    fn gives(self, gives: Value) -> Self {
        Self { gives, ..self }
    }

    fn repeat(self, repeat: Repeat) -> Self {
        Self { repeat, ..self }
    }

    fn not(mut self, field: &'static str, value: Value) -> Self {
        self.spoiled.push((field, value));
        self
    }
}

pub fn user() -> UserSocketHash {
    UserSocketHash::parse("jane-0001").unwrap()
}

pub fn instruction() -> InstructionId {
    InstructionId::parse(INSTRUCTION).unwrap()
}

fn linked() -> RelayUserLinkedId {
    RelayUserLinkedId::parse(LINKED).unwrap()
}

pub fn challenge() -> AuthChallenge {
    AuthChallenge {
        user_socket_hash: user(),
        instruction_id: instruction(),
        custom_type: CustomType::LocalAuth,
        expected_action: "transfer_funds".into(),
        backend_url: ORIGIN.into(),
        description: None,
        ttl_seconds: Some(180),
        numbers: None,
        mode: None,
        display: None,
        callback_url: None,
        response_token: Some("hush".into()),
        challenge_digest: None,
    }
}

pub fn alert() -> SecurityAlert {
    SecurityAlert {
        user_socket_hash: user(),
        title: "New sign-in".into(),
        body: "From a new place.".into(),
        kind: AlertKind::SignIn,
        notification_id: None,
        ttl_seconds: None,
    }
}

fn named_alert() -> SecurityAlert {
    SecurityAlert { notification_id: Some(instruction()), ttl_seconds: Some(60), ..alert() }
}

pub fn profile() -> PreparePairing {
    PreparePairing {
        user_socket_hash: user(),
        backend_user_id: "7".into(),
        display_name: "Jane".into(),
        user_email: Some("jane@bank.example".into()),
        user_phone: None,
        first_name: None,
        last_name: None,
        display_logo_url: None,
    }
}

pub fn receipt() -> Value {
    json!({
        "instruction_id": INSTRUCTION, "delivered_count": 1, "failed_count": 1, "fcm_message_ids": ["projects/x/1"],
        "failed_tokens_sample": ["abcdefghijkl"], "sent_at": AT,
    })
}

pub fn delivery_status(status: &str) -> Value {
    json!({
        "instruction_id": INSTRUCTION, "status": status, "delivered_count": 1, "failed_count": 0,
        "devices": [{
            "device_id": LINKED, "platform": "android", "status": "delivered", "fcm_message_id": "projects/x/1",
            "error": null, "attempts": 1, "sent_at": AT, "seen_at": null,
        }],
    })
}

fn group() -> Value {
    json!({
        "relay_group_linked_id": LINKED, "public_id_str": "bgr-01234567", "name": "Board", "description_str": null,
        "members_count": 5, "validators_count": 3,
    })
}

fn paired_user() -> Value {
    json!({
        "relay_user_linked_id": LINKED, "public_id_str": "bth-01234567", "first_name": "Jane", "last_name": null,
        "username": "jane",
    })
}

fn list(item: Value) -> Value {
    json!({"items": [item], "count": 1})
}

fn dispatch() -> SudoDispatch {
    let item = DataItem {
        display_title: "Amount".into(),
        display_value: "1000.00".into(),
        data_type: PlainType::Number.into(),
    };
    SudoDispatch {
        relay_user_linked_id_list: vec![linked()],
        required_approvals: Some(1),
        ..SudoDispatch::new(EventType::SudoAction, ActionType::Creation, "key-0001", "Pay", vec![item])
    }
}

fn passkey() -> PasskeyName {
    PasskeyName { passkey_id: "pk-1".into(), relay_user_linked_id: linked() }
}

fn ceremony() -> Value {
    json!({"session_id": "ceremony-1", "options": {"publicKey": {"challenge": "Y2hhbGxlbmdl"}}})
}

/// Every call.
pub fn rows() -> Vec<Row> {
    let mut rows = pairing_and_prompts();
    rows.extend(validators());
    rows.extend(sign_in());
    rows
}

fn pairing_and_prompts() -> Vec<Row> {
    let another = || json!("instruction-2");
    let offer =
        json!({"pairing_proof": "p.r.f", "expires_in": 300, "pairing_uri": "bloonio://pair?relay=x&proof=p.r.f"});
    let prompt = json!({
        "user_socket_hash": "jane-0001", "instruction_id": INSTRUCTION, "custom_type": "localAuth",
        "expected_action": "transfer_funds", "backend_url": ORIGIN, "ttl_seconds": 180, "response_token": "hush",
    });
    let told = json!({
        "user_socket_hash": "jane-0001", "title": "New sign-in", "body": "From a new place.", "kind": "sign_in",
    });
    let mut named = told.clone();
    named["notification_id"] = json!(INSTRUCTION);
    named["ttl_seconds"] = json!(60);
    let profile_body = json!({
        "user_socket_hash": "jane-0001", "backend_user_id": "7", "display_name": "Jane",
        "user_email": "jane@bank.example",
    });
    vec![
        Row::new("POST /prepare-pairing", profile_body, offer, |caller| {
            as_json(ask!(caller, prepare_pairing(&profile())))
        })
        .status(201)
        .repeat(Repeat::Never)
        .not("pairing_proof", Value::Null)
        .not("pairing_proof", json!("")),
        Row::new(
            "POST /revoke-pairing",
            json!({"user_socket_hash": "jane-0001"}),
            json!({"user_socket_hash": "jane-0001", "relay_user_linked_id": LINKED, "devices_removed": 2}),
            |caller| as_json(ask!(caller, revoke_pairing(&user()))),
        )
        .gives(Value::Null)
        .not("user_socket_hash", json!("john-0001")),
        Row::new("POST /send/auth-challenge", prompt, receipt(), |caller| {
            as_json(ask!(caller, send_auth_challenge(&challenge())))
        })
        .repeat(Repeat::Safe)
        .not("instruction_id", another())
        .not("delivered_count", Value::Null),
        Row::new(
            "POST /cancel/auth-challenge",
            json!({"instruction_id": INSTRUCTION}),
            json!({"instruction_id": INSTRUCTION, "status": "cancelled"}),
            |caller| as_json(ask!(caller, cancel_auth_challenge(&instruction()))),
        )
        .gives(Value::Null)
        .repeat(Repeat::Safe)
        .not("instruction_id", another())
        .not("status", json!("answered"))
        .not("status", json!("from_the_future")),
        Row::new("POST /send/security-alert", told, receipt(), |caller| {
            as_json(ask!(caller, send_security_alert(&alert())))
        })
        .not("sent_at", Value::Null),
        Row::new("POST /send/security-alert", named, receipt(), |caller| {
            as_json(ask!(caller, send_security_alert(&named_alert())))
        })
        .repeat(Repeat::Safe)
        .not("instruction_id", another()),
        Row::new(
            "GET /fetch/delivery-status?instruction_id=instruction-1",
            Value::Null,
            delivery_status("partial"),
            |caller| as_json(ask!(caller, fetch_delivery_status(&instruction()))),
        )
        .not("instruction_id", another())
        .not("status", json!("from_the_future")),
        Row::new(
            "GET /fetch/outcome?instruction_id=instruction-1&wait_seconds=25",
            Value::Null,
            json!({"instruction_id": INSTRUCTION, "status": "pending"}),
            |caller| {
                let outcome = ask!(caller, fetch_outcome(&instruction(), Duration::from_secs(25)))?;
                Ok(json!(outcome == Outcome::Pending))
            },
        )
        .gives(json!(true))
        .not("instruction_id", another())
        .not("status", json!("from_the_future")),
    ]
}

fn validators() -> Vec<Row> {
    let sent = json!({
        "event_type": "sudo_action", "action_type": "creation", "idempotency_key": "key-0001", "title": "Pay",
        "relay_user_linked_id_list": [LINKED], "data_access_type": "static", "required_approvals": 1,
        "data_items": [{"display_title": "Amount", "display_value": "1000.00", "data_type": "NUMBER"}],
    });
    let image = json!({
        "signature_base64": "aHVzaA==", "mime_type": "image/png", "filename": "jane.png", "size_bytes": 4,
    });
    vec![
        Row::new(
            "POST /sudo/dispatch",
            sent,
            json!({"event_id": LINKED, "status": "pending", "expires_at": AT}),
            |caller| as_json(ask!(caller, dispatch(&dispatch()))),
        )
        .status(201)
        .repeat(Repeat::Safe)
        .not("event_id", json!("1"))
        .not("status", json!("from_the_future")),
        Row::new("GET /sudo/groups", Value::Null, list(group()), |caller| as_json(ask!(caller, groups())))
            .not("items", json!([{"name": "Board"}])),
        Row::new("GET /sudo/groups/by-public-id?public_id_str=bgr-01234567", Value::Null, group(), |caller| {
            as_json(ask!(caller, group_by_public_id(&GroupPublicId::parse("bgr-01234567").unwrap())))
        })
        .not("public_id_str", json!("bgr-76543210")),
        Row::new("GET /sudo/paired-users", Value::Null, list(paired_user()), |caller| {
            as_json(ask!(caller, paired_users()))
        })
        .not("items", Value::Null),
        Row::new(
            "GET /sudo/paired-users/by-public-id?public_id_str=bth-01234567",
            Value::Null,
            paired_user(),
            |caller| as_json(ask!(caller, paired_user_by_public_id(&UserPublicId::parse("bth-01234567").unwrap()))),
        )
        .not("public_id_str", json!("bth-76543210")),
        Row::new(
            "GET /sudo/pending-validations?relay_user_linked_id=0123456789abcdef01234567",
            Value::Null,
            list(json!({"event_id": LINKED, "title": "Pay"})),
            |caller| as_json(ask!(caller, pending_validations(&linked()))),
        )
        .not("items", json!([{"title": "Pay"}])),
        Row::new(
            "GET /sudo/paired-users/signature?relay_user_linked_id=0123456789abcdef01234567",
            Value::Null,
            image,
            |caller| as_json(ask!(caller, user_signature(&linked()))),
        )
        .not("size_bytes", json!(5))
        .not("signature_base64", json!("?")),
        Row::new(
            "POST /sudo/verify-totp",
            json!({"relay_user_linked_id": LINKED, "totp": "123456"}),
            json!({"ok": true}),
            |caller| as_json(ask!(caller, verify_totp(&linked(), "123456"))),
        )
        .gives(json!(true))
        .repeat(Repeat::Never)
        .not("ok", json!(false))
        .not("ok", json!("true"))
        .not("ok", json!(1))
        .not("ok", Value::Null),
    ]
}

fn sign_in() -> Vec<Row> {
    let login = json!({
        "session_id": "session-0001", "poll_token": "hush", "qr_payload": "bloonio://qr-login?s=1",
        "qr_code_str": "iVBORw0KGgo=", "signature": "00ff", "expires_at": AT, "expires_in": 180,
    });
    let approved = json!({
        "status": "approved", "relay_user_linked_id": LINKED, "user_socket_hash": "jane-0001", "backend_user_id": "7",
        "approved_at": AT,
    });
    let signed_in = json!({
        "relay_user_linked_id": LINKED, "user_socket_hash": "jane-0001", "backend_user_id": "7", "passkey_id": "pk-1",
    });
    let name = || json!({"passkey_id": "pk-1", "relay_user_linked_id": LINKED});
    let renamed = json!({"passkey_id": "pk-1", "relay_user_linked_id": LINKED, "nickname": "Laptop"});
    vec![
        Row::new("POST /qr-login/initiate", json!({"browser_origin": ORIGIN}), login, |caller| {
            as_json(ask!(caller, qr_login_initiate(ORIGIN)))
        })
        .not("poll_token", Value::Null)
        .not("session_id", json!("short")),
        Row::new("GET /qr-login/poll?session_id=session-0001", Value::Null, approved, |caller| {
            let session = QrSessionId::parse("session-0001").unwrap();
            as_json(ask!(caller, qr_login_poll(&session, &Secret::new("hush"))))
        })
        .repeat(Repeat::Never)
        .not("status", json!("from_the_future"))
        .not("status", Value::Null)
        .not("user_socket_hash", Value::Null),
        Row::new(
            "POST /webauthn/register/options",
            json!({
                "relay_user_linked_id": LINKED, "username": "jane", "display_name": "Jane", "browser_origin": ORIGIN,
            }),
            ceremony(),
            |caller| as_json(ask!(caller, passkey_register_options(&registration()))),
        )
        .not("session_id", Value::Null),
        Row::new(
            "POST /webauthn/register/verify",
            json!({"session_id": "ceremony-1", "attestation": {"id": "x"}, "browser_origin": ORIGIN}),
            json!({"passkey_id": "pk-1"}),
            |caller| as_json(ask!(caller, passkey_register_verify(&attestation()))),
        )
        .repeat(Repeat::Never)
        .not("passkey_id", json!(7)),
        Row::new(
            "POST /webauthn/authenticate/options",
            json!({"browser_origin": ORIGIN, "relay_user_linked_id": LINKED}),
            ceremony(),
            |caller| {
                let who = PasskeyRequest { browser_origin: ORIGIN.into(), relay_user_linked_id: Some(linked()) };
                as_json(ask!(caller, passkey_authenticate_options(&who)))
            },
        )
        .not("session_id", Value::Null),
        Row::new(
            "POST /webauthn/authenticate/verify",
            json!({"session_id": "ceremony-1", "assertion": {"id": "x"}, "browser_origin": ORIGIN}),
            signed_in,
            |caller| as_json(ask!(caller, passkey_authenticate_verify(&assertion()))),
        )
        .repeat(Repeat::Never)
        .not("relay_user_linked_id", Value::Null)
        .not("user_socket_hash", Value::Null),
        Row::new(
            "POST /webauthn/fetch/passkeys",
            json!({"relay_user_linked_id": LINKED}),
            list(json!({"passkey_id": "pk-1", "nickname": "Laptop", "created_at": AT})),
            |caller| as_json(ask!(caller, fetch_passkeys(&linked()))),
        )
        .repeat(Repeat::Safe)
        .not("items", Value::Null),
        Row::new("POST /webauthn/rename/passkey", renamed.clone(), renamed, |caller| {
            as_json(ask!(caller, rename_passkey(&passkey(), "Laptop")))
        })
        .gives(Value::Null)
        .repeat(Repeat::Safe)
        .not("passkey_id", json!("pk-2")),
        Row::new("POST /webauthn/revoke/passkey", name(), name(), |caller| {
            as_json(ask!(caller, revoke_passkey(&passkey())))
        })
        .gives(Value::Null)
        .not("relay_user_linked_id", json!("765432100123456789abcdef")),
    ]
}

fn registration() -> PasskeyRegistration {
    PasskeyRegistration {
        relay_user_linked_id: linked(),
        username: "jane".into(),
        display_name: "Jane".into(),
        browser_origin: ORIGIN.into(),
    }
}

fn attestation() -> PasskeyAttestation {
    PasskeyAttestation {
        session_id: "ceremony-1".into(),
        attestation: json!({"id": "x"}),
        browser_origin: ORIGIN.into(),
        nickname: None,
    }
}

fn assertion() -> PasskeyAssertion {
    PasskeyAssertion { session_id: "ceremony-1".into(), assertion: json!({"id": "x"}), browser_origin: ORIGIN.into() }
}

/// A decision as `fetch/outcome` tells it.
pub fn event() -> Value {
    json!({
        "instruction_id": INSTRUCTION, "user_socket_hash": "jane-0001", "tenant_id": TENANT, "approved": true,
        "response_data": {}, "timestamp": AT, "status": "decided",
    })
}
