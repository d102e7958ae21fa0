//! Decisions that the device itself has signed (SECURITY, "Devices"; ATTACKS A55, A62).

use crate::support::{Call, Heard, Stage, TENANT, identify, settings, transfer};
use async_trait::async_trait;
use bloonio_sudo::instruction::InstructionStatus;
use bloonio_sudo::wire::decision::{Decision, DeviceSigningKey};
use bloonio_sudo::{
    CustomType, DeviceCheck, DeviceCheckError, ErrorCode, MountedRoute, PairingEvent, RequestView, SudoEngineBuilder,
    UserSocketHash,
};
use rstest::rstest;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const DEVICE: &str = "0123456789abcdef01234567";

fn key(seed: u8) -> DeviceSigningKey {
    DeviceSigningKey::from_bytes(&[seed; 32]).unwrap()
}

/// The relay tells of Jane's phone.
fn paired(seed: u8) -> Value {
    json!({
        "tenant_id": TENANT, "user_socket_hash": "jane-0001", "backend_user_id": "7",
        "relay_user_linked_id": "76543210fedcba9876543210", "device_id": DEVICE,
        "device_public_key": key(seed).public(),
    })
}

async fn pair(stage: &Stage, seed: u8) {
    stage.callback(&paired(seed).to_string(), Some("pairing-completed"), |_| {}).await.assert(200);
}

/// What the phone of this seed signs about a prompt.
fn signature(stage: &Stage, instruction: &str, approved: bool, seed: u8) -> Value {
    let sent = stage.relay.challenges().into_iter().find(|sent| sent.instruction_id.as_str() == instruction).unwrap();
    let decision = Decision {
        tenant_id: TENANT,
        instruction_id: instruction,
        device_id: DEVICE,
        user_socket_hash: "jane-0001",
        custom_type: CustomType::LocalAuth,
        approved,
        selected_number: None,
        challenge_sha256: [7; 32],
        challenge_digest: sent.challenge_digest.as_deref(),
        decided_at: 1_800_000_000_000,
    };
    json!({
        "device_id": DEVICE, "decided_at": 1_800_000_000_000_i64, "challenge_sha256": "07".repeat(32),
        "signature": key(seed).sign(&decision),
    })
}

/// The relay's event, with what it says the phone has signed.
async fn told(stage: &Stage, instruction: &str, approved: bool, response: Value) -> Heard {
    let mut event = stage.event(instruction, approved);
    event["response_data"] = response;
    stage.tell(&event).await
}

fn requiring() -> Stage {
    Stage::with(settings(), |builder| builder.with_identity(identify).require_device_signature())
}

#[tokio::test]
async fn a62_a_relay_that_was_taken_over_approves_nothing_without_the_phones_signature() {
    let stage = requiring();
    pair(&stage, 1).await;
    let instruction = stage.key(&transfer(), &Call::transfer()).await;
    let other = stage.key(&transfer(), &Call::transfer_of(2)).await;
    let good = signature(&stage, &instruction, true, 1);
    let mut forged = vec![
        json!({}),
        json!({"device_id": DEVICE}),
        signature(&stage, &instruction, true, 2),
        signature(&stage, &instruction, false, 1),
        signature(&stage, &other, true, 1),
    ];
    for (name, value) in [
        ("device_id", json!("fedcba9876543210fedcba98")),
        ("decided_at", json!(1)),
        ("decided_at", Value::Null),
        ("challenge_sha256", json!("08".repeat(32))),
        ("challenge_sha256", json!("hush")),
        ("signature", json!("")),
    ] {
        let mut spoilt = good.clone();
        spoilt[name] = value;
        forged.push(spoilt);
    }
    for response in forged {
        told(&stage, &instruction, true, response.clone()).await.assert_error(ErrorCode::InvalidDeviceSignature);
        assert_eq!(stage.status(&instruction).await, InstructionStatus::Pending, "{response}");
    }
    told(&stage, &instruction, true, good).await.assert(200);
    assert_eq!(stage.status(&instruction).await, InstructionStatus::Validated);
}

