//! What happens around every request: its id, its line in the log, its metrics, and what a defect looks like from outside.

use std::any::Any;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bloonio_wire::header;
use bloonio_wire::random::hex_token;
use http::{HeaderMap, HeaderValue};
use tracing::Instrument;

use super::auth;
use super::client_address::client_address;
use super::error::{ApiError, RefusedWith};
use crate::app::SharedApp;
use crate::service::error::ServiceError;
use crate::supervise;
use crate::telemetry::open::Open;
use crate::telemetry::{self, metrics as names, trace};

/// The id of a request, in its log lines and in its answer.
#[derive(Debug, Clone)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// The caller's id if it is a sane one, else a fresh one (SECURITY, "Outbound and operators").
fn request_id(app: &SharedApp, headers: &HeaderMap) -> RequestId {
    let sane = |text: &&str| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    let given = auth::only(headers, header::REQUEST_ID).filter(sane).map(str::to_owned);
    let id = given.unwrap_or_else(|| hex_token::<16>(app.random.as_ref()).unwrap_or_default());
    // A machine without randomness has worse troubles than requests of one name.
    RequestId(
        HeaderValue::from_str(&id).ok().filter(|id| !id.is_empty()).unwrap_or(HeaderValue::from_static("unnamed")),
    )
}

fn route(request: &Request) -> String {
    request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned()
}

/// Outermost: names the request, logs and counts its answer. Never the path as sent nor the query: they may hold ids.
pub async fn observe(State(app): State<SharedApp>, mut request: Request, next: Next) -> Response {
    let (id, route, method) = (request_id(&app, request.headers()), route(&request), request.method().clone());
    request.extensions_mut().insert(id.clone());
    let started = tokio::time::Instant::now();
    let span = tracing::info_span!(
        "request",
        request.id = id.as_str(),
        http.method = method.as_str(),
        http.route = route,
        tenant.id = tracing::field::Empty
    );
    trace::accept(&span, request.headers());
    async {
        let open = Open::new(names::HTTP_IN_FLIGHT);
        let mut response = next.run(request).await;
        drop(open);
        let (status, seconds) = (response.status().as_u16(), started.elapsed().as_secs_f64());
        let refused = response.extensions().get::<RefusedWith>().map(|refused| refused.0.name());
        tracing::info!(http.status = status, error.code = refused, duration_ms = seconds * 1000.0, "answered");
        metrics::counter!(names::HTTP_REQUESTS, "route" => route.clone(), "status" => status.to_string()).increment(1);
        metrics::histogram!(names::HTTP_SECONDS, "route" => route.clone()).record(seconds);
        if let Some(code) = refused {
            metrics::counter!(names::REFUSALS, "code" => code).increment(1);
        }
        let headers = response.headers_mut();
        headers.insert(header::REQUEST_ID, id.0.clone());
        headers.entry(http::header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        response
    }
    .instrument(span)
    .await
}

/// Around operator calls: one line each in the audit trail, whatever came of it.
pub async fn audit(State(app): State<SharedApp>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let address = client_address(&parts, &app.config.trusted_proxies);
    let route = parts.extensions.get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let (method, tenant) = (parts.method.clone(), tenant_named(parts.uri.query().unwrap_or_default()).to_owned());
    let response = next.run(Request::from_parts(parts, body)).await;
    tracing::info!(
        target: telemetry::AUDIT,
        operation = route,
        http.method = method.as_str(),
        http.status = response.status().as_u16(),
        tenant.id = tenant,
        client.address = %address,
        "operator call"
    );
    response
}

/// The tenant that an operator call names, if it is well-formed: nothing else of a query may reach the log.
fn tenant_named(query: &str) -> &str {
    let named = query.split('&').find_map(|pair| pair.strip_prefix("tenant_id="));
    named.filter(|id| bloonio_wire::id::TenantId::parse(*id).is_ok()).unwrap_or_default()
}

/// A handler panicked: 500 in the envelope, the message in the log alone.
pub fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = supervise::said(panic.as_ref());
    ApiError(ServiceError::Internal(format!("a handler panicked: {text}").into())).into_response()
}
