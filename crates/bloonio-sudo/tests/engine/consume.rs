//! When an approval is used up (PROTOCOL 9.2; ATTACKS A28).

use std::collections::HashSet;
use std::convert::Infallible;

use async_trait::async_trait;

use crate::support::{Call, Stage, transfer};
use bloonio_sudo::instruction::InstructionStatus;
use bloonio_sudo::{ConsumeError, ErrorCode, Grant, SudoRequirement, UsedApproval, UsedApprovals};
use rstest::rstest;

fn released() -> SudoRequirement {
    transfer().may_run_again_after_server_error()
}

fn in_transaction() -> SudoRequirement {
    transfer().with_consume_in_transaction()
}

#[rstest]
#[case(200, InstructionStatus::Consumed)]
#[case(422, InstructionStatus::Consumed)]
#[case(500, InstructionStatus::Validated)]
#[case(503, InstructionStatus::Validated)]
#[tokio::test]
async fn an_approval_is_good_again_after_a_server_error_and_after_nothing_else(
    #[case] status: u16,
    #[case] expected: InstructionStatus,
) {
    let stage = Stage::new();
    let key = stage.approved(&released(), &Call::transfer()).await;
    let again = Call::transfer().key(&key);
    let grant = again.passed(&stage.engine, &released()).await;
    let run = stage.engine.run(Some(&grant));
    again.refused(&stage.engine, &released(), ErrorCode::SudoActionExpired).await;
    assert_eq!(run.finish(status).await, None);
    assert_eq!(stage.status(&key).await, expected);
    if expected == InstructionStatus::Validated {
        again.passed(&stage.engine, &released()).await;
    } else {
        again.refused(&stage.engine, &released(), ErrorCode::SudoActionExpired).await;
    }
}

#[tokio::test]
async fn a28_a_handler_that_does_not_answer_has_used_its_approval() {
    let stage = Stage::new();
    let key = stage.approved(&released(), &Call::transfer()).await;
    let grant = Call::transfer().key(&key).passed(&stage.engine, &released()).await;
    drop(stage.engine.run(Some(&grant)));
    // Waits for what the drop has begun.
    stage.engine.shutdown().await;
    assert_eq!(stage.status(&key).await, InstructionStatus::Consumed);
}

#[tokio::test]
async fn a28_a_process_that_dies_while_its_handler_runs_leaves_nothing_to_run_again() {
    let stage = Stage::new();
    let key = stage.approved(&released(), &Call::transfer()).await;
    // A process that is killed tells nobody that its handler ran.
    let _grant = Call::transfer().key(&key).passed(&stage.engine, &released()).await;
    Call::transfer().key(&key).refused(&stage.engine, &released(), ErrorCode::SudoActionExpired).await;
}

#[tokio::test]
async fn with_the_store_away_after_the_handler_nothing_runs_again() {
    let stage = Stage::new();
    let key = stage.approved(&released(), &Call::transfer()).await;
    let grant = Call::transfer().key(&key).passed(&stage.engine, &released()).await;
    stage.store.set_broken(true);
    assert_eq!(stage.engine.run(Some(&grant)).finish(500).await, None);
    stage.store.set_broken(false);
    Call::transfer().key(&key).refused(&stage.engine, &released(), ErrorCode::SudoActionExpired).await;
}

/// A table of used approvals, and one transaction on it.
#[derive(Default)]
struct Database(HashSet<String>);

struct Transaction<'d> {
    database: &'d mut Database,
    written: Vec<String>,
}

impl Database {
    fn begin(&mut self) -> Transaction<'_> {
        Transaction { database: self, written: Vec::new() }
    }
}

impl Transaction<'_> {
    fn commit(self) {
        self.database.0.extend(self.written);
    }
}

#[async_trait]
impl UsedApprovals for Transaction<'_> {
    type Error = Infallible;

    async fn insert(&mut self, used: &UsedApproval) -> Result<bool, Infallible> {
        let row = format!("{} {}", used.tenant_id, used.instruction_id);
        let fresh = !self.database.0.contains(&row) && !self.written.contains(&row);
        if fresh {
            self.written.push(row);
        }
        Ok(fresh)
    }
}

