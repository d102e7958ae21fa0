//! One exchange of an assertion for an access token.

use std::time::Duration;

use bloonio_wire::clock::Timestamp;
use bloonio_wire::secret::Secret;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::{AccessToken, Shared, TokenError, assertion};
use crate::push::fcm::{answer, wait};
use crate::telemetry::skew::{self, Peer};

/// Over connection, answer and body together.
const TIMEOUT: Duration = Duration::from_secs(10);
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const MAX_ANSWER: usize = 64 * 1024;
/// Longer lives are believed up to here only.
const LONGEST_LIFE_SECS: u64 = 24 * 3_600;

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
    token_type: String,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
}

/// Asks for a token; gives up after 10 s, and the connection with it.
///
/// # Errors
/// [`TokenError`].
pub(super) async fn exchange(shared: &Shared) -> Result<AccessToken, TokenError> {
    tokio::time::timeout(TIMEOUT, ask(shared)).await.unwrap_or(Err(TokenError::TooSlow))
}

async fn ask(shared: &Shared) -> Result<AccessToken, TokenError> {
    // Counted from before the question, so that our idea of its end is never later than the issuer's.
    let asked_at = shared.clock.now();
    let assertion = assertion::sign(&shared.credentials, asked_at)?;
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", GRANT_TYPE)
        .append_pair("assertion", assertion.expose())
        .finish();
    let request = shared
        .http
        .post(shared.credentials.token_uri.clone())
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form);
    let response = request.send().await.map_err(|_| TokenError::Unreachable)?;
    let status = response.status().as_u16();
    let retry_after = wait::retry_after(response.headers(), asked_at);
    if let Some(date) = skew::date(response.headers()) {
        Peer::Google.says(date, shared.clock.now());
    }
    let body = answer::read(response, MAX_ANSWER).await.map_err(|_| TokenError::Unreachable)?;
    let bytes = Zeroizing::new(body.bytes);
    let whole = if body.complete { bytes.as_slice() } else { &[] };
    match status {
        200 => granted(whole, asked_at),
        400 | 401 if is_invalid_grant(whole) => Err(TokenError::InvalidGrant),
        _ => Err(TokenError::Status { status, retry_after }),
    }
}

fn granted(body: &[u8], asked_at: Timestamp) -> Result<AccessToken, TokenError> {
    let granted: Granted = serde_json::from_slice(body).map_err(|_| TokenError::BadAnswer)?;
    let value = Secret::new(granted.access_token);
    // What cannot stand in a header would fail at every push instead of here.
    let fits_a_header = !value.expose().is_empty() && value.expose().bytes().all(|b| b.is_ascii_graphic());
    if !fits_a_header || !granted.token_type.eq_ignore_ascii_case("bearer") || granted.expires_in == 0 {
        return Err(TokenError::BadAnswer);
    }
    let life = Duration::from_secs(granted.expires_in.min(LONGEST_LIFE_SECS));
    Ok(AccessToken { value, expires_at: asked_at.plus(life) })
}

fn is_invalid_grant(body: &[u8]) -> bool {
    serde_json::from_slice::<Refused>(body).is_ok_and(|refused| refused.error == "invalid_grant")
}
