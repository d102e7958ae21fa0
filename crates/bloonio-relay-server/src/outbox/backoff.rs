//! The schedule of PROTOCOL 9.5, as pure functions of instants.

use std::time::Duration;

use bloonio_wire::clock::Timestamp;

/// Offsets of the first attempts, in seconds: dense, since somebody waits at a login.
const DENSE: [u64; 8] = [0, 1, 2, 4, 8, 15, 30, 60];
/// Then one attempt in so many seconds.
const STEP: u64 = 120;
/// Attempts go on for at least this long after the event.
const AT_LEAST: Duration = Duration::from_secs(600);

/// The last instant of an event's schedule: the later of its prompt's expiry and 10 minutes after it happened.
pub fn give_up_at(happened_at: Timestamp, expires_at: Option<Timestamp>) -> Timestamp {
    let at_least = happened_at.plus(AT_LEAST);
    expires_at.map_or(at_least, |expires_at| at_least.max(expires_at))
}

/// When the attempt after one that failed at `now` is due: the first instant of the schedule after `now`, so that slow
/// failures skip instants instead of piling up. `None` when the schedule is over.
pub fn next_attempt(scheduled_from: Timestamp, give_up_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let past = now.since(scheduled_from);
    let offset = match DENSE.iter().map(|&secs| Duration::from_secs(secs)).find(|offset| *offset > past) {
        Some(offset) => offset,
        None => {
            let [.., last] = DENSE;
            let steps = (past.as_secs() - last) / STEP + 1;
            Duration::from_secs(last + steps * STEP)
        }
    };
    let next = scheduled_from.plus(offset);
    (next <= give_up_at).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    const START: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn at(secs: u64) -> Timestamp {
        START.plus(Duration::from_secs(secs))
    }

    /// Instants of all attempts when each fails after `takes`.
    fn attempts(give_up_at: Timestamp, takes: Duration) -> Vec<u64> {
        let mut all = vec![0];
        let mut now = START.plus(takes);
        while let Some(next) = next_attempt(START, give_up_at, now) {
            all.push(next.since(START).as_secs());
            now = next.plus(takes);
        }
        all
    }

    #[rstest]
    #[case::quick_failures(Duration::from_millis(3), &[0, 1, 2, 4, 8, 15, 30, 60, 180, 300, 420, 540])]
    #[case::no_time_at_all(Duration::ZERO, &[0, 1, 2, 4, 8, 15, 30, 60, 180, 300, 420, 540])]
    #[case::ten_second_timeouts(Duration::from_secs(10), &[0, 15, 30, 60, 180, 300, 420, 540])]
    fn a72_a_dead_receiver_is_tried_by_the_schedule(#[case] takes: Duration, #[case] want: &[u64]) {
        assert_eq!(attempts(at(600), takes), want);
    }

    #[rstest]
    #[case::long_life_of_the_prompt(at(780), Some(at(660)))]
    #[case::exactly_at_the_end(at(660), Some(at(660)))]
    #[case::one_second_too_late(at(659), None)]
    fn the_schedule_ends_with_its_last_instant(#[case] give_up_at: Timestamp, #[case] want: Option<Timestamp>) {
        assert_eq!(next_attempt(START, give_up_at, at(540)), want);
    }

    #[rstest]
    #[case(None, 600)]
    #[case(Some(at(60)), 600)]
    #[case(Some(at(601)), 601)]
    fn giving_up_waits_for_the_later_of_expiry_and_ten_minutes(
        #[case] expires_at: Option<Timestamp>,
        #[case] want: u64,
    ) {
        assert_eq!(give_up_at(START, expires_at), at(want));
    }

    proptest! {
        #[test]
        fn the_next_attempt_lies_ahead_and_within_the_schedule(past in 0u64..10_000_000, life in 600u64..20_000) {
            let now = START.plus(Duration::from_millis(past));
            if let Some(next) = next_attempt(START, at(life), now) {
                prop_assert!(next > now && next <= at(life));
                prop_assert!(next.since(now) <= Duration::from_secs(STEP));
            } else {
                prop_assert!(now.plus(Duration::from_secs(STEP)) > at(life));
            }
        }
    }
}
