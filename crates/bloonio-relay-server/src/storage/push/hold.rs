//! Putting a push back that was not attempted.

use bloonio_wire::clock::Timestamp;

use super::PushJob;
use crate::storage::db::query;
use crate::storage::{StorageError, Tx};

/// Ends a claim without an attempt: due again at `until`, and the attempt that the claim has counted is not counted. The
/// word tells the delivery status why it waits.
///
/// `false` means that the lease was lost meanwhile and nothing was changed.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn hold(tx: &mut Tx, job: &PushJob, until: Timestamp, error: &str) -> Result<bool, StorageError> {
    let done = query(
        "-- hold_push
         UPDATE pushes SET state = 'due', attempts = attempts - 1, next_at = $6, error = $7, lease_until = NULL,
                           lease_token = NULL
         WHERE tenant_id = $1 AND subject_id = $2 AND kind = $3 AND device_id = $4
           AND state = 'sending' AND lease_token = $5",
    )
    .bind(job.tenant_id.as_str())
    .bind(&job.subject_id)
    .bind(job.kind.as_str())
    .bind(job.device_id.as_str())
    .bind(job.lease_token.as_deref())
    .bind(until.as_millis())
    .bind(error)
    .execute(&mut *tx)
    .await?;
    Ok(done.rows_affected() == 1)
}
