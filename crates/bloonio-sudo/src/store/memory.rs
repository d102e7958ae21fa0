//! Instructions in this process: one mutex, an index by expiry, bounded memory. Nothing survives the process, and a second
//! process knows nothing of it.

mod attention;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bloonio_wire::clock::{Clock, Timestamp};
use bloonio_wire::id::{InstructionId, TenantId};

use self::state::State;
use super::{
    Created, DecideOutcome, ExpireOutcome, InstructionStore, Limits, MissOutcome, NewInstruction, StoreError, Wakeups,
};
use crate::instruction::{Claim, ConsumeRefusal, Ending, Instruction, Verdict};

/// So many records are kept unless told otherwise; one takes about half a kilobyte.
const DEFAULT_CAPACITY: usize = 200_000;

/// The in-process store.
#[derive(Debug)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl MemoryStore {
    /// An empty store that lives by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_capacity(clock, DEFAULT_CAPACITY)
    }

    /// An empty store of at most `capacity` records. When it is full, records past their `expires_at` go first, oldest
    /// first; if there is none, creating fails with [`StoreError::Full`]: an unexpired record is never dropped.
    pub fn with_capacity(clock: Arc<dyn Clock>, capacity: usize) -> Self {
        Self { clock, state: Mutex::new(State::new(capacity)) }
    }

    /// The state after time has done its work on it. A panic while the lock was held would have been a bug in a pure
    /// function; records are changed last, so the state is whole even then.
    fn settled(&self) -> (MutexGuard<'_, State>, Timestamp) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        state.sweep(now);
        (state, now)
    }
}

#[async_trait]
impl InstructionStore for MemoryStore {
    async fn create(&self, tenant: &TenantId, new: NewInstruction, limits: Limits) -> Result<Created, StoreError> {
        let (mut state, now) = self.settled();
        state.create(tenant, new, limits, now)
    }

    async fn get(&self, tenant: &TenantId, id: &InstructionId) -> Result<Option<Instruction>, StoreError> {
        Ok(self.settled().0.get(tenant, id).cloned())
    }

    async fn decide(
        &self,
        tenant: &TenantId,
        id: &InstructionId,
        verdict: &Verdict,
    ) -> Result<DecideOutcome, StoreError> {
        let (mut state, now) = self.settled();
        Ok(state.decide(tenant, id, verdict, now))
    }

    async fn miss(&self, tenant: &TenantId, id: &InstructionId) -> Result<MissOutcome, StoreError> {
        let (mut state, now) = self.settled();
        Ok(state.miss(tenant, id, now))
    }

    async fn complete(&self, tenant: &TenantId, id: &InstructionId) -> Result<bool, StoreError> {
        let (mut state, now) = self.settled();
        Ok(state.complete(tenant, id, now))
    }

    async fn release(&self, tenant: &TenantId, id: &InstructionId) -> Result<bool, StoreError> {
        let (mut state, now) = self.settled();
        Ok(state.release(tenant, id, now))
    }

    async fn consume(
        &self,
        tenant: &TenantId,
        id: &InstructionId,
        claim: &Claim,
    ) -> Result<Result<Instruction, ConsumeRefusal>, StoreError> {
        let (mut state, now) = self.settled();
        Ok(state.consume(tenant, id, claim, now))
    }

    async fn expire(&self, tenant: &TenantId, id: &InstructionId, ending: Ending) -> Result<ExpireOutcome, StoreError> {
        let (mut state, now) = self.settled();
        Ok(state.expire(tenant, id, ending, now))
    }

    async fn subscribe(&self, tenant: &TenantId, id: &InstructionId) -> Result<Option<Wakeups>, StoreError> {
        Ok(self.settled().0.subscribe(tenant, id))
    }
}
