//! What prompts and alerts say, as it is stored: sealed, each bound to its own row.

use bloonio_wire::challenge::{Alert, AlertKind, AuthChallenge, Challenge};
use bloonio_wire::clock::Timestamp;
use bloonio_wire::digest::Framed;
use bloonio_wire::id::TenantId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::service::error::ServiceError;
use crate::storage::StorageError;
use crate::storage::alert::StoredAlert;
use crate::storage::prompt::Prompt;

/// What a prompt asks. The asker's name is kept as it was: it is part of what a device signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptContent {
    /// Who asks, for people.
    pub tenant_name: String,
    /// The tenant's request.
    pub challenge: AuthChallenge,
}

/// What an alert says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertContent {
    /// Who tells, for people.
    pub tenant_name: String,
    /// Headline.
    pub title: String,
    /// Text.
    pub body: String,
    /// What kind of notice.
    pub kind: AlertKind,
}

/// SHA-256 of a request as it was understood: the same fields with the same values, in whatever order they came.
///
/// # Errors
/// [`ServiceError::Internal`].
pub fn request_sha256(request: &impl Serialize) -> Result<[u8; 32], ServiceError> {
    let mut framed = Framed::new("bloonio-request-v1");
    framed.part(&serde_json::to_vec(request)?);
    Ok(framed.digest())
}

/// Seals JSON for the row named by `context`.
pub(super) fn seal(app: &App, context: &[&str], content: &impl Serialize) -> Result<Vec<u8>, ServiceError> {
    Ok(app.sealer.seal(app.random.as_ref(), context, &serde_json::to_vec(content)?)?)
}

/// Opens JSON that was sealed for the row named by `context`.
pub(super) fn open<T: DeserializeOwned>(app: &App, context: &[&str], sealed: &[u8]) -> Result<T, ServiceError> {
    let plain = app.sealer.open(context, sealed)?;
    serde_json::from_slice(&plain).map_err(|_| StorageError::Corrupt("sealed content").into())
}

/// Seals what a prompt asks.
///
/// # Errors
/// [`ServiceError::Internal`].
pub fn seal_prompt(app: &App, tenant: &TenantId, content: &PromptContent) -> Result<Vec<u8>, ServiceError> {
    seal(app, &["prompt", tenant.as_str(), content.challenge.instruction_id.as_str()], content)
}

/// Opens what a prompt asks.
///
/// # Errors
/// [`ServiceError::Internal`], [`ServiceError::Storage`].
pub fn open_prompt(app: &App, tenant: &TenantId, prompt: &Prompt) -> Result<PromptContent, ServiceError> {
    open(app, &["prompt", tenant.as_str(), prompt.instruction_id.as_str()], &prompt.content_sealed)
}

/// Seals what an alert says.
///
/// # Errors
/// [`ServiceError::Internal`].
pub fn seal_alert(
    app: &App,
    tenant: &TenantId,
    notification: &str,
    content: &AlertContent,
) -> Result<Vec<u8>, ServiceError> {
    seal(app, &["alert", tenant.as_str(), notification], content)
}

/// An alert as a device fetches it.
///
/// # Errors
/// [`ServiceError::Internal`], [`ServiceError::Storage`].
pub fn alert(app: &App, tenant: &TenantId, stored: StoredAlert) -> Result<Alert, ServiceError> {
    let context = ["alert", tenant.as_str(), stored.notification_id.as_str()];
    let AlertContent { tenant_name, title, body, kind } = open(app, &context, &stored.content_sealed)?;
    let StoredAlert { notification_id, created_at, expires_at, .. } = stored;
    Ok(Alert { notification_id, tenant_id: tenant.clone(), tenant_name, title, body, kind, created_at, expires_at })
}

/// A prompt as a device fetches it in a list; see [`bloonio_wire::decision::challenge_sha256`] for what of it is signed.
pub fn challenge(tenant: &TenantId, prompt: &Prompt, content: PromptContent, now: Timestamp) -> Challenge {
    let PromptContent { tenant_name, challenge } = content;
    Challenge {
        instruction_id: challenge.instruction_id,
        tenant_id: tenant.clone(),
        tenant_name,
        custom_type: challenge.custom_type,
        expected_action: challenge.expected_action,
        description: challenge.description,
        display: challenge.display,
        numbers: challenge.numbers,
        challenge_digest: challenge.challenge_digest,
        created_at: prompt.created_at,
        expires_at: prompt.expires_at,
        status: prompt.status(now),
        response_token: None,
        backend_url: None,
    }
}
