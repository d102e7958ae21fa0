//! A person's answer: POST /device/submit-response (PROTOCOL 5, SECURITY "What counts as approved").
//!
//! The stored prompt says what counts, one conditional statement decides, and the decision, its event and its callback are
//! one transaction. The relay never learns the right golden number: it passes on what was chosen. A one-time code it checks
//! itself, and accepts it in the decision's transaction: no code is spent without a decision, and none decides twice.

use bloonio_auth_api::totp::code::Code;
use bloonio_auth_api::totp::{self as codes, Verdict};
use bloonio_wire::callback::{ApprovalEvent, Flow, ResponseData};
use bloonio_wire::challenge::{AuthChallenge, Challenge, ChallengeStatus, CustomType, DeviceResponse};
use bloonio_wire::clock::Timestamp;
use bloonio_wire::code::ErrorCode;
use bloonio_wire::decision::{Decision, challenge_sha256};
use bloonio_wire::envelope::FieldProblem;
use bloonio_wire::id::InstructionId;
use serde::Serialize;
use tracing::info;
use utoipa::ToSchema;

use crate::app::SharedApp;
use crate::audit::{Event, Kind, digest_of};
use crate::outbox::backoff::give_up_at;
use crate::outbox::callback;
use crate::push::stream::{Hint, StreamEvent};
use crate::push::{PushKind, PushTarget};
use crate::service::content;
use crate::service::error::ServiceError;
use crate::service::session::{Bearer, Standing, standing};
use crate::service::tenant::Tenant;
use crate::service::totp;
use crate::storage::delivery::{self, NewDelivery};
use crate::storage::prompt::{NewDecision, Prompt};
use crate::storage::{StorageError, Tx, audit, device, prompt};
use crate::telemetry::stage::Stage;
use crate::telemetry::{metrics as names, short_hash, trace};

/// The wrong code that denies its prompt (PROTOCOL 5).
const LAST_WRONG_CODE: i64 = 3;

/// Answer to POST /device/submit-response: the decision is durable.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Decided {
    /// The prompt.
    pub instruction_id: InstructionId,
    /// Always `answered`.
    pub status: ChallengeStatus,
    /// The answer.
    pub approved: bool,
    /// When it became durable.
    pub decided_at: Timestamp,
}

/// Records a device's answer, once.
///
/// # Errors
/// `NOT_FOUND`, `ALREADY_DECIDED`, `GONE`, `VALIDATION_FAILED`, `INVALID_DEVICE_SIGNATURE`, `INVALID_TOTP`, `RATE_LIMITED`.
pub async fn submit(app: &SharedApp, bearer: &Bearer, response: DeviceResponse) -> Result<Decided, ServiceError> {
    let judged = judge(app, bearer, &response).await?;
    let recorded = Stage::Decide.measure(record(app, bearer, &judged, response.approved)).await?;
    let Recorded { verdict, decision } = recorded;
    if let Some((decided, others)) = &decision {
        tell(app, bearer, &judged.prompt, decided, others);
    }
    if let Some(verdict) = verdict {
        let linked_id = &judged.prompt.relay_user_linked_id;
        totp::record(&bearer.tenant.tenant_id, linked_id, "submit-response", verdict);
        totp::answer(verdict)?;
    }
    let (decided, _) = decision.ok_or(ErrorCode::InternalError)?;
    Ok(decided)
}

/// An answer that counts, if the prompt is still open when it is recorded.
struct Judged {
    prompt: Prompt,
    request: AuthChallenge,
    response_data: ResponseData,
    /// The code of an approval by `totp`, looked at and not yet accepted.
    code: Option<codes::Judged>,
}

async fn judge(app: &SharedApp, bearer: &Bearer, response: &DeviceResponse) -> Result<Judged, ServiceError> {
    let (tenant_id, now) = (&bearer.tenant.tenant_id, app.clock.now());
    let prompt = prompt::get(app.storage.readers(), tenant_id, &response.instruction_id).await?;
    let own = |prompt: &Prompt| prompt.relay_user_linked_id == bearer.device.pairing.relay_user_linked_id;
    let prompt = prompt.filter(own).ok_or(ErrorCode::NotFound)?;
    check_open(&prompt, now)?;
    let content = content::open_prompt(app, tenant_id, &prompt)?;
    let code = check_answer(&content.challenge, response)?;
    let request = content.challenge.clone();
    let response_data = proven(bearer, &content::challenge(tenant_id, &prompt, content, now), response)?;
    let code = match code {
        Some(code) => Some(app.totp.judge(tenant_id, &prompt.relay_user_linked_id, &code).await?),
        None => None,
    };
    Ok(Judged { prompt, request, response_data, code })
}

