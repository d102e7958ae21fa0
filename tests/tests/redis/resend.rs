//! Commands whose answer is lost are sent again by the client: each still happens once, and is answered as if nothing had
//! been.

use bloonio_sudo::instruction::{Claim, Ending, InstructionStatus, Usage};
use bloonio_sudo::store::redis::RedisStore;
use bloonio_sudo::store::{Created, DecideOutcome, ExpireOutcome, FIRST_SILENCE, InstructionStore, MissOutcome};
use bloonio_tests::redis::{RedisServer, Wire};
use rstest::rstest;

use crate::cast::{APPROVED, DENIED, LIMITS, again, approved, claim, connect, consume, created, tenant, wish};

/// A server, and two ways to it; the first can be cut.
struct Bench {
    _server: RedisServer,
    wire: Wire,
    store: RedisStore,
    other: RedisStore,
}

impl Bench {
    async fn new() -> Self {
        let server = RedisServer::start().await;
        let wire = Wire::to(&server).await;
        let (store, other) = (connect(&wire.url()).await, connect(&server.url()).await);
        // All scripts are known, so that the answer that is lost is a script's own.
        let warm = approved(&store, wish(99)).await;
        consume(&store, &warm).await.unwrap().unwrap();
        for script in [
            store.complete(&tenant(), &warm.instruction_id).await,
            store.release(&tenant(), &warm.instruction_id).await,
        ] {
            assert!(!script.unwrap());
        }
        store.miss(&tenant(), &warm.instruction_id).await.unwrap();
        store.expire(&tenant(), &warm.instruction_id, Ending::Abandoned).await.unwrap();
        Self { _server: server, wire, store, other }
    }

    /// Does something whose first answer is lost.
    async fn cut<T>(&self, step: impl Future<Output = T>) -> T {
        self.cut_nth(1, step).await
    }

    /// Does something whose `nth` answer is lost.
    async fn cut_nth<T>(&self, nth: usize, step: impl Future<Output = T>) -> T {
        let before = self.wire.cut();
        self.wire.cut_answer(nth);
        let done = step.await;
        assert_eq!(self.wire.cut(), before + 1, "an answer was lost");
        done
    }
}

/// The reservation, then the record.
#[rstest]
#[tokio::test]
async fn a_creation_sent_twice_creates_once(#[values(1, 2)] step: usize) {
    let bench = Bench::new().await;
    let outcome = bench.cut_nth(step, bench.store.create(&tenant(), wish(1), LIMITS)).await.unwrap();
    let Created::New { instruction, .. } = outcome else { panic!("{outcome:?}") };
    let same = bench.other.create(&tenant(), again(1, "instruction-again"), LIMITS).await.unwrap();
    assert_eq!(same, Created::Existing(instruction));
}

#[tokio::test]
async fn a_decision_sent_twice_is_recorded_once() {
    let bench = Bench::new().await;
    let id = created(&bench.store, wish(1)).await.instruction_id;
    let decided = bench.cut(bench.store.decide(&tenant(), &id, &APPROVED)).await.unwrap();
    assert_eq!(decided, DecideOutcome::Recorded { silenced_for: None });
    assert_eq!(bench.other.decide(&tenant(), &id, &APPROVED).await.unwrap(), DecideOutcome::Repeated);
}

#[tokio::test]
async fn a16_an_approval_whose_consumption_is_sent_twice_is_used_once_and_by_its_caller() {
    let bench = Bench::new().await;
    for n in 1..=10 {
        let instruction = approved(&bench.store, wish(n)).await;
        let used = bench.cut(consume(&bench.store, &instruction)).await.unwrap();
        assert_eq!(used.unwrap().status, InstructionStatus::Consumed, "round {n}");
        assert!(consume(&bench.other, &instruction).await.unwrap().is_err(), "round {n}");
        assert!(consume(&bench.store, &instruction).await.unwrap().is_err(), "another call of the same process");
    }
}

#[tokio::test]
async fn a_hold_and_its_ends_sent_twice_happen_once() {
    let bench = Bench::new().await;
    let instruction = approved(&bench.store, wish(1)).await;
    let id = &instruction.instruction_id;
    let hold = Claim { usage: Usage::UntilAnswered, ..claim(&instruction) };
    assert!(bench.cut(bench.store.consume(&tenant(), id, &hold)).await.unwrap().is_ok());
    assert!(bench.other.consume(&tenant(), id, &hold).await.unwrap().is_err(), "in use");
    assert!(bench.cut(bench.store.release(&tenant(), id)).await.unwrap());
    assert!(bench.other.consume(&tenant(), id, &hold).await.unwrap().is_ok(), "good again");
    assert!(bench.cut(bench.store.complete(&tenant(), id)).await.unwrap());
    assert!(!bench.other.complete(&tenant(), id).await.unwrap());
}

#[tokio::test]
async fn a_wrong_code_sent_twice_counts_once() {
    let bench = Bench::new().await;
    let id = created(&bench.store, wish(1)).await.instruction_id;
    for _ in 0..2 {
        assert_eq!(bench.cut(bench.store.miss(&tenant(), &id)).await.unwrap(), MissOutcome::Counted);
    }
    assert_eq!(bench.other.get(&tenant(), &id).await.unwrap().unwrap().wrong_codes, 2);
    let denied = bench.cut(bench.store.miss(&tenant(), &id)).await.unwrap();
    assert_eq!(denied, MissOutcome::Denied { silenced_for: None });
}

#[tokio::test]
async fn an_end_sent_twice_ends_once() {
    let bench = Bench::new().await;
    let id = created(&bench.store, wish(1)).await.instruction_id;
    let ended = bench.cut(bench.store.expire(&tenant(), &id, Ending::Abandoned)).await.unwrap();
    assert_eq!(ended, ExpireOutcome::Expired);
    let again = bench.other.expire(&tenant(), &id, Ending::Abandoned).await.unwrap();
    assert_eq!(again, ExpireOutcome::Final(InstructionStatus::Expired));
}

/// The record's step, or the one that counts the denial: either way it is one denial, and the third one tells of the silence.
#[rstest]
#[tokio::test]
async fn denials_sent_twice_count_once_and_the_silence_is_told(#[values(1, 2)] step: usize) {
    let bench = Bench::new().await;
    let initiator = wish(50).initiator;
    for n in 1..=3 {
        let mut wish = wish(n);
        wish.initiator = initiator;
        let id = created(&bench.store, wish).await.instruction_id;
        let outcome = bench.cut_nth(step, bench.store.decide(&tenant(), &id, &DENIED)).await.unwrap();
        let silenced_for = (n == 3).then_some(FIRST_SILENCE);
        assert_eq!(outcome, DecideOutcome::Recorded { silenced_for }, "denial {n}");
    }
}
