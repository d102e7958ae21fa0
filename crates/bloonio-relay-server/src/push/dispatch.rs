//! The first attempts of a prompt: all devices at once, and an answer when they are over.

use std::sync::Arc;
use std::time::Duration;

use bloonio_wire::clock::{Clock, Timestamp};
use bloonio_wire::device::Platform;
use bloonio_wire::id::{RelayUserLinkedId, TenantId};
use bloonio_wire::random::{Random, RandomError, hex_token};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::brake::Brakes;
use super::ledger::Ledger;
use super::stream::{Hint, StreamEvent};
use super::{PushAddress, PushKind, PushSender, worker};
use crate::hub::Hub;
use crate::service::error::ServiceError;
use crate::storage::Storage;
use crate::storage::delivery::Lease;
use crate::storage::push::status::PushState;
use crate::storage::push::{self, PushJob};

/// Addresses shown of those that failed.
const SAMPLE: usize = 5;

/// How pushes are sent.
#[derive(Debug, Clone, Copy)]
pub struct PushLimits {
    /// How long a caller waits for the first attempts (PROTOCOL 5).
    pub first_wait: Duration,
    /// An attempt, whatever the sender does.
    pub attempt_timeout: Duration,
    /// A claim; longer than an attempt with its bookkeeping.
    pub lease: Duration,
    /// Later attempts under way at most.
    pub concurrency: u32,
    /// The longest pause between two looks at the database.
    pub poll: Duration,
}

impl Default for PushLimits {
    fn default() -> Self {
        Self {
            first_wait: Duration::from_secs(12),
            attempt_timeout: Duration::from_secs(25),
            lease: Duration::from_secs(30),
            concurrency: 64,
            poll: Duration::from_secs(1),
        }
    }
}

/// What a pusher is made of.
#[derive(Debug)]
pub struct PusherParts {
    /// The rows.
    pub storage: Storage,
    /// Due times.
    pub clock: Arc<dyn Clock>,
    /// Lease tokens and jitter.
    pub random: Arc<dyn Random>,
    /// Open streams, woken at each prompt.
    pub streams: Hub<(TenantId, RelayUserLinkedId), StreamEvent>,
    /// FCM; `None` where it is not configured.
    pub sender: Option<Arc<dyn PushSender>>,
    /// Owns the first attempts, so that a caller who hangs up cancels nothing.
    pub tracker: TaskTracker,
    /// Ends [`Pusher::run`].
    pub stopping: CancellationToken,
    /// How it works.
    pub limits: PushLimits,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) parts: PusherParts,
    pub(super) wake: Notify,
    pub(super) started_at: Timestamp,
    pub(super) brakes: Brakes,
    pub(super) ledger: Ledger,
}

/// Sends pushes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pusher {
    inner: Arc<Inner>,
}

/// What became of the first attempts: the counts of PROTOCOL 5.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FirstAttempts {
    /// Devices whose message was accepted, and every `stream` device.
    pub delivered: u32,
    /// Devices whose first attempt failed or was not over in time.
    pub failed: u32,
    /// FCM's names of the accepted messages.
    pub fcm_message_ids: Vec<String>,
    /// When the messages of `stream` devices were delivered, which is when they were stored.
    pub streams_sent_at: Option<Timestamp>,
    /// Some of the addresses that failed, cut to 12 characters.
    pub failed_tokens_sample: Vec<String>,
}

impl FirstAttempts {
    /// `stream` devices have no message, and so no name of one.
    fn accepted(&mut self, message_id: Option<String>) {
        self.delivered += 1;
        self.fcm_message_ids.extend(message_id);
    }

    fn failed(&mut self, address: Option<&PushAddress>) {
        self.failed += 1;
        if self.failed_tokens_sample.len() < SAMPLE {
            self.failed_tokens_sample.extend(address.map(PushAddress::sample));
        }
    }
}

