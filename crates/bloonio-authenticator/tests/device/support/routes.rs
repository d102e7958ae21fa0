//! The relay's routes: what PROTOCOL 4 and 5 say, and nothing kinder.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bloonio_wire::challenge::{ChallengeStatus, CustomType, DeviceResponse};
use bloonio_wire::code::ErrorCode;
use bloonio_wire::decision::{Decision, challenge_sha256};
use bloonio_wire::device::{DeviceStatus, PairingInfo, Platform, RegisterDevice};
use bloonio_wire::envelope::{Failure, FieldProblem, Success};
use futures_util::StreamExt;
use futures_util::stream;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Device, Script, World};

type Shared = Arc<Mutex<World>>;
type Answer = Result<Response, Refused>;

#[derive(Debug)]
pub struct Refused(Box<Failure>);

impl From<ErrorCode> for Refused {
    fn from(code: ErrorCode) -> Self {
        Self(Box::new(Failure::new(code)))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status_code).unwrap();
        (status, [(header::RETRY_AFTER, "7")], Json(self.0)).into_response()
    }
}

fn ok(data: impl Serialize) -> Answer {
    Ok(Json(Success::new(200, "ok", data)).into_response())
}

pub fn router(world: Shared) -> Router {
    Router::new()
        .route("/api/v1/device/register-token", post(register))
        .route("/api/v1/device/refresh-token", post(refresh))
        .route("/api/v1/device/unpair", post(unpair))
        .route("/api/v1/device/confirm-device", post(confirm))
        .route("/api/v1/device/challenges", get(challenges))
        .route("/api/v1/device/challenges/{id}", get(challenge))
        .route("/api/v1/device/alerts", get(alerts))
        .route("/api/v1/device/submit-response", post(submit))
        .route("/api/v1/device/stream", get(open))
        .layer(middleware::from_fn_with_state(Arc::clone(&world), note))
        .with_state(world)
}

/// Notes the request, and refuses where the test says so.
async fn note(State(world): State<Shared>, request: Request, next: Next) -> Response {
    let path = request.uri().path().trim_start_matches("/api/v1").to_owned();
    let method = request.method().clone();
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let refusal = {
        let mut world = lock(&world);
        world.requests.push((format!("{method} {path}"), serde_json::from_slice(&body).unwrap_or_default()));
        world.refusals.get(&path).cloned()
    };
    if let Some(failure) = refusal {
        return Refused(Box::new(failure)).into_response();
    }
    let answer = next.run(Request::from_parts(parts, Body::from(body))).await;
    match lock(&world).losses.get_mut(&path) {
        Some(left) if *left > 0 => {
            *left -= 1;
            // Broken off in the middle.
            Body::from_stream(stream::iter([Ok(Bytes::from("{")), Err("cut")])).into_response()
        }
        _ => answer,
    }
}

fn lock(world: &Shared) -> std::sync::MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bearer(request: &axum::http::HeaderMap) -> &str {
    let value = request.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default()
}

fn device(world: &World, headers: &axum::http::HeaderMap) -> Result<Device, Refused> {
    world.device(bearer(headers)).cloned().ok_or(ErrorCode::InvalidDeviceToken.into())
}

fn active(world: &World, headers: &axum::http::HeaderMap) -> Result<Device, Refused> {
    let device = device(world, headers)?;
    if device.status == DeviceStatus::Active { Ok(device) } else { Err(ErrorCode::DeviceNotConfirmed.into()) }
}