/// What was committed.
struct Recorded {
    /// What the code was worth, where there was one.
    verdict: Option<Verdict>,
    /// The decision, and whom else to tell. None after a wrong code, unless it was the last one: then the prompt is denied.
    decision: Option<(Decided, Vec<PushTarget>)>,
}

/// Code, decision, event and callback in one transaction.
async fn record(app: &SharedApp, bearer: &Bearer, judged: &Judged, approved: bool) -> Result<Recorded, ServiceError> {
    let mut tx = app.storage.begin(&bearer.tenant.tenant_id).await?;
    // Read with the writer in hand: an answer that has waited too long for it is too late.
    let now = app.clock.now();
    let verdict = match &judged.code {
        Some(code) => Some(app.totp.settle(&mut tx, code).await?),
        None => None,
    };
    let answer = match verdict {
        None => Some(Answer { approved, response_data: judged.response_data.clone() }),
        Some(Verdict::Right) => Some(Answer::proven(&judged.response_data)),
        Some(Verdict::Locked { .. }) => return Ok(Recorded { verdict, decision: None }),
        Some(Verdict::Wrong { .. }) => {
            let instruction_id = &judged.prompt.instruction_id;
            match prompt::count_wrong_code(&mut tx, &bearer.tenant.tenant_id, instruction_id, now).await? {
                Some(count) => (count >= LAST_WRONG_CODE).then(|| Answer::guessed(bearer)),
                None => {
                    drop(tx);
                    return Err(why_not(app, bearer, instruction_id).await?);
                }
            }
        }
    };
    let Some(answer) = answer else {
        app.storage.commit(tx).await?;
        return Ok(Recorded { verdict, decision: None });
    };
    if let Some(decision) = decide(&mut tx, bearer, judged, answer, now).await? {
        app.storage.commit(tx).await?;
        return Ok(Recorded { verdict, decision: Some(decision) });
    }
    // Rolled back, the code is as good as before.
    drop(tx);
    Err(why_not(app, bearer, &judged.prompt.instruction_id).await?)
}

/// What is told of a decision.
struct Answer {
    approved: bool,
    response_data: ResponseData,
}

impl Answer {
    /// Approved, with a right code.
    fn proven(response_data: &ResponseData) -> Self {
        Self { approved: true, response_data: ResponseData { totp_verified: Some(true), ..response_data.clone() } }
    }

    /// Denied by the relay, whatever the device said: what its key has signed is another answer, and does not travel.
    fn guessed(bearer: &Bearer) -> Self {
        let device_id = Some(bearer.device.device_id.as_str().to_owned());
        let response_data = ResponseData { totp_verified: Some(false), device_id, ..ResponseData::default() };
        Self { approved: false, response_data }
    }
}

/// The one statement, and what goes with it; `None` means that it changed nothing. Also answers whom else to tell.
async fn decide(
    tx: &mut Tx,
    bearer: &Bearer,
    judged: &Judged,
    answer: Answer,
    now: Timestamp,
) -> Result<Option<(Decided, Vec<PushTarget>)>, ServiceError> {
    let Judged { prompt, request, .. } = judged;
    let (tenant_id, approved) = (&bearer.tenant.tenant_id, answer.approved);
    let entry = entry(bearer, judged, &answer);
    let event = ApprovalEvent {
        instruction_id: prompt.instruction_id.clone(),
        user_socket_hash: request.user_socket_hash.clone(),
        tenant_id: tenant_id.clone(),
        approved,
        response_data: answer.response_data,
        timestamp: now,
        challenge_digest: request.challenge_digest.clone(),
    };
    let event = serde_json::to_string(&event)?;
    let new = NewDecision {
        instruction_id: &prompt.instruction_id,
        relay_user_linked_id: &prompt.relay_user_linked_id,
        device_id: &bearer.device.device_id,
        event: &event,
        decided_at: now,
    };
    if !prompt::decide(tx, tenant_id, &new).await? {
        return Ok(None);
    }
    call_back(tx, &bearer.tenant, judged, approved, event, now).await?;
    let mut others = device::targets(&mut *tx, tenant_id, &prompt.relay_user_linked_id, now).await?;
    others.retain(|other| other.device_id != bearer.device.device_id);
    audit::append(tx, tenant_id, entry, now).await?;
    let instruction_id = prompt.instruction_id.clone();
    Ok(Some((Decided { instruction_id, status: ChallengeStatus::Answered, approved, decided_at: now }, others)))
}

