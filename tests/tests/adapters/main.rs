//! The contract of the adapters: every row is a request over a real socket, and both frameworks must answer it alike.
//! The same rows run in `adapters_on_redis`, over the other store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod binding;
mod blocking;
mod bodies;
mod client;
mod codes;
mod key;
mod method;
mod modes;
mod mounted;
mod server;
// The engine's own cast: recording relay, manual clock, fragile store.
#[allow(dead_code, reason = "these tests use a part of the cast")]
#[path = "../../../crates/bloonio-sudo/tests/engine/support.rs"]
mod support;

/// What this run of the rows keeps its approvals in.
async fn store(clock: std::sync::Arc<bloonio_sudo::wire::clock::ManualClock>) -> server::Store {
    std::sync::Arc::new(bloonio_sudo::store::memory::MemoryStore::new(clock))
}
