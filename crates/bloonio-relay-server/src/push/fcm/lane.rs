//! The project's lane: how fast messages leave for FCM (PUSH.md 1.5 to 1.7).
//!
//! FCM counts the messages of a whole project, so one 429 is told to all of them: nothing leaves before the pause that it
//! asks for is over. The pace is halved then, grows back by a sixtieth of the most a second while messages are accepted, and
//! begins without any credit, so that what has waited leaves evenly and not all at once.

use std::time::Duration;

use bloonio_wire::clock::Timestamp;

use super::wait::LONGEST;

/// So much of the pace may leave at once after a quiet moment, in milliseconds of it.
const BURST_MS: f64 = 1_000.0;
/// A 429 that names no time (PUSH.md 1.5); it doubles while nothing is accepted in between.
const USUAL_PAUSE: Duration = Duration::from_secs(60);
/// A 429 that says "at once" still means that there is too much.
const LEAST_PAUSE: Duration = Duration::from_secs(1);
/// The pace never falls below the most, divided by this.
const LEAST_SHARE: f64 = 100.0;
/// Steps from nothing to the most, one a second.
const STEPS: f64 = 60.0;

/// How fast messages may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneLimits {
    /// Messages a minute at most. Several relays share a project's quota: each one needs its part.
    pub per_min: u32,
    /// How long a message waits for its turn in memory; one whose turn is further off goes back to the queue.
    pub patience: Duration,
}

impl Default for LaneLimits {
    /// Half of a project's usual quota of 600,000 (PUSH.md 1.6).
    fn default() -> Self {
        Self { per_min: 300_000, patience: Duration::from_secs(2) }
    }
}

/// When a message may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// At this instant, which is its own.
    At(Timestamp),
    /// Not before this instant, and only if it asks again then.
    NotBefore(Timestamp),
}

/// A pause that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pause {
    pub(super) until: Timestamp,
}

#[derive(Debug)]
pub(super) struct Lane {
    limits: LaneLimits,
    /// Messages a millisecond.
    pace: f64,
    most: f64,
    /// When the next message would leave if there were no credit, in Unix milliseconds.
    next: f64,
    /// The last place given to a message that was sent back, likewise.
    last_place: f64,
    paused_until: Option<Timestamp>,
    /// Pauses so far: which one a message left after.
    pauses: u64,
    /// Pauses since a message was last accepted.
    in_a_row: u32,
    raised_at: Timestamp,
}

impl Lane {
    pub(super) fn new(limits: LaneLimits, now: Timestamp) -> Self {
        let most = f64::from(limits.per_min.max(1)) / 60_000.0;
        Self {
            limits,
            pace: most,
            most,
            next: 0.0,
            last_place: 0.0,
            paused_until: None,
            pauses: 0,
            in_a_row: 0,
            raised_at: now,
        }
    }

    /// The end of the pause, while there is one.
    pub(super) fn paused_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.paused_until.filter(|until| now < *until)
    }

    /// Which pause a message leaves after, to be given back with its answer.
    pub(super) fn pauses(&self) -> u64 {
        self.pauses
    }

    /// Messages a second, at present.
    pub(super) fn pace_per_sec(&self) -> f64 {
        self.pace * 1_000.0
    }

    /// Gives a message its turn.
    pub(super) fn turn(&mut self, now: Timestamp) -> Turn {
        if let Some(until) = self.paused_until(now) {
            return Turn::NotBefore(self.place_after(until));
        }
        let turn = ceil(self.next - BURST_MS).max(now);
        if turn.since(now) > self.limits.patience {
            return Turn::NotBefore(self.place_after(turn));
        }
        self.next = self.next.max(millis(now)) + 1.0 / self.pace;
        Turn::At(turn)
    }

    /// A place in the queue of those that come back after `start`: each has its own instant, at the lane's pace.
    pub(super) fn place_after(&mut self, start: Timestamp) -> Timestamp {
        self.last_place = self.last_place.max(millis(start)) + 1.0 / self.pace;
        ceil(self.last_place)
    }

    /// FCM has refused a message that left after pause number `pauses` because there are too many.
    ///
    /// Answers the pause that begins. Refusals of messages that were under way when it began only make it longer.
    pub(super) fn refused(&mut self, now: Timestamp, pauses: u64, asked: Option<Duration>) -> Option<Pause> {
        let begins = pauses == self.pauses;
        if begins {
            self.pauses += 1;
            self.in_a_row += 1;
            self.pace = (self.pace / 2.0).max(self.most / LEAST_SHARE);
        }
        let usual = USUAL_PAUSE * 2u32.pow(self.in_a_row.saturating_sub(1).min(6));
        let until = now.plus(asked.unwrap_or(usual).clamp(LEAST_PAUSE, LONGEST));
        let until = self.paused_until.map_or(until, |known| known.max(until));
        self.paused_until = Some(until);
        self.next = millis(until) + BURST_MS;
        begins.then_some(Pause { until })
    }

    /// FCM has accepted a message that left after pause number `pauses`.
    pub(super) fn accepted(&mut self, now: Timestamp, pauses: u64) {
        if pauses != self.pauses {
            return;
        }
        self.in_a_row = 0;
        if self.pace < self.most && now.since(self.raised_at) >= Duration::from_secs(1) {
            self.pace = (self.pace + self.most / STEPS).min(self.most);
            self.raised_at = now;
        }
    }
}

fn millis(at: Timestamp) -> f64 {
    at.as_millis() as f64
}

