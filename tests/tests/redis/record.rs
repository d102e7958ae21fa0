//! What stands in Redis, and what reading it costs.

use std::collections::BTreeMap;

use bloonio_sudo::store::{InstructionStore, StoreError};
use bloonio_tests::redis::RedisServer;

use crate::cast::{APPROVED, Bench, approved, consume, created, key, tenant, wish};

/// How often each command ran so far, the scripts' own included.
async fn calls(server: &RedisServer) -> BTreeMap<String, u64> {
    let stats = server.command(&["INFO", "commandstats"]).await;
    let lines = stats.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
    lines.map(|(name, rest)| (name.to_owned(), rest.split(',').next().unwrap().parse().unwrap())).collect()
}

#[tokio::test]
async fn a_protected_recall_is_one_round_trip() {
    let Bench { server, store } = Bench::new().await;
    // The server knows the script by now.
    consume(&store, &approved(&store, wish(1)).await).await.unwrap().unwrap();
    let instruction = approved(&store, wish(2)).await;
    let before = calls(&server).await;
    consume(&store, &instruction).await.unwrap().unwrap();
    let after = calls(&server).await;
    let ran: Vec<_> = after
        .iter()
        .map(|(name, calls)| (name.as_str(), calls - before.get(name).copied().unwrap_or(0)))
        .filter(|(name, calls)| *calls > 0 && *name != "info")
        .collect();
    // One command of ours; the others are what its script does inside the server.
    assert_eq!(ran, [("evalsha", 1), ("hgetall", 1), ("hset", 1), ("publish", 1), ("time", 1)]);
}

#[tokio::test]
async fn records_have_the_key_of_the_protocol_and_nothing_stays_for_ever() {
    let Bench { server, store } = Bench::new().await;
    let instruction = approved(&store, wish(1)).await;
    let keys = server.command(&["--scan"]).await;
    let mut keys: Vec<_> = keys.lines().collect();
    keys.sort_unstable();
    assert_eq!(keys.len(), 3, "{keys:?}");
    assert_eq!(keys[2], "bloonio:auth:sudo:{instruction-1}");
    for key in keys {
        let left: i64 = server.command(&["PTTL", key]).await.trim().parse().unwrap();
        assert!((1..=27 * 3_600_000).contains(&left), "{key}: {left}");
    }
    let left: i64 = server.command(&["PTTL", &key(&instruction)]).await.trim().parse().unwrap();
    let (life, day) = (180_000, 24 * 3_600_000);
    assert!(left > day && left <= life + day, "kept a day past its life: {left}");
    assert_eq!(server.command(&["HGET", &key(&instruction), "tenant"]).await.trim(), tenant().as_str());
}

/// A98: a process of this version does not guess what another one meant.
#[tokio::test]
async fn a_record_of_another_version_is_refused() {
    let Bench { server, store } = Bench::new().await;
    let instruction = created(&store, wish(1)).await;
    server.command(&["HSET", &key(&instruction), "version", "2"]).await;
    let id = &instruction.instruction_id;
    assert!(matches!(store.get(&tenant(), id).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.decide(&tenant(), id, &APPROVED).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(consume(&store, &instruction).await, Err(StoreError::Unavailable(_))));
    assert_eq!(server.command(&["HGET", &key(&instruction), "status"]).await.trim(), "pending");
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_is_told_them_again() {
    let Bench { server, store } = Bench::new().await;
    let instruction = approved(&store, wish(1)).await;
    server.command(&["SCRIPT", "FLUSH"]).await;
    consume(&store, &instruction).await.unwrap().unwrap();
}

/// A95: the server's clock counts, whatever this machine's shows.
#[tokio::test]
async fn times_are_the_servers() {
    let Bench { server, store } = Bench::new().await;
    let seconds = async || -> i64 { server.command(&["TIME"]).await.lines().next().unwrap().parse().unwrap() };
    let before = seconds().await;
    let instruction = created(&store, wish(1)).await;
    assert!((before..=seconds().await).contains(&instruction.created_at.as_secs()));
}
