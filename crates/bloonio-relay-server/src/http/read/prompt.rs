//! Bodies of the backend's prompt calls (PROTOCOL 5).

use std::collections::BTreeSet;

use bloonio_wire::challenge::{AuthChallenge, CustomType};
use bloonio_wire::display::Display;
use bloonio_wire::field::Reader;
use bloonio_wire::id::InstructionId;
use serde_json::Value;
use url::Url;

use super::{finish, given, optional_url};
use crate::service::alert::SecurityAlert;
use crate::service::error::ServiceError;
use crate::service::notice;
use crate::service::tenant::TenantConfig;

/// Longest life of a security alert: four weeks, as long as FCM keeps a message.
const MAX_ALERT_TTL: i64 = 2_419_200;

/// Body of POST /relay/send/auth-challenge.
///
/// # Errors
/// `VALIDATION_FAILED`.
pub fn challenge(body: &Value, config: &TenantConfig) -> Result<AuthChallenge, ServiceError> {
    let mut reader = Reader::object(body);
    let user_socket_hash = reader.parsed("user_socket_hash");
    let instruction_id = reader.parsed("instruction_id");
    let custom_type = reader.parsed("custom_type");
    let expected_action = reader.text("expected_action", 1..=128);
    if !given(body, "backend_url") && body.is_object() {
        reader.problem("backend_url", "is required");
    }
    let backend_url = optional_url(&mut reader, "backend_url", |url| match url.scheme() {
        "http" | "https" => Ok(()),
        _ => Err("must be an http or https URL"),
    });
    let description = reader.optional_text("description", 0..=2000);
    let ttl_seconds = reader.optional_integer("ttl_seconds", 10..=600);
    let numbers = numbers(&mut reader, custom_type);
    let mode = reader.optional_text("mode", 0..=64);
    let display = reader.optional_object("display", Display::read);
    let callback_url = optional_url(&mut reader, "callback_url", |url| of_tenant(url, config));
    let response_token = reader.optional_text("response_token", 1..=512);
    let challenge_digest = reader.optional_text("challenge_digest", 1..=256);
    let required = (user_socket_hash, instruction_id, custom_type, backend_url);
    let (Some(user_socket_hash), Some(instruction_id), Some(custom_type), Some(backend_url)) = required else {
        return finish(reader, None);
    };
    let read = AuthChallenge {
        user_socket_hash,
        instruction_id,
        custom_type,
        expected_action,
        backend_url,
        description,
        ttl_seconds,
        numbers,
        mode,
        display,
        callback_url,
        response_token,
        challenge_digest,
    };
    finish(reader, Some(read))
}

/// 3 to 5 distinct integers, for goldenNumber alone.
fn numbers(reader: &mut Reader<'_>, custom_type: Option<CustomType>) -> Option<Vec<i64>> {
    let items = reader.optional_list("numbers", 3..=5)?;
    if custom_type.is_some_and(|custom_type| custom_type != CustomType::GoldenNumber) {
        reader.problem("numbers", "is for goldenNumber only");
    }
    let mut numbers = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        match item.as_i64() {
            Some(number) => numbers.push(number),
            None => reader.problem(&format!("numbers[{i}]"), "must be a whole number"),
        }
    }
    if numbers.iter().collect::<BTreeSet<_>>().len() != numbers.len() {
        reader.problem("numbers", "must be distinct");
    }
    Some(numbers)
}

/// A callback goes where the operator has said that this tenant lives, and nowhere else.
fn of_tenant(url: &Url, config: &TenantConfig) -> Result<(), &'static str> {
    if url.fragment().is_some() {
        return Err("must not contain a fragment");
    }
    let base = config.callback_url_base.as_deref().and_then(|base| Url::parse(base).ok());
    if base.is_some_and(|base| base.origin() == url.origin()) {
        Ok(())
    } else {
        Err("must share the origin of the tenant's callback_url_base")
    }
}

/// Body of POST /relay/cancel/auth-challenge, which knows no other field.
///
/// # Errors
/// `VALIDATION_FAILED`.
pub fn cancel(body: &Value) -> Result<InstructionId, ServiceError> {
    let mut reader = Reader::object(body);
    let instruction_id = reader.parsed("instruction_id");
    reader.refuse_unknown();
    finish(reader, instruction_id)
}

/// Body of POST /relay/send/security-alert.
///
/// # Errors
/// `VALIDATION_FAILED`.
pub fn alert(body: &Value) -> Result<SecurityAlert, ServiceError> {
    let mut reader = Reader::object(body);
    let user_socket_hash = reader.parsed("user_socket_hash");
    let title = reader.text("title", 1..=128);
    let text = reader.text("body", 1..=1024);
    let kind = reader.parsed("kind");
    let notification_id: Option<InstructionId> = reader.optional_parsed("notification_id");
    if notification_id.as_ref().is_some_and(|id| notice::is_reserved(id.as_str())) {
        reader.problem("notification_id", "must not be one of the relay's own alerts");
    }
    let ttl_seconds = reader.optional_integer("ttl_seconds", 10..=MAX_ALERT_TTL);
    let read = user_socket_hash.zip(kind).map(|(user_socket_hash, kind)| SecurityAlert {
        user_socket_hash,
        title,
        body: text,
        kind,
        notification_id,
        ttl_seconds,
    });
    finish(reader, read)
}
