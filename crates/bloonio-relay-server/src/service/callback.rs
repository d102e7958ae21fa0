//! Callbacks as an operator handles them: look at the outbox, send again (PROTOCOL 9.5).

use bloonio_wire::clock::Timestamp;
use bloonio_wire::code::ErrorCode;
use bloonio_wire::id::TenantId;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::ServiceError;
use crate::app::App;
use crate::outbox::backoff::give_up_at;
use crate::storage::Storage;
use crate::storage::delivery::listing::{self, DeliveryRow, DeliveryState, Filter};

/// A callback, without what it says: what a person answered is the tenant's alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeliveryView {
    /// The delivery, which is the `webhook-id` of every attempt.
    pub delivery_id: String,
    /// Whose event.
    pub tenant_id: TenantId,
    /// An instruction id for decisions, a device id for pairing events.
    pub subject_id: String,
    /// Which event, such as `sudo-validated`.
    pub flow: String,
    /// Where it goes.
    pub url: String,
    /// `due`, `sending`, `acknowledged` or `dead`.
    pub status: &'static str,
    /// Attempts so far.
    pub attempts: i64,
    /// When the event happened.
    pub created_at: Timestamp,
    /// When the next attempt is due; `null` unless it waits for one.
    pub next_at: Option<Timestamp>,
    /// The last instant of the schedule.
    pub give_up_at: Timestamp,
    /// When it was acknowledged or given up.
    pub settled_at: Option<Timestamp>,
    /// The receiver's last HTTP status.
    pub last_status: Option<i64>,
    /// What the last attempt failed of: a stable word, such as `timeout`.
    pub last_error: Option<String>,
}

impl From<DeliveryRow> for DeliveryView {
    fn from(row: DeliveryRow) -> Self {
        Self {
            delivery_id: row.delivery_id,
            tenant_id: row.tenant_id,
            subject_id: row.subject_id,
            flow: row.flow,
            url: row.url,
            status: row.state.as_str(),
            attempts: row.attempts,
            created_at: row.created_at,
            next_at: (row.state == DeliveryState::Due).then_some(row.next_at),
            give_up_at: row.give_up_at,
            settled_at: row.settled_at,
            last_status: row.last_status,
            last_error: row.last_error,
        }
    }
}

/// Answer to GET /fetch/callbacks.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DeliveryPage {
    /// Callbacks, newest first.
    pub items: Vec<DeliveryView>,
    /// How many there are.
    pub total: i64,
    /// Of this page.
    pub limit: i64,
    /// Of this page.
    pub offset: i64,
}

/// A page of callbacks, of one tenant or of all.
///
/// # Errors
/// `NOT_FOUND` for an unknown tenant; [`ServiceError::Storage`].
pub async fn page(storage: &Storage, filter: &Filter, limit: i64, offset: i64) -> Result<DeliveryPage, ServiceError> {
    if let Some(tenant) = &filter.tenant_id {
        storage.tenant_view(tenant).await?.ok_or(ErrorCode::NotFound)?;
    }
    let (rows, total) = listing::list(storage, filter, limit, offset).await?;
    Ok(DeliveryPage { items: rows.into_iter().map(DeliveryView::from).collect(), total, limit, offset })
}

/// Makes a callback due now, acknowledged or given up though it may be: same id, same body, fresh signatures, and a
/// schedule that starts anew. One that is just being sent is left to that attempt.
///
/// # Errors
/// `NOT_FOUND` for an unknown delivery; [`ServiceError::Storage`].
pub async fn redeliver(app: &App, delivery_id: &str) -> Result<DeliveryView, ServiceError> {
    let due = make_due(&app.storage, app.clock.now(), delivery_id).await?;
    app.outbox.wake();
    Ok(due)
}

/// As [`redeliver`], where no outbox is at hand: the next look of a running relay finds it.
///
/// # Errors
/// Those of [`redeliver`].
pub async fn make_due(storage: &Storage, now: Timestamp, delivery_id: &str) -> Result<DeliveryView, ServiceError> {
    let row = listing::redeliver(storage, delivery_id, now, give_up_at(now, None)).await?;
    Ok(row.ok_or(ErrorCode::NotFound)?.into())
}
