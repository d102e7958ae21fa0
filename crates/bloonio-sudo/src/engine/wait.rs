//! Blocking mode: the request itself waits for the answer (SECURITY, "What counts as approved").

use std::time::Duration;

use bloonio_wire::challenge::AuthChallenge;
use bloonio_wire::clock::Timestamp;
use bloonio_wire::code::ErrorCode;
use bloonio_wire::id::InstructionId;
use tokio::runtime::Handle;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::ask::Delivery;
use super::guard::Asked;
use super::{SudoEngine, short_hash};
use crate::decision::{Decision, Refusal};
use crate::instruction::{Ending, Instruction, InstructionStatus, Redemption};
use crate::request::RequestView;
use crate::store::StoreError;

/// How long a store that fails may take to come back while a request waits, and how often it is asked meanwhile.
const STORE_PATIENCE: Duration = Duration::from_secs(5);
const STORE_PAUSE: Duration = Duration::from_millis(250);

/// Ends the instruction and withdraws its prompt when the waiting request goes away, in whatever way.
pub(super) struct Waiting {
    engine: SudoEngine,
    id: InstructionId,
    runtime: Handle,
    armed: bool,
    /// Keeps a shutdown waiting until this is over.
    _token: TaskTrackerToken,
}

impl Waiting {
    /// For an instruction that has just been stored.
    pub(super) fn of(engine: SudoEngine, id: InstructionId) -> Self {
        let _token = engine.inner.tasks.token();
        Self { engine, id, runtime: Handle::current(), armed: true, _token }
    }

    fn disarm(&mut self) {
        self.armed = false;
    }

    /// Ends it now, and says so to the relay.
    async fn end(mut self, ending: Ending) {
        self.engine.end(&self.id, ending).await;
        self.engine.withdraw(self.id.clone());
        self.disarm();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let (engine, id) = (self.engine.clone(), self.id.clone());
        let ending = async move {
            engine.end(&id, Ending::Abandoned).await;
            engine.withdraw(id);
        };
        self.engine.inner.tasks.spawn_on(ending, &self.runtime);
    }
}

/// The store's clock may be behind ours: so short a time at least lies between two questions.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// When time next changes an instruction. One millisecond more than its life: `good_until` is exclusive.
pub(crate) fn left_of(instruction: &Instruction, now: Timestamp) -> Duration {
    (instruction.good_until().since(now) + Duration::from_millis(1)).max(SHORTEST_PAUSE)
}

impl SudoEngine {
    pub(super) async fn wait(
        &self,
        asked: &Asked<'_>,
        view: &RequestView<'_>,
        mut waiting: Waiting,
        challenge: Box<AuthChallenge>,
    ) -> Result<Decision, Refusal> {
        let id = waiting.id.clone();
        match self.deliver(challenge).await {
            Delivery::Sent => {}
            undelivered => {
                waiting.disarm();
                return match undelivered {
                    Delivery::NotPaired if asked.requirement.enrolment_exception => Ok(Decision::Exempt),
                    Delivery::Later(wait) => Err(Refusal::later(ErrorCode::SudoTooManyPending, wait)),
                    Delivery::Away => Err(Refusal::relay_unavailable()),
                    // Without a phone nobody will answer in time.
                    _ => Err(Refusal::new(ErrorCode::SudoActionTimeout)),
                };
            }
        }
        let timed_out = tokio::select! {
            answered = tokio::time::timeout(self.inner.settings.block_timeout(), self.answered_at_last(&id)) => {
                if let Ok(Err(error)) = &answered {
                    tracing::error!(instruction = %short_hash(&id), %error, "an answer could not be waited for");
                    waiting.end(Ending::Abandoned).await;
                    return Err(Refusal::state_unavailable());
                }
                answered.is_err()
            }
            () = self.inner.stopping.cancelled() => {
                waiting.end(Ending::Abandoned).await;
                return Err(Refusal::state_unavailable());
            }
        };
        if let Err(refusal) = self.still_asks(asked, view).await {
            waiting.end(Ending::Abandoned).await;
            return Err(refusal);
        }
        let claim = asked.claim(Redemption::ByWaiter);
        let used = self.consume(&id, &claim).await;
        match &used {
            Ok(_) => waiting.disarm(),
            Err(refusal) if refusal.kind() == ErrorCode::SudoActionDenied => waiting.disarm(),
            // Nobody has answered, or time was up in the store first.
            Err(refusal) if matches!(refusal.kind(), ErrorCode::SudoActionPending | ErrorCode::SudoActionExpired) => {
                waiting.end(Ending::TimedOut).await;
                return Err(Refusal::new(ErrorCode::SudoActionTimeout));
            }
            Err(_) if timed_out => waiting.end(Ending::TimedOut).await,
            // The store is away: the guard's drop tries once more.
            Err(_) => {}
        }
        used
    }

    /// Whether the same session still asks: it may have been ended while its request waited (ATTACKS A22).
    async fn still_asks(&self, asked: &Asked<'_>, view: &RequestView<'_>) -> Result<(), Refusal> {
        let caller = self.identified(view).await?;
        if caller.initiator_hash(&self.inner.settings.tenant_id) == asked.initiator {
            return Ok(());
        }
        Err(Refusal::new(ErrorCode::SudoUserRequired))
    }

    /// As [`answered`](Self::answered), and a store that fails gets a little time to come back: the prompt is still on the
    /// phone.
    async fn answered_at_last(&self, id: &InstructionId) -> Result<Option<Instruction>, StoreError> {
        let mut left = STORE_PATIENCE;
        loop {
            match self.answered(id).await {
                Err(_) if !left.is_zero() => {
                    tokio::time::sleep(STORE_PAUSE).await;
                    left = left.saturating_sub(STORE_PAUSE);
                }
                answered => return answered,
            }
        }
    }

    /// Waits until an instruction is no longer pending, however that comes about.
    pub(crate) async fn answered(&self, id: &InstructionId) -> Result<Option<Instruction>, StoreError> {
        let tenant = &self.inner.settings.tenant_id;
        let Some(mut wakeups) = self.inner.store.subscribe(tenant, id).await? else { return Ok(None) };
        loop {
            match self.inner.store.get(tenant, id).await? {
                Some(instruction) if instruction.status == InstructionStatus::Pending => {
                    let left = left_of(&instruction, self.inner.clock.now());
                    // Out of time or woken: either way the store is asked what holds.
                    let _ = tokio::time::timeout(left, wakeups.next()).await;
                }
                other => return Ok(other),
            }
        }
    }
}
