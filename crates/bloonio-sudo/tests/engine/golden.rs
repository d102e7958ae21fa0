//! Golden numbers to pick from (PROTOCOL 5; SECURITY, "Attention and guessing"; ATTACKS A33, A34).

use crate::support::{Call, Stage, transfer};
use bloonio_sudo::instruction::InstructionStatus;
use bloonio_sudo::store::WRONG_NUMBERS_TO_TYPE;
use bloonio_sudo::{CustomType, ErrorCode, SudoRequirement};
use serde_json::json;

fn picked() -> SudoRequirement {
    transfer().with_custom_type(CustomType::GoldenNumber).with_golden_choices(3)
}

/// Asks; gives the key, the right number, and the numbers that the phone offers.
async fn ask(stage: &Stage, call: &Call) -> (String, i64, Option<Vec<i64>>) {
    let body = call.refused(&stage.engine, &picked(), ErrorCode::SudoInstructionKeyRequired).await;
    let key = body["instruction_id"].as_str().unwrap().to_owned();
    (key, body["golden_number"].as_i64().unwrap(), stage.relay.last().numbers)
}

async fn answer(stage: &Stage, key: &str, number: i64) {
    let mut event = stage.event(key, true);
    event["response_data"]["selected_number"] = json!(number);
    stage.tell(&event).await.assert(200);
}

#[tokio::test]
async fn the_phone_offers_three_numbers_and_the_right_one_approves() {
    let stage = Stage::new();
    let (key, right, offered) = ask(&stage, &Call::transfer()).await;
    let offered = offered.expect("numbers to pick from");
    assert_eq!((offered.len(), offered.iter().filter(|number| **number == right).count()), (3, 1), "{offered:?}");
    answer(&stage, &key, right).await;
    assert_eq!(stage.status(&key).await, InstructionStatus::Validated);
}

#[tokio::test]
async fn a33_one_wrong_pick_denies() {
    let stage = Stage::new();
    let (key, right, offered) = ask(&stage, &Call::transfer()).await;
    let wrong = offered.unwrap().into_iter().find(|number| *number != right).unwrap();
    answer(&stage, &key, wrong).await;
    assert_eq!(stage.status(&key).await, InstructionStatus::Denied);
    answer(&stage, &key, right).await;
    assert_eq!(stage.status(&key).await, InstructionStatus::Denied);
}

#[tokio::test]
async fn a33_from_the_third_wrong_number_in_a_day_on_numbers_must_be_typed() {
    let stage = Stage::new();
    for n in 0..WRONG_NUMBERS_TO_TYPE {
        // Each from a session of its own: three denials would silence one.
        let (key, right, offered) = ask(&stage, &Call::transfer().from("jane-0001", &format!("session {n}"))).await;
        let offered = offered.unwrap_or_else(|| panic!("prompt {n} offers numbers"));
        answer(&stage, &key, offered.into_iter().find(|number| *number != right).unwrap()).await;
    }
    let (_, _, offered) = ask(&stage, &Call::transfer().from("jane-0001", "another session")).await;
    assert_eq!(offered, None);
    let (_, _, offered) = ask(&stage, &Call::transfer().from("john-0001", "one")).await;
    assert!(offered.is_some(), "another user may pick");
}
