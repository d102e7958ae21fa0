//! What FCM's refusals mean (PUSH.md 1.5): for the address, and for another try.
//!
//! Details are found by their `@type`, never by their place; a body that is no JSON, such as a proxy's page in HTML, counts
//! as one without details. An address is lost on two answers only, both of which name the address itself. Everything else,
//! a bare 404 or 400 above all, says something about us or about FCM, and keeps it.

use std::time::Duration;

use bloonio_wire::clock::Timestamp;
use http::HeaderMap;

use super::detail::Details;
use super::wait;
use crate::push::{AddressVerdict, Retry};

/// FCM's wish where it gives none with a 429.
const QUOTA_WAIT: Duration = Duration::from_secs(60);
/// Its front end asks for this in the page that comes with a 502.
const FRONT_END_WAIT: Duration = Duration::from_secs(30);

/// Why a message was not accepted, or why we cannot know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// 404 with `UNREGISTERED`: the app is gone from the device, or its address was replaced.
    Unregistered,
    /// 400 that names the address: it never was one.
    MalformedAddress,
    /// Any other 4xx: we sent something wrong.
    OurBug,
    /// 401 with `THIRD_PARTY_AUTH_ERROR`: the project's own key for Apple or a browser vendor is bad, not our token.
    ThirdPartyAuth,
    /// 401 otherwise: our access token, even a fresh one.
    AccessTokenRejected,
    /// 403 with `SENDER_ID_MISMATCH`: an address of another project, or our key file is.
    SenderIdMismatch,
    /// 403 otherwise: the interface is off, or the account lacks the role.
    PermissionDenied,
    /// 404 without `UNREGISTERED`: wrong project, a proxy, a wrong URL. It says nothing about the device.
    NotFoundBare,
    /// 429: too many messages of the project.
    QuotaExceeded,
    /// 429 with a `QuotaFailure` that names the device: too many messages to this one.
    DeviceQuotaExceeded,
    /// 500, and 5xx that nobody has explained.
    Internal,
    /// 502, 503, 504.
    Unavailable,
    /// No answer, or not all of it.
    Network {
        /// Whether the message may have reached FCM, and so the device.
        sent: bool,
    },
    /// An answer that is neither an acceptance nor a refusal in FCM's language; the message may have been accepted.
    BadAnswer,
    /// There is no access token to send with: the token endpoint is away or hangs. Nothing was sent.
    TokenUnavailable,
    /// The token endpoint refuses the service account. Nothing was sent; somebody has to act.
    AccountRefused,
}

/// A message that FCM did not take, as far as we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("push not accepted: {}", .cause.name())]
pub struct SendError {
    /// Why.
    pub cause: Cause,
    /// How long FCM asks to wait before another try, at most an hour; with a 429 it may leave that to us.
    pub retry_after: Option<Duration>,
}

impl Cause {
    /// A short, stable word for statuses and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unregistered => "unregistered",
            Self::MalformedAddress => "malformed_address",
            Self::OurBug => "message_refused",
            Self::ThirdPartyAuth => "third_party_auth",
            Self::AccessTokenRejected => "access_token_rejected",
            Self::SenderIdMismatch => "sender_id_mismatch",
            Self::PermissionDenied => "permission_denied",
            Self::NotFoundBare => "not_found",
            Self::QuotaExceeded => "quota_exceeded",
            Self::DeviceQuotaExceeded => "device_quota_exceeded",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::Network { sent: false } => "unreachable",
            Self::Network { sent: true } => "no_answer",
            Self::BadAnswer => "bad_answer",
            Self::TokenUnavailable => "token_unavailable",
            Self::AccountRefused => "account_refused",
        }
    }
}

impl SendError {
    /// An error that comes without a wish to wait.
    pub(super) const fn of(cause: Cause) -> Self {
        Self { cause, retry_after: None }
    }

