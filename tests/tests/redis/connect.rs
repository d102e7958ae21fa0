//! What is found out at the start, and what is never shown.

use bloonio_sudo::Secret;
use bloonio_sudo::store::redis::{ConnectError, RedisOptions, RedisStore};
use bloonio_sudo::store::{InstructionStore, StoreError};
use bloonio_tests::redis::{Cluster, RedisServer};
use rstest::rstest;

use crate::cast::{approved, connect, consume, tenant, wish};

async fn refused(url: &str) -> ConnectError {
    RedisStore::connect(&Secret::new(url), RedisOptions::default()).await.unwrap_err()
}

#[rstest]
#[case("allkeys-lru")]
#[case("volatile-ttl")]
#[tokio::test]
async fn a93_a_server_that_may_evict_is_refused_unless_one_insists(#[case] policy: &str) {
    let server = RedisServer::start_with(&["--maxmemory-policy", policy]).await;
    let error = refused(&server.url()).await;
    assert!(matches!(&error, ConnectError::MayEvict { policy: found, .. } if found == policy), "{error:?}");
    let options = RedisOptions::default().insecure_allow_eviction();
    let store = RedisStore::connect(&Secret::new(server.url()), options).await.unwrap();
    assert_eq!(store.get(&tenant(), &wish(1).instruction_id).await.unwrap(), None);
}

#[tokio::test]
async fn a93_one_primary_of_a_cluster_that_may_evict_is_enough_to_refuse() {
    let cluster = Cluster::start().await;
    drop(connect(&cluster.url()).await);
    cluster.primaries[2].command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lfu"]).await;
    let error = refused(&cluster.url()).await;
    let port = cluster.primaries[2].port.to_string();
    assert!(matches!(&error, ConnectError::MayEvict { server, .. } if server.contains(&port)), "{error:?}");
}

/// What the store needs, and no more.
const RIGHTS: [&str; 16] = [
    "~bloonio:auth:*",
    "&bloonio:auth:*",
    "+evalsha",
    "+eval",
    "+time",
    "+hgetall",
    "+hget",
    "+hset",
    "+hdel",
    "+exists",
    "+pexpire",
    "+publish",
    "+subscribe",
    "+hello",
    "+ping",
    "+client",
];

async fn with_user(more: &[&str]) -> RedisServer {
    let server = RedisServer::start().await;
    let rights = [&["ACL", "SETUSER", "bank", "on", ">hush-hush"], &RIGHTS[..], more].concat();
    assert_eq!(server.command(&rights).await.trim(), "OK");
    server
}

fn as_user(server: &RedisServer, password: &str) -> String {
    format!("redis://bank:{password}@127.0.0.1:{}", server.port)
}

#[rstest]
#[case::may_read_its_settings(&["+config|get"])]
#[case::may_read_its_state(&["+info"])]
#[tokio::test]
async fn a_user_with_few_rights_suffices(#[case] more: &[&str]) {
    let server = with_user(more).await;
    let store = connect(&as_user(&server, "hush-hush")).await;
    let instruction = approved(&store, wish(1)).await;
    assert!(consume(&store, &instruction).await.unwrap().is_ok());
}

#[tokio::test]
async fn a93_a_server_that_says_nothing_of_eviction_is_refused() {
    let server = with_user(&[]).await;
    let error = refused(&as_user(&server, "hush-hush")).await;
    assert!(matches!(error, ConnectError::PolicyUnknown { .. }), "{error:?}");
}

#[tokio::test]
async fn a_wrong_password_is_told_and_never_shown() {
    let server = with_user(&["+info"]).await;
    let error = refused(&as_user(&server, "hush-again")).await;
    assert!(matches!(error, ConnectError::Unreachable(_)), "{error:?}");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("hush"), "{shown}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_at_once() {
    let server = RedisServer::start().await;
    let url = format!("redis://bank:hush@127.0.0.1:{}", server.port);
    drop(server);
    let error = refused(&url).await;
    assert!(matches!(error, ConnectError::Unreachable(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("hush"));
}

#[rstest]
#[case("")]
#[case("hush")]
#[case("http://hush@127.0.0.1")]
#[case("redis://")]
#[case("redis-sentinel://jane:hush@127.0.0.1:26379")]
#[tokio::test]
async fn an_address_that_is_none_is_refused_and_not_shown(#[case] url: &str) {
    let error = refused(url).await;
    assert!(matches!(error, ConnectError::Address), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("hush"));
}

/// A92: with fewer replicas than were asked for nothing runs, and the approval is spent.
#[tokio::test]
async fn a92_a_consumption_that_no_replica_has_is_refused() {
    let server = RedisServer::start().await;
    let options = RedisOptions::default().with_required_replicas(1);
    let store = RedisStore::connect(&Secret::new(server.url()), options).await.unwrap();
    let instruction = approved(&store, wish(1)).await;
    assert!(matches!(consume(&store, &instruction).await, Err(StoreError::Unavailable(_))));
    assert!(consume(&store, &instruction).await.unwrap().is_err(), "it does not run later either");

    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &server.port.to_string()]).await;
    bloonio_tests::wait::until("the replica to be online", || async {
        server.command(&["INFO", "replication"]).await.contains("state=online").then_some(())
    })
    .await;
    // Only once it has acknowledged something does it acknowledge what comes at once.
    server.command(&["SET", "something", "new"]).await;
    bloonio_tests::wait::until("the replica to follow", || async {
        let info = server.command(&["INFO", "replication"]).await;
        let written = info.split("master_repl_offset:").nth(1)?.split_whitespace().next()?;
        info.contains(&format!("state=online,offset={written},")).then_some(())
    })
    .await;
    let instruction = approved(&store, wish(2)).await;
    assert!(consume(&store, &instruction).await.unwrap().is_ok());
    let status = replica.command(&["HGET", &crate::cast::key(&instruction), "status"]).await;
    assert_eq!(status.trim(), "consumed", "the replica has it before anything runs");
}
