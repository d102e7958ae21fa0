//! The two calls of PROTOCOL 9.1, and what each refusal says.

use std::time::Duration;

use crate::support::{Call, Mood, Stage, identify, settings, transfer};
use bloonio_sudo::instruction::InstructionStatus;
use bloonio_sudo::{CustomType, DataType, Decision, ErrorCode, FieldError, SudoRequirement, UserSocketHash};
use rstest::rstest;
use serde_json::json;

#[tokio::test]
async fn an_approved_request_runs_once_and_knows_who_approved() {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    let again = Call::transfer().key(&key);
    again.refused(&stage.engine, &transfer(), ErrorCode::SudoActionPending).await;
    stage.tell(&stage.event(&key, true)).await.assert(200);
    let grant = again.passed(&stage.engine, &transfer()).await;
    assert_eq!(grant.instruction_id().as_str(), key);
    assert_eq!(grant.approved_by().as_str(), "jane-0001");
    assert_eq!(grant.action(), "transfer_funds");
    assert_eq!(grant.device_id(), Some("0123456789abcdef01234567"));
    again.refused(&stage.engine, &transfer(), ErrorCode::SudoActionExpired).await;
}

#[tokio::test]
async fn the_first_answer_holds_what_the_protocol_says() {
    let stage = Stage::new();
    let heard = Call::transfer().heard(&stage.engine, &transfer()).await;
    let id = heard.body["instruction_id"].as_str().unwrap();
    let expected = json!({
        "success": false, "status_code": 403, "error": "SUDO_INSTRUCTION_KEY_REQUIRED", "instruction_id": id,
        "custom_type": "localAuth", "expected_action": "transfer_funds", "is_sudo_required": true,
        "is_sudo_action": true, "message": "This action needs an approval on your phone.",
        "expires_at": "2027-01-15T08:03:00.000Z", "status_url": format!("/_bloonio/instructions/{id}"),
    });
    assert_eq!(heard.body, expected);
    assert_eq!(heard.header("cache-control"), Some("no-store"));
    assert!(id.len() >= 32, "128 bits in hex");
}

#[tokio::test]
async fn the_prompt_says_what_will_happen() {
    let settings = settings().with_public_callback_base_url("https://bank.example/app/").unwrap();
    let stage = Stage::with(settings, |builder| builder.with_identity(identify));
    let requirement = transfer()
        .with_subtitle("From your current account")
        .with_description_from(|view| Ok(format!("{} {}", view.method(), view.path())))
        .with_json_field("amount", "Amount", DataType::CurrencyUsd, "/amount")
        .with_field("to", "Recipient", DataType::PartyName, |view| {
            view.json()?["recipient"].as_str().map(str::to_owned).ok_or_else(|| FieldError::invalid("is required"))
        });
    stage.key(&requirement, &Call::transfer()).await;
    let sent = serde_json::to_value(stage.relay.last()).unwrap();
    assert_eq!(
        sent["display"],
        json!({"title": "Transfer", "subtitle": "From your current account", "fields": [
            {"key": "amount", "title": "Amount", "value": "1000.00", "data_type": "CURRENCY_USD"},
            {"key": "to", "title": "Recipient", "value": "ACME Corp", "data_type": "PARTY_NAME"},
        ]})
    );
    assert_eq!(sent["description"], "POST /transfer");
    assert_eq!(sent["ttl_seconds"], 180);
    assert_eq!(sent["backend_url"], "https://bank.example/app");
    assert_eq!(sent["callback_url"], "https://bank.example/app/api/sudo-callback");
    assert_eq!(sent["user_socket_hash"], "jane-0001");
    assert_eq!(sent.get("numbers"), None);
    assert!(sent["response_token"].as_str().unwrap().len() >= 32);
}

#[tokio::test]
async fn without_a_public_address_none_is_invented() {
    let stage = Stage::new();
    stage.key(&transfer(), &Call::transfer().with("host", "evil.example")).await;
    let sent = stage.relay.last();
    assert_eq!((sent.backend_url.as_str(), sent.callback_url), ("https://backend.invalid", None));
}

#[tokio::test]
async fn the_same_request_gets_the_same_key_and_no_second_prompt() {
    let stage = Stage::new();
    let first = Call::transfer().heard(&stage.engine, &transfer()).await;
    let second = Call::transfer().heard(&stage.engine, &transfer()).await;
    assert_eq!(first, second);
    assert_eq!(stage.relay.challenges().len(), 1);
}

#[tokio::test]
async fn without_an_initiator_or_a_binding_no_two_requests_are_the_same() {
    let stage = Stage::new();
    let nameless = Call::transfer().without("x-session");
    assert_ne!(stage.key(&transfer(), &nameless).await, stage.key(&transfer(), &nameless).await);
    let stage = Stage::new();
    let unbound = transfer().insecure_without_binding();
    assert_ne!(stage.key(&unbound, &Call::transfer()).await, stage.key(&unbound, &Call::transfer()).await);
}

