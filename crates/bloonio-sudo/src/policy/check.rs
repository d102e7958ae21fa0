//! What of a requirement can be checked before any request.

use bloonio_wire::challenge::CustomType;
use bloonio_wire::display::MAX_FIELDS;

use super::{SudoRequirement, Text};
use crate::consume::ConsumePolicy;

/// A rule of a requirement that the application broke; every request of the route is then refused with 500.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequirementError {
    /// An empty or too long text.
    #[error("{what} must have {min} to {max} characters")]
    Length {
        /// Which text.
        what: String,
        /// At least.
        min: usize,
        /// At most.
        max: usize,
    },
    /// More fields than a prompt can show.
    #[error("a prompt has at most {MAX_FIELDS} fields")]
    TooManyFields,
    /// A life that the relay does not take.
    #[error("a prompt lives 10 to 600 seconds")]
    Ttl,
    /// Numbers to pick from, where there is no number or there are too few or too many of them.
    #[error("3 to 5 golden numbers may be offered, and for goldenNumber only")]
    GoldenChoices,
    /// The waiting page has no answer yet that could show the number.
    #[error("a blocking request cannot show a golden number")]
    BlockingGoldenNumber,
    /// Nobody comes back with the approval of a blocking request.
    #[error("a blocking request is used up before its handler runs, and in no other way")]
    BlockingConsume,
    /// Whether another user has a phone must not decide over the caller's request.
    #[error("an enrolment exception is for the caller's own pairing")]
    EnrolmentOfAnother,
    /// A name that no header can have would bind nothing.
    #[error("{0:?} is not the name of a header")]
    BoundHeader(String),
}

impl SudoRequirement {
    /// Checks what can be checked before any request.
    ///
    /// # Errors
    /// [`RequirementError`].
    pub fn check(&self) -> Result<(), RequirementError> {
        length("the action", &self.action, 1, 128)?;
        for (what, text, min, max) in [
            ("the title", &self.title, 1, 128),
            ("the subtitle", &self.subtitle, 0, 200),
            ("the description", &self.description, 0, 2000),
        ] {
            if let Some(Text::Fixed(text)) = text {
                length(what, text, min, max)?;
            }
        }
        for field in &self.fields {
            length(&format!("the key of the field {:?}", field.key), &field.key, 1, 64)?;
            length(&format!("the title of the field {:?}", field.key), &field.title, 1, 128)?;
        }
        if self.fields.len() > MAX_FIELDS {
            return Err(RequirementError::TooManyFields);
        }
        if self.ttl.is_some_and(|ttl| !(10..=600).contains(&ttl.as_secs())) {
            return Err(RequirementError::Ttl);
        }
        let is_golden = self.custom_type == CustomType::GoldenNumber;
        if self.golden_choices.is_some_and(|offered| !is_golden || !(3..=5).contains(&offered)) {
            return Err(RequirementError::GoldenChoices);
        }
        if self.blocking && self.custom_type == CustomType::GoldenNumber {
            return Err(RequirementError::BlockingGoldenNumber);
        }
        if self.blocking && self.consume != ConsumePolicy::BeforeHandler {
            return Err(RequirementError::BlockingConsume);
        }
        if self.enrolment_exception && self.user.is_some() {
            return Err(RequirementError::EnrolmentOfAnother);
        }
        if let Some(name) = self.bound_headers.iter().find(|name| !is_header_name(name)) {
            return Err(RequirementError::BoundHeader(name.clone()));
        }
        Ok(())
    }
}

/// Whether `name` is a token (RFC 9110, section 5.6.2).
pub(crate) fn is_header_name(name: &str) -> bool {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(is_token)
}

fn length(what: &str, text: &str, min: usize, max: usize) -> Result<(), RequirementError> {
    if (min..=max).contains(&text.chars().count()) && !text.contains('\0') {
        return Ok(());
    }
    Err(RequirementError::Length { what: what.to_owned(), min, max })
}
