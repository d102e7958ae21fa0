//! The FCM client against a scripted Google: what it asks, how often, and how it comes back from trouble.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what the scripted endpoints cannot do fails the test"
)]

mod client;
mod gate;
mod google;
mod relay;
#[path = "../support/mod.rs"]
mod support;
mod tokens;
