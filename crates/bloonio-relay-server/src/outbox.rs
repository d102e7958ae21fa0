//! Callbacks: claimed from the database, sent, settled (PROTOCOL 9.5). At least once, under one id.
//!
//! | part | what it settles |
//! | --- | --- |
//! | [`backoff`] | when the next attempt is due, and when to give up |
//! | [`callback`] | where a callback goes; one attempt and what it met |
//! | `breaker` | endpoints that fail attempt after attempt |
//! | `turn` | one transaction: settle, claim, sign |
//! | `worker` | running attempts in parallel, stopping |
//!
//! A decision and its row are one transaction ([`crate::storage::delivery::insert`]); after the commit
//! [`Outbox::wake`] spares the worker its next look at the clock, no more: the row alone is what must not be lost.

pub mod backoff;
mod breaker;
pub mod callback;
mod turn;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use bloonio_wire::clock::Clock;
use bloonio_wire::random::Random;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::net::client::CallbackClient;
use crate::seal::Sealer;
use crate::shared::herald::Herald;
use crate::shared::wake::Wake;
use crate::storage::Storage;

/// How the outbox works; the defaults are PROTOCOL 9.5.
#[derive(Debug, Clone, Copy)]
pub struct OutboxLimits {
    /// Attempts under way at most; retries have half of them.
    pub concurrency: u32,
    /// Attempts under way at most for one endpoint of one tenant.
    pub per_lane: u32,
    /// An attempt, from the name's resolution to the answer's headers.
    pub attempt_timeout: Duration,
    /// A claim; longer than an attempt with its bookkeeping.
    pub lease: Duration,
    /// The longest pause between two looks at the database.
    pub poll: Duration,
    /// How long attempts under way may take when the process stops.
    pub drain: Duration,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self {
            concurrency: 128,
            per_lane: 8,
            attempt_timeout: Duration::from_secs(10),
            lease: Duration::from_secs(15),
            poll: Duration::from_secs(1),
            drain: Duration::from_secs(6),
        }
    }
}

/// What the outbox is made of.
#[derive(Debug)]
pub struct OutboxParts {
    /// The rows.
    pub storage: Storage,
    /// Opens the tenants' secrets, at each attempt: a rotated secret counts from its rotation.
    pub sealer: Sealer,
    /// Due times and signatures.
    pub clock: Arc<dyn Clock>,
    /// Lease tokens.
    pub random: Arc<dyn Random>,
    /// The way out.
    pub client: CallbackClient,
    /// Tells the outboxes of other instances.
    pub herald: Herald,
    /// Ends [`Outbox::run`].
    pub stopping: CancellationToken,
    /// How it works.
    pub limits: OutboxLimits,
}

#[derive(Debug)]
struct Inner {
    parts: OutboxParts,
    wake: Notify,
}

/// The outbox. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbox {
    inner: Arc<Inner>,
}

impl Outbox {
    /// An outbox that rests until [`Outbox::run`] is driven.
    pub fn new(parts: OutboxParts) -> Self {
        Self { inner: Arc::new(Inner { parts, wake: Notify::new() }) }
    }

    /// Tells the workers of all instances that a row was committed: whichever has a free place takes it. Never blocks, never
    /// fails.
    pub fn wake(&self) {
        self.wake_here();
        self.inner.parts.herald.tell(Wake::Outbox);
    }

    /// Tells the worker of this instance.
    pub fn wake_here(&self) {
        self.inner.wake.notify_one();
    }

    /// Works until the process stops; then finishes what is under way, and hands back what does not finish in time. To be
    /// spawned once. Dropping it loses nothing: the leases lapse.
    pub async fn run(self) {
        worker::run(&self.inner).await;
    }
}
