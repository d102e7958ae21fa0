//! How every answer of the relay is wrapped (PROTOCOL 1).

use serde::{Deserialize, Serialize};

use crate::code::ErrorCode;

/// One broken rule of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldProblem {
    /// Path of the field, such as `display.fields[0].data_type`.
    pub field: String,
    /// What is wrong with it, such as `must be between 10 and 600`.
    pub problem: String,
}

impl FieldProblem {
    /// A problem of a field.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

/// A successful answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Success<T> {
    /// Always `true`.
    pub success: bool,
    /// Repeats the HTTP status.
    pub status_code: u16,
    /// For people; never parse it.
    pub message: String,
    /// What was asked for.
    pub data: T,
}

impl<T> Success<T> {
    /// Wraps `data`.
    pub fn new(status_code: u16, message: impl Into<String>, data: T) -> Self {
        Self { success: true, status_code, message: message.into(), data }
    }
}

/// A list in an answer (PROTOCOL 6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Items<T> {
    /// What was found.
    pub items: Vec<T>,
    /// How many those are.
    pub count: usize,
}

/// An answer that refuses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Failure {
    /// Always `false`.
    pub success: bool,
    /// Repeats the HTTP status.
    pub status_code: u16,
    /// For people; never parse it.
    pub message: String,
    /// The stable code.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub error: ErrorCode,
    /// `null`, but for the few codes that carry data (`PUSH_NOT_DELIVERED`).
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub data: Option<serde_json::Value>,
    /// All broken rules, for `VALIDATION_FAILED`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<FieldProblem>,
}

impl Failure {
    /// The answer for `code`, with its fixed text.
    pub fn new(code: ErrorCode) -> Self {
        Self {
            success: false,
            status_code: code.status(),
            message: code.text().to_owned(),
            error: code,
            data: None,
            details: Vec::new(),
        }
    }

    /// The answer for a request that breaks rules.
    pub fn invalid(details: Vec<FieldProblem>) -> Self {
        Self { details, ..Self::new(ErrorCode::ValidationFailed) }
    }

    /// Adds data for the caller.
    #[must_use]
    pub fn with_data(mut self, data: serde_json::Value) -> Self {
        self.data = Some(data);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_always_have_data_and_only_sometimes_details() {
        let plain = serde_json::to_value(Failure::new(ErrorCode::NotFound)).unwrap();
        assert_eq!(
            plain,
            serde_json::json!({"success": false, "status_code": 404, "message": "There is no such thing.", "error": "NOT_FOUND", "data": null})
        );
        let invalid = serde_json::to_value(Failure::invalid(vec![FieldProblem::new("a", "is required")])).unwrap();
        assert_eq!(invalid["details"], serde_json::json!([{"field": "a", "problem": "is required"}]));
    }
}
