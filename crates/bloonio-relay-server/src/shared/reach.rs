//! How far a wake-up can be relied on, for whoever waits for one.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Where others may change things without our being told, whoever waits looks for himself, so often.
pub const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// While instances hear each other, a look now and then costs nothing, and makes whatever was overlooked a delay.
const LOOK_NOW_AND_THEN: Duration = Duration::from_secs(20);

/// How things stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    look_again: Option<Duration>,
    /// Raised whenever something may have been missed.
    gap: u64,
}

/// How far this process's wake-ups reach. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reach {
    standing: watch::Sender<Standing>,
}

impl Reach {
    fn of(look_again: Option<Duration>) -> Self {
        Self { standing: watch::Sender::new(Standing { look_again, gap: 0 }) }
    }

    /// Nobody but this process changes anything.
    pub fn whole() -> Self {
        Self::of(None)
    }

    /// Others change things, and do not tell us.
    pub fn doubtful() -> Self {
        Self::of(Some(LOOK_AGAIN))
    }

    /// From now on others are heard; what happened before may have been missed.
    pub fn heard(&self) {
        self.standing.send_modify(|standing| {
            *standing = Standing { look_again: Some(LOOK_NOW_AND_THEN), gap: standing.gap + 1 };
        });
    }

    /// Others are not heard any more.
    pub fn lost(&self) {
        self.standing.send_if_modified(|standing| {
            let was = standing.look_again.replace(LOOK_AGAIN);
            standing.gap += u64::from(was != standing.look_again);
            was != standing.look_again
        });
    }

    /// Something may have been missed: everybody reads everything again.
    pub fn missed(&self) {
        self.standing.send_modify(|standing| standing.gap += 1);
    }

    /// Watches from now on. After a gap everybody has reason to look, so each waits for `apart` first: his own share of a
    /// second.
    pub fn watch(&self, apart: Duration) -> Watch {
        Watch { standing: self.standing.subscribe(), apart, looked_at: Instant::now(), due: None }
    }
}

impl Default for Reach {
    fn default() -> Self {
        Self::whole()
    }
}

/// A waiter's view of a [`Reach`].
#[derive(Debug)]
pub struct Watch {
    standing: watch::Receiver<Standing>,
    apart: Duration,
    looked_at: Instant,
    /// Set by a gap, so that giving up on [`Watch::worth_looking`] does not forget it.
    due: Option<Instant>,
}

impl Watch {
    /// Waits until it is worth looking without having been woken. Nothing is lost by giving up on it.
    pub async fn worth_looking(&mut self) {
        while self.due.is_none() {
            let look_again = self.standing.borrow().look_again;
            let in_time = until(look_again.map(|pause| self.looked_at + pause));
            tokio::select! {
                () = in_time => break,
                changed = self.standing.changed() => match changed {
                    Ok(()) => self.due = Some(Instant::now() + self.apart),
                    // The relay is gone.
                    Err(_) => std::future::pending().await,
                },
            }
        }
        if let Some(due) = self.due {
            tokio::time::sleep_until(due).await;
        }
        (self.looked_at, self.due) = (Instant::now(), None);
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn alone_nobody_looks_unless_he_is_told_of_a_gap() {
        let reach = Reach::whole();
        let mut watch = reach.watch(Duration::ZERO);
        assert!(timeout(LONG, watch.worth_looking()).await.is_err());
        reach.missed();
        timeout(LONG, watch.worth_looking()).await.unwrap();
        assert!(timeout(LONG, watch.worth_looking()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn unheard_instances_are_looked_after_every_second() {
        let reach = Reach::doubtful();
        let mut watch = reach.watch(Duration::ZERO);
        timeout(2 * LOOK_AGAIN, watch.worth_looking()).await.unwrap();
        timeout(2 * LOOK_AGAIN, watch.worth_looking()).await.unwrap();
        reach.heard();
        timeout(LOOK_AGAIN / 2, watch.worth_looking()).await.expect("what was before may be missed");
        assert!(timeout(2 * LOOK_AGAIN, watch.worth_looking()).await.is_err());
        reach.lost();
        timeout(LOOK_AGAIN / 2, watch.worth_looking()).await.expect("the last message may be missed");
        reach.lost();
        timeout(2 * LOOK_AGAIN, watch.worth_looking()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_gap_is_not_forgotten_by_whoever_is_busy_or_gives_up() {
        let apart = Duration::from_millis(700);
        let reach = Reach::whole();
        let mut watch = reach.watch(apart);
        reach.missed();
        for _ in 0..3 {
            assert!(timeout(apart / 8, watch.worth_looking()).await.is_err(), "not at once");
        }
        timeout(apart, watch.worth_looking()).await.unwrap();
    }
}
