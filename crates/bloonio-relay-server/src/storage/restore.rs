//! What must not come back to life with a restored database. All of it is one tenant's, in the transaction that begins the
//! next epoch.

use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::TenantId;

use super::db::{Row, query};
use super::{StorageError, Tx};

/// The tenants, by id, each with the time at which its secret was last replaced.
///
/// # Errors
/// [`StorageError`].
pub async fn tenants(tx: &mut Tx) -> Result<Vec<(TenantId, Option<Timestamp>)>, StorageError> {
    let sql = "-- tenants_and_rotations\nSELECT tenant_id, rotated_at FROM tenants ORDER BY tenant_id";
    let rows = query(sql).fetch_all(&mut *tx).await?;
    let tenant = |row: &Row| {
        let id = TenantId::parse(row.get::<String>("tenant_id")?).map_err(|_| StorageError::Corrupt("tenant"))?;
        Ok((id, row.get::<Option<i64>>("rotated_at")?.map(Timestamp::from_millis)))
    };
    rows.iter().map(tenant).collect()
}

/// Runs a statement on a tenant's rows; gives how many it changed.
async fn change(tx: &mut Tx, sql: &'static str, tenant: &TenantId, now: Timestamp) -> Result<u64, StorageError> {
    Ok(query(sql).bind(tenant.as_str()).bind(now.as_millis()).execute(&mut *tx).await?.rows_affected())
}

/// Withdraws the open prompts: since the backup some of them were answered.
///
/// # Errors
/// [`StorageError`].
pub async fn withdraw_prompts(tx: &mut Tx, tenant: &TenantId, now: Timestamp) -> Result<u64, StorageError> {
    let sql = "-- withdraw_prompts
        UPDATE prompts SET status = 'cancelled' WHERE tenant_id = $1 AND status = 'pending' AND expires_at > $2";
    change(tx, sql, tenant, now).await
}

/// Ends the pushes that still wait: most were sent, and what they announce is withdrawn.
///
/// # Errors
/// [`StorageError`].
pub async fn end_pushes(tx: &mut Tx, tenant: &TenantId) -> Result<(), StorageError> {
    query(
        "-- end_pushes
         UPDATE pushes SET state = 'expired', lease_until = NULL, lease_token = NULL
         WHERE tenant_id = $1 AND state IN ('due', 'sending')",
    )
    .bind(tenant.as_str())
    .execute(tx)
    .await?;
    Ok(())
}

/// Voids the offers to pair that are open: since the backup some of them were used.
///
/// # Errors
/// [`StorageError`].
pub async fn void_proofs(tx: &mut Tx, tenant: &TenantId, now: Timestamp) -> Result<u64, StorageError> {
    let sql = "-- void_proofs_of_tenant
        UPDATE pairing_proofs SET voided_at = $2 WHERE tenant_id = $1 AND consumed_at IS NULL AND voided_at IS NULL";
    change(tx, sql, tenant, now).await
}

/// Removes all devices: since the backup some of them were lost, revoked or replaced, and some sessions superseded.
///
/// # Errors
/// [`StorageError`].
pub async fn remove_devices(tx: &mut Tx, tenant: &TenantId, now: Timestamp) -> Result<u64, StorageError> {
    let sql = "-- remove_devices_of_tenant
        UPDATE devices SET status = 'removed', removed_at = $2, address_kind = NULL, address = NULL,
                           address_state = 'none', address_changed_at = $2
        WHERE tenant_id = $1 AND status <> 'removed'";
    change(tx, sql, tenant, now).await
}

/// Ends the minute in which a superseded session token still works.
///
/// # Errors
/// [`StorageError`].
pub async fn end_grace(tx: &mut Tx, tenant: &TenantId) -> Result<(), StorageError> {
    query("-- end_grace\nDELETE FROM device_grace WHERE tenant_id = $1").bind(tenant.as_str()).execute(tx).await?;
    Ok(())
}