async fn granted(stage: &Stage, key: &str) -> Grant {
    Call::transfer().key(key).passed(&stage.engine, &in_transaction()).await
}

#[tokio::test]
async fn what_is_committed_with_its_approval_happens_once() {
    let (stage, mut database) = (Stage::new(), Database::default());
    let key = stage.approved(&in_transaction(), &Call::transfer()).await;
    let grant = granted(&stage, &key).await;
    let run = stage.engine.run(Some(&grant));
    let mut transaction = database.begin();
    grant.consume_in(&mut transaction).await.unwrap();
    transaction.commit();
    assert_eq!(run.finish(200).await, None);
    assert_eq!(stage.status(&key).await, InstructionStatus::Consumed);
    Call::transfer().key(&key).refused(&stage.engine, &in_transaction(), ErrorCode::SudoActionExpired).await;
}

#[tokio::test]
async fn what_is_rolled_back_may_happen_again() {
    let (stage, mut database) = (Stage::new(), Database::default());
    let key = stage.approved(&in_transaction(), &Call::transfer()).await;
    for status in [500, 409] {
        let grant = granted(&stage, &key).await;
        let run = stage.engine.run(Some(&grant));
        grant.consume_in(&mut database.begin()).await.unwrap();
        assert_eq!(run.finish(status).await, None);
    }
    let grant = granted(&stage, &key).await;
    let mut transaction = database.begin();
    grant.consume_in(&mut transaction).await.unwrap();
}

#[tokio::test]
async fn a28_what_was_committed_before_a_crash_is_not_done_again_whatever_the_handler_answers() {
    let (stage, mut database) = (Stage::new(), Database::default());
    let key = stage.approved(&in_transaction(), &Call::transfer()).await;
    let grant = granted(&stage, &key).await;
    let mut transaction = database.begin();
    grant.consume_in(&mut transaction).await.unwrap();
    transaction.commit();
    // The process dies here: the store never hears of it.
    let grant = granted(&stage, &key).await;
    let run = stage.engine.run(Some(&grant));
    let refused = grant.consume_in(&mut database.begin()).await;
    assert!(matches!(refused, Err(ConsumeError::AlreadyUsed)), "{refused:?}");
    let refusal = run.finish(200).await.expect("the handler's answer is replaced");
    assert_eq!(refusal.kind(), ErrorCode::SudoActionExpired);
    assert_eq!(stage.status(&key).await, InstructionStatus::Consumed);
}

#[rstest]
#[case(200, Some(ErrorCode::SudoMisconfigured), InstructionStatus::Consumed)]
#[case(422, None, InstructionStatus::Validated)]
#[tokio::test]
async fn a_handler_that_forgets_to_consume_is_found_out(
    #[case] status: u16,
    #[case] refused: Option<ErrorCode>,
    #[case] expected: InstructionStatus,
) {
    let stage = Stage::new();
    let key = stage.approved(&in_transaction(), &Call::transfer()).await;
    let grant = granted(&stage, &key).await;
    let refusal = stage.engine.run(Some(&grant)).finish(status).await;
    assert_eq!(refusal.map(|refusal| refusal.kind()), refused);
    assert_eq!(stage.status(&key).await, expected);
}

#[tokio::test]
async fn only_a_deferred_approval_is_consumed_in_a_transaction() {
    let (stage, mut database) = (Stage::new(), Database::default());
    for requirement in [transfer(), released()] {
        let key = stage.approved(&requirement, &Call::transfer()).await;
        let grant = Call::transfer().key(&key).passed(&stage.engine, &requirement).await;
        let refused = grant.consume_in(&mut database.begin()).await;
        assert!(matches!(refused, Err(ConsumeError::NotDeferred)), "{refused:?}");
    }
}
