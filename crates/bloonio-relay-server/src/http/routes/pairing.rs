//! The backend's pairing calls (PROTOCOL 4).

use axum::extract::State;
use bloonio_wire::device::{PairingOffer, PreparePairing};
use bloonio_wire::envelope::{Failure, Success};
use bloonio_wire::id::UserSocketHash;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::SharedApp;
use crate::http::auth::tenant::TenantCaller;
use crate::http::error::{Answer, ApiError};
use crate::http::openapi::TenantRefusals;
use crate::http::read;
use crate::service::pairing::{self, Revoked};

/// Body of POST /relay/revoke-pairing, as documented.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = RevokePairing)]
pub struct RevokeFields {
    /// Whose pairing.
    pub user_socket_hash: UserSocketHash,
}

/// Offers a pairing: a proof that registers one device, once. Older proofs of the same user are void from then on.
#[utoipa::path(post, path = "/api/v1/relay/prepare-pairing", tag = "pairing", security(("tenant_signature" = [])),
    request_body = PreparePairing, responses(
    (status = 201, description = "Offered", body = Success<PairingOffer>),
    TenantRefusals,
))]
pub async fn prepare(State(app): State<SharedApp>, caller: TenantCaller) -> Result<Answer<PairingOffer>, ApiError> {
    let profile = read::pairing::prepare(&caller.json()?)?;
    let offer = pairing::prepare(&app, &caller.tenant, &profile).await?;
    Ok(Answer::created("The pairing is offered. Show its address as a QR code.", offer))
}

/// Ends a user's pairing with all its devices.
#[utoipa::path(post, path = "/api/v1/relay/revoke-pairing", tag = "pairing", security(("tenant_signature" = [])),
    request_body = RevokeFields, responses(
    (status = 200, description = "Revoked", body = Success<Revoked>),
    (status = 404, description = "`PAIRING_NOT_FOUND`", body = Failure),
    TenantRefusals,
))]
pub async fn revoke(State(app): State<SharedApp>, caller: TenantCaller) -> Result<Answer<Revoked>, ApiError> {
    let user = read::pairing::revoke(&caller.json()?)?;
    let revoked = pairing::revoke(&app, &caller.tenant, &user).await?;
    Ok(Answer::ok("The pairing is revoked.", revoked))
}
