//! Bodies of the backend's pairing calls (PROTOCOL 4).

use bloonio_wire::device::PreparePairing;
use bloonio_wire::field::Reader;
use bloonio_wire::id::UserSocketHash;
use serde_json::Value;

use super::{finish, given, optional_url};
use crate::service::error::ServiceError;

/// Body of POST /relay/prepare-pairing.
///
/// # Errors
/// `VALIDATION_FAILED`.
pub fn prepare(body: &Value) -> Result<PreparePairing, ServiceError> {
    let mut reader = Reader::object(body);
    let user_socket_hash = reader.parsed("user_socket_hash");
    let backend_user_id = reader.text("backend_user_id", 1..=128);
    let display_name = reader.text("display_name", 1..=128);
    if !given(body, "user_email") && !given(body, "user_phone") && body.is_object() {
        reader.problem("user_email", "is required, or user_phone instead");
    }
    let user_email = reader.optional_text("user_email", 3..=254);
    if user_email.as_ref().is_some_and(|email| !is_email(email)) {
        reader.problem("user_email", "must be an e-mail address");
    }
    let user_phone = reader.optional_text("user_phone", 3..=32);
    if user_phone.as_ref().is_some_and(|phone| !is_phone(phone)) {
        reader.problem("user_phone", "must be a phone number");
    }
    let first_name = reader.optional_text("first_name", 1..=128);
    let last_name = reader.optional_text("last_name", 1..=128);
    let display_logo_url = optional_url(&mut reader, "display_logo_url", |url| {
        if url.scheme() == "https" { Ok(()) } else { Err("must be an https URL") }
    });
    let read = user_socket_hash.map(|user_socket_hash| PreparePairing {
        user_socket_hash,
        backend_user_id,
        display_name,
        user_email,
        user_phone,
        first_name,
        last_name,
        display_logo_url,
    });
    finish(reader, read)
}

/// Body of POST /relay/revoke-pairing, which knows no other field.
///
/// # Errors
/// `VALIDATION_FAILED`.
pub fn revoke(body: &Value) -> Result<UserSocketHash, ServiceError> {
    let mut reader = Reader::object(body);
    let user = reader.parsed("user_socket_hash");
    reader.refuse_unknown();
    finish(reader, user)
}

/// A plain look: something, an `@`, something. Whether it is reachable is the backend's business.
fn is_email(text: &str) -> bool {
    let clean = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    clean && text.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
}

fn is_phone(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_digit()) && text.bytes().all(|b| b.is_ascii_digit() || b"+-(). /*#x".contains(&b))
}
