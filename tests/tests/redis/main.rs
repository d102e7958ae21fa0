//! The Redis store against real servers: one, a cluster, and such that fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod bank;
mod cast;
mod connect;
mod crash;
mod failover;
mod load;
mod outage;
mod record;
mod resend;
mod suite;
mod wakeup;
