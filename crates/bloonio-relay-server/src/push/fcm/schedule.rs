//! When a push is tried again (PUSH.md 1.6).

use std::time::Duration;

use bloonio_wire::clock::Timestamp;

/// Attempts of one push in all.
pub const MAX_ATTEMPTS: u32 = 5;
/// The wait after the first attempt; it doubles from there.
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// A prompt with less life than this is not worth a push: nobody could answer it.
const LEAST_LIFE: Duration = Duration::from_secs(5);

/// How long after `now` the next attempt comes, or `None` if there is none.
///
/// `attempt` counts the attempts made so far, from 1. The waits are 10, 20, 40 … s, each times `jitter` (held within
/// 0.8 and 1.2), and never shorter than `retry_after`. There is no attempt that would come with less than 5 s of the
/// prompt's life left, and none after [`MAX_ATTEMPTS`].
pub fn next_attempt(
    attempt: u32,
    now: Timestamp,
    expires_at: Timestamp,
    retry_after: Option<Duration>,
    jitter: f64,
) -> Option<Duration> {
    if attempt >= MAX_ATTEMPTS {
        return None;
    }
    let jitter = if jitter.is_nan() { 1.0 } else { jitter.clamp(0.8, 1.2) };
    let doubled = FIRST_WAIT * 2u32.pow(attempt.saturating_sub(1));
    let wait = doubled.mul_f64(jitter).max(retry_after.unwrap_or_default());
    (expires_at.since(now.plus(wait)) >= LEAST_LIFE).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn wait(attempt: u32, life: u64, retry_after: Option<u64>, jitter: f64) -> Option<u128> {
        let retry_after = retry_after.map(Duration::from_secs);
        let wait = next_attempt(attempt, NOW, NOW.plus(Duration::from_secs(life)), retry_after, jitter);
        wait.map(|wait| wait.as_millis())
    }

    #[rstest]
    #[case::after_the_first(1, 10_000)]
    #[case::after_the_second(2, 20_000)]
    #[case::after_the_third(3, 40_000)]
    #[case::after_the_fourth(4, 80_000)]
    fn waits_double(#[case] attempt: u32, #[case] millis: u128) {
        assert_eq!(wait(attempt, 600, None, 1.0), Some(millis));
    }

    #[test]
    fn there_are_five_attempts_at_most() {
        assert_eq!(wait(5, 600, None, 1.0), None);
        assert_eq!(wait(u32::MAX, 600, Some(1), 1.0), None);
    }

    #[rstest]
    #[case::least(0.8, 8_000)]
    #[case::most(1.2, 12_000)]
    #[case::less_than_that(0.0, 8_000)]
    #[case::more_than_that(9.0, 12_000)]
    #[case::no_number(f64::NAN, 10_000)]
    fn jitter_stays_within_a_fifth(#[case] jitter: f64, #[case] millis: u128) {
        assert_eq!(wait(1, 600, None, jitter), Some(millis));
    }

    #[rstest]
    #[case::longer_than_ours(60, 60_000)]
    #[case::shorter_than_ours(1, 10_000)]
    fn never_earlier_than_asked(#[case] asked: u64, #[case] millis: u128) {
        assert_eq!(wait(1, 600, Some(asked), 1.0), Some(millis));
    }

    #[rstest]
    #[case::five_seconds_are_left(15, Some(10_000))]
    #[case::less_is_left(14, None)]
    #[case::over(0, None)]
    fn a_prompt_about_to_end_is_left_alone(#[case] life: u64, #[case] millis: Option<u128>) {
        assert_eq!(wait(1, life, None, 1.0), millis);
    }

    #[test]
    fn a_wait_longer_than_the_prompts_life_means_no_attempt() {
        assert_eq!(wait(1, 120, Some(3_600), 1.0), None);
    }
}
