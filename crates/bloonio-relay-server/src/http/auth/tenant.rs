//! Tenants, by HMAC #1 (PROTOCOL 2.1; SECURITY, "Signatures and replay").
//!
//! The order is part of the contract, and each step ends the call:
//!
//! 1. size (413);
//! 2. the three headers, each once and well-formed (401 `INVALID_SIGNATURE`);
//! 3. the timestamp's window (401 `TIMESTAMP_OUT_OF_WINDOW`);
//! 4. the signature, over the raw bytes; an unknown tenant costs the same work and gets the same answer;
//! 5. suspension (403);
//! 6. replay, for whatever is not a GET (401 `REQUEST_REPLAYED`): nothing refused before is remembered;
//! 7. the tenant's bucket (429).

use axum::extract::{FromRequest, Request};
use bloonio_wire::code::ErrorCode;
use bloonio_wire::field::parse_body;
use bloonio_wire::header;
use bloonio_wire::id::TenantId;
use bloonio_wire::sign::{self, Signature, SignatureError};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method};
use serde_json::Value;

use crate::app::{App, SharedApp};
use crate::http::client_address::client_address;
use crate::http::error::ApiError;
use crate::http::{auth, body};
use crate::limit::Lane;
use crate::service::error::ServiceError;
use crate::service::tenant::Tenant;
use crate::storage::replay;
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
        let tenant = match verify(app, &parts.headers, &body).await {
            Ok(verified) => verified,
            Err(refused @ ServiceError::Refused(_)) => {
                app.limits.charge_stranger(client_address(&parts, &app.config.trusted_proxies))?;
                return Err(refused.into());
            }
            Err(failed) => return Err(failed.into()),
        };
        let tenant = admit(app, &parts, tenant).await?;
        stage.over();
        Ok(Self { tenant, body })
    }
}

/// What the headers claim.
struct Claim {
    tenant_id: TenantId,
    timestamp_ms: i64,
    signature: Signature,
}

impl Claim {
    fn read(headers: &HeaderMap) -> Result<Self, SignatureError> {
        let only = |name| auth::only(headers, name).ok_or(SignatureError::Malformed);
        Ok(Self {
            tenant_id: TenantId::parse(only(header::TENANT_ID)?).map_err(|_| SignatureError::Malformed)?,
            timestamp_ms: sign::parse_timestamp(only(header::TIMESTAMP)?)?,
            signature: Signature::from_hex(only(header::SIGNATURE)?)?,
        })
    }
}

fn refusal(error: SignatureError) -> ErrorCode {
    match error {
        SignatureError::OutOfWindow => ErrorCode::TimestampOutOfWindow,
        SignatureError::Malformed | SignatureError::Mismatch => ErrorCode::InvalidSignature,
    }
}

/// Steps 2 to 4.
async fn verify(app: &App, headers: &HeaderMap, body: &[u8]) -> Result<(Tenant, Signature), ServiceError> {
    let claim = Claim::read(headers).map_err(refusal)?;
    sign::check_window(claim.timestamp_ms, app.clock.now()).map_err(refusal)?;
    let found = app.storage.tenant(&app.sealer, &claim.tenant_id).await?;
    let (secret, tenant) = match found {
        Some(tenant) => (tenant.secret.clone(), Some(tenant)),
        // The same look-up, the same opening of a sealed secret, the same comparison.
        None => (app.decoy.open(&app.sealer)?, None),
    };
    let verdict = sign::verify(&secret, claim.timestamp_ms, body, &claim.signature);
    match (tenant, verdict) {
        (Some(tenant), Ok(())) => Ok((tenant, claim.signature)),
        _ => Err(ErrorCode::InvalidSignature.into()),
    }
}

/// Steps 5 to 7.
async fn admit(app: &App, parts: &Parts, verified: (Tenant, Signature)) -> Result<Tenant, ServiceError> {
    let (tenant, signature) = verified;
    tracing::Span::current().record("tenant.id", tenant.tenant_id.as_str());
    // HMAC #1 is all that this relay verifies so far: a tenant that asks for more is let down, never let through.
    if tenant.config.require_message_signatures {
        return Err(ErrorCode::InvalidSignature.into());
    }
    if !tenant.is_active() {
        return Err(ErrorCode::TenantSuspended.into());
    }
    let changes = !matches!(parts.method, Method::GET | Method::HEAD);
    if changes && !replay::claim(&app.storage, &tenant.tenant_id, signature.as_bytes(), app.clock.now()).await? {
        return Err(ErrorCode::RequestReplayed.into());
    }
    let lane = Lane::of(&parts.method, parts.uri.path());
    app.limits.charge_tenant(&tenant.tenant_id, lane, tenant.config.rate_limit_per_min)?;
    Ok(tenant)
}
