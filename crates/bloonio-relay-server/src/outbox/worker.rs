//! The worker: claims what is due, sends in parallel, settles, and stops without losing anything.
//!
//! Attempts run in a [`JoinSet`] that belongs to the worker: when it is dropped, so are they, just as in a crash, and the
//! rows' leases lapse.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bloonio_wire::clock::Timestamp;
use bloonio_wire::random::{RandomError, hex_token};
use tokio::task::{Id, JoinSet};
use tracing::{debug, error, info, warn};

use super::callback::{self, Signed, Verdict};
use super::{Inner, backoff};
use crate::storage::delivery::listing::{self, Outlook};
use crate::storage::delivery::{self, ClaimLimits, Claimed, Lease, Met, Settlement};
use crate::storage::{StorageError, replay};
use crate::telemetry::metrics::{CALLBACKS, OUTBOX_OLDEST_SECONDS, OUTBOX_WAITING};

/// Why an attempt was not even made.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// Attempts under way, each with its claim.
#[derive(Default)]
struct Flight {
    tasks: JoinSet<()>,
    claims: HashMap<Id, Claimed>,
}

impl Flight {
    fn launch(&mut self, inner: &Arc<Inner>, claimed: Claimed) {
        let (inner, own) = (Arc::clone(inner), claimed.clone());
        let task = self.tasks.spawn(async move { inner.deliver(&own).await });
        self.claims.insert(task.id(), claimed);
    }

    /// Waits for the end of an attempt; for ever, if none is under way.
    async fn landed(&mut self) {
        match self.tasks.join_next_with_id().await {
            None => std::future::pending().await,
            Some(Ok((id, ()))) => self.forget(id),
            Some(Err(failure)) => {
                // A panic: the lease lapses, and the attempt was counted when it was claimed.
                error!(error = %failure, "an attempt ended abnormally");
                self.forget(failure.id());
            }
        }
    }

    fn forget(&mut self, id: Id) {
        self.claims.remove(&id);
    }

    fn retries(&self) -> u32 {
        count(self.claims.values().filter(|claimed| claimed.attempts > 1).count())
    }

