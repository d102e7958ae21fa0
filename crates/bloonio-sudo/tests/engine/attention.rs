//! What the user is spared (SECURITY, "Attention and guessing").

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::{Call, Heard, SECRET, Stage, TENANT, identify, transfer};
use bloonio_sudo::{CustomType, ErrorCode, RelaySettings};

async fn turned_away(stage: &Stage, call: &Call) -> u64 {
    let heard: Heard = call.heard(&stage.engine, &transfer()).await;
    heard.assert_error(ErrorCode::SudoTooManyPending);
    let seconds = heard.header("retry-after").unwrap().parse().unwrap();
    assert_eq!(heard.body["retry_after"], seconds);
    seconds
}

#[tokio::test]
async fn a30_a_session_has_two_open_prompts_and_a_user_three() {
    let stage = Stage::new();
    for n in 0..2 {
        stage.key(&transfer(), &Call::transfer_of(n)).await;
    }
    assert_eq!(turned_away(&stage, &Call::transfer_of(2)).await, 180);
    // A32: the user's own other session still has a place.
    let other = |n| Call::transfer_of(n).from("jane-0001", "two");
    let third = stage.key(&transfer(), &other(3)).await;
    turned_away(&stage, &other(4)).await;
    stage.key(&transfer(), &Call::transfer_of(5).from("john-0001", "one")).await;
    stage.tell(&stage.event(&third, true)).await.assert(200);
    stage.key(&transfer(), &other(4)).await;
}

#[tokio::test]
async fn a31_the_same_request_is_not_asked_again_for_thirty_seconds_after_a_denial() {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    stage.tell(&stage.event(&key, false)).await.assert(200);
    Call::transfer().key(&key).refused(&stage.engine, &transfer(), ErrorCode::SudoActionDenied).await;
    assert_eq!(turned_away(&stage, &Call::transfer()).await, 30);
    stage.clock.advance(Duration::from_millis(29_001));
    assert_eq!(turned_away(&stage, &Call::transfer()).await, 1);
    assert_eq!(stage.relay.challenges().len(), 1);
    stage.clock.advance(Duration::from_millis(999));
    let anew = stage.key(&transfer(), &Call::transfer()).await;
    assert_ne!(anew, key);
    Call::transfer().key(&key).refused(&stage.engine, &transfer(), ErrorCode::SudoActionDenied).await;
}

#[tokio::test]
async fn nor_after_a_timeout() {
    let stage = Stage::new();
    stage.key(&transfer(), &Call::transfer()).await;
    stage.clock.advance(Duration::from_secs(180));
    assert_eq!(turned_away(&stage, &Call::transfer()).await, 30);
    stage.clock.advance(Duration::from_secs(30));
    stage.key(&transfer(), &Call::transfer()).await;
}

#[tokio::test]
async fn three_denials_silence_the_session_and_alert_the_user() {
    let stage = Stage::new();
    for n in 0..3 {
        assert_eq!(stage.relay.alerts(), []);
        let key = stage.key(&transfer(), &Call::transfer_of(n)).await;
        stage.tell(&stage.event(&key, false)).await.assert(200);
    }
    assert_eq!(turned_away(&stage, &Call::transfer_of(9)).await, 60);
    stage.relay.until(|relay| relay.alerts().len() == 1).await;
    assert_eq!(stage.relay.alerts()[0].user_socket_hash.as_str(), "jane-0001");
    stage.key(&transfer(), &Call::transfer_of(9).from("jane-0001", "two")).await;
    stage.clock.advance(Duration::from_secs(60));
    for n in 10..13 {
        let key = stage.key(&transfer(), &Call::transfer_of(n)).await;
        stage.tell(&stage.event(&key, false)).await.assert(200);
    }
    assert_eq!(turned_away(&stage, &Call::transfer_of(20)).await, 120);
    stage.relay.until(|relay| relay.alerts().len() == 2).await;
}

#[tokio::test]
async fn wrong_numbers_count_as_denials() {
    let stage = Stage::new();
    let golden = transfer().with_custom_type(CustomType::GoldenNumber);
    for n in 0..3 {
        let key = stage.key(&golden, &Call::transfer_of(n)).await;
        let mut event = stage.event(&key, true);
        event["response_data"]["selected_number"] = 5.into();
        stage.tell(&event).await.assert(200);
    }
    assert_eq!(turned_away(&stage, &Call::transfer_of(9)).await, 60);
}

#[tokio::test]
async fn open_prompts_of_a_user_show_different_numbers() {
    let golden = transfer().with_custom_type(CustomType::GoldenNumber);
    for round in 0..50 {
        let stage = Stage::new();
        let mut numbers = BTreeSet::new();
        for (n, session) in ["one", "two", "three"].into_iter().enumerate() {
            let call = Call::transfer_of(n).from("jane-0001", session);
            let body = call.refused(&stage.engine, &golden, ErrorCode::SudoInstructionKeyRequired).await;
            numbers.insert(body["golden_number"].as_u64().unwrap());
        }
        assert_eq!(numbers.len(), 3, "round {round}");
    }
}

#[tokio::test]
async fn however_many_prompts_a_user_may_have_each_golden_number_is_his_only_one() {
    let settings = RelaySettings::from_lookup(|name| match name {
        "BLOONIO_RELAY_BASE_URL" => Some("https://relay.example".to_owned()),
        "BLOONIO_RELAY_TENANT_ID" => Some(TENANT.to_owned()),
        "BLOONIO_RELAY_TENANT_SECRET" => Some(SECRET.to_owned()),
        "BLOONIO_RELAY_STATE_BACKEND" => Some("memory".to_owned()),
        "BLOONIO_RELAY_MAX_PENDING_PER_USER" | "BLOONIO_RELAY_MAX_PENDING_PER_INITIATOR" => Some("1000".to_owned()),
        _ => None,
    });
    let stage = Stage::with(settings.unwrap(), |builder| builder.with_identity(identify));
    let golden = transfer().with_custom_type(CustomType::GoldenNumber);
    let mut numbers = BTreeSet::new();
    for n in 0..50 {
        let body = Call::transfer_of(n).refused(&stage.engine, &golden, ErrorCode::SudoInstructionKeyRequired).await;
        numbers.insert(body["golden_number"].as_u64().unwrap());
    }
    assert_eq!(numbers.len(), 50);
    Call::transfer_of(50).refused(&stage.engine, &golden, ErrorCode::SudoTooManyPending).await;
    // Prompts without a number have room left.
    stage.key(&transfer(), &Call::transfer_of(51)).await;
}

#[tokio::test]
async fn a20_keys_are_drawn_and_share_nothing() {
    let stage = Stage::new();
    let mut keys = BTreeSet::new();
    for n in 0..500 {
        keys.insert(stage.key(&transfer(), &Call::transfer_of(n).from(&format!("user-{n:04}"), "one")).await);
    }
    assert_eq!(keys.len(), 500);
    for key in &keys {
        assert!(key.len() == 40 && key.bytes().all(|b| b.is_ascii_hexdigit()), "160 bits in hex");
    }
    // Each of the 16 digits at each of the 40 places: about 31 times in 500; a biased or counting source shows at once.
    for place in 0..40 {
        for digit in "0123456789abcdef".bytes() {
            let seen = keys.iter().filter(|key| key.as_bytes()[place] == digit).count();
            assert!((3..=80).contains(&seen), "digit {} at {place}: {seen} times", char::from(digit));
        }
    }
}
