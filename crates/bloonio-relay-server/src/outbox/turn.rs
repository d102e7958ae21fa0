//! A turn at the database: one transaction that settles what is over, claims what is due, and remembers the signatures
//! about to leave. However many attempts there are, a turn costs one synchronisation of the disk.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::TenantId;
use bloonio_wire::random::{RandomError, hex_token};
use tracing::{debug, error, info, warn};

use super::callback::{Signed, UNSIGNED, Verdict};
use super::worker::Flight;
use super::{Inner, backoff, breaker};
use crate::audit::{Chain, Event, Kind};
use crate::service::tenant::Tenant;
use crate::storage::delivery::claim::{self, ClaimLimits, Claims, UNREADABLE};
use crate::storage::delivery::health::{self, Overdue};
use crate::storage::delivery::{self, Claimed, End, Lease, Met, Settlement, listing};
use crate::storage::{StorageError, Tx, audit, replay, tenant};
use crate::telemetry::metrics::{CALLBACK_BREAKERS_OPEN, CALLBACKS, OUTBOX_OLDEST_SECONDS, OUTBOX_WAITING};
use crate::telemetry::stage::Stage;

/// How often the waiting rows are counted, which takes longer the more there are.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// Why a turn came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum TurnError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl From<sqlx::Error> for TurnError {
    fn from(error: sqlx::Error) -> Self {
        Self::Storage(error.into())
    }
}

/// What turns remember of one another.
#[derive(Debug, Default)]
pub(super) struct Turns {
    resumed: bool,
    counted_at: Option<Timestamp>,
}

impl Turns {
    /// Takes a turn; answers how long nothing is expected to become due.
    pub(super) async fn take(&mut self, inner: &Arc<Inner>, flight: &mut Flight) -> Result<Duration, TurnError> {
        let (parts, now) = (&inner.parts, inner.parts.clock.now());
        if !self.resumed {
            let found = claim::resume(&parts.storage, now, backoff::give_up_at(now, None)).await?;
            if found > 0 {
                info!(deliveries = found, "callbacks under way when the relay ended last time are due again");
            }
            self.resumed = true;
        }
        let (ready, next_at) = claim::outlook(&parts.storage, now).await?;
        if ready {
            inner.settle_and_claim(flight, now).await?;
        } else {
            inner.settle_all(flight).await?;
        }
        self.count(inner, now).await?;
        let until_next = next_at.map_or(parts.limits.poll, |next| next.since(now));
        Ok(until_next.clamp(Duration::from_millis(1), parts.limits.poll))
    }

    async fn count(&mut self, inner: &Inner, now: Timestamp) -> Result<(), TurnError> {
        if self.counted_at.is_some_and(|at| now.since(at) < COUNT_EVERY) {
            return Ok(());
        }
        self.counted_at = Some(now);
        let (waiting, oldest) = listing::waiting(&inner.parts.storage).await?;
        let age = oldest.map_or(Duration::ZERO, |oldest| now.since(oldest));
        metrics::gauge!(OUTBOX_WAITING).set(waiting as f64);
        metrics::gauge!(OUTBOX_OLDEST_SECONDS).set(age.as_secs_f64());
        metrics::gauge!(CALLBACK_BREAKERS_OPEN).set(health::tripped(&inner.parts.storage).await? as f64);
        Ok(())
    }
}

