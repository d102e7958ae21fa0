//! An alarm for clocks (ATTACKS A95): signatures and expiry are judged by this machine's, so it must not be moved silently.
//!
//! Time as it passes is compared with the clock on the wall. They part when somebody sets the clock, when a virtual machine
//! sleeps, or when the clock is stepped instead of slewed.

use std::time::Duration;

use bloonio_wire::clock::Timestamp;
use tokio::time::Instant;

use super::metrics::CLOCK_JUMPS;

/// Differences below this are noise of reading two clocks, or slewing.
const TOLERANCE: Duration = Duration::from_secs(2);

/// Compares two looks at both clocks.
#[derive(Debug, Default)]
pub struct ClockWatch {
    last: Option<(Instant, Timestamp)>,
}

impl ClockWatch {
    /// Looks at the wall clock, which says `wall`, while `passing` is the time that passes. A jump since the last look is
    /// logged and counted, and its length given in milliseconds: positive if the wall clock ran ahead.
    pub fn look(&mut self, passing: Instant, wall: Timestamp) -> Option<i64> {
        let (then, wall_then) = self.last.replace((passing, wall))?;
        let passed = i64::try_from(passing.duration_since(then).as_millis()).unwrap_or(i64::MAX);
        let jump = (wall.as_millis() - wall_then.as_millis()).saturating_sub(passed);
        if u128::from(jump.unsigned_abs()) < TOLERANCE.as_millis() {
            return None;
        }
        metrics::counter!(CLOCK_JUMPS).increment(1);
        tracing::warn!(
            jump_ms = jump,
            "the system's clock has jumped: signatures are refused and prompts expire by it; is it synchronised?"
        );
        Some(jump)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::steady(30_000, 30_000, None)]
    #[case::slewed(30_000, 31_900, None)]
    #[case::ahead(30_000, 90_000, Some(60_000))]
    #[case::back(30_000, -3_570_000, Some(-3_600_000))]
    #[case::asleep(10, 28_800_000, Some(28_799_990))]
    #[tokio::test]
    async fn a95_a_clock_that_jumps_raises_an_alarm(#[case] passed: u64, #[case] wall: i64, #[case] jump: Option<i64>) {
        let (mut watch, now, start) = (ClockWatch::default(), Instant::now(), 1_800_000_000_000);
        assert_eq!(watch.look(now, Timestamp::from_millis(start)), None);
        let later = now + Duration::from_millis(passed);
        assert_eq!(watch.look(later, Timestamp::from_millis(start + wall)), jump);
        // What has jumped once is the new truth, not a new jump.
        let steady = later + Duration::from_secs(30);
        assert_eq!(watch.look(steady, Timestamp::from_millis(start + wall + 30_000)), None);
    }
}
