//! A breaker: after ten like answers in a row it lets nothing through but a probe every two minutes (PUSH.md 1.5).
//!
//! A state machine of instants that it is told, like everything here; crates for this bring a clock of their own.

use std::time::Duration;

use bloonio_wire::clock::Timestamp;

use super::error::Cause;

/// Like answers in a row that open it.
const LIKE_ANSWERS: u32 = 10;
/// The time between two probes.
const PROBE_EVERY: Duration = Duration::from_secs(120);
/// A probe's answer is there by then, or will not come.
const PROBE_TAKES: Duration = Duration::from_secs(15);

/// What an answer says about the thing behind a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// It works.
    Works,
    /// It is broken, and will be until somebody acts.
    Broken(Cause),
    /// Nothing: trouble of another kind.
    Nothing,
}

/// What a breaker has just done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Opened(Cause),
    Closed,
}

#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// The last broken answers, as long as they are alike.
    run: Option<(Cause, u32)>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    next_probe: Timestamp,
    /// A probe is under way until then.
    probing_until: Option<Timestamp>,
}

impl Breaker {
    /// Until when it holds messages back; `None` lets the next one through.
    pub(super) fn holds_until(&self, now: Timestamp) -> Option<Timestamp> {
        let open = self.open.as_ref().filter(|open| now < open.next_probe)?;
        Some(open.probing_until.filter(|until| now < *until).unwrap_or(open.next_probe))
    }

    /// A message leaves. Answers whether it is the probe, which is so while the breaker is open.
    pub(super) fn leaves(&mut self, now: Timestamp) -> bool {
        if let Some(open) = &mut self.open {
            *open = Open { next_probe: now.plus(PROBE_EVERY), probing_until: Some(now.plus(PROBE_TAKES)) };
        }
        self.open.is_some()
    }

    /// Takes in an answer.
    pub(super) fn learn(&mut self, now: Timestamp, evidence: Evidence) -> Option<Change> {
        match evidence {
            Evidence::Nothing => None,
            Evidence::Works => {
                self.run = None;
                self.open.take().map(|_| Change::Closed)
            }
            Evidence::Broken(cause) => {
                let alike = self.run.filter(|(last, _)| *last == cause).map_or(0, |(_, count)| count);
                let count = (alike + 1).min(LIKE_ANSWERS);
                self.run = Some((cause, count));
                if let Some(open) = &mut self.open {
                    open.probing_until = None;
                    return None;
                }
                if count < LIKE_ANSWERS {
                    return None;
                }
                self.open = Some(Open { next_probe: now.plus(PROBE_EVERY), probing_until: None });
                Some(Change::Opened(cause))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const BROKEN: Evidence = Evidence::Broken(Cause::PermissionDenied);

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn open() -> Breaker {
        let mut breaker = Breaker::default();
        (0..9).for_each(|_| assert_eq!(breaker.learn(NOW, BROKEN), None));
        assert_eq!(breaker.holds_until(NOW), None);
        assert_eq!(breaker.learn(NOW, BROKEN), Some(Change::Opened(Cause::PermissionDenied)));
        breaker
    }

    #[test]
    fn ten_like_answers_in_a_row_open_it_for_two_minutes() {
        let breaker = open();
        assert_eq!(breaker.holds_until(NOW), Some(NOW.plus(secs(120))));
        assert_eq!(breaker.holds_until(NOW.plus(Duration::from_millis(119_999))), Some(NOW.plus(secs(120))));
        assert_eq!(breaker.holds_until(NOW.plus(secs(120))), None);
    }

    #[test]
    fn a_success_in_between_begins_the_count_anew_and_other_trouble_does_not() {
        let mut breaker = Breaker::default();
        (0..9).for_each(|_| assert_eq!(breaker.learn(NOW, BROKEN), None));
        breaker.learn(NOW, Evidence::Works);
        (0..9).for_each(|_| assert_eq!(breaker.learn(NOW, BROKEN), None));
        breaker.learn(NOW, Evidence::Nothing);
        assert_eq!(breaker.learn(NOW, BROKEN), Some(Change::Opened(Cause::PermissionDenied)));
    }

    #[test]
    fn unlike_answers_do_not_add_up() {
        let mut breaker = Breaker::default();
        for _ in 0..20 {
            assert_eq!(breaker.learn(NOW, BROKEN), None);
            assert_eq!(breaker.learn(NOW, Evidence::Broken(Cause::NotFoundBare)), None);
        }
    }

    #[test]
    fn one_probe_goes_through_and_its_success_closes_it() {
        let mut breaker = open();
        let probe = NOW.plus(secs(120));
        assert!(breaker.leaves(probe));
        assert_eq!(breaker.holds_until(probe), Some(probe.plus(secs(15))), "its answer is waited for");
        assert_eq!(breaker.learn(probe, Evidence::Works), Some(Change::Closed));
        assert_eq!(breaker.holds_until(probe), None);
        assert!(!breaker.leaves(probe), "it is a message like any other");
    }

    #[test]
    fn a_probe_that_fails_or_is_lost_is_followed_by_another_after_two_minutes() {
        let mut breaker = open();
        let probe = NOW.plus(secs(120));
        assert!(breaker.leaves(probe));
        assert_eq!(breaker.learn(probe, BROKEN), None);
        assert_eq!(breaker.holds_until(probe), Some(probe.plus(secs(120))));
        let next = probe.plus(secs(120));
        assert!(breaker.leaves(next));
        assert_eq!(breaker.holds_until(next.plus(secs(15))), Some(next.plus(secs(120))), "it never came back");
        assert_eq!(breaker.holds_until(next.plus(secs(120))), None);
    }
}
