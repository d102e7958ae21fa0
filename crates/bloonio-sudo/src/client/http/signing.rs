//! Signs calls, and verifies signed answers.

use std::sync::atomic::{AtomicI64, Ordering};

use bloonio_wire::clock::{Clock, Timestamp};
use bloonio_wire::message::{self, Nonce, SignedRequest};
use bloonio_wire::random::{Random, RandomError};
use bloonio_wire::secret::Secret;
use bloonio_wire::{header, sign, webhook};
use reqwest::header::HeaderMap;

use crate::client::RelayError;

/// The last millisecond signed by this process, whatever the client: no two signatures share one (PROTOCOL 2.3).
static LAST_MILLISECOND: AtomicI64 = AtomicI64::new(i64::MIN);

/// Further ahead than this the last millisecond is not busyness but a clock that was set back; to keep counting from there
/// would leave the relay's window of 30 s.
const MOST_AHEAD_MS: i64 = 15_000;

/// The headers that sign `request` in both ways, HMAC #1 and as an HTTP message (PROTOCOL 2.1, 2.2), at the next free
/// millisecond.
///
/// # Errors
/// [`RandomError`]: there is no nonce to be had.
pub(super) fn sign_next(
    secret: &Secret,
    clock: &dyn Clock,
    random: &dyn Random,
    request: &SignedRequest<'_>,
) -> Result<Vec<(&'static str, String)>, RandomError> {
    let at = next_millisecond(&LAST_MILLISECOND, clock.now());
    let message = message::sign(secret, request, at, &Nonce::draw(random)?);
    let mut headers = vec![
        (header::TENANT_ID, request.tenant_id.as_str().to_owned()),
        (header::TIMESTAMP, at.as_millis().to_string()),
        (header::SIGNATURE, sign::sign(secret, at, request.body).to_hex()),
        (header::MESSAGE_SIGNATURE_INPUT, message.signature_input),
        (header::MESSAGE_SIGNATURE, message.signature),
    ];
    headers.extend(message.content_digest.map(|digest| (header::CONTENT_DIGEST, digest)));
    Ok(headers)
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
