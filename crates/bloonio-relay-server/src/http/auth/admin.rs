//! Operators, by `X-Admin-Key` (PROTOCOL 3; SECURITY, "Outbound and operators").

use std::net::IpAddr;

use axum::extract::{FromRequest, Request};
use bloonio_wire::code::ErrorCode;
use bloonio_wire::field::parse_body;
use bloonio_wire::header;
use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use crate::app::{App, SharedApp};
use crate::http::client_address::client_address;
use crate::http::error::ApiError;
use crate::http::{auth, body};
use crate::service::error::ServiceError;

/// A call with a right admin key.
#[derive(Debug)]
pub struct AdminCaller {
    /// The body, not yet looked at.
    pub body: Bytes,
}

impl AdminCaller {
    /// The body as JSON; none at all is an empty object.
    ///
    /// # Errors
    /// `MALFORMED_REQUEST`.
    pub fn json(&self) -> Result<Value, ServiceError> {
        Ok(parse_body(&self.body)?)
    }
}

impl FromRequest<SharedApp> for AdminCaller {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &SharedApp) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        // Read before the key is looked at, so that a refused sender sees the refusal and not a broken connection.
        let body = body::read(app, body).await?;
        check(app, client_address(&parts, &app.config.trusted_proxies), &parts.headers).await?;
        Ok(Self { body })
    }
}

/// Compares as digests, in constant time, with every configured key, whichever fits.
async fn check(app: &App, address: IpAddr, headers: &HeaderMap) -> Result<(), ServiceError> {
    // No key shown is no guess: there is nothing to learn from the refusal.
    let shown = auth::only(headers, header::ADMIN_KEY).ok_or(ErrorCode::InvalidAdminKey)?;
    let is_right = || app.config.admin_keys.iter().fold(false, |right, key| key.matches(shown) | right);
    match app.limits.guess(address, is_right).await? {
        true => Ok(()),
        false => {
            app.refused.count();
            Err(ErrorCode::InvalidAdminKey.into())
        }
    }
}
