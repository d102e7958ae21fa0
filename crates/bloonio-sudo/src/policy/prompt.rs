//! What the phone will show, computed from one request.

use bloonio_wire::display::{Display, DisplayField};

use super::field::Worst;
use super::{FieldError, Problems, SudoRequirement, Text};
use crate::request::RequestView;

/// What a prompt shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prompt {
    pub(crate) description: Option<String>,
    pub(crate) display: Display,
}

impl SudoRequirement {
    /// Computes the prompt; every rule that the request breaks is found, not just the first.
    pub(crate) fn prompt(&self, view: &RequestView<'_>) -> Result<Prompt, Worst> {
        let mut problems = Problems::default();
        let title = text(&self.title, "title", 1, 128, view, &mut problems);
        let subtitle = text(&self.subtitle, "subtitle", 0, 200, view, &mut problems);
        let description = text(&self.description, "description", 0, 2000, view, &mut problems);
        let mut fields = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            let value = (field.value)(view).and_then(|value| fits(value, 0, 4096));
            match value {
                Ok(value) => fields.push(DisplayField {
                    key: field.key.clone(),
                    title: field.title.clone(),
                    value,
                    data_type: field.data_type,
                }),
                Err(error) => problems.add(&field.key, error),
            }
        }
        problems.finish()?;
        let title = title.unwrap_or_else(|| self.action.clone());
        Ok(Prompt { description, display: Display { title, subtitle, fields } })
    }
}

fn text(
    text: &Option<Text>,
    name: &str,
    min: usize,
    max: usize,
    view: &RequestView<'_>,
    problems: &mut Problems,
) -> Option<String> {
    match text {
        None => None,
        Some(Text::Fixed(text)) => Some(text.clone()),
        Some(Text::Computed(compute)) => match compute(view).and_then(|text| fits(text, min, max)) {
            Ok(text) => Some(text),
            Err(error) => {
                problems.add(name, error);
                None
            }
        },
    }
}

/// The relay takes no longer text and no NUL; cutting would hide what is approved (ATTACKS A09).
fn fits(text: String, min: usize, max: usize) -> Result<String, FieldError> {
    if !(min..=max).contains(&text.chars().count()) {
        return Err(FieldError::invalid(format!("must have {min} to {max} characters")));
    }
    if text.contains('\0') {
        return Err(FieldError::invalid("must not contain the NUL character"));
    }
    Ok(text)
}
