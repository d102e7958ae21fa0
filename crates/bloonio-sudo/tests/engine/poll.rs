//! Decisions fetched from the relay, for backends that no callback can reach (`OUTCOME_DELIVERY`).

use crate::support::{Call, Stage, identify, settings, transfer};
use bloonio_sudo::client::Outcome;
use bloonio_sudo::instruction::InstructionStatus;
use bloonio_sudo::{OutcomeDelivery, RelayClient};
use rstest::rstest;
use serde_json::json;

fn polling(delivery: OutcomeDelivery) -> Stage {
    Stage::with(settings().with_outcome_delivery(delivery), |builder| builder.with_identity(identify))
}

fn decided(event: serde_json::Value) -> Outcome {
    Outcome::Decided(Box::new(serde_json::from_value(event).unwrap()))
}

/// Waits, in paused time, until the instruction has this status.
async fn until(stage: &Stage, key: &str, status: InstructionStatus) {
    while stage.status(key).await != status {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

#[rstest]
#[case(OutcomeDelivery::Poll)]
#[case(OutcomeDelivery::Both)]
#[tokio::test(start_paused = true)]
async fn a_fetched_decision_counts(#[case] delivery: OutcomeDelivery) {
    let stage = polling(delivery);
    let key = stage.key(&transfer(), &Call::transfer()).await;
    stage.relay.until(|relay| relay.asked_outcomes() == 1).await;
    stage.relay.tell(decided(stage.event(&key, true)));
    until(&stage, &key, InstructionStatus::Validated).await;
    Call::transfer().key(&key).passed(&stage.engine, &transfer()).await;
}

#[tokio::test(start_paused = true)]
async fn an_outcome_of_another_instruction_or_digest_does_not() {
    let stage = polling(OutcomeDelivery::Poll);
    let key = stage.key(&transfer(), &Call::transfer()).await;
    let mut wrong_digest = stage.event(&key, true);
    wrong_digest["challenge_digest"] = json!("00");
    let mut another = stage.event(&key, true);
    another["instruction_id"] = json!("instruction-other");
    // Told in reverse: the last is given first.
    for event in [stage.event(&key, false), another, wrong_digest] {
        stage.relay.tell(decided(event));
    }
    until(&stage, &key, InstructionStatus::Denied).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_where_callbacks_come() {
    let stage = polling(OutcomeDelivery::Callback);
    let key = stage.key(&transfer(), &Call::transfer()).await;
    stage.tell(&stage.event(&key, true)).await.assert(200);
    assert_eq!(stage.relay.asked_outcomes(), 0);
}

#[tokio::test(start_paused = true)]
async fn asking_ends_with_the_answer_and_with_the_server() {
    let stage = polling(OutcomeDelivery::Both);
    let key = stage.key(&transfer(), &Call::transfer()).await;
    stage.relay.until(|relay| relay.asked_outcomes() == 1).await;
    stage.tell(&stage.event(&key, true)).await.assert(200);
    stage.key(&transfer(), &Call::transfer_of(2)).await;
    stage.engine.shutdown().await;
    let asked = stage.relay.asked_outcomes();
    tokio::time::sleep(std::time::Duration::from_secs(120)).await;
    assert_eq!(stage.relay.asked_outcomes(), asked);
}

#[tokio::test]
async fn the_application_reaches_the_relay_through_the_engine() {
    let stage = Stage::new();
    let alert = bloonio_sudo::SecurityAlert {
        user_socket_hash: bloonio_sudo::UserSocketHash::parse("jane-0001").unwrap(),
        title: "New sign-in".into(),
        body: "From a new place.".into(),
        kind: bloonio_sudo::AlertKind::SignIn,
        notification_id: None,
        ttl_seconds: None,
    };
    let relay: &dyn RelayClient = stage.engine.relay();
    relay.send_security_alert(&alert).await.unwrap();
    assert_eq!(stage.relay.alerts(), [alert]);
}
