//! What follows the handler: an approval that was in use is used or good again, by what it answered.

use bloonio_wire::code::ErrorCode;
use bloonio_wire::id::InstructionId;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{SudoEngine, short_hash};
use crate::consume::{Deferral, Deferred};
use crate::decision::{Grant, Refusal};

/// A request that runs on an approval: tell it what the handler answered.
#[derive(Debug)]
#[must_use = "the approval stays in use until it is known what the handler answered"]
pub struct Run(Option<Open>);

#[derive(Debug)]
struct Open {
    engine: SudoEngine,
    id: InstructionId,
    /// The consumption that is the handler's own affair; without it the approval is in use.
    deferral: Option<Deferral>,
    runtime: Handle,
    /// Keeps a shutdown waiting until this is over.
    _token: TaskTrackerToken,
}

impl SudoEngine {
    /// Begins to run a request on what [`Decision::into_result`](crate::Decision::into_result) gave. For adapters.
    pub fn run(&self, grant: Option<&Grant>) -> Run {
        let open = grant.filter(|grant| grant.is_open()).map(|grant| Open {
            engine: self.clone(),
            id: grant.instruction_id().clone(),
            deferral: grant.deferral().cloned(),
            runtime: Handle::current(),
            _token: self.inner.tasks.token(),
        });
        Run(open)
    }
}

impl Run {
    /// The handler has answered with this status. A refusal is to be sent in place of its answer.
    pub async fn finish(mut self, status: u16) -> Option<Refusal> {
        let open = self.0.take()?;
        let deferred = open.deferral.as_ref().map(Deferral::get);
        let (end, refusal) = match deferred {
            None if status >= 500 => (End::Release, None),
            None => (End::Complete, None),
            Some(Deferred::UsedBefore) => (End::Complete, Some(Refusal::new(ErrorCode::SudoActionExpired))),
            // Committed, as far as this can be seen; if it was not, only this approval is lost.
            Some(Deferred::Written) if status < 400 => (End::Complete, None),
            Some(Deferred::Untouched) if status < 400 => {
                tracing::error!(
                    instruction = %short_hash(&open.id),
                    "a handler must consume its approval in a transaction and did not: nothing kept it from running twice"
                );
                (End::Complete, Some(Refusal::new(ErrorCode::SudoMisconfigured)))
            }
            // The application's table says what holds.
            Some(_) => return None,
        };
        // It does not panic, and a runtime that stops has no client left to tell.
        let _ = open.close(end).await;
        refusal
    }
}

impl Drop for Run {
    /// Without an answer, what the handler did is unknown: the approval is used.
    fn drop(&mut self) {
        if let Some(open) = self.0.take().filter(|open| open.deferral.is_none()) {
            drop(open.close(End::Complete));
        }
    }
}

/// What becomes of an approval.
#[derive(Debug, Clone, Copy)]
enum End {
    Complete,
    Release,
}

impl Open {
    /// Tells the store, in a task of its own: a client that hangs up meanwhile must not leave it half told. A store that is
    /// away leaves an approval in use for good, and one used elsewhere to the application's own table: either way nothing
    /// runs twice.
    fn close(self, end: End) -> JoinHandle<()> {
        let (tasks, runtime) = (self.engine.inner.tasks.clone(), self.runtime.clone());
        let closing = async move {
            let (store, tenant) = (&self.engine.inner.store, self.engine.settings().tenant_id());
            let changed = match end {
                End::Complete => store.complete(tenant, &self.id).await,
                End::Release => store.release(tenant, &self.id).await,
            };
            let instruction = short_hash(&self.id);
            match (changed, end) {
                (Ok(_), End::Complete) => {}
                (Ok(_), End::Release) => tracing::info!(%instruction, "a handler failed: its approval is good again"),
                (Err(error), _) => tracing::error!(%instruction, %error, "the end of a request could not be stored"),
            }
        };
        tasks.spawn_on(closing, &runtime)
    }
}
