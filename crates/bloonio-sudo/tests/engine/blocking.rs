//! Blocking mode: one request, which waits (SECURITY, "What counts as approved").

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{Call, Mood, Stage, identify, settings, transfer};
use bloonio_sudo::instruction::InstructionStatus;
use bloonio_sudo::{Decision, ErrorCode, SudoRequirement};

fn payout() -> SudoRequirement {
    transfer().with_blocking()
}

/// Lets `call` wait, and gives its key once the phone has the prompt.
async fn key_of_waiting(stage: &Stage) -> String {
    stage.relay.until(|relay| !relay.challenges().is_empty()).await;
    stage.relay.last().instruction_id.to_string()
}

#[tokio::test]
async fn a_waiting_request_runs_once_it_is_approved() {
    let stage = Stage::new();
    let (call, payout) = (Call::transfer(), payout());
    let approve = async {
        let key = key_of_waiting(&stage).await;
        stage.tell(&stage.event(&key, true)).await.assert(200);
        key
    };
    let (grant, key) = tokio::join!(call.passed(&stage.engine, &payout), approve);
    assert_eq!(grant.instruction_id().as_str(), key);
    assert_eq!(stage.status(&key).await, InstructionStatus::Consumed);
    assert_eq!(stage.relay.cancelled(), []);
}

#[tokio::test]
async fn a_waiting_request_is_refused_once_it_is_denied() {
    let stage = Stage::new();
    let (call, payout) = (Call::transfer(), payout());
    let deny = async {
        let key = key_of_waiting(&stage).await;
        stage.tell(&stage.event(&key, false)).await.assert(200);
    };
    tokio::join!(call.refused(&stage.engine, &payout, ErrorCode::SudoActionDenied), deny);
}

#[tokio::test(start_paused = true)]
async fn nobody_answering_is_408_and_takes_the_prompt_away() {
    let settings = settings().with_block_timeout(Duration::from_secs(20));
    let stage = Stage::with(settings, |builder| builder.with_identity(identify));
    Call::transfer().refused(&stage.engine, &payout(), ErrorCode::SudoActionTimeout).await;
    let sent = stage.relay.last();
    assert_eq!(sent.ttl_seconds, Some(20));
    assert_eq!(stage.status(sent.instruction_id.as_str()).await, InstructionStatus::Expired);
    stage.relay.until(|relay| relay.cancelled() == [sent.instruction_id.clone()]).await;
    stage.tell(&stage.event(sent.instruction_id.as_str(), true)).await.assert(200);
    assert_eq!(stage.status(sent.instruction_id.as_str()).await, InstructionStatus::Expired);
    // Whoever asks again at once is not heard: a timeout must not become a second push.
    Call::transfer().refused(&stage.engine, &payout(), ErrorCode::SudoTooManyPending).await;
}

#[tokio::test]
async fn a22_a_session_that_ended_while_its_request_waited_runs_nothing() {
    let signed_in = Arc::new(AtomicBool::new(true));
    let session = Arc::clone(&signed_in);
    let stage = Stage::with(settings(), |builder| {
        builder.with_identity(move |view| session.load(Ordering::SeqCst).then(|| identify(view)).flatten())
    });
    let (call, payout) = (Call::transfer(), payout());
    let end_and_approve = async {
        let key = key_of_waiting(&stage).await;
        signed_in.store(false, Ordering::SeqCst);
        stage.tell(&stage.event(&key, true)).await.assert(200);
        key
    };
    let (_, key) = tokio::join!(call.refused(&stage.engine, &payout, ErrorCode::SudoUserRequired), end_and_approve);
    assert_eq!(stage.status(&key).await, InstructionStatus::Expired);
}

#[tokio::test]
async fn its_approval_is_good_for_nothing_else() {
    let stage = Stage::new();
    let (call, payout) = (Call::transfer(), payout());
    let probe = async {
        let key = key_of_waiting(&stage).await;
        let with_key = Call::transfer().key(&key);
        with_key.refused(&stage.engine, &payout, ErrorCode::SudoActionExpired).await;
        stage.tell(&stage.event(&key, true)).await.assert(200);
        with_key.refused(&stage.engine, &payout, ErrorCode::SudoActionExpired).await;
    };
    tokio::join!(call.passed(&stage.engine, &payout), probe);
}

