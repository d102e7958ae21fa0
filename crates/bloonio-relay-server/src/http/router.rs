//! Which path leads where. One line a route, in the order of PROTOCOL; callers prove themselves in their extractors.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use bloonio_wire::code::ErrorCode;
use tower_http::catch_panic::CatchPanicLayer;

use super::error::ApiError;
use super::routes::{callbacks, device, health, pairing, prompts, provision, totp};
use super::{detach, middleware, openapi};
use crate::app::SharedApp;

/// Operator calls (PROTOCOL 3 and 9.5); each goes into the audit trail.
fn operator_routes() -> Router<SharedApp> {
    Router::new()
        .route("/api/v1/provision/tenant", post(provision::provision_tenant))
        .route("/api/v1/update/tenant", post(provision::update_tenant))
        .route("/api/v1/rotate/tenant-secret", post(provision::rotate_secret))
        .route("/api/v1/suspend/tenant", post(provision::suspend_tenant))
        .route("/api/v1/reactivate/tenant", post(provision::reactivate_tenant))
        .route("/api/v1/fetch/tenant", get(provision::fetch_tenant))
        .route("/api/v1/fetch/tenants", get(provision::fetch_tenants))
        .route("/api/v1/fetch/callbacks", get(callbacks::fetch_callbacks))
        .route("/api/v1/redeliver/callback", post(callbacks::redeliver_callback))
}

/// Tenant calls (PROTOCOL 4 to 6).
fn tenant_routes() -> Router<SharedApp> {
    Router::new()
        .route("/api/v1/relay/prepare-pairing", post(pairing::prepare))
        .route("/api/v1/relay/revoke-pairing", post(pairing::revoke))
        .route("/api/v1/relay/send/auth-challenge", post(prompts::send_challenge))
        .route("/api/v1/relay/cancel/auth-challenge", post(prompts::cancel_challenge))
        .route("/api/v1/relay/send/security-alert", post(prompts::send_alert))
        .route("/api/v1/relay/fetch/delivery-status", get(prompts::delivery_status))
        .route("/api/v1/relay/fetch/outcome", get(prompts::outcome))
        .route("/api/v1/relay/sudo/verify-totp", post(totp::verify))
}

/// Device calls (PROTOCOL 4 and 5).
fn device_routes() -> Router<SharedApp> {
    Router::new()
        .route("/api/v1/device/register-token", post(device::register))
        .route("/api/v1/device/refresh-token", post(device::refresh))
        .route("/api/v1/device/unpair", post(device::unpair))
        .route("/api/v1/device/confirm-device", post(device::confirm))
        .route("/api/v1/device/challenges", get(device::challenges))
        .route("/api/v1/device/challenges/{instruction_id}", get(device::challenge))
        .route("/api/v1/device/alerts", get(device::alerts))
        .route("/api/v1/device/stream", get(device::stream))
        .route("/api/v1/device/submit-response", post(device::submit))
}

/// What anybody may ask.
fn open_routes() -> Router<SharedApp> {
    Router::new()
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/openapi.json", get(openapi::document))
        .route("/docs", get(openapi::page::page))
}

async fn not_found() -> impl IntoResponse {
    ApiError::from(ErrorCode::NotFound)
}

async fn method_not_allowed() -> impl IntoResponse {
    ApiError::from(ErrorCode::MethodNotAllowed)
}

/// Puts around `routes` what every answer needs.
fn around(app: &SharedApp, routes: Router<SharedApp>) -> Router {
    routes
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CatchPanicLayer::custom(middleware::panicked))
        .layer(from_fn_with_state(app.clone(), detach::detach))
        .layer(from_fn_with_state(app.clone(), middleware::observe))
        .with_state(app.clone())
}

/// The relay's service.
pub fn router(app: &SharedApp) -> Router {
    let audited = operator_routes().route_layer(from_fn_with_state(app.clone(), middleware::audit));
    let routes = Router::new()
        .merge(audited)
        .merge(tenant_routes())
        .merge(device_routes())
        .merge(open_routes())
        .route("/metrics", get(health::metrics));
    around(app, routes)
}

/// The service of `RELAY_ADMIN_LISTEN`: metrics without a key, and health.
pub fn admin_router(app: &SharedApp) -> Router {
    around(app, open_routes().route("/metrics", get(health::open_metrics)))
}
