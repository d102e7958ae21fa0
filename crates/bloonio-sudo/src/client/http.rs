//! The relay over HTTPS: signed calls, one deadline over each whole exchange, capped answers (PROTOCOL 2.1, 2.3).

mod signing;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bloonio_wire::challenge::{AuthChallenge, PushReceipt};
use bloonio_wire::clock::Clock;
use bloonio_wire::code::ErrorCode;
use bloonio_wire::device::{PairingOffer, PreparePairing};
use bloonio_wire::envelope::Success;
use bloonio_wire::header;
use bloonio_wire::id::{InstructionId, TenantId, UserSocketHash};
use bloonio_wire::secret::Secret;
use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Method, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::{Outcome, RelayClient, RelayError, SecurityAlert};
use crate::engine::Event;
use crate::error::BuildError;
use crate::settings::RelaySettings;

/// No answer of the relay is nearly so long.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// Calls the relay over HTTPS.
pub struct HttpRelayClient {
    http: Client,
    base_url: Url,
    tenant_id: TenantId,
    secret: Secret,
    clock: Arc<dyn Clock>,
    timeout: Duration,
}

impl fmt::Debug for HttpRelayClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRelayClient").field("base_url", &self.base_url.as_str()).finish_non_exhaustive()
    }
}

/// An answer of the relay, read to its end.
struct Answered {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl HttpRelayClient {
    /// A client for the relay and tenant of `settings`. It follows no redirects and asks no proxy, whatever the
    /// environment says: a signed call goes to the configured relay or nowhere.
    ///
    /// # Errors
    /// [`BuildError::HttpClient`].
    pub fn new(settings: &RelaySettings, clock: Arc<dyn Clock>) -> Result<Self, BuildError> {
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("bloonio-sudo/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| BuildError::HttpClient(Box::new(error)))?;
        Ok(Self {
            http,
            base_url: settings.base_url.clone(),
            tenant_id: settings.tenant_id.clone(),
            secret: settings.tenant_secret.clone(),
            clock,
            timeout: settings.request_timeout,
        })
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, RelayError> {
        let body = serde_json::to_vec(body).map_err(|_| RelayError::Unreadable("the call is not JSON"))?;
        let answered = self.exchange(Method::POST, self.url(path), Bytes::from(body), self.timeout).await?;
        data_of(&answered)
    }

    /// The whole exchange under one deadline, and once more, freshly signed, if the relay takes it for a replay.
    async fn exchange(
        &self,
        method: Method,
        url: Url,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Answered, RelayError> {
        let exchange = async {
            let first = self.attempt(&method, &url, &body).await?;
            match rejection(&first) {
                Some(RelayError::Rejected { code: Some(ErrorCode::RequestReplayed), .. }) => {
                    self.attempt(&method, &url, &body).await
                }
                _ => Ok(first),
            }
        };
        let answered = tokio::time::timeout(deadline, exchange)
            .await
            .map_err(|_| RelayError::Unreachable("no answer in time"))??;
        match rejection(&answered) {
            Some(rejection) => Err(rejection),
            None => Ok(answered),
        }
    }

    async fn attempt(&self, method: &Method, url: &Url, body: &Bytes) -> Result<Answered, RelayError> {
        let (timestamp, signature) = signing::sign_next(&self.secret, self.clock.as_ref(), body);
        let mut request = self
            .http
            .request(method.clone(), url.clone())
            .header(header::TENANT_ID, self.tenant_id.as_str())
            .header(header::TIMESTAMP, timestamp)
            .header(header::SIGNATURE, signature);
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        let response = request.send().await.map_err(|error| RelayError::Unreachable(kind_of(&error)))?;
        read(response).await
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base_url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/api/v1/relay/{path}"));
        url
    }
}

#[async_trait]
impl RelayClient for HttpRelayClient {
    async fn send_auth_challenge(&self, challenge: &AuthChallenge) -> Result<PushReceipt, RelayError> {
        self.post("send/auth-challenge", challenge).await
    }

    async fn cancel_auth_challenge(&self, instruction: &InstructionId) -> Result<(), RelayError> {
        self.post::<Value>("cancel/auth-challenge", &json!({"instruction_id": instruction})).await.map(drop)
    }

    async fn fetch_outcome(&self, instruction: &InstructionId, wait: Duration) -> Result<Outcome, RelayError> {
        let mut url = self.url("fetch/outcome");
        url.query_pairs_mut()
            .append_pair("instruction_id", instruction.as_str())
            .append_pair("wait_seconds", &wait.as_secs().min(30).to_string());
        let answered = self.exchange(Method::GET, url, Bytes::new(), self.timeout + wait).await?;
        signing::verify_answer(&self.secret, self.clock.now(), &answered.headers, &answered.body)?;
        outcome_of(data_of(&answered)?, instruction)
    }

    async fn prepare_pairing(&self, profile: &PreparePairing) -> Result<PairingOffer, RelayError> {
        self.post("prepare-pairing", profile).await
    }

    async fn revoke_pairing(&self, user: &UserSocketHash) -> Result<(), RelayError> {
        self.post::<Value>("revoke-pairing", &json!({"user_socket_hash": user})).await.map(drop)
    }

    async fn send_security_alert(&self, alert: &SecurityAlert) -> Result<PushReceipt, RelayError> {
        self.post("send/security-alert", alert).await
    }
}

async fn read(mut response: Response) -> Result<Answered, RelayError> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| RelayError::Unreachable(kind_of(&error)))? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(RelayError::Unreadable("it is too long"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answered { status, headers, body: body.freeze() })
}

/// The refusal in an answer that is none of 2xx. A redirect counts: nothing was done.
fn rejection(answered: &Answered) -> Option<RelayError> {
    if (200..300).contains(&answered.status) {
        return None;
    }
    let body: Option<Value> = serde_json::from_slice(&answered.body).ok();
    let code = body.as_ref().and_then(|body| body["error"].as_str()).and_then(ErrorCode::from_name);
    let seconds = answered.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Some(RelayError::Rejected { status: answered.status, code, retry_after: seconds.map(Duration::from_secs) })
}

fn data_of<T: DeserializeOwned>(answered: &Answered) -> Result<T, RelayError> {
    let envelope: Success<T> =
        serde_json::from_slice(&answered.body).map_err(|_| RelayError::Unreadable("it is not of the protocol"))?;
    Ok(envelope.data)
}

/// An id in the answer must be the one asked for: an old answer, signed well, may not stand in for another.
fn outcome_of(data: Value, asked: &InstructionId) -> Result<Outcome, RelayError> {
    if data["instruction_id"] != asked.as_str() {
        return Err(RelayError::Unreadable("it is about another instruction"));
    }
    match data["status"].as_str() {
        Some("pending") => Ok(Outcome::Pending),
        Some("expired") => Ok(Outcome::Expired),
        Some("cancelled") => Ok(Outcome::Cancelled),
        Some("decided") => {
            let incomplete = |_| RelayError::Unreadable("its event is incomplete");
            // What `outcome` and `event_id` say is checked here: the event that is handed on has neither.
            if !Event::deserialize(&data).map_err(incomplete)?.is_coherent() {
                return Err(RelayError::Unreadable("its event contradicts itself"));
            }
            Ok(Outcome::Decided(Box::new(serde_json::from_value(data).map_err(incomplete)?)))
        }
        _ => Err(RelayError::Unreadable("its status is unknown")),
    }
}

/// What went wrong, without the address that reqwest's own texts hold.
fn kind_of(error: &reqwest::Error) -> &'static str {
    if error.is_connect() {
        "no connection"
    } else if error.is_timeout() {
        "no answer in time"
    } else {
        "the exchange broke off"
    }
}
