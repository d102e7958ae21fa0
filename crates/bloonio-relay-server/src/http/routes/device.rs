//! The device's calls (PROTOCOL 4 and 5).

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use bloonio_wire::challenge::{Alert, Challenge, DeviceResponse};
use bloonio_wire::code::ErrorCode;
use bloonio_wire::device::{RegisterDevice, Registration};
use bloonio_wire::envelope::{Failure, Success};
use bloonio_wire::id::{DeviceId, InstructionId, TenantId};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::app::SharedApp;
use crate::http::auth::device::{DeviceCaller, ProofCaller, RegisteredDevice};
use crate::http::error::{Answer, ApiError};
use crate::http::openapi::{AnswerRefusals, DeviceRefusals};
use crate::http::read;
use crate::push::PushKind;
use crate::push::stream::{Hint, listen};
use crate::service::decision::{self, Decided};
use crate::service::device::{self, DeviceChanged, Refreshed, register};
use crate::service::error::ServiceError;
use crate::service::inbox;

/// Between two comments on a stream that has nothing to say.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// More open streams than this of one pairing's devices are nobody's phones.
const MAX_STREAMS: usize = 40;

/// Body of POST /device/refresh-token, as documented.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = RefreshToken)]
pub struct RefreshFields {
    /// FCM registration token.
    pub fcm_token: Option<String>,
    /// Firebase installation id.
    pub fid: Option<String>,
}

/// Body of POST /device/confirm-device, as documented.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ConfirmDevice)]
pub struct ConfirmFields {
    /// The device that waits; its alert names it.
    pub device_id: DeviceId,
    /// `false` turns it away for good.
    pub approved: bool,
}

/// A list and its length.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// Newest first.
    pub items: Vec<T>,
    /// How many.
    pub count: usize,
}

impl<T> List<T> {
    fn new(items: Vec<T>) -> Self {
        Self { count: items.len(), items }
    }
}

/// Registers a device for the bearer of a pairing proof.
#[utoipa::path(post, path = "/api/v1/device/register-token", tag = "devices", security(("device_token" = [])),
    request_body = RegisterDevice, responses(
    (status = 201, description = "Registered", body = Success<Registration>),
    (status = 409, description = "`PAIRING_PROOF_USED`, `TOO_MANY_DEVICES`", body = Failure),
    DeviceRefusals,
))]
pub async fn register(State(app): State<SharedApp>, caller: ProofCaller) -> Result<Answer<Registration>, ApiError> {
    let introduction = read::device::introduction(&caller.body.json()?, app.pusher.has_sender())?;
    let registration = register::register(&app, &caller.tenant, &caller.proof, introduction).await?;
    Ok(Answer::created("The device is registered.", registration))
}

/// Replaces the push address and the session token; the old token works for 60 seconds more.
#[utoipa::path(post, path = "/api/v1/device/refresh-token", tag = "devices", security(("device_token" = [])),
    request_body = RefreshFields, responses(
    (status = 200, description = "Refreshed", body = Success<Refreshed>),
    DeviceRefusals,
))]
pub async fn refresh(State(app): State<SharedApp>, caller: RegisteredDevice) -> Result<Answer<Refreshed>, ApiError> {
    let address = read::device::refresh(&caller.body.json()?, caller.bearer.device.platform, app.pusher.has_sender())?;
    let refreshed = device::refresh(&app, &caller.bearer, address.as_ref()).await?;
    Ok(Answer::ok("The session is refreshed.", refreshed))
}

/// Removes the calling device.
#[utoipa::path(post, path = "/api/v1/device/unpair", tag = "devices", security(("device_token" = [])), responses(
    (status = 200, description = "Removed", body = Success<DeviceChanged>),
    DeviceRefusals,
))]
pub async fn unpair(State(app): State<SharedApp>, caller: RegisteredDevice) -> Result<Answer<DeviceChanged>, ApiError> {
    caller.body.json()?;
    Ok(Answer::ok("The device is removed.", device::unpair(&app, &caller.bearer).await?))
}

/// Lets a waiting device of the same pairing act, or turns it away.
#[utoipa::path(post, path = "/api/v1/device/confirm-device", tag = "devices", security(("device_token" = [])),
    request_body = ConfirmFields, responses(
    (status = 200, description = "Decided", body = Success<DeviceChanged>),
    (status = 404, description = "`NOT_FOUND`", body = Failure),
    (status = 409, description = "`ALREADY_DECIDED`", body = Failure),
    DeviceRefusals,
))]
pub async fn confirm(State(app): State<SharedApp>, caller: DeviceCaller) -> Result<Answer<DeviceChanged>, ApiError> {
    let (waiting, approved) = read::device::confirmation(&caller.body.json()?)?;
    let changed = device::confirm(&app, &caller.bearer, &waiting, approved).await?;
    Ok(Answer::ok("The device is decided on.", changed))
}

