//! Who calls. Each caller is an extractor, so a handler that names one in its arguments cannot forget to check.
//!
//! | caller | proves itself by |
//! | --- | --- |
//! | [`tenant::TenantCaller`] | HMAC #1, and an HTTP message signature beside it (PROTOCOL 2; [`claims`]) |
//! | [`admin::AdminCaller`] | `X-Admin-Key` (PROTOCOL 3) |
//! | [`device`] | a bearer token (PROTOCOL 4) |

pub mod admin;
pub mod claims;
pub mod device;
pub mod tenant;

use http::HeaderMap;

/// The value of a header that must be there exactly once and be text.
pub fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}
