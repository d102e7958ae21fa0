//! The relay's own client of FCM's HTTP v1 interface (PUSH.md 1).
//!
//! | part | what it does |
//! | --- | --- |
//! | [`credentials`] | the service-account file, checked when it is read |
//! | [`auth`] | access tokens: one exchange at a time, refreshed before they end |
//! | [`message`] | what a push says, which is next to nothing |
//! | [`client`], [`connections`] | one message, one answer, one deadline over both; over which connection |
//! | [`error`] | what an answer means for the address and for another try |
//! | [`schedule`] | when another try comes |
//! | [`lane`], `breaker`, `gate` | whether a message may leave at all |
//! | [`sender`] | [`super::PushSender`] over all of it |
//!
//! It reports and decides nothing: what is retired or tried again is settled by its caller. Access tokens, assertions,
//! keys and device addresses have types that do not show them, and are never logged.

mod answer;
pub mod auth;
mod breaker;
pub mod client;
pub mod connections;
pub mod credentials;
mod detail;
pub mod error;
mod gate;
pub mod lane;
pub mod message;
pub mod schedule;
pub mod sender;
mod wait;

pub use auth::TokenSource;
pub use client::{EndpointError, FcmClient, MessageName};
pub use connections::Connections;
pub use credentials::{Credentials, CredentialsError};
pub use error::{Cause, SendError};
pub use lane::LaneLimits;
pub use message::{Message, MessageError};
pub use schedule::next_attempt;
pub use sender::FcmSender;
