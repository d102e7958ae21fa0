//! Whether a request was seen before (PROTOCOL 2.3; SECURITY, "Signatures and replay").
//!
//! Redis is asked first where there is one, so that a flood of replays costs the database nothing. Whoever passes there
//! claims in the database as well: that alone outlives Redis. Seen by either is seen; Redis away, the database tells alone;
//! both away, nothing is let in.

use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::TenantId;

use crate::app::App;
use crate::service::error::ServiceError;
use crate::shared;
use crate::storage::replay::{self as rows, REMEMBERED};

/// Claims `keys` for one request that `tenant` signed at `signed_at`: the signature, and a nonce where there is one. `false`
/// means that one of them was seen before. To be called after everything that refuses without leaving a trace, and before
/// any effect.
///
/// # Errors
/// [`ServiceError::Storage`]; the request was not let in, and may come again.
pub async fn claim(
    app: &App,
    tenant: &TenantId,
    keys: &[[u8; 32]],
    signed_at: Timestamp,
) -> Result<bool, ServiceError> {
    let claimed = match app.shared.claim(tenant, keys, REMEMBERED).await {
        Ok(None) => return Ok(false),
        Ok(Some(claim)) => Some(claim),
        Err(shared::Away) => None,
    };
    match rows::claim(&app.storage, tenant, keys, signed_at, app.clock.now()).await {
        Ok(first) => Ok(first),
        Err(failure) => {
            if let Some(claim) = claimed {
                app.shared.unclaim(claim).await;
            }
            Err(failure.into())
        }
    }
}