/// The decision in the audit trail: who, what and whether it was proven, and not what was asked or why.
fn entry(bearer: &Bearer, judged: &Judged, answer: &Answer) -> Event {
    let Judged { prompt, request, .. } = judged;
    Event::new(Kind::Decision, digest_of(&bearer.tenant.tenant_id, prompt.instruction_id.as_str()))
        .with("approved", answer.approved)
        .with("device", bearer.device.device_id.as_str())
        .with("pairing", prompt.relay_user_linked_id.as_str())
        .with("custom_type", request.custom_type.as_str())
        .with("request_sha256", hex::encode(&prompt.request_sha256))
        .with("challenge_digest", request.challenge_digest.clone())
        .with("signed", answer.response_data.signature.is_some())
        .with("totp_verified", answer.response_data.totp_verified)
}

/// Whoever waits for the decision learns it, and whoever was asked, too.
fn tell(app: &SharedApp, bearer: &Bearer, prompt: &Prompt, decided: &Decided, others: &[PushTarget]) {
    let Decided { instruction_id, approved, .. } = decided;
    metrics::counter!(names::DECISIONS, "approved" => if *approved { "true" } else { "false" }).increment(1);
    metrics::counter!(names::PROMPTS, "outcome" => "answered").increment(1);
    info!(
        tenant.id = bearer.tenant.tenant_id.as_str(),
        instruction.id = short_hash(instruction_id),
        approved,
        "a prompt was answered"
    );
    let flow = if *approved { Flow::SudoValidated } else { Flow::SudoRejected };
    trace::carry(&delivery::delivery_id(&bearer.tenant.tenant_id, instruction_id.as_str(), flow));
    app.outbox.wake();
    app.prompts.wake(&(bearer.tenant.tenant_id.clone(), instruction_id.clone()), ());
    tell_others(app, bearer, prompt, others);
}

fn check_open(prompt: &Prompt, now: Timestamp) -> Result<(), ErrorCode> {
    match prompt.status(now) {
        ChallengeStatus::Pending => Ok(()),
        ChallengeStatus::Answered => Err(ErrorCode::AlreadyDecided),
        ChallengeStatus::Expired | ChallengeStatus::Cancelled => Err(ErrorCode::Gone),
    }
}

/// The stored prompt decides what an answer must hold, all broken rules are named. Gives the code where one is needed.
fn check_answer(request: &AuthChallenge, response: &DeviceResponse) -> Result<Option<Code>, ServiceError> {
    if response.custom_type != request.custom_type {
        return Err(ServiceError::invalid("custom_type", "must be the prompt's own"));
    }
    let mut problems = Vec::new();
    if let Some(problem) = number_problem(request, response) {
        problems.push(FieldProblem::new("selected_number", problem));
    }
    let code = needed_code(request, response).unwrap_or_else(|problem| {
        problems.push(FieldProblem::new("totp_code", problem));
        None
    });
    if problems.is_empty() { Ok(code) } else { Err(ServiceError::Invalid(problems)) }
}

/// Denying needs no code.
fn needed_code(request: &AuthChallenge, response: &DeviceResponse) -> Result<Option<Code>, String> {
    if request.custom_type != CustomType::Totp || !response.approved {
        return Ok(None);
    }
    let code = response.totp_code.as_deref().ok_or("is required")?;
    code.parse().map(Some).map_err(|rule: codes::code::NotACode| rule.to_string())
}

