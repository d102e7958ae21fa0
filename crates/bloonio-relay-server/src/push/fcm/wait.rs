//! How long the other side asks us to wait.

use std::time::Duration;

use bloonio_wire::clock::Timestamp;
use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::fmt::rfc2822::DateTimeParser;

/// No answer can make us wait longer than this; a push is dead by then anyway.
pub(super) const LONGEST: Duration = Duration::from_secs(3_600);

/// A date counts whatever weekday it claims to be.
const HTTP_DATE: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);

/// `Retry-After`, in seconds or as an HTTP-date. What cannot be read counts as absent, what has passed as zero.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // Digits that do not fit are a very long time.
        return Some(text.parse().map_or(LONGEST, Duration::from_secs).min(LONGEST));
    }
    let until = HTTP_DATE.parse_timestamp(text).ok()?;
    Some(Timestamp::from_millis(until.as_millisecond()).since(now).min(LONGEST))
}

/// A duration as protobuf writes it in JSON: decimal seconds and an `s`.
pub(super) fn proto_duration(text: &str) -> Option<Duration> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    (seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST))
}
