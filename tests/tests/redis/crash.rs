//! Processes that die between the two steps of what needs two: what they leave is healed, and locks nobody out.

use bloonio_sudo::instruction::{Ending, InstructionStatus};
use bloonio_sudo::store::redis::{RedisOptions, RedisStore};
use bloonio_sudo::store::{Created, InstructionStore, LimitReason, Limited, QUIET_AFTER};
use bloonio_sudo::wire::clock::ManualClock;
use bloonio_sudo::{Clock, Secret, Timestamp};
use bloonio_tests::redis::RedisServer;
use std::sync::Arc;
use std::time::Duration;

use crate::cast::{APPROVED, DENIED, LIMITS, again, consume, created, key, tenant, wish};

/// A store that lives by a clock of its own.
struct Bench {
    server: RedisServer,
    store: RedisStore,
    clock: Arc<ManualClock>,
}

impl Bench {
    async fn new() -> Self {
        let server = RedisServer::start().await;
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let options = RedisOptions::default().with_clock_and_space(clock.clone(), "");
        let store = RedisStore::connect(&Secret::new(server.url()), options).await.unwrap();
        Self { server, store, clock }
    }

    /// What the attention keys hold, to be put back as if the second step had never been.
    async fn attention(&self) -> Vec<String> {
        let keys = self.server.command(&["KEYS", "bloonio:auth:attention:*"]).await;
        let keys: Vec<_> = keys.lines().map(str::to_owned).collect();
        for key in &keys {
            self.server.command(&["COPY", key, &format!("kept:{key}"), "REPLACE"]).await;
        }
        keys
    }

    async fn put_back(&self, keys: &[String]) {
        for key in keys {
            assert_eq!(self.server.command(&["COPY", &format!("kept:{key}"), key, "REPLACE"]).await.trim(), "1");
        }
    }
}

#[tokio::test]
async fn a_reservation_without_its_record_is_completed_by_who_finds_it() {
    let bench = Bench::new().await;
    let first = created(&bench.store, wish(1)).await;
    bench.server.command(&["DEL", &key(&first)]).await;
    let found = bench.store.create(&tenant(), again(1, "instruction-again"), LIMITS).await.unwrap();
    assert_eq!(found, Created::Existing(first.clone()));
    assert!(consume(&bench.store, &first).await.unwrap().is_err(), "nobody has approved it");
}

#[tokio::test]
async fn a_reservation_whose_record_never_came_is_given_up() {
    let bench = Bench::new().await;
    let first = created(&bench.store, wish(1)).await;
    bench.server.command(&["DEL", &key(&first)]).await;
    bench.clock.advance(Duration::from_secs(10));
    let anew = created(&bench.store, again(1, "instruction-again")).await;
    assert_ne!(anew.instruction_id, first.instruction_id);
    assert_eq!(bench.store.get(&tenant(), &first.instruction_id).await.unwrap(), None, "it does not come back");
}

#[tokio::test]
async fn the_place_of_a_dead_creator_is_free_at_its_expiry() {
    let bench = Bench::new().await;
    let session = wish(50).initiator;
    let of_session = |n: usize| {
        let mut wish = wish(n);
        wish.initiator = session;
        wish
    };
    for n in 1..=2 {
        let lost = created(&bench.store, of_session(n)).await;
        bench.server.command(&["DEL", &key(&lost)]).await;
    }
    let full = bench.store.create(&tenant(), of_session(3), LIMITS).await.unwrap();
    let retry_after = wish(1).ttl;
    assert_eq!(full, Created::Limited(Limited { reason: LimitReason::InitiatorFull, retry_after }));
    bench.clock.advance(retry_after);
    created(&bench.store, of_session(3)).await;
}

#[tokio::test]
async fn a_denial_that_was_not_settled_still_brings_quiet_and_counts_once() {
    let bench = Bench::new().await;
    let first = created(&bench.store, wish(1)).await;
    let keys = bench.attention().await;
    bench.store.decide(&tenant(), &first.instruction_id, &DENIED).await.unwrap();
    bench.put_back(&keys).await;
    for _ in 0..2 {
        let quiet = bench.store.create(&tenant(), again(1, "instruction-again"), LIMITS).await.unwrap();
        let retry_after = QUIET_AFTER;
        assert_eq!(quiet, Created::Limited(Limited { reason: LimitReason::Quiet, retry_after }));
    }
    let initiator = keys.iter().find(|key| key.contains(":initiator:")).unwrap();
    let denials = bench.server.command(&["HGET", initiator, "denials"]).await;
    assert_eq!(denials.trim(), bench.clock.now().as_millis().to_string(), "one denial");
}

#[tokio::test]
async fn an_approval_that_was_not_settled_is_found_and_used_once() {
    let bench = Bench::new().await;
    let first = created(&bench.store, wish(1)).await;
    let keys = bench.attention().await;
    bench.store.decide(&tenant(), &first.instruction_id, &APPROVED).await.unwrap();
    bench.put_back(&keys).await;
    let found = bench.store.create(&tenant(), again(1, "instruction-again"), LIMITS).await.unwrap();
    let Created::Existing(found) = found else { panic!("{found:?}") };
    assert_eq!((found.instruction_id, found.status), (first.instruction_id.clone(), InstructionStatus::Validated));
    assert!(consume(&bench.store, &first).await.unwrap().is_ok());
    assert!(consume(&bench.store, &first).await.unwrap().is_err());
    created(&bench.store, again(1, "instruction-anew")).await;
}

#[tokio::test]
async fn an_end_that_was_not_settled_gives_its_place_back_when_it_is_found() {
    let bench = Bench::new().await;
    let first = created(&bench.store, wish(1)).await;
    let keys = bench.attention().await;
    bench.store.expire(&tenant(), &first.instruction_id, Ending::Undelivered).await.unwrap();
    bench.put_back(&keys).await;
    created(&bench.store, again(1, "instruction-again")).await;
}
