//! Callbacks of the relay: what is believed, and what decides nothing (SECURITY, "Callbacks into a backend").

use std::time::Duration;

use crate::support::{Call, OTHER_TENANT, SECRET, Stage, TENANT, callback, identify, settings, transfer};
use bloonio_sudo::instruction::InstructionStatus;
use bloonio_sudo::wire::{header, sign, webhook};
use bloonio_sudo::{Clock, CustomType, ErrorCode, MountedRoute, Secret, SudoRequirement};
use rstest::rstest;
use serde_json::{Value, json};

fn replace(call: &mut Call, name: &str, value: &str) {
    call.headers.retain(|(key, _)| key != name);
    call.headers.push((name.to_owned(), value.as_bytes().to_vec()));
}

#[rstest]
#[case::no_tenant(|call: &mut Call| call.headers.retain(|(key, _)| key != header::TENANT_ID))]
#[case::no_timestamp(|call: &mut Call| call.headers.retain(|(key, _)| key != header::TIMESTAMP))]
#[case::no_signature(|call: &mut Call| call.headers.retain(|(key, _)| key != header::SIGNATURE))]
#[case::signature_twice(|call: &mut Call| {
    let copy = call.headers.iter().find(|(key, _)| key == header::SIGNATURE).cloned().unwrap();
    call.headers.push(copy);
})]
#[case::tenant_twice(|call: &mut Call| call.headers.push((header::TENANT_ID.to_owned(), TENANT.as_bytes().to_vec())))]
#[case::upper_case(|call: &mut Call| {
    for (key, value) in &mut call.headers {
        if key == header::SIGNATURE {
            value.make_ascii_uppercase();
        }
    }
})]
#[case::another_body(|call: &mut Call| call.body.push(b' '))]
#[case::another_time(|call: &mut Call| replace(call, header::TIMESTAMP, "1800000001000"))]
#[case::another_secret(|call: &mut Call| {
    let at = bloonio_sudo::Timestamp::from_secs(1_800_000_000);
    let tag = sign::sign(&Secret::new("sk_another"), at, &call.body);
    replace(call, header::SIGNATURE, &tag.to_hex());
})]
#[case::webhook_id_alone(|call: &mut Call| call.headers.retain(|(key, _)| {
    key != header::WEBHOOK_TIMESTAMP && key != header::WEBHOOK_SIGNATURE
}))]
#[case::webhook_signature_missing(|call: &mut Call| call.headers.retain(|(key, _)| key != header::WEBHOOK_SIGNATURE))]
#[case::webhook_of_another_id(|call: &mut Call| replace(call, header::WEBHOOK_ID, "msg_2"))]
#[case::webhook_of_another_secret(|call: &mut Call| {
    let tag = webhook::sign(&Secret::new("sk_another"), "msg_1", 1_800_000_000, &call.body);
    replace(call, header::WEBHOOK_SIGNATURE, &tag);
})]
#[tokio::test]
async fn a60_a_forged_callback_is_401_and_decides_nothing(#[case] forge: fn(&mut Call)) {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    let heard = stage.callback(&stage.event(&key, true).to_string(), None, forge).await;
    heard.assert_error(ErrorCode::InvalidSignature);
    assert_eq!(stage.status(&key).await, InstructionStatus::Pending);
}

#[rstest]
#[case::just_in_time(30_000, true)]
#[case::too_late(30_001, false)]
#[case::just_early_enough(-30_000, true)]
#[case::too_early(-30_001, false)]
#[tokio::test]
async fn a61_a_callback_is_good_for_thirty_seconds(#[case] after_ms: i64, #[case] taken: bool) {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    let signed_at = stage.clock.now();
    let call = callback(&stage.event(&key, true).to_string(), None, signed_at, |_| {});
    stage.clock.set(bloonio_sudo::Timestamp::from_millis(signed_at.as_millis() + after_ms));
    let heard = stage.serve(MountedRoute::Callback, &call).await;
    if taken {
        heard.assert(200)
    } else {
        heard.assert_error(ErrorCode::TimestampOutOfWindow)
    }
    assert_eq!(stage.status(&key).await == InstructionStatus::Validated, taken);
}

