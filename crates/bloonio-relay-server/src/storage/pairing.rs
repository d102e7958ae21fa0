//! Rows of `pairings` and `pairing_proofs` (PROTOCOL 4): one live pairing per (tenant, user).

use bloonio_wire::clock::Timestamp;
use bloonio_wire::device::PreparePairing;
use bloonio_wire::id::{RelayUserLinkedId, TenantId, UserSocketHash};

use super::{Storage, StorageError, Tx};
use crate::storage::db::{On, Row, query};
use crate::token::Proof;

/// A pairing that was not revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairing {
    /// Names it.
    pub relay_user_linked_id: RelayUserLinkedId,
    /// The tenant's handle of the user.
    pub user_socket_hash: UserSocketHash,
    /// The tenant's own id of the user.
    pub backend_user_id: String,
    /// The user, for people.
    pub display_name: String,
    /// Picture.
    pub display_logo_url: Option<String>,
}

/// What became of the attempt to use a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProofUse {
    /// It is used now, by this transaction alone.
    Taken(Box<PreparePairing>),
    /// It was used before.
    Used,
    /// It was voided, is over, or was never issued by this database.
    Void,
}

pub(super) fn pairing(row: &Row) -> Result<Pairing, StorageError> {
    let corrupt = || StorageError::Corrupt("pairing");
    let text = |name| Ok::<String, StorageError>(row.get(name)?);
    Ok(Pairing {
        relay_user_linked_id: text("relay_user_linked_id")?.parse().map_err(|_| corrupt())?,
        user_socket_hash: text("user_socket_hash")?.parse().map_err(|_| corrupt())?,
        backend_user_id: text("backend_user_id")?,
        display_name: text("display_name")?,
        display_logo_url: row.get("display_logo_url")?,
    })
}