    fn len(&self) -> u32 {
        count(self.claims.len())
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

pub(super) async fn run(inner: &Arc<Inner>) {
    let stopping = &inner.parts.stopping;
    let mut flight = Flight::default();
    let mut resumed = false;
    while !stopping.is_cancelled() {
        let pause = match inner.turn(&mut flight, &mut resumed).await {
            Ok(pause) => pause,
            Err(failure) => {
                error!(error = &failure as &dyn std::error::Error, "the outbox cannot be read");
                inner.parts.limits.poll
            }
        };
        tokio::select! {
            () = stopping.cancelled() => break,
            () = inner.wake.notified() => (),
            () = flight.landed() => (),
            () = tokio::time::sleep(pause) => (),
        }
    }
    inner.stop(flight).await;
}

impl Inner {
    /// One look at the database; answers how long nothing is expected to become due.
    async fn turn(self: &Arc<Self>, flight: &mut Flight, resumed: &mut bool) -> Result<Duration, AttemptError> {
        let parts = &self.parts;
        let now = parts.clock.now();
        if !*resumed {
            let found = delivery::resume(&parts.storage, now, backoff::give_up_at(now, None)).await?;
            if found > 0 {
                info!(deliveries = found, "callbacks under way when the relay ended last time are due again");
            }
            *resumed = true;
        }
        let limits = self.claim_limits(flight);
        let outlook = listing::outlook(&parts.storage, now).await?;
        if outlook.ready > 0 && limits.total > 0 {
            let lease = Lease { token: hex_token::<16>(parts.random.as_ref())?, until: now.plus(parts.limits.lease) };
            for claimed in delivery::claim(&parts.storage, now, &lease, limits).await? {
                flight.launch(self, claimed);
            }
        }
        Ok(self.pause(outlook, now))
    }

    /// First attempts may use every free place, retries no more than half of all places: however many receivers are
    /// down, a decision just taken finds a place.
    fn claim_limits(&self, flight: &Flight) -> ClaimLimits {
        let limits = &self.parts.limits;
        let free = limits.concurrency.saturating_sub(flight.len());
        let retries = (limits.concurrency / 2).max(1).saturating_sub(flight.retries()).min(free);
        ClaimLimits { per_lane: limits.per_lane, total: free, retries }
    }

    fn pause(&self, outlook: Outlook, now: Timestamp) -> Duration {
        let age = outlook.oldest.map_or(Duration::ZERO, |oldest| now.since(oldest));
        metrics::gauge!(OUTBOX_WAITING).set(outlook.waiting as f64);
        metrics::gauge!(OUTBOX_OLDEST_SECONDS).set(age.as_secs_f64());
        let until_next = outlook.next_at.map_or(self.parts.limits.poll, |next| next.since(now));
        until_next.clamp(Duration::from_millis(1), self.parts.limits.poll)
    }

    async fn deliver(&self, claimed: &Claimed) {
        let verdict = match self.attempt(claimed).await {
            Ok(verdict) => verdict,
            Err(failure) => {
                error!(
                    delivery.id = claimed.delivery_id,
                    error = &failure as &dyn std::error::Error,
                    "a callback could not be attempted"
                );
                Verdict::Failed(Met { status: None, error: Some("relay") })
            }
        };
        let now = self.parts.clock.now();
        let settlement = settlement(claimed, verdict, now);
        match delivery::settle(&self.parts.storage, claimed, settlement, verdict.met(), now).await {
            Ok(true) => report(claimed, verdict, settlement),
            Ok(false) => warn!(delivery.id = claimed.delivery_id, "the lease of a callback was lost before its end"),
            // The lease lapses, and the callback goes out again under the same id.
            Err(failure) => error!(
                delivery.id = claimed.delivery_id,
                error = &failure as &dyn std::error::Error,
                "a callback's outcome could not be stored"
            ),
        }
    }

    async fn attempt(&self, claimed: &Claimed) -> Result<Verdict, AttemptError> {
        let parts = &self.parts;
        let Some(tenant) = parts.storage.tenant(&parts.sealer, &claimed.tenant_id).await? else {
            return Err(StorageError::Corrupt("delivery").into());
        };
        let signed = Signed::new(&tenant.secret, claimed, parts.clock.now());
        // Before it leaves: whoever receives it cannot send it back as a call of this tenant.
        replay::remember(&parts.storage, &claimed.tenant_id, signed.hmac.as_bytes(), signed.at).await?;
        Ok(callback::attempt(&parts.client, claimed, &signed, parts.limits.attempt_timeout).await)
    }

    /// No new claims; what is under way may finish; the rest is handed back, due at once.
    async fn stop(&self, mut flight: Flight) {
        let under_way = flight.len();
        let finished = async {
            while !flight.claims.is_empty() {
                flight.landed().await;
            }
        };
        let in_time = tokio::time::timeout(self.parts.limits.drain, finished).await.is_ok();
        flight.tasks.shutdown().await;
        let now = self.parts.clock.now();
        for claimed in flight.claims.values() {
            if let Err(failure) = delivery::release(&self.parts.storage, claimed, now).await {
                warn!(
                    error = &failure as &dyn std::error::Error,
                    "a callback could not be handed back; its lease lapses"
                );
            }
        }
        info!(under_way, handed_back = flight.claims.len(), in_time, "the outbox has stopped");
    }
}

fn settlement(claimed: &Claimed, verdict: Verdict, now: Timestamp) -> Settlement {
    match verdict {
        Verdict::Acknowledged(_) => Settlement::Acknowledged,
        Verdict::Gone => Settlement::Dead,
        Verdict::Failed(_) => backoff::next_attempt(claimed.scheduled_from, claimed.give_up_at, now)
            .map_or(Settlement::Dead, Settlement::Due),
    }
}

fn report(claimed: &Claimed, verdict: Verdict, settlement: Settlement) {
    let met = verdict.met();
    let outcome = match settlement {
        Settlement::Acknowledged => "acknowledged",
        Settlement::Due(_) => "failed",
        Settlement::Dead => "dead",
    };
    metrics::counter!(CALLBACKS, "outcome" => outcome).increment(1);
    let fields = (claimed.delivery_id.as_str(), claimed.tenant_id.as_str(), claimed.attempts);
    if settlement == Settlement::Dead {
        warn!(
            delivery.id = fields.0,
            tenant.id = fields.1,
            attempts = fields.2,
            status = met.status,
            cause = met.error,
            "a callback was given up; an operator can send it again"
        );
    } else {
        debug!(
            delivery.id = fields.0,
            tenant.id = fields.1,
            attempts = fields.2,
            status = met.status,
            cause = met.error,
            outcome,
            "a callback was attempted"
        );
    }
}
