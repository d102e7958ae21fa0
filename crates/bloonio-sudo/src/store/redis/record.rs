//! How a record is written down, and read again: what was asked never changes and is one piece of JSON that the scripts only
//! pass on; what does change is a field each.

use std::time::Duration;

use bloonio_wire::challenge::CustomType;
use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::{InstructionId, UserSocketHash};
use serde::{Deserialize, Serialize};

use super::script::Unreadable;
use crate::fingerprint::Fingerprint;
use crate::identity::InitiatorHash;
use crate::instruction::{
    DecisionRecord, Ending, Instruction, InstructionStatus, Redemption, TokenHash, Usage, Verdict,
};
use crate::store::NewInstruction;

/// What never changes of an instruction. Hashes are hex, durations milliseconds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    instruction_id: InstructionId,
    user: UserSocketHash,
    pub(super) initiator: String,
    action: String,
    custom_type: CustomType,
    pub(super) fingerprint: String,
    response_token: String,
    challenge_digest: String,
    by_waiter: bool,
    shared: bool,
    pub(super) ttl: u64,
    pub(super) execution_window: u64,
}

impl Asked {
    pub(super) fn of(new: &NewInstruction) -> Self {
        Self {
            instruction_id: new.instruction_id.clone(),
            user: new.user.clone(),
            initiator: hex::encode(new.initiator.as_bytes()),
            action: new.action.clone(),
            custom_type: new.custom_type,
            fingerprint: hex::encode(new.fingerprint.as_bytes()),
            response_token: hex::encode(new.response_token.as_bytes()),
            challenge_digest: new.challenge_digest.clone(),
            by_waiter: new.redemption == Redemption::ByWaiter,
            shared: new.shared,
            ttl: millis(new.ttl),
            execution_window: millis(new.execution_window),
        }
    }

    pub(super) fn redemption(&self) -> Redemption {
        if self.by_waiter { Redemption::ByWaiter } else { Redemption::ByKey }
    }
}

/// What is kept of a verdict.
#[derive(Serialize, Deserialize)]
struct Decided {
    approved: bool,
    wrong_number: bool,
    device_id: Option<String>,
    webhook_id: Option<String>,
}

/// A verdict as it is written down.
pub(super) fn verdict_text(verdict: &Verdict) -> Result<String, serde_json::Error> {
    let Verdict { approved, wrong_number, device_id, webhook_id } = verdict.clone();
    serde_json::to_string(&Decided { approved, wrong_number, device_id, webhook_id })
}

/// The fields that a script's reply holds behind its outcome, in this order (see `reply` in record.lua).
const FIELDS: usize = 11;

/// Reads the record of a reply.
pub(super) fn instruction(fields: &[String]) -> Result<Instruction, Unreadable> {
    let [asked, number, created_at, expires_at, status, in_use, misses, decision, decided_at, ending, ended_at] =
        fields
    else {
        return Err(Unreadable::of(format!("a record has {FIELDS} fields, not {}", fields.len())));
    };
    let asked: Asked = serde_json::from_str(asked).map_err(|error| Unreadable::of(error.to_string()))?;
    Ok(Instruction {
        initiator: InitiatorHash::from_bytes(bytes(&asked.initiator)?),
        fingerprint: Fingerprint::from_bytes(bytes(&asked.fingerprint)?),
        response_token: TokenHash::from_bytes(bytes(&asked.response_token)?),
        redemption: asked.redemption(),
        execution_window: Duration::from_millis(asked.execution_window),
        instruction_id: asked.instruction_id,
        user: asked.user,
        action: asked.action,
        custom_type: asked.custom_type,
        challenge_digest: asked.challenge_digest,
        shared: asked.shared,
        golden_number: optional(number, parsed)?,
        created_at: timestamp(created_at)?,
        expires_at: timestamp(expires_at)?,
        status: status_of(status)?,
        in_use: !in_use.is_empty(),
        wrong_codes: parsed(misses)?,
        decision: optional(decision, |text| decision_of(text, decided_at))?,
        ended: optional(ending, |text| Ok((ending_of(text)?, timestamp(ended_at)?)))?,
    })
}

fn decision_of(text: &str, decided_at: &str) -> Result<DecisionRecord, Unreadable> {
    let decided: Decided = serde_json::from_str(text).map_err(|error| Unreadable::of(error.to_string()))?;
    let Decided { approved, wrong_number, device_id, webhook_id } = decided;
    let verdict = Verdict { approved, wrong_number, device_id, webhook_id };
    Ok(DecisionRecord { verdict, decided_at: timestamp(decided_at)? })
}

fn status_of(text: &str) -> Result<InstructionStatus, Unreadable> {
    use InstructionStatus::{Consumed, Denied, Expired, Pending, Validated};
    let known = [Pending, Validated, Consumed, Denied, Expired].into_iter().find(|status| status.as_str() == text);
    known.ok_or_else(|| Unreadable::of(format!("{text:?} is no status")))
}

const ENDINGS: [(Ending, &str); 4] = [
    (Ending::TimedOut, "timed_out"),
    (Ending::Unused, "unused"),
    (Ending::Abandoned, "abandoned"),
    (Ending::Undelivered, "undelivered"),
];

fn ending_of(text: &str) -> Result<Ending, Unreadable> {
    let known = ENDINGS.into_iter().find(|(_, written)| *written == text);
    known.map(|(ending, _)| ending).ok_or_else(|| Unreadable::of(format!("{text:?} is no ending")))
}

pub(super) const fn ending_text(ending: Ending) -> &'static str {
    match ending {
        Ending::TimedOut => ENDINGS[0].1,
        Ending::Unused => ENDINGS[1].1,
        Ending::Abandoned => ENDINGS[2].1,
        Ending::Undelivered => ENDINGS[3].1,
    }
}

pub(super) const fn redemption_text(redemption: Redemption) -> &'static str {
    match redemption {
        Redemption::ByKey => "key",
        Redemption::ByWaiter => "waiter",
    }
}

pub(super) const fn usage_text(usage: Usage) -> &'static str {
    match usage {
        Usage::Once => "once",
        Usage::UntilAnswered => "until_answered",
        Usage::Elsewhere => "elsewhere",
    }
}

/// An empty field holds nothing.
fn optional<T>(text: &str, read: impl Fn(&str) -> Result<T, Unreadable>) -> Result<Option<T>, Unreadable> {
    if text.is_empty() { Ok(None) } else { read(text).map(Some) }
}

fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, Unreadable> {
    text.parse().map_err(|_| Unreadable::of("a number was expected".to_owned()))
}

fn timestamp(text: &str) -> Result<Timestamp, Unreadable> {
    parsed(text).map(Timestamp::from_millis)
}

fn bytes(hex_digits: &str) -> Result<[u8; 32], Unreadable> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(hex_digits, &mut bytes).map_err(|error| Unreadable::of(error.to_string()))?;
    Ok(bytes)
}

/// A duration as the scripts take it. Saturating: nobody waits half a billion years.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
