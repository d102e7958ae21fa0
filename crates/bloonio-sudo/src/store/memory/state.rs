//! The records and their indexes. Every method runs under the store's lock, after [`State::sweep`].

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::{InstructionId, TenantId, UserSocketHash};
use tokio::sync::watch;

use super::attention::{Attention, WrongNumbers};
use crate::fingerprint::Fingerprint;
use crate::identity::InitiatorHash;
use crate::instruction::{Claim, ConsumeRefusal, Ending, Instruction, InstructionStatus, Verdict};
use crate::store::{
    Created, DecideOutcome, ExpireOutcome, KEPT_FOR, LimitReason, Limited, Limits, MissOutcome, NewInstruction,
    QUIET_AFTER, StoreError, Wakeups,
};

/// How often forgotten denials are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(60);

type Key = (TenantId, InstructionId);
type User = (TenantId, UserSocketHash);

#[derive(Debug)]
struct Record {
    instruction: Instruction,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
pub(super) struct State {
    capacity: usize,
    records: HashMap<Key, Record>,
    /// The latest instruction of each request that others may find; a fingerprint holds its tenant.
    shared: HashMap<Fingerprint, InstructionId>,
    /// Until when a request is not to be asked again.
    quiet_until: HashMap<Fingerprint, Timestamp>,
    /// Pending instructions of each user.
    open: HashMap<User, Vec<InstructionId>>,
    /// Pending instructions of each initiator, whoever must approve; the hash holds its tenant.
    open_by_initiator: HashMap<InitiatorHash, Vec<InstructionId>>,
    attention: HashMap<InitiatorHash, Attention>,
    wrong_numbers: HashMap<User, WrongNumbers>,
    /// When a record that is not final expires, or a final one is forgotten.
    due: BTreeSet<(Timestamp, Key)>,
    tidied_at: Option<Timestamp>,
}

impl State {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            records: HashMap::new(),
            shared: HashMap::new(),
            quiet_until: HashMap::new(),
            open: HashMap::new(),
            open_by_initiator: HashMap::new(),
            attention: HashMap::new(),
            wrong_numbers: HashMap::new(),
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
            self.wrong_numbers.retain(|_, wrong| wrong.forget_old(now));
            self.quiet_until.retain(|_, until| *until > now);
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
        let existing = self.shared.get(&new.fingerprint).and_then(|id| self.get(tenant, id));
        if let Some(existing) = existing.filter(|found| new.shared && !found.status.is_final() && !found.in_use) {
            return Ok(Created::Existing(existing.clone()));
        }
        if let Some(until) = self.quiet_until.get(&new.fingerprint).filter(|until| **until > now) {
            return Ok(Created::Limited(Limited { reason: LimitReason::Quiet, retry_after: until.since(now) }));
        }
        if let Some(limited) = self.limited(tenant, &new, limits, now) {
            return Ok(Created::Limited(limited));
        }
        if self.records.len() >= self.capacity && !self.evict(now) {
            return Err(StoreError::Full);
        }
        let typed_only =
            self.wrong_numbers.get(&(tenant.clone(), new.user.clone())).is_some_and(|wrong| wrong.too_many(now));
        Ok(Created::New { instruction: self.insert(tenant, new, now), typed_only })
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
        if new.shared {
            self.shared.insert(new.fingerprint, new.instruction_id.clone());
        }
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
        DecideOutcome::Recorded { silenced_for: self.note(tenant, &instruction, verdict, now) }
    }

    pub(super) fn miss(&mut self, tenant: &TenantId, id: &InstructionId, now: Timestamp) -> MissOutcome {
        let mut missed = None;
        self.change(&(tenant.clone(), id.clone()), |instruction| {
            missed = Some(instruction.miss(now));
            true
        });
        match (missed, self.get(tenant, id).cloned()) {
            (Some(Ok(Some(verdict))), Some(instruction)) => {
                MissOutcome::Denied { silenced_for: self.note(tenant, &instruction, &verdict, now) }
            }
            (Some(Ok(None)), _) => MissOutcome::Counted,
            (Some(Err(status)), _) => MissOutcome::Final(status),
            _ => MissOutcome::Unknown,
        }
    }

    /// Remembers what a recorded verdict says of those concerned. How long it silences the initiator, if it does.
    fn note(
        &mut self,
        tenant: &TenantId,
        instruction: &Instruction,
        verdict: &Verdict,
        now: Timestamp,
    ) -> Option<Duration> {
        if verdict.wrong_number {
            self.wrong_numbers.entry((tenant.clone(), instruction.user.clone())).or_default().add(now);
        }
        match verdict.approved {
            true => None,
            false => self.attention.entry(instruction.initiator).or_default().denied(now),
        }
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

    pub(super) fn complete(&mut self, tenant: &TenantId, id: &InstructionId, now: Timestamp) -> bool {
        self.change(&(tenant.clone(), id.clone()), |instruction| instruction.complete(now)) == Some(true)
    }

    pub(super) fn release(&mut self, tenant: &TenantId, id: &InstructionId, now: Timestamp) -> bool {
        self.change(&(tenant.clone(), id.clone()), |instruction| instruction.release(now)) == Some(true)
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
            if let Some(until) = quiet_until(&record.instruction) {
                self.quiet_until.insert(record.instruction.fingerprint, until);
            }
        }
        record.changed.send_replace(());
        Some(passed_on)
    }

    fn forget(&mut self, at: Timestamp, key: &Key) {
        self.due.remove(&(at, key.clone()));
        if let Some(Record { instruction, .. }) = self.records.remove(key)
            && self.shared.get(&instruction.fingerprint) == Some(&instruction.instruction_id)
        {
            self.shared.remove(&instruction.fingerprint);
        }
    }

    /// Makes room for one record by forgetting the oldest that is past its life. Whether there was one.
    fn evict(&mut self, now: Timestamp) -> bool {
        let is_past = |key: &Key| {
            self.records
                .get(key)
                .is_some_and(|record| record.instruction.status.is_final() && record.instruction.expires_at <= now)
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

/// When time next changes a record: its expiry, or once final or in use its being forgotten.
fn due_at(instruction: &Instruction) -> Timestamp {
    let stays = instruction.status.is_final() || instruction.in_use;
    if stays { instruction.expires_at.plus(KEPT_FOR) } else { instruction.good_until() }
}

/// Until when the request of an instruction that is no longer pending is not to be asked again.
fn quiet_until(instruction: &Instruction) -> Option<Timestamp> {
    match (instruction.status, &instruction.decision, instruction.ended) {
        (InstructionStatus::Denied, Some(decision), _) => Some(decision.decided_at.plus(QUIET_AFTER)),
        (InstructionStatus::Expired, _, Some((Ending::TimedOut | Ending::Abandoned, at))) => Some(at.plus(QUIET_AFTER)),
        _ => None,
    }
}