#[tokio::test]
async fn a_denial_needs_no_signature() {
    let stage = requiring();
    pair(&stage, 1).await;
    let instruction = stage.key(&transfer(), &Call::transfer()).await;
    told(&stage, &instruction, false, json!({})).await.assert(200);
    assert_eq!(stage.status(&instruction).await, InstructionStatus::Denied);
}

#[tokio::test]
async fn a_pinned_key_stays_and_a_signature_that_is_there_must_hold() {
    let stage = Stage::new();
    pair(&stage, 1).await;
    pair(&stage, 2).await;
    let instruction = stage.key(&transfer(), &Call::transfer()).await;
    let by_the_second = signature(&stage, &instruction, true, 2);
    told(&stage, &instruction, true, by_the_second).await.assert_error(ErrorCode::InvalidDeviceSignature);
    let by_the_first = signature(&stage, &instruction, true, 1);
    told(&stage, &instruction, true, by_the_first).await.assert(200);
    // The hosted relay passes no signatures on.
    let unsigned = stage.key(&transfer(), &Call::transfer_of(2)).await;
    told(&stage, &unsigned, true, json!({})).await.assert(200);
}

#[tokio::test]
async fn the_application_hears_of_a_phone_its_key_and_whether_it_was_told_before() {
    let heard: Arc<Mutex<Vec<PairingEvent>>> = Arc::default();
    let told = Arc::clone(&heard);
    let stage = Stage::with(settings(), |builder| {
        builder.with_identity(identify).on_pairing_event(move |event| told.lock().unwrap().push(event))
    });
    pair(&stage, 1).await;
    pair(&stage, 1).await;
    pair(&stage, 2).await;
    let heard = heard.lock().unwrap();
    let seen: Vec<_> = heard.iter().map(|event| (event.is_repeated, event.device_public_key.clone())).collect();
    assert_eq!(seen, [(false, Some(key(1).public())), (true, Some(key(1).public()))]);
    assert_eq!(heard[0].webhook_id.as_deref(), Some("msg_1"));
}

#[rstest]
#[case("x", json!("AAAA"))]
#[case("crv", json!("P-384"))]
#[case("kid", json!("1"))]
#[tokio::test]
async fn what_is_no_key_is_not_pinned(#[case] member: &str, #[case] value: Value) {
    let stage = requiring();
    let mut body = paired(1);
    body["device_public_key"][member] = value;
    let heard = stage.callback(&body.to_string(), Some("pairing-completed"), |_| {}).await;
    heard.assert_error(ErrorCode::MalformedRequest);
    pair(&stage, 1).await;
}

#[tokio::test]
async fn with_the_store_away_a_pairing_is_told_again() {
    let stage = Stage::with(settings(), |builder| builder.with_identity(identify).with_device_keys(Arc::new(Away)));
    let heard = stage.callback(&paired(1).to_string(), Some("pairing-completed"), |_| {}).await;
    heard.assert_error(ErrorCode::SudoStateUnavailable);
}

/// Keys that cannot be reached.
#[derive(Debug)]
struct Away;

#[async_trait]
impl bloonio_sudo::device_keys::DeviceKeys for Away {
    async fn pin(
        &self,
        _tenant: &bloonio_sudo::TenantId,
        _user: &UserSocketHash,
        _device: &bloonio_sudo::device_keys::PinnedDevice,
    ) -> Result<bloonio_sudo::device_keys::PinOutcome, bloonio_sudo::store::StoreError> {
        Err(bloonio_sudo::store::StoreError::Unavailable("pulled the plug".into()))
    }

    async fn devices(
        &self,
        _tenant: &bloonio_sudo::TenantId,
        _user: &UserSocketHash,
    ) -> Result<Vec<bloonio_sudo::device_keys::PinnedDevice>, bloonio_sudo::store::StoreError> {
        Err(bloonio_sudo::store::StoreError::Unavailable("pulled the plug".into()))
    }

