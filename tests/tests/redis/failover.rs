//! A primary of a cluster dies, and its replica takes over (ATTACKS A92, A94).

use bloonio_sudo::instruction::{Instruction, InstructionStatus};
use bloonio_sudo::store::redis::RedisStore;
use bloonio_sudo::store::{InstructionStore, NewInstruction, StoreError};
use bloonio_tests::redis::{Cluster, RedisServer, Sentinel};
use bloonio_tests::wait;

use crate::cast::{APPROVED, LIMITS, approved, connect, consume, created, key, tenant, wish};
use crate::wakeup::answered;

/// Instructions whose records lie at one primary.
struct There<'c> {
    cluster: &'c Cluster,
    place: usize,
    next: usize,
}

impl There<'_> {
    async fn wish(&mut self) -> NewInstruction {
        loop {
            self.next += 1;
            let wish = wish(self.next);
            let key = format!("bloonio:auth:sudo:{{{}}}", wish.instruction_id);
            if self.cluster.place_of(&key).await == self.place {
                return wish;
            }
        }
    }
}

async fn replicated(primary: &RedisServer, replica: &RedisServer) {
    wait::until("the replica to have everything", || async {
        let written = primary.info("replication", "master_repl_offset").await;
        (replica.info("replication", "slave_repl_offset").await == written).then_some(())
    })
    .await;
}

/// What becomes of an approval once the store answers again.
async fn later(store: &RedisStore, instruction: &Instruction) -> bool {
    let answered = wait::until("the store to answer", || async { consume(store, instruction).await.ok() });
    answered.await.is_ok()
}

#[tokio::test]
async fn a92_a_failover_makes_nothing_run_twice_and_recovers_by_itself() {
    let cluster = Cluster::start_with_replicas().await;
    let store = connect(&cluster.url()).await;
    let mut there = There { cluster: &cluster, place: 0, next: 0 };
    let used = approved(&store, there.wish().await).await;
    consume(&store, &used).await.unwrap().unwrap();
    let good = approved(&store, there.wish().await).await;
    let open = created(&store, there.wish().await).await;
    replicated(&cluster.primaries[0], &cluster.replicas[0]).await;

    cluster.primaries[0].kill();
    assert!(matches!(consume(&store, &good).await, Err(StoreError::Unavailable(_))), "in the gap nothing runs");
    cluster.taken_over(0).await;

    assert!(!later(&store, &used).await, "what was used stays used");
    assert!(!later(&store, &open).await, "nobody has approved it");
    assert!(later(&store, &good).await);
    assert!(!later(&store, &good).await, "once");
    let anew = approved(&store, there.wish().await).await;
    assert!(consume(&store, &anew).await.unwrap().is_ok());
    assert_eq!(cluster.replicas[0].command(&["HGET", &key(&anew), "status"]).await.trim(), "consumed");
}

/// A primary that was out for a while and does not know that it has been replaced finds the store's command waiting: what it
/// does then is heard by nobody.
#[tokio::test]
async fn a94_a_primary_that_wakes_up_too_late_makes_nothing_run_twice() {
    let cluster = Cluster::start_with_replicas().await;
    let store = connect(&cluster.url()).await;
    let mut there = There { cluster: &cluster, place: 0, next: 0 };
    let good = approved(&store, there.wish().await).await;
    replicated(&cluster.primaries[0], &cluster.replicas[0]).await;

    cluster.primaries[0].pause(true);
    assert!(matches!(consume(&store, &good).await, Err(StoreError::Unavailable(_))));
    cluster.taken_over(0).await;
    assert!(later(&store, &good).await);
    cluster.primaries[0].pause(false);
    wait::until("the old primary to follow the new one", || async {
        (cluster.primaries[0].info("replication", "role").await == "slave").then_some(())
    })
    .await;
    let fresh = connect(&cluster.url()).await;
    assert!(!later(&store, &good).await && !later(&fresh, &good).await, "once");
}

#[tokio::test]
async fn a92_sentinels_lead_to_the_new_primary_and_nothing_runs_twice() {
    let sentinel = Sentinel::start().await;
    let store = connect(&sentinel.url()).await;
    let used = approved(&store, wish(1)).await;
    consume(&store, &used).await.unwrap().unwrap();
    let good = approved(&store, wish(2)).await;
    replicated(&sentinel.primary, &sentinel.replica).await;

    sentinel.primary.kill();
    assert!(matches!(consume(&store, &good).await, Err(StoreError::Unavailable(_))), "in the gap nothing runs");
    sentinel.taken_over().await;

    assert!(!later(&store, &used).await, "what was used stays used");
    assert!(later(&store, &good).await);
    assert!(!later(&store, &good).await, "once");
    assert_eq!(sentinel.replica.command(&["HGET", &key(&good), "status"]).await.trim(), "consumed");
}

/// The node of the subscription may be the one that dies: waiters are told all the same.
#[tokio::test]
async fn changes_are_told_after_a_failover_whichever_node_died() {
    let cluster = Cluster::start_with_replicas().await;
    let (here, there) = (connect(&cluster.url()).await, connect(&cluster.url()).await);
    for place in 0..2 {
        cluster.primaries[place].kill();
        cluster.taken_over(place).await;
        let instruction = wait::until("the store to answer", || async {
            let created = there.create(&tenant(), wish(place + 1), LIMITS).await;
            created.ok().map(|_| wish(place + 1))
        })
        .await;
        let id = instruction.instruction_id;
        let wakeups =
            wait::until("the store to answer", || async { here.subscribe(&tenant(), &id).await.ok().flatten() }).await;
        wait::until("the store to answer", || async { there.decide(&tenant(), &id, &APPROVED).await.ok() }).await;
        let told = tokio::time::timeout(wait::DEADLINE, answered(&here, place + 1, wakeups)).await;
        assert_eq!(told, Ok(InstructionStatus::Validated));
    }
}
