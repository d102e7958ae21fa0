//! Where instructions are kept: a few atomic steps, and the promises that every store makes.
//!
//! A store offers no `save`. Each transition is one atomic step that checks and changes at once, by the store's own clock,
//! so that of any number of concurrent callers exactly one sees it happen. Nothing but `create` creates; a final status
//! never changes. Final records are kept [`KEPT_FOR`] past `expires_at`, so that a late callback meets a
//! memory and not a void. The tenant is part of every key.

#[cfg(feature = "memory")]
pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "store-suite")]
pub mod suite;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bloonio_wire::challenge::CustomType;
use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::{InstructionId, TenantId, UserSocketHash};
use tokio::sync::watch;

use crate::fingerprint::Fingerprint;
use crate::identity::InitiatorHash;
use crate::instruction::{
    Claim, ConsumeRefusal, DecisionRecord, Ending, Instruction, InstructionStatus, Redemption, TokenHash, Verdict,
};

/// How long a final record is kept past its `expires_at` (SECURITY, "What counts as approved").
pub const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
/// How long the same request is not asked again after a denial or a timeout (SECURITY, "Attention and guessing").
pub const QUIET_AFTER: Duration = Duration::from_secs(30);
/// So many denials by one initiator…
pub const DENIALS_TO_SILENCE: usize = 3;
/// …within this time silence him…
pub const DENIAL_MEMORY: Duration = Duration::from_secs(15 * 60);
/// …for this long, doubling at each further time…
pub const FIRST_SILENCE: Duration = Duration::from_secs(60);
/// …up to this; the doubling is forgotten after [`KEPT_FOR`] without a silence.
pub const LONGEST_SILENCE: Duration = Duration::from_secs(3600);

/// From so many wrong golden numbers of one user…
pub const WRONG_NUMBERS_TO_TYPE: usize = 3;
/// …within this time, his further prompts ask to type the number (SECURITY, "Attention and guessing").
pub const WRONG_NUMBER_MEMORY: Duration = Duration::from_secs(24 * 3600);

/// The store cannot answer. Nothing may run on it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or failed.
    #[error("the instruction store is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It holds as many unexpired records as it may.
    #[error("the instruction store is full")]
    Full,
}

/// What [`InstructionStore::create`] writes down.
#[derive(Debug, Clone)]
pub struct NewInstruction {
    /// A fresh name.
    pub instruction_id: InstructionId,
    /// Who must approve.
    pub user: UserSocketHash,
    /// Whose session asks.
    pub initiator: InitiatorHash,
    /// What for.
    pub action: String,
    /// How to approve.
    pub custom_type: CustomType,
    /// For which request.
    pub fingerprint: Fingerprint,
    /// Distinct numbers in random order; the first that none of the user's open prompts has is taken. Empty where no
    /// number is needed.
    pub golden_candidates: Vec<u32>,
    /// Hash of the token that a device gets with the prompt.
    pub response_token: TokenHash,
    /// What the relay echoes.
    pub challenge_digest: String,
    /// Who may use the approval.
    pub redemption: Redemption,
    /// Whether the same request gets this instruction again while it is open.
    pub shared: bool,
    /// How long it may be decided.
    pub ttl: Duration,
    /// How long an approval may be used.
    pub execution_window: Duration,
}

impl NewInstruction {
    /// The record as it is first written, with the number chosen by the store.
    pub fn into_pending(self, golden_number: Option<u32>, now: Timestamp) -> Instruction {
        Instruction {
            instruction_id: self.instruction_id,
            user: self.user,
            initiator: self.initiator,
            action: self.action,
            custom_type: self.custom_type,
            fingerprint: self.fingerprint,
            golden_number,
            response_token: self.response_token,
            challenge_digest: self.challenge_digest,
            redemption: self.redemption,
            shared: self.shared,
            created_at: now,
            expires_at: now.plus(self.ttl),
            execution_window: self.execution_window,
            status: InstructionStatus::Pending,
            in_use: false,
            wrong_codes: 0,
            decision: None,
            ended: None,
        }
    }
}

/// How many prompts may be open at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of one initiator.
    pub per_initiator: usize,
    /// Of one user, so that one hijacked session cannot silence the user's own.
    pub per_user: usize,
}

/// What became of a wish for a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// A new instruction; its prompt must now be sent.
    New {
        /// The record.
        instruction: Instruction,
        /// Whether the user has given so many wrong numbers that this one may not be picked, only typed.
        typed_only: bool,
    },
    /// The same request has one already; nothing is to be sent.
    Existing(Instruction),
    /// Not now.
    Limited(Limited),
}

/// Why there is no new prompt, and when to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    /// Why.
    pub reason: LimitReason,
    /// When to try again.
    pub retry_after: Duration,
}

