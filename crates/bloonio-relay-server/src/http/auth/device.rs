//! Devices, by a bearer token (PROTOCOL 4; SECURITY, "Devices").
//!
//! | caller | bears | may be |
//! | --- | --- | --- |
//! | [`ProofCaller`] | a pairing proof | nobody yet |
//! | [`RegisteredDevice`] | a session token | awaiting confirmation |
//! | [`DeviceCaller`] | a session token | confirmed only |

use axum::extract::{FromRequest, Request};
use bloonio_wire::code::ErrorCode;
use bloonio_wire::field::parse_body;
use bytes::Bytes;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use serde_json::Value;

use crate::app::SharedApp;
use crate::http::client_address::client_address;
use crate::http::error::ApiError;
use crate::http::{auth, body};
use crate::service::error::ServiceError;
use crate::service::session::{self, Bearer};
use crate::service::tenant::Tenant;
use crate::token::Proof;

/// A bearer of a pairing proof, which may have been used or voided: the registration's transaction tells.
#[derive(Debug)]
pub struct ProofCaller {
    /// Whose proof.
    pub tenant: Tenant,
    /// What it says.
    pub proof: Proof,
    /// The body, not yet looked at.
    pub body: RawBody,
}

/// A registered device, within its limits. It may still await confirmation.
#[derive(Debug)]
pub struct RegisteredDevice {
    /// Who calls.
    pub bearer: Bearer,
    /// The body, not yet looked at.
    pub body: RawBody,
}

/// A registered device that may act.
#[derive(Debug)]
pub struct DeviceCaller {
    /// Who calls.
    pub bearer: Bearer,
    /// The body, not yet looked at.
    pub body: RawBody,
}

/// The bytes of a body.
#[derive(Debug)]
pub struct RawBody(Bytes);

impl RawBody {
    /// The body as JSON; none at all is an empty object.
    ///
    /// # Errors
    /// `MALFORMED_REQUEST`.
    pub fn json(&self) -> Result<Value, ServiceError> {
        Ok(parse_body(&self.0)?)
    }
}

fn bearer_token(headers: &HeaderMap) -> Result<&str, ErrorCode> {
    let value = auth::only(headers, AUTHORIZATION.as_str()).ok_or(ErrorCode::InvalidDeviceToken)?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim_start_matches(' ')),
        _ => Err(ErrorCode::InvalidDeviceToken),
    }
}

/// A refused stranger is charged; whoever proves himself is not.
async fn refuse(app: &SharedApp, parts: &Parts, refused: ServiceError) -> ApiError {
    if matches!(refused, ServiceError::Refused(ErrorCode::InvalidDeviceToken)) {
        let address = client_address(parts, &app.config.trusted_proxies);
        if let Err(too_many) = app.limits.charge_stranger(address).await {
            return too_many.into();
        }
    }
    refused.into()
}

async fn read_proof(app: &SharedApp, headers: &HeaderMap) -> Result<(Tenant, Proof), ServiceError> {
    let proof = app.tokens.read_proof(bearer_token(headers)?, app.clock.now())?;
    let tenant = app.storage.tenant(&app.sealer, &proof.tenant_id).await?.ok_or(ErrorCode::InvalidDeviceToken)?;
    if !tenant.is_active() {
        return Err(ErrorCode::TenantSuspended.into());
    }
    Ok((tenant, proof))
}

impl FromRequest<SharedApp> for ProofCaller {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &SharedApp) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let body = body::read(app, body).await?;
        let (tenant, proof) = match read_proof(app, &parts.headers).await {
            Ok(read) => read,
            Err(refused) => return Err(refuse(app, &parts, refused).await),
        };
        tracing::Span::current().record("tenant.id", tenant.tenant_id.as_str());
        Ok(Self { tenant, proof, body: RawBody(body) })
    }
}

async fn read_session(app: &SharedApp, headers: &HeaderMap) -> Result<Bearer, ServiceError> {
    session::authenticate(app, bearer_token(headers)?).await
}

impl FromRequest<SharedApp> for RegisteredDevice {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &SharedApp) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let body = body::read(app, body).await?;
        let bearer = match read_session(app, &parts.headers).await {
            Ok(bearer) => bearer,
            Err(refused) => return Err(refuse(app, &parts, refused).await),
        };
        let tenant_id = &bearer.tenant.tenant_id;
        tracing::Span::current().record("tenant.id", tenant_id.as_str());
        app.limits.charge_device(tenant_id, &bearer.device.device_id).await?;
        Ok(Self { bearer, body: RawBody(body) })
    }
}

impl FromRequest<SharedApp> for DeviceCaller {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &SharedApp) -> Result<Self, ApiError> {
        let RegisteredDevice { bearer, body } = RegisteredDevice::from_request(request, app).await?;
        Ok(Self { bearer: bearer.confirmed()?, body })
    }
}
