//! The adapter through the router: the attack table's rows about routes, and what must never run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod app;
mod binding;
mod closed;
mod key;
mod leak;
mod plumbing;
mod routes;
// The engine's own cast: recording relay, manual clock, fragile store.
#[allow(dead_code, reason = "these tests use a part of the cast")]
#[path = "../../../bloonio-sudo/tests/engine/support.rs"]
mod support;
