//! How often an initiator was denied, how long he is silenced for it, and how often a user gave a wrong number (SECURITY,
//! "Attention and guessing").

use std::time::Duration;

use bloonio_wire::clock::Timestamp;

use crate::store::{
    DENIAL_MEMORY, DENIALS_TO_SILENCE, FIRST_SILENCE, KEPT_FOR, LONGEST_SILENCE, WRONG_NUMBER_MEMORY,
    WRONG_NUMBERS_TO_TYPE,
};

/// One user's wrong golden numbers.
#[derive(Debug, Default)]
pub(super) struct WrongNumbers(Vec<Timestamp>);

impl WrongNumbers {
    /// Counts one.
    pub(super) fn add(&mut self, now: Timestamp) {
        self.forget_old(now);
        self.0.push(now);
    }

    /// Whether there are so many that numbers may no longer be picked.
    pub(super) fn too_many(&self, now: Timestamp) -> bool {
        self.0.iter().filter(|at| counts(**at, now)).count() >= WRONG_NUMBERS_TO_TYPE
    }

    /// Forgets what no longer counts. Whether anything is left.
    pub(super) fn forget_old(&mut self, now: Timestamp) -> bool {
        self.0.retain(|at| counts(*at, now));
        !self.0.is_empty()
    }
}

fn counts(wrong_at: Timestamp, now: Timestamp) -> bool {
    now.since(wrong_at) < WRONG_NUMBER_MEMORY
}

/// One initiator's denials and silences.
#[derive(Debug, Default)]
pub(super) struct Attention {
    denials: Vec<Timestamp>,
    silences: u32,
    silenced_until: Option<Timestamp>,
}

impl Attention {
    /// Counts a denial. How long it silences the initiator, if it does.
    pub(super) fn denied(&mut self, now: Timestamp) -> Option<Duration> {
        self.forget_old(now);
        self.denials.push(now);
        if self.denials.len() < DENIALS_TO_SILENCE {
            return None;
        }
        self.denials.clear();
        // 60 s doubled six times is more than an hour: further doublings change nothing.
        let silence = FIRST_SILENCE.saturating_mul(1 << self.silences.min(6)).min(LONGEST_SILENCE);
        self.silences = self.silences.saturating_add(1);
        self.silenced_until = Some(now.plus(silence));
        Some(silence)
    }

    /// How much longer the initiator is silenced.
    pub(super) fn silence(&self, now: Timestamp) -> Option<Duration> {
        self.silenced_until.filter(|until| *until > now).map(|until| until.since(now))
    }

    /// Forgets what no longer counts. Whether anything is left.
    pub(super) fn forget_old(&mut self, now: Timestamp) -> bool {
        self.denials.retain(|at| now.since(*at) < DENIAL_MEMORY);
        if self.silenced_until.is_some_and(|until| until.plus(KEPT_FOR) <= now) {
            self.silenced_until = None;
            self.silences = 0;
        }
        !self.denials.is_empty() || self.silenced_until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deny_thrice(attention: &mut Attention, now: Timestamp) -> Option<Duration> {
        (0..3).filter_map(|_| attention.denied(now)).last()
    }

    #[test]
    fn silence_doubles_from_a_minute_to_an_hour_and_is_forgotten_after_a_day() {
        let mut attention = Attention::default();
        let mut now = Timestamp::from_secs(0);
        let mut silences = Vec::new();
        for _ in 0..8 {
            let silence = deny_thrice(&mut attention, now).unwrap();
            assert_eq!(attention.silence(now), Some(silence));
            now = now.plus(silence);
            assert_eq!(attention.silence(now), None);
            silences.push(silence.as_secs());
        }
        assert_eq!(silences, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert!(!attention.forget_old(now.plus(KEPT_FOR)));
        assert_eq!(deny_thrice(&mut attention, now.plus(KEPT_FOR)), Some(FIRST_SILENCE));
    }

    #[test]
    fn denials_further_apart_than_a_quarter_of_an_hour_do_not_add_up() {
        let mut attention = Attention::default();
        for minute in [0, 8, 15] {
            assert_eq!(attention.denied(Timestamp::from_secs(minute * 60)), None, "minute {minute}");
        }
        assert_eq!(attention.denied(Timestamp::from_secs(20 * 60)), Some(FIRST_SILENCE));
    }
}