#[tokio::test]
async fn a61_a_replayed_callback_changes_nothing() {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    let call = callback(&stage.event(&key, true).to_string(), None, stage.clock.now(), |_| {});
    for _ in 0..3 {
        let heard = stage.serve(MountedRoute::Callback, &call).await;
        heard.assert(200);
        assert_eq!(heard.body, json!({"acknowledged": true}));
    }
    Call::transfer().key(&key).passed(&stage.engine, &transfer()).await;
    stage.serve(MountedRoute::Callback, &call).await.assert(200);
    assert_eq!(stage.status(&key).await, InstructionStatus::Consumed);
}

#[tokio::test]
async fn a61_an_event_of_one_instruction_does_not_decide_another() {
    let stage = Stage::new();
    let (one, other) = (Call::transfer_of(1), Call::transfer_of(2));
    let (one, other) = (stage.key(&transfer(), &one).await, stage.key(&transfer(), &other).await);
    let mut event = stage.event(&one, true);
    event["instruction_id"] = json!(other);
    stage.tell(&event).await.assert_error(ErrorCode::MalformedRequest);
    assert_eq!(stage.status(&one).await, InstructionStatus::Pending);
    assert_eq!(stage.status(&other).await, InstructionStatus::Pending);
}

#[rstest]
#[case::without_webhook_headers(|call: &mut Call| call.headers.retain(|(key, _)| !key.starts_with("webhook-")))]
#[case::with_them(|_: &mut Call| {})]
#[tokio::test]
async fn a_signed_callback_decides(#[case] shape: fn(&mut Call)) {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    stage.callback(&stage.event(&key, true).to_string(), None, shape).await.assert(200);
    assert_eq!(stage.status(&key).await, InstructionStatus::Validated);
}

#[tokio::test]
async fn only_a_signed_webhook_id_is_kept() {
    let stage = Stage::new();
    let key = stage.approved(&transfer(), &Call::transfer()).await;
    let kept = stage.instruction(&key).await.decision.unwrap().verdict.webhook_id;
    assert_eq!(kept.as_deref(), Some("msg_1"));
}

#[rstest]
#[case::other_tenant_in_the_body(|event: &mut Value| event["tenant_id"] = json!(OTHER_TENANT), ErrorCode::Forbidden)]
#[case::other_user(|event: &mut Value| event["user_socket_hash"] = json!("john-0001"), ErrorCode::Forbidden)]
#[case::unknown(|event: &mut Value| event["instruction_id"] = json!("instruction-unknown"), ErrorCode::NotFound)]
#[case::not_boolean(|event: &mut Value| event["approved"] = json!("true"), ErrorCode::MalformedRequest)]
#[case::no_answer(|event: &mut Value| drop(event.as_object_mut().unwrap().remove("approved")), ErrorCode::MalformedRequest)]
#[case::null_answer(|event: &mut Value| event["approved"] = Value::Null, ErrorCode::MalformedRequest)]
#[case::unknown_outcome(|event: &mut Value| event["outcome"] = json!("maybe"), ErrorCode::MalformedRequest)]
#[case::contradictory_outcome(|event: &mut Value| event["outcome"] = json!("rejected"), ErrorCode::MalformedRequest)]
#[case::other_event(|event: &mut Value| event["event_id"] = json!("0123456789abcdef01234567"), ErrorCode::MalformedRequest)]
#[case::other_digest(|event: &mut Value| event["challenge_digest"] = json!("00"), ErrorCode::MalformedRequest)]
#[case::odd_response(|event: &mut Value| event["response_data"] = json!([]), ErrorCode::MalformedRequest)]
#[case::malformed_id(|event: &mut Value| event["instruction_id"] = json!("x"), ErrorCode::MalformedRequest)]
#[tokio::test]
async fn an_event_that_does_not_fit_decides_nothing(#[case] spoil: fn(&mut Value), #[case] code: ErrorCode) {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    let mut event = stage.event(&key, true);
    spoil(&mut event);
    stage.tell(&event).await.assert_error(code);
    assert_eq!(stage.status(&key).await, InstructionStatus::Pending);
}

#[tokio::test]
async fn a19_a_callback_of_another_tenant_is_403() {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    let other = |call: &mut Call| replace(call, header::TENANT_ID, OTHER_TENANT);
    let heard = stage.callback(&stage.event(&key, true).to_string(), None, other).await;
    heard.assert_error(ErrorCode::Forbidden);
    assert_eq!(stage.status(&key).await, InstructionStatus::Pending);
}

