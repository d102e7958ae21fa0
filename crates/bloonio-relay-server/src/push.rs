//! Bringing a prompt to a phone: wake-up hints, never the truth (PROTOCOL 5, PUSH.md 1).
//!
//! | part | what it does |
//! | --- | --- |
//! | [`dispatch`] | the first attempts of a prompt |
//! | `worker` | later attempts, and what a crash left behind |
//! | `attempt`, `brake`, `ledger` | one attempt, what its outcome means for the address, and writing it down |
//! | [`hygiene`] | addresses of devices that have fallen silent |
//! | [`fcm`] | FCM's client and its access tokens |
//! | [`sender`] | the seam to FCM: [`PushSender`] |
//! | [`stream`] | server-sent events, for devices without FCM |

mod attempt;
mod brake;
pub mod dispatch;
pub mod fcm;
pub mod hygiene;
mod ledger;
pub mod sender;
pub mod stream;
mod worker;

use bloonio_wire::device::Platform;
use bloonio_wire::id::{DeviceId, RelayUserLinkedId};

pub use dispatch::{FirstAttempts, Pusher, PusherParts};
pub use sender::{AddressVerdict, Held, Push, PushAddress, PushFailure, PushOutcome, PushSender, Retry};

/// What a push is about; the `type` of its data (PROTOCOL 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PushKind {
    /// A prompt is open.
    AuthChallenge,
    /// There is a passive notice to read.
    SecurityAlert,
    /// A prompt was withdrawn.
    ChallengeCancelled,
}

impl PushKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[Self::AuthChallenge, Self::SecurityAlert, Self::ChallengeCancelled];

    /// The kind as it travels and as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthChallenge => "auth_challenge",
            Self::SecurityAlert => "security_alert",
            Self::ChallengeCancelled => "challenge_cancelled",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }
}

/// A device that shall be pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushTarget {
    /// The device.
    pub device_id: DeviceId,
    /// How it is reached.
    pub platform: Platform,
    /// Its pairing: the key of its stream.
    pub relay_user_linked_id: RelayUserLinkedId,
}