impl Inner {
    async fn settle_and_claim(self: &Arc<Self>, flight: &mut Flight, now: Timestamp) -> Result<(), TurnError> {
        let limits = self.claim_limits(flight);
        let token = hex_token::<16>(self.parts.random.as_ref())?;
        let lease = Lease { token, until: now.plus(self.parts.limits.lease) };
        let mut tx = self.parts.storage.begin_shared().await?;
        claim::hold(&mut tx).await?;
        let mut settled = settle(&mut tx, &flight.landed, now).await?;
        let changes = breaker::learn(&mut tx, &flight.landed, now).await?;
        let Claims { readable, unreadable } = claim::claim(&mut tx, now, &lease, limits).await?;
        // After the claim: no two processes change rows of the outbox that both see due.
        let overdue = health::give_up_overdue(&mut tx, now).await?;
        settled.extend(overdue.into_iter().map(|overdue| Settled::overdue(overdue, now)));
        let signed = self.sign(&mut tx, readable, now).await?;
        // Before they leave: whoever receives one cannot send it back as a call of this tenant.
        let leaving = signed
            .iter()
            .filter_map(|(claimed, signed)| signed.as_ref().map(|signed| (&claimed.tenant_id, signed.hmac.as_bytes())));
        replay::remember(&mut tx, leaving, now).await?;
        record(&mut tx, &settled, &unreadable, now).await?;
        tx.commit().await?;
        flight.landed.clear();
        settled.iter().for_each(Settled::report);
        changes.report();
        for (claimed, signed) in signed {
            if claimed.attempts == 1 {
                Stage::OutboxWait.took(now.since(claimed.scheduled_from));
            }
            match signed {
                Some(signed) => flight.launch(self, claimed, signed),
                None => flight.landed.push((claimed, Verdict::Failed(Met { status: None, error: Some(UNSIGNED) }))),
            }
        }
        Ok(())
    }

    /// Settles what has landed.
    pub(super) async fn settle_all(&self, flight: &mut Flight) -> Result<(), TurnError> {
        if flight.landed.is_empty() {
            return Ok(());
        }
        let mut tx = self.parts.storage.begin_shared().await?;
        let now = self.parts.clock.now();
        let settled = settle(&mut tx, &flight.landed, now).await?;
        let changes = breaker::learn(&mut tx, &flight.landed, now).await?;
        record(&mut tx, &settled, &[], now).await?;
        tx.commit().await?;
        flight.landed.clear();
        settled.iter().for_each(Settled::report);
        changes.report();
        Ok(())
    }

    /// First attempts may use every free place, retries no more than half of all places: however many receivers are
    /// down, a decision just taken finds a place.
    fn claim_limits(&self, flight: &Flight) -> ClaimLimits {
        let limits = &self.parts.limits;
        let free = limits.concurrency.saturating_sub(flight.len());
        let retries = (limits.concurrency / 2).max(1).saturating_sub(flight.retries()).min(free);
        ClaimLimits { per_lane: limits.per_lane, total: free, retries }
    }

    /// Signs with each tenant's secret of this moment. `None` where it cannot be opened: that tenant's callbacks fail,
    /// and nobody else's.
    async fn sign(
        &self,
        tx: &mut Tx,
        claims: Vec<Claimed>,
        now: Timestamp,
    ) -> Result<Vec<(Claimed, Option<Signed>)>, StorageError> {
        let mut tenants: HashMap<TenantId, Option<Tenant>> = HashMap::new();
        for claimed in &claims {
            if !tenants.contains_key(&claimed.tenant_id) {
                let tenant = match tenant::tenant(&mut *tx, &self.parts.sealer, &claimed.tenant_id).await {
                    Err(failure @ StorageError::Corrupt(_)) => {
                        let error = &failure as &dyn std::error::Error;
                        error!(tenant.id = claimed.tenant_id.as_str(), error, "a tenant's callbacks cannot be signed");
                        None
                    }
                    found => found?,
                };
                tenants.insert(claimed.tenant_id.clone(), tenant);
            }
        }
        let sign = |claimed: Claimed| {
            let tenant = tenants.get(&claimed.tenant_id).and_then(Option::as_ref);
            let signed = tenant.map(|tenant| Signed::new(&tenant.secret, &claimed, now));
            (claimed, signed)
        };
        Ok(claims.into_iter().map(sign).collect())
    }
}

/// An attempt's end, to be told once it is committed.
struct Settled {
    delivery_id: String,
    tenant_id: TenantId,
    attempts: i64,
    /// From the event, or the order to send again.
    after: Duration,
    met: Met,
    settlement: Settlement,
    /// Whether the lease still held.
    held: bool,
}

