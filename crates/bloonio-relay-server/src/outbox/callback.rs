//! One callback: where it goes, and one attempt to bring it there.

use std::time::Duration;

use bloonio_wire::callback::Flow;
use bloonio_wire::clock::Timestamp;
use bloonio_wire::secret::Secret;
use bloonio_wire::sign::{self, Signature};
use bloonio_wire::{header, webhook};
use http::HeaderMap;
use reqwest::{Response, StatusCode};

use crate::net::client::CallbackClient;
use crate::net::guard::{GuardError, Refused};
use crate::service::tenant::TenantConfig;
use crate::storage::delivery::{Claimed, Met};
use crate::telemetry::trace;

/// So much of an answer is read, to keep its connection usable; none of it is looked at (SECURITY, "Outbound").
const MAX_ANSWER: usize = 4096;
/// And no longer than this: the verdict stands with the status.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// What an attempt is noted with that could not be signed, and so was not made.
pub const UNSIGNED: &str = "relay";

/// Where an event's callback goes (PROTOCOL 9.5): the address given with the prompt, else the tenant's base and the flow;
/// nowhere if it has neither.
pub fn target(config: &TenantConfig, given: Option<&str>, flow: Flow) -> Option<String> {
    if let Some(given) = given {
        return Some(given.to_owned());
    }
    let base = config.callback_url_base.as_deref()?;
    let base = base.strip_suffix('/').unwrap_or(base);
    Some(format!("{base}/relay-callbacks/{flow}"))
}

/// The two signatures of an attempt (PROTOCOL 2.5), made anew for each.
#[derive(Debug, Clone)]
pub struct Signed {
    /// When it was signed.
    pub at: Timestamp,
    /// HMAC #1; also what must never be accepted as a call.
    pub hmac: Signature,
    /// Standard Webhooks.
    pub webhook: String,
}

impl Signed {
    /// Signs a delivery's payload as of `at`.
    pub fn new(secret: &Secret, claimed: &Claimed, at: Timestamp) -> Self {
        let body = claimed.payload.as_bytes();
        let webhook = webhook::sign(secret, &claimed.delivery_id, at.as_secs(), body);
        Self { at, hmac: sign::sign(secret, at, body), webhook }
    }
}

/// What a receiver said, or that it said nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Any 2xx.
    Acknowledged(u16),
    /// 410: it wants no more of it.
    Gone,
    /// Anything else.
    Failed(Met),
}

impl Verdict {
    /// What to note for the operator.
    pub fn met(self) -> Met {
        match self {
            Self::Acknowledged(status) => Met { status: Some(status), error: None },
            Self::Gone => Met { status: Some(StatusCode::GONE.as_u16()), error: Some("gone") },
            Self::Failed(met) => met,
        }
    }

    fn failed(error: &'static str) -> Self {
        Self::Failed(Met { status: None, error: Some(error) })
    }
}

/// Sends a delivery once. Never takes much longer than `timeout`, whatever the receiver does.
pub async fn attempt(client: &CallbackClient, claimed: &Claimed, signed: &Signed, timeout: Duration) -> Verdict {
    let url = match client.guard().check_url(&claimed.url) {
        Ok(url) => url,
        Err(GuardError::Address) => return Verdict::failed("address_refused"),
        Err(_) => return Verdict::failed("url_refused"),
    };
    let mut onward = HeaderMap::new();
    trace::inject(&mut onward);
    let request = client
        .for_url(&url)
        .post(url)
        .header(http::header::CONTENT_TYPE, "application/json")
        .header(header::TENANT_ID, claimed.tenant_id.as_str())
        .header(header::TIMESTAMP, signed.at.as_millis())
        .header(header::SIGNATURE, signed.hmac.to_hex())
        .header(header::WEBHOOK_ID, &claimed.delivery_id)
        .header(header::WEBHOOK_TIMESTAMP, signed.at.as_secs())
        .header(header::WEBHOOK_SIGNATURE, &signed.webhook)
        .headers(onward)
        .body(claimed.payload.clone());
    match tokio::time::timeout(timeout, request.send()).await {
        Err(_) => Verdict::failed("timeout"),
        Ok(Err(error)) => Verdict::failed(word_for(&error)),
        Ok(Ok(response)) => {
            let verdict = judge(response.status());
            drain(response).await;
            verdict
        }
    }
}

fn judge(status: StatusCode) -> Verdict {
    match status {
        StatusCode::GONE => Verdict::Gone,
        status if status.is_success() => Verdict::Acknowledged(status.as_u16()),
        status if status.is_redirection() => {
            Verdict::Failed(Met { status: Some(status.as_u16()), error: Some("redirect") })
        }
        status => Verdict::Failed(Met { status: Some(status.as_u16()), error: Some("status") }),
    }
}

/// Reads a short answer to its end, so that its connection can serve again; a long or slow one is cut off with it.
async fn drain(mut response: Response) {
    let short = async {
        let mut read = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            read += chunk.len();
            if read > MAX_ANSWER {
                break;
            }
        }
    };
    // Out of time is as good as read: dropping the answer closes its connection.
    let _ = tokio::time::timeout(ANSWER_TIMEOUT, short).await;
}

fn word_for(error: &reqwest::Error) -> &'static str {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<Refused>() {
            Some(Refused::Guard(_)) => return "address_refused",
            Some(Refused::Lookup(_)) => return "name_not_found",
            None => cause = error.source(),
        }
    }
    match error {
        error if error.is_timeout() => "timeout",
        error if error.is_connect() => "connect",
        _ => "transport",
    }
}
