//! One-time codes: POST /relay/sudo/verify-totp (PROTOCOL 6), and what both ways in have in common. What a code is worth is
//! the auth API's to say ([`bloonio_auth_api::totp`]); here it becomes an answer, and a line in the audit trail.

use bloonio_auth_api::totp::Verdict;
use bloonio_auth_api::totp::code::Code;
use bloonio_wire::code::ErrorCode;
use bloonio_wire::id::{RelayUserLinkedId, TenantId};
use tracing::{info, warn};

use crate::app::SharedApp;
use crate::service::error::ServiceError;
use crate::service::tenant::Tenant;
use crate::telemetry::{AUDIT, metrics as names};

/// Checks a code that a person has typed at the backend. A code works once, here and in answers to prompts together.
///
/// # Errors
/// `INVALID_TOTP`, for what is no pairing of this tenant, too; `RATE_LIMITED` after too many wrong codes.
pub async fn verify(
    app: &SharedApp,
    tenant: &Tenant,
    linked_id: &RelayUserLinkedId,
    code: &Code,
) -> Result<(), ServiceError> {
    let tenant_id = &tenant.tenant_id;
    let judged = app.totp.judge(tenant_id, linked_id, code).await?;
    let mut tx = app.storage.begin(tenant_id).await?;
    let verdict = app.totp.settle(&mut tx, &judged).await?;
    app.storage.commit(tx).await?;
    record(tenant_id, linked_id, "verify-totp", verdict);
    answer(verdict)
}

/// What the sender of a code is told.
///
/// # Errors
/// As of [`verify`].
pub(super) fn answer(verdict: Verdict) -> Result<(), ServiceError> {
    match verdict {
        Verdict::Right => Ok(()),
        Verdict::Wrong { .. } => Err(ErrorCode::InvalidTotp.into()),
        Verdict::Locked { retry_after } => Err(ServiceError::RateLimited { retry_after }),
    }
}

/// Metrics and audit trail, once the verdict is committed. Never the code; `operation` is the call that brought it.
pub(super) fn record(tenant: &TenantId, linked_id: &RelayUserLinkedId, operation: &'static str, verdict: Verdict) {
    let (tenant, pairing) = (tenant.as_str(), linked_id.as_str());
    let outcome = match verdict {
        Verdict::Right => "right",
        Verdict::Wrong { .. } => "wrong",
        Verdict::Locked { .. } => "locked",
    };
    metrics::counter!(names::TOTP_CODES, "outcome" => outcome).increment(1);
    if verdict != Verdict::Right {
        info!(target: AUDIT, operation, outcome, tenant.id = tenant, pairing.id = pairing, "a one-time code was refused");
    }
    if verdict == (Verdict::Wrong { locks: true }) {
        warn!(target: AUDIT, operation, tenant.id = tenant, pairing.id = pairing, "one-time codes are locked for a while");
    }
}
