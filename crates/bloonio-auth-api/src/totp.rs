//! One-time codes (PROTOCOL 4 to 6; SECURITY, "Attention and guessing"; ATTACKS A83 to A85).
//!
//! A pairing has one seed, made when its first device registers and handed to that device alone; it ends with the pairing's
//! last device. All ways in (a device's
//! answer to a prompt, a backend's `verify-totp`) go through [`Totp::judge`] and [`Totp::settle`], so that there is one
//! counter, one `last_step` and one lock: a code works once, wherever.
//!
//! # Code and decision are one
//! `judge` looks at the code and changes nothing; `settle` accepts it, or counts it, inside the transaction of whoever
//! asks. In the relay that is the transaction of the decision: a code is never spent for a decision that was not recorded,
//! and no decision is recorded on a code that somebody else was faster with.
//!
//! An auth API in another process has no part in that transaction. Its `judge` will accept and count at once, and its
//! `settle` only say what came of it: the code first, then the decision. A crash between the two then costs the person a
//! second code; it never lets one code decide twice. The other order could.

pub mod code;
pub mod restored;
mod room;
mod row;
pub mod throttle;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bloonio_wire::id::{DeviceId, RelayUserLinkedId, TenantId};
use bloonio_wire::random::RandomError;
use bloonio_wire::secret::Secret;

use self::code::{AddressError, Code, Step};
use crate::db::Tx;
use crate::seal::{SealError, SealedColumn};
pub use room::{TotpParts, TotpRoom};

/// Where the seeds lie sealed.
pub const SEALED: SealedColumn =
    SealedColumn { table: "totp_seeds", label: "totp-seed", key: Some("relay_user_linked_id"), column: "seed_sealed" };

/// One-time codes are not to be had.
#[derive(Debug, thiserror::Error)]
pub enum TotpError {
    /// The database does not answer, or refuses.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// A row that this version does not understand: refused, never guessed.
    #[error("a stored {0} cannot be read")]
    Corrupt(&'static str),
    /// A seed does not open, or cannot be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// No randomness for a seed.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// No address for a seed.
    #[error(transparent)]
    Address(#[from] AddressError),
}

/// Who is about to get a seed, and how an authenticator shall name it.
#[derive(Debug, Clone, Copy)]
pub struct Enrolment<'a> {
    /// The pairing.
    pub relay_user_linked_id: &'a RelayUserLinkedId,
    /// The device that the seed is handed to.
    pub device_id: &'a DeviceId,
    /// The tenant, for people.
    pub issuer: &'a str,
    /// The user, for people.
    pub account: &'a str,
}

/// A code that was looked at and not yet settled.
#[derive(Debug)]
#[must_use = "a code that is not settled is neither accepted nor counted"]
pub struct Judged {
    tenant: TenantId,
    relay_user_linked_id: RelayUserLinkedId,
    /// The seed, named by the device that it was handed to, and the step whose code this is.
    seed: Option<(DeviceId, Option<Step>)>,
}

/// What a code is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an unread verdict lets every code pass"]
pub enum Verdict {
    /// Right, for the first time.
    Right,
    /// Wrong, used before, or for a pairing that has no seed: one answer.
    Wrong {
        /// Whether codes are locked from now on.
        locks: bool,
    },
    /// Not settled: there were too many wrong ones.
    Locked {
        /// Whole seconds until codes are looked at again, at least one.
        retry_after: Duration,
    },
}

/// The room as the relay sees it. `tx` is the caller's write transaction: whoever shares its database works in it.
#[async_trait]
pub trait Totp: Send + Sync + fmt::Debug {
    /// Makes the pairing's seed and gives its `otpauth` address, which holds the seed; `None` means that the pairing has
    /// one, and nothing was changed.
    ///
    /// # Errors
    /// [`TotpError`].
    async fn enrol(&self, tx: &mut Tx, tenant: &TenantId, new: &Enrolment<'_>) -> Result<Option<Secret>, TotpError>;

    /// Whether the pairing has a seed.
    ///
    /// # Errors
    /// [`TotpError`].
    async fn is_enrolled(
        &self,
        tx: &mut Tx,
        tenant: &TenantId,
        linked_id: &RelayUserLinkedId,
    ) -> Result<bool, TotpError>;

    /// Looks at a code. A pairing that has no seed, or is none, costs the same work.
    ///
    /// # Errors
    /// [`TotpError`].
    async fn judge(&self, tenant: &TenantId, linked_id: &RelayUserLinkedId, code: &Code) -> Result<Judged, TotpError>;

    /// Accepts the code, or counts it as wrong, if `tx` is committed.
    ///
    /// # Errors
    /// [`TotpError`].
    async fn settle(&self, tx: &mut Tx, judged: &Judged) -> Result<Verdict, TotpError>;

    /// Deletes the pairing's seed; `false` means that it had none.
    ///
    /// # Errors
    /// [`TotpError`].
    async fn forget(&self, tx: &mut Tx, tenant: &TenantId, linked_id: &RelayUserLinkedId) -> Result<bool, TotpError>;
}
