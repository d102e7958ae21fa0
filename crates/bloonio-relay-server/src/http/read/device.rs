//! Bodies of the device's calls (PROTOCOL 4 and 5).

use bloonio_wire::challenge::DeviceResponse;
use bloonio_wire::decision::DeviceKey;
use bloonio_wire::device::Platform;
use bloonio_wire::field::Reader;
use bloonio_wire::id::DeviceId;
use serde_json::Value;

use super::finish;
use crate::push::PushAddress;
use crate::service::device::register::Introduction;
use crate::service::error::ServiceError;

/// Longer push addresses do not exist, and a message that names one must stay under 2,048 bytes.
const MAX_ADDRESS: usize = 1024;

/// Body of POST /device/register-token. `has_fcm`: whether this relay can reach devices with an FCM address at all.
///
/// # Errors
/// `VALIDATION_FAILED`.
pub fn introduction(body: &Value, has_fcm: bool) -> Result<Introduction, ServiceError> {
    let mut reader = Reader::object(body);
    let platform = reader.parsed("platform");
    let address = address(&mut reader, platform, has_fcm);
    let device_name = reader.optional_text("device_name", 1..=128);
    if device_name.as_ref().is_some_and(|name| !is_plain(name)) {
        reader.problem("device_name", "must not contain control or formatting characters");
    }
    let app_version = reader.optional_text("app_version", 1..=64);
    let device_public_key = reader.optional_object("device_public_key", public_key);
    if device_public_key.as_ref().is_some_and(Option::is_none) {
        reader.problem("device_public_key", "must be a public JWK with kty EC, crv P-256, x and y");
    }
    let device_public_key = device_public_key.flatten();
    let read = platform.map(|platform| Introduction { platform, address, device_name, app_version, device_public_key });
    finish(reader, read)
}

/// Body of POST /device/refresh-token of a device of that platform.
///
/// # Errors
/// `VALIDATION_FAILED`.
pub fn refresh(body: &Value, platform: Platform, has_fcm: bool) -> Result<Option<PushAddress>, ServiceError> {
    let mut reader = Reader::object(body);
    let address = address(&mut reader, Some(platform), has_fcm);
    finish(reader, Some(address))
}

/// Body of POST /device/confirm-device.
///
/// # Errors
/// `VALIDATION_FAILED`.
pub fn confirmation(body: &Value) -> Result<(DeviceId, bool), ServiceError> {
    let mut reader = Reader::object(body);
    let device_id = reader.parsed("device_id");
    let approved = reader.boolean("approved");
    finish(reader, device_id.zip(approved))
}

/// Body of POST /device/submit-response.
///
/// # Errors
/// `VALIDATION_FAILED`.
pub fn response(body: &Value) -> Result<DeviceResponse, ServiceError> {
    let mut reader = Reader::object(body);
    let instruction_id = reader.parsed("instruction_id");
    let approved = reader.boolean("approved");
    let custom_type = reader.parsed("custom_type");
    let totp_code = reader.optional_text("totp_code", 0..=16);
    let selected_number = reader.optional_integer("selected_number", i64::MIN..=i64::MAX);
    let reason = reader.optional_text("reason", 0..=500);
    let decided_at = reader.optional_integer("decided_at", 0..=i64::MAX);
    let signature = reader.optional_text("signature", 0..=256);
    let (Some(instruction_id), Some(approved), Some(custom_type)) = (instruction_id, approved, custom_type) else {
        return finish(reader, None);
    };
    let read = DeviceResponse {
        instruction_id,
        approved,
        custom_type,
        totp_code,
        selected_number,
        reason,
        // The backend's own; this relay has no use for it.
        response_token: None,
        decided_at,
        signature,
    };
    finish(reader, Some(read))
}

/// Other people read it in alerts: nothing that breaks lines, hides, or turns the direction of what follows (ATTACKS A09).
fn is_plain(text: &str) -> bool {
    let formats = |c| matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !text.chars().any(|c| c.is_control() || formats(c))
}

/// Exactly one push address of either kind for FCM's platforms, none for `stream`; and FCM must be there.
fn address(reader: &mut Reader<'_>, platform: Option<Platform>, has_fcm: bool) -> Option<PushAddress> {
    let (token_given, fid_given) = (reader.value("fcm_token").is_some(), reader.value("fid").is_some());
    let token = one_address(reader, "fcm_token");
    let fid = one_address(reader, "fid");
    match platform {
        None => (),
        Some(Platform::Stream) => {
            for (name, _) in [("fcm_token", token_given), ("fid", fid_given)].into_iter().filter(|(_, given)| *given) {
                reader.problem(name, "must be absent for stream devices");
            }
        }
        Some(_) if !token_given && !fid_given => reader.problem("fcm_token", "is required, or fid instead"),
        Some(_) if token_given && fid_given => reader.problem("fcm_token", "must not be given together with fid"),
        Some(_) if !has_fcm => reader.problem("platform", "must be stream: this relay has no push service"),
        Some(_) => (),
    }
    token.map(PushAddress::Token).or(fid.map(PushAddress::Fid))
}

fn one_address<'a>(reader: &mut Reader<'a>, name: &'a str) -> Option<String> {
    let address = reader.optional_text(name, 1..=MAX_ADDRESS)?;
    if !address.bytes().all(|b| b.is_ascii_graphic()) {
        reader.problem(name, "must consist of visible ASCII characters");
    }
    Some(address)
}

/// A public JWK; other members of it are ignored, but a private one is refused: the device has shown its key.
fn public_key(reader: &mut Reader<'_>) -> Option<DeviceKey> {
    let shown_private = reader.has("d");
    let key = DeviceKey {
        kty: reader.optional_text("kty", 0..=16)?,
        crv: reader.optional_text("crv", 0..=16)?,
        x: reader.optional_text("x", 0..=64)?,
        y: reader.optional_text("y", 0..=64)?,
    };
    (!shown_private && key.check().is_ok()).then_some(key)
}
