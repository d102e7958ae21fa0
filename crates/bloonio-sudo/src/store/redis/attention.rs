//! A user's attention in Redis: places for open prompts, sharing, quiet, silence. The keys of one tenant lie in one slot, so
//! that one script sees the user and the initiator at once.

use std::time::Duration;

use bloonio_wire::id::{InstructionId, TenantId, UserSocketHash};
use serde_json::json;

use super::RedisStore;
use super::record::{Asked, millis};
use super::script::{self, Said, Unreadable, time_of};
use crate::instruction::{Ending, Instruction, InstructionStatus};
use crate::store::{
    DENIAL_MEMORY, DENIALS_TO_SILENCE, FIRST_SILENCE, KEPT_FOR, LONGEST_SILENCE, LimitReason, Limited, Limits,
    NewInstruction, QUIET_AFTER, StoreError, WRONG_NUMBER_MEMORY, WRONG_NUMBERS_TO_TYPE,
};

/// Within this time of a reservation its creator writes the record, or has failed: each of his commands is given up before.
/// Until then whoever finds the reservation without its record writes it in his place.
const WRITTEN_WITHIN: Duration = Duration::from_secs(10);
/// How long the keys of a user and an initiator are kept after their last change: longer than anything in them counts.
const KEPT: Duration = Duration::from_secs(KEPT_FOR.as_secs() + 2 * LONGEST_SILENCE.as_secs());

/// The rules of the trait, as the scripts read them. Durations are milliseconds.
pub(super) fn rules() -> String {
    let rules = json!({
        "quiet_after": millis(QUIET_AFTER),
        "denials_to_silence": DENIALS_TO_SILENCE,
        "denial_memory": millis(DENIAL_MEMORY),
        "first_silence": millis(FIRST_SILENCE),
        "longest_silence": millis(LONGEST_SILENCE),
        "silence_memory": millis(KEPT_FOR),
        "wrong_number_memory": millis(WRONG_NUMBER_MEMORY),
        "wrong_numbers_to_type": WRONG_NUMBERS_TO_TYPE,
        "written_within": millis(WRITTEN_WITHIN),
        "kept": millis(KEPT),
    });
    rules.to_string()
}

/// What became of a wish for a place.
pub(super) enum Reserved {
    /// It is there.
    New { golden_number: String, typed_only: bool },
    /// The same request has an instruction.
    Existing(Found),
    /// Not now.
    Limited(Limited),
}

/// An instruction that the same request is to find.
pub(super) struct Found {
    pub(super) id: InstructionId,
    /// What its record is made of, while its creator may not have written it yet.
    pub(super) asked: Option<String>,
    pub(super) golden_number: String,
}

/// What became of an instruction, as far as somebody's attention is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It waits for nobody any more, and the same request still finds it.
    Approved,
    /// It is of no use to another request.
    Used,
    /// The person said no.
    Denied,
    /// The person gave a wrong number.
    WrongNumber,
    /// Nobody answered.
    Unanswered,
    /// Nobody was asked.
    Undelivered,
}

impl Outcome {
    /// What a record says. `None` while somebody may still answer.
    pub(super) fn of(instruction: &Instruction) -> Option<Self> {
        let wrong_number = instruction.decision.as_ref().is_some_and(|decision| decision.verdict.wrong_number);
        match instruction.status {
            InstructionStatus::Pending => None,
            InstructionStatus::Validated if !instruction.in_use => Some(Self::Approved),
            InstructionStatus::Validated | InstructionStatus::Consumed => Some(Self::Used),
            InstructionStatus::Denied if wrong_number => Some(Self::WrongNumber),
            InstructionStatus::Denied => Some(Self::Denied),
            InstructionStatus::Expired => Some(match instruction.ended {
                Some((Ending::TimedOut | Ending::Abandoned, _)) => Self::Unanswered,
                _ => Self::Undelivered,
            }),
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Used => "used",
            Self::Denied => "denied",
            Self::WrongNumber => "wrong_number",
            Self::Unanswered => "unanswered",
            Self::Undelivered => "undelivered",
        }
    }
}

/// Whose attention, and for which instruction.
#[derive(Clone, Copy)]
pub(super) struct Concerned<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) user: &'a UserSocketHash,
    /// Hex.
    pub(super) initiator: &'a str,
    pub(super) id: &'a InstructionId,
    /// Hex.
    pub(super) fingerprint: &'a str,
}

