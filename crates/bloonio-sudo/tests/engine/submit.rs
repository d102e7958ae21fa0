//! A device's answer, straight to the backend (PROTOCOL 9.4).

use crate::support::{Call, Heard, Mood, PAIRING, RIGHT_CODE, Stage, transfer};
use bloonio_sudo::instruction::InstructionStatus;
use bloonio_sudo::{CustomType, ErrorCode, MountedRoute};
use rstest::rstest;
use serde_json::{Value, json};

async fn submit(stage: &Stage, body: &Value) -> Heard {
    let call = Call::new("POST", "/_bloonio/submit-response").body(&body.to_string());
    stage.serve(MountedRoute::SubmitResponse, &call).await
}

fn answer(stage: &Stage, key: &str, approved: bool) -> Value {
    let sent = stage.relay.challenges().into_iter().find(|sent| sent.instruction_id.as_str() == key).unwrap();
    json!({
        "instruction_id": key, "approved": approved, "custom_type": sent.custom_type,
        "response_token": sent.response_token,
    })
}

#[rstest]
#[case(true, InstructionStatus::Validated)]
#[case(false, InstructionStatus::Denied)]
#[tokio::test]
async fn an_answer_with_its_token_counts_once(#[case] approved: bool, #[case] expected: InstructionStatus) {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    submit(&stage, &answer(&stage, &key, approved)).await.assert(200);
    assert_eq!(stage.status(&key).await, expected);
    for repeat in [approved, !approved] {
        submit(&stage, &answer(&stage, &key, repeat)).await.assert_error(ErrorCode::AlreadyDecided);
    }
    assert_eq!(stage.status(&key).await, expected);
}

#[tokio::test]
async fn an_unknown_instruction_answers_like_a_bad_token() {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    let good = answer(&stage, &key, true);
    let mut heard = Vec::new();
    for (name, value) in [
        ("response_token", json!("0".repeat(64))),
        ("response_token", json!("")),
        ("response_token", Value::Null),
        ("instruction_id", json!("instruction-unknown")),
    ] {
        let mut body = good.clone();
        body[name] = value;
        heard.push(submit(&stage, &body).await);
    }
    let signed = json!({"instruction_id": key, "approved": true, "custom_type": "localAuth", "signature": "c2lnbmVk"});
    heard.push(submit(&stage, &signed).await);
    for other in &heard {
        other.assert_error(ErrorCode::InvalidResponseToken);
        assert_eq!(other, &heard[0]);
    }
    assert_eq!(stage.status(&key).await, InstructionStatus::Pending);
}

#[tokio::test]
async fn a_token_of_one_instruction_does_not_answer_another() {
    let stage = Stage::new();
    let (one, other) = (Call::transfer_of(1), Call::transfer_of(2));
    let (one, other) = (stage.key(&transfer(), &one).await, stage.key(&transfer(), &other).await);
    let mut body = answer(&stage, &one, true);
    body["instruction_id"] = json!(other);
    submit(&stage, &body).await.assert_error(ErrorCode::InvalidResponseToken);
}

