//! Redis away, silent, and back (ATTACKS A91, A97).

use bloonio_sudo::store::{InstructionStore, StoreError};
use bloonio_tests::redis::{RedisServer, Wire};
use bloonio_tests::wait;

use crate::cast::{APPROVED, Bench, LIMITS, approved, connect, consume, created, tenant, wish};

#[tokio::test]
async fn a91_a_killed_server_is_unavailable_and_back_without_a_restart_of_the_client() {
    let Bench { mut server, store } = Bench::over(RedisServer::start_durable().await).await;
    let used = approved(&store, wish(1)).await;
    consume(&store, &used).await.unwrap().unwrap();
    let (open, good) = (created(&store, wish(2)).await, approved(&store, wish(3)).await);
    server.kill();
    assert!(matches!(consume(&store, &good).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.create(&tenant(), wish(4), LIMITS).await, Err(StoreError::Unavailable(_))));
    let decided = store.decide(&tenant(), &open.instruction_id, &APPROVED).await;
    assert!(matches!(decided, Err(StoreError::Unavailable(_))));
    server.restart().await;
    let again = wait::until("the store to be back", || async { store.get(&tenant(), &used.instruction_id).await.ok() });
    assert!(again.await.is_some(), "the record is still there");
    assert!(consume(&store, &used).await.unwrap().is_err(), "what was used stays used");
    assert!(consume(&store, &open).await.unwrap().is_err(), "what was refused while it was away did not happen later");
    assert!(consume(&store, &good).await.unwrap().is_ok());
    assert!(consume(&store, &good).await.unwrap().is_err());
}

#[tokio::test]
async fn a91_a_silent_network_is_unavailable_and_never_a_hang() {
    let server = RedisServer::start().await;
    let wire = Wire::to(&server).await;
    let store = connect(&wire.url()).await;
    let instruction = approved(&store, wish(1)).await;
    wire.freeze(true);
    assert!(matches!(consume(&store, &instruction).await, Err(StoreError::Unavailable(_))));
    wire.freeze(false);
    let back = wait::until("the store to be back", || async { consume(&store, &instruction).await.ok() }).await;
    assert!(back.is_ok(), "the command that was given up was never sent");
}
