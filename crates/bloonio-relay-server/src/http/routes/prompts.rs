//! The backend's prompt calls (PROTOCOL 5).

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bloonio_wire::callback::ApprovalEvent;
use bloonio_wire::challenge::{AuthChallenge, ChallengeStatus, PushReceipt};
use bloonio_wire::envelope::{Failure, Success};
use bloonio_wire::id::InstructionId;
use bloonio_wire::{header, webhook};
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::SharedApp;
use crate::http::auth::tenant::TenantCaller;
use crate::http::error::{Answer, ApiError};
use crate::http::openapi::TenantRefusals;
use crate::http::query::Query;
use crate::http::read;
use crate::service::alert::{self, SecurityAlert};
use crate::service::error::ServiceError;
use crate::service::outcome::{self, Outcome};
use crate::service::prompt;
use crate::service::status::{self, DeliveryStatus};

/// Body of POST /relay/cancel/auth-challenge, as documented.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = CancelChallenge)]
pub struct CancelFields {
    /// Which prompt.
    pub instruction_id: InstructionId,
}

/// Answer to POST /relay/cancel/auth-challenge.
#[derive(Debug, Serialize, ToSchema)]
pub struct Cancelled {
    /// Which prompt.
    pub instruction_id: InstructionId,
    /// `cancelled`, or `expired` for one that was over before.
    pub status: ChallengeStatus,
}

/// Answer to POST /relay/send/security-alert.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlertReceipt {
    /// Names the notice.
    pub notification_id: String,
    /// What the first attempts came to; its `instruction_id` is the notification id.
    #[serde(flatten)]
    pub receipt: PushReceipt,
}

/// Answer to GET /relay/fetch/outcome, as documented; built by `service::outcome`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Outcome)]
#[serde(untagged)]
pub enum OutcomeView {
    /// There is a decision.
    Decided(Box<DecidedOutcome>),
    /// There is none.
    Undecided(UndecidedOutcome),
}

/// A decision that was fetched.
#[derive(Debug, Serialize, ToSchema)]
pub struct DecidedOutcome {
    /// The same event as in its callback.
    #[serde(flatten)]
    pub event: ApprovalEvent,
    /// Always `decided`.
    #[schema(pattern = "^decided$")]
    pub status: String,
}

/// Where a prompt without a decision stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct UndecidedOutcome {
    /// Which prompt.
    pub instruction_id: InstructionId,
    /// `pending`, `expired` or `cancelled`.
    #[schema(pattern = "^(pending|expired|cancelled)$")]
    pub status: String,
}

/// Asks the user on all live devices of his pairing. The same request again gets the first answer and no second push.
#[utoipa::path(post, path = "/api/v1/relay/send/auth-challenge", tag = "prompts",
    security(("tenant_signature" = [])), request_body = AuthChallenge, responses(
    (status = 200, description = "One device or more got it", body = Success<PushReceipt>),
    (status = 404, description = "`PAIRING_NOT_FOUND`, or `NO_DEVICE`: a pairing without a live device", body = Failure),
    (status = 409, description = "`IDEMPOTENCY_CONFLICT`", body = Failure),
    (status = 502, description = "`PUSH_NOT_DELIVERED`; `data` has the counts", body = Failure),
    TenantRefusals,
))]
pub async fn send_challenge(
    State(app): State<SharedApp>,
    caller: TenantCaller,
) -> Result<Answer<PushReceipt>, ApiError> {
    let challenge = read::prompt::challenge(&caller.json()?, &caller.tenant.config)?;
    let receipt = prompt::send(&app, &caller.tenant, challenge).await?;
    Ok(Answer::ok("The prompt is on its way.", receipt))
}

/// Withdraws a prompt from the devices; repeated, too.
#[utoipa::path(post, path = "/api/v1/relay/cancel/auth-challenge", tag = "prompts",
    security(("tenant_signature" = [])), request_body = CancelFields, responses(
    (status = 200, description = "It is not open any more", body = Success<Cancelled>),
    (status = 404, description = "`NOT_FOUND`", body = Failure),
    (status = 409, description = "`ALREADY_DECIDED`", body = Failure),
    TenantRefusals,
))]
pub async fn cancel_challenge(
    State(app): State<SharedApp>,
    caller: TenantCaller,
) -> Result<Answer<Cancelled>, ApiError> {
    let instruction_id = read::prompt::cancel(&caller.json()?)?;
    let status = prompt::cancel(&app, &caller.tenant, &instruction_id).await?;
    Ok(Answer::ok("The prompt is not open any more.", Cancelled { instruction_id, status }))
}

