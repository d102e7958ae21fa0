//! The backend's side of pairing: offering one, and ending it (PROTOCOL 4).

use bloonio_wire::code::ErrorCode;
use bloonio_wire::device::{PairingOffer, PreparePairing};
use bloonio_wire::id::{RelayUserLinkedId, UserSocketHash};
use bloonio_wire::qr::PairingUri;
use serde::Serialize;
use tracing::info;
use url::Url;
use utoipa::ToSchema;

use crate::app::SharedApp;
use crate::audit::{Event, Kind, digest_of};
use crate::push::stream::StreamEvent;
use crate::service::error::ServiceError;
use crate::service::profile::seal_offer;
use crate::service::tenant::Tenant;
use crate::storage::{audit, device, pairing};
use crate::token::TokenError;

/// Answer to POST /relay/revoke-pairing.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Revoked {
    /// Whose pairing it was.
    pub user_socket_hash: UserSocketHash,
    /// The pairing; a new one will have another id.
    pub relay_user_linked_id: RelayUserLinkedId,
    /// Devices that it had.
    pub devices_removed: u64,
}

impl From<TokenError> for ServiceError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Invalid => ErrorCode::InvalidDeviceToken.into(),
            TokenError::Unsignable | TokenError::Random(_) => Self::Internal(Box::new(error)),
        }
    }
}

/// Offers a pairing: a proof that registers one device, once. A user's older proofs are void.
///
/// # Errors
/// [`ServiceError`].
pub async fn prepare(app: &SharedApp, tenant: &Tenant, profile: &PreparePairing) -> Result<PairingOffer, ServiceError> {
    let ttl = app.config.pairing_proof_ttl;
    let mut tx = app.storage.begin(&tenant.tenant_id).await?;
    let now = app.clock.now();
    let (token, proof) =
        app.tokens.issue_proof(app.random.as_ref(), now, ttl, &tenant.tenant_id, &profile.user_socket_hash)?;
    let sealed = seal_offer(app, &tenant.tenant_id, &proof.jti, profile)?;
    pairing::insert_proof(&mut tx, &tenant.tenant_id, &proof, &sealed, now).await?;
    let user = digest_of(&tenant.tenant_id, profile.user_socket_hash.as_str());
    let event = Event::new(Kind::PairingPrepared, user).with("proof", proof.jti.as_str());
    audit::append(&mut tx, &tenant.tenant_id, event, now).await?;
    app.storage.commit(tx).await?;
    let relay = Url::parse(&app.config.public_url).map_err(|error| ServiceError::Internal(Box::new(error)))?;
    let uri = PairingUri { relay, proof: token.clone() };
    let (pairing_proof, pairing_uri) = (token.expose().to_owned(), uri.to_text());
    Ok(PairingOffer { pairing_proof, expires_in: ttl.as_secs(), pairing_uri })
}

/// Ends the user's pairing with all its devices and its seed, and voids what was offered.
///
/// # Errors
/// `PAIRING_NOT_FOUND`.
pub async fn revoke(app: &SharedApp, tenant: &Tenant, user: &UserSocketHash) -> Result<Revoked, ServiceError> {
    let tenant_id = &tenant.tenant_id;
    let mut tx = app.storage.begin(tenant_id).await?;
    let now = app.clock.now();
    let linked_id = pairing::revoke(&mut tx, tenant_id, user, now).await?.ok_or(ErrorCode::PairingNotFound)?;
    let devices_removed = device::remove_all(&mut tx, tenant_id, &linked_id, now).await?;
    app.totp.forget(&mut tx, tenant_id, &linked_id).await?;
    pairing::void_proofs(&mut tx, tenant_id, user, now).await?;
    let event = Event::new(Kind::PairingRevoked, linked_id.as_str()).with("devices_removed", devices_removed);
    audit::append(&mut tx, tenant_id, event, now).await?;
    app.storage.commit(tx).await?;
    info!(tenant.id = tenant_id.as_str(), pairing.id = linked_id.as_str(), devices_removed, "a pairing was revoked");
    app.streams.wake(&(tenant_id.clone(), linked_id.clone()), StreamEvent::Recheck);
    Ok(Revoked { user_socket_hash: user.clone(), relay_user_linked_id: linked_id, devices_removed })
}