/// Why there is no new prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitReason {
    /// The initiator has as many open prompts as he may.
    InitiatorFull,
    /// The user has.
    UserFull,
    /// The same request was denied, or ran out of time, a moment ago.
    Quiet,
    /// Too many denials by this initiator.
    Silenced,
}

/// What became of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecideOutcome {
    /// Recorded now.
    Recorded {
        /// How long this denial silences the initiator, if it does.
        silenced_for: Option<Duration>,
    },
    /// The same decision was recorded before.
    Repeated,
    /// Another decision was recorded before, or it is over; nothing changed.
    Final(InstructionStatus),
    /// No such instruction of this tenant.
    Unknown,
}

impl DecideOutcome {
    /// What it means that `verdict` was not taken: whether the record already holds the same.
    pub fn refused(kept: &Instruction, verdict: &Verdict) -> Self {
        match &kept.decision {
            Some(DecisionRecord { verdict: kept, .. }) if kept.approved == verdict.approved => Self::Repeated,
            _ => Self::Final(kept.status),
        }
    }
}

/// What became of a wrong code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissOutcome {
    /// Counted; another code may be tried.
    Counted,
    /// Counted, and one too many: the instruction is denied now.
    Denied {
        /// How long this denial silences the initiator, if it does.
        silenced_for: Option<Duration>,
    },
    /// It can no longer be answered.
    Final(InstructionStatus),
    /// No such instruction of this tenant.
    Unknown,
}

/// What became of a wish to end an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpireOutcome {
    /// Ended now.
    Expired,
    /// It was final before, or is in use.
    Final(InstructionStatus),
    /// No such instruction of this tenant.
    Unknown,
}

/// Wakes a waiter when an instruction changes. It may also wake for nothing: look, then wait again.
pub struct Wakeups {
    changes: watch::Receiver<()>,
    look_again: Option<Duration>,
}

impl fmt::Debug for Wakeups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wakeups")
    }
}

impl Wakeups {
    /// Over a channel that the store sends on at each change.
    pub fn new(changes: watch::Receiver<()>) -> Self {
        Self { changes, look_again: None }
    }

    /// Wakes this often, whatever happens: for stores whose messages can be lost.
    #[must_use]
    pub fn looking_again_every(mut self, interval: Duration) -> Self {
        self.look_again = Some(interval);
        self
    }

    /// Waits for the next change after the last one seen; for ever once the store has forgotten the instruction, unless it
    /// is to look again.
    pub async fn next(&mut self) {
        let changed = async {
            if self.changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        match self.look_again {
            None => changed.await,
            Some(interval) => {
                // Changed or not: either way it is time to look.
                let _ = tokio::time::timeout(interval, changed).await;
            }
        }
    }
}

/// Keeps instructions. All methods take the tenant first; another tenant's instruction is unknown.
#[async_trait]
pub trait InstructionStore: Send + Sync + fmt::Debug {
    /// Creates an instruction, or finds the open one of the same request, or refuses for the sake of the user's
    /// attention: one atomic step. Checked in this order: existing, quiet, silence, initiator, user. An approval in use is
    /// no open instruction.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was created then.
    async fn create(&self, tenant: &TenantId, new: NewInstruction, limits: Limits) -> Result<Created, StoreError>;

    /// The instruction as it stands now.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn get(&self, tenant: &TenantId, id: &InstructionId) -> Result<Option<Instruction>, StoreError>;

    /// Records a decision on a pending, unexpired instruction: one atomic step.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn decide(
        &self,
        tenant: &TenantId,
        id: &InstructionId,
        verdict: &Verdict,
    ) -> Result<DecideOutcome, StoreError>;

    /// Counts a wrong code on a pending, unexpired instruction, and denies it with the third: one atomic step.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn miss(&self, tenant: &TenantId, id: &InstructionId) -> Result<MissOutcome, StoreError>;

    /// Uses an approval in the way that the claim says: all checks and the change in one atomic step, so that it succeeds
    /// once.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn consume(
        &self,
        tenant: &TenantId,
        id: &InstructionId,
        claim: &Claim,
    ) -> Result<Result<Instruction, ConsumeRefusal>, StoreError>;

    /// Consumes an approval that is in use, or that was used elsewhere: one atomic step. Whether it was there to be
    /// consumed.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn complete(&self, tenant: &TenantId, id: &InstructionId) -> Result<bool, StoreError>;

    /// Makes an approval in use good again, until it would have ended anyway: one atomic step. Whether it was in use.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn release(&self, tenant: &TenantId, id: &InstructionId) -> Result<bool, StoreError>;

    /// Ends a pending or validated instruction that is not in use before its time: one atomic step.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn expire(&self, tenant: &TenantId, id: &InstructionId, ending: Ending) -> Result<ExpireOutcome, StoreError>;

    /// Wake-ups for an instruction; `None` if it is unknown. Changes after this call are not missed.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn subscribe(&self, tenant: &TenantId, id: &InstructionId) -> Result<Option<Wakeups>, StoreError>;
}