/// The open prompts, whole, newest first.
#[utoipa::path(get, path = "/api/v1/device/challenges", tag = "devices", security(("device_token" = [])), responses(
    (status = 200, description = "Open prompts", body = Success<List<Challenge>>),
    DeviceRefusals,
))]
pub async fn challenges(
    State(app): State<SharedApp>,
    caller: DeviceCaller,
) -> Result<Answer<List<Challenge>>, ApiError> {
    Ok(Answer::ok("The open prompts.", List::new(inbox::challenges(&app, &caller.bearer).await?)))
}

/// One prompt, with `response_token` and `backend_url` while it is open; marks it seen.
#[utoipa::path(get, path = "/api/v1/device/challenges/{instruction_id}", tag = "devices",
    security(("device_token" = [])), params(("instruction_id" = InstructionId, Path, description = "Which prompt")),
    responses(
    (status = 200, description = "The prompt", body = Success<Challenge>),
    (status = 404, description = "`NOT_FOUND`", body = Failure),
    DeviceRefusals,
))]
pub async fn challenge(
    State(app): State<SharedApp>,
    instruction_id: Result<Path<InstructionId>, axum::extract::rejection::PathRejection>,
    caller: DeviceCaller,
) -> Result<Answer<Challenge>, ApiError> {
    // What cannot be an id names nothing; and who calls is settled first.
    let Path(instruction_id) = instruction_id.map_err(|_| ErrorCode::NotFound)?;
    Ok(Answer::ok("The prompt.", inbox::challenge(&app, &caller.bearer, &instruction_id).await?))
}

/// The passive notices that are not over, newest first; marks them seen.
#[utoipa::path(get, path = "/api/v1/device/alerts", tag = "devices", security(("device_token" = [])), responses(
    (status = 200, description = "Notices", body = Success<List<Alert>>),
    DeviceRefusals,
))]
pub async fn alerts(State(app): State<SharedApp>, caller: DeviceCaller) -> Result<Answer<List<Alert>>, ApiError> {
    Ok(Answer::ok("The notices.", List::new(inbox::alerts(&app, &caller.bearer).await?)))
}

/// Server-sent events `challenge`, `challenge_cancelled` and `alert`, from those for what is open until the session ends.
/// Their data names things (`instruction_id`, for notices also `notification_id`; `tenant_id`, `expires_at`); the device
/// fetches them.
#[utoipa::path(get, path = "/api/v1/device/stream", tag = "devices", security(("device_token" = [])), responses(
    (status = 200, description = "Events, as they come", content_type = "text/event-stream", body = String),
    DeviceRefusals,
))]
pub async fn stream(State(app): State<SharedApp>, caller: DeviceCaller) -> Result<Response, ApiError> {
    let tenant_id = caller.bearer.tenant.tenant_id.clone();
    let key = (tenant_id.clone(), caller.bearer.device.pairing.relay_user_linked_id.clone());
    if app.streams.subscribers(&key) >= MAX_STREAMS {
        return Err(ServiceError::RateLimited { retry_after: KEEP_ALIVE }.into());
    }
    let hints = listen(app, caller.bearer).await?;
    let events = hints.map(move |hint| Ok::<_, Infallible>(event(&tenant_id, &hint)));
    // Proxies that hold answers back would hold back the hints.
    let headers = [("x-accel-buffering", "no")];
    Ok((headers, Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))).into_response())
}

/// As in a push, `instruction_id` names a notice, too; `notification_id` says so.
fn event(tenant_id: &TenantId, hint: &Hint) -> Event {
    let mut data = json!({"instruction_id": hint.subject_id, "tenant_id": tenant_id, "expires_at": hint.expires_at});
    let name = match hint.kind {
        PushKind::AuthChallenge => "challenge",
        PushKind::ChallengeCancelled => "challenge_cancelled",
        PushKind::SecurityAlert => {
            data["notification_id"] = json!(hint.subject_id);
            "alert"
        }
    };
    Event::default().event(name).data(data.to_string())
}

/// Answers a prompt. 200 means that the decision is durable. Approving a `totp` prompt needs `totp_code`; the third wrong one
/// denies the prompt.
#[utoipa::path(post, path = "/api/v1/device/submit-response", tag = "devices", security(("device_token" = [])),
    request_body = DeviceResponse, responses(
    (status = 200, description = "Decided", body = Success<Decided>),
    (status = 404, description = "`NOT_FOUND`", body = Failure),
    (status = 409, description = "`ALREADY_DECIDED`", body = Failure),
    (status = 410, description = "`GONE`: expired or withdrawn", body = Failure),
    AnswerRefusals,
))]
pub async fn submit(State(app): State<SharedApp>, caller: DeviceCaller) -> Result<Answer<Decided>, ApiError> {
    let response = read::device::response(&caller.body.json()?)?;
    Ok(Answer::ok("The decision is recorded.", decision::submit(&app, &caller.bearer, response).await?))
}