#[tokio::test]
async fn the_stored_type_decides_and_every_broken_rule_is_named() {
    let stage = Stage::new();
    let key = stage.key(&transfer().with_custom_type(CustomType::GoldenNumber), &Call::transfer()).await;
    let mut body = answer(&stage, &key, true);
    let without_number = submit(&stage, &body).await;
    without_number.assert_error(ErrorCode::ValidationFailed);
    assert_eq!(without_number.body["details"][0]["field"], "selected_number");
    body["custom_type"] = json!("localAuth");
    let downgraded = submit(&stage, &body).await;
    downgraded.assert_error(ErrorCode::ValidationFailed);
    assert_eq!(downgraded.body["details"][0]["field"], "custom_type");
    let odd = submit(&stage, &json!({"approved": "yes", "custom_type": "sms", "selected_number": "7"})).await;
    odd.assert_error(ErrorCode::ValidationFailed);
    let fields: Vec<_> = odd.body["details"].as_array().unwrap().iter().map(|d| d["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["instruction_id", "approved", "custom_type", "selected_number"]);
    assert_eq!(stage.status(&key).await, InstructionStatus::Pending);
}

#[rstest]
#[case::right(true)]
#[case::wrong(false)]
#[tokio::test]
async fn a_wrong_number_is_recorded_as_a_denial(#[case] right: bool) {
    let stage = Stage::new();
    let requirement = transfer().with_custom_type(CustomType::GoldenNumber);
    let refused = Call::transfer().refused(&stage.engine, &requirement, ErrorCode::SudoInstructionKeyRequired).await;
    let (key, number) = (refused["instruction_id"].as_str().unwrap(), refused["golden_number"].as_i64().unwrap());
    let mut body = answer(&stage, key, true);
    body["selected_number"] = json!(if right { number } else { number ^ 1 });
    submit(&stage, &body).await.assert(200);
    let expected = if right { InstructionStatus::Validated } else { InstructionStatus::Denied };
    assert_eq!(stage.status(key).await, expected);
}

/// A prompt that asks for a code, on a stage that knows Jane's phone.
async fn asked_for_code(pairings: &[&str]) -> (Stage, String) {
    let stage = Stage::new();
    for (n, pairing) in pairings.iter().enumerate() {
        let body = json!({
            "user_socket_hash": "jane-0001", "backend_user_id": "7", "relay_user_linked_id": pairing,
            "device_id": format!("{n:024}"),
        });
        stage.callback(&body.to_string(), Some("pairing-completed"), |_| {}).await.assert(200);
    }
    let key = stage.key(&transfer().with_custom_type(CustomType::Totp), &Call::transfer()).await;
    (stage, key)
}

async fn submit_code(stage: &Stage, key: &str, code: Value) -> Heard {
    let mut body = answer(stage, key, true);
    body["totp_code"] = code;
    submit(stage, &body).await
}

#[rstest]
#[case::one_pairing(&[PAIRING])]
#[case::an_older_pairing_beside_it(&["000000000000000000000000", PAIRING])]
#[tokio::test]
async fn the_relay_says_whether_a_code_is_right(#[case] pairings: &[&str]) {
    let (stage, key) = asked_for_code(pairings).await;
    submit_code(&stage, &key, json!(RIGHT_CODE)).await.assert(200);
    assert_eq!(stage.status(&key).await, InstructionStatus::Validated);
}

#[tokio::test]
async fn two_wrong_codes_are_401_and_the_third_denies() {
    let (stage, key) = asked_for_code(&[PAIRING]).await;
    for _ in 0..2 {
        submit_code(&stage, &key, json!("111111")).await.assert_error(ErrorCode::InvalidTotp);
        assert_eq!(stage.status(&key).await, InstructionStatus::Pending);
    }
    submit_code(&stage, &key, json!("111111")).await.assert(200);
    assert_eq!(stage.status(&key).await, InstructionStatus::Denied);
    submit_code(&stage, &key, json!(RIGHT_CODE)).await.assert_error(ErrorCode::AlreadyDecided);
    stage.relay.until(|relay| relay.cancelled().len() == 1).await;
}

#[rstest]
#[case(json!("12345"))]
#[case(json!("1234567"))]
#[case(json!("12345a"))]
#[case(Value::Null)]
#[tokio::test]
async fn what_is_no_code_is_422_and_counts_for_nothing(#[case] code: Value) {
    let (stage, key) = asked_for_code(&[PAIRING]).await;
    for _ in 0..4 {
        let heard = submit_code(&stage, &key, code.clone()).await;
        heard.assert_error(ErrorCode::ValidationFailed);
        assert_eq!(heard.body["details"][0]["field"], "totp_code");
    }
    assert!(stage.relay.codes().is_empty());
}

#[tokio::test]
async fn a_code_that_nobody_can_check_decides_nothing() {
    let (stage, key) = asked_for_code(&[PAIRING]).await;
    stage.relay.set(Mood::Away);
    submit_code(&stage, &key, json!(RIGHT_CODE)).await.assert_error(ErrorCode::SudoRelayUnavailable);
    stage.relay.set(Mood::Refuses(429, ErrorCode::RateLimited));
    let later = submit_code(&stage, &key, json!(RIGHT_CODE)).await;
    later.assert_error(ErrorCode::RateLimited);
    assert_eq!(later.header("retry-after"), Some("7"));
    assert_eq!(stage.status(&key).await, InstructionStatus::Pending);
    let (stage, key) = asked_for_code(&[]).await;
    submit_code(&stage, &key, json!(RIGHT_CODE)).await.assert_error(ErrorCode::ValidationFailed);
    assert_eq!(stage.status(&key).await, InstructionStatus::Pending);
}

#[tokio::test]
async fn a_denial_needs_no_code() {
    let (stage, key) = asked_for_code(&[PAIRING]).await;
    submit(&stage, &answer(&stage, &key, false)).await.assert(200);
    assert_eq!(stage.status(&key).await, InstructionStatus::Denied);
}

#[tokio::test]
async fn noise_is_400_and_a_store_away_503() {
    let stage = Stage::new();
    let noise = Call::new("POST", "/_bloonio/submit-response").body("{");
    stage.serve(MountedRoute::SubmitResponse, &noise).await.assert_error(ErrorCode::MalformedRequest);
    let key = stage.key(&transfer(), &Call::transfer()).await;
    stage.store.set_broken(true);
    submit(&stage, &answer(&stage, &key, true)).await.assert_error(ErrorCode::SudoStateUnavailable);
}

#[tokio::test]
async fn the_token_is_dead_once_it_is_over() {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    stage.clock.advance(std::time::Duration::from_secs(180));
    submit(&stage, &answer(&stage, &key, true)).await.assert_error(ErrorCode::AlreadyDecided);
    assert_eq!(stage.status(&key).await, InstructionStatus::Expired);
}
