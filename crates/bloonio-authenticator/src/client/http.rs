//! One exchange with a relay: bounded in time and size, and its envelope opened.

use std::time::Duration;

use bloonio_wire::envelope::{FieldProblem, Success};
use bloonio_wire::secret::Secret;
use reqwest::header::{ACCEPT, RETRY_AFTER};
use reqwest::{Certificate, Method, RequestBuilder, Response, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::RelayOptions;
use super::address::{api_root, is_loopback};
use crate::error::{ClientError, Refusal, SetupError};

/// What is read of an answer at most: the relay's backstop of 30 open prompts, each of its 256 KiB (PROTOCOL 1 and 5).
pub const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// An HTTP client with its relay's address.
#[derive(Debug, Clone)]
pub struct Http {
    client: reqwest::Client,
    root: String,
    timeout: Duration,
}

impl Http {
    pub fn new(base: &Url, options: &RelayOptions) -> Result<Self, SetupError> {
        let root = api_root(base, options.insecure_http)?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("bloonio-authenticator/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(options.connect_timeout);
        if is_loopback(base) {
            builder = builder.no_proxy();
        }
        builder = match &options.extra_ca_pem {
            Some(pem) => {
                let roots = Certificate::from_pem_bundle(pem).map_err(SetupError::BadCertificate)?;
                builder.tls_certs_merge(roots)
            }
            // Without TLS no root is needed, and a machine without any could not make the client.
            None if base.scheme() == "http" => builder.tls_certs_only([]),
            None => builder,
        };
        Ok(Self { client: builder.build().map_err(SetupError::NoClient)?, root, timeout: options.timeout })
    }

    pub fn request(&self, method: Method, path: &str, bearer: &Secret) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.root)).bearer_auth(bearer.expose());
        request.header(ACCEPT, "application/json").timeout(self.timeout)
    }

    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        bearer: &Secret,
        body: &impl serde::Serialize,
    ) -> Result<T, ClientError> {
        self.call(self.request(Method::POST, path, bearer).json(body)).await
    }

    /// Sends, and gives `data` of the answer.
    pub async fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let response = request.send().await.map_err(network)?;
        let (status, retry_after) = (response.status(), retry_after(&response));
        let body = capped(response).await?;
        let unreadable = ClientError::Unreadable { status: status.as_u16() };
        if !status.is_success() {
            return Err(refusal(status.as_u16(), retry_after, &body).map_or(unreadable, ClientError::Refused));
        }
        let answer: Success<T> = serde_json::from_slice(&body).map_err(|_| unreadable)?;
        Ok(answer.data)
    }

    /// Opens an event stream: no limit in time or size but for the answer's head.
    pub async fn open(&self, path: &str, bearer: &Secret) -> Result<Response, ClientError> {
        let request = self.client.get(format!("{}{path}", self.root)).bearer_auth(bearer.expose());
        let sending = request.header(ACCEPT, "text/event-stream").send();
        let response = match tokio::time::timeout(self.timeout, sending).await {
            Ok(response) => response.map_err(network)?,
            Err(_) => return Err(ClientError::Silent),
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, retry_after) = (response.status().as_u16(), retry_after(&response));
        let body = tokio::time::timeout(self.timeout, capped(response)).await.map_err(|_| ClientError::Silent)??;
        Err(refusal(status, retry_after, &body).map_or(ClientError::Unreadable { status }, ClientError::Refused))
    }
}

/// The address stays out of messages: it would name the prompt.
pub fn network(error: reqwest::Error) -> ClientError {
    ClientError::Network(error.without_url())
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

async fn capped(mut response: Response) -> Result<Vec<u8>, ClientError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(network)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(ClientError::TooLarge { limit: MAX_ANSWER_BYTES });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// As [`bloonio_wire::envelope::Failure`], but with room for codes of newer relays.
#[derive(Deserialize)]
struct FailureBody {
    error: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Vec<FieldProblem>,
}

fn refusal(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Option<Refusal> {
    let failure: FailureBody = serde_json::from_slice(body).ok()?;
    Some(Refusal { status, code: failure.error, message: failure.message, details: failure.details, retry_after })
}
