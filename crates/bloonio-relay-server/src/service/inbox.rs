//! What a device may look at: the prompts and alerts of its own pairing (PROTOCOL 5).

use bloonio_wire::challenge::{Alert, Challenge, ChallengeStatus};
use bloonio_wire::code::ErrorCode;
use bloonio_wire::id::InstructionId;

use crate::app::SharedApp;
use crate::push::PushKind;
use crate::service::content;
use crate::service::error::ServiceError;
use crate::service::session::Bearer;
use crate::storage::push::status;
use crate::storage::{alert, prompt};

/// The open prompts, newest first.
///
/// # Errors
/// [`ServiceError`].
pub async fn challenges(app: &SharedApp, bearer: &Bearer) -> Result<Vec<Challenge>, ServiceError> {
    let tenant_id = &bearer.tenant.tenant_id;
    let now = app.clock.now();
    let prompts = prompt::open(&app.storage, tenant_id, &bearer.device.pairing.relay_user_linked_id, now).await?;
    let shown = prompts.iter().map(|prompt| {
        let content = content::open_prompt(app, tenant_id, prompt)?;
        Ok(content::challenge(tenant_id, prompt, content, now))
    });
    shown.collect()
}

/// One prompt, open or over, and marks it seen. `response_token` and `backend_url` come with an open one alone: at any
/// final status the token is dead.
///
/// # Errors
/// `NOT_FOUND`, for another pairing's or tenant's prompt too.
pub async fn challenge(
    app: &SharedApp,
    bearer: &Bearer,
    instruction_id: &InstructionId,
) -> Result<Challenge, ServiceError> {
    let tenant_id = &bearer.tenant.tenant_id;
    let now = app.clock.now();
    let prompt = prompt::get(app.storage.readers(), tenant_id, instruction_id).await?;
    let own = |prompt: &prompt::Prompt| prompt.relay_user_linked_id == bearer.device.pairing.relay_user_linked_id;
    let prompt = prompt.filter(own).ok_or(ErrorCode::NotFound)?;
    let content = content::open_prompt(app, tenant_id, &prompt)?;
    let (token, backend_url) = (content.challenge.response_token.clone(), content.challenge.backend_url.clone());
    let mut challenge = content::challenge(tenant_id, &prompt, content, now);
    if challenge.status == ChallengeStatus::Pending {
        let device_id = &bearer.device.device_id;
        let (kind, subject) = (PushKind::AuthChallenge, instruction_id.as_str());
        status::mark_seen(&app.storage, tenant_id, kind, subject, device_id, now).await?;
        challenge.response_token = token;
        challenge.backend_url = Some(backend_url);
    }
    Ok(challenge)
}

/// The alerts that are not over, newest first, and marks them seen.
///
/// # Errors
/// [`ServiceError`].
pub async fn alerts(app: &SharedApp, bearer: &Bearer) -> Result<Vec<Alert>, ServiceError> {
    let tenant_id = &bearer.tenant.tenant_id;
    let now = app.clock.now();
    let stored = alert::current(&app.storage, tenant_id, &bearer.device.pairing.relay_user_linked_id, now).await?;
    if let (Some(newest), Some(oldest)) = (stored.first(), stored.last()) {
        // Of that span alone: what came since, or did not fit, has not been shown.
        let shown = oldest.created_at..=newest.created_at;
        alert::mark_seen(&app.storage, tenant_id, &bearer.device.device_id, shown, now).await?;
    }
    stored.into_iter().map(|stored| content::alert(app, tenant_id, stored)).collect()
}
