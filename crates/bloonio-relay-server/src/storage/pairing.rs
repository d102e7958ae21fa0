//! Rows of `pairings` and `pairing_proofs` (PROTOCOL 4): one live pairing per (tenant, user).

use bloonio_wire::clock::Timestamp;
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
}

/// What became of the attempt to use a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProofUse {
    /// It is used now, by this transaction alone; what it says of the user, sealed.
    Taken(Vec<u8>),
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
    profile_sealed: &[u8],
    now: Timestamp,
) -> Result<(), StorageError> {
    void_proofs(tx, tenant, &proof.user_socket_hash, now).await?;
    query(
        "-- insert_proof
         INSERT INTO pairing_proofs (tenant_id, jti, user_socket_hash, profile_sealed, expires_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(tenant.as_str())
    .bind(&proof.jti)
    .bind(proof.user_socket_hash.as_str())
    .bind(profile_sealed)
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
    let taken: Option<Vec<u8>> = query(
        "-- take_proof
         UPDATE pairing_proofs SET consumed_at = $4
         WHERE tenant_id = $1 AND jti = $2 AND user_socket_hash = $3 AND consumed_at IS NULL AND voided_at IS NULL
           AND expires_at > $4
         RETURNING profile_sealed",
    )
    .bind(tenant.as_str())
    .bind(&proof.jti)
    .bind(proof.user_socket_hash.as_str())
    .bind(now.as_millis())
    .fetch_value(&mut *tx)
    .await?;
    if let Some(profile_sealed) = taken {
        return Ok(ProofUse::Taken(profile_sealed));
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
         SELECT relay_user_linked_id, user_socket_hash FROM pairings
         WHERE tenant_id = $1 AND user_socket_hash = $2 AND revoked_at IS NULL",
    )
    .bind(tenant.as_str())
    .bind(user.as_str())
    .fetch_optional(db)
    .await?;
    row.as_ref().map(pairing).transpose()
}

/// Begins a pairing, with what the tenant says of the user, sealed.
///
/// # Errors
/// [`StorageError::Database`], also if the user has a live one.
pub async fn insert(
    tx: &mut Tx,
    tenant: &TenantId,
    pairing: &Pairing,
    profile_sealed: &[u8],
    now: Timestamp,
) -> Result<(), StorageError> {
    query(
        "-- insert_pairing
         INSERT INTO pairings (tenant_id, relay_user_linked_id, user_socket_hash, profile_sealed, created_at)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(tenant.as_str())
    .bind(pairing.relay_user_linked_id.as_str())
    .bind(pairing.user_socket_hash.as_str())
    .bind(profile_sealed)
    .bind(now.as_millis())
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Takes over what the tenant says of the user now, sealed.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn update_profile(
    tx: &mut Tx,
    tenant: &TenantId,
    linked_id: &RelayUserLinkedId,
    profile_sealed: &[u8],
) -> Result<(), StorageError> {
    query(
        "-- update_profile
         UPDATE pairings SET profile_sealed = $3 WHERE tenant_id = $1 AND relay_user_linked_id = $2",
    )
    .bind(tenant.as_str())
    .bind(linked_id.as_str())
    .bind(profile_sealed)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Ends the user's pairing; its row stays, and what it says of the user goes. `None` means that there was none.
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
         UPDATE pairings SET revoked_at = $3, profile_sealed = NULL
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