#[rstest]
#[case::not_json("{")]
#[case::empty("")]
#[case::list("[]")]
#[case::answer_twice(r#"{"approved": false, "approved": true}"#)]
#[tokio::test]
async fn a_signed_body_that_cannot_be_read_is_400(#[case] body: &str) {
    let stage = Stage::new();
    stage.callback(body, None, |_| {}).await.assert_error(ErrorCode::MalformedRequest);
}

#[tokio::test]
async fn a_signed_body_that_is_no_utf8_is_400_even_in_a_field_that_nobody_reads() {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    let mut event = stage.event(&key, true);
    event["note"] = json!("?");
    let spoil = |call: &mut Call| {
        let mark = call.body.iter().position(|byte| *byte == b'?').unwrap();
        call.body[mark] = 0xff;
        call.headers.retain(|(key, _)| !key.starts_with("webhook-"));
        let at = bloonio_sudo::Timestamp::from_secs(1_800_000_000);
        replace(call, header::SIGNATURE, &sign::sign(&Secret::new(SECRET), at, &call.body).to_hex());
    };
    let heard = stage.callback(&event.to_string(), None, spoil).await;
    heard.assert_error(ErrorCode::MalformedRequest);
    assert_eq!(stage.status(&key).await, InstructionStatus::Pending);
}

#[rstest]
#[case("sudo-validated", true, true)]
#[case("sudo-validated", false, false)]
#[case("sudo-rejected", false, true)]
#[case("sudo-rejected", true, false)]
#[case("sudo-odd", true, false)]
#[case("", true, false)]
#[tokio::test]
async fn a_flow_must_agree_with_the_answer(#[case] flow: &str, #[case] approved: bool, #[case] taken: bool) {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    let heard = stage.callback(&stage.event(&key, approved).to_string(), Some(flow), |_| {}).await;
    if taken {
        heard.assert(200)
    } else {
        heard.assert_error(ErrorCode::MalformedRequest)
    }
    assert_eq!(stage.status(&key).await != InstructionStatus::Pending, taken);
}

#[rstest]
#[case::approve_then_deny(true)]
#[case::deny_then_approve(false)]
#[tokio::test]
async fn a26_the_first_decision_stays(#[case] first: bool) {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    stage.tell(&stage.event(&key, first)).await.assert(200);
    stage.tell(&stage.event(&key, !first)).await.assert(200);
    let expected = if first { InstructionStatus::Validated } else { InstructionStatus::Denied };
    assert_eq!(stage.status(&key).await, expected);
}

#[tokio::test]
async fn a25_an_approval_after_expiry_is_acknowledged_and_worthless() {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    stage.clock.advance(Duration::from_secs(180));
    stage.tell(&stage.event(&key, true)).await.assert(200);
    assert_eq!(stage.status(&key).await, InstructionStatus::Expired);
    Call::transfer().key(&key).refused(&stage.engine, &transfer(), ErrorCode::SudoActionExpired).await;
}

