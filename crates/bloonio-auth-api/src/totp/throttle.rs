//! The lock against guessing: five wrong codes in a minute lock a pairing's codes for 1 minute, then for 5, 15 and 60
//! (SECURITY, "Attention and guessing"). It concerns one-time codes alone: whatever else the person does goes on.

use std::time::Duration;

use bloonio_wire::clock::Timestamp;

/// So many wrong codes …
pub const WRONG_CODES: usize = 5;
/// … within this long lock the pairing's codes.
pub const WINDOW: Duration = Duration::from_secs(60);
/// How long: the first lock, the second one, … The last length stays.
pub const LOCKS: [Duration; 4] =
    [Duration::from_secs(60), Duration::from_secs(5 * 60), Duration::from_secs(15 * 60), Duration::from_secs(60 * 60)];

/// Where a pairing stands. Only a right code takes the lengths back to the first one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Throttle {
    /// When the latest wrong codes came.
    pub wrong_at: Vec<Timestamp>,
    /// Locks since the last right code.
    pub locks: u32,
    /// First instant at which codes are looked at again.
    pub locked_until: Option<Timestamp>,
}

impl Throttle {
    /// How long codes are not looked at from `now` on, in whole seconds; `None` means that they are.
    pub fn locked_for(&self, now: Timestamp) -> Option<Duration> {
        let until = self.locked_until.filter(|until| now < *until)?;
        let millis = u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX);
        Some(Duration::from_secs(millis.div_ceil(1000)))
    }

    /// Counts a wrong code; answers whether a lock begins with it.
    pub fn count(&mut self, now: Timestamp) -> bool {
        // A clock that was set back leaves times that lie ahead: they count, too.
        self.wrong_at.retain(|at| now < at.plus(WINDOW));
        self.wrong_at.push(now);
        if self.wrong_at.len() < WRONG_CODES {
            return false;
        }
        let index = usize::try_from(self.locks).unwrap_or(usize::MAX).min(LOCKS.len() - 1);
        self.locked_until = Some(now.plus(LOCKS[index]));
        self.locks = self.locks.saturating_add(1);
        self.wrong_at.clear();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + seconds)
    }

    #[rstest]
    #[case::five_at_once(&[0, 0, 0, 0, 0], true)]
    #[case::five_in_a_minute(&[0, 15, 30, 45, 59], true)]
    #[case::the_first_is_a_minute_old(&[0, 15, 30, 45, 60], false)]
    #[case::four(&[0, 1, 2, 3], false)]
    #[case::one_every_15_seconds_for_long(&[0, 15, 30, 45, 60, 75, 90, 105, 120, 135], false)]
    #[case::five_across_two_minutes_of_the_clock(&[0, 50, 55, 60, 65, 70], true)]
    fn a85_five_wrong_codes_in_any_minute_lock(#[case] seconds: &[i64], #[case] locks: bool) {
        let mut throttle = Throttle::default();
        let mut locked = false;
        for second in seconds {
            locked = throttle.count(at(*second));
        }
        assert_eq!(locked, locks, "{throttle:?}");
        assert_eq!(throttle.locked_for(at(*seconds.last().unwrap())).is_some(), locks);
    }

    #[test]
    fn a85_each_lock_is_longer_until_the_hour() {
        let (mut throttle, mut now) = (Throttle::default(), at(0));
        let mut lengths = Vec::new();
        for _ in 0..6 {
            while throttle.locked_for(now).is_none() {
                throttle.count(now);
            }
            let length = throttle.locked_for(now).unwrap();
            lengths.push(length.as_secs() / 60);
            let last_moment = Timestamp::from_millis(now.plus(length).as_millis() - 1);
            assert_eq!(throttle.locked_for(last_moment), Some(Duration::from_secs(1)), "rounded up, never down to 0");
            now = now.plus(length);
            assert_eq!(throttle.locked_for(now), None, "its end is exclusive");
        }
        assert_eq!(lengths, [1, 5, 15, 60, 60, 60]);
    }
}