/// Writes an offer to pair and voids the user's older ones.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn insert_proof(
    tx: &mut Tx,
    tenant: &TenantId,
    proof: &Proof,
    profile: &str,
    now: Timestamp,
) -> Result<(), StorageError> {
    void_proofs(tx, tenant, &proof.user_socket_hash, now).await?;
    query(
        "-- insert_proof
         INSERT INTO pairing_proofs (tenant_id, jti, user_socket_hash, profile, expires_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(tenant.as_str())
    .bind(&proof.jti)
    .bind(proof.user_socket_hash.as_str())
    .bind(profile)
    .bind(proof.expires_at.as_millis())
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Voids the user's open proofs.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn void_proofs(
    tx: &mut Tx,
    tenant: &TenantId,
    user: &UserSocketHash,
    now: Timestamp,
) -> Result<(), StorageError> {
    query(
        "-- void_proofs
         UPDATE pairing_proofs SET voided_at = $3
         WHERE tenant_id = $1 AND user_socket_hash = $2 AND consumed_at IS NULL AND voided_at IS NULL",
    )
    .bind(tenant.as_str())
    .bind(user.as_str())
    .bind(now.as_millis())
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Uses a proof, once.
///
/// # Errors
/// [`StorageError`].
pub async fn take_proof(
    tx: &mut Tx,
    tenant: &TenantId,
    proof: &Proof,
    now: Timestamp,
) -> Result<ProofUse, StorageError> {
    let taken: Option<String> = query(
        "-- take_proof
         UPDATE pairing_proofs SET consumed_at = $4
         WHERE tenant_id = $1 AND jti = $2 AND user_socket_hash = $3 AND consumed_at IS NULL AND voided_at IS NULL
           AND expires_at > $4
         RETURNING profile",
    )
    .bind(tenant.as_str())
    .bind(&proof.jti)
    .bind(proof.user_socket_hash.as_str())
    .bind(now.as_millis())
    .fetch_value(&mut *tx)
    .await?;
    if let Some(profile) = taken {
        let profile = serde_json::from_str(&profile).map_err(|_| StorageError::Corrupt("pairing profile"))?;
        return Ok(ProofUse::Taken(Box::new(profile)));
    }
    let used: Option<bool> = query(
        "-- proof_was_used
         SELECT consumed_at IS NOT NULL FROM pairing_proofs WHERE tenant_id = $1 AND jti = $2",
    )
    .bind(tenant.as_str())
    .bind(&proof.jti)
    .fetch_value(&mut *tx)
    .await?;
    Ok(if used == Some(true) { ProofUse::Used } else { ProofUse::Void })
}

/// The user's pairing, unless it was revoked or never was.
///
/// # Errors
/// [`StorageError`].
pub async fn of_user(
    db: impl Into<On<'_>>,
    tenant: &TenantId,
    user: &UserSocketHash,
) -> Result<Option<Pairing>, StorageError> {
    let row = query(
        "-- pairing_of_user
         SELECT relay_user_linked_id, user_socket_hash, backend_user_id, display_name, display_logo_url
         FROM pairings WHERE tenant_id = $1 AND user_socket_hash = $2 AND revoked_at IS NULL",
    )
    .bind(tenant.as_str())
    .bind(user.as_str())
    .fetch_optional(db)
    .await?;
    row.as_ref().map(pairing).transpose()
}

/// Begins a pairing.
///
/// # Errors
/// [`StorageError::Database`], also if the user has a live one.
pub async fn insert(
    tx: &mut Tx,
    tenant: &TenantId,
    linked_id: &RelayUserLinkedId,
    profile: &PreparePairing,
    now: Timestamp,
) -> Result<(), StorageError> {
    query(
        "-- insert_pairing
         INSERT INTO pairings (tenant_id, relay_user_linked_id, user_socket_hash, backend_user_id, display_name,
                               user_email, user_phone, first_name, last_name, display_logo_url, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(tenant.as_str())
    .bind(linked_id.as_str())
    .bind(profile.user_socket_hash.as_str())
    .bind(&profile.backend_user_id)
    .bind(&profile.display_name)
    .bind(&profile.user_email)
    .bind(&profile.user_phone)
    .bind(&profile.first_name)
    .bind(&profile.last_name)
    .bind(&profile.display_logo_url)
    .bind(now.as_millis())
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Takes over what the tenant says of the user now.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn update_profile(
    tx: &mut Tx,
    tenant: &TenantId,
    linked_id: &RelayUserLinkedId,
    profile: &PreparePairing,
) -> Result<(), StorageError> {
    query(
        "-- update_profile
         UPDATE pairings SET backend_user_id = $3, display_name = $4, user_email = $5, user_phone = $6,
                             first_name = $7, last_name = $8, display_logo_url = $9
         WHERE tenant_id = $1 AND relay_user_linked_id = $2",
    )
    .bind(tenant.as_str())
    .bind(linked_id.as_str())
    .bind(&profile.backend_user_id)
    .bind(&profile.display_name)
    .bind(&profile.user_email)
    .bind(&profile.user_phone)
    .bind(&profile.first_name)
    .bind(&profile.last_name)
    .bind(&profile.display_logo_url)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Ends the user's pairing; its row stays. `None` means that there was none.
///
/// # Errors
/// [`StorageError`].
pub async fn revoke(
    tx: &mut Tx,
    tenant: &TenantId,
    user: &UserSocketHash,
    now: Timestamp,
) -> Result<Option<RelayUserLinkedId>, StorageError> {
    let revoked: Option<String> = query(
        "-- revoke_pairing
         UPDATE pairings SET revoked_at = $3
         WHERE tenant_id = $1 AND user_socket_hash = $2 AND revoked_at IS NULL
         RETURNING relay_user_linked_id",
    )
    .bind(tenant.as_str())
    .bind(user.as_str())
    .bind(now.as_millis())
    .fetch_value(&mut *tx)
    .await?;
    revoked.map(|id| id.parse().map_err(|_| StorageError::Corrupt("pairing"))).transpose()
}

/// Forgets proofs that are over, used or not, and with them what they say of people: their tokens are refused by their
/// own end from then on.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn forget_proofs(storage: &Storage, now: Timestamp) -> Result<u64, StorageError> {
    let done = query("-- forget_proofs\nDELETE FROM pairing_proofs WHERE expires_at <= $1")
        .bind(now.as_millis())
        .execute(storage.writer())
        .await?;
    Ok(done.rows_affected())
}
