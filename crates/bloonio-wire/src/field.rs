//! Reads a JSON object field by field and collects every broken rule, not just the first (PROTOCOL 1, `VALIDATION_FAILED`).
//!
//! ```
//! use bloonio_wire::field::Reader;
//! let body = serde_json::json!({"ttl_seconds": 5});
//! let mut reader = Reader::object(&body);
//! let title = reader.text("title", 1..=128);
//! let ttl = reader.optional_integer("ttl_seconds", 10..=600);
//! let problems = reader.finish().unwrap_err();
//! assert_eq!((title.as_str(), ttl), ("", None));
//! assert_eq!(problems[0].field, "title");
//! assert_eq!(problems[1].problem, "must be between 10 and 600");
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::envelope::FieldProblem;

/// Why a body could not be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyError {
    /// Not JSON at all.
    NotJson,
    /// JSON that breaks rules.
    Invalid(Vec<FieldProblem>),
}

/// Parses a body; no bytes at all count as an empty object (PROTOCOL 1: "a POST without parameters needs no body").
///
/// A key given twice is refused: readers disagree on which of the two counts, and what one of them checks another would
/// execute.
///
/// # Errors
/// [`BodyError::NotJson`].
pub fn parse_body(bytes: &[u8]) -> Result<Value, BodyError> {
    if bytes.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let Unambiguous(value) = serde_json::from_slice(bytes).map_err(|_| BodyError::NotJson)?;
    Ok(value)
}

/// JSON in which no object has a key twice.
struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnambiguousVisitor).map(Self)
    }
}

struct UnambiguousVisitor;