/// The first whole millisecond that is not before.
fn ceil(millis: f64) -> Timestamp {
    Timestamp::from_millis(millis.ceil() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    /// Ten messages a second, none of which waits.
    fn lane() -> Lane {
        Lane::new(LaneLimits { per_min: 600, patience: Duration::ZERO }, NOW)
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// How many messages leave at this instant.
    fn leave(lane: &mut Lane, now: Timestamp) -> usize {
        (0..100_000).take_while(|_| matches!(lane.turn(now), Turn::At(_))).count()
    }

    #[test]
    fn a_seconds_worth_may_leave_at_once_and_then_so_many_a_second() {
        let mut lane = lane();
        assert_eq!(leave(&mut lane, NOW), 11);
        for n in 1..10 {
            assert_eq!(leave(&mut lane, NOW.plus(secs(n))), 10);
        }
        assert_eq!(leave(&mut lane, NOW.plus(secs(3_600))), 11, "quiet time gives no more than that");
    }

    #[test]
    fn three_hundred_thousand_a_minute_leave_unless_told_otherwise() {
        let mut lane = Lane::new(LaneLimits { patience: Duration::ZERO, ..LaneLimits::default() }, NOW);
        leave(&mut lane, NOW);
        let a_minute: usize = (1..=600).map(|n| leave(&mut lane, NOW.plus(Duration::from_millis(n * 100)))).sum();
        assert!((299_000..=301_000).contains(&a_minute), "{a_minute}");
    }

    #[test]
    fn a_message_with_patience_gets_an_instant_of_its_own() {
        let mut lane = Lane::new(LaneLimits { per_min: 600, patience: secs(2) }, NOW);
        let turns: Vec<_> = (0..31).map(|_| lane.turn(NOW)).collect();
        assert!(turns[..11].iter().all(|turn| *turn == Turn::At(NOW)));
        for (n, turn) in turns[11..].iter().enumerate() {
            assert_eq!(*turn, Turn::At(NOW.plus(Duration::from_millis(100 * (n as u64 + 1)))));
        }
        assert!(matches!(lane.turn(NOW), Turn::NotBefore(_)));
    }

    #[test]
    fn f05_nothing_leaves_during_a_pause_and_nothing_in_a_burst_after_it() {
        let mut lane = lane();
        let pause = lane.refused(NOW, 0, Some(secs(30))).unwrap();
        assert_eq!(pause.until, NOW.plus(secs(30)));
        let places: Vec<_> = (0..50).map(|_| lane.turn(NOW)).collect();
        for (n, place) in places.iter().enumerate() {
            // Half the pace: one in 200 ms.
            assert_eq!(*place, Turn::NotBefore(pause.until.plus(Duration::from_millis(200 * (n as u64 + 1)))));
        }
        assert_eq!(leave(&mut lane, NOW.plus(Duration::from_millis(29_999))), 0);
        assert_eq!(leave(&mut lane, pause.until), 1);
        assert_eq!(leave(&mut lane, pause.until.plus(secs(1))), 5);
    }

    #[test]
    fn refusals_of_messages_under_way_do_not_slow_it_twice_but_may_make_the_pause_longer() {
        let mut lane = lane();
        assert!(lane.refused(NOW, 0, Some(secs(10))).is_some());
        assert_eq!(lane.refused(NOW, 0, Some(secs(5))), None);
        assert_eq!(lane.paused_until(NOW), Some(NOW.plus(secs(10))));
        assert_eq!(lane.refused(NOW, 0, Some(secs(20))), None);
        assert_eq!(lane.paused_until(NOW), Some(NOW.plus(secs(20))));
        assert_eq!(lane.pace_per_sec(), 5.0);
    }

    #[test]
    fn a_pause_without_a_time_doubles_until_something_is_accepted() {
        let mut lane = lane();
        let mut now = NOW;
        for (n, expected) in [60, 120, 240, 480, 960, 1_920, 3_600, 3_600].into_iter().enumerate() {
            assert_eq!(lane.refused(now, n as u64, None).unwrap().until.since(now), secs(expected));
            now = now.plus(secs(expected));
        }
        lane.accepted(now, 7);
        assert_eq!(lane.refused(now, 8, None).unwrap().until.since(now), secs(3_600), "it left before the last pause");
        let now = now.plus(secs(3_600));
        lane.accepted(now, 9);
        assert_eq!(lane.refused(now, 9, None).unwrap().until.since(now), secs(60));
    }

    #[rstest]
    #[case::at_once(0, 1)]
    #[case::as_told(90, 90)]
    #[case::not_for_years(1_000_000, 3_600)]
    fn a_pause_is_bounded(#[case] asked: u64, #[case] pause: u64) {
        assert_eq!(lane().refused(NOW, 0, Some(secs(asked))).unwrap().until, NOW.plus(secs(pause)));
    }

    #[test]
    fn the_pace_halves_with_each_pause_and_grows_back_in_steps() {
        let mut lane = lane();
        for n in 0..20 {
            lane.refused(NOW, n, Some(secs(1)));
        }
        assert_eq!(lane.pace_per_sec(), 0.1, "a hundredth is the least");
        let mut now = NOW.plus(secs(2));
        for _ in 0..30 {
            now = now.plus(secs(1));
            lane.accepted(now, 20);
            lane.accepted(now, 20);
        }
        assert!((lane.pace_per_sec() - 5.1).abs() < 1e-9, "{}", lane.pace_per_sec());
        for _ in 0..60 {
            now = now.plus(secs(1));
            lane.accepted(now, 20);
        }
        assert_eq!(lane.pace_per_sec(), 10.0);
    }
}
