//! The stream of server-sent events: what `platform: "stream"` devices get instead of FCM (PROTOCOL 5).
//!
//! 1. It begins with hints for whatever is open, so nothing is missed between two connections.
//! 2. A hint names things and says nothing about them: the device fetches.
//! 3. Where hints may have been missed, what is open is compared with what was told: the device hears the difference.
//! 4. Whenever anything wakes the stream, and every 15 seconds, its session is looked at again: it ends with the session,
//!    the device, the pairing, the tenant's suspension, or the relay.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use bloonio_wire::clock::Timestamp;
use bloonio_wire::device::DeviceStatus;
use bloonio_wire::id::{DeviceId, RelayUserLinkedId, TenantId};
use futures_util::Stream;
use futures_util::stream::unfold;

use super::PushKind;
use crate::app::SharedApp;
use crate::hub::Subscription;
use crate::service::session::{Bearer, Standing, standing};
use crate::storage::{StorageError, alert, prompt};
use crate::telemetry::metrics::STREAMS_OPEN;
use crate::telemetry::open::Open;

/// The longest time between two looks at the session.
const RECHECK: Duration = Duration::from_secs(15);

/// What wakes the open streams of a pairing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEvent {
    /// There is something to look at.
    Hint(Hint),
    /// Somebody's right to listen may be over: every stream looks at its own session again.
    Recheck,
}

/// A wake-up hint: the names of things, never what they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// What it is about.
    pub kind: PushKind,
    /// Instruction id, or notification id.
    pub subject_id: String,
    /// When it is over.
    pub expires_at: Timestamp,
    /// The device that shall hear it; `None` means all of the pairing.
    pub device_id: Option<DeviceId>,
}

struct Listener {
    app: SharedApp,
    bearer: Bearer,
    wakeups: Subscription<(TenantId, RelayUserLinkedId), StreamEvent>,
    queue: VecDeque<Hint>,
    /// What the device has been told of and is not over, with its end.
    told: HashMap<Thing, Timestamp>,
    _open: Open,
}

/// A thing of which a device is told once.
type Thing = (PushKind, String);

/// The hints for a device, from those for what is open until its right to listen ends.
///
/// # Errors
/// [`StorageError`] if what is open cannot be read.
pub async fn listen(app: SharedApp, bearer: Bearer) -> Result<impl Stream<Item = Hint> + Send + 'static, StorageError> {
    let key = (bearer.tenant.tenant_id.clone(), bearer.device.pairing.relay_user_linked_id.clone());
    // Whoever subscribes reads once after subscribing: what is asked between the two is heard at least once.
    let wakeups = app.streams.subscribe(key);
    let (queue, told, open) = (VecDeque::new(), HashMap::new(), Open::new(STREAMS_OPEN));
    let mut listener = Listener { app, bearer, wakeups, queue, told, _open: open };
    listener.read_open().await?;
    Ok(unfold(listener, |mut listener| async { listener.next().await.map(|hint| (hint, listener)) }))
}

impl Listener {
    async fn next(&mut self) -> Option<Hint> {
        loop {
            if let Some(hint) = self.queue.pop_front() {
                return Some(hint);
            }
            let until_next_look = self.until_next_look();
            let woken = tokio::select! {
                biased;
                () = self.app.stopping.cancelled() => return None,
                woken = self.wakeups.woken() => woken,
                () = tokio::time::sleep(until_next_look) => Some(StreamEvent::Recheck),
            };
            if !self.may_listen().await {
                return None;
            }
            match woken {
                Some(StreamEvent::Recheck) => (),
                Some(StreamEvent::Hint(hint)) if self.is_for_us(&hint) => self.tell(hint),
                Some(StreamEvent::Hint(_)) => (),
                // Some wake-ups were missed: what is open is the truth.
                None => self.read_open().await.ok()?,
            }
        }
    }

    fn until_next_look(&self) -> Duration {
        RECHECK.min(self.bearer.session.expires_at.since(self.app.clock.now()))
    }

    /// A storage that does not answer ends the stream: the device comes back and is looked at again.
    async fn may_listen(&self) -> bool {
        match standing(&self.app, &self.bearer.session).await {
            Ok(Standing::Good(bearer)) => bearer.device.status == DeviceStatus::Active,
            _ => false,
        }
    }

    fn is_for_us(&self, hint: &Hint) -> bool {
        hint.device_id.as_ref().is_none_or(|device_id| *device_id == self.bearer.device.device_id)
    }

    fn tell(&mut self, hint: Hint) {
        let now = self.app.clock.now();
        self.told.retain(|_, until| now < *until);
        match hint.kind {
            PushKind::ChallengeCancelled => {
                self.told.remove(&(PushKind::AuthChallenge, hint.subject_id.clone()));
            }
            kind => {
                self.told.insert((kind, hint.subject_id.clone()), hint.expires_at);
            }
        }
        self.queue.push_back(hint);
    }

    /// Tells what is open and was not told, and that what was told is no longer open.
    async fn read_open(&mut self) -> Result<(), StorageError> {
        let Bearer { tenant, device, .. } = &self.bearer;
        let (storage, now) = (&self.app.storage, self.app.clock.now());
        let hint = |kind, subject_id, expires_at| Hint {
            kind,
            subject_id,
            expires_at,
            device_id: Some(device.device_id.clone()),
        };
        let prompts = prompt::open(storage, &tenant.tenant_id, &device.pairing.relay_user_linked_id, now).await?;
        let alerts = alert::unseen(storage, &tenant.tenant_id, &device.device_id, now).await?;
        let prompts = prompts
            .into_iter()
            .rev()
            .map(|prompt| hint(PushKind::AuthChallenge, prompt.instruction_id.as_str().to_owned(), prompt.expires_at));
        let alerts = alerts.into_iter().map(|(id, expires_at)| hint(PushKind::SecurityAlert, id, expires_at));
        let open: Vec<_> = prompts.chain(alerts).collect();
        let still: HashSet<Thing> = open.iter().map(|hint| (hint.kind, hint.subject_id.clone())).collect();
        let over = self.told.iter().filter(|((kind, id), until)| {
            *kind == PushKind::AuthChallenge && now < **until && !still.contains(&(*kind, id.clone()))
        });
        let over: Vec<_> =
            over.map(|((_, id), until)| hint(PushKind::ChallengeCancelled, id.clone(), *until)).collect();
        // An alert that was read and is no longer told of is not told of again either.
        let news = open.into_iter().filter(|hint| !self.told.contains_key(&(hint.kind, hint.subject_id.clone())));
        let news: Vec<_> = news.collect();
        over.into_iter().chain(news).for_each(|hint| self.tell(hint));
        Ok(())
    }
}