impl<'de> Visitor<'de> for UnambiguousVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unambiguous(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Unambiguous(value))) = entries.next_entry::<String, _>()? {
            if object.insert(key, value).is_some() {
                return Err(serde::de::Error::custom("a key is given twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

/// Reads the fields of one object. Getters return a harmless default when the rule is broken; [`Reader::finish`] tells.
#[derive(Debug)]
pub struct Reader<'a> {
    object: Option<&'a Map<String, Value>>,
    prefix: String,
    seen: BTreeSet<&'a str>,
    problems: Vec<FieldProblem>,
}

impl<'a> Reader<'a> {
    /// A reader of a whole body.
    pub fn object(value: &'a Value) -> Self {
        let mut reader =
            Self { object: value.as_object(), prefix: String::new(), seen: BTreeSet::new(), problems: Vec::new() };
        if reader.object.is_none() {
            reader.problems.push(FieldProblem::new("", "must be a JSON object"));
        }
        reader
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Records that `name` breaks a rule.
    pub fn problem(&mut self, name: &str, problem: impl Into<String>) {
        let path = self.path(name);
        self.problems.push(FieldProblem::new(path, problem));
    }

    /// The field's value; `null` and absent are both `None`.
    pub fn value(&mut self, name: &'a str) -> Option<&'a Value> {
        self.seen.insert(name);
        self.object?.get(name).filter(|value| !value.is_null())
    }

    /// Whether the field is there at all, be it `null`.
    pub fn has(&mut self, name: &'a str) -> bool {
        self.seen.insert(name);
        self.object.is_some_and(|object| object.contains_key(name))
    }

    fn missing(&mut self, name: &str) {
        if self.object.is_some() {
            self.problem(name, "is required");
        }
    }

    /// An optional text whose length in characters lies in `length`.
    pub fn optional_text(&mut self, name: &'a str, length: RangeInclusive<usize>) -> Option<String> {
        let value = self.value(name)?;
        let Some(text) = value.as_str() else {
            self.problem(name, "must be a string");
            return None;
        };
        if !length.contains(&text.chars().count()) {
            self.problem(name, format!("must have {} to {} characters", length.start(), length.end()));
            return None;
        }
        if text.contains('\0') {
            self.problem(name, "must not contain the NUL character");
            return None;
        }
        Some(text.to_owned())
    }

    /// A required text; empty when the rule is broken.
    pub fn text(&mut self, name: &'a str, length: RangeInclusive<usize>) -> String {
        if self.value(name).is_none() {
            self.missing(name);
            return String::new();
        }
        self.optional_text(name, length).unwrap_or_default()
    }

    /// An optional text that parses into `T`, such as an id or an enumeration.
    pub fn optional_parsed<T>(&mut self, name: &'a str) -> Option<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let value = self.value(name)?;
        match value.as_str().map(str::parse::<T>) {
            None => self.problem(name, "must be a string"),
            Some(Err(rule)) => self.problem(name, rule.to_string()),
            Some(Ok(parsed)) => return Some(parsed),
        }
        None
    }

    /// A required text that parses into `T`; `None` means that a problem was recorded.
    pub fn parsed<T>(&mut self, name: &'a str) -> Option<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        if self.value(name).is_none() {
            self.missing(name);
            return None;
        }
        self.optional_parsed(name)
    }

    /// An optional whole number in `range`.
    pub fn optional_integer(&mut self, name: &'a str, range: RangeInclusive<i64>) -> Option<i64> {
        let value = self.value(name)?;
        match value.as_i64() {
            None if value.is_u64() => {
                self.problem(name, format!("must be between {} and {}", range.start(), range.end()))
            }
            None => self.problem(name, "must be a whole number"),
            Some(number) if !range.contains(&number) => {
                self.problem(name, format!("must be between {} and {}", range.start(), range.end()));
            }
            Some(number) => return Some(number),
        }
        None
    }

    /// An optional truth value.
    pub fn optional_bool(&mut self, name: &'a str) -> Option<bool> {
        let value = self.value(name)?;
        if value.as_bool().is_none() {
            self.problem(name, "must be true or false");
        }
        value.as_bool()
    }

    /// A required truth value; `None` means that a problem was recorded.
    pub fn boolean(&mut self, name: &'a str) -> Option<bool> {
        if self.value(name).is_none() {
            self.missing(name);
            return None;
        }
        self.optional_bool(name)
    }

    /// An optional list with a number of items in `count`.
    pub fn optional_list(&mut self, name: &'a str, count: RangeInclusive<usize>) -> Option<&'a [Value]> {
        let value = self.value(name)?;
        match value.as_array() {
            None => self.problem(name, "must be a list"),
            Some(items) if !count.contains(&items.len()) => {
                self.problem(name, format!("must have {} to {} items", count.start(), count.end()));
            }
            Some(items) => return Some(items),
        }
        None
    }

    /// Reads a nested object with `read`; `None` when the field is absent.
    pub fn optional_object<T>(&mut self, name: &'a str, read: impl FnOnce(&mut Reader<'a>) -> T) -> Option<T> {
        let value = self.value(name)?;
        self.nested(name, value, read)
    }

    /// Reads every item of an optional list of objects with `read`.
    pub fn optional_objects<T>(
        &mut self,
        name: &'a str,
        count: RangeInclusive<usize>,
        mut read: impl FnMut(&mut Reader<'a>) -> T,
    ) -> Option<Vec<T>> {
        let items = self.optional_list(name, count)?;
        let read_one = |(i, item)| self.nested(&format!("{name}[{i}]"), item, &mut read);
        Some(items.iter().enumerate().filter_map(read_one).collect())
    }

    fn nested<T>(&mut self, name: &str, value: &'a Value, read: impl FnOnce(&mut Reader<'a>) -> T) -> Option<T> {
        let Some(object) = value.as_object() else {
            self.problem(name, "must be an object");
            return None;
        };
        let mut reader = Reader {
            object: Some(object),
            prefix: format!("{}.", self.path(name)),
            seen: BTreeSet::new(),
            problems: Vec::new(),
        };
        let read = read(&mut reader);
        self.problems.append(&mut reader.problems);
        Some(read)
    }

    /// Refuses every field that was not asked for; destructive bodies do this (SECURITY, "Signatures and replay").
    pub fn refuse_unknown(&mut self) {
        let unknown: Vec<_> = self
            .object
            .into_iter()
            .flat_map(Map::keys)
            .filter(|key| !self.seen.contains(key.as_str()))
            .cloned()
            .collect();
        for name in unknown {
            self.problem(&name, "is not a known field");
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Every broken rule, in the order in which the fields were read.
    pub fn finish(self) -> Result<(), Vec<FieldProblem>> {
        if self.problems.is_empty() { Ok(()) } else { Err(self.problems) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_broken_rule_is_named_with_its_path() {
        let body = json!({
            "text": 7, "number": "7", "big": 18_446_744_073_709_551_615u64, "flag": 1,
            "list": [{"a": 1}, 5, {"a": "ok"}], "object": {"inner": ""}, "extra": true, "null": null
        });
        let mut reader = Reader::object(&body);
        reader.text("text", 1..=5);
        reader.optional_integer("number", 0..=9);
        reader.optional_integer("big", 0..=9);
        reader.optional_bool("flag");
        reader.optional_objects("list", 1..=3, |item| item.text("a", 1..=2));
        reader.optional_object("object", |inner| inner.text("inner", 1..=2));
        reader.text("null", 1..=2);
        reader.refuse_unknown();
        let found: Vec<_> = reader.finish().unwrap_err().into_iter().map(|p| p.field).collect();
        assert_eq!(found, ["text", "number", "big", "flag", "list[0].a", "list[1]", "object.inner", "null", "extra"]);
    }

    #[test]
    fn a_body_that_is_no_object_has_one_problem() {
        let body = json!([1]);
        let mut reader = Reader::object(&body);
        reader.text("a", 1..=2);
        assert_eq!(reader.finish().unwrap_err(), [FieldProblem::new("", "must be a JSON object")]);
    }

    #[test]
    fn no_bytes_are_an_empty_object_and_noise_is_an_error() {
        assert_eq!(parse_body(b""), Ok(json!({})));
        assert_eq!(parse_body(b"{"), Err(BodyError::NotJson));
        assert_eq!(parse_body(b"\xff"), Err(BodyError::NotJson));
        assert_eq!(parse_body(b"{} {}"), Err(BodyError::NotJson));
    }

    #[test]
    fn bodies_are_read_as_serde_json_reads_them_but_for_keys_given_twice() {
        let good = br#"{"a":[null,true,-1,18446744073709551615,1.5,"\u00e9",{"b":{}}]}"#;
        assert_eq!(parse_body(good), Ok(serde_json::from_slice(good).unwrap()));
        for twice in [br#"{"a":1,"a":1}"#.as_slice(), br#"[{"b":{"a":1,"\u0061":2}}]"#] {
            assert_eq!(parse_body(twice), Err(BodyError::NotJson));
        }
    }
}
