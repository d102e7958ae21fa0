//! Tells this process's waiters of changes, over one subscription.
//!
//! A message that is lost is never fatal: after each reconnection, and whenever messages came faster than they were read,
//! everybody is woken; and each waiter looks again by himself every [`LOOK_AGAIN`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bloonio_wire::id::InstructionId;
use fred::clients::SubscriberClient;
use fred::interfaces::EventInterface;
use fred::types::Message;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use crate::store::Wakeups;

/// How often a waiter looks, whatever it is told. Longer than a silent stream may be silent, so that it shows its life.
const LOOK_AGAIN: Duration = Duration::from_secs(20);
/// How often a failed subscription is tried again.
const SUBSCRIBE_AGAIN: Duration = Duration::from_millis(500);
/// So many are woken at once where everybody is…
const AT_ONCE: usize = 500;
/// …with so long a pause behind them.
const BREATH: Duration = Duration::from_millis(10);
/// At first the map is tidied when it has so many entries.
const TIDY_FROM: usize = 64;

/// Who waits for what in this process.
#[derive(Debug)]
pub(super) struct Waiting(Mutex<Senders>);

#[derive(Debug)]
struct Senders {
    by_id: HashMap<String, watch::Sender<()>>,
    /// The map is tidied when it has grown to this: twice what was left the last time, so that the cost is spread evenly.
    tidy_at: usize,
}

impl Default for Waiting {
    fn default() -> Self {
        Self(Mutex::new(Senders { by_id: HashMap::new(), tidy_at: TIDY_FROM }))
    }
}

impl Waiting {
    /// Wake-ups for the changes of an instruction from now on.
    pub(super) fn enter(&self, id: &InstructionId) -> Wakeups {
        let mut senders = self.lock();
        if senders.by_id.len() >= senders.tidy_at {
            senders.by_id.retain(|_, sender| sender.receiver_count() > 0);
            senders.tidy_at = TIDY_FROM.max(2 * senders.by_id.len());
        }
        let sender = senders.by_id.entry(id.as_str().to_owned()).or_insert_with(|| watch::Sender::new(()));
        Wakeups::new(sender.subscribe()).looking_again_every(LOOK_AGAIN)
    }

    fn wake(&self, id: &str) {
        if let Some(sender) = self.lock().by_id.get(id) {
            sender.send_replace(());
        }
    }

    /// Wakes everybody, and not all at once: each looks then, and Redis may just have come back.
    async fn wake_all(&self) {
        let everybody: Vec<_> = self.lock().by_id.keys().cloned().collect();
        for some in everybody.chunks(AT_ONCE) {
            some.iter().for_each(|id| self.wake(id));
            tokio::time::sleep(BREATH).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Senders> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes on what comes over the subscription, until the client is closed.
pub(super) async fn listen(subscriber: SubscriberClient, waiting: Arc<Waiting>) {
    let mut messages = subscriber.message_rx();
    let mut reconnections = subscriber.reconnect_rx();
    loop {
        tokio::select! {
            message = messages.recv() => match message {
                Ok(message) => pass_on(&message, &waiting).await,
                Err(RecvError::Lagged(_)) => waiting.wake_all().await,
                Err(RecvError::Closed) => return,
            },
            reconnected = reconnections.recv() => {
                if matches!(reconnected, Err(RecvError::Closed)) {
                    return;
                }
                subscribe_again(&subscriber, &mut reconnections).await;
                waiting.wake_all().await;
            }
        }
    }
}

async fn pass_on(message: &Message, waiting: &Waiting) {
    match message.value.as_str() {
        Some(id) => waiting.wake(&id),
        None => waiting.wake_all().await,
    }
}

/// Subscribes to the same again. Those who wait meanwhile look by themselves.
async fn subscribe_again<T: Clone>(subscriber: &SubscriberClient, reconnections: &mut Receiver<T>) {
    while let Err(error) = subscriber.resubscribe_all().await {
        tracing::warn!(%error, "the subscription to changes could not be renewed");
        // At the next reconnection, or soon.
        let _ = tokio::time::timeout(SUBSCRIBE_AGAIN, reconnections.recv()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_waiter_is_woken_by_its_own_change_by_any_gap_and_by_itself() {
        let waiting = Waiting::default();
        let id = InstructionId::parse("instruction-1").unwrap();
        let mut wakeups = waiting.enter(&id);
        waiting.wake("instruction-1");
        wakeups.next().await;
        waiting.wake_all().await;
        wakeups.next().await;
        // By itself.
        wakeups.next().await;
        waiting.wake("instruction-2");
        assert!(tokio::time::timeout(LOOK_AGAIN / 2, wakeups.next()).await.is_err(), "another's change");
    }

    #[test]
    fn those_who_have_gone_take_no_room() {
        let waiting = Waiting::default();
        let id = |n: usize| InstructionId::parse(format!("instruction-{n}")).unwrap();
        let stays = waiting.enter(&id(0));
        for n in 1..10_000 {
            drop(waiting.enter(&id(n)));
        }
        assert!(waiting.lock().by_id.len() <= TIDY_FROM, "{}", waiting.lock().by_id.len());
        assert!(waiting.lock().by_id.contains_key("instruction-0"));
        drop(stays);
    }
}
