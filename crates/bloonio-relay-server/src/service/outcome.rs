//! GET /relay/fetch/outcome: the decision, for backends that no callback can reach (PROTOCOL 5).

use std::time::Duration;

use bloonio_wire::callback::{ApprovalEvent, Flow};
use bloonio_wire::challenge::ChallengeStatus;
use bloonio_wire::code::ErrorCode;
use bloonio_wire::id::InstructionId;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::app::SharedApp;
use crate::service::error::ServiceError;
use crate::service::tenant::Tenant;
use crate::storage::delivery::delivery_id;
use crate::storage::{StorageError, prompt};
use crate::telemetry::metrics as names;
use crate::telemetry::open::Open;

/// What a backend learns, and the name under which it is signed.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The event and `status: "decided"`, or `instruction_id` and where the prompt stands.
    pub data: Value,
    /// The `webhook-id`; a decision has the same one here and in its callback.
    pub webhook_id: String,
}

/// The outcome as soon as there is one, or where the prompt stands after `wait`. Ends early when the relay stops.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn fetch(
    app: &SharedApp,
    tenant: &Tenant,
    instruction_id: &InstructionId,
    wait: Duration,
) -> Result<Outcome, ServiceError> {
    let look = async || {
        let prompt = prompt::get(app.storage.readers(), &tenant.tenant_id, instruction_id).await?;
        Ok::<_, ServiceError>(prompt.ok_or(ErrorCode::NotFound)?)
    };
    let prompt = look().await?;
    let status = prompt.status(app.clock.now());
    if status != ChallengeStatus::Pending || wait.is_zero() {
        return outcome(tenant, instruction_id, status, prompt.event.as_deref());
    }
    let _open = Open::new(names::LONG_POLLS_OPEN);
    let deadline = Instant::now() + wait;
    // Whoever subscribes reads once after subscribing: a decision between the two is not missed.
    let mut changes = app.prompts.subscribe((tenant.tenant_id.clone(), instruction_id.clone()));
    loop {
        let prompt = look().await?;
        let now = app.clock.now();
        let status = prompt.status(now);
        if status != ChallengeStatus::Pending || Instant::now() >= deadline || app.stopping.is_cancelled() {
            still_entitled(app, tenant).await?;
            return outcome(tenant, instruction_id, status, prompt.event.as_deref());
        }
        tokio::select! {
            _ = changes.woken() => (),
            () = tokio::time::sleep(prompt.expires_at.since(now)) => (),
            () = tokio::time::sleep_until(deadline) => (),
            () = app.stopping.cancelled() => (),
        }
    }
}

/// Who waits may be suspended, or lose his secret, while he does.
async fn still_entitled(app: &SharedApp, tenant: &Tenant) -> Result<(), ServiceError> {
    let now = app.storage.tenant(&app.sealer, &tenant.tenant_id).await?;
    match now.filter(|now| now.secret.matches(tenant.secret.expose())) {
        None => Err(ErrorCode::InvalidSignature.into()),
        Some(now) if !now.is_active() => Err(ErrorCode::TenantSuspended.into()),
        Some(_) => Ok(()),
    }
}

fn outcome(
    tenant: &Tenant,
    instruction_id: &InstructionId,
    status: ChallengeStatus,
    event: Option<&str>,
) -> Result<Outcome, ServiceError> {
    if status != ChallengeStatus::Answered {
        let data = json!({"instruction_id": instruction_id, "status": status});
        return Ok(Outcome { data, webhook_id: format!("outcome_{instruction_id}_{status}") });
    }
    let corrupt = || StorageError::Corrupt("event");
    let event: ApprovalEvent = serde_json::from_str(event.ok_or_else(corrupt)?).map_err(|_| corrupt())?;
    let flow = if event.approved { Flow::SudoValidated } else { Flow::SudoRejected };
    let webhook_id = delivery_id(&tenant.tenant_id, instruction_id.as_str(), flow);
    let mut data = serde_json::to_value(event)?;
    data["status"] = json!("decided");
    Ok(Outcome { data, webhook_id })
}
