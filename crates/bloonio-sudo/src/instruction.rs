//! One approval on the tenant's side, and its state machine (PROTOCOL 9.3).
//!
//! ```text
//! pending ─► validated ─► consumed
//!    │         │  ▲ └───► expired
//!    │     held│  │released
//!    │         ▼  │
//!    │     validated, in use ─► consumed
//!    ├─────► denied
//!    └─────► expired
//! ```
//! An approval is *in use* while the handler of a request runs on it under [`Usage::UntilAnswered`]. Nobody else can use
//! it then, and time does not end it; a process that dies meanwhile leaves it in use for good, which is as good as used.
//!
//! The transitions are plain functions on a record, so that every store that can hold a record under a lock shares them;
//! a store with its own atomic statements must do the same in its own language, and the acceptance suite says whether it does.

use std::fmt;
use std::time::Duration;

use bloonio_wire::challenge::CustomType;
use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::{InstructionId, UserSocketHash};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::fingerprint::Fingerprint;
use crate::identity::InitiatorHash;

/// So many wrong codes deny an instruction (PROTOCOL 9.4).
pub const WRONG_CODES_TO_DENY: u32 = 3;

/// Where an instruction stands. The last three are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InstructionStatus {
    /// Nobody has answered.
    Pending,
    /// Approved and not yet used.
    Validated,
    /// Approved and used.
    Consumed,
    /// Refused by the person, or answered with the wrong number.
    Denied,
    /// Over: out of time, withdrawn, or approved and not used in time.
    Expired,
}

impl InstructionStatus {
    /// The status as it travels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Validated => "validated",
            Self::Consumed => "consumed",
            Self::Denied => "denied",
            Self::Expired => "expired",
        }
    }

    /// Whether it can never change again.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Consumed | Self::Denied | Self::Expired)
    }
}

/// What using an approval does to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Usage {
    /// It is consumed at once.
    #[default]
    Once,
    /// It is in use until the store is told to [`complete`](crate::store::InstructionStore::complete) or to
    /// [`release`](crate::store::InstructionStore::release) it.
    UntilAnswered,
    /// It is only looked at: whoever asks consumes it elsewhere, and completes it then.
    Elsewhere,
}

/// Who may use an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redemption {
    /// The same request, repeated with the instruction key.
    ByKey,
    /// The very request that waits for it, and no other.
    ByWaiter,
}

/// Why an instruction ended without being used or denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Nobody answered in time.
    TimedOut,
    /// Approved, but not used in time.
    Unused,
    /// The waiting request went away, or the process stops.
    Abandoned,
    /// The relay did not take the prompt, so that nobody was bothered.
    Undelivered,
}

/// SHA-256 of a response token. The token itself is not kept (SECURITY, "Devices").
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(redacted)")
    }
}

impl TokenHash {
    /// The hash of `token`.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// From its bytes, for stores that read it back.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes, for stores that write it down.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this is the hash of `token`, in constant time.
    pub fn matches(&self, token: &str) -> bool {
        self.0.ct_eq(&Self::of(token).0).into()
    }
}

/// A decision, factor and all, as the engine has judged it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it counts as approved.
    pub approved: bool,
    /// Whether it does not because of a wrong golden number.
    pub wrong_number: bool,
    /// The device that answered, where known.
    pub device_id: Option<String>,
    /// The signed name of the callback that brought it, where there was one.
    pub webhook_id: Option<String>,
}

/// What is kept of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionRecord {
    /// What was decided.
    pub verdict: Verdict,
    /// When, by the store's clock.
    pub decided_at: Timestamp,
}

/// Who wants to use an approval, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Whose session.
    pub initiator: InitiatorHash,
    /// Which request.
    pub fingerprint: Fingerprint,
    /// In which way.
    pub redemption: Redemption,
    /// To what effect.
    pub usage: Usage,
}

/// Why an approval cannot be used, in the order of the checks (PROTOCOL 9.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsumeRefusal {
    /// Unknown, another's, not redeemable this way, expired, used or in use: one answer.
    Expired,
    /// Denied.
    Denied,
    /// Good, but for another request.
    Mismatch,
    /// Nobody has answered; the record tells until when somebody may.
    Pending(Box<Instruction>),
}