#[tokio::test]
async fn a24_an_approval_is_good_until_its_execution_window_ends() {
    for (after, used) in [(179_999, true), (180_000, false)] {
        let stage = Stage::new();
        let key = stage.approved(&transfer(), &Call::transfer()).await;
        stage.clock.advance(Duration::from_millis(after));
        let call = Call::transfer().key(&key);
        if used {
            call.passed(&stage.engine, &transfer()).await;
        } else {
            call.refused(&stage.engine, &transfer(), ErrorCode::SudoActionExpired).await;
        }
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_503_and_the_repeat_counts() {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    stage.store.set_broken(true);
    let heard = stage.tell(&stage.event(&key, true)).await;
    heard.assert_error(ErrorCode::SudoStateUnavailable);
    assert!(heard.header("retry-after").is_some());
    stage.store.set_broken(false);
    stage.tell(&stage.event(&key, true)).await.assert(200);
    assert_eq!(stage.status(&key).await, InstructionStatus::Validated);
}

#[tokio::test]
async fn an_absent_digest_counts_unless_it_is_required() {
    for required in [false, true] {
        let stage = Stage::with(settings(), |builder| {
            let builder = builder.with_identity(identify);
            if required { builder.with_required_challenge_digest() } else { builder }
        });
        let key = stage.key(&transfer(), &Call::transfer()).await;
        let mut event = stage.event(&key, true);
        event.as_object_mut().unwrap().remove("challenge_digest");
        let heard = stage.tell(&event).await;
        if required { heard.assert_error(ErrorCode::MalformedRequest) } else { heard.assert(200) }
    }
}

fn golden() -> SudoRequirement {
    transfer().with_custom_type(CustomType::GoldenNumber)
}

#[rstest]
#[case::right(0, InstructionStatus::Validated)]
#[case::one_too_many(1, InstructionStatus::Denied)]
#[case::none_at_all(i64::MAX, InstructionStatus::Denied)]
#[tokio::test]
async fn a33_only_the_right_number_approves_and_one_wrong_one_denies(
    #[case] off_by: i64,
    #[case] expected: InstructionStatus,
) {
    let stage = Stage::new();
    let body = Call::transfer().refused(&stage.engine, &golden(), ErrorCode::SudoInstructionKeyRequired).await;
    let (key, number) = (body["instruction_id"].as_str().unwrap(), body["golden_number"].as_i64().unwrap());
    assert!((10..=99).contains(&number));
    let mut event = stage.event(key, true);
    if off_by != i64::MAX {
        event["response_data"]["selected_number"] = json!(number + off_by);
    }
    stage.tell(&event).await.assert(200);
    assert_eq!(stage.status(key).await, expected);
}

#[tokio::test]
async fn a34_the_number_is_not_in_what_the_relay_is_told() {
    let stage = Stage::new();
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..40 {
        let call = Call::transfer_of(n).from(&format!("user-{n:04}"), "one");
        let body = call.refused(&stage.engine, &golden(), ErrorCode::SudoInstructionKeyRequired).await;
        seen.insert(body["golden_number"].as_i64().unwrap());
        let sent = serde_json::to_value(stage.relay.last()).unwrap();
        assert_eq!(sent.get("numbers"), None);
        assert_eq!(sent.get("golden_number"), None);
    }
    assert!(seen.len() > 10, "numbers are drawn, not fixed: {seen:?}");
}

#[rstest]
#[case(json!({"totp_verified": true}), InstructionStatus::Validated)]
#[case(json!({"totp_verified": false}), InstructionStatus::Denied)]
#[case(json!({}), InstructionStatus::Denied)]
#[tokio::test]
async fn a_code_counts_only_where_the_relay_verified_it(#[case] data: Value, #[case] expected: InstructionStatus) {
    let stage = Stage::new();
    let key = stage.key(&transfer().with_custom_type(CustomType::Totp), &Call::transfer()).await;
    let mut event = stage.event(&key, true);
    event["response_data"] = data;
    stage.tell(&event).await.assert(200);
    assert_eq!(stage.status(&key).await, expected);
}

#[tokio::test]
async fn pairings_are_told_to_the_application_once_the_signature_holds() {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let stage = Stage::with(settings(), move |builder| {
        builder.with_identity(identify).on_pairing_event(move |event| told.send(event).unwrap())
    });
    let body = json!({
        "user_socket_hash": "jane-0001", "backend_user_id": "jane", "device_id": "0123456789abcdef01234567",
        "relay_user_linked_id": "0123456789abcdef01234567",
    })
    .to_string();
    let forged = |call: &mut Call| replace(call, header::TIMESTAMP, "1800000000001");
    stage.callback(&body, Some("pairing-completed"), forged).await.assert_error(ErrorCode::InvalidSignature);
    stage.callback(&body, Some("pairing-completed"), |_| {}).await.assert(200);
    stage.callback(&body, Some("device-added"), |_| {}).await.assert(200);
    stage.callback("{}", Some("device-added"), |_| {}).await.assert_error(ErrorCode::MalformedRequest);
    let (first, second) = (heard.try_recv().unwrap(), heard.try_recv().unwrap());
    assert_eq!((first.user_socket_hash.as_str(), first.is_first_device), ("jane-0001", true));
    assert!(!second.is_first_device);
    assert!(heard.try_recv().is_err());
}

#[rstest]
#[case(MountedRoute::Callback, "GET", "POST")]
#[case(MountedRoute::SubmitResponse, "PUT", "POST")]
#[case(MountedRoute::InstructionStatus, "POST", "GET")]
#[tokio::test]
async fn other_methods_are_405(#[case] route: MountedRoute, #[case] method: &str, #[case] allowed: &str) {
    let stage = Stage::new();
    let heard = stage.serve(route, &Call::new(method, "/")).await;
    heard.assert_error(ErrorCode::MethodNotAllowed);
    assert_eq!(heard.header("allow"), Some(allowed));
}
