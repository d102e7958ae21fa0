//! Addresses that a wave of wrong verdicts has taken out of use, and the way back.

use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::TenantId;

use crate::storage::db::{Query, query};
use crate::storage::push::Retirement;
use crate::storage::{Storage, StorageError, Tx};

/// Verdicts that an operator does not believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wave {
    /// What was said.
    pub verdict: Retirement,
    /// Since when.
    pub since: Timestamp,
    /// For this reason alone.
    pub reason: Option<String>,
    /// Of this tenant alone.
    pub tenant_id: Option<TenantId>,
}

/// A device that has come back with the same address has it in a row of its own: one message is enough.
const OF_WAVE: &str = "address_state = $1 AND address_changed_at >= $2 AND address IS NOT NULL AND status <> 'removed'
    AND (CAST($3 AS TEXT) IS NULL OR address_reason = $3) AND (CAST($4 AS TEXT) IS NULL OR tenant_id = $4)
    AND NOT EXISTS (
        SELECT 1 FROM devices o
        WHERE o.tenant_id = devices.tenant_id AND o.relay_user_linked_id = devices.relay_user_linked_id
          AND o.address = devices.address AND o.address_state = 'live'
    )";

fn of_wave(statement: &str, wave: &Wave) -> Query {
    query(format!("{statement} WHERE {OF_WAVE}"))
        .bind(wave.verdict.as_str())
        .bind(wave.since.as_millis())
        .bind(&wave.reason)
        .bind(wave.tenant_id.as_ref().map(TenantId::as_str))
}

/// How many addresses are out of use by a wave.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn count(storage: &Storage, wave: &Wave) -> Result<i64, StorageError> {
    let row = of_wave("-- count_wave\nSELECT count(*) FROM devices", wave).fetch_one(storage.readers()).await?;
    Ok(row.at(0)?)
}

/// Takes them into use again; gives how many there were.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn revive(tx: &mut Tx, wave: &Wave, now: Timestamp) -> Result<i64, StorageError> {
    let statement = "-- revive_addresses
        UPDATE devices SET address_state = 'live', address_reason = NULL, address_changed_at = $5";
    let done = of_wave(statement, wave).bind(now.as_millis()).execute(&mut *tx).await?;
    Ok(i64::try_from(done.rows_affected()).unwrap_or(i64::MAX))
}