/// One approval.
#[derive(Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Its name: drawn from at least 128 random bits.
    pub instruction_id: InstructionId,
    /// Who must approve.
    pub user: UserSocketHash,
    /// Whose session asked.
    pub initiator: InitiatorHash,
    /// What for, such as `transfer_funds`.
    pub action: String,
    /// How to approve.
    pub custom_type: CustomType,
    /// For which request.
    pub fingerprint: Fingerprint,
    /// The number to type, for `goldenNumber`.
    pub golden_number: Option<u32>,
    /// Proof of having fetched the prompt.
    pub response_token: TokenHash,
    /// What the relay echoes.
    pub challenge_digest: String,
    /// Who may use it.
    pub redemption: Redemption,
    /// Whether the same request of the same initiator gets this instruction again while it is open.
    pub shared: bool,
    /// When it was asked, by the store's clock.
    pub created_at: Timestamp,
    /// When it is too late to decide; exclusive.
    pub expires_at: Timestamp,
    /// How long after the decision an approval may be used.
    pub execution_window: Duration,
    /// Where it stands.
    pub status: InstructionStatus,
    /// Whether a request runs on it right now.
    pub in_use: bool,
    /// Wrong codes so far.
    pub wrong_codes: u32,
    /// The decision, once there is one.
    pub decision: Option<DecisionRecord>,
    /// Why and when it expired, once it has.
    pub ended: Option<(Ending, Timestamp)>,
}

