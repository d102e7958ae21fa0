//! The brakes on retiring addresses (PUSH.md 1.5): when a good part of all messages comes back with a verdict against the
//! address, the verdicts are wrong and not the addresses. A wrong key file makes every device look like that.
//!
//! There is one brake for addresses declared gone and one for those declared another project's.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bloonio_wire::clock::Timestamp;
use tracing::{error, info};

use crate::storage::push::Retirement;
use crate::telemetry::metrics::{ADDRESS_BRAKE, ADDRESSES_SPARED};

/// What lies further back is forgotten.
const WINDOW: Duration = Duration::from_secs(300);
/// Fewer messages than this prove nothing.
const LEAST: usize = 50;
/// So many messages are remembered at most.
const MOST: usize = 10_000;

/// The brakes on both verdicts.
#[derive(Debug, Default)]
pub(super) struct Brakes {
    dead: Brake,
    quarantined: Brake,
}

impl Brakes {
    /// Records one message's verdict; answers whether it may be carried out. Whoever watches the log hears when a brake
    /// engages and when it lets go.
    pub(super) fn believes(&self, now: Timestamp, verdict: Option<Retirement>) -> bool {
        let mut believed = true;
        for (brake, against) in [(&self.dead, Retirement::Dead), (&self.quarantined, Retirement::Quarantined)] {
            let is_against = verdict == Some(against);
            let (engaged, changed) = brake.record(now, is_against);
            if changed {
                report(against.as_str(), engaged);
            }
            if is_against && engaged {
                metrics::counter!(ADDRESSES_SPARED, "verdict" => against.as_str()).increment(1);
                believed = false;
            }
        }
        believed
    }
}

fn report(verdict: &'static str, engaged: bool) {
    metrics::gauge!(ADDRESS_BRAKE, "verdict" => verdict).set(if engaged { 1.0 } else { 0.0 });
    if engaged {
        error!(
            alarm = "push_brake_engaged",
            verdict, "too many addresses are refused at once; none is taken out of use until that has passed"
        );
    } else {
        info!(alarm = "push_brake_released", verdict, "verdicts against addresses are believed again");
    }
}

/// Counts the verdicts of one kind, and tells when to stop believing them.
#[derive(Debug, Default)]
struct Brake {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    verdicts: VecDeque<(Timestamp, bool)>,
    against: usize,
    engaged: bool,
}

impl Seen {
    fn forget_before(&mut self, now: Timestamp) {
        while let Some(&(at, against)) = self.verdicts.front() {
            if now.since(at) <= WINDOW && self.verdicts.len() < MOST {
                break;
            }
            self.verdicts.pop_front();
            self.against -= usize::from(against);
        }
    }
}

impl Brake {
    /// Records a message; answers whether the brake is engaged, and whether that is new.
    fn record(&self, now: Timestamp, against: bool) -> (bool, bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.forget_before(now);
        seen.verdicts.push_back((now, against));
        seen.against += usize::from(against);
        let engaged = seen.verdicts.len() >= LEAST && seen.against * 5 > seen.verdicts.len();
        let changed = std::mem::replace(&mut seen.engaged, engaged) != engaged;
        (engaged, changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const DEAD: Option<Retirement> = Some(Retirement::Dead);
    const QUARANTINED: Option<Retirement> = Some(Retirement::Quarantined);

    #[test]
    fn a_few_dead_addresses_are_believed() {
        let brakes = Brakes::default();
        assert!((0..49).all(|_| brakes.believes(NOW, DEAD)));
        let brakes = Brakes::default();
        assert!((0..500).all(|i| brakes.believes(NOW, (i % 5 == 4).then_some(Retirement::Dead))));
    }

    #[test]
    fn a_wave_of_dead_addresses_is_not_believed_until_it_has_passed() {
        let brakes = Brakes::default();
        (0..40).for_each(|_| assert!(brakes.believes(NOW, None)));
        let believed = (0..40).filter(|_| brakes.believes(NOW, DEAD)).count();
        assert_eq!(believed, 10);
        assert!(!brakes.believes(NOW.plus(WINDOW), DEAD));
        assert!(brakes.believes(NOW.plus(WINDOW * 3), DEAD));
    }

    #[test]
    fn each_verdict_has_a_brake_of_its_own() {
        let brakes = Brakes::default();
        (0..60).for_each(|_| {
            brakes.believes(NOW, QUARANTINED);
        });
        assert!(!brakes.believes(NOW, QUARANTINED));
        assert!(brakes.believes(NOW, DEAD), "few of them are dead");
    }

    #[test]
    fn engaging_and_letting_go_is_told_once() {
        let brake = Brake::default();
        (0..49).for_each(|_| assert_eq!(brake.record(NOW, true), (false, false)));
        assert_eq!(brake.record(NOW, true), (true, true));
        assert_eq!(brake.record(NOW, true), (true, false));
        assert_eq!(brake.record(NOW.plus(WINDOW * 2), false), (false, true));
    }
}
