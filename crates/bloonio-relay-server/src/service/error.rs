//! Why the relay refuses: one type from the services to the edge.

use std::time::Duration;

use bloonio_auth_api::totp::TotpError;
use bloonio_wire::code::ErrorCode;
use bloonio_wire::envelope::FieldProblem;
use bloonio_wire::field::BodyError;
use bloonio_wire::random::RandomError;
use serde_json::Value;

use crate::seal::SealError;
use crate::storage::StorageError;

/// A refusal, or a failure that the caller must not learn the cause of.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Refused with a code of the protocol.
    #[error("refused: {0}")]
    Refused(ErrorCode),
    /// Refused with a code, and data for the caller (`PUSH_NOT_DELIVERED`).
    #[error("refused: {0}")]
    RefusedWith(ErrorCode, Value),
    /// The request breaks rules, all of them listed.
    #[error("the request breaks {} rules", .0.len())]
    Invalid(Vec<FieldProblem>),
    /// Too many requests.
    #[error("rate limited")]
    RateLimited {
        /// Whole seconds to the next one, at least 1.
        retry_after: Duration,
    },
    /// The storage does not answer: 503, and nothing half-written.
    #[error("storage: {0}")]
    Storage(#[from] StorageError),
    /// A defect or a broken machine: 500, the cause in the log alone.
    #[error("internal: {0}")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ServiceError {
    /// A single broken rule.
    pub fn invalid(field: &str, problem: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldProblem::new(field, problem)])
    }
}

impl From<ErrorCode> for ServiceError {
    fn from(code: ErrorCode) -> Self {
        Self::Refused(code)
    }
}

impl From<BodyError> for ServiceError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::NotJson => Self::Refused(ErrorCode::MalformedRequest),
            BodyError::Invalid(problems) => Self::Invalid(problems),
        }
    }
}

impl From<RandomError> for ServiceError {
    fn from(error: RandomError) -> Self {
        Self::Internal(Box::new(error))
    }
}

impl From<SealError> for ServiceError {
    fn from(error: SealError) -> Self {
        Self::Internal(Box::new(error))
    }
}

impl From<TotpError> for ServiceError {
    fn from(error: TotpError) -> Self {
        match error {
            TotpError::Database(error) => StorageError::Database(error).into(),
            TotpError::Corrupt(what) => StorageError::Corrupt(what).into(),
            TotpError::Seal(_) | TotpError::Random(_) | TotpError::Address(_) => Self::Internal(Box::new(error)),
        }
    }
}

impl From<serde_json::Error> for ServiceError {
    fn from(error: serde_json::Error) -> Self {
        Self::Internal(Box::new(error))
    }
}
