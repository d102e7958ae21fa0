//! Hears what other instances committed, over one subscription, and notices when it may have missed something.
//!
//! 1. After each reconnection, and whenever messages came faster than they were read, everybody is woken.
//! 2. Each instance says something now and then that it must hear itself: a connection that is open and silent, or a
//!    server that does not pass messages on, is noticed like one that is gone.
//! 3. As long as others are not heard, whoever waits looks for himself ([`Reach`]).

use std::time::Duration;

use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::Message as Heard;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::link::Link;
use super::reach::Reach;
use super::wake::{CHANNEL, Message, Wake};
use crate::telemetry::metrics::REDIS_UP;

/// After a failure to subscribe.
const AGAIN: Duration = Duration::from_millis(200);
/// So many beats may go unheard.
const UNHEARD: u32 = 3;

/// Whom wake-ups are passed on to.
pub trait Ears: Send + Sync + 'static {
    /// Somebody else has committed something. Must not block.
    fn hear(&self, wake: Wake);
}

/// What listening takes.
pub(super) struct Listener {
    pub(super) instance: String,
    pub(super) reach: Reach,
    pub(super) beat: Duration,
    pub(super) stopping: CancellationToken,
}

/// Why a subscription is over.
enum Over {
    /// It is made anew.
    Lost,
    /// The relay stops, or the client is gone.
    ForGood,
}

impl Listener {
    /// Listens until the relay stops.
    pub(super) async fn run(self, link: Link, ears: impl Ears) {
        let up = metrics::gauge!(REDIS_UP);
        up.set(0.0);
        loop {
            // Taken before the subscription: what comes between the two waits.
            let messages = link.subscriber.message_rx();
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = subscribed(&link) => (),
            }
            tracing::info!("other instances are heard over redis");
            up.set(1.0);
            self.reach.heard();
            let over = self.listen(&link, &ears, messages).await;
            up.set(0.0);
            self.reach.lost();
            match over {
                Over::ForGood => return,
                Over::Lost => tracing::warn!("other instances are not heard; whoever waits looks into the database"),
            }
        }
    }

    async fn listen(
        &self,
        link: &Link,
        ears: &impl Ears,
        mut messages: tokio::sync::broadcast::Receiver<Heard>,
    ) -> Over {
        let (mut reconnections, mut errors) = (link.subscriber.reconnect_rx(), link.subscriber.error_rx());
        let mut beats = tokio::time::interval(self.beat);
        let mut heard_at = Instant::now();
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return Over::ForGood,
                message = messages.recv() => match message {
                    Ok(message) if self.pass_on(&message, ears) => heard_at = Instant::now(),
                    Ok(_) => (),
                    Err(RecvError::Lagged(_)) => self.reach.missed(),
                    Err(RecvError::Closed) => return Over::ForGood,
                },
                _ = reconnections.recv() => return Over::Lost,
                _ = errors.recv() => return Over::Lost,
                _ = beats.tick() => {
                    if heard_at.elapsed() > self.beat * UNHEARD || !link.subscriber.is_connected() {
                        // The one that is silent shall not be used on.
                        let _ = link.subscriber.force_reconnection().await;
                        return Over::Lost;
                    }
                    self.say_something(link).await;
                }
            }
        }
    }

    /// What becomes of it is heard, or not.
    async fn say_something(&self, link: &Link) {
        let beat = Message { from: self.instance.clone(), wakes: vec![Wake::Beat] };
        if let Ok(text) = serde_json::to_string(&beat) {
            let _ = link.publish(CHANNEL, text).await;
        }
    }

    /// Passes a message on; whether it was our own.
    fn pass_on(&self, message: &Heard, ears: &impl Ears) -> bool {
        let text = message.value.as_str();
        match text.and_then(|text| serde_json::from_str::<Message>(&text).ok()) {
            Some(message) if message.from == self.instance => return true,
            Some(message) => message.wakes.into_iter().for_each(|wake| match wake {
                Wake::Everybody => self.reach.missed(),
                Wake::Beat => (),
                wake => ears.hear(wake),
            }),
            // Of a newer version: what it says cannot be known.
            None => self.reach.missed(),
        }
        false
    }
}

/// Subscribes, however long it takes.
async fn subscribed(link: &Link) {
    while !link.subscriber.is_connected() || link.subscriber.subscribe(CHANNEL).await.is_err() {
        tokio::time::sleep(AGAIN).await;
    }
}
