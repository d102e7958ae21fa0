//! A cluster of three primaries, with or without replicas.

use super::RedisServer;
use crate::wait;

/// Parts of the sixteen thousand and some slots.
const SLOTS: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];

/// So long a dead primary is not replaced: longer than the store waits for an answer, so that the gap can be seen.
const NODE_TIMEOUT_MS: &str = "3000";

/// Three primaries, and as many replicas where they are asked for.
#[derive(Debug)]
pub struct Cluster {
    /// In the order of their slots.
    pub primaries: Vec<RedisServer>,
    /// Each of the primary at the same place.
    pub replicas: Vec<RedisServer>,
}

impl Cluster {
    /// Three primaries.
    pub async fn start() -> Self {
        Self::of(0).await
    }

    /// Three primaries with a replica each, which takes over when its primary has been away for some seconds.
    pub async fn start_with_replicas() -> Self {
        Self::of(SLOTS.len()).await
    }

    async fn of(replicas: usize) -> Self {
        let mut nodes = Vec::new();
        for _ in 0..SLOTS.len() + replicas {
            nodes.push(node().await);
        }
        let cluster = Self { replicas: nodes.split_off(SLOTS.len()), primaries: nodes };
        cluster.join().await;
        cluster
    }

    async fn join(&self) {
        for (epoch, (primary, (first, last))) in self.primaries.iter().zip(SLOTS).enumerate() {
            primary.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(epoch + 1).to_string()]).await;
            primary.command(&["CLUSTER", "ADDSLOTSRANGE", first, last]).await;
        }
        let all = || self.primaries.iter().chain(&self.replicas);
        let first = &self.primaries[0];
        for other in all().skip(1) {
            let bus = bus_port(other).await;
            first.command(&["CLUSTER", "MEET", "127.0.0.1", &other.port.to_string(), &bus]).await;
        }
        let size = all().count().to_string();
        for node in all() {
            wait::until("everybody to know everybody", || async {
                let info = node.command(&["CLUSTER", "INFO"]).await;
                let known = info.contains(&format!("cluster_known_nodes:{size}\r"));
                (known && info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")).then_some(())
            })
            .await;
        }
        for (replica, primary) in self.replicas.iter().zip(&self.primaries) {
            let name = primary.command(&["CLUSTER", "MYID"]).await;
            replica.command(&["CLUSTER", "REPLICATE", name.trim()]).await;
            wait::until("the replica to follow", || async {
                (replica.info("replication", "master_link_status").await == "up").then_some(())
            })
            .await;
        }
    }

    /// `redis-cluster://…` with all nodes.
    pub fn url(&self) -> String {
        let mut nodes = self.primaries.iter().chain(&self.replicas).map(|node| format!("127.0.0.1:{}", node.port));
        let first = nodes.next().expect("a node");
        let others: Vec<_> = nodes.map(|node| format!("node={node}")).collect();
        format!("redis-cluster://{first}?{}", others.join("&"))
    }

    /// Which primary holds `key`.
    pub async fn place_of(&self, key: &str) -> usize {
        // Asked of the one that no test kills.
        let slot = self.primaries[2].command(&["CLUSTER", "KEYSLOT", key]).await;
        let slot: u16 = slot.trim().parse().expect("a slot");
        SLOTS.iter().position(|(_, last)| slot <= last.parse().expect("a slot")).expect("one of the parts")
    }

    /// Waits until the replica at `place` is a primary, and the cluster whole again.
    pub async fn taken_over(&self, place: usize) {
        let replica = &self.replicas[place];
        wait::until("the replica to take over", || async {
            let role = replica.info("replication", "role").await;
            let state = replica.command(&["CLUSTER", "INFO"]).await;
            (role == "master" && state.contains("cluster_state:ok")).then_some(())
        })
        .await;
    }
}

async fn node() -> RedisServer {
    // The bus listens ten thousand above the port unless it is told otherwise, and free ports can be too high for that.
    let bus = crate::keeper::free_port().await.to_string();
    RedisServer::start_with(&[
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        &bus,
        "--cluster-node-timeout",
        NODE_TIMEOUT_MS,
    ])
    .await
}

async fn bus_port(node: &RedisServer) -> String {
    let configured = node.command(&["CONFIG", "GET", "cluster-port"]).await;
    configured.lines().nth(1).expect("a port").trim().to_owned()
}
