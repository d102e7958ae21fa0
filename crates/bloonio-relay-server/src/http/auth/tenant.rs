//! Tenants, by HMAC #1 and, where there is one, the HTTP message signature beside it (PROTOCOL 2.1, 2.2; SECURITY,
//! "Signatures and replay").
//!
//! The order is part of the contract, and each step ends the call:
//!
//! 1. size (413);
//! 2. the headers of each signature, each once and well-formed (401 `INVALID_SIGNATURE`);
//! 3. the window of each (401 `TIMESTAMP_OUT_OF_WINDOW`);
//! 4. both signatures, over the raw bytes; an unknown tenant costs the same work and gets the same answer, and so does a
//!    tenant that requires a message signature and did not send one (401 `INVALID_SIGNATURE`);
//! 5. suspension (403);
//! 6. replay, for whatever is not a GET (401 `REQUEST_REPLAYED`): by HMAC #1 and by nonce, either one seen is enough;
//!    nothing refused before is remembered;
//! 7. the tenant's bucket (429).

use axum::extract::{FromRequest, Request};
use bloonio_wire::code::ErrorCode;
use bloonio_wire::field::parse_body;
use bloonio_wire::sign::SignatureError;
use bytes::Bytes;
use http::Method;
use http::request::Parts;
use serde_json::Value;

use super::claims::Claims;
use crate::app::{App, SharedApp};
use crate::http::body;
use crate::http::client_address::client_address;
use crate::http::error::ApiError;
use crate::limit::Lane;
use crate::service::error::ServiceError;
use crate::service::replay;
use crate::service::tenant::Tenant;
use crate::telemetry::stage::Stage;

/// A call that a tenant has signed, within its limits, and for the first time.
#[derive(Debug)]
pub struct TenantCaller {
    /// Who calls.
    pub tenant: Tenant,
    /// The signed bytes, not yet looked at.
    pub body: Bytes,
}

impl TenantCaller {
    /// The body as JSON; none at all is an empty object.
    ///
    /// # Errors
    /// `MALFORMED_REQUEST`.
    pub fn json(&self) -> Result<Value, ServiceError> {
        Ok(parse_body(&self.body)?)
    }
}

impl FromRequest<SharedApp> for TenantCaller {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &SharedApp) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let body = body::read(app, body).await?;
        let stage = Stage::Authenticate.start();
        let tenant = match verify(app, &parts, &body).await {
            Ok(verified) => verified,
            Err(refused @ ServiceError::Refused(_)) => {
                app.limits.charge_stranger(client_address(&parts, &app.config.trusted_proxies)).await?;
                return Err(refused.into());
            }
            Err(failed) => return Err(failed.into()),
        };
        let tenant = admit(app, &parts, tenant).await?;
        stage.over();
        Ok(Self { tenant, body })
    }
}

fn refusal(error: SignatureError) -> ErrorCode {
    match error {
        SignatureError::OutOfWindow => ErrorCode::TimestampOutOfWindow,
        SignatureError::Malformed | SignatureError::Mismatch => ErrorCode::InvalidSignature,
    }
}

/// Steps 2 to 4.
async fn verify(app: &App, parts: &Parts, body: &[u8]) -> Result<(Tenant, Claims), ServiceError> {
    let claims = Claims::read(&parts.headers, body).map_err(refusal)?;
    claims.check_window(app.clock.now()).map_err(refusal)?;
    let found = app.storage.tenant(&app.sealer, &claims.tenant_id).await?;
    let (secret, tenant) = match found {
        Some(tenant) => (tenant.secret.clone(), Some(tenant)),
        // The same look-up, the same opening of a sealed secret, the same comparisons.
        None => (app.decoy.open(&app.sealer)?, None),
    };
    let verdict = claims.verify(&secret, &parts.method, &parts.uri, body);
    match (tenant, verdict) {
        (Some(tenant), Ok(())) if claims.has_message() || !tenant.config.require_message_signatures => {
            Ok((tenant, claims))
        }
        _ => Err(ErrorCode::InvalidSignature.into()),
    }
}

/// Steps 5 to 7.
async fn admit(app: &App, parts: &Parts, verified: (Tenant, Claims)) -> Result<Tenant, ServiceError> {
    let (tenant, claims) = verified;
    tracing::Span::current().record("tenant.id", tenant.tenant_id.as_str());
    if !tenant.is_active() {
        return Err(ErrorCode::TenantSuspended.into());
    }
    let changes = !matches!(parts.method, Method::GET | Method::HEAD);
    if changes && !replay::claim(app, &tenant.tenant_id, &claims.replay_keys(), claims.signed_at()).await? {
        return Err(ErrorCode::RequestReplayed.into());
    }
    let lane = Lane::of(&parts.method, parts.uri.path());
    app.limits.charge_tenant(&tenant.tenant_id, lane, tenant.config.rate_limit_per_min).await?;
    Ok(tenant)
}
