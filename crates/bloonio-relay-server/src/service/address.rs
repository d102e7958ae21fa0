//! Push addresses that an operator brings back.

use bloonio_wire::clock::Timestamp;

use crate::audit::{Chain, Event, Kind};
use crate::service::error::ServiceError;
use crate::storage::device::revival::{self, Wave};
use crate::storage::{Storage, audit};

/// Takes the addresses of a wave into use again; gives how many there were.
///
/// # Errors
/// [`ServiceError::Storage`].
pub async fn revive(storage: &Storage, wave: &Wave, now: Timestamp) -> Result<i64, ServiceError> {
    let mut tx = storage.begin_shared().await?;
    let revived = revival::revive(&mut tx, wave, now).await?;
    let event = Event::new(Kind::AddressesRevived, wave.verdict.as_str())
        .with("since", wave.since.as_millis())
        .with("reason", wave.reason.clone())
        .with("revived", revived);
    let chain = wave.tenant_id.as_ref().map_or(Chain::Operator, Chain::from);
    audit::append(&mut tx, chain, event, now).await?;
    storage.commit(tx).await?;
    Ok(revived)
}
