//! The contract of the adapters once more: the same rows, with approvals kept in Redis.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

#[path = "adapters/binding.rs"]
mod binding;
#[path = "adapters/blocking.rs"]
mod blocking;
#[path = "adapters/bodies.rs"]
mod bodies;
#[path = "adapters/client.rs"]
mod client;
#[path = "adapters/codes.rs"]
mod codes;
#[path = "adapters/key.rs"]
mod key;
#[path = "adapters/method.rs"]
mod method;
#[path = "adapters/modes.rs"]
mod modes;
#[path = "adapters/mounted.rs"]
mod mounted;
#[path = "adapters/server.rs"]
mod server;
#[allow(dead_code, reason = "these tests use a part of the cast")]
#[path = "../../crates/bloonio-sudo/tests/engine/support.rs"]
mod support;

use std::sync::Arc;

use bloonio_sudo::Secret;
use bloonio_sudo::store::redis::{RedisOptions, RedisStore};
use bloonio_sudo::wire::clock::ManualClock;
use bloonio_tests::redis::{fresh_space, shared};

/// What this run of the rows keeps its approvals in.
async fn store(clock: Arc<ManualClock>) -> server::Store {
    let options = RedisOptions::default().with_clock_and_space(clock, &fresh_space());
    Arc::new(RedisStore::connect(&Secret::new(shared().await.url()), options).await.unwrap())
}
