//! The answer to a prompt or an alert: what the first attempts came to (PROTOCOL 5).
//!
//! It is kept with the prompt, so that the same request again gets the first answer and no second push.

use std::time::Duration;

use bloonio_wire::challenge::PushReceipt;
use bloonio_wire::code::ErrorCode;
use bloonio_wire::id::{InstructionId, TenantId};
use tracing::{Instrument, error};

use crate::app::{App, SharedApp};
use crate::push::PushKind;
use crate::service::error::ServiceError;
use crate::storage::push::status::{self, PushState};
use crate::storage::{StorageError, alert, prompt};

/// A little longer than the first attempts may take.
const LONGEST_WAIT: Duration = Duration::from_secs(13);
/// Addresses shown of those that failed, and their length (PROTOCOL 5).
const SAMPLE: usize = 5;
const SAMPLE_LENGTH: usize = 12;

/// A prompt or an alert whose pushes were committed.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Whose.
    pub tenant_id: TenantId,
    /// [`PushKind::AuthChallenge`] or [`PushKind::SecurityAlert`].
    pub kind: PushKind,
    /// Instruction id, or notification id, which has the same form.
    pub id: InstructionId,
}

/// Makes the first attempts, keeps what they came to, and answers it. A caller who hangs up does not stop it
/// ([`crate::http::detach`]).
///
/// # Errors
/// [`ServiceError`]; `PUSH_NOT_DELIVERED` with the receipt if every attempt failed.
pub async fn deliver(app: &SharedApp, subject: Subject) -> Result<PushReceipt, ServiceError> {
    answer(first_receipt(app, subject).await?)
}

/// Makes the first attempts of a message that nobody waits for: a withdrawal, or a notice of the relay's own.
pub fn push_unattended(app: &SharedApp, subject: Subject) {
    let app = SharedApp::clone(app);
    let tracker = app.tracker.clone();
    let attempts = async move {
        let done = app.pusher.first_attempts(&subject.tenant_id, subject.kind, subject.id.as_str()).await;
        if let Err(failure) = done {
            // The leases of the pushes lapse, and the worker sends them.
            error!(error = &failure as &dyn std::error::Error, "the first attempts of a push failed");
        }
    };
    tracker.spawn(attempts.in_current_span());
}

async fn first_receipt(app: &SharedApp, subject: Subject) -> Result<PushReceipt, ServiceError> {
    let attempts = app.pusher.first_attempts(&subject.tenant_id, subject.kind, subject.id.as_str()).await?;
    // Stream devices alone: their rows were final when they were committed, and say it all again at any time.
    let final_before = attempts.streams_sent_at.filter(|_| attempts.failed == 0 && attempts.fcm_message_ids.is_empty());
    let receipt = PushReceipt {
        instruction_id: subject.id.as_str().to_owned(),
        delivered_count: attempts.delivered,
        failed_count: attempts.failed,
        fcm_message_ids: attempts.fcm_message_ids,
        failed_tokens_sample: attempts.failed_tokens_sample,
        sent_at: final_before.unwrap_or_else(|| app.clock.now()),
    };
    if final_before.is_some() {
        return Ok(receipt);
    }
    let json = serde_json::to_string(&receipt)?;
    match subject.kind {
        PushKind::SecurityAlert => {
            alert::set_receipt(&app.storage, &subject.tenant_id, subject.id.as_str(), &json).await?;
        }
        _ => prompt::set_receipt(&app.storage, &subject.tenant_id, subject.id.as_str(), &json).await?,
    }
    app.prompts.wake(&(subject.tenant_id, subject.id), ());
    Ok(receipt)
}

/// The first answer again, waiting for the first attempts if they are still under way.
///
/// # Errors
/// Those of [`deliver`].
pub async fn again(app: &App, subject: &Subject) -> Result<PushReceipt, ServiceError> {
    let mut woken = app.prompts.subscribe((subject.tenant_id.clone(), subject.id.clone()));
    let kept = async {
        loop {
            if let Some(receipt) = kept(app, subject).await? {
                return Ok(receipt);
            }
            if !under_way(app, subject).await? {
                return from_rows(app, subject).await;
            }
            woken.woken().await;
        }
    };
    match tokio::time::timeout(LONGEST_WAIT, kept).await {
        Ok(receipt) => answer(receipt?),
        Err(_) => answer(from_rows(app, subject).await?),
    }
}

fn answer(receipt: PushReceipt) -> Result<PushReceipt, ServiceError> {
    if receipt.delivered_count == 0 {
        return Err(ServiceError::RefusedWith(ErrorCode::PushNotDelivered, serde_json::to_value(receipt)?));
    }
    Ok(receipt)
}

async fn kept(app: &App, subject: &Subject) -> Result<Option<PushReceipt>, ServiceError> {
    let db = app.storage.readers();
    let json = match subject.kind {
        PushKind::SecurityAlert => {
            alert::get(db, &subject.tenant_id, subject.id.as_str()).await?.and_then(|alert| alert.receipt)
        }
        _ => prompt::get(db, &subject.tenant_id, &subject.id).await?.and_then(|prompt| prompt.receipt),
    };
    let receipt = json.map(|json| serde_json::from_str(&json)).transpose();
    receipt.map_err(|_| StorageError::Corrupt("receipt").into())
}

async fn under_way(app: &App, subject: &Subject) -> Result<bool, ServiceError> {
    let rows = status::list(&app.storage, &subject.tenant_id, subject.kind, subject.id.as_str()).await?;
    Ok(rows.iter().any(|row| row.state == PushState::Sending))
}

/// The receipt that nobody has written: of stream devices alone, or of a relay that stopped before it could.
async fn from_rows(app: &App, subject: &Subject) -> Result<PushReceipt, ServiceError> {
    let rows = status::list(&app.storage, &subject.tenant_id, subject.kind, subject.id.as_str()).await?;
    let (delivered, failed): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.state == PushState::Delivered);
    let count = |rows: &[_]| u32::try_from(rows.len()).unwrap_or(u32::MAX);
    let sample = failed.iter().filter_map(|row| row.address.as_ref()).take(SAMPLE);
    Ok(PushReceipt {
        instruction_id: subject.id.as_str().to_owned(),
        delivered_count: count(&delivered),
        failed_count: count(&failed),
        failed_tokens_sample: sample.map(|address| address.chars().take(SAMPLE_LENGTH).collect()).collect(),
        sent_at: delivered.iter().filter_map(|row| row.sent_at).max().unwrap_or_else(|| app.clock.now()),
        fcm_message_ids: delivered.into_iter().filter_map(|row| row.fcm_message_id).collect(),
    })
}