async fn settle(tx: &mut Tx, landed: &[(Claimed, Verdict)], now: Timestamp) -> Result<Vec<Settled>, StorageError> {
    let ends: Vec<_> = landed.iter().map(|(claimed, verdict)| end(claimed, *verdict, now)).collect();
    let held = delivery::settle(tx, &ends, now).await?;
    let settled = |end: &End<'_>| Settled {
        delivery_id: end.claimed.delivery_id.clone(),
        tenant_id: end.claimed.tenant_id.clone(),
        attempts: end.claimed.attempts,
        after: now.since(end.claimed.scheduled_from),
        met: end.met,
        settlement: end.settlement,
        held: held.contains(&end.claim()),
    };
    Ok(ends.iter().map(settled).collect())
}

/// Writes to the audit trail what is over; to the operator's chain, whose tenant could not be read. Last in its transaction:
/// whoever holds a chain's end waits for nothing more.
async fn record(tx: &mut Tx, settled: &[Settled], unreadable: &[String], now: Timestamp) -> Result<(), StorageError> {
    let over = |settled: &&Settled| settled.held && !matches!(settled.settlement, Settlement::Due(_));
    let entry = |settled: &Settled| {
        let kind = match settled.settlement {
            Settlement::Acknowledged => Kind::CallbackAcknowledged,
            _ => Kind::CallbackDead,
        };
        let event = Event::new(kind, settled.delivery_id.as_str())
            .with("attempts", settled.attempts)
            .with("status", settled.met.status)
            .with("error", settled.met.error);
        (Chain::from(&settled.tenant_id), event)
    };
    let lost = |id: &String| (Chain::Operator, Event::new(Kind::CallbackDead, id.as_str()).with("error", UNREADABLE));
    audit::append_all(tx, settled.iter().filter(over).map(entry).chain(unreadable.iter().map(lost)), now).await
}

fn end(claimed: &Claimed, verdict: Verdict, now: Timestamp) -> End<'_> {
    let settlement = match verdict {
        Verdict::Acknowledged(_) => Settlement::Acknowledged,
        Verdict::Gone => Settlement::Dead,
        Verdict::Failed(_) => backoff::next_attempt(claimed.scheduled_from, claimed.give_up_at, now)
            .map_or(Settlement::Dead, Settlement::Due),
    };
    End { claimed, settlement, met: verdict.met() }
}

impl Settled {
    fn overdue(overdue: Overdue, now: Timestamp) -> Self {
        let Overdue { tenant_id, delivery_id, attempts, scheduled_from } = overdue;
        let met = Met { status: None, error: Some("overdue") };
        let after = now.since(scheduled_from);
        Self { delivery_id, tenant_id, attempts, after, met, settlement: Settlement::Dead, held: true }
    }

    fn report(&self) {
        if !self.held {
            warn!(delivery.id = self.delivery_id, "the lease of a callback was lost before its end");
            return;
        }
        let outcome = match self.settlement {
            Settlement::Acknowledged => "acknowledged",
            Settlement::Due(_) => "failed",
            Settlement::Dead => "dead",
        };
        metrics::counter!(CALLBACKS, "outcome" => outcome).increment(1);
        if self.settlement == Settlement::Acknowledged {
            Stage::Callback.took(self.after);
        }
        if self.settlement == Settlement::Dead {
            warn!(
                delivery.id = self.delivery_id,
                tenant.id = self.tenant_id.as_str(),
                attempts = self.attempts,
                status = self.met.status,
                cause = self.met.error,
                "a callback was given up; an operator can send it again"
            );
        } else {
            debug!(
                delivery.id = self.delivery_id,
                tenant.id = self.tenant_id.as_str(),
                attempts = self.attempts,
                status = self.met.status,
                cause = self.met.error,
                outcome,
                "a callback was attempted"
            );
        }
    }
}
