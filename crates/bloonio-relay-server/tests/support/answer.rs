//! What came back.

use axum::body::Body;
use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use serde_json::Value;

/// Status, headers and JSON body of an answer.
#[derive(Debug, Clone)]
pub struct TestAnswer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body; `null` if it is not JSON.
    pub body: Value,
    /// The body as text.
    pub text: String,
}

impl TestAnswer {
    /// Reads a response to its end.
    pub async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("body").to_bytes();
        Self {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    /// A header's value, empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// `data` of a success.
    #[track_caller]
    pub fn data(&self) -> &Value {
        assert_eq!(self.body["success"], true, "{self:?}");
        assert_eq!(self.body["status_code"], self.status, "{self:?}");
        &self.body["data"]
    }

    /// The stable code of a refusal.
    pub fn error(&self) -> &str {
        self.body["error"].as_str().unwrap_or_default()
    }

    /// Asserts status, code and envelope of a refusal.
    #[track_caller]
    pub fn expect_error(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.error()), (status, code), "{self:?}");
        assert_eq!(self.body["success"], false, "{self:?}");
        assert_eq!(self.body["status_code"], status, "{self:?}");
        assert!(self.body["message"].is_string() && self.body.as_object().unwrap().contains_key("data"), "{self:?}");
        assert!(!self.header("x-request-id").is_empty(), "{self:?}");
    }

    /// The fields named in `details`, in their order.
    pub fn fields(&self) -> Vec<&str> {
        let details = self.body["details"].as_array().map(Vec::as_slice).unwrap_or_default();
        details.iter().filter_map(|detail| detail["field"].as_str()).collect()
    }
}
