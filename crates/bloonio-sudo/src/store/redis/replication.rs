//! Waits until replicas have what was written (ATTACKS A92).

use fred::interfaces::{ClientLike, ServerInterface};
use fred::types::ClusterHash;
use fred::types::config::Options;
use fred::util::redis_keyslot;

use super::RedisStore;
use super::script::unavailable;
use crate::store::StoreError;

/// How long replicas are waited for. Redis holds the connection up meanwhile.
const PATIENCE_MS: i64 = 500;

/// Too few replicas had a change in time. Nothing runs on it.
#[derive(Debug, thiserror::Error)]
#[error("{acknowledged} of {required} replicas have the change")]
struct TooFewReplicas {
    acknowledged: i64,
    required: u32,
}

impl RedisStore {
    /// Waits until as many replicas as are required have what this connection last wrote to the server of `key`.
    pub(super) async fn wait_for_replicas(&self, key: &str) -> Result<(), StoreError> {
        let required = self.required_replicas;
        if required == 0 {
            return Ok(());
        }
        // On another connection it would wait for nothing: it is neither sent again nor kept for the next one.
        let options = Options {
            cluster_hash: Some(ClusterHash::Custom(redis_keyslot(key.as_bytes()))),
            max_attempts: Some(1),
            fail_fast: true,
            ..Options::default()
        };
        let waiting = self.client.with_options(&options).wait(i64::from(required), PATIENCE_MS).await;
        let acknowledged: i64 = waiting.map_err(unavailable)?;
        if acknowledged >= i64::from(required) {
            return Ok(());
        }
        Err(StoreError::Unavailable(Box::new(TooFewReplicas { acknowledged, required })))
    }
}
