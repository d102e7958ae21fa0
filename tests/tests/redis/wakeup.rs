//! Those who wait hear of changes from other processes.

use std::sync::Arc;
use std::time::Duration;

use bloonio_sudo::instruction::InstructionStatus;
use bloonio_sudo::store::redis::RedisStore;
use bloonio_sudo::store::{InstructionStore, Wakeups};
use bloonio_tests::redis::RedisServer;
use bloonio_tests::wait;
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use tokio::task::JoinSet;

use crate::cast::{APPROVED, DENIED, connect, created, tenant, wish};

/// A waiter looks by himself every ten seconds: who is there well before has been told.
const TOLD_WITHIN: Duration = Duration::from_secs(8);

/// Waits as the engine does: for the next change, then looks.
pub async fn answered(store: &RedisStore, n: usize, mut wakeups: Wakeups) -> InstructionStatus {
    let id = wish(n).instruction_id;
    loop {
        wakeups.next().await;
        match store.get(&tenant(), &id).await.unwrap().unwrap().status {
            InstructionStatus::Pending => {}
            other => return other,
        }
    }
}

#[tokio::test]
async fn a_change_in_one_process_wakes_the_waiters_of_another() {
    let server = RedisServer::start().await;
    let (here, there) = (connect(&server.url()).await, connect(&server.url()).await);
    let id = created(&here, wish(1)).await.instruction_id;
    let mut wakeups = here.subscribe(&tenant(), &id).await.unwrap().unwrap();
    there.decide(&tenant(), &id, &DENIED).await.unwrap();
    tokio::time::timeout(TOLD_WITHIN, wakeups.next()).await.expect("told");
}

#[tokio::test]
async fn after_a_restart_of_the_server_waiters_are_told_again() {
    let mut server = RedisServer::start_durable().await;
    let (here, there) = (connect(&server.url()).await, connect(&server.url()).await);
    let id = created(&here, wish(1)).await.instruction_id;
    server.kill();
    server.restart().await;
    wait::until("the subscription to be back", || async {
        let subscribers = server.command(&["PUBSUB", "NUMSUB", "bloonio:auth:changed"]).await;
        (subscribers.lines().nth(1) == Some("2")).then_some(())
    })
    .await;
    let mut wakeups = here.subscribe(&tenant(), &id).await.unwrap().unwrap();
    there.decide(&tenant(), &id, &APPROVED).await.unwrap();
    // The reconnection itself wakes once; the decision is heard in any case.
    let told = async {
        while here.get(&tenant(), &id).await.unwrap().unwrap().status == InstructionStatus::Pending {
            wakeups.next().await;
        }
        wakeups.next().await;
    };
    tokio::time::timeout(TOLD_WITHIN, told).await.expect("told");
}

#[tokio::test]
async fn ten_thousand_wait_in_one_process_and_each_is_told() {
    const WAITERS: usize = 10_000;
    let server = RedisServer::start().await;
    let (here, there) = (Arc::new(connect(&server.url()).await), connect(&server.url()).await);
    stream::iter(0..WAITERS).for_each_concurrent(64, async |n| drop(created(&there, wish(n)).await)).await;
    let mut waiting = JoinSet::new();
    let mut entering = stream::iter(0..WAITERS)
        .map(async |n| (n, here.subscribe(&tenant(), &wish(n).instruction_id).await.unwrap().unwrap()))
        .buffer_unordered(64);
    while let Some((n, wakeups)) = entering.next().await {
        let here = Arc::clone(&here);
        waiting.spawn(async move { answered(&here, n, wakeups).await });
    }
    drop(entering);
    for chunk in (0..WAITERS).collect::<Vec<_>>().chunks(64) {
        let deciding = chunk.iter().map(|n| {
            let there = &there;
            async move { there.decide(&tenant(), &wish(*n).instruction_id, &APPROVED).await }
        });
        let decided: Result<Vec<_>, _> = join_all(deciding).await.into_iter().collect();
        assert_eq!(decided.unwrap().len(), chunk.len());
    }
    let told = waiting.join_all().await;
    assert_eq!(told.len(), WAITERS);
    assert!(told.iter().all(|status| *status == InstructionStatus::Validated));
    let connections: usize = server.info("clients", "connected_clients").await.parse().unwrap();
    assert!(connections <= 6, "two a process, and this question's own: {connections}");
}
