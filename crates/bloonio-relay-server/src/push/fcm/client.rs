//! Sending one message.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bloonio_wire::clock::Clock;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use super::answer;
use super::auth::{AccessToken, DROP_PAUSE, TokenError, TokenSource};
use super::connections::Connections;
use super::credentials::{Credentials, is_confidential};
use super::error::{Cause, SendError};
use super::message::Message;

/// Over everything: token, connection, answer and body (PROTOCOL 5; FCM's own inner limit is up to 10 s).
const TIMEOUT: Duration = Duration::from_secs(12);
/// What of it may go by without a token.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ANSWER: usize = 16 * 1024;
const MAX_NAME: usize = 512;

/// A client of one Firebase project.
#[derive(Debug)]
pub struct FcmClient {
    url: Url,
    connections: Connections,
    tokens: TokenSource,
    clock: Arc<dyn Clock>,
}

/// FCM's name of a message that it has accepted: `projects/{project}/messages/{id}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageName(String);

/// `RELAY_FCM_ENDPOINT` is not fit to send access tokens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the FCM endpoint must be an https URL, or http on a loopback host")]
pub struct EndpointError;

#[derive(Deserialize)]
struct Accepted {
    name: String,
}

impl FcmClient {
    /// A client that sends to `endpoint` (`https://fcm.googleapis.com` in production).
    ///
    /// The clients of `connections` must follow no redirects and need no timeout of their own, but a short one for
    /// connecting.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn new(
        credentials: Credentials,
        endpoint: &Url,
        connections: impl Into<Connections>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, EndpointError> {
        if !is_confidential(endpoint) || endpoint.query().is_some() {
            return Err(EndpointError);
        }
        let mut url = endpoint.clone();
        url.path_segments_mut().map_err(|()| EndpointError)?.pop_if_empty().extend([
            "v1",
            "projects",
            credentials.project_id(),
            "messages:send",
        ]);
        let connections = connections.into();
        let tokens = TokenSource::new(credentials, connections.first(), Arc::clone(&clock));
        Ok(Self { url, connections, tokens, clock })
    }

    /// Gets the first access token now instead of with the first message; see [`TokenSource::start`].
    pub fn start(&self) {
        self.tokens.start();
    }

    /// Sends `message`, and comes back within 12 s whatever happens.
    ///
    /// A connection that cannot be made is tried once more at once, and a refused access token is replaced once.
    ///
    /// # Errors
    /// [`SendError`]; only some of them mean that the device will not get the message.
    pub async fn send(&self, message: &Message) -> Result<MessageName, SendError> {
        self.send_written(|| Ok(message.clone())).await
    }

    /// As [`Self::send`], for a message that is written when there is a token to send it with: it says how much life it
    /// has left, and the wait for a token can take 10 s of that.
    ///
    /// # Errors
    /// What `write` answers, and [`SendError`].
    pub async fn send_written<E: From<SendError>>(
        &self,
        write: impl Fn() -> Result<Message, E>,
    ) -> Result<MessageName, E> {
        let now = Instant::now();
        let sending = self.send_with_fresh_token(write, now + TOKEN_TIMEOUT);
        let outcome = tokio::time::timeout_at(now + TIMEOUT, sending).await;
        outcome.unwrap_or(Err(SendError::of(Cause::Network { sent: true }).into()))
    }

    async fn send_with_fresh_token<E: From<SendError>>(
        &self,
        write: impl Fn() -> Result<Message, E>,
        deadline: Instant,
    ) -> Result<MessageName, E> {
        // What cannot be sent need not wait.
        write()?;
        let token = self.tokens.token(deadline).await.map_err(SendError::from)?;
        let refused = match self.send_with(&write()?, &token).await {
            Err(error) if error.cause == Cause::AccessTokenRejected => error,
            outcome => return Ok(outcome?),
        };
        if !self.tokens.drop_token(&token) {
            // Too soon after the last one; this message may be there when the next may be dropped.
            return Err(SendError { retry_after: Some(DROP_PAUSE), ..refused }.into());
        }
        let token = self.tokens.token(deadline).await.map_err(SendError::from)?;
        Ok(self.send_with(&write()?, &token).await?)
    }

    async fn send_with(&self, message: &Message, token: &AccessToken) -> Result<MessageName, SendError> {
        match self.attempt(message, token).await {
            Err(error) if error.cause == (Cause::Network { sent: false }) => self.attempt(message, token).await,
            outcome => outcome,
        }
    }

    async fn attempt(&self, message: &Message, token: &AccessToken) -> Result<MessageName, SendError> {
        let http = self.connections.pick();
        let request = http
            .post(self.url.clone())
            .bearer_auth(token.expose())
            .header(CONTENT_TYPE, "application/json")
            .body(message.as_bytes().to_vec());
        let response = request.send().await.map_err(|error| network(&error))?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = match answer::read(response, MAX_ANSWER).await {
            Ok(body) => body,
            // A refusal stays one even where its explanation is lost.
            Err(error) if status == 200 => return Err(network(&error)),
            Err(_) => answer::Body { bytes: Vec::new(), complete: false },
        };
        match status {
            200 => accepted(body.whole()),
            _ => Err(SendError::classify(status, &headers, body.whole(), self.clock.now())),
        }
    }
}

/// Only a connection that was never made proves that nothing was sent.
fn network(error: &reqwest::Error) -> SendError {
    SendError::of(Cause::Network { sent: !error.is_connect() })
}

fn accepted(body: &[u8]) -> Result<MessageName, SendError> {
    let accepted: Option<Accepted> = serde_json::from_slice(body).ok();
    let name = accepted.map(|accepted| accepted.name).filter(|name| is_message_name(name));
    name.map(MessageName).ok_or(SendError::of(Cause::BadAnswer))
}

fn is_message_name(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    let well_formed =
        matches!(parts[..], ["projects", project, "messages", id] if !project.is_empty() && !id.is_empty());
    well_formed && name.len() <= MAX_NAME && name.bytes().all(|b| b.is_ascii_graphic())
}

impl From<TokenError> for SendError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::InvalidGrant | TokenError::Unsigned => Self::of(Cause::AccountRefused),
            _ => Self::of(Cause::TokenUnavailable),
        }
    }
}

impl MessageName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<MessageName> for String {
    fn from(name: MessageName) -> Self {
        name.0
    }
}
