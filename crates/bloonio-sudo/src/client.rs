//! Talks to the relay: [`RelayClient`], and its errors.

#[cfg(feature = "http-client")]
pub mod http;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bloonio_wire::callback::ApprovalEvent;
use bloonio_wire::challenge::{AlertKind, AuthChallenge, PushReceipt};
use bloonio_wire::code::ErrorCode;
use bloonio_wire::device::{PairingOffer, PreparePairing};
use bloonio_wire::id::{InstructionId, UserSocketHash};
use serde::Serialize;

/// What the relay did not do, and why. Shows no addresses, bodies or secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// No answer: no connection, no end within the time, or not HTTP.
    #[error("the relay cannot be reached: {0}")]
    Unreachable(&'static str),
    /// An answer that is not of the protocol.
    #[error("the relay's answer cannot be read: {0}")]
    Unreadable(&'static str),
    /// The relay refused.
    #[error("the relay refused with status {status} and code {}", code.map_or("unknown", |code| code.name()))]
    Rejected {
        /// HTTP status.
        status: u16,
        /// The code, if this version knows it.
        code: Option<ErrorCode>,
        /// When to try again, where the relay says so.
        retry_after: Option<Duration>,
    },
}

impl RelayError {
    /// The relay's code, where it refused with a known one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Rejected { code, .. } => *code,
            _ => None,
        }
    }
}

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

/// The tenant calls that the engine and applications make.
#[async_trait]
pub trait RelayClient: Send + Sync + fmt::Debug {
    /// Sends a prompt to the user's devices.
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

    /// Begins the pairing of a phone.
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
}
