//! Rows of the attack table that the engine alone can show. Those about routes stand with the adapters.

use std::sync::Arc;

use crate::support::{Call, OTHER_TENANT, Stage, identify, settings, transfer};
use bloonio_sudo::instruction::{InstructionStatus, TokenHash};
use bloonio_sudo::{Decision, ErrorCode, SudoEngine, SudoRequirement, TenantId};
use rstest::rstest;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

#[tokio::test]
async fn a15_a_used_key_is_refused_a_thousand_times() {
    let stage = Stage::new();
    let key = stage.approved(&transfer(), &Call::transfer()).await;
    let call = Call::transfer().key(&key);
    call.passed(&stage.engine, &transfer()).await;
    for _ in 0..1_000 {
        call.refused(&stage.engine, &transfer(), ErrorCode::SudoActionExpired).await;
    }
    assert_eq!(stage.status(&key).await, InstructionStatus::Consumed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a16_of_a_thousand_tasks_one_runs() {
    const TASKS: usize = 1_000;
    let stage = Stage::new();
    let key = stage.approved(&transfer(), &Call::transfer()).await;
    let (requirement, barrier) = (Arc::new(transfer()), Arc::new(Barrier::new(TASKS)));
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (engine, requirement, barrier) = (stage.engine.clone(), Arc::clone(&requirement), Arc::clone(&barrier));
        let call = Call::transfer().key(&key);
        tasks.spawn(async move {
            barrier.wait().await;
            match call.decision(&engine, &requirement).await {
                Decision::Pass(_) => None,
                Decision::Refuse(refusal) => Some(refusal.kind()),
                Decision::Exempt => panic!("nothing is exempt here"),
            }
        });
    }
    let answers = tasks.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_none()).count(), 1);
    assert_eq!(answers.iter().filter(|answer| **answer == Some(ErrorCode::SudoActionExpired)).count(), TASKS - 1);
}

#[tokio::test]
async fn a18_anothers_key_answers_like_an_unknown_one_and_is_not_burnt() {
    let stage = Stage::new();
    let key = stage.approved(&transfer(), &Call::transfer()).await;
    for (user, session) in [("john-0001", "one"), ("jane-0001", "two"), ("jane-0001", "")] {
        let call = Call::transfer().from(user, session);
        let stolen = call.clone().key(&key).heard(&stage.engine, &transfer()).await;
        let unknown = call.key("0123456789abcdef0123456789abcdef01234567").heard(&stage.engine, &transfer()).await;
        stolen.assert_error(ErrorCode::SudoActionExpired);
        assert_eq!(stolen, unknown);
    }
    Call::transfer().key(&key).passed(&stage.engine, &transfer()).await;
}

#[tokio::test]
async fn a19_a_key_of_another_tenant_is_unknown_even_in_the_same_store() {
    let stage = Stage::new();
    let key = stage.approved(&transfer(), &Call::transfer()).await;
    let other = TenantId::parse(OTHER_TENANT).unwrap();
    let settings = bloonio_sudo::RelaySettings::new(
        "https://relay.example",
        other,
        bloonio_sudo::Secret::new("sk_another-secret-of-another-tenant"),
    );
    let neighbour = SudoEngine::builder(settings.unwrap())
        .with_identity(identify)
        .with_clock(stage.clock.clone())
        .with_store(stage.store.clone())
        .with_relay(stage.relay.clone())
        .build()
        .unwrap();
    Call::transfer().key(&key).refused(&neighbour, &transfer(), ErrorCode::SudoActionExpired).await;
    Call::transfer().key(&key).passed(&stage.engine, &transfer()).await;
}

#[rstest]
#[case::empty("")]
#[case::short("abc")]
#[case::long(&"a".repeat(65))]
#[case::blank("0123456789abcdef 0123456789")]
#[case::braces("{bloonio:auth:sudo}")]
#[case::not_utf8("\u{ff}\u{fe}0123456789")]
#[tokio::test]
async fn a_malformed_key_answers_like_an_unknown_one(#[case] key: &str) {
    let stage = Stage::new();
    let malformed = Call::transfer().key(key).heard(&stage.engine, &transfer()).await;
    let unknown = Call::transfer().key("0123456789abcdef").heard(&stage.engine, &transfer()).await;
    assert_eq!(malformed, unknown);
    assert!(stage.relay.challenges().is_empty(), "a key is never the beginning of something");
}

