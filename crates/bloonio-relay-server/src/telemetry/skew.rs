//! An alarm for clocks (ATTACKS A95): signatures and expiry are judged by this machine's, so it must not be moved silently.
//!
//! Time as it passes is compared with the clock on the wall. They part when somebody sets the clock, when a virtual machine
//! sleeps, or when the clock is stepped instead of slewed.

use std::time::Duration;

use bloonio_wire::clock::Timestamp;
use http::HeaderMap;
use http::header::DATE;
use jiff::fmt::rfc2822::DateTimeParser;
use tokio::time::Instant;

use super::metrics::{CLOCK_JUMPS, CLOCK_SKEW};

/// Differences below this are noise of reading two clocks, or slewing.
const TOLERANCE: Duration = Duration::from_secs(2);

/// Clocks that differ by more make machines refuse each other's signatures.
pub const MOST_SKEW: Duration = Duration::from_secs(5);

/// A date counts whatever weekday it claims to be.
const HTTP_DATE: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);

/// Another machine whose clock is seen in passing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Google's token endpoint, about once an hour.
    Google,
    /// The database's server.
    Database,
}

impl Peer {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Google => "google",
            Self::Database => "database",
        }
    }

    /// Notes what its clock said when ours said `ours`; an alarm if the two differ by more than [`MOST_SKEW`].
    pub fn says(self, theirs: Timestamp, ours: Timestamp) -> bool {
        let ahead_ms = theirs.as_millis().saturating_sub(ours.as_millis());
        metrics::gauge!(CLOCK_SKEW, "peer" => self.as_str()).set(ahead_ms as f64 / 1000.0);
        let differs = u128::from(ahead_ms.unsigned_abs()) > MOST_SKEW.as_millis();
        if differs {
            tracing::warn!(
                peer = self.as_str(),
                ahead_ms,
                "clocks differ: signatures and expiry are judged by this machine's"
            );
        }
        differs
    }
}

/// The `Date` of an answer, which has whole seconds.
pub fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let date = HTTP_DATE.parse_timestamp(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(Timestamp::from_millis(date.as_millisecond()))
}

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
    #[case(0, false)]
    #[case(5_000, false)]
    #[case(-5_000, false)]
    #[case(5_001, true)]
    #[case(-60_000, true)]
    fn a95_a_peer_whose_clock_differs_raises_an_alarm(#[case] ahead: i64, #[case] alarm: bool) {
        let ours = 1_800_000_000_000;
        assert_eq!(Peer::Google.says(Timestamp::from_millis(ours + ahead), Timestamp::from_millis(ours)), alarm);
    }

    #[rstest]
    #[case(Some("Fri, 15 Jan 2027 08:00:00 GMT"), Some(1_800_000_000_000))]
    #[case(Some("soon"), None)]
    #[case(None, None)]
    fn the_date_of_an_answer_is_read_or_left_alone(#[case] text: Option<&str>, #[case] millis: Option<i64>) {
        let headers = text.map(|text| (DATE, text.parse().unwrap())).into_iter().collect();
        assert_eq!(date(&headers), millis.map(Timestamp::from_millis));
    }

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