    /// Judges an answer that is no acceptance.
    ///
    /// `body` may be anything; `now` is needed for a `Retry-After` that names a date.
    pub fn classify(status: u16, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Self {
        let details = Details::parse(body);
        let cause = match status {
            400 if details.error_code_is("INVALID_ARGUMENT") && details.blame_the_address() => Cause::MalformedAddress,
            401 if details.error_code_is("THIRD_PARTY_AUTH_ERROR") => Cause::ThirdPartyAuth,
            401 => Cause::AccessTokenRejected,
            403 if details.error_code_is("SENDER_ID_MISMATCH") => Cause::SenderIdMismatch,
            403 => Cause::PermissionDenied,
            404 if details.error_code_is("UNREGISTERED") => Cause::Unregistered,
            404 => Cause::NotFoundBare,
            429 if details.blame_the_device() => Cause::DeviceQuotaExceeded,
            429 => Cause::QuotaExceeded,
            502..=504 => Cause::Unavailable,
            500..=599 => Cause::Internal,
            400..=499 => Cause::OurBug,
            _ => Cause::BadAnswer,
        };
        let usual = (status == 502).then_some(FRONT_END_WAIT);
        // The longer of two wishes serves both.
        let asked = wait::retry_after(headers, now).max(details.retry_delay());
        Self { cause, retry_after: asked.or(usual) }
    }

    /// What this says about the address.
    pub const fn address_verdict(&self) -> AddressVerdict {
        match self.cause {
            Cause::Unregistered | Cause::MalformedAddress => AddressVerdict::Dead,
            Cause::SenderIdMismatch => AddressVerdict::Quarantine,
            _ => AddressVerdict::Keep,
        }
    }

    /// Whether another try makes sense.
    pub const fn retry(&self) -> Retry {
        match (self.cause, self.retry_after) {
            // Even a fresh token was refused, unless the client says that it could not get one yet.
            (Cause::AccessTokenRejected, None)
            | (
                Cause::Unregistered
                | Cause::MalformedAddress
                | Cause::OurBug
                | Cause::ThirdPartyAuth
                | Cause::SenderIdMismatch
                | Cause::PermissionDenied
                | Cause::NotFoundBare
                | Cause::AccountRefused,
                _,
            ) => Retry::Never,
            (_, Some(wait)) => Retry::NotBefore(wait),
            (Cause::QuotaExceeded | Cause::DeviceQuotaExceeded, None) => Retry::NotBefore(QUOTA_WAIT),
            (_, None) => Retry::Backoff,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http::header::RETRY_AFTER;
    use rstest::rstest;
    use serde_json::{Value, json};

    const NOW: Timestamp = Timestamp::from_secs(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT

    fn classify(status: u16, retry_after: Option<&str>, body: &[u8]) -> SendError {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
        }
        SendError::classify(status, &headers, body, NOW)
    }

    fn refusal(message: &str, details: &[Value]) -> Vec<u8> {
        json!({"error": {"code": 0, "message": message, "status": "", "details": details}}).to_string().into_bytes()
    }

    fn fcm(code: &str) -> Value {
        json!({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code})
    }

    fn violation(fields: &[&str]) -> Value {
        let violations: Vec<_> = fields.iter().map(|field| json!({"field": field, "description": "bad"})).collect();
        json!({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations})
    }

    fn retry_info(delay: &str) -> Value {
        json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    }

    fn quota_failure(subjects: &[&str]) -> Value {
        let violations: Vec<_> = subjects.iter().map(|subject| json!({"subject": subject})).collect();
        json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations})
    }

    const KEEP: AddressVerdict = AddressVerdict::Keep;
    const DEAD: AddressVerdict = AddressVerdict::Dead;
    const QUARANTINE: AddressVerdict = AddressVerdict::Quarantine;
    const SIXTY: Retry = Retry::NotBefore(Duration::from_secs(60));
    const THIRTY: Retry = Retry::NotBefore(Duration::from_secs(30));

    #[rstest]
    #[case(400, refusal("", &[fcm("INVALID_ARGUMENT"), violation(&["message.token"])]), Cause::MalformedAddress, DEAD, Retry::Never)]
    #[case(400, refusal("", &[violation(&["message.fid"]), fcm("INVALID_ARGUMENT")]), Cause::MalformedAddress, DEAD, Retry::Never)]
    #[case(400, refusal("The registration token is not a valid FCM registration token", &[fcm("INVALID_ARGUMENT")]), Cause::MalformedAddress, DEAD, Retry::Never)]
    #[case(400, refusal("", &[fcm("INVALID_ARGUMENT"), violation(&["message.data[0].value"])]), Cause::OurBug, KEEP, Retry::Never)]
    #[case(400, refusal("", &[fcm("INVALID_ARGUMENT"), violation(&["message.token", "message.android.ttl"])]), Cause::OurBug, KEEP, Retry::Never)]
    #[case(400, refusal("", &[violation(&["message.token"])]), Cause::OurBug, KEEP, Retry::Never)]
    #[case(400, refusal("Request contains an invalid argument.", &[]), Cause::OurBug, KEEP, Retry::Never)]
    #[case(400, refusal("The registration token is not a valid FCM registration token", &[]), Cause::OurBug, KEEP, Retry::Never)]
    #[case(400, refusal("", &[fcm("UNREGISTERED")]), Cause::OurBug, KEEP, Retry::Never)]
    #[case(401, refusal("", &[fcm("THIRD_PARTY_AUTH_ERROR")]), Cause::ThirdPartyAuth, KEEP, Retry::Never)]
    #[case(401, refusal("", &[]), Cause::AccessTokenRejected, KEEP, Retry::Never)]
    #[case(403, refusal("", &[fcm("SENDER_ID_MISMATCH")]), Cause::SenderIdMismatch, QUARANTINE, Retry::Never)]
    #[case(403, refusal("", &[]), Cause::PermissionDenied, KEEP, Retry::Never)]
    #[case(404, refusal("", &[fcm("UNREGISTERED")]), Cause::Unregistered, DEAD, Retry::Never)]
    #[case(404, refusal("Requested entity was not found.", &[]), Cause::NotFoundBare, KEEP, Retry::Never)]
    #[case(404, refusal("", &[fcm("SOMETHING_NEW")]), Cause::NotFoundBare, KEEP, Retry::Never)]
    #[case(429, refusal("", &[fcm("QUOTA_EXCEEDED")]), Cause::QuotaExceeded, KEEP, SIXTY)]
    #[case(429, refusal("", &[fcm("QUOTA_EXCEEDED"), quota_failure(&["device:x"])]), Cause::DeviceQuotaExceeded, KEEP, SIXTY)]
    #[case(429, refusal("", &[quota_failure(&["project:x"]), fcm("QUOTA_EXCEEDED")]), Cause::QuotaExceeded, KEEP, SIXTY)]
    #[case(429, refusal("", &[quota_failure(&["device:x", "project:x"])]), Cause::QuotaExceeded, KEEP, SIXTY)]
    #[case(429, refusal("", &[quota_failure(&[])]), Cause::QuotaExceeded, KEEP, SIXTY)]
    #[case(429, b"<html>Too many requests from this device</html>".to_vec(), Cause::QuotaExceeded, KEEP, SIXTY)]
    #[case(500, refusal("", &[fcm("INTERNAL")]), Cause::Internal, KEEP, Retry::Backoff)]
    #[case(502, b"<html>please try again in 30 seconds</html>".to_vec(), Cause::Unavailable, KEEP, THIRTY)]
    #[case(503, refusal("", &[fcm("UNAVAILABLE")]), Cause::Unavailable, KEEP, Retry::Backoff)]
    #[case(504, b"<html></html>".to_vec(), Cause::Unavailable, KEEP, Retry::Backoff)]
    #[case(599, vec![], Cause::Internal, KEEP, Retry::Backoff)]
    #[case(413, vec![], Cause::OurBug, KEEP, Retry::Never)]
    #[case(302, vec![], Cause::BadAnswer, KEEP, Retry::Backoff)]
    fn each_answer_has_one_meaning(
        #[case] status: u16,
        #[case] body: Vec<u8>,
        #[case] cause: Cause,
        #[case] address: AddressVerdict,
        #[case] retry: Retry,
    ) {
        let error = classify(status, None, &body);
        assert_eq!((error.cause, error.address_verdict(), error.retry()), (cause, address, retry));
    }

    #[rstest]
    #[case::html(b"<html><body>404 UNREGISTERED not found</body></html>")]
    #[case::nothing(b"")]
    #[case::cut_off(
        br#"{"error":{"details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"UNREG"#
    )]
    #[case::no_object(b"[]")]
    #[case::error_as_text(br#"{"error":"UNREGISTERED"}"#)]
    #[case::details_null(br#"{"error":{"details":null}}"#)]
    #[case::details_of_anything(
        br#"{"error":{"details":[1,null,"UNREGISTERED",{"@type":3},{"errorCode":"UNREGISTERED"}]}}"#
    )]
    #[case::other_type(
        br#"{"error":{"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","errorCode":"UNREGISTERED"}]}}"#
    )]
    #[case::code_elsewhere(br#"{"error":{"status":"UNREGISTERED","message":"UNREGISTERED"}}"#)]
    #[case::not_utf8(b"\xff\xfe")]
    fn a_404_without_the_detail_never_costs_an_address(#[case] body: &[u8]) {
        let error = classify(404, None, body);
        assert_eq!((error.cause, error.address_verdict()), (Cause::NotFoundBare, KEEP));
    }

    #[test]
    fn details_are_found_in_any_order_and_among_strangers() {
        let stranger = json!({"@type": "type.googleapis.com/google.rpc.Help", "links": []});
        let details = [stranger, violation(&["message.token"]), fcm("UNREGISTERED"), retry_info("1s")];
        assert_eq!(classify(404, None, &refusal("", &details)).cause, Cause::Unregistered);
    }

    #[rstest]
    #[case::seconds("120", Some(120))]
    #[case::zero("0", Some(0))]
    #[case::a_date("Sun, 06 Nov 1994 08:51:37 GMT", Some(120))]
    #[case::a_past_date("Sun, 06 Nov 1994 08:40:00 GMT", Some(0))]
    #[case::far_date("Sun, 06 Nov 2094 08:49:37 GMT", Some(3_600))]
    #[case::huge("99999999", Some(3_600))]
    #[case::more_than_fits("99999999999999999999999999", Some(3_600))]
    #[case::negative("-5", None)]
    #[case::fraction("1.5", None)]
    #[case::garbage("soon", None)]
    #[case::nothing("", None)]
    fn retry_after_is_read_and_bounded(#[case] text: &str, #[case] seconds: Option<u64>) {
        assert_eq!(classify(503, Some(text), b"").retry_after, seconds.map(Duration::from_secs));
    }

    #[rstest]
    #[case::garbage(Some("soon"), 60)]
    #[case::absent(None, 60)]
    #[case::shorter(Some("7"), 7)]
    fn a_429_without_a_readable_wish_waits_a_minute(#[case] text: Option<&str>, #[case] seconds: u64) {
        assert_eq!(classify(429, text, b"").retry(), Retry::NotBefore(Duration::from_secs(seconds)));
    }

    #[rstest]
    #[case::alone(None, "17s", Some(17_000))]
    #[case::fraction(None, "1.5s", Some(1_500))]
    #[case::longer_than_the_header(Some("5"), "17s", Some(17_000))]
    #[case::shorter_than_the_header(Some("30"), "17s", Some(30_000))]
    #[case::negative(None, "-3s", None)]
    #[case::huge(None, "1e300s", Some(3_600_000))]
    #[case::no_number(None, "NaNs", None)]
    #[case::no_unit(None, "17", None)]
    fn retry_info_counts_too(#[case] header: Option<&str>, #[case] delay: &str, #[case] millis: Option<u64>) {
        let error = classify(503, header, &refusal("", &[retry_info(delay)]));
        assert_eq!(error.retry_after, millis.map(Duration::from_millis));
    }

    #[rstest]
    #[case(Cause::Network { sent: true })]
    #[case(Cause::Network { sent: false })]
    #[case(Cause::BadAnswer)]
    #[case(Cause::TokenUnavailable)]
    fn what_is_not_known_is_tried_again_and_keeps_the_address(#[case] cause: Cause) {
        let error = SendError::of(cause);
        assert_eq!((error.retry(), error.address_verdict()), (Retry::Backoff, KEEP));
    }
}
