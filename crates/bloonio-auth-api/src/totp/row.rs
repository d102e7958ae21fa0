//! Rows of `totp_seeds` and `totp_misses`.

use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::{DeviceId, RelayUserLinkedId, TenantId};

use super::TotpError;
use super::code::Step;
use super::throttle::Throttle;
use crate::db::{On, Row, Tx, query};

/// A seed to be stored.
#[derive(Debug)]
pub(super) struct NewSeed<'a> {
    /// Whose.
    pub relay_user_linked_id: &'a RelayUserLinkedId,
    /// To whom it is handed.
    pub device_id: &'a DeviceId,
    /// The seed, sealed for this row.
    pub seed_sealed: Vec<u8>,
    /// When.
    pub created_at: Timestamp,
}

/// A stored seed.
#[derive(Debug)]
pub(super) struct StoredSeed {
    /// To whom it was handed. A device is handed one seed in its life, so this names the seed, too.
    pub device_id: DeviceId,
    /// The seed, sealed for this row.
    pub seed_sealed: Vec<u8>,
}

/// Stores a seed, unless the pairing has one: then `false`, and nothing is changed.
pub(super) async fn insert(tx: &mut Tx, tenant: &TenantId, new: &NewSeed<'_>) -> Result<bool, TotpError> {
    let done = query(
        "-- insert_totp_seed
         INSERT INTO totp_seeds (tenant_id, relay_user_linked_id, device_id, seed_sealed, created_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT DO NOTHING",
    )
    .bind(tenant.as_str())
    .bind(new.relay_user_linked_id.as_str())
    .bind(new.device_id.as_str())
    .bind(&new.seed_sealed)
    .bind(new.created_at.as_millis())
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The pairing's seed.
pub(super) async fn get(
    db: impl Into<On<'_>>,
    tenant: &TenantId,
    linked_id: &RelayUserLinkedId,
) -> Result<Option<StoredSeed>, TotpError> {
    let row = query(
        "-- totp_seed
         SELECT device_id, seed_sealed FROM totp_seeds WHERE tenant_id = $1 AND relay_user_linked_id = $2",
    )
    .bind(tenant.as_str())
    .bind(linked_id.as_str())
    .fetch_optional(db)
    .await?;
    let seed = |row: Row| {
        let device_id: String = row.get("device_id")?;
        let device_id = device_id.parse().map_err(|_| TotpError::Corrupt("totp seed"))?;
        Ok::<_, TotpError>(StoredSeed { device_id, seed_sealed: row.get("seed_sealed")? })
    };
    row.map(seed).transpose()
}

/// Where the seed that this device was handed stands against guessing; `None` means that there is no such seed.
pub(super) async fn throttle(
    tx: &mut Tx,
    tenant: &TenantId,
    linked_id: &RelayUserLinkedId,
    device: &DeviceId,
) -> Result<Option<Throttle>, TotpError> {
    let row = query(
        "-- totp_throttle
         SELECT wrong_at, locks, locked_until FROM totp_seeds
         WHERE tenant_id = $1 AND relay_user_linked_id = $2 AND device_id = $3",
    )
    .bind(tenant.as_str())
    .bind(linked_id.as_str())
    .bind(device.as_str())
    .fetch_optional(tx)
    .await?;
    let read = |row: Row| {
        let wrong_at: String = row.get("wrong_at")?;
        let wrong_at: Vec<i64> = serde_json::from_str(&wrong_at).map_err(|_| TotpError::Corrupt("totp seed"))?;
        Ok::<_, TotpError>(Throttle {
            wrong_at: wrong_at.into_iter().map(Timestamp::from_millis).collect(),
            locks: u32::try_from(row.get::<i64>("locks")?).map_err(|_| TotpError::Corrupt("totp seed"))?,
            locked_until: row.get::<Option<i64>>("locked_until")?.map(Timestamp::from_millis),
        })
    };
    row.map(read).transpose()
}

/// Accepts the code of `step`, if no code of it or of a later one was accepted before, and if codes are not locked at
/// `now`; `false` means that one of these did not hold, and nothing was changed. Of any number that try, one changes the
/// row (ATTACKS A84). A right code ends what the wrong ones before it began.
pub(super) async fn accept(
    tx: &mut Tx,
    tenant: &TenantId,
    linked_id: &RelayUserLinkedId,
    device: &DeviceId,
    step: Step,
    now: Timestamp,
) -> Result<bool, TotpError> {
    let done = query(
        "-- accept_totp_step
         UPDATE totp_seeds SET last_step = $4, wrong_at = '[]', locks = 0, locked_until = NULL
         WHERE tenant_id = $1 AND relay_user_linked_id = $2 AND device_id = $3 AND last_step < $4
           AND (locked_until IS NULL OR locked_until <= $5)",
    )
    .bind(tenant.as_str())
    .bind(linked_id.as_str())
    .bind(device.as_str())
    .bind(step.number())
    .bind(now.as_millis())
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Keeps where the seed stands against guessing.
pub(super) async fn set_throttle(
    tx: &mut Tx,
    tenant: &TenantId,
    linked_id: &RelayUserLinkedId,
    device: &DeviceId,
    throttle: &Throttle,
) -> Result<(), TotpError> {
    let wrong_at: Vec<_> = throttle.wrong_at.iter().map(|at| at.as_millis()).collect();
    let done = query(
        "-- set_totp_throttle
         UPDATE totp_seeds SET wrong_at = $4, locks = $5, locked_until = $6
         WHERE tenant_id = $1 AND relay_user_linked_id = $2 AND device_id = $3",
    )
    .bind(tenant.as_str())
    .bind(linked_id.as_str())
    .bind(device.as_str())
    .bind(serde_json::to_string(&wrong_at).map_err(|_| TotpError::Corrupt("totp seed"))?)
    .bind(throttle.locks)
    .bind(throttle.locked_until.map(Timestamp::as_millis))
    .execute(tx)
    .await?;
    // It was read in this transaction, which is the only writer.
    if done.rows_affected() == 1 { Ok(()) } else { Err(TotpError::Corrupt("totp seed")) }
}

/// Counts a code for a pairing that has no seed.
pub(super) async fn miss(tx: &mut Tx, tenant: &TenantId, now: Timestamp) -> Result<(), TotpError> {
    query(
        "-- totp_miss
         INSERT INTO totp_misses (tenant_id, misses, last_at) VALUES ($1, 1, $2)
         ON CONFLICT (tenant_id) DO UPDATE SET misses = totp_misses.misses + 1, last_at = excluded.last_at",
    )
    .bind(tenant.as_str())
    .bind(now.as_millis())
    .execute(tx)
    .await?;
    Ok(())
}

/// Deletes the pairing's seed; `false` means that it had none.
pub(super) async fn delete(tx: &mut Tx, tenant: &TenantId, linked_id: &RelayUserLinkedId) -> Result<bool, TotpError> {
    let done = query(
        "-- delete_totp_seed
         DELETE FROM totp_seeds WHERE tenant_id = $1 AND relay_user_linked_id = $2",
    )
    .bind(tenant.as_str())
    .bind(linked_id.as_str())
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}
