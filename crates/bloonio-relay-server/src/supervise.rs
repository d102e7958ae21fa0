//! Workers are kept running: one that falls over is told of, counted, and started again after a pause.
//!
//! What a worker had in hand when it fell over is held by leases, and done by its successor. While it waits, readiness says
//! so and goes on: prompts and decisions are served and durable meanwhile, and an instance that refused them for it would
//! turn one trouble into two.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::telemetry::metrics::{WORKER_RESTARTS, WORKER_UP};

/// Pauses before a worker is started again.
#[derive(Debug, Clone, Copy)]
pub struct Pauses {
    /// After its first fall; each further one doubles it …
    pub first: Duration,
    /// … up to this.
    pub longest: Duration,
    /// A worker that ran for so long begins anew with the first pause.
    pub forgiven_after: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(30),
            forgiven_after: Duration::from_secs(300),
        }
    }
}

impl Pauses {
    /// The pause after a run of `ran`, where the last pause was `last`.
    fn next(&self, last: Option<Duration>, ran: Duration) -> Duration {
        match last {
            Some(last) if ran < self.forgiven_after => last.saturating_mul(2).min(self.longest),
            _ => self.first,
        }
    }
}

/// The workers of a relay. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Workers {
    running: Arc<Mutex<BTreeMap<&'static str, bool>>>,
}

impl Workers {
    /// Those that wait to be started again, by name.
    pub fn fallen(&self) -> Vec<&'static str> {
        self.lock().iter().filter(|(_, up)| !**up).map(|(name, _)| *name).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, bool>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, worker: &'static str, up: bool) {
        self.lock().insert(worker, up);
        metrics::gauge!(WORKER_UP, "worker" => worker).set(if up { 1.0 } else { 0.0 });
    }

    /// Runs what `start` makes, again and again, until `stopping`. A worker ends by itself only then.
    pub async fn supervise<F>(
        self,
        worker: &'static str,
        pauses: Pauses,
        stopping: CancellationToken,
        start: impl Fn() -> F,
    ) where
        F: Future<Output = ()>,
    {
        let mut last_pause = None;
        loop {
            self.note(worker, true);
            let began = Instant::now();
            // What a fallen worker leaves behind is dropped with it; the next one reads the database.
            let ended = AssertUnwindSafe(start()).catch_unwind().await;
            if stopping.is_cancelled() {
                break;
            }
            self.note(worker, false);
            metrics::counter!(WORKER_RESTARTS, "worker" => worker).increment(1);
            let pause = pauses.next(last_pause, began.elapsed());
            last_pause = Some(pause);
            let cause = ended.as_ref().err().map_or("it came to an end", |panic| said(panic.as_ref()));
            tracing::error!(worker, cause, pause_ms = pause.as_millis(), "a worker fell over; it is started again");
            tokio::select! {
                () = stopping.cancelled() => break,
                () = tokio::time::sleep(pause) => (),
            }
        }
    }
}

/// The text of a panic.
pub fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("not a text")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::mpsc;

    const AT_ONCE: Pauses =
        Pauses { first: Duration::ZERO, longest: Duration::ZERO, forgiven_after: Duration::from_secs(1) };

    #[tokio::test]
    async fn a_worker_that_falls_over_is_started_again_until_the_relay_stops() {
        let (workers, stopping, runs) = (Workers::default(), CancellationToken::new(), AtomicU32::new(0));
        let (began, mut works) = mpsc::unbounded_channel();
        let start = || {
            let (run, began, stopping) = (runs.fetch_add(1, Ordering::SeqCst), began.clone(), stopping.clone());
            async move {
                match run {
                    0 => panic!("the first run falls over"),
                    // Ending by itself is falling over, too.
                    1 => (),
                    _ => {
                        began.send(()).unwrap();
                        stopping.cancelled().await;
                    }
                }
            }
        };
        let supervised = workers.clone().supervise("outbox", AT_ONCE, stopping.clone(), start);
        let watch = async {
            works.recv().await.unwrap();
            assert_eq!(workers.fallen(), [""; 0]);
            stopping.cancel();
        };
        tokio::join!(supervised, watch);
        assert_eq!(runs.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn while_it_waits_it_is_known_as_fallen_and_stopping_does_not_wait() {
        let (workers, stopping) = (Workers::default(), CancellationToken::new());
        let pauses = Pauses { first: Duration::from_secs(3_600), ..AT_ONCE };
        let (fell, mut fallen) = mpsc::unbounded_channel();
        let start = || {
            let fell = fell.clone();
            async move {
                fell.send(()).unwrap();
                panic!("{}", "always");
            }
        };
        let supervised = workers.clone().supervise("push", pauses, stopping.clone(), start);
        let watch = async {
            fallen.recv().await.unwrap();
            while workers.fallen() != ["push"] {
                tokio::task::yield_now().await;
            }
            stopping.cancel();
        };
        tokio::join!(supervised, watch);
    }

    #[rstest]
    #[case::first(None, 0, 500)]
    #[case::second(Some(500), 0, 1_000)]
    #[case::longest(Some(20_000), 10, 30_000)]
    #[case::forgiven(Some(30_000), 300, 500)]
    fn pauses_grow_and_are_forgiven(#[case] last: Option<u64>, #[case] ran_secs: u64, #[case] pause_ms: u64) {
        let next = Pauses::default().next(last.map(Duration::from_millis), Duration::from_secs(ran_secs));
        assert_eq!(next, Duration::from_millis(pause_ms));
    }
}
