//! Reads a query like a body: what cannot be read is 400, what breaks a rule is named with all others (PROTOCOL 1).
//!
//! The extractor itself never refuses: who calls is settled first, and only then what he asks.

use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use bloonio_wire::code::ErrorCode;
use bloonio_wire::envelope::FieldProblem;
use http::request::Parts;

use crate::service::error::ServiceError;

/// A query as it was sent.
#[derive(Debug, Clone, Default)]
pub struct Query(String);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.uri.query().unwrap_or_default().to_owned()))
    }
}

impl Query {
    /// Begins to read.
    ///
    /// # Errors
    /// `MALFORMED_REQUEST` for a broken percent-encoding or bytes that are not UTF-8.
    pub fn reader(&self) -> Result<QueryReader, ServiceError> {
        let pairs = self.0.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        });
        let pairs = pairs.collect::<Option<Vec<_>>>().ok_or(ErrorCode::MalformedRequest)?;
        Ok(QueryReader { pairs, problems: Vec::new() })
    }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |b: Option<u8>| char::from(b?).to_digit(16).and_then(|d| u8::try_from(d).ok());
                digit(rest.next())? << 4 | digit(rest.next())?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Reads parameters. Getters give `None` when a rule is broken; [`QueryReader::finish`] tells.
#[derive(Debug)]
pub struct QueryReader {
    pairs: Vec<(String, String)>,
    problems: Vec<FieldProblem>,
}

impl QueryReader {
    /// Records that `name` breaks a rule.
    pub fn problem(&mut self, name: &str, problem: impl Into<String>) {
        self.problems.push(FieldProblem::new(name, problem));
    }

    fn value(&mut self, name: &str) -> Option<String> {
        let mut found = self.pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone());
        let first = found.next();
        if found.next().is_some() {
            self.problem(name, "must be given once");
            return None;
        }
        first
    }

    /// An optional parameter as it was sent.
    pub fn optional_text(&mut self, name: &str) -> Option<String> {
        self.value(name)
    }

    /// An optional parameter that parses into `T`.
    pub fn optional_parsed<T>(&mut self, name: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let text = self.value(name)?;
        text.parse().map_err(|rule: T::Err| self.problem(name, rule.to_string())).ok()
    }

    /// A required parameter that parses into `T`; `None` means that a problem was recorded.
    pub fn parsed<T>(&mut self, name: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        self.require(name);
        self.optional_parsed(name)
    }

    /// Records a problem if `name` is missing or empty.
    fn require(&mut self, name: &str) {
        self.pairs.retain(|(key, value)| key != name || !value.is_empty());
        if !self.pairs.iter().any(|(key, _)| key == name) {
            self.problem(name, "is required");
        }
    }

    /// A required id. One that is not even well-formed names nothing: it is answered like an unknown one, so that the
    /// two cannot be told apart.
    pub fn id<T: FromStr>(&mut self, name: &str) -> Option<Named<T>> {
        self.require(name);
        self.value(name).map(|text| Named(text.parse().ok()))
    }

    /// An optional whole number in `range`.
    pub fn optional_integer(&mut self, name: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let text = self.value(name)?;
        let digits = text.strip_prefix('-').unwrap_or(&text);
        let whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<i64>() {
            Ok(number) if whole && digits == text && range.contains(&number) => return Some(number),
            _ if whole => self.problem(name, format!("must be between {} and {}", range.start(), range.end())),
            _ => self.problem(name, "must be a whole number"),
        }
        None
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` with every broken rule.
    pub fn finish(self) -> Result<(), ServiceError> {
        if self.problems.is_empty() { Ok(()) } else { Err(ServiceError::Invalid(self.problems)) }
    }
}

/// An id as it was asked for, if it can be one at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<T>(Option<T>);

impl<T> Named<T> {
    /// The id.
    ///
    /// # Errors
    /// `NOT_FOUND` if it cannot be one.
    pub fn found(self) -> Result<T, ServiceError> {
        self.0.ok_or(ServiceError::Refused(ErrorCode::NotFound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bloonio_wire::id::TenantId;
    use rstest::rstest;

    fn reader(query: &str) -> QueryReader {
        Query(query.to_owned()).reader().unwrap()
    }

    #[rstest]
    #[case("a=%zz")]
    #[case("a=%4")]
    #[case("a=%")]
    #[case("%ff=1")]
    #[case("ok=1&a=%c3%28")]
    fn a_query_that_cannot_be_read_is_malformed(#[case] query: &str) {
        let refused = Query(query.to_owned()).reader().unwrap_err();
        assert!(matches!(refused, ServiceError::Refused(ErrorCode::MalformedRequest)), "{refused}");
    }

    #[test]
    fn parameters_are_decoded() {
        let mut reader = reader("&a=x%20y+z%C3%BC&b&=c&");
        assert_eq!(reader.optional_text("a").as_deref(), Some("x y zü"));
        assert_eq!(reader.optional_text("b").as_deref(), Some(""));
        assert_eq!(reader.optional_text("missing"), None);
        assert!(reader.finish().is_ok());
    }

    #[test]
    fn every_broken_rule_is_named() {
        let mut reader = reader("limit=0&offset=-1&signed=%2B1&twice=1&twice=2&huge=99999999999999999999&empty=");
        reader.optional_integer("limit", 1..=200);
        reader.optional_integer("offset", 0..=9);
        reader.optional_integer("signed", 0..=9);
        reader.optional_integer("twice", 0..=9);
        reader.optional_integer("huge", 0..=9);
        reader.id::<TenantId>("empty");
        reader.parsed::<TenantId>("missing");
        let Err(ServiceError::Invalid(problems)) = reader.finish() else { panic!("accepted") };
        let found: Vec<_> = problems.iter().map(|p| (p.field.as_str(), p.problem.as_str())).collect();
        assert_eq!(
            found,
            [
                ("limit", "must be between 1 and 200"),
                ("offset", "must be between 0 and 9"),
                ("signed", "must be a whole number"),
                ("twice", "must be given once"),
                ("huge", "must be between 0 and 9"),
                ("empty", "is required"),
                ("missing", "is required"),
            ]
        );
    }

    #[test]
    fn a_name_that_cannot_be_an_id_is_not_found() {
        let named = reader("tenant_id=nobody").id::<TenantId>("tenant_id").unwrap();
        assert!(matches!(named.found(), Err(ServiceError::Refused(ErrorCode::NotFound))));
    }
}