impl Pusher {
    /// A pusher; its later attempts rest until [`Pusher::run`] is driven.
    pub fn new(parts: PusherParts) -> Self {
        let (started_at, ledger) = (parts.clock.now(), Ledger::new(parts.storage.clone()));
        Self { inner: Arc::new(Inner { parts, wake: Notify::new(), started_at, brakes: Brakes::default(), ledger }) }
    }

    /// Whether devices with an FCM address can be reached at all.
    pub fn has_sender(&self) -> bool {
        self.inner.parts.sender.is_some()
    }

    /// The lease under which rows are born: see [`push::enqueue`].
    ///
    /// # Errors
    /// [`RandomError`].
    pub fn lease(&self) -> Result<Lease, RandomError> {
        self.inner.lease()
    }

    /// Makes the first attempt of every device whose row was committed under a lease, all at once, and waits until they
    /// are over, 12 s at most. Attempts that take longer go on; their outcome shows in the delivery status. `stream`
    /// devices count as delivered, and everybody's stream is woken.
    ///
    /// # Errors
    /// [`ServiceError::Storage`]; the rows' leases lapse then, and the worker sends.
    pub async fn first_attempts(
        &self,
        tenant: &TenantId,
        kind: PushKind,
        subject_id: &str,
    ) -> Result<FirstAttempts, ServiceError> {
        let jobs = push::jobs(&self.inner.parts.storage, tenant, kind, subject_id).await?;
        let mut outcome = FirstAttempts::default();
        let (done, mut results) = mpsc::unbounded_channel();
        let mut open = Vec::new();
        for job in jobs {
            self.inner.wake_stream(&job);
            match job.state {
                PushState::Delivered => {
                    if job.platform == Platform::Stream {
                        outcome.streams_sent_at = outcome.streams_sent_at.max(job.sent_at);
                    }
                    outcome.accepted(job.message_id);
                }
                PushState::Sending => {
                    open.push(Some(job.address.clone()));
                    self.start(job, open.len() - 1, done.clone());
                }
                PushState::Due | PushState::Failed | PushState::Expired => outcome.failed(job.address.as_ref()),
            }
        }
        drop(done);
        let collect = async {
            while let Some((index, accepted)) = results.recv().await {
                let address = open.get_mut(index).and_then(Option::take).flatten();
                match accepted {
                    Some(message_id) => outcome.accepted(Some(message_id)),
                    None => outcome.failed(address.as_ref()),
                }
            }
        };
        // Out of time is an answer too: what is still open counts as failed for now.
        let _ = tokio::time::timeout(self.inner.parts.limits.first_wait, collect).await;
        open.iter().flatten().for_each(|address| outcome.failed(address.as_ref()));
        Ok(outcome)
    }

    /// Starts an attempt that no caller can cancel.
    fn start(&self, job: PushJob, index: usize, done: mpsc::UnboundedSender<(usize, Option<String>)>) {
        let inner = Arc::clone(&self.inner);
        let attempt = async move {
            let accepted = inner.attempt(&job).await;
            // The caller may have gone; the row has the outcome.
            let _ = done.send((index, accepted));
        };
        self.inner.parts.tracker.spawn(attempt.in_current_span());
    }

    /// Makes the later attempts until the process stops. To be spawned once. Dropping it loses nothing: leases lapse.
    pub async fn run(self) {
        worker::run(&self.inner).await;
    }
}

impl Inner {
    pub(super) fn lease(&self) -> Result<Lease, RandomError> {
        let token = hex_token::<16>(self.parts.random.as_ref())?;
        Ok(Lease { token, until: self.parts.clock.now().plus(self.parts.limits.lease) })
    }

    fn wake_stream(&self, job: &PushJob) {
        let event = StreamEvent::Hint(Hint {
            kind: job.kind,
            subject_id: job.subject_id.clone(),
            expires_at: job.expires_at,
            device_id: Some(job.device_id.clone()),
        });
        self.parts.streams.wake(&(job.tenant_id.clone(), job.relay_user_linked_id.clone()), event);
    }
}
