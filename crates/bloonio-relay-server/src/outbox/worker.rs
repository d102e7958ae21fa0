//! The worker: a turn at the database, attempts in parallel, and an end that loses nothing.
//!
//! Attempts run in a [`JoinSet`] that belongs to the worker: when it is dropped, so are they, just as in a crash, and the
//! rows' leases lapse.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::{Id, JoinError, JoinSet};
use tracing::{Instrument, debug_span, error, info, warn};

use super::Inner;
use super::callback::{self, Signed, Verdict};
use crate::storage::delivery::{self, Claimed};
use crate::storage::{Storage, StorageError};
use crate::telemetry::metrics::WORKER_ERRORS;
use crate::telemetry::trace;

/// Attempts under way, and those that are over and wait to be settled.
#[derive(Default)]
pub(super) struct Flight {
    tasks: JoinSet<Verdict>,
    claims: HashMap<Id, Claimed>,
    pub(super) landed: Vec<(Claimed, Verdict)>,
}

impl Flight {
    /// Starts an attempt.
    pub(super) fn launch(&mut self, inner: &Arc<Inner>, claimed: Claimed, signed: Signed) {
        let (inner, own) = (Arc::clone(inner), claimed.clone());
        let span = debug_span!("callback", tenant.id = own.tenant_id.as_str(), delivery.id = own.delivery_id);
        trace::follow(&span, &own.delivery_id);
        let attempt = async move {
            callback::attempt(&inner.parts.client, &own, &signed, inner.parts.limits.attempt_timeout).await
        };
        let task = self.tasks.spawn(attempt.instrument(span));
        self.claims.insert(task.id(), claimed);
    }

    /// Waits for the end of an attempt, and takes in all others that are over; for ever, if none is under way.
    pub(super) async fn land(&mut self) {
        match self.tasks.join_next_with_id().await {
            None => std::future::pending().await,
            Some(landed) => self.take_in(landed),
        }
        while let Some(landed) = self.tasks.try_join_next_with_id() {
            self.take_in(landed);
        }
    }

    fn take_in(&mut self, landed: Result<(Id, Verdict), JoinError>) {
        match landed {
            Ok((id, verdict)) => self.landed.extend(self.claims.remove(&id).map(|claimed| (claimed, verdict))),
            Err(failure) => {
                // A panic: the lease lapses, and the attempt was counted when it was claimed.
                error!(error = %failure, "an attempt ended abnormally");
                self.claims.remove(&failure.id());
            }
        }
    }

    /// Attempts under way.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.claims.len()).unwrap_or(u32::MAX)
    }

    /// Those of them that are not first ones.
    pub(super) fn retries(&self) -> u32 {
        let retries = self.claims.values().filter(|claimed| claimed.attempts > 1).count();
        u32::try_from(retries).unwrap_or(u32::MAX)
    }
}

pub(super) async fn run(inner: &Arc<Inner>) {
    let stopping = &inner.parts.stopping;
    let mut flight = Flight::default();
    let mut turns = super::turn::Turns::default();
    while !stopping.is_cancelled() {
        let pause = match turns.take(inner, &mut flight).await {
            Ok(pause) => pause,
            // What has landed stays landed, and is settled when the storage is back.
            Err(failure) => {
                metrics::counter!(WORKER_ERRORS, "worker" => "outbox").increment(1);
                error!(error = &failure as &dyn std::error::Error, "the outbox cannot be worked on");
                inner.parts.limits.poll
            }
        };
        tokio::select! {
            () = stopping.cancelled() => break,
            () = inner.wake.notified() => (),
            () = flight.land() => (),
            () = tokio::time::sleep(pause) => (),
        }
    }
    stop(inner, flight).await;
}

/// No new claims; what is under way may finish; the rest is handed back, due at once.
async fn stop(inner: &Arc<Inner>, mut flight: Flight) {
    let under_way = flight.len();
    let all_landed = async {
        while flight.len() > 0 {
            flight.land().await;
        }
    };
    // Out of time is an outcome too: what is left is handed back.
    let _ = tokio::time::timeout(inner.parts.limits.drain, all_landed).await;
    flight.tasks.shutdown().await;
    if let Err(failure) = inner.settle_all(&mut flight).await {
        warn!(
            error = &failure as &dyn std::error::Error,
            "outcomes of callbacks could not be stored; they go out again"
        );
    }
    if let Err(failure) = hand_back(&inner.parts.storage, inner, &flight).await {
        warn!(error = &failure as &dyn std::error::Error, "callbacks could not be handed back; their leases lapse");
    }
    info!(under_way, handed_back = flight.len(), "the outbox has stopped");
}

async fn hand_back(storage: &Storage, inner: &Inner, flight: &Flight) -> Result<(), StorageError> {
    let now = inner.parts.clock.now();
    let mut tx = storage.begin_shared().await?;
    for claimed in flight.claims.values() {
        delivery::release(&mut tx, claimed, now).await?;
    }
    Ok(tx.commit().await?)
}
