//! The seam between the relay and a push service: what is sent, and what an answer means.
//!
//! A sender reports; it changes nothing. Whether an address is retired and whether there is another try is decided by
//! [`super::dispatch`] from the [`PushOutcome`].

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bloonio_wire::clock::Timestamp;
use bloonio_wire::device::Platform;
use bloonio_wire::id::TenantId;

use super::PushKind;

/// Where a message goes: one of FCM's two kinds of address.
#[derive(Clone, PartialEq, Eq)]
pub enum PushAddress {
    /// A registration token.
    Token(String),
    /// A Firebase installation id.
    Fid(String),
}

impl PushAddress {
    /// The address of a stored kind.
    pub fn of_kind(kind: &str, value: String) -> Option<Self> {
        match kind {
            "token" => Some(Self::Token(value)),
            "fid" => Some(Self::Fid(value)),
            _ => None,
        }
    }

    /// Its kind, as it is stored.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Fid(_) => "fid",
        }
    }

    /// The bare address.
    pub fn value(&self) -> &str {
        match self {
            Self::Token(value) | Self::Fid(value) => value,
        }
    }

    /// Its first 12 characters: enough for a backend to recognise it, useless for sending (PROTOCOL 5).
    pub fn sample(&self) -> String {
        self.value().chars().take(12).collect()
    }
}

impl fmt::Debug for PushAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushAddress(redacted)")
    }
}

/// One message to one device. It holds no more than PROTOCOL 5 lets the push service read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// Whose prompt.
    pub tenant_id: TenantId,
    /// What it is about.
    pub kind: PushKind,
    /// Instruction id, or notification id.
    pub subject_id: String,
    /// End of the message's life; the push service must not keep it longer.
    pub expires_at: Timestamp,
    /// Which recipe to use.
    pub platform: Platform,
    /// Where it goes.
    pub address: PushAddress,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushOutcome {
    /// The push service took it. That says nothing about the phone.
    Accepted {
        /// The service's own name of the message.
        message_id: String,
    },
    /// It did not, or we cannot know.
    Failed(PushFailure),
    /// It was not attempted.
    Held(Held),
}

/// A message that the push service is not asked about now: it would only be refused, or make things worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// When to ask again.
    pub until: Timestamp,
    /// A short, stable word for status and metrics, such as `fcm_paused`.
    pub error: &'static str,
}

/// Why a message was not taken, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushFailure {
    /// A short, stable word for status and metrics, such as `unregistered`; never a text of the other side.
    pub error: &'static str,
    /// What it says about the address.
    pub address: AddressVerdict,
    /// Whether and when to try again.
    pub retry: Retry,
}

/// What an answer says about the address itself (PUSH.md 1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressVerdict {
    /// Nothing: keep it. Every answer that is not about this very address.
    Keep,
    /// It is gone or malformed: retire it, with the reason.
    Dead,
    /// It belongs to another project: set it aside, a wrong key file makes every device look like this.
    Quarantine,
}

/// Whether another try makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// No: the same message will fail again.
    Never,
    /// By the relay's own schedule.
    Backoff,
    /// By the relay's own schedule, but not before this much time is over.
    NotBefore(Duration),
}

/// Sends one message and reports what became of it; it must come back within about 15 s, whatever happens.
#[async_trait]
pub trait PushSender: Send + Sync + fmt::Debug {
    /// Sends `push` once (a transport may repeat what provably never left this machine).
    async fn send(&self, push: &Push) -> PushOutcome;

    /// Until when every message would be [`PushOutcome::Held`], so that nobody need look for one; `None` if that is not so.
    fn closed_until(&self) -> Option<Timestamp> {
        None
    }
}
