//! Signs calls, and verifies signed answers.

use std::sync::atomic::{AtomicI64, Ordering};

use bloonio_wire::clock::{Clock, Timestamp};
use bloonio_wire::secret::Secret;
use bloonio_wire::{header, sign, webhook};
use reqwest::header::HeaderMap;

use crate::client::RelayError;

/// The last millisecond signed by this process, whatever the client: no two signatures share one (PROTOCOL 2.3).
static LAST_MILLISECOND: AtomicI64 = AtomicI64::new(i64::MIN);

/// Further ahead than this the last millisecond is not busyness but a clock that was set back; to keep counting from there
/// would leave the relay's window of 30 s.
const MOST_AHEAD_MS: i64 = 15_000;

/// Timestamp and signature of `body`, at the next free millisecond.
pub(super) fn sign_next(secret: &Secret, clock: &dyn Clock, body: &[u8]) -> (String, String) {
    let at = next_millisecond(&LAST_MILLISECOND, clock.now());
    (at.as_millis().to_string(), sign::sign(secret, at, body).to_hex())
}

fn next_millisecond(last: &AtomicI64, now: Timestamp) -> Timestamp {
    let now = now.as_millis();
    let after = |last: i64| if last < now || last - now > MOST_AHEAD_MS { now } else { last + 1 };
    let taken = last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(after(last)));
    Timestamp::from_millis(taken.map_or(now, after))
}

/// Verifies the Standard Webhooks headers of an answer (SECURITY, "What counts as approved").
pub(super) fn verify_answer(
    secret: &Secret,
    now: Timestamp,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(), RelayError> {
    let only = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let value = values.next().and_then(|value| value.to_str().ok());
        value.filter(|_| values.next().is_none()).ok_or(RelayError::Unreadable("it is not signed"))
    };
    let seconds = sign::parse_timestamp(only(header::WEBHOOK_TIMESTAMP)?)
        .map_err(|_| RelayError::Unreadable("it is not signed"))?;
    if seconds.abs_diff(now.as_secs()) > 30 {
        return Err(RelayError::Unreadable("it was signed at another time"));
    }
    webhook::verify(secret, only(header::WEBHOOK_ID)?, seconds, body, only(header::WEBHOOK_SIGNATURE)?)
        .map_err(|_| RelayError::Unreadable("its signature does not match"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_signatures_share_a_millisecond() {
        let last = AtomicI64::new(i64::MIN);
        let at = |ms| next_millisecond(&last, Timestamp::from_millis(ms)).as_millis();
        assert_eq!([at(1000), at(1000), at(1000), at(1001), at(2000)], [1000, 1001, 1002, 1003, 2000]);
    }

    #[test]
    fn a_clock_that_was_set_back_is_believed() {
        let last = AtomicI64::new(1_000_000);
        let at = |ms| next_millisecond(&last, Timestamp::from_millis(ms)).as_millis();
        assert_eq!([at(990_000), at(900_000)], [1_000_001, 900_000]);
    }
}