#[tokio::test]
async fn an_unbound_approval_runs_another_request_of_the_same_session_only() {
    let stage = Stage::new();
    let unbound = transfer().insecure_without_binding();
    let key = stage.approved(&unbound, &Call::transfer()).await;
    let elsewhere = Call::transfer_of(7).from("jane-0001", "two").key(&key);
    elsewhere.refused(&stage.engine, &unbound, ErrorCode::SudoActionExpired).await;
    let other_action = SudoRequirement::new("close_account").insecure_without_binding();
    Call::transfer().key(&key).refused(&stage.engine, &other_action, ErrorCode::SudoRequestMismatch).await;
    Call::transfer_of(7).key(&key).passed(&stage.engine, &unbound).await;
}

#[rstest]
#[case::relay_away(Mood::Away)]
#[case::relay_unreadable(Mood::Unreadable)]
#[case::relay_failing(Mood::Refuses(503, ErrorCode::StorageUnavailable))]
#[case::tenant_suspended(Mood::Refuses(403, ErrorCode::TenantSuspended))]
#[tokio::test]
async fn a_relay_that_does_not_take_the_prompt_is_503_and_leaves_nothing_open(#[case] mood: Mood) {
    let stage = Stage::new();
    stage.relay.set(mood);
    let heard = Call::transfer().heard(&stage.engine, &transfer()).await;
    heard.assert_error(ErrorCode::SudoRelayUnavailable);
    assert!(heard.header("retry-after").is_some());
    let first = stage.relay.last().instruction_id;
    assert_eq!(stage.status(first.as_str()).await, InstructionStatus::Expired);
    stage.relay.until(|relay| relay.cancelled() == [first.clone()]).await;
    stage.relay.set(Mood::Delivers);
    assert_ne!(stage.key(&transfer(), &Call::transfer()).await, first.as_str());
}

#[tokio::test]
async fn a_relay_that_is_busy_is_429_with_its_own_time() {
    let stage = Stage::new();
    stage.relay.set(Mood::Refuses(429, ErrorCode::RateLimited));
    let heard = Call::transfer().heard(&stage.engine, &transfer()).await;
    heard.assert_error(ErrorCode::SudoTooManyPending);
    assert_eq!((heard.header("retry-after"), &heard.body["retry_after"]), (Some("7"), &json!(7)));
}

#[tokio::test]
async fn a_push_that_reached_nobody_still_stands() {
    let stage = Stage::new();
    stage.relay.set(Mood::Refuses(502, ErrorCode::PushNotDelivered));
    let key = stage.approved(&transfer(), &Call::transfer()).await;
    Call::transfer().key(&key).passed(&stage.engine, &transfer()).await;
}

#[rstest]
#[case(ErrorCode::PairingNotFound)]
#[case(ErrorCode::NoDevice)]
#[tokio::test]
async fn a102_a_user_without_a_phone_gets_the_ordinary_answer(#[case] code: ErrorCode) {
    let (with, without) = (Stage::new(), Stage::new());
    without.relay.set(Mood::Refuses(404, code));
    let mut answers = Vec::new();
    for stage in [&with, &without] {
        let mut heard = Call::transfer().heard(&stage.engine, &transfer()).await;
        for name in ["instruction_id", "status_url"] {
            heard.body.as_object_mut().unwrap().remove(name).unwrap();
        }
        answers.push(heard);
    }
    assert_eq!(answers[0], answers[1]);
    without.relay.set(Mood::Delivers);
    without.key(&transfer(), &Call::transfer()).await;
    assert_eq!(without.relay.challenges().len(), 2, "once there is a phone it is asked");
}

#[rstest]
#[case::first_call(false)]
#[case::second_call(true)]
#[tokio::test]
async fn a91_a_store_that_is_away_lets_nothing_run(#[case] with_key: bool) {
    let stage = Stage::new();
    let key = stage.approved(&transfer(), &Call::transfer()).await;
    stage.store.set_broken(true);
    let call = if with_key { Call::transfer().key(&key) } else { Call::transfer() };
    call.refused(&stage.engine, &transfer(), ErrorCode::SudoStateUnavailable).await;
    assert_eq!(stage.relay.challenges().len(), 1, "nobody is asked what could not be remembered");
    stage.store.set_broken(false);
    Call::transfer().key(&key).passed(&stage.engine, &transfer()).await;
}

#[tokio::test]
async fn nobody_signed_in_is_401_and_a_failing_identity_500() {
    let stage = Stage::new();
    let nobody = Call::transfer().without("x-user");
    nobody.refused(&stage.engine, &transfer(), ErrorCode::SudoUserRequired).await;
    let failing = Stage::with(settings(), |builder| builder.with_try_identity(|_| Err("session store away".into())));
    Call::transfer().refused(&failing.engine, &transfer(), ErrorCode::SudoMisconfigured).await;
    assert!(stage.relay.challenges().is_empty() && failing.relay.challenges().is_empty());
}

