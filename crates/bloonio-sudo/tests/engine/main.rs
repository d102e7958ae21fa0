//! The engine through its public door: a recording relay, a manual clock, a store that can fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod attacks;
mod attention;
mod blocking;
mod callback;
mod canonical;
mod consume;
mod doctor;
mod fingerprint;
mod flow;
mod golden;
mod poll;
mod resolver;
mod settings;
mod signature;
mod status;
mod submit;
mod support;
