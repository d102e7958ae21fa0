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
use crate::telemetry::pool;

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
    /// `ready`, or `degraded`: it works, and takes every call, but Redis is away or a worker waits to be started again.
    pub status: &'static str,
    /// The workers that wait, if any do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub restarting: Vec<&'static str>,
    /// `up` or `away`; absent where it is not configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<&'static str>,
}

/// The relay can do its work: its storage answers, and can be written to. Without Redis it works, too, and says so; so it
/// does while a worker that fell over waits to be started again.
#[utoipa::path(get, path = "/health/ready", tag = "health", responses(
    (status = 200, description = "It can work", body = Success<Readiness>),
    (status = 503, description = "STORAGE_UNAVAILABLE", body = Failure),
))]
pub async fn ready(State(app): State<SharedApp>) -> Result<Answer<Readiness>, ApiError> {
    app.storage.ping().await?;
    let restarting = app.workers.fallen();
    let redis = match app.shared.state().await {
        RedisState::Unused => None,
        RedisState::Up => Some("up"),
        RedisState::Away => Some("away"),
    };
    let (message, status) = match restarting.is_empty() && redis != Some("away") {
        true => ("The relay is ready.", "ready"),
        false => ("The relay serves, but not all of it works.", "degraded"),
    };
    Ok(Answer::ok(message, Readiness { status, restarting, redis }))
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
    pool::sample(&app.storage);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics.render())
}