/// Sends a passive notice to all live devices of a user's pairing.
#[utoipa::path(post, path = "/api/v1/relay/send/security-alert", tag = "prompts",
    security(("tenant_signature" = [])), request_body = SecurityAlert, responses(
    (status = 200, description = "One device or more got it", body = Success<AlertReceipt>),
    (status = 404, description = "`PAIRING_NOT_FOUND`, or `NO_DEVICE`: a pairing without a live device", body = Failure),
    (status = 409, description = "`IDEMPOTENCY_CONFLICT`", body = Failure),
    (status = 502, description = "`PUSH_NOT_DELIVERED`; `data` has the counts", body = Failure),
    TenantRefusals,
))]
pub async fn send_alert(State(app): State<SharedApp>, caller: TenantCaller) -> Result<Answer<AlertReceipt>, ApiError> {
    let request = read::prompt::alert(&caller.json()?)?;
    let receipt = alert::send(&app, &caller.tenant, request).await?;
    let notification_id = receipt.instruction_id.clone();
    Ok(Answer::ok("The notice is on its way.", AlertReceipt { notification_id, receipt }))
}

/// What became of a prompt's pushes, device by device. Takes a notification id, too.
#[utoipa::path(get, path = "/api/v1/relay/fetch/delivery-status", tag = "prompts",
    security(("tenant_signature" = [])),
    params(("instruction_id" = InstructionId, Query, description = "Which prompt")), responses(
    (status = 200, description = "Where it stands", body = Success<DeliveryStatus>),
    (status = 404, description = "`NOT_FOUND`", body = Failure),
    TenantRefusals,
))]
pub async fn delivery_status(
    State(app): State<SharedApp>,
    query: Query,
    caller: TenantCaller,
) -> Result<Answer<DeliveryStatus>, ApiError> {
    let mut reader = query.reader()?;
    let id = reader.id::<InstructionId>("instruction_id");
    reader.finish()?;
    let id = id.ok_or(ServiceError::invalid("instruction_id", "is required"))?.found()?;
    Ok(Answer::ok("The delivery status.", status::fetch(&app, &caller.tenant, &id).await?))
}

/// The decision, as soon as there is one: the `ApprovalEvent` with `status: "decided"`. Else `instruction_id` and
/// `status`: `pending`, `expired` or `cancelled`. The `webhook-*` headers sign the body.
#[utoipa::path(get, path = "/api/v1/relay/fetch/outcome", tag = "prompts", security(("tenant_signature" = [])),
    params(
        ("instruction_id" = InstructionId, Query, description = "Which prompt"),
        ("wait_seconds" = Option<i64>, Query, description = "How long to wait for it, 0 to 30, default 0"),
    ), responses(
    (status = 200, description = "The outcome, or that there is none", body = Success<OutcomeView>, headers(
        ("webhook-id" = String, description = "The same as in the callback of the decision"),
        ("webhook-timestamp" = i64, description = "Unix seconds"),
        ("webhook-signature" = String, description = "`v1,` and the tag in base64"),
    )),
    (status = 404, description = "`NOT_FOUND`", body = Failure),
    TenantRefusals,
))]
pub async fn outcome(State(app): State<SharedApp>, query: Query, caller: TenantCaller) -> Result<Response, ApiError> {
    let mut reader = query.reader()?;
    let id = reader.id::<InstructionId>("instruction_id");
    let wait = reader.optional_integer("wait_seconds", 0..=30).unwrap_or(0);
    reader.finish()?;
    let id = id.ok_or(ServiceError::invalid("instruction_id", "is required"))?.found()?;
    let wait = Duration::from_secs(wait.unsigned_abs());
    let outcome = outcome::fetch(&app, &caller.tenant, &id, wait).await?;
    Ok(signed(&app, &caller, outcome)?)
}

/// The answer's exact bytes under the tenant's secret, as a callback would be (PROTOCOL 2.5).
fn signed(app: &SharedApp, caller: &TenantCaller, outcome: Outcome) -> Result<Response, ServiceError> {
    let body = serde_json::to_vec(&Success::new(200, "The outcome.", outcome.data))?;
    let at = app.clock.now().as_secs();
    let signature = webhook::sign(&caller.tenant.secret, &outcome.webhook_id, at, &body);
    let headers = [
        (CONTENT_TYPE.as_str(), "application/json".to_owned()),
        (header::WEBHOOK_ID, outcome.webhook_id),
        (header::WEBHOOK_TIMESTAMP, at.to_string()),
        (header::WEBHOOK_SIGNATURE, signature),
    ];
    Ok((headers, body).into_response())
}
