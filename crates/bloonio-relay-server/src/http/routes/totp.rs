//! One-time codes that a person types at the backend (PROTOCOL 6).

use axum::extract::State;
use bloonio_wire::envelope::Success;
use bloonio_wire::id::RelayUserLinkedId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::SharedApp;
use crate::http::auth::tenant::TenantCaller;
use crate::http::error::{Answer, ApiError};
use crate::http::openapi::CodeRefusals;
use crate::http::read;
use crate::service::totp;

/// Body of POST /relay/sudo/verify-totp, as documented.
#[derive(Deserialize, ToSchema)]
#[schema(as = VerifyTotp)]
pub struct VerifyFields {
    /// Whose code.
    pub relay_user_linked_id: RelayUserLinkedId,
    /// The code: six digits.
    pub totp: String,
}

/// Answer to POST /relay/sudo/verify-totp.
#[derive(Debug, Serialize, ToSchema)]
pub struct Verified {
    /// Always `true`.
    pub ok: bool,
}

/// Checks a one-time code. `INVALID_TOTP` is the answer for what is no pairing of this tenant, too. A code works once, here and in answers to prompts together. Five wrong codes in a minute lock the
/// pairing's codes for 1 minute, then for 5, 15 and 60.
#[utoipa::path(post, path = "/api/v1/relay/sudo/verify-totp", tag = "sudo", security(("tenant_signature" = [])),
    request_body = VerifyFields, responses(
    (status = 200, description = "Right, for the first time", body = Success<Verified>),
    CodeRefusals,
))]
pub async fn verify(State(app): State<SharedApp>, caller: TenantCaller) -> Result<Answer<Verified>, ApiError> {
    let (linked_id, code) = read::totp::verification(&caller.json()?)?;
    totp::verify(&app, &caller.tenant, &linked_id, &code).await?;
    Ok(Answer::ok("The code is right.", Verified { ok: true }))
}
