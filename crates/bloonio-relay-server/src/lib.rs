//! The relay: takes prompts from backends, brings them to phones, and carries the decisions back.
//!
//! | room | what happens there |
//! | --- | --- |
//! | [`http`] | authenticate, parse, answer; nothing is decided here |
//! | [`service`] | the rules: who may do what, and what follows |
//! | [`storage`] | one transaction a change, the outbox rows with it |
//! | [`push`] | FCM, and the stream of server-sent events |
//! | [`outbox`] | callbacks: claim, attempt, settle |
//! | [`keys`] | which master keys the database needs, and how one replaces another |
//! | [`epoch`] | whether this is the database that the relays worked on last, and what becomes of an older one |
//! | [`shared`] | what several instances share over Redis |
//! | [`net`] | the guard on every address that a tenant can name |
//! | [`audit`] | what happened, in chains that show whether they were changed |
//!
//! [`app::App`] holds what they share; [`config`] says how it is set up.

pub mod app;
pub mod audit;
pub mod command;
pub mod config;
pub mod epoch;
pub mod http;
pub mod hub;
pub mod keys;
pub mod limit;
pub mod net;
pub mod outbox;
pub mod push;
pub mod serve;
pub mod service;
pub mod shared;
pub mod shutdown;
pub mod storage;
pub mod supervise;
pub mod sweep;
pub mod telemetry;
pub mod token;

/// Sealing at rest is one with the auth API's: both keep what is secret under the same master key.
pub use bloonio_auth_api::seal;
