//! The body of FCM's refusals: `{"error": {code, message, status, details: [{"@type": …}]}}`.

use std::time::Duration;

use serde_json::Value;

use super::wait;

const FCM_ERROR: &str = "google.firebase.fcm.v1.FcmError";
const BAD_REQUEST: &str = "google.rpc.BadRequest";
const QUOTA_FAILURE: &str = "google.rpc.QuotaFailure";
const RETRY_INFO: &str = "google.rpc.RetryInfo";
/// How FCM's own message calls an address that it cannot read.
const NOT_AN_ADDRESS: &str = "not a valid FCM registration token";

/// What a refusal says beyond its status.
pub(super) struct Details(Value);

impl Details {
    /// Reads a body; whatever is not as expected is as if it were not there.
    pub(super) fn parse(body: &[u8]) -> Self {
        let mut body: Value = serde_json::from_slice(body).unwrap_or_default();
        Self(body.get_mut("error").map(Value::take).unwrap_or_default())
    }

    fn of_type<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        let all = self.0.get("details").and_then(Value::as_array).into_iter().flatten();
        all.filter(move |detail| {
            let url = detail.get("@type").and_then(Value::as_str).unwrap_or_default();
            url.rsplit('/').next() == Some(name)
        })
    }

    /// Whether an `FcmError` with this code is among the details.
    pub(super) fn error_code_is(&self, code: &str) -> bool {
        self.of_type(FCM_ERROR).any(|detail| detail.get("errorCode").and_then(Value::as_str) == Some(code))
    }

    /// Whether the refusal names the address, and it alone, as what is wrong with the message.
    pub(super) fn blame_the_address(&self) -> bool {
        let violations =
            self.of_type(BAD_REQUEST).filter_map(|detail| detail.get("fieldViolations")?.as_array()).flatten();
        let mut fields = violations.map(|violation| violation.get("field").and_then(Value::as_str).unwrap_or_default());
        match fields.next() {
            Some(first) => is_address(first) && fields.all(is_address),
            None => self.0.get("message").and_then(Value::as_str).is_some_and(|text| text.contains(NOT_AN_ADDRESS)),
        }
    }

    /// Whether every quota that was exceeded is one device's own. Google does not say how it words that; anything doubtful
    /// is taken for the project's quota, which costs a pause and no more.
    pub(super) fn blame_the_device(&self) -> bool {
        let violations =
            self.of_type(QUOTA_FAILURE).filter_map(|detail| detail.get("violations")?.as_array()).flatten();
        let mut violations = violations.peekable();
        violations.peek().is_some() && violations.all(speaks_of_a_device)
    }

    /// The delay of a `RetryInfo`.
    pub(super) fn retry_delay(&self) -> Option<Duration> {
        self.of_type(RETRY_INFO).filter_map(|detail| wait::proto_duration(detail.get("retryDelay")?.as_str()?)).max()
    }
}

fn speaks_of_a_device(violation: &Value) -> bool {
    let texts = ["subject", "description"].into_iter().filter_map(|name| violation.get(name)?.as_str());
    texts.map(str::to_ascii_lowercase).any(|text| text.contains("device"))
}

fn is_address(field: &str) -> bool {
    matches!(field, "message.token" | "message.fid")
}
