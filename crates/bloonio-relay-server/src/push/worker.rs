//! Later attempts of pushes, and what a crash left behind. First attempts are [`super::dispatch`]'s.

use std::sync::Arc;
use std::time::Duration;

use bloonio_wire::random::RandomError;
use tokio::task::JoinSet;
use tracing::{error, info};

use super::dispatch::Inner;
use crate::storage::{StorageError, push};
use crate::telemetry::metrics::WORKER_ERRORS;

/// Why the queue was not read.
#[derive(Debug, thiserror::Error)]
enum TurnError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// Runs until the process stops. Attempts under way end with it: the next start finds their rows and sends again, which a
/// phone does not notice, since it knows a prompt by its id.
pub(super) async fn run(inner: &Arc<Inner>) {
    let stopping = &inner.parts.stopping;
    let mut flight = JoinSet::new();
    let mut resumed = false;
    while !stopping.is_cancelled() {
        let pause = match inner.turn(&mut flight, &mut resumed).await {
            Ok(pause) => pause,
            Err(failure) => {
                metrics::counter!(WORKER_ERRORS, "worker" => "push").increment(1);
                error!(error = &failure as &dyn std::error::Error, "the queue of pushes cannot be read");
                inner.parts.limits.poll
            }
        };
        tokio::select! {
            () = stopping.cancelled() => break,
            () = inner.wake.notified() => (),
            Some(landed) = flight.join_next() => {
                if let Err(failure) = landed {
                    error!(error = %failure, "a push ended abnormally");
                }
            }
            () = tokio::time::sleep(pause) => (),
        }
    }
}

impl Inner {
    /// One look at the database; answers how long nothing is expected to become due.
    async fn turn(self: &Arc<Self>, flight: &mut JoinSet<()>, resumed: &mut bool) -> Result<Duration, TurnError> {
        let (parts, now) = (&self.parts, self.parts.clock.now());
        if !*resumed {
            let found = push::resume(&parts.storage, now, self.started_at.plus(parts.limits.lease)).await?;
            if found > 0 {
                info!(pushes = found, "pushes under way when the relay ended last time are due again");
            }
            *resumed = true;
        }
        // Whatever is due now would only be held back again, row by row.
        if let Some(until) = parts.sender.as_ref().and_then(|sender| sender.closed_until()) {
            return Ok(until.since(now).clamp(Duration::from_millis(1), parts.limits.poll));
        }
        let (ready, next_at) = push::outlook(&parts.storage, now).await?;
        let free = parts.limits.concurrency.saturating_sub(u32::try_from(flight.len()).unwrap_or(u32::MAX));
        if ready > 0 && free > 0 {
            for job in push::claim(&parts.storage, now, &self.lease()?, free).await? {
                let inner = Arc::clone(self);
                flight.spawn(async move {
                    inner.attempt(&job).await;
                });
            }
        }
        let until_next = next_at.map_or(parts.limits.poll, |next| next.since(now));
        Ok(until_next.clamp(Duration::from_millis(1), parts.limits.poll))
    }
}
