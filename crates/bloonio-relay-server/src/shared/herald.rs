//! Tells the other instances what was committed here: after the commit, all that gathered meanwhile in one message, and
//! never holding anybody up.
//!
//! What cannot be told is not kept: when Redis is back, everybody is told to read everything again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::link::Link;
use super::wake::{CHANNEL, Message, Wake};
use crate::telemetry::metrics::REDIS_FALLBACKS;

/// So many wake-ups may wait to be told; more, and they become one that wakes everybody.
const PENDING: usize = 512;
/// After a failure it is tried again so soon.
const AGAIN: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
struct Waiting {
    wakes: Mutex<Vec<Wake>>,
    some: Notify,
}

/// Tells the others. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Herald {
    waiting: Option<Arc<Waiting>>,
}

impl Herald {
    /// One that speaks as soon as it is driven; the default has nobody to speak to.
    pub(super) fn speaking() -> Self {
        Self { waiting: Some(Arc::default()) }
    }

    /// Tells the others, soon. To be called after the commit.
    pub fn tell(&self, wake: Wake) {
        let Some(waiting) = &self.waiting else { return };
        let mut wakes = waiting.lock();
        if wakes.contains(&wake) || wakes.contains(&Wake::Everybody) {
            return;
        }
        if wakes.len() >= PENDING {
            *wakes = vec![Wake::Everybody];
        } else {
            wakes.push(wake);
        }
        drop(wakes);
        waiting.some.notify_one();
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Vec<Wake>> {
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn next(&self) -> Vec<Wake> {
        loop {
            let wakes = std::mem::take(&mut *self.lock());
            if !wakes.is_empty() {
                return wakes;
            }
            self.some.notified().await;
        }
    }
}

/// Speaks until `stopping`, and then says what is left.
pub(super) async fn run(herald: Herald, link: Link, instance: String, stopping: CancellationToken) {
    let Some(waiting) = herald.waiting else { return };
    loop {
        let wakes = tokio::select! {
            () = stopping.cancelled() => break,
            wakes = waiting.next() => wakes,
        };
        if say(&link, &instance, wakes).await.is_err() {
            metrics::counter!(REDIS_FALLBACKS, "use" => "wake").increment(1);
            *waiting.lock() = vec![Wake::Everybody];
            tokio::select! {
                () = stopping.cancelled() => break,
                () = tokio::time::sleep(AGAIN) => (),
            }
        }
    }
    let left = std::mem::take(&mut *waiting.lock());
    if !left.is_empty() {
        // What nobody hears, the others find by themselves.
        let _ = say(&link, &instance, left).await;
    }
}

async fn say(link: &Link, instance: &str, wakes: Vec<Wake>) -> Result<(), super::Away> {
    let message = Message { from: instance.to_owned(), wakes };
    match serde_json::to_string(&message) {
        Ok(text) => link.publish(CHANNEL, text).await,
        Err(defect) => {
            tracing::error!(error = %defect, "a wake-up cannot be written down");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bloonio_wire::id::TenantId;

    fn tenant(n: usize) -> Wake {
        Wake::Tenant { tenant_id: TenantId::parse(format!("tnt_{n:032x}")).unwrap() }
    }

    #[tokio::test]
    async fn what_gathers_is_told_once_and_in_order() {
        let herald = Herald::speaking();
        [tenant(1), tenant(2), tenant(1), Wake::Outbox, Wake::Outbox].into_iter().for_each(|wake| herald.tell(wake));
        assert_eq!(herald.waiting.unwrap().next().await, [tenant(1), tenant(2), Wake::Outbox]);
    }

    #[tokio::test]
    async fn more_than_can_wait_wakes_everybody() {
        let herald = Herald::speaking();
        (0..=PENDING + 5).for_each(|n| herald.tell(tenant(n)));
        assert_eq!(herald.waiting.unwrap().next().await, [Wake::Everybody]);
    }

    #[test]
    fn with_nobody_to_speak_to_nothing_gathers() {
        let herald = Herald::default();
        herald.tell(Wake::Outbox);
        assert!(herald.waiting.is_none());
    }
}