async fn register(State(world): State<Shared>, headers: axum::http::HeaderMap, body: Bytes) -> Answer {
    let mut world = lock(&world);
    let registered: RegisterDevice = serde_json::from_slice(&body).unwrap();
    let key = registered.device_public_key.as_ref().expect("every phone has a key");
    key.check().unwrap();
    assert_eq!(registered.platform == Platform::Stream, registered.fcm_token.is_none());
    let (tenant_id, user) = world.proofs.remove(bearer(&headers)).ok_or(ErrorCode::PairingProofUsed)?;
    let lives = |device: &Device| {
        device.info.tenant_id == tenant_id
            && device.info.user_socket_hash.as_str() == user
            && device.status == DeviceStatus::Active
    };
    let status =
        if world.devices.iter().any(lives) { DeviceStatus::AwaitingConfirmation } else { DeviceStatus::Active };
    let of_user =
        |device: &&Device| device.info.tenant_id == tenant_id && device.info.user_socket_hash.as_str() == user;
    let known = world.devices.iter().find(of_user).map(|device| device.info.relay_user_linked_id.clone());
    // Only the first device of a pairing is handed the seed.
    let totp = known.is_none().then(|| json!({"otpauth_uri": super::OTPAUTH_URI}));
    let info = PairingInfo {
        tenant_name: format!("Bank of {tenant_id}"),
        tenant_id,
        user_socket_hash: user.parse().unwrap(),
        relay_user_linked_id: known.unwrap_or_else(|| world.draw(24).parse().unwrap()),
        device_id: world.draw(24).parse().unwrap(),
        display_name: user,
        display_logo_url: None,
    };
    let session = format!("session-{}", world.draw(8));
    world.devices.push(Device {
        info: info.clone(),
        registered,
        status,
        session: session.clone(),
        replaced: Vec::new(),
    });
    let mut data = json!({
        "device_session_token": session, "expires_in": 2_592_000, "pairing": info, "device_status": status
    });
    if let Some(totp) = totp {
        data["totp"] = totp;
    }
    Ok((StatusCode::CREATED, Json(Success::new(201, "ok", data))).into_response())
}

async fn refresh(State(world): State<Shared>, headers: axum::http::HeaderMap, Json(body): Json<Value>) -> Answer {
    let mut world = lock(&world);
    let known = device(&world, &headers)?;
    assert_eq!(known.registered.platform == Platform::Stream, body == json!({}));
    let session = format!("session-{}", world.draw(8));
    for device in world.devices.iter_mut().filter(|device| device.session == known.session) {
        device.replaced.push(std::mem::replace(&mut device.session, session.clone()));
        device.registered.fcm_token = body["fcm_token"].as_str().map(str::to_owned);
    }
    ok(json!({"device_session_token": session, "expires_in": 2_592_000}))
}

async fn unpair(State(world): State<Shared>, headers: axum::http::HeaderMap) -> Answer {
    let mut world = lock(&world);
    let gone = device(&world, &headers)?;
    world.devices.retain(|device| device.session != gone.session);
    ok(json!({"device_id": gone.info.device_id}))
}

async fn confirm(State(world): State<Shared>, headers: axum::http::HeaderMap, Json(body): Json<Value>) -> Answer {
    let mut world = lock(&world);
    let by = active(&world, &headers)?;
    let approved = body["approved"].as_bool().unwrap();
    let meant = |device: &Device| {
        device.info.device_id.as_str() == body["device_id"].as_str().unwrap()
            && device.info.tenant_id == by.info.tenant_id
            && device.info.user_socket_hash == by.info.user_socket_hash
            && device.status == DeviceStatus::AwaitingConfirmation
    };
    let found = world.devices.iter().position(meant).ok_or(ErrorCode::NotFound)?;
    world.devices[found].status = if approved { DeviceStatus::Active } else { DeviceStatus::Removed };
    ok(json!({"device_id": body["device_id"]}))
}

async fn challenges(State(world): State<Shared>, headers: axum::http::HeaderMap) -> Answer {
    let world = lock(&world);
    let device = active(&world, &headers)?;
    let open = world.prompts.iter().rev().map(|(prompt, _)| prompt);
    let open: Vec<_> = open
        .filter(|prompt| prompt.tenant_id == device.info.tenant_id && prompt.status == ChallengeStatus::Pending)
        .collect();
    ok(json!({"items": open, "count": open.len()}))
}