impl fmt::Debug for Instruction {
    /// Without ids, numbers and digests: records end up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instruction")
            .field("action", &self.action)
            .field("custom_type", &self.custom_type)
            .field("status", &self.status)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl Instruction {
    /// Until when something may still happen to it; exclusive. `expires_at`, or once approved the earlier of it and the
    /// end of the execution window.
    pub fn good_until(&self) -> Timestamp {
        match (&self.status, &self.decision) {
            (InstructionStatus::Validated, Some(decision)) => {
                self.expires_at.min(decision.decided_at.plus(self.execution_window))
            }
            _ => self.expires_at,
        }
    }

    /// Lets time do its work: past [`good_until`](Self::good_until) it is expired. Whether that changed anything.
    pub fn settle(&mut self, now: Timestamp) -> bool {
        let (until, ending) = match self.status {
            InstructionStatus::Pending => (self.good_until(), Ending::TimedOut),
            InstructionStatus::Validated if !self.in_use => (self.good_until(), Ending::Unused),
            _ => return false,
        };
        if now < until {
            return false;
        }
        self.status = InstructionStatus::Expired;
        self.ended = Some((ending, until));
        true
    }

    /// Takes a decision. Whether it was taken; if not, the record tells what holds.
    pub fn decide(&mut self, verdict: &Verdict, now: Timestamp) -> bool {
        self.settle(now);
        if self.status != InstructionStatus::Pending {
            return false;
        }
        self.status = if verdict.approved { InstructionStatus::Validated } else { InstructionStatus::Denied };
        self.decision = Some(DecisionRecord { verdict: verdict.clone(), decided_at: now });
        true
    }

    /// Counts a wrong code. The answer that the record then holds: too many of them deny it.
    ///
    /// # Errors
    /// The status that holds, where it can no longer be answered.
    pub fn miss(&mut self, now: Timestamp) -> Result<Option<Verdict>, InstructionStatus> {
        self.settle(now);
        if self.status != InstructionStatus::Pending {
            return Err(self.status);
        }
        self.wrong_codes = self.wrong_codes.saturating_add(1);
        if self.wrong_codes < WRONG_CODES_TO_DENY {
            return Ok(None);
        }
        let verdict = Verdict { approved: false, wrong_number: false, device_id: None, webhook_id: None };
        self.decide(&verdict, now);
        Ok(Some(verdict))
    }

    /// Uses the approval, in the way that the claim says.
    ///
    /// # Errors
    /// [`ConsumeRefusal`]; a mismatch leaves the approval good for the request that it was given for.
    pub fn consume(&mut self, claim: &Claim, now: Timestamp) -> Result<(), ConsumeRefusal> {
        self.settle(now);
        if self.initiator != claim.initiator || self.redemption != claim.redemption {
            return Err(ConsumeRefusal::Expired);
        }
        match self.status {
            InstructionStatus::Expired | InstructionStatus::Consumed => Err(ConsumeRefusal::Expired),
            InstructionStatus::Validated if self.in_use => Err(ConsumeRefusal::Expired),
            InstructionStatus::Denied => Err(ConsumeRefusal::Denied),
            _ if self.fingerprint != claim.fingerprint => Err(ConsumeRefusal::Mismatch),
            InstructionStatus::Pending => Err(ConsumeRefusal::Pending(Box::new(self.clone()))),
            InstructionStatus::Validated => {
                match claim.usage {
                    Usage::Once => self.status = InstructionStatus::Consumed,
                    Usage::UntilAnswered => self.in_use = true,
                    Usage::Elsewhere => {}
                }
                Ok(())
            }
        }
    }

    /// Notes that the request ran on it: an approval in use, or used elsewhere, is consumed. Whether that changed anything.
    pub fn complete(&mut self, now: Timestamp) -> bool {
        self.settle(now);
        if self.status != InstructionStatus::Validated {
            return false;
        }
        (self.status, self.in_use) = (InstructionStatus::Consumed, false);
        true
    }

    /// Makes an approval in use good again, for as long as it would have been. Whether that changed anything.
    pub fn release(&mut self, now: Timestamp) -> bool {
        let was_in_use = std::mem::take(&mut self.in_use);
        self.settle(now);
        was_in_use
    }

    /// Ends it before its time. Whether that changed anything.
    pub fn end(&mut self, ending: Ending, now: Timestamp) -> bool {
        self.settle(now);
        if self.status.is_final() || self.in_use {
            return false;
        }
        self.status = InstructionStatus::Expired;
        self.ended = Some((ending, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Wait(u16),
        Decide(bool),
        Consume(Usage),
        Complete,
        Release,
        Miss,
        End,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0u16..400).prop_map(Step::Wait),
            any::<bool>().prop_map(Step::Decide),
            prop_oneof![Just(Usage::Once), Just(Usage::UntilAnswered)].prop_map(Step::Consume),
            Just(Step::Complete),
            Just(Step::Release),
            Just(Step::Miss),
            Just(Step::End),
        ];
        prop::collection::vec(step, 0..12)
    }

    fn pending(now: Timestamp) -> Instruction {
        Instruction {
            instruction_id: InstructionId::parse("instruction-1").unwrap(),
            user: UserSocketHash::parse("jane-0001").unwrap(),
            initiator: InitiatorHash::from_bytes([1; 32]),
            action: "transfer_funds".to_owned(),
            custom_type: CustomType::LocalAuth,
            fingerprint: Fingerprint::from_bytes([1; 32]),
            golden_number: Some(42),
            response_token: TokenHash::of("token-hush"),
            challenge_digest: "digest-hush".to_owned(),
            redemption: Redemption::ByKey,
            shared: true,
            created_at: now,
            expires_at: now.plus(Duration::from_secs(180)),
            execution_window: Duration::from_secs(60),
            status: InstructionStatus::Pending,
            in_use: false,
            wrong_codes: 0,
            decision: None,
            ended: None,
        }
    }

    fn may_follow(from: InstructionStatus, to: InstructionStatus) -> bool {
        use InstructionStatus::{Consumed, Denied, Expired, Pending, Validated};
        from == to || matches!((from, to), (Pending, Validated | Denied | Expired) | (Validated, Consumed | Expired))
    }

    proptest! {
        #[test]
        fn whatever_happens_it_moves_only_along_its_arrows_and_is_used_at_most_once(steps in steps()) {
            let mut now = Timestamp::from_secs(1_800_000_000);
            let mut instruction = pending(now);
            let claim = Claim {
                initiator: instruction.initiator, fingerprint: instruction.fingerprint, redemption: Redemption::ByKey,
                usage: Usage::Once,
            };
            // Requests that run on it, and those that ran without being released.
            let (mut running, mut used) = (0, 0);
            for step in steps {
                let before = instruction.clone();
                match step {
                    Step::Wait(seconds) => {
                        now = now.plus(Duration::from_secs(seconds.into()));
                        instruction.settle(now);
                    }
                    Step::Decide(approved) => {
                        let verdict = Verdict { approved, wrong_number: false, device_id: None, webhook_id: None };
                        let in_time = before.status == InstructionStatus::Pending && now < before.expires_at;
                        prop_assert_eq!(instruction.decide(&verdict, now), in_time);
                    }
                    Step::Consume(usage) => {
                        let good = before.status == InstructionStatus::Validated && now < before.good_until();
                        let consumed = instruction.consume(&Claim { usage, ..claim }, now).is_ok();
                        prop_assert_eq!(consumed, good && running == 0);
                        match usage {
                            Usage::UntilAnswered => running += u32::from(consumed),
                            _ => used += u32::from(consumed),
                        }
                    }
                    Step::Complete if running == 1 => {
                        prop_assert!(instruction.complete(now), "whoever runs on it can always say so");
                        (running, used) = (0, used + 1);
                    }
                    Step::Complete => {}
                    Step::Release => {
                        prop_assert_eq!(instruction.release(now), running == 1);
                        running = 0;
                    }
                    Step::Miss => {
                        let misses = before.wrong_codes;
                        if let Ok(answer) = instruction.miss(now) {
                            prop_assert_eq!(answer.is_some(), misses + 1 == WRONG_CODES_TO_DENY);
                        }
                    }
                    Step::End => {
                        instruction.end(Ending::Abandoned, now);
                        prop_assert!(instruction.status.is_final() || running == 1);
                    }
                }
                prop_assert!(may_follow(before.status, instruction.status), "{:?} to {:?}", before, instruction);
                if before.status.is_final() {
                    prop_assert_eq!(&before, &instruction);
                }
                let approved = instruction.decision.as_ref().is_some_and(|decision| decision.verdict.approved);
                prop_assert!(approved || instruction.status != InstructionStatus::Consumed);
            }
            prop_assert!(used + running <= 1);
        }
    }

    #[test]
    fn debug_shows_no_key_number_or_digest() {
        let shown = format!("{:?}", pending(Timestamp::from_secs(0)));
        for secret in ["instruction-1", "42", "hush"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