#[tokio::test]
async fn a_key_given_twice_is_none() {
    let stage = Stage::new();
    let key = stage.approved(&transfer(), &Call::transfer()).await;
    let twice = Call::transfer().key(&key).header("x-sudo-instruction-key", &key);
    twice.refused(&stage.engine, &transfer(), ErrorCode::SudoActionExpired).await;
}

#[tokio::test]
async fn a17_a_key_for_another_action_is_refused_and_stays_good() {
    let stage = Stage::new();
    let key = stage.approved(&transfer(), &Call::transfer()).await;
    let other = SudoRequirement::new("close_account");
    Call::transfer().key(&key).refused(&stage.engine, &other, ErrorCode::SudoRequestMismatch).await;
    Call::transfer().key(&key).passed(&stage.engine, &transfer()).await;
}

#[tokio::test]
async fn a07_a_bound_header_counts_and_others_do_not() {
    let stage = Stage::with(settings(), |builder| builder.with_identity(identify).with_bound_header("If-Match"));
    let requirement = transfer().with_bound_header("Idempotency-Key");
    let call = Call::transfer().header("if-match", "v1").header("idempotency-key", "1").header("user-agent", "a");
    let key = stage.approved(&requirement, &call).await;
    for other in [
        call.clone().with("if-match", "v2"),
        call.clone().without("if-match"),
        call.clone().header("if-match", "v1"),
        call.clone().with("idempotency-key", ""),
    ] {
        other.key(&key).refused(&stage.engine, &requirement, ErrorCode::SudoRequestMismatch).await;
    }
    call.with("user-agent", "b").key(&key).passed(&stage.engine, &requirement).await;
}

#[test]
fn a101_tokens_are_compared_as_digests_in_constant_time() {
    let kept = TokenHash::of("0123456789abcdef0123456789abcdef");
    assert!(kept.matches("0123456789abcdef0123456789abcdef"));
    // Right up to the last character, right but for its length, and nothing at all: each compares 32 bytes with 32 bytes.
    for wrong in ["0123456789abcdef0123456789abcdee", "0123456789abcdef0123456789abcdef0", "", "x"] {
        assert!(!kept.matches(wrong), "{wrong}");
        assert_eq!(TokenHash::of(wrong).as_bytes().len(), kept.as_bytes().len());
    }
    assert_eq!(format!("{kept:?}"), "TokenHash(redacted)");
}

#[tokio::test]
async fn a22_who_signed_out_or_changed_his_session_after_the_approval_runs_nothing() {
    let stage = Stage::new();
    let key = stage.approved(&transfer(), &Call::transfer()).await;
    let signed_out = Call::transfer().without("x-user").without("x-session").key(&key);
    signed_out.refused(&stage.engine, &transfer(), ErrorCode::SudoUserRequired).await;
    let another_session = Call::transfer().from("jane-0001", "after the change of password").key(&key);
    another_session.refused(&stage.engine, &transfer(), ErrorCode::SudoActionExpired).await;
    assert_eq!(stage.status(&key).await, InstructionStatus::Validated);
}

#[tokio::test]
async fn a22_who_may_no_longer_approve_for_another_runs_nothing_for_him() {
    let stage = Stage::new();
    let for_the_boss = transfer().with_user(|_| "boss-0001".parse().ok());
    let key = stage.approved(&for_the_boss, &Call::transfer()).await;
    let for_the_deputy = transfer().with_user(|_| "deputy-0001".parse().ok());
    Call::transfer().key(&key).refused(&stage.engine, &for_the_deputy, ErrorCode::SudoRequestMismatch).await;
    let for_nobody = transfer().with_user(|_| None);
    Call::transfer().key(&key).refused(&stage.engine, &for_nobody, ErrorCode::SudoUserRequired).await;
}

#[tokio::test]
async fn a27_two_callers_with_one_idempotency_key_share_nothing() {
    let stage = Stage::new();
    let requirement = transfer().with_bound_header("idempotency-key");
    let call = Call::transfer().header("idempotency-key", "1");
    let jane = stage.key(&requirement, &call).await;
    let janes_phone = stage.key(&requirement, &call.clone().from("jane-0001", "two")).await;
    let john = stage.key(&requirement, &call.clone().from("john-0001", "one")).await;
    assert!(jane != janes_phone && jane != john && janes_phone != john);
    assert_eq!(stage.key(&requirement, &call).await, jane, "the same caller meets his own");
    stage.tell(&stage.event(&john, true)).await.assert(200);
    call.key(&john).refused(&stage.engine, &requirement, ErrorCode::SudoActionExpired).await;
}
