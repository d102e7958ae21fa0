//! Talks to the relay: every tenant call of PROTOCOL 4 to 8 as a typed method.
//!
//! Two traits share the work. [`RelayClient`] is what the engine needs, and all that a stand-in for tests implements: seven
//! calls, and [`call`](RelayClient::call), the one door for all others. [`RelayApi`] has those others; whatever is a
//! `RelayClient` has it without a line of its own, so a relay client can lack none of them. `HttpRelayClient` is the client
//! that talks to a relay, `blocking` the same without `async`.

mod api;
#[cfg(feature = "blocking")]
pub mod blocking;
mod call;
mod error;
#[cfg(feature = "http-client")]
pub mod http;
mod read;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bloonio_wire::callback::ApprovalEvent;
use bloonio_wire::challenge::{AlertKind, AuthChallenge, PushReceipt};
use bloonio_wire::device::{PairingOffer, PreparePairing};
use bloonio_wire::id::{InstructionId, RelayUserLinkedId, UserSocketHash};
use serde::Serialize;
use serde_json::Value;

pub use api::RelayApi;
pub use call::{Method, RelayCall, Repeat};
pub use error::{NextStep, RelayError};

/// Body of POST /relay/send/security-alert (PROTOCOL 5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecurityAlert {
    /// Whom to tell.
    pub user_socket_hash: UserSocketHash,
    /// Headline, 1 to 128 characters.
    pub title: String,
    /// Text, 1 to 1,024 characters.
    pub body: String,
    /// What kind of notice.
    pub kind: AlertKind,
    /// Your name of it: the same again is told once. Without one every call is another notice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification_id: Option<InstructionId>,
    /// How long devices list it, in seconds; default 86,400.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u32>,
}

/// What the relay knows of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Nobody has answered.
    Pending,
    /// Somebody has.
    Decided(Box<ApprovalEvent>),
    /// Out of time.
    Expired,
    /// Withdrawn.
    Cancelled,
}

/// The tenant calls that the engine and its pages make, and the door for all others ([`RelayApi`]).
#[async_trait]
pub trait RelayClient: Send + Sync + fmt::Debug {
    /// Sends a prompt to the user's devices. The same prompt again is told once.
    ///
    /// # Errors
    /// [`RelayError`]; `PAIRING_NOT_FOUND` and `NO_DEVICE` for a user without a phone.
    async fn send_auth_challenge(&self, challenge: &AuthChallenge) -> Result<PushReceipt, RelayError>;

    /// Withdraws a prompt.
    ///
    /// # Errors
    /// [`RelayError`]; `ALREADY_DECIDED` for an answered one.
    async fn cancel_auth_challenge(&self, instruction: &InstructionId) -> Result<(), RelayError>;

    /// Asks what became of a prompt, waiting up to `wait` (at most 30 s) for an answer.
    ///
    /// # Errors
    /// [`RelayError`].
    async fn fetch_outcome(&self, instruction: &InstructionId, wait: Duration) -> Result<Outcome, RelayError>;

    /// Begins the pairing of a phone. An offer that was made before for the same user is void from then on.
    ///
    /// # Errors
    /// [`RelayError`].
    async fn prepare_pairing(&self, profile: &PreparePairing) -> Result<PairingOffer, RelayError>;

    /// Ends a pairing with all its devices.
    ///
    /// # Errors
    /// [`RelayError`]; `PAIRING_NOT_FOUND` where there is none.
    async fn revoke_pairing(&self, user: &UserSocketHash) -> Result<(), RelayError>;

    /// Tells the user's devices something that needs no answer.
    ///
    /// # Errors
    /// [`RelayError`].
    async fn send_security_alert(&self, alert: &SecurityAlert) -> Result<PushReceipt, RelayError>;

    /// Whether `code` is the user's present code. A code works once: to ask again about the same one gives `false`.
    ///
    /// # Errors
    /// [`RelayError`]; `RATE_LIMITED` after five wrong codes, whatever the code. A wrong code is no error.
    async fn verify_totp(&self, user: &RelayUserLinkedId, code: &str) -> Result<bool, RelayError>;

    /// Makes a call and gives the `data` of its answer, unread. Prefer the typed methods.
    ///
    /// # Errors
    /// [`RelayError`].
    async fn call(&self, call: &RelayCall) -> Result<Value, RelayError>;
}
