//! A primary, its replica, and the sentinel that watches over them.

use super::RedisServer;
use crate::wait;

/// What the sentinel calls them.
const NAME: &str = "approvals";

/// A primary and a replica behind a sentinel.
#[derive(Debug)]
pub struct Sentinel {
    /// At first.
    pub primary: RedisServer,
    /// Takes over when the primary has been away for some seconds.
    pub replica: RedisServer,
    sentinel: RedisServer,
}

impl Sentinel {
    /// Starts all three.
    pub async fn start() -> Self {
        let primary = RedisServer::start().await;
        let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &primary.port.to_string()]).await;
        wait::until("the replica to follow", || async {
            (replica.info("replication", "master_link_status").await == "up").then_some(())
        })
        .await;
        let folder = tempfile::Builder::new().prefix("redis-").tempdir().expect("temporary folder").keep();
        // A sentinel writes down what it learns, in the file that it was given.
        let file = folder.join("sentinel.conf");
        let watched = primary.port;
        let at = |port: u16| {
            let lines = format!(
                "port {port}\nbind 127.0.0.1\nsentinel monitor {NAME} 127.0.0.1 {watched} 1\n\
                 sentinel down-after-milliseconds {NAME} 3000\nsentinel failover-timeout {NAME} 10000\n"
            );
            std::fs::write(&file, lines).expect("a file");
            vec![file.to_str().expect("a plain path").to_owned(), "--sentinel".to_owned()]
        };
        let sentinel = RedisServer::start_in(folder.clone(), at, &[]).await;
        wait::until("the sentinel to know the replica", || async {
            let known = sentinel.command(&["SENTINEL", "REPLICAS", NAME]).await;
            known.contains(&replica.port.to_string()).then_some(())
        })
        .await;
        Self { primary, replica, sentinel }
    }

    /// `redis-sentinel://…`
    pub fn url(&self) -> String {
        format!("redis-sentinel://127.0.0.1:{}?sentinelServiceName={NAME}", self.sentinel.port)
    }

    /// Waits until the replica is the primary, and the sentinel says so.
    pub async fn taken_over(&self) {
        let port = self.replica.port.to_string();
        wait::until("the replica to take over", || async {
            let said = self.sentinel.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]).await;
            let role = self.replica.info("replication", "role").await;
            (said.contains(&port) && role == "master").then_some(())
        })
        .await;
    }
}
