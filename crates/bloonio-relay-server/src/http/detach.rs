//! A caller who hangs up changes nothing half-way: what may write is run to its end, whether or not somebody waits.
//!
//! Without this, dropping a connection drops the handler at whatever it awaits: a commit may have reached the disk while
//! those whom it concerns are never woken. And a relay that stops waits for what it has begun.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::Method;
use tracing::Instrument;

use super::error::ApiError;
use crate::app::SharedApp;
use crate::service::error::ServiceError;

/// Runs every POST in a task of its own.
pub async fn detach(State(app): State<SharedApp>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let work = app.tracker.spawn(next.run(request).in_current_span());
    work.await.unwrap_or_else(|lost| ApiError(ServiceError::Internal(Box::new(lost))).into_response())
}
