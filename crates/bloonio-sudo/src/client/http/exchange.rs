//! One exchange with the relay: signed, bounded in time and size, and made once more where that is safe.

use std::time::Duration;

use bloonio_wire::challenge::PushReceipt;
use bloonio_wire::code::ErrorCode;
use bloonio_wire::envelope::FieldProblem;
use bloonio_wire::field::parse_body;
use bloonio_wire::header;
use bloonio_wire::message::SignedRequest;
use bloonio_wire::random::RandomError;
use bytes::{Bytes, BytesMut};
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use serde_json::Value;
use url::Url;

use super::{HttpRelayClient, signing};
use crate::client::{Method, RelayCall, RelayError, Repeat};

/// No answer of the relay is nearly so long.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// How long a relay that refused the connection is left alone: it may be starting anew.
const PAUSE: Duration = Duration::from_millis(200);

/// An answer of the relay, read to its end.
pub(super) struct Answered {
    status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Copy)]
enum Failure {
    /// Nothing has left this machine.
    NotConnected,
    /// The call may have arrived.
    MidExchange,
    /// What came was too long to be an answer.
    TooLong,
    /// A header that cannot be written.
    Unsendable,
    /// The machine has no randomness for a nonce.
    Unsignable,
}

impl From<Failure> for RelayError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotConnected => Self::Unreachable("no connection"),
            Failure::MidExchange => Self::Unreachable("the exchange broke off"),
            Failure::TooLong => Self::Unreadable("it is too long"),
            Failure::Unsendable => Self::Unsendable("its poll token is no header value"),
            Failure::Unsignable => Self::Unsendable("the system's random source failed"),
        }
    }
}

impl HttpRelayClient {
    /// The whole exchange under one deadline, made once more where that is safe.
    pub(super) async fn exchange(&self, call: &RelayCall) -> Result<Answered, RelayError> {
        let answered = tokio::time::timeout(self.timeout + call.wait(), self.attempts(call))
            .await
            .map_err(|_| RelayError::Unreachable("no answer in time"))??;
        match answered.rejection() {
            Some(rejection) => Err(rejection),
            None => Ok(answered),
        }
    }

    async fn attempts(&self, call: &RelayCall) -> Result<Answered, Failure> {
        let first = self.attempt(call).await;
        let again = match &first {
            // Nothing was done: the relay takes it for a replay (PROTOCOL 2.3).
            Ok(answered) => answered.code() == Some(ErrorCode::RequestReplayed),
            Err(Failure::NotConnected) if call.repeat() != Repeat::Never => {
                tokio::time::sleep(PAUSE).await;
                true
            }
            Err(Failure::MidExchange) => call.repeat() == Repeat::Safe,
            Err(_) => false,
        };
        if again { self.attempt(call).await } else { first }
    }

    /// One try, freshly signed.
    async fn attempt(&self, call: &RelayCall) -> Result<Answered, Failure> {
        let url = self.url(call);
        let method = match call.method() {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
        };
        let signed = self.sign(call, &url)?;
        let mut request = self.http.request(method, url);
        for (name, value) in signed {
            request = request.header(name, value);
        }
        if let Some(token) = call.poll_token() {
            let mut value = HeaderValue::from_str(token.expose()).map_err(|_| Failure::Unsendable)?;
            value.set_sensitive(true);
            request = request.header(header::QR_POLL_TOKEN, value);
        }
        if !call.body().is_empty() {
            request = request.header(CONTENT_TYPE, "application/json").body(call.body().clone());
        }
        let response = request.send().await.map_err(|error| failure(&error))?;
        read(response).await
    }

    /// The signing headers of a try. Path and query are signed as they will stand in the request line.
    fn sign(&self, call: &RelayCall, url: &Url) -> Result<Vec<(&'static str, String)>, Failure> {
        let request = SignedRequest {
            method: call.method().as_str(),
            path: url.path(),
            query: url.query(),
            tenant_id: &self.tenant_id,
            body: call.body(),
        };
        signing::sign_next(&self.secret, self.clock.as_ref(), self.random.as_ref(), &request)
            .map_err(|RandomError| Failure::Unsignable)
    }

    fn url(&self, call: &RelayCall) -> Url {
        let mut url = self.base_url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/api/v1/relay/{}", call.path()));
        if !call.query().is_empty() {
            url.query_pairs_mut().extend_pairs(call.query());
        }
        url
    }
}

impl Answered {
    /// The `data` of an answer that says that it succeeded. A key that is given twice makes it no answer at all.
    pub(super) fn data(&self) -> Result<Value, RelayError> {
        match parse_body(&self.body) {
            Ok(mut envelope) if envelope["success"] == Value::Bool(true) => Ok(envelope["data"].take()),
            _ => Err(RelayError::Unreadable("it is not of the protocol")),
        }
    }

    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The code of a refusal.
    fn code(&self) -> Option<ErrorCode> {
        if self.is_success() { None } else { self.json()["error"].as_str().and_then(ErrorCode::from_name) }
    }

    /// The refusal in an answer that is none of 2xx. A redirect counts: nothing was done.
    fn rejection(&self) -> Option<RelayError> {
        if self.is_success() {
            return None;
        }
        let (code, mut body) = (self.code(), self.json());
        if code == Some(ErrorCode::ValidationFailed) {
            let details = serde_json::from_value::<Vec<FieldProblem>>(body["details"].take());
            return Some(RelayError::Invalid(details.unwrap_or_default()));
        }
        if code == Some(ErrorCode::PushNotDelivered)
            && let Ok(receipt) = serde_json::from_value::<PushReceipt>(body["data"].take())
        {
            return Some(RelayError::Undelivered(Box::new(receipt)));
        }
        let seconds = self.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Some(RelayError::Rejected { status: self.status, code, retry_after: seconds.map(Duration::from_secs) })
    }
}

async fn read(mut response: Response) -> Result<Answered, Failure> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(Failure::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answered { status, headers, body: body.freeze() })
}

/// What went wrong, without the address that reqwest's own texts hold.
fn failure(error: &reqwest::Error) -> Failure {
    if error.is_connect() { Failure::NotConnected } else { Failure::MidExchange }
}
