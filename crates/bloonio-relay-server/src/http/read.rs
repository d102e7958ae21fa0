//! Bodies of PROTOCOL 4 to 6: from JSON to checked values, every broken rule named.

pub mod device;
pub mod pairing;
pub mod prompt;
pub mod totp;

use bloonio_wire::field::Reader;
use serde_json::Value;
use url::Url;

use crate::service::error::ServiceError;

/// Longer addresses are refused.
const MAX_URL: usize = 2048;

/// Ends a reading: every broken rule, or the values. A required field is `None` only if a rule was broken.
fn finish<T>(reader: Reader<'_>, read: Option<T>) -> Result<T, ServiceError> {
    reader.finish().map_err(ServiceError::Invalid)?;
    read.ok_or_else(|| ServiceError::Invalid(Vec::new()))
}

/// An absolute URL without white space and user information.
fn url(text: &str) -> Option<Url> {
    let clean = !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\');
    let url = Url::parse(text).ok().filter(|url| clean && url.has_host())?;
    (url.username().is_empty() && url.password().is_none()).then_some(url)
}

/// An optional address that obeys `rule`.
fn optional_url<'a>(
    reader: &mut Reader<'a>,
    name: &'a str,
    rule: impl Fn(&Url) -> Result<(), &'static str>,
) -> Option<String> {
    let text = reader.optional_text(name, 1..=MAX_URL)?;
    let checked = url(&text).ok_or("must be an absolute URL").and_then(|url| rule(&url));
    match checked {
        Ok(()) => Some(text),
        Err(problem) => {
            reader.problem(name, problem);
            None
        }
    }
}

/// Whether the field has a value, whatever it is.
fn given(body: &Value, name: &str) -> bool {
    body.get(name).is_some_and(|value| !value.is_null())
}
