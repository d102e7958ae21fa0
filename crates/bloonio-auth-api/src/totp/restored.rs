//! What a restored database must not bring back: seeds that were deleted, and codes that were used, since its backup.

use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::TenantId;

use super::TotpError;
use super::code::Step;
use crate::db::{Tx, query};

/// Deletes all seeds of a tenant; gives how many there were.
///
/// # Errors
/// [`TotpError::Database`].
pub async fn forget_all(tx: &mut Tx, tenant: &TenantId) -> Result<u64, TotpError> {
    let sql = "-- forget_totp_seeds\nDELETE FROM totp_seeds WHERE tenant_id = $1";
    Ok(query(sql).bind(tenant.as_str()).execute(tx).await?.rows_affected())
}

/// Counts every code of a tenant as used that may be accepted at `now`, the next step's among them.
///
/// # Errors
/// [`TotpError::Database`].
pub async fn spend_codes(tx: &mut Tx, tenant: &TenantId, now: Timestamp) -> Result<(), TotpError> {
    let sql = "-- spend_totp_codes\nUPDATE totp_seeds SET last_step = $2 WHERE tenant_id = $1 AND last_step < $2";
    query(sql).bind(tenant.as_str()).bind(Step::at(now).number() + 1).execute(tx).await?;
    Ok(())
}
