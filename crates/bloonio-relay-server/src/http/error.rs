//! Answers and refusals in the envelope of PROTOCOL 1. The cause of a failure goes to the log, never to the caller.

use axum::Json;
use axum::response::{IntoResponse, Response};
use bloonio_wire::code::ErrorCode;
use bloonio_wire::envelope::{Failure, Success};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::service::error::ServiceError;
use crate::storage::StorageError;

/// What a caller is told after a 503.
const STORAGE_RETRY_SECONDS: u64 = 1;

/// A refusal on its way out.
#[derive(Debug)]
pub struct ApiError(pub ServiceError);

impl<E: Into<ServiceError>> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (failure, retry_after) = match self.0 {
            ServiceError::Refused(code) => (Failure::new(code), None),
            ServiceError::RefusedWith(code, data) => (Failure::new(code).with_data(data), None),
            ServiceError::Invalid(details) => (Failure::invalid(details), None),
            ServiceError::RateLimited { retry_after } => {
                (Failure::new(ErrorCode::RateLimited), Some(retry_after.as_secs().max(1)))
            }
            // Coming again would not help: somebody must look.
            ServiceError::Storage(cause @ StorageError::Corrupt(_)) => {
                tracing::error!(error = &cause as &dyn std::error::Error, "the storage holds what cannot be read");
                (Failure::new(ErrorCode::InternalError), None)
            }
            ServiceError::Storage(cause) => {
                tracing::error!(error = &cause as &dyn std::error::Error, "the storage failed");
                (Failure::new(ErrorCode::StorageUnavailable), Some(STORAGE_RETRY_SECONDS))
            }
            ServiceError::Internal(cause) => {
                tracing::error!(error = cause.as_ref() as &dyn std::error::Error, "a request failed");
                (Failure::new(ErrorCode::InternalError), None)
            }
        };
        let status = StatusCode::from_u16(failure.status_code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = failure.error;
        let mut response = (status, Json(failure)).into_response();
        response.extensions_mut().insert(RefusedWith(code));
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Why an answer refuses; it travels in the response's extensions, for the log and the metrics.
#[derive(Debug, Clone, Copy)]
pub struct RefusedWith(pub ErrorCode);

/// A success on its way out.
#[derive(Debug)]
pub struct Answer<T> {
    status: StatusCode,
    message: &'static str,
    data: T,
}

impl<T> Answer<T> {
    /// 200.
    pub fn ok(message: &'static str, data: T) -> Self {
        Self { status: StatusCode::OK, message, data }
    }

    /// 201.
    pub fn created(message: &'static str, data: T) -> Self {
        Self { status: StatusCode::CREATED, message, data }
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let body = Success::new(self.status.as_u16(), self.message, self.data);
        match serde_json::to_vec(&body) {
            Ok(bytes) => (self.status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
            Err(error) => ApiError::from(error).into_response(),
        }
    }
}
