//! Why a line of a prompt could not be computed, and whose fault that is.

use std::fmt;

use bloonio_wire::envelope::FieldProblem;

/// Why a closure of a requirement has no value.
///
/// Every [`std::error::Error`] converts into [`FieldError::Application`] with `?`, so what a closure did not expect refuses
/// the request and shows nobody why. This type is no such error itself, or the two conversions would clash.
#[non_exhaustive]
pub enum FieldError {
    /// The body is not JSON: 400 `MALFORMED_REQUEST`.
    NotJson,
    /// The request breaks a rule: 422 `VALIDATION_FAILED`, together with all others that do.
    Invalid {
        /// Where, such as `items[0].amount`; the field's key if absent.
        field: Option<String>,
        /// What is wrong, such as `is required`.
        problem: String,
    },
    /// The application failed: 500 `SUDO_MISCONFIGURED`; the cause goes to the log.
    Application(Box<dyn std::error::Error + Send + Sync>),
}

impl FieldError {
    /// The request breaks a rule at this very field.
    pub fn invalid(problem: impl Into<String>) -> Self {
        Self::Invalid { field: None, problem: problem.into() }
    }

    /// The request breaks a rule elsewhere.
    pub fn invalid_at(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { field: Some(field.into()), problem: problem.into() }
    }

    /// The application failed.
    pub fn application(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Application(cause.into())
    }
}

impl fmt::Debug for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson => f.write_str("NotJson"),
            Self::Invalid { field, problem } => write!(f, "Invalid({field:?}, {problem:?})"),
            Self::Application(cause) => write!(f, "Application({cause:?})"),
        }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for FieldError {
    fn from(cause: E) -> Self {
        Self::Application(Box::new(cause))
    }
}

/// Everything that is wrong with a request, gathered before it is answered.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    not_json: bool,
    invalid: Vec<FieldProblem>,
    application: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The worst of the problems: a failing application before an unreadable body before broken rules.
#[derive(Debug)]
pub(crate) enum Worst {
    Application(Box<dyn std::error::Error + Send + Sync>),
    NotJson,
    Invalid(Vec<FieldProblem>),
}

impl From<FieldError> for Worst {
    fn from(error: FieldError) -> Self {
        match error {
            FieldError::NotJson => Self::NotJson,
            FieldError::Invalid { field, problem } => {
                Self::Invalid(vec![FieldProblem::new(field.unwrap_or_default(), problem)])
            }
            FieldError::Application(cause) => Self::Application(cause),
        }
    }
}

impl Problems {
    pub(crate) fn add(&mut self, field: &str, error: FieldError) {
        match error {
            FieldError::NotJson => self.not_json = true,
            FieldError::Invalid { field: at, problem } => {
                self.invalid.push(FieldProblem::new(at.unwrap_or_else(|| field.to_owned()), problem));
            }
            FieldError::Application(cause) => self.application = Some(cause),
        }
    }

    pub(crate) fn finish(self) -> Result<(), Worst> {
        match self {
            Self { application: Some(cause), .. } => Err(Worst::Application(cause)),
            Self { not_json: true, .. } => Err(Worst::NotJson),
            Self { invalid, .. } if !invalid.is_empty() => Err(Worst::Invalid(invalid)),
            _ => Ok(()),
        }
    }
}