#[tokio::test]
async fn two_waiting_requests_share_nothing() {
    let stage = Stage::new();
    let (call, payout) = (Call::transfer(), payout());
    let approve = async {
        stage.relay.until(|relay| relay.challenges().len() == 2).await;
        for sent in stage.relay.challenges() {
            stage.tell(&stage.event(sent.instruction_id.as_str(), true)).await.assert(200);
        }
    };
    let (one, two, ()) =
        tokio::join!(call.passed(&stage.engine, &payout), call.passed(&stage.engine, &payout), approve);
    assert_ne!(one.instruction_id(), two.instruction_id());
}

#[tokio::test]
async fn a_caller_that_hangs_up_takes_its_prompt_away() {
    let stage = Stage::new();
    let engine = stage.engine.clone();
    let waiting = tokio::spawn(async move { Call::transfer().decision(&engine, &payout()).await });
    let key = key_of_waiting(&stage).await;
    waiting.abort();
    stage.relay.until(|relay| relay.cancelled().iter().any(|id| id.as_str() == key)).await;
    assert_eq!(stage.status(&key).await, InstructionStatus::Expired);
}

#[tokio::test]
async fn a_caller_that_hangs_up_before_the_relay_answers_leaves_nothing_either() {
    let stage = Stage::new();
    stage.relay.set(Mood::Hangs);
    let engine = stage.engine.clone();
    let waiting = tokio::spawn(async move { Call::transfer().decision(&engine, &payout()).await });
    let key = key_of_waiting(&stage).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    stage.relay.until(|relay| relay.cancelled().len() == 1).await;
    stage.relay.set(Mood::Delivers);
    stage.relay.until(|relay| relay.cancelled().len() == 2).await;
    assert_eq!(stage.status(&key).await, InstructionStatus::Expired);
}

#[tokio::test]
async fn a_server_that_stops_ends_what_waits() {
    let stage = Stage::new();
    let (call, payout) = (Call::transfer(), payout());
    let stop = async {
        let key = key_of_waiting(&stage).await;
        stage.engine.shutdown().await;
        key
    };
    let (body, key) = tokio::join!(call.refused(&stage.engine, &payout, ErrorCode::SudoStateUnavailable), stop);
    assert!(body.get("instruction_id").is_none());
    assert_eq!(stage.status(&key).await, InstructionStatus::Expired);
    stage.relay.until(|relay| relay.cancelled().iter().any(|id| id.as_str() == key)).await;
}

#[tokio::test(start_paused = true)]
async fn a91_a_store_that_goes_away_while_waiting_lets_nothing_run() {
    let stage = Stage::new();
    let (call, payout) = (Call::transfer(), payout());
    let unplug = async {
        let key = key_of_waiting(&stage).await;
        stage.tell(&stage.event(&key, true)).await.assert(200);
        stage.store.set_broken(true);
    };
    let (decision, ()) = tokio::join!(biased; call.decision(&stage.engine, &payout), unplug);
    assert!(matches!(decision, Decision::Refuse(refusal) if refusal.kind() == ErrorCode::SudoStateUnavailable));
}

#[tokio::test]
async fn without_a_phone_nobody_answers_in_time() {
    let stage = Stage::new();
    stage.relay.set(Mood::Refuses(404, ErrorCode::NoDevice));
    Call::transfer().refused(&stage.engine, &payout(), ErrorCode::SudoActionTimeout).await;
    stage.relay.set(Mood::Away);
    Call::transfer().refused(&stage.engine, &payout(), ErrorCode::SudoRelayUnavailable).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_for_a_moment_does_not_end_the_wait() {
    let stage = Stage::new();
    let (call, payout) = (Call::transfer(), payout());
    let hiccup = async {
        let key = key_of_waiting(&stage).await;
        stage.store.set_broken(true);
        // Something is told, so that the waiter looks, and meets a store that is away.
        let other = stage.engine.clone();
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        drop(other);
        stage.store.set_broken(false);
        stage.tell(&stage.event(&key, true)).await.assert(200);
    };
    let (decision, ()) = tokio::join!(biased; call.decision(&stage.engine, &payout), hiccup);
    assert!(matches!(decision, Decision::Pass(_)), "{decision:?}");
    assert!(stage.relay.cancelled().is_empty(), "the prompt stayed");
}
