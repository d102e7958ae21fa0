//! Health and metrics (PROTOCOL 10), at the root.

use axum::extract::State;
use axum::response::IntoResponse;
use bloonio_wire::envelope::{Failure, Success};
use http::header;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::SharedApp;
use crate::http::auth::admin::AdminCaller;
use crate::http::error::{Answer, ApiError};
use crate::http::openapi::OperatorRefusals;
use crate::shared::RedisState;

/// How the relay is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Health {
    /// `live`.
    pub status: &'static str,
}

/// The process runs.
#[utoipa::path(get, path = "/health/live", tag = "health", responses(
    (status = 200, description = "It runs", body = Success<Health>),
))]
pub async fn live() -> Answer<Health> {
    Answer::ok("The relay runs.", Health { status: "live" })
}

/// How a relay is that can work.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Readiness {
    /// `ready`, or `degraded`: it works, and takes every call, but Redis is away.
    pub status: &'static str,
    /// `up` or `away`; absent where it is not configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<&'static str>,
}

/// The relay can do its work: its storage answers, and can be written to. Without Redis it works, too, and says so.
#[utoipa::path(get, path = "/health/ready", tag = "health", responses(
    (status = 200, description = "It can work", body = Success<Readiness>),
    (status = 503, description = "STORAGE_UNAVAILABLE", body = Failure),
))]
pub async fn ready(State(app): State<SharedApp>) -> Result<Answer<Readiness>, ApiError> {
    app.storage.ping().await?;
    let (message, status, redis) = match app.shared.state().await {
        RedisState::Unused => ("The relay is ready.", "ready", None),
        RedisState::Up => ("The relay is ready.", "ready", Some("up")),
        RedisState::Away => ("The relay works, without Redis.", "degraded", Some("away")),
    };
    Ok(Answer::ok(message, Readiness { status, redis }))
}

/// The metrics, for operators.
#[utoipa::path(get, path = "/metrics", tag = "health", security(("admin_key" = [])), responses(
    (status = 200, description = "Prometheus text format", content_type = "text/plain", body = String),
    OperatorRefusals,
))]
pub async fn metrics(State(app): State<SharedApp>, _operator: AdminCaller) -> impl IntoResponse {
    text(&app)
}

/// The metrics on the listener of their own (`RELAY_ADMIN_LISTEN`).
pub async fn open_metrics(State(app): State<SharedApp>) -> impl IntoResponse {
    text(&app)
}

fn text(app: &SharedApp) -> impl IntoResponse + use<> {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics.render())
}
