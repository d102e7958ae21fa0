//! A request as plain data: what the engine, and the closures of an application, may look at.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

use bloonio_wire::field::parse_body;
use serde_json::Value;

use crate::policy::FieldError;

/// The headers of a request, wherever a framework keeps them.
pub trait Headers: Send + Sync {
    /// Every value of a header by its lower-case name, in the order received.
    fn values(&self, name: &str) -> Vec<&[u8]>;
}

/// Fixed headers, for tests and examples.
impl<F: Fn(&str) -> Vec<&'static [u8]> + Send + Sync> Headers for F {
    fn values(&self, name: &str) -> Vec<&[u8]> {
        self(name)
    }
}

/// Why an adapter could not collect a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// It has more bytes than it may have.
    TooLarge,
    /// It ended before its end.
    Broken,
}

/// A request, borrowed from whichever framework received it.
///
/// Path and query are those of the request line, undecoded: what an approval is bound to must not depend on how a router
/// or a proxy reads escapes.
pub struct RequestView<'a> {
    method: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    authority: Option<&'a str>,
    headers: &'a dyn Headers,
    body: Option<&'a [u8]>,
    native: Option<&'a (dyn Any + Send + Sync)>,
    json: OnceLock<Option<Value>>,
}

impl fmt::Debug for RequestView<'_> {
    /// Shows method and path only: queries, headers and bodies hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestView").field("method", &self.method).field("path", &self.path).finish_non_exhaustive()
    }
}

impl<'a> RequestView<'a> {
    /// A request with this raw `path`, after the question mark this raw `query`, and these headers.
    pub fn new(method: &'a str, path: &'a str, query: Option<&'a str>, headers: &'a dyn Headers) -> Self {
        Self { method, path, query, authority: None, headers, body: None, native: None, json: OnceLock::new() }
    }

    /// Adds the authority that the request was made to (`Host`, or `:authority`).
    #[must_use]
    pub fn with_authority(mut self, authority: Option<&'a str>) -> Self {
        self.authority = authority;
        self
    }

    /// Adds the whole body, as received.
    #[must_use]
    pub fn with_body(mut self, body: &'a [u8]) -> Self {
        self.body = Some(body);
        self
    }

    /// Adds the framework's own request, for closures that need more than this view has.
    #[must_use]
    pub fn with_native(mut self, native: &'a (dyn Any + Send + Sync)) -> Self {
        self.native = Some(native);
        self
    }

    /// The method, upper-case where the client sent it so.
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// The raw path.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// The path as routers see it: percent-encoding undone but for `%2F` and `%25`. What a closure compares with routes is
    /// this; `None` where it is no UTF-8 then.
    pub fn decoded_path(&self) -> Option<Cow<'a, str>> {
        let Some(first) = self.path.find('%') else { return Some(Cow::Borrowed(self.path)) };
        let mut decoded = self.path.as_bytes()[..first].to_vec();
        let mut rest = &self.path.as_bytes()[first..];
        while let Some((byte, after)) = rest.split_first() {
            let escaped = if *byte == b'%' { escaped(after) } else { None };
            match escaped.filter(|byte| !b"/%".contains(byte)) {
                Some(escaped) => {
                    decoded.push(escaped);
                    rest = &after[2..];
                }
                None => {
                    decoded.push(*byte);
                    rest = after;
                }
            }
        }
        String::from_utf8(decoded).ok().map(Cow::Owned)
    }

    /// The raw query without its question mark; `None` where there was none, which is not the empty query.
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// The authority that the request was made to.
    pub fn authority(&self) -> Option<&'a str> {
        self.authority
    }

    /// Every value of a header, in the order received.
    pub fn header_values(&self, name: &str) -> Vec<&'a [u8]> {
        self.headers.values(name)
    }

    /// The value of a header that was sent exactly once and is visible ASCII or UTF-8 text.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        match self.headers.values(name).as_slice() {
            [only] => std::str::from_utf8(only).ok(),
            _ => None,
        }
    }

    /// The whole body; empty while it has not been read (identity closures run before that).
    pub fn body(&self) -> &'a [u8] {
        self.body.unwrap_or_default()
    }

    /// The framework's own request if it is a `T`: the adapters' `NativeRequest`, whose extensions other layers have set.
    pub fn native<T: 'static>(&self) -> Option<&'a T> {
        self.native.and_then(|native| native.downcast_ref())
    }

    /// The body as JSON, parsed once.
    ///
    /// # Errors
    /// [`FieldError::NotJson`] for anything else, where a key is given twice (readers disagree on which one counts), and
    /// where `Content-Type` says that it is something else.
    pub fn json(&self) -> Result<&Value, FieldError> {
        self.json_bytes()?;
        let parse = || if self.body().is_empty() { None } else { parse_body(self.body()).ok() };
        let parsed = self.json.get_or_init(parse);
        parsed.as_ref().ok_or(FieldError::NotJson)
    }

    /// The body, where `Content-Type` does not contradict its being JSON: what is shown must be read as the handler reads it.
    pub(crate) fn json_bytes(&self) -> Result<&'a [u8], FieldError> {
        let declared = self.header_values("content-type");
        if declared.iter().all(|value| is_json(value)) { Ok(self.body()) } else { Err(FieldError::NotJson) }
    }

    /// The query's parameters, decoded.
    pub(crate) fn query_pairs(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        url::form_urlencoded::parse(self.query.unwrap_or_default().as_bytes())
    }
}