async fn challenge(State(world): State<Shared>, Path(id): Path<String>, headers: axum::http::HeaderMap) -> Answer {
    let world = lock(&world);
    let device = active(&world, &headers)?;
    // `lie` is a relay that mixes its tenants up.
    let mine = |prompt: &&(bloonio_wire::challenge::Challenge, String)| {
        prompt.0.instruction_id.as_str() == id
            && (prompt.0.tenant_id == device.info.tenant_id || id.starts_with("lie-"))
    };
    let (prompt, token) = world.prompts.iter().find(mine).ok_or(ErrorCode::NotFound)?;
    let mut prompt = prompt.clone();
    prompt.response_token = Some(token.clone());
    prompt.backend_url = Some("https://bank.example".into());
    ok(prompt)
}

async fn alerts(State(world): State<Shared>, headers: axum::http::HeaderMap) -> Answer {
    let world = lock(&world);
    let device = active(&world, &headers)?;
    let alerts = world.alerts.iter().rev().filter(|alert| alert.tenant_id == device.info.tenant_id);
    let alerts: Vec<_> = alerts.collect();
    ok(json!({"items": alerts, "count": alerts.len()}))
}

async fn submit(State(world): State<Shared>, headers: axum::http::HeaderMap, body: Bytes) -> Answer {
    let mut world = lock(&world);
    let device = active(&world, &headers)?;
    let response: DeviceResponse = serde_json::from_slice(&body).unwrap();
    let mine = |entry: &&mut (bloonio_wire::challenge::Challenge, String)| {
        entry.0.instruction_id == response.instruction_id && entry.0.tenant_id == device.info.tenant_id
    };
    let (prompt, _) = world.prompts.iter_mut().find(mine).ok_or(ErrorCode::NotFound)?;
    match prompt.status {
        ChallengeStatus::Pending => {}
        ChallengeStatus::Answered => return Err(ErrorCode::AlreadyDecided.into()),
        _ => return Err(ErrorCode::Gone.into()),
    }
    if prompt.custom_type == CustomType::GoldenNumber && response.approved && response.selected_number.is_none() {
        return Err(Refused(Box::new(Failure::invalid(vec![FieldProblem::new("selected_number", "is required")]))));
    }
    let decision = Decision {
        tenant_id: device.info.tenant_id.as_str(),
        instruction_id: prompt.instruction_id.as_str(),
        device_id: device.info.device_id.as_str(),
        user_socket_hash: device.info.user_socket_hash.as_str(),
        custom_type: prompt.custom_type,
        approved: response.approved,
        selected_number: response.selected_number,
        challenge_sha256: challenge_sha256(prompt),
        challenge_digest: prompt.challenge_digest.as_deref(),
        decided_at: response.decided_at.ok_or(ErrorCode::InvalidDeviceSignature)?,
    };
    let key = device.registered.device_public_key.unwrap();
    key.verify(&decision, response.signature.as_deref().unwrap_or_default())
        .map_err(|_| ErrorCode::InvalidDeviceSignature)?;
    prompt.status = ChallengeStatus::Answered;
    world.decisions.push(response);
    ok(json!({}))
}

async fn open(State(world): State<Shared>, headers: axum::http::HeaderMap) -> Answer {
    let mut world = lock(&world);
    active(&world, &headers)?;
    assert_eq!(headers[header::ACCEPT], "text/event-stream");
    let script = world.streams.pop_front().unwrap_or(Script { bytes: b": quiet\n\n".to_vec(), stay_open: true });
    // Byte by byte: a reader must not count on pieces.
    let bytes = stream::iter(script.bytes.into_iter().map(|byte| Ok::<_, Infallible>(Bytes::from(vec![byte]))));
    let body =
        if script.stay_open { Body::from_stream(bytes.chain(stream::pending())) } else { Body::from_stream(bytes) };
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], body).into_response())
}