#[rstest]
#[case::no_other_user(transfer().with_user(|_| None), ErrorCode::SudoUserRequired)]
#[case::failing_user(transfer().with_try_user(|_| Err(FieldError::application("directory away"))), ErrorCode::SudoMisconfigured)]
#[case::failing_field(
    transfer().with_field("x", "X", DataType::RawText, |_| Err(FieldError::application("database away"))),
    ErrorCode::SudoMisconfigured
)]
#[case::failing_title(transfer().with_title_from(|_| Ok("not a number".parse::<u8>()?.to_string())), ErrorCode::SudoMisconfigured)]
#[case::broken_rule(
    transfer().with_field("x", "X", DataType::RawText, |_| Err(FieldError::invalid("is odd"))),
    ErrorCode::ValidationFailed
)]
#[case::too_long_a_value(
    transfer().with_field("x", "X", DataType::RawText, |_| Ok("x".repeat(4097))),
    ErrorCode::ValidationFailed
)]
#[case::nul(transfer().with_field("x", "X", DataType::RawText, |_| Ok("a\0b".into())), ErrorCode::ValidationFailed)]
#[case::not_json(
    transfer().with_field("x", "X", DataType::RawText, |_| Err(FieldError::NotJson)),
    ErrorCode::MalformedRequest
)]
#[case::too_long_a_title(transfer().with_title("x".repeat(129)), ErrorCode::SudoMisconfigured)]
#[case::no_action(SudoRequirement::new(""), ErrorCode::SudoMisconfigured)]
#[case::too_short_a_life(transfer().with_ttl(Duration::from_secs(9)), ErrorCode::SudoMisconfigured)]
#[case::number_nobody_sees(
    transfer().with_custom_type(CustomType::GoldenNumber).with_blocking(),
    ErrorCode::SudoMisconfigured
)]
#[tokio::test]
async fn what_cannot_be_shown_is_refused_and_nobody_is_asked(
    #[case] requirement: SudoRequirement,
    #[case] code: ErrorCode,
) {
    let stage = Stage::new();
    Call::transfer().refused(&stage.engine, &requirement, code).await;
    assert!(stage.relay.challenges().is_empty());
}

#[tokio::test]
async fn all_broken_rules_are_named_at_once() {
    let stage = Stage::new();
    let requirement = transfer()
        .with_json_field("amount", "Amount", DataType::CurrencyUsd, "/amount")
        .with_json_field("recipient", "Recipient", DataType::PartyName, "/recipient/name")
        .with_field("memo", "Memo", DataType::RawText, |_| Err(FieldError::invalid("is too rude")));
    let call = Call::transfer().body(r#"{"amount": null, "recipient": {}}"#);
    let body = call.refused(&stage.engine, &requirement, ErrorCode::ValidationFailed).await;
    assert_eq!(
        body["details"],
        json!([
            {"field": "amount", "problem": "is required"},
            {"field": "recipient.name", "problem": "is required"},
            {"field": "memo", "problem": "is too rude"},
        ])
    );
}

#[tokio::test]
async fn an_approval_may_be_someone_elses_to_give() {
    let stage = Stage::new();
    let by_the_boss = transfer().with_user(|_| UserSocketHash::parse("boss-0001").ok());
    let key = stage.approved(&by_the_boss, &Call::transfer()).await;
    assert_eq!(stage.relay.last().user_socket_hash.as_str(), "boss-0001");
    let grant = Call::transfer().key(&key).passed(&stage.engine, &by_the_boss).await;
    assert_eq!(grant.approved_by().as_str(), "boss-0001");
}

#[tokio::test]
async fn a_condition_exempts_and_a_failing_one_protects() {
    let stage = Stage::new();
    let only_large = transfer().with_condition(|view| view.json().is_ok_and(|body| body["amount"] == "1000.00"));
    assert!(matches!(Call::transfer_of(5).decision(&stage.engine, &only_large).await, Decision::Exempt));
    stage.key(&only_large, &Call::transfer()).await;
    let failing = transfer().with_try_condition(|_| Err(FieldError::application("no idea")));
    stage.key(&failing, &Call::transfer_of(5)).await;
    let nobody = Call::transfer_of(5).without("x-user");
    nobody.refused(&stage.engine, &only_large, ErrorCode::SudoUserRequired).await;
}

#[tokio::test]
async fn whoever_has_never_paired_may_pair_and_nobody_else() {
    let stage = Stage::new();
    let pairing = SudoRequirement::new("pair_device").with_enrolment_exception();
    let call = Call::new("GET", "/pair").from("jane-0001", "one");
    stage.relay.set(Mood::Refuses(404, ErrorCode::PairingNotFound));
    assert!(matches!(call.decision(&stage.engine, &pairing).await, Decision::Exempt));
    assert!(matches!(call.decision(&stage.engine, &pairing).await, Decision::Exempt));
    for protected in [Mood::Refuses(404, ErrorCode::NoDevice), Mood::Delivers] {
        stage.relay.set(protected);
        stage.key(&pairing, &call).await;
    }
    let away = Stage::new();
    away.relay.set(Mood::Away);
    call.refused(&away.engine, &pairing, ErrorCode::SudoRelayUnavailable).await;
}
