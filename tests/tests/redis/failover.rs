//! A primary of a cluster dies, and its replica takes over (ATTACKS A92, A94).

use bloonio_sudo::instruction::Instruction;
use bloonio_sudo::store::StoreError;
use bloonio_sudo::store::redis::RedisStore;
use bloonio_tests::redis::Cluster;
use bloonio_tests::wait;

use crate::cast::{approved, connect, consume, created, key, wish};

/// Instructions whose records lie at one primary.
struct There<'c> {
    cluster: &'c Cluster,
    place: usize,
    next: usize,
}

impl There<'_> {
    async fn wish(&mut self) -> bloonio_sudo::store::NewInstruction {
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

async fn replicated(cluster: &Cluster, place: usize) {
    let (primary, replica) = (&cluster.primaries[place], &cluster.replicas[place]);
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
    replicated(&cluster, 0).await;

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

/// The node of the subscription may be the one that dies: waiters are told all the same.
#[tokio::test]
async fn changes_are_told_after_a_failover_whichever_node_died() {
    use bloonio_sudo::store::InstructionStore;
    let cluster = Cluster::start_with_replicas().await;
    let (here, there) = (connect(&cluster.url()).await, connect(&cluster.url()).await);
    for place in 0..2 {
        cluster.primaries[place].kill();
        cluster.taken_over(place).await;
        let instruction = wait::until("the store to answer", || async {
            let created = there.create(&crate::cast::tenant(), wish(place + 1), crate::cast::LIMITS).await;
            created.ok().map(|_| wish(place + 1))
        })
        .await;
        let id = instruction.instruction_id;
        let mut wakeups = wait::until("the store to answer", || async {
            here.subscribe(&crate::cast::tenant(), &id).await.ok().flatten()
        })
        .await;
        wait::until("the store to answer", || async {
            there.decide(&crate::cast::tenant(), &id, &crate::cast::APPROVED).await.ok()
        })
        .await;
        wait::until("the waiter to know", || {
            let looking = async {
                let status = here.get(&crate::cast::tenant(), &id).await.ok()??.status;
                (status == bloonio_sudo::instruction::InstructionStatus::Validated).then_some(())
            };
            looking
        })
        .await;
        wakeups.next().await;
    }
}
