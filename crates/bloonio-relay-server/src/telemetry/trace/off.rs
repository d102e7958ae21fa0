//! Without the feature `otel` there are no traces; callers need not know.

use http::HeaderMap;
use tracing::Span;

/// Makes `span` a part of the caller's trace, if it names one.
pub fn accept(_span: &Span, _headers: &HeaderMap) {}

/// The trace of now is to go on in the callback `delivery_id`.
pub fn carry(_delivery_id: &str) {}

/// Makes `span` a part of the trace that is carried for `delivery_id`.
pub fn follow(_span: &Span, _delivery_id: &str) {}

/// Names the trace of now to whoever gets `headers`.
pub fn inject(_headers: &mut HeaderMap) {}

/// Sends what is not sent yet.
pub async fn stop() {}
