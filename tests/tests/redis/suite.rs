//! The acceptance suite of every store, on one server and on a cluster.

use std::sync::Arc;

use bloonio_sudo::store::InstructionStore;
use bloonio_sudo::store::redis::{RedisOptions, RedisStore};
use bloonio_sudo::{Clock, Secret};
use bloonio_tests::redis::{Cluster, fresh_space, shared};
use tokio::sync::OnceCell;

async fn store(url: String, clock: Arc<dyn Clock>) -> Arc<RedisStore> {
    let options = RedisOptions::default().with_clock_and_space(clock, &fresh_space());
    Arc::new(RedisStore::connect(&Secret::new(url), options).await.unwrap())
}

mod one_server {
    use super::*;
    use bloonio_sudo::Timestamp;
    use bloonio_sudo::wire::clock::ManualClock;

    async fn fresh(clock: Arc<dyn Clock>) -> Arc<dyn InstructionStore> {
        store(shared().await.url(), clock).await
    }

    bloonio_sudo::instruction_store_suite!(fresh);

    #[tokio::test]
    async fn a_pinned_device_never_changes() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(0)));
        let keys = store(shared().await.url(), clock).await;
        bloonio_sudo::store::suite::a_pinned_device_never_changes(keys).await.unwrap();
    }
}

mod cluster {
    use super::*;

    async fn fresh(clock: Arc<dyn Clock>) -> Arc<dyn InstructionStore> {
        static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
        store(CLUSTER.get_or_init(Cluster::start).await.url(), clock).await
    }

    bloonio_sudo::instruction_store_suite!(fresh);
}
