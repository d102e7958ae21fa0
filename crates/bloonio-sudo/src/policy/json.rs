//! Reads one value out of a JSON body, exactly as it was sent.
//!
//! The text of a number is taken as it stands: a detour over a double would show `0.1` for `0.10` and round what is long.
//! A name that an object holds twice is refused, because the handler's parser may take the other one than the prompt.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::FieldError;

/// A JSON pointer (RFC 6901).
#[derive(Debug, Clone)]
pub(super) struct Pointer(Vec<String>);

impl Pointer {
    /// `/amount`, `/items/0/price`; a missing first slash is forgiven.
    pub(super) fn new(text: &str) -> Self {
        let unescape = |token: &str| token.replace("~1", "/").replace("~0", "~");
        let text = text.strip_prefix('/').unwrap_or(text);
        Self(text.split('/').map(unescape).collect())
    }

    /// The value at this pointer, as the person should see it: strings without quotes and escapes, numbers and truth
    /// values as sent.
    pub(super) fn read(&self, body: &[u8]) -> Result<String, FieldError> {
        let mut raw: &RawValue = serde_json::from_slice(body).map_err(|_| FieldError::NotJson)?;
        for (depth, token) in self.0.iter().enumerate() {
            let wrong = |problem| FieldError::invalid_at(self.field(depth + 1), problem);
            raw = match raw.get().as_bytes().first() {
                Some(b'{') => {
                    let object: Object<'_> = serde_json::from_str(raw.get()).map_err(|_| FieldError::NotJson)?;
                    object.only(token).map_err(wrong)?
                }
                Some(b'[') => {
                    let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| FieldError::NotJson)?;
                    let item = token.parse::<usize>().ok().and_then(|index| items.get(index).copied());
                    item.ok_or_else(|| wrong("is required"))?
                }
                _ if depth == 0 => return Err(FieldError::invalid_at("", "must be a JSON object")),
                _ => return Err(FieldError::invalid_at(self.field(depth), "must be an object")),
            };
        }
        self.scalar(raw.get())
    }

    fn scalar(&self, raw: &str) -> Result<String, FieldError> {
        let wrong = |problem| Err(FieldError::invalid_at(self.field(self.0.len()), problem));
        match raw.as_bytes().first() {
            Some(b'"') => serde_json::from_str(raw).map_err(|_| FieldError::NotJson),
            Some(b'{' | b'[') => wrong("must be a string, a number or a truth value"),
            Some(b'n') | None => wrong("is required"),
            Some(_) => Ok(raw.to_owned()),
        }
    }

    /// The first `depth` tokens as a path, such as `items[0].price`.
    fn field(&self, depth: usize) -> String {
        let mut path = String::new();
        for token in &self.0[..depth] {
            if token.parse::<usize>().is_ok() {
                path.push_str(&format!("[{token}]"));
            } else if path.is_empty() {
                path.push_str(token);
            } else {
                path.push_str(&format!(".{token}"));
            }
        }
        path
    }
}

/// An object's members in order, doubles included.
struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    fn only(&self, name: &str) -> Result<&'a RawValue, &'static str> {
        let mut found = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| *value);
        match (found.next(), found.next()) {
            (Some(value), None) => Ok(value),
            (None, _) => Err("is required"),
            (Some(_), Some(_)) => Err("is given more than once"),
        }
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(Name(key)) = map.next_key()? {
                    members.push((key, map.next_value()?));
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A member's name, borrowed unless it holds escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::string(r#"{"a": "1000.00"}"#, "/a", "1000.00")]
    #[case::number_keeps_its_digits(r#"{"a": 0.10}"#, "/a", "0.10")]
    #[case::long_number(r#"{"a": 123456789012345678901234567890.12}"#, "/a", "123456789012345678901234567890.12")]
    #[case::exponent(r#"{"a": 1E3}"#, "/a", "1E3")]
    #[case::truth(r#"{"a": true}"#, "/a", "true")]
    #[case::escapes_are_undone(r#"{"a": "x\u0041\n"}"#, "/a", "xA\n")]
    #[case::escaped_name(r#"{"\u0061": "v"}"#, "/a", "v")]
    #[case::nested(r#"{"a": [{"b": "v"}]}"#, "/a/0/b", "v")]
    #[case::pointer_escapes(r#"{"a/b": {"c~d": "v"}}"#, "/a~1b/c~0d", "v")]
    #[case::without_slash(r#"{"a": "v"}"#, "a", "v")]
    fn values_are_taken_as_sent(#[case] body: &str, #[case] pointer: &str, #[case] value: &str) {
        assert_eq!(Pointer::new(pointer).read(body.as_bytes()).unwrap(), value);
    }

    #[rstest]
    #[case::missing(r"{}", "/a", "a", "is required")]
    #[case::null(r#"{"a": null}"#, "/a", "a", "is required")]
    #[case::object(r#"{"a": {}}"#, "/a", "a", "must be a string, a number or a truth value")]
    #[case::twice(r#"{"a": "1", "a": "2"}"#, "/a", "a", "is given more than once")]
    #[case::twice_by_escape(r#"{"a": "1", "\u0061": "2"}"#, "/a", "a", "is given more than once")]
    #[case::not_an_object("[]", "/a", "a", "is required")]
    #[case::bare("5", "/a", "", "must be a JSON object")]
    #[case::through_a_string(r#"{"a": "x"}"#, "/a/b", "a", "must be an object")]
    #[case::past_the_end(r#"{"a": [1]}"#, "/a/1", "a[1]", "is required")]
    fn broken_rules_are_named_by_their_path(
        #[case] body: &str,
        #[case] pointer: &str,
        #[case] field: &str,
        #[case] problem: &str,
    ) {
        match Pointer::new(pointer).read(body.as_bytes()) {
            Err(FieldError::Invalid { field: Some(at), problem: why }) => assert_eq!((&*at, &*why), (field, problem)),
            other => panic!("{other:?}"),
        }
    }

    #[rstest]
    #[case("")]
    #[case("{")]
    #[case("{\"a\": 1} x")]
    #[case("\u{feff}{\"a\": 1}")]
    fn noise_is_not_json(#[case] body: &str) {
        assert!(matches!(Pointer::new("/a").read(body.as_bytes()), Err(FieldError::NotJson)));
    }
}