impl RedisStore {
    pub(super) async fn reserve(
        &self,
        of: Concerned<'_>,
        new: &NewInstruction,
        asked: &str,
        limits: Limits,
    ) -> Result<Reserved, StoreError> {
        let numbers: Vec<_> = new.golden_candidates.iter().map(u32::to_string).collect();
        let own = [
            flag(new.shared).to_owned(),
            asked.to_owned(),
            numbers.join(","),
            millis(new.ttl).to_string(),
            limits.per_initiator.to_string(),
            limits.per_user.to_string(),
        ];
        read(self.ask_attention(&self.scripts.reserve, of, own.into()).await?)
    }

    /// Takes note of what became of an instruction. For how long that silences the initiator, if it does.
    pub(super) async fn settle(&self, of: Concerned<'_>, outcome: Outcome) -> Result<Option<Duration>, StoreError> {
        let own = vec![outcome.as_str().to_owned()];
        let silence = self.ask_attention(&self.scripts.settle, of, own).await?.outcome;
        if silence.is_empty() { Ok(None) } else { Ok(Some(duration(&silence)?)) }
    }

    /// As [`settle`](Self::settle), by the record, and only as well as it can be done: what is not settled now is by
    /// whoever finds it, or by time.
    pub(super) async fn settle_by(&self, tenant: &TenantId, instruction: &Instruction) -> Option<Duration> {
        let outcome = Outcome::of(instruction)?;
        let initiator = hex::encode(instruction.initiator.as_bytes());
        let fingerprint = hex::encode(instruction.fingerprint.as_bytes());
        let of = Concerned {
            tenant,
            user: &instruction.user,
            initiator: &initiator,
            id: &instruction.instruction_id,
            fingerprint: &fingerprint,
        };
        self.settle(of, outcome).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the place of an answered prompt could not be given back; time will do so");
            None
        })
    }

    async fn ask_attention(
        &self,
        script: &fred::types::scripts::Script,
        of: Concerned<'_>,
        own: Vec<String>,
    ) -> Result<Said, StoreError> {
        let key = |kind, name| format!("{}bloonio:auth:attention:{{{}}}:{kind}:{name}", self.space, of.tenant);
        let keys = vec![key("user", of.user.as_str()), key("initiator", of.initiator)];
        let mut arguments = vec![
            time_of(self.clock.as_deref()),
            self.rules.clone(),
            of.id.as_str().to_owned(),
            of.fingerprint.to_owned(),
        ];
        arguments.extend(own);
        script::call(&self.client, script, keys, arguments).await
    }

    /// Writes the record of a reservation, unless it is there: its creator's and each finder's second step.
    pub(super) async fn insert(
        &self,
        tenant: &TenantId,
        id: &InstructionId,
        asked_text: &str,
        golden_number: &str,
    ) -> Result<Said, StoreError> {
        let asked: Asked = serde_json::from_str(asked_text).map_err(|error| Unreadable::of(error.to_string()))?;
        let own = vec![
            asked_text.to_owned(),
            golden_number.to_owned(),
            asked.initiator.clone(),
            asked.fingerprint.clone(),
            super::record::redemption_text(asked.redemption()).to_owned(),
            asked.ttl.to_string(),
            asked.execution_window.to_string(),
            millis(KEPT_FOR).to_string(),
        ];
        self.ask(&self.scripts.insert, tenant, id, own).await
    }
}

fn read(said: Said) -> Result<Reserved, StoreError> {
    let limited = |reason, wait: &str| Ok(Reserved::Limited(Limited { reason, retry_after: duration(wait)? }));
    match (said.outcome.as_str(), said.fields.as_slice()) {
        ("new", [number, typed_only]) => {
            Ok(Reserved::New { golden_number: number.clone(), typed_only: !typed_only.is_empty() })
        }
        ("existing", [id, asked, number]) => {
            let id = InstructionId::parse(id.clone()).map_err(|error| Unreadable::of(error.to_string()))?;
            let asked = (!asked.is_empty()).then(|| asked.clone());
            Ok(Reserved::Existing(Found { id, asked, golden_number: number.clone() }))
        }
        ("quiet", [wait]) => limited(LimitReason::Quiet, wait),
        ("silenced", [wait]) => limited(LimitReason::Silenced, wait),
        ("initiator", [wait]) => limited(LimitReason::InitiatorFull, wait),
        ("user", [wait]) => limited(LimitReason::UserFull, wait),
        _ => Err(said.unexpected()),
    }
}

fn duration(millis: &str) -> Result<Duration, Unreadable> {
    let read = millis.parse().map(Duration::from_millis);
    read.map_err(|_| Unreadable::of("a duration was expected".to_owned()))
}

const fn flag(is_set: bool) -> &'static str {
    if is_set { "1" } else { "" }
}