/// The byte that the two hexadecimal digits after a `%` stand for.
pub(crate) fn escaped(after_percent: &[u8]) -> Option<u8> {
    let mut byte = [0];
    hex::decode_to_slice(after_percent.get(..2)?, &mut byte).ok()?;
    Some(byte[0])
}

fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    essence == b"application/json" || (essence.starts_with(b"application/") && essence.ends_with(b"+json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(None, true)]
    #[case(Some("application/json"), true)]
    #[case(Some("Application/JSON; charset=utf-8"), true)]
    #[case(Some("application/merge-patch+json"), true)]
    #[case(Some("application/x-www-form-urlencoded"), false)]
    #[case(Some("text/json+plain"), false)]
    #[case(Some(""), false)]
    fn json_is_read_only_where_the_content_type_agrees(#[case] declared: Option<&'static str>, #[case] read: bool) {
        let headers = move |_: &str| declared.map(str::as_bytes).into_iter().collect();
        let view = RequestView::new("POST", "/", None, &headers).with_body(b"{\"a\":1}");
        assert_eq!(view.json().is_ok(), read);
    }

    #[rstest]
    #[case(br#"{"a":1,"a":1}"#)]
    #[case(br#"{"$serde_json::private::RawValue":"{\"a\":1}","a":{"b":1,"b":2}}"#)]
    #[case(b"")]
    fn json_that_readers_would_read_differently_is_none(#[case] body: &[u8]) {
        let view = RequestView::new("POST", "/", None, &|_: &str| Vec::new()).with_body(body);
        assert!(view.json().is_err());
    }

    #[rstest]
    #[case("/admin/x", Some("/admin/x"))]
    #[case("/%61dmin/a%3Ab%20%C3%A9", Some("/admin/a:b é"))]
    #[case("/a%2Fb%2f%25c%2541", Some("/a%2Fb%2f%25c%2541"))]
    #[case("/%", Some("/%"))]
    #[case("/%4", Some("/%4"))]
    #[case("/%zz%+1", Some("/%zz%+1"))]
    #[case("/%ff", None)]
    fn a_path_is_decoded_as_routers_do(#[case] path: &'static str, #[case] decoded: Option<&str>) {
        let view = RequestView::new("GET", path, None, &|_: &str| Vec::new());
        assert_eq!(view.decoded_path().as_deref(), decoded);
    }

    #[test]
    fn a_header_given_twice_is_no_header() {
        let headers = |name: &str| match name {
            "authorization" => vec![b"a".as_slice(), b"b"],
            _ => vec![b"1".as_slice()],
        };
        let view = RequestView::new("GET", "/", None, &headers);
        assert_eq!(view.header("authorization"), None);
        assert_eq!(view.header_values("authorization").len(), 2);
        assert_eq!(view.header("x"), Some("1"));
    }

    #[test]
    fn debug_shows_no_secrets() {
        let view =
            RequestView::new("GET", "/p", Some("token=hush"), &|_: &str| vec![b"hush".as_slice()]).with_body(b"hush");
        assert!(!format!("{view:?}").contains("hush"));
    }
}