fn number_problem(request: &AuthChallenge, response: &DeviceResponse) -> Option<&'static str> {
    let golden = request.custom_type == CustomType::GoldenNumber;
    match (response.selected_number, &request.numbers) {
        (Some(_), _) if !golden => Some("is for goldenNumber prompts only"),
        (None, _) if golden && response.approved => Some("is required"),
        (Some(number), Some(numbers)) if !numbers.contains(&number) => Some("must be one of the prompt's numbers"),
        _ => None,
    }
}

/// What travels with the answer. A device that registered a key must have signed; a signature that nobody can check does
/// not travel.
fn proven(bearer: &Bearer, shown: &Challenge, response: &DeviceResponse) -> Result<ResponseData, ErrorCode> {
    let challenge_sha256 = challenge_sha256(shown);
    let device = &bearer.device;
    let mut signature = None;
    if let Some(key) = &device.device_public_key {
        let given = response.signature.as_deref().ok_or(ErrorCode::InvalidDeviceSignature)?;
        let decision = Decision {
            tenant_id: shown.tenant_id.as_str(),
            instruction_id: shown.instruction_id.as_str(),
            device_id: device.device_id.as_str(),
            user_socket_hash: device.pairing.user_socket_hash.as_str(),
            custom_type: shown.custom_type,
            approved: response.approved,
            selected_number: response.selected_number,
            challenge_sha256,
            challenge_digest: shown.challenge_digest.as_deref(),
            decided_at: response.decided_at.ok_or(ErrorCode::InvalidDeviceSignature)?,
        };
        key.verify(&decision, given).map_err(|_| ErrorCode::InvalidDeviceSignature)?;
        signature = Some(given.to_owned());
    }
    Ok(ResponseData {
        selected_number: response.selected_number,
        totp_verified: None,
        reason: response.reason.clone(),
        device_id: Some(device.device_id.as_str().to_owned()),
        signature,
        decided_at: response.decided_at,
        challenge_sha256: Some(hex::encode(challenge_sha256)),
        more: serde_json::Map::new(),
    })
}

/// Why the one statement changed nothing: somebody was faster, time ran out, or the device may not act any more.
async fn why_not(
    app: &SharedApp,
    bearer: &Bearer,
    instruction_id: &InstructionId,
) -> Result<ServiceError, ServiceError> {
    let prompt = prompt::get(app.storage.readers(), &bearer.tenant.tenant_id, instruction_id).await?;
    let prompt = prompt.ok_or(ErrorCode::NotFound)?;
    if let Err(code) = check_open(&prompt, app.clock.now()) {
        return Ok(code.into());
    }
    Ok(match standing(app, &bearer.session).await? {
        Standing::Suspended => ErrorCode::TenantSuspended.into(),
        _ => ErrorCode::InvalidDeviceToken.into(),
    })
}

async fn call_back(
    tx: &mut Tx,
    tenant: &Tenant,
    judged: &Judged,
    approved: bool,
    payload: String,
    now: Timestamp,
) -> Result<(), StorageError> {
    let Judged { prompt, request, .. } = judged;
    let flow = if approved { Flow::SudoValidated } else { Flow::SudoRejected };
    let Some(url) = callback::target(&tenant.config, request.callback_url.as_deref(), flow) else { return Ok(()) };
    let new = NewDelivery {
        subject_id: request.instruction_id.as_str().to_owned(),
        flow,
        url,
        payload,
        created_at: now,
        give_up_at: give_up_at(now, Some(prompt.expires_at)),
    };
    delivery::insert(tx, &tenant.tenant_id, &new).await
}

/// The prompt goes away on the pairing's other devices; those that listen learn it at once.
fn tell_others(app: &SharedApp, bearer: &Bearer, prompt: &Prompt, others: &[PushTarget]) {
    let key = (bearer.tenant.tenant_id.clone(), bearer.device.pairing.relay_user_linked_id.clone());
    for other in others {
        let hint = Hint {
            kind: PushKind::ChallengeCancelled,
            subject_id: prompt.instruction_id.as_str().to_owned(),
            expires_at: prompt.expires_at,
            device_id: Some(other.device_id.clone()),
        };
        app.streams.wake(&key, StreamEvent::Hint(hint));
    }
}
