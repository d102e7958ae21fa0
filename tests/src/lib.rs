//! The actors that play in the end-to-end tests. They start the built binaries on free ports and talk to them from
//! outside: an [`operator::Operator`], a [`tenant::TenantBackend`], [`phone::Phone`]s, the example bank
//! ([`bank::Bank`]), a [`browser::Browser`], a callback [`receiver::Receiver`], an FCM emulator, and backends in other languages
//! ([`peers::Peer`]).
//!
//! Nothing here sleeps: a test waits for a condition ([`wait`]), with a deadline that only a defect reaches.

pub mod bank;
pub mod browser;
pub mod chaos;
pub mod codes;
pub mod fcm;
pub mod handset;
pub mod keeper;
pub mod operator;
pub mod peers;
pub mod phone;
pub mod postgres;
pub mod receiver;
pub mod redis;
pub mod relay;
pub mod stage;
pub mod tenant;
pub mod wait;

/// The Rust code of the documents, compiled.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/src/guide-axum.md")]
    struct GuideAxum;
    #[doc = include_str!("../../docs/src/guide-actix.md")]
    struct GuideActix;
    #[doc = include_str!("../../docs/src/relay-client.md")]
    struct RelayClient;
}
