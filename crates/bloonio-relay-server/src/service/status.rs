//! GET /relay/fetch/delivery-status: what became of a prompt's pushes (PROTOCOL 5).

use bloonio_wire::challenge::ChallengeStatus;
use bloonio_wire::clock::Timestamp;
use bloonio_wire::code::ErrorCode;
use bloonio_wire::device::Platform;
use bloonio_wire::id::{DeviceId, InstructionId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::SharedApp;
use crate::push::PushKind;
use crate::service::error::ServiceError;
use crate::service::tenant::Tenant;
use crate::storage::push::status::{self, PushRow, PushState};
use crate::storage::{alert, prompt};

/// Where a prompt, or an alert, stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// No device has it yet.
    Pending,
    /// Every device has it.
    Delivered,
    /// Some devices have it.
    Partial,
    /// Every device failed.
    Failed,
    /// It was answered.
    Answered,
    /// It is out of time.
    Expired,
    /// It was withdrawn.
    Cancelled,
}

/// Where one device's message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeviceState {
    /// Under way, or waiting for its next attempt.
    Pending,
    /// Taken by the push service; `stream` devices need none.
    Delivered,
    /// Given up.
    Failed,
    /// Over before it was taken.
    Expired,
}

/// One device's line.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DeviceDelivery {
    /// The device.
    pub device_id: DeviceId,
    /// How it is reached.
    pub platform: Platform,
    /// Where its message stands.
    pub status: DeviceState,
    /// FCM's name of the message.
    pub fcm_message_id: Option<String>,
    /// What the last attempt failed of: a stable word.
    pub error: Option<String>,
    /// Attempts so far.
    pub attempts: i64,
    /// When it was taken.
    pub sent_at: Option<Timestamp>,
    /// When the device fetched what it is about.
    pub seen_at: Option<Timestamp>,
}

/// Answer to GET /relay/fetch/delivery-status.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DeliveryStatus {
    /// The tenant's name of it.
    pub instruction_id: InstructionId,
    /// Where it stands.
    pub status: DeliveryState,
    /// Devices that have it.
    pub delivered_count: usize,
    /// Devices that were given up.
    pub failed_count: usize,
    /// Each device.
    pub devices: Vec<DeviceDelivery>,
}

/// Where a prompt of the tenant stands, or an alert under its notification id.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn fetch(app: &SharedApp, tenant: &Tenant, id: &InstructionId) -> Result<DeliveryStatus, ServiceError> {
    let (tenant_id, now) = (&tenant.tenant_id, app.clock.now());
    let (kind, over) = match prompt::get(app.storage.readers(), tenant_id, id).await? {
        Some(prompt) => (PushKind::AuthChallenge, over(prompt.status(now))),
        None => {
            let alert = alert::get(app.storage.readers(), tenant_id, id.as_str()).await?;
            let alert = alert.ok_or(ErrorCode::NotFound)?;
            (PushKind::SecurityAlert, (now >= alert.expires_at).then_some(DeliveryState::Expired))
        }
    };
    let rows = status::list(&app.storage, tenant_id, kind, id.as_str()).await?;
    let count = |state| rows.iter().filter(|row| row.state == state).count();
    let (delivered_count, failed_count) = (count(PushState::Delivered), count(PushState::Failed));
    Ok(DeliveryStatus {
        instruction_id: id.clone(),
        status: over.unwrap_or_else(|| of_rows(&rows, delivered_count)),
        delivered_count,
        failed_count,
        devices: rows.into_iter().map(line).collect(),
    })
}

fn over(status: ChallengeStatus) -> Option<DeliveryState> {
    match status {
        ChallengeStatus::Pending => None,
        ChallengeStatus::Answered => Some(DeliveryState::Answered),
        ChallengeStatus::Expired => Some(DeliveryState::Expired),
        ChallengeStatus::Cancelled => Some(DeliveryState::Cancelled),
    }
}

fn of_rows(rows: &[PushRow], delivered: usize) -> DeliveryState {
    let open = rows.iter().any(|row| matches!(row.state, PushState::Due | PushState::Sending));
    match delivered {
        all if all == rows.len() && all > 0 => DeliveryState::Delivered,
        0 if open => DeliveryState::Pending,
        0 => DeliveryState::Failed,
        _ => DeliveryState::Partial,
    }
}

fn line(row: PushRow) -> DeviceDelivery {
    let status = match row.state {
        PushState::Due | PushState::Sending => DeviceState::Pending,
        PushState::Delivered => DeviceState::Delivered,
        PushState::Failed => DeviceState::Failed,
        PushState::Expired => DeviceState::Expired,
    };
    let PushRow { device_id, platform, fcm_message_id, error, attempts, sent_at, seen_at, .. } = row;
    DeviceDelivery { device_id, platform, status, fcm_message_id, error, attempts, sent_at, seen_at }
}
