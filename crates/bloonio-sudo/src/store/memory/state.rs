//! The records and their indexes. Every method runs under the store's lock, after [`State::sweep`].

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::{InstructionId, TenantId, UserSocketHash};
use tokio::sync::watch;

use super::attention::Attention;
use crate::fingerprint::Fingerprint;
use crate::identity::InitiatorHash;
use crate::instruction::{Claim, ConsumeRefusal, Ending, Instruction, InstructionStatus, Verdict};
use crate::store::{
    Created, DecideOutcome, ExpireOutcome, KEPT_FOR, LimitReason, Limited, Limits, NewInstruction, QUIET_AFTER,
    StoreError, Wakeups,
};

/// How often forgotten denials are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(60);

type Key = (TenantId, InstructionId);

#[derive(Debug)]
struct Record {
    instruction: Instruction,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
pub(super) struct State {
    capacity: usize,
    records: HashMap<Key, Record>,
    /// The latest instruction of each request; a fingerprint holds its tenant.
    latest: HashMap<Fingerprint, InstructionId>,
    /// Pending instructions of each user.
    open: HashMap<(TenantId, UserSocketHash), Vec<InstructionId>>,
    /// Pending instructions of each initiator, whoever must approve; the hash holds its tenant.
    open_by_initiator: HashMap<InitiatorHash, Vec<InstructionId>>,
    attention: HashMap<InitiatorHash, Attention>,
    /// When a record that is not final expires, or a final one is forgotten.
    due: BTreeSet<(Timestamp, Key)>,
    tidied_at: Option<Timestamp>,
}

impl State {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            records: HashMap::new(),
            latest: HashMap::new(),
            open: HashMap::new(),
            open_by_initiator: HashMap::new(),
            attention: HashMap::new(),
            due: BTreeSet::new(),
            tidied_at: None,
        }
    }

    /// Expires and forgets whatever is due. Each record passes here twice in its life, so the cost is spread evenly.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        while let Some((at, key)) = self.due.first().cloned() {
            if at > now {
                break;
            }
            let settled = self.change(&key, |instruction| instruction.settle(now));
            if settled != Some(true) {
                self.forget(at, &key);
            }
        }
        if self.tidied_at.is_none_or(|at| now.since(at) >= TIDY_EVERY) {
            self.attention.retain(|_, attention| attention.forget_old(now));
            self.tidied_at = Some(now);
        }
    }

    pub(super) fn get(&self, tenant: &TenantId, id: &InstructionId) -> Option<&Instruction> {
        self.records.get(&(tenant.clone(), id.clone())).map(|record| &record.instruction)
    }

    pub(super) fn subscribe(&self, tenant: &TenantId, id: &InstructionId) -> Option<Wakeups> {
        self.records.get(&(tenant.clone(), id.clone())).map(|record| Wakeups::new(record.changed.subscribe()))
    }

    pub(super) fn create(
        &mut self,
        tenant: &TenantId,
        new: NewInstruction,
        limits: Limits,
        now: Timestamp,
    ) -> Result<Created, StoreError> {
        let latest = self.latest.get(&new.fingerprint).and_then(|id| self.get(tenant, id));
        if let Some(latest) = latest {
            if new.shared && latest.shared && !latest.status.is_final() {
                return Ok(Created::Existing(latest.clone()));
            }
            if let Some(retry_after) = quiet(latest, now) {
                return Ok(Created::Limited(Limited { reason: LimitReason::Quiet, retry_after }));
            }
        }
        if let Some(limited) = self.limited(tenant, &new, limits, now) {
            return Ok(Created::Limited(limited));
        }
        if self.records.len() >= self.capacity && !self.evict(now) {
            return Err(StoreError::Full);
        }
        Ok(Created::New(self.insert(tenant, new, now)))
    }

    fn limited(&self, tenant: &TenantId, new: &NewInstruction, limits: Limits, now: Timestamp) -> Option<Limited> {
        if let Some(retry_after) = self.attention.get(&new.initiator).and_then(|attention| attention.silence(now)) {
            return Some(Limited { reason: LimitReason::Silenced, retry_after });
        }
        let of_initiator = self.open_by_initiator.get(&new.initiator).map(Vec::as_slice).unwrap_or_default();
        let of_user = self.open.get(&(tenant.clone(), new.user.clone())).map(Vec::as_slice).unwrap_or_default();
        let full = |open: &[InstructionId], most: usize, reason| {
            let first_to_end = open.iter().filter_map(|id| self.get(tenant, id)).map(|i| i.expires_at).min();
            (open.len() >= most).then(|| Limited { reason, retry_after: first_to_end.unwrap_or(now).since(now) })
        };
        full(of_initiator, limits.per_initiator, LimitReason::InitiatorFull)
            .or_else(|| full(of_user, limits.per_user, LimitReason::UserFull))
    }

    fn insert(&mut self, tenant: &TenantId, new: NewInstruction, now: Timestamp) -> Instruction {
        let key = (tenant.clone(), new.instruction_id.clone());
        let open = self.open.entry((tenant.clone(), new.user.clone())).or_default();
        let taken: Vec<u32> = open
            .iter()
            .filter_map(|id| self.records.get(&(tenant.clone(), id.clone())))
            .filter_map(|record| record.instruction.golden_number)
            .collect();
        open.push(new.instruction_id.clone());
        self.open_by_initiator.entry(new.initiator).or_default().push(new.instruction_id.clone());
        self.latest.insert(new.fingerprint, new.instruction_id.clone());
        let number = new.golden_candidates.iter().copied().find(|number| !taken.contains(number));
        let instruction = new.into_pending(number, now);
        self.due.insert((instruction.expires_at, key.clone()));
        let record = Record { instruction: instruction.clone(), changed: watch::Sender::new(()) };
        self.records.insert(key, record);
        instruction
    }

    pub(super) fn decide(
        &mut self,
        tenant: &TenantId,
        id: &InstructionId,
        verdict: &Verdict,
        now: Timestamp,
    ) -> DecideOutcome {
        let taken = self.change(&(tenant.clone(), id.clone()), |instruction| instruction.decide(verdict, now));
        let (Some(taken), Some(instruction)) = (taken, self.get(tenant, id).cloned()) else {
            return DecideOutcome::Unknown;
        };
        if !taken {
            return DecideOutcome::refused(&instruction, verdict);
        }
        let silenced_for = match verdict.approved {
            true => None,
            false => self.attention.entry(instruction.initiator).or_default().denied(now),
        };
        DecideOutcome::Recorded { silenced_for }
    }

    pub(super) fn consume(
        &mut self,
        tenant: &TenantId,
        id: &InstructionId,
        claim: &Claim,
        now: Timestamp,
    ) -> Result<Instruction, ConsumeRefusal> {
        let mut outcome = Err(ConsumeRefusal::Expired);
        self.change(&(tenant.clone(), id.clone()), |instruction| {
            outcome = instruction.consume(claim, now).map(|()| instruction.clone());
            outcome.is_ok()
        });
        outcome
    }

    pub(super) fn expire(
        &mut self,
        tenant: &TenantId,
        id: &InstructionId,
        ending: Ending,
        now: Timestamp,
    ) -> ExpireOutcome {
        let ended = self.change(&(tenant.clone(), id.clone()), |instruction| instruction.end(ending, now));
        match (ended, self.get(tenant, id)) {
            (Some(true), _) => ExpireOutcome::Expired,
            (_, Some(instruction)) => ExpireOutcome::Final(instruction.status),
            (_, None) => ExpireOutcome::Unknown,
        }
    }

    /// Changes one record and every index that depends on its status; `None` if there is no such record. What `change`
    /// returns is passed on.
    fn change(&mut self, key: &Key, change: impl FnOnce(&mut Instruction) -> bool) -> Option<bool> {
        let record = self.records.get_mut(key)?;
        let before = (record.instruction.status, due_at(&record.instruction));
        let passed_on = change(&mut record.instruction);
        let after = (record.instruction.status, due_at(&record.instruction));
        if before == after {
            return Some(passed_on);
        }
        self.due.remove(&(before.1, key.clone()));
        self.due.insert((after.1, key.clone()));
        if before.0 == InstructionStatus::Pending {
            let user = (key.0.clone(), record.instruction.user.clone());
            take_from(&mut self.open, &user, &key.1);
            take_from(&mut self.open_by_initiator, &record.instruction.initiator, &key.1);
        }
        record.changed.send_replace(());
        Some(passed_on)
    }

    fn forget(&mut self, at: Timestamp, key: &Key) {
        self.due.remove(&(at, key.clone()));
        if let Some(Record { instruction, .. }) = self.records.remove(key)
            && self.latest.get(&instruction.fingerprint) == Some(&instruction.instruction_id)
        {
            self.latest.remove(&instruction.fingerprint);
        }
    }

    /// Makes room for one record by forgetting the oldest that is past its life and its quiet time. Whether there was one.
    fn evict(&mut self, now: Timestamp) -> bool {
        let is_past = |key: &Key| {
            self.records.get(key).is_some_and(|record| {
                record.instruction.status.is_final() && record.instruction.expires_at.plus(QUIET_AFTER) <= now
            })
        };
        let past = self.due.iter().find(|(_, key)| is_past(key)).cloned();
        past.map(|(at, key)| self.forget(at, &key)).is_some()
    }
}

fn take_from<K: std::hash::Hash + Eq>(open: &mut HashMap<K, Vec<InstructionId>>, owner: &K, id: &InstructionId) {
    if let Some(ids) = open.get_mut(owner) {
        ids.retain(|open| open != id);
        if ids.is_empty() {
            open.remove(owner);
        }
    }
}

/// When time next changes a record: its expiry, or once final its being forgotten.
fn due_at(instruction: &Instruction) -> Timestamp {
    if instruction.status.is_final() { instruction.expires_at.plus(KEPT_FOR) } else { instruction.good_until() }
}

/// How much longer the request of this instruction is not to be asked again.
fn quiet(latest: &Instruction, now: Timestamp) -> Option<Duration> {
    let since = match (latest.status, &latest.decision, latest.ended) {
        (InstructionStatus::Denied, Some(decision), _) => decision.decided_at,
        (InstructionStatus::Expired, _, Some((Ending::TimedOut | Ending::Abandoned, at))) => at,
        _ => return None,
    };
    let until = since.plus(QUIET_AFTER);
    (until > now).then(|| until.since(now))
}
