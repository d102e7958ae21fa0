//! `restored`: begins another epoch, in which nothing holds that may have been used, ended or replaced since the backup.
//!
//! | since the backup | in the restored database | so here |
//! | --- | --- | --- |
//! | prompts were answered | they are open | open prompts are withdrawn |
//! | proofs were used | they are good | open proofs are voided |
//! | phones were lost and revoked, tokens superseded | they may act | all devices are removed: people pair again |
//! | codes were used, seeds replaced | they are good | seeds are deleted |
//! | calls were seen | they are unseen | calls signed until 30 s from now are refused as replays |
//!
//! Decisions and callbacks stay as the backup has them: they were made, and a callback that is sent twice has its id.
//! What a database alone cannot know (which secrets were replaced since) is said to the operator.

use std::time::Duration;

use bloonio_auth_api::totp::{TotpError, restored};
use bloonio_wire::clock::{Clock, Timestamp};
use bloonio_wire::id::TenantId;
use bloonio_wire::sign::WINDOW_MS;

use crate::audit::{Chain, Event, Kind};
use crate::storage::{Storage, StorageError, Tx, audit, epoch, restore as rows};

/// The treatment was not done: nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The database fails.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The one-time codes' tables fail.
    #[error(transparent)]
    Totp(#[from] TotpError),
}

/// What becomes of the paired devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Devices {
    /// They are removed, with their seeds: people pair again.
    Removed,
    /// They stay as the backup has them: those that were revoked since may act again.
    Kept,
}

/// What was done to one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Treated {
    /// Whose.
    pub tenant_id: TenantId,
    /// Open prompts that were withdrawn.
    pub prompts: u64,
    /// Open offers to pair that were voided.
    pub proofs: u64,
    /// Devices that were removed.
    pub devices: u64,
    /// When its secret was last replaced, as far as this database knows.
    pub secret_rotated_at: Option<Timestamp>,
}

/// The epoch that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Its number.
    pub epoch: i64,
    /// What was done to each tenant, by id.
    pub tenants: Vec<Treated>,
}

/// Treats a database that came back from a backup, in one transaction. No relay may work on it meanwhile: what a running
/// one holds in memory is not looked at.
///
/// # Errors
/// [`RestoreError`].
pub async fn treat(storage: &Storage, clock: &dyn Clock, devices: Devices) -> Result<Begun, RestoreError> {
    let place = epoch::place(storage).await?;
    let mut tx = storage.begin_shared().await?;
    let now = clock.now();
    // A caller's clock may be ahead by as much, and its call have been let in.
    let window = Duration::from_millis(WINDOW_MS.unsigned_abs());
    let number = epoch::begin(&mut tx, place.as_deref(), now.plus(window)).await?;
    let mut treated = Vec::new();
    for (tenant_id, secret_rotated_at) in rows::tenants(&mut tx).await? {
        let done = treat_tenant(&mut tx, tenant_id, secret_rotated_at, devices, now).await?;
        let event = Event::new(Kind::DatabaseRestored, done.tenant_id.as_str())
            .with("epoch", number)
            .with("prompts", done.prompts)
            .with("proofs", done.proofs)
            .with("devices", done.devices);
        audit::append(&mut tx, &done.tenant_id, event, now).await?;
        treated.push(done);
    }
    let event = Event::new(Kind::DatabaseRestored, "database").with("epoch", number).with("tenants", treated.len());
    audit::append(&mut tx, Chain::Operator, event, now).await?;
    storage.commit(tx).await?;
    Ok(Begun { epoch: number, tenants: treated })
}

async fn treat_tenant(
    tx: &mut Tx,
    tenant_id: TenantId,
    secret_rotated_at: Option<Timestamp>,
    devices: Devices,
    now: Timestamp,
) -> Result<Treated, RestoreError> {
    let prompts = rows::withdraw_prompts(tx, &tenant_id, now).await?;
    rows::end_pushes(tx, &tenant_id).await?;
    let proofs = rows::void_proofs(tx, &tenant_id, now).await?;
    rows::end_grace(tx, &tenant_id).await?;
    let devices = match devices {
        Devices::Removed => {
            restored::forget_all(tx, &tenant_id).await?;
            rows::remove_devices(tx, &tenant_id, now).await?
        }
        Devices::Kept => {
            restored::spend_codes(tx, &tenant_id, now).await?;
            0
        }
    };
    Ok(Treated { tenant_id, prompts, proofs, devices, secret_rotated_at })
}

/// Begins another epoch for a database that was moved with nothing lost: everything in it holds.
///
/// # Errors
/// [`RestoreError`].
pub async fn accept(storage: &Storage, clock: &dyn Clock) -> Result<i64, RestoreError> {
    let place = epoch::place(storage).await?;
    let mut tx = storage.begin_shared().await?;
    let number = epoch::begin(&mut tx, place.as_deref(), Timestamp::from_millis(0)).await?;
    let event = Event::new(Kind::DatabaseMoved, "database").with("epoch", number);
    audit::append(&mut tx, Chain::Operator, event, clock.now()).await?;
    storage.commit(tx).await?;
    Ok(number)
}
