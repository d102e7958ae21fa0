//! What is printed, and where.

use std::io::{self, Write};

use bloonio_authenticator::text::is_deceptive;
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::PhoneError;

/// The two ways to print: for people, or one JSON object a line.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    /// For scripts if `json`.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints `value` for scripts, `text` for people.
    pub fn print(self, value: &impl Serialize, text: &str) -> io::Result<()> {
        let line = if self.json { line(value)? } else { text.to_owned() };
        writeln!(io::stdout().lock(), "{line}")
    }

    /// Says something beside the result: on standard error, whoever reads.
    pub fn note(self, text: &str) {
        // Nobody is left to tell when this fails.
        writeln!(io::stderr().lock(), "{text}").ok();
    }

    /// Says why the command failed.
    pub fn error(self, error: &PhoneError) {
        if self.json {
            self.print(&failure(error), "").ok();
        } else {
            self.note(&format!("error: {}", error.explain()));
        }
    }
}

/// An error for scripts.
pub fn failure(error: &PhoneError) -> Value {
    let mut value = json!({"error": error.code(), "status": error.status(), "message": error.message()});
    if !error.details().is_empty() {
        value["details"] = json!(error.details());
    }
    value
}

/// JSON on one line, whatever the reader takes for a line: deceptive characters are escaped, as JSON allows in texts.
fn line(value: &impl Serialize) -> io::Result<String> {
    let text = serde_json::to_string(value)?;
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if is_deceptive(c) {
            let mut units = [0u16; 2];
            line.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            line.push(c);
        }
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lines_hold_no_deceptive_character_and_parse_to_the_same(text: String) {
            let value = json!({"text": text});
            let line = line(&value).unwrap();
            prop_assert!(!line.chars().any(is_deceptive));
            prop_assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
        }
    }

    #[test]
    fn a09_line_separators_and_overrides_are_escaped_for_scripts() {
        let value = json!({"text": "a\u{2028}b\u{85}c\u{202e}\u{e0041}"});
        assert_eq!(line(&value).unwrap(), r#"{"text":"a\u2028b\u0085c\u202e\udb40\udc41"}"#);
    }
}
