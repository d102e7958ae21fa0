//! The description of every call, OpenAPI 3.1 (`GET /openapi.json`). Each handler describes itself; here they are gathered.

pub mod examples;
pub mod page;
pub mod refusals;

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use bloonio_wire::envelope::Failure;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::error::ApiError;
use super::routes::{callbacks, device, health, pairing, prompts, provision, totp};
use examples::Examples;
pub use refusals::{
    AnswerRefusals, CodeRefusals, DeviceRefusals, OperatorRefusals, OperatorRefusalsFor, TenantRefusals, refusals,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Bloonio relay",
        description = "Brings approval prompts to phones and carries the decisions back.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    tags(
        (name = "tenants", description = "Operator calls: backends, their secrets and their configuration."),
        (name = "callbacks", description = "Operator calls: the outbox."),
        (name = "pairing", description = "Tenant calls: who has which phone."),
        (name = "prompts", description = "Tenant calls: ask a person, tell a person, learn the answer."),
        (name = "sudo", description = "Tenant calls: checks without a prompt."),
        (name = "devices", description = "Device calls: register, fetch, answer."),
        (name = "health", description = "How the relay is."),
        (name = "documentation", description = "What you are reading."),
    ),
    modifiers(&Security, &Examples, &Shared),
    components(schemas(Failure)),
    paths(
        provision::provision_tenant,
        provision::update_tenant,
        provision::rotate_secret,
        provision::suspend_tenant,
        provision::reactivate_tenant,
        provision::fetch_tenant,
        provision::fetch_tenants,
        callbacks::fetch_callbacks,
        callbacks::redeliver_callback,
        pairing::prepare,
        pairing::revoke,
        prompts::send_challenge,
        prompts::cancel_challenge,
        prompts::send_alert,
        prompts::delivery_status,
        prompts::outcome,
        totp::verify,
        device::register,
        device::refresh,
        device::unpair,
        device::confirm,
        device::challenges,
        device::challenge,
        device::alerts,
        device::stream,
        device::submit,
        health::live,
        health::ready,
        health::metrics,
        document,
        page::page,
    )
)]
struct Relay;

/// How callers prove themselves.
struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let key =
            |name: &str, text: &str| SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, text)));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("admin_key", key("X-Admin-Key", "An operator's key."));
        components.add_security_scheme(
            "tenant_signature",
            key(
                "X-Bloonio-Signature",
                "hex(HMAC-SHA256(tenant secret, \"{timestamp}.{sha256_hex(body)}\")), with X-Bloonio-Tenant-Id and \
                 X-Bloonio-Timestamp (Unix milliseconds) beside it; and an HTTP message signature (RFC 9421) in Signature, \
                 Signature-Input and Content-Digest, optional unless the tenant requires it.",
            ),
        );
        components.add_security_scheme("device_token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

/// Stored configuration with fields that this version does not know is refused; in the document it is a part of larger
/// objects, and says nothing of their other fields.
struct Shared;

impl Modify for Shared {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let schemas = document.components.as_mut().map(|components| &mut components.schemas);
        if let Some(RefOr::T(Schema::Object(config))) = schemas.and_then(|schemas| schemas.get_mut("TenantConfig")) {
            config.additional_properties = None;
        }
    }
}

/// The document as JSON.
///
/// # Errors
/// That of its serialisation.
pub fn json() -> Result<String, serde_json::Error> {
    Relay::openapi().to_pretty_json()
}

/// The document as a value.
///
/// # Errors
/// That of its serialisation.
pub fn value() -> Result<serde_json::Value, serde_json::Error> {
    serde_json::to_value(Relay::openapi())
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "documentation", responses(
    (status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = Object),
    (status = 500, description = "`INTERNAL_ERROR`", body = Failure),
))]
pub async fn document() -> Result<impl IntoResponse, ApiError> {
    Ok(([(CONTENT_TYPE, "application/json")], json()?))
}