    async fn forget(
        &self,
        _tenant: &bloonio_sudo::TenantId,
        _user: &UserSocketHash,
    ) -> Result<(), bloonio_sudo::store::StoreError> {
        Err(bloonio_sudo::store::StoreError::Unavailable("pulled the plug".into()))
    }
}

/// A device's answer to the backend itself, with the given proof and in the given session.
async fn submitted(stage: &Stage, instruction: &str, proof: Value, session: Option<(&str, &str)>) -> Heard {
    let mut body = json!({"instruction_id": instruction, "approved": true, "custom_type": "localAuth"});
    body.as_object_mut().unwrap().extend(proof.as_object().unwrap().clone());
    let mut call = Call::new("POST", "/_bloonio/submit-response").body(&body.to_string());
    if let Some((user, session)) = session {
        call = call.from(user, session);
    }
    stage.serve(MountedRoute::SubmitResponse, &call).await
}

#[tokio::test]
async fn a_device_may_answer_with_its_signature_alone() {
    let stage = requiring();
    pair(&stage, 1).await;
    let instruction = stage.key(&transfer(), &Call::transfer()).await;
    let stranger = signature(&stage, &instruction, true, 2);
    submitted(&stage, &instruction, stranger, None).await.assert_error(ErrorCode::InvalidResponseToken);
    let mut nameless = signature(&stage, &instruction, true, 1);
    nameless.as_object_mut().unwrap().remove("device_id");
    submitted(&stage, &instruction, nameless, None).await.assert(200);
    assert_eq!(stage.status(&instruction).await, InstructionStatus::Validated);
    let grant = Call::transfer().key(&instruction).passed(&stage.engine, &transfer()).await;
    assert_eq!(grant.device_id(), Some(DEVICE));
}

#[tokio::test]
async fn a_response_token_is_not_enough_where_signatures_are_required() {
    let stage = requiring();
    pair(&stage, 1).await;
    let instruction = stage.key(&transfer(), &Call::transfer()).await;
    let token = json!({"response_token": stage.relay.last().response_token});
    submitted(&stage, &instruction, token, None).await.assert_error(ErrorCode::InvalidDeviceSignature);
    assert_eq!(stage.status(&instruction).await, InstructionStatus::Pending);
}

/// An application that knows its users' phones by a session of their own.
struct BySession;

#[async_trait]
impl DeviceCheck for BySession {
    async fn is_device_of(&self, user: &UserSocketHash, view: &RequestView<'_>) -> Result<bool, DeviceCheckError> {
        match view.header("x-session") {
            Some("broken") => Err("the table of phones is away".into()),
            session => Ok(session.is_some_and(|session| session == format!("phone of {user}"))),
        }
    }
}

fn checking(builder: SudoEngineBuilder) -> SudoEngineBuilder {
    builder.with_identity(identify).with_device_check(BySession)
}

#[rstest]
#[case::the_users_phone("one", Some(("jane-0001", "phone of jane-0001")), true)]
#[case::another_users_phone("one", Some(("john-0001", "phone of john-0001")), false)]
#[case::no_phone("one", Some(("jane-0001", "two")), false)]
#[case::nobody("one", None, false)]
#[case::the_check_fails("one", Some(("jane-0001", "broken")), false)]
#[case::the_session_that_asked("phone of jane-0001", Some(("jane-0001", "phone of jane-0001")), false)]
#[tokio::test]
async fn an_application_may_vouch_for_a_device_but_never_for_the_one_who_asked(
    #[case] asking: &str,
    #[case] answering: Option<(&str, &str)>,
    #[case] counts: bool,
) {
    let stage = Stage::with(settings(), checking);
    let instruction = stage.key(&transfer(), &Call::transfer().from("jane-0001", asking)).await;
    let heard = submitted(&stage, &instruction, json!({}), answering).await;
    let expected = if counts { InstructionStatus::Validated } else { InstructionStatus::Pending };
    assert_eq!(stage.status(&instruction).await, expected, "{heard:?}");
    if !counts {
        heard.assert_error(ErrorCode::InvalidResponseToken);
    }
}
