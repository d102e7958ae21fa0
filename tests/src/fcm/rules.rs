//! What a schema cannot see: FCM's own rules (PUSH.md 6, S4 to S8), and the recipe that this project has set itself
//! (PROTOCOL 5, "The push"). Breaking either is refused, so that no test passes with a message that a phone would not get.

use bloonio_wire::clock::Timestamp;
use bloonio_wire::device::Platform;
use serde_json::{Map, Value, json};

use super::desk::Ledger;
use super::device::{AddressKind, Device, DeviceState};
use super::fault::fcm_error;

/// What FCM takes at most, keys and values counted.
const MAX_PAYLOAD: usize = 4_096;
/// What this project sends at most.
const MAX_OWN: usize = 2_048;
/// Four weeks in seconds.
const MAX_TTL: f64 = 2_419_200.0;
/// Rounding, and the way from the relay to here.
const TTL_SLACK_SECS: f64 = 2.0;
const TARGETS: [&str; 4] = ["token", "fid", "topic", "condition"];
const DATA_KEYS: [&str; 4] = ["expires_at", "instruction_id", "tenant_id", "type"];
const TYPES: [&str; 3] = ["auth_challenge", "security_alert", "challenge_cancelled"];

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Its name in the body, such as `INVALID_ARGUMENT`.
    pub name: &'static str,
    /// The `errorCode` of the `FcmError`, where there is one.
    pub code: Option<&'static str>,
    /// The field that a `BadRequest` names, where there is one.
    pub field: Option<String>,
    /// In words.
    pub reason: String,
    /// Whether FCM would have taken it: only this project's own recipe is broken.
    pub own_rule: bool,
}

impl Refusal {
    pub(super) fn bare(status: u16, name: &'static str, reason: impl Into<String>) -> Self {
        Self { status, name, code: None, field: None, reason: reason.into(), own_rule: false }
    }

    fn coded(status: u16, name: &'static str, code: &'static str, reason: impl Into<String>) -> Self {
        Self { code: Some(code), ..Self::bare(status, name, reason) }
    }

    pub(super) fn invalid_field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::bare(400, "INVALID_ARGUMENT", reason) }
    }

    fn invalid(field: &str, reason: impl Into<String>) -> Self {
        Self { field: Some(field.to_owned()), ..Self::coded(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", reason) }
    }

    pub(super) fn own(reason: impl Into<String>) -> Self {
        Self { own_rule: true, ..Self::bare(400, "INVALID_ARGUMENT", reason) }
    }

    /// Whether the request is to blame, and not the device's state.
    pub fn is_misuse(&self) -> bool {
        !matches!(self.code, Some("UNREGISTERED" | "SENDER_ID_MISMATCH"))
    }

    /// The refusal in FCM's words.
    pub fn body(&self) -> Value {
        let mut details = Vec::new();
        details.extend(self.code.map(fcm_error));
        details.extend(self.field.as_ref().map(|field| {
            json!({
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"field": field, "description": self.reason}],
            })
        }));
        let mut error = json!({"code": self.status, "message": self.reason, "status": self.name});
        if !details.is_empty() {
            error["details"] = details.into();
        }
        json!({ "error": error })
    }
}

/// The address of a message and the field that it stands in.
pub(super) fn address(message: &Value) -> Option<(&'static str, &str)> {
    ["token", "fid"].into_iter().find_map(|field| Some((field, message[field].as_str()?)))
}

/// FCM's own rules on a message of good shape.
pub(super) fn message(message: &Value) -> Result<(), Refusal> {
    let targets = TARGETS.iter().filter(|target| message.get(**target).is_some()).count();
    if targets != 1 {
        let reason = format!("exactly one of {} is needed, there are {targets}", TARGETS.join(", "));
        return Err(Refusal::invalid("message", reason));
    }
    if message.get("android").is_some() && message.get("androidV2").is_some() {
        return Err(Refusal::invalid("message.android_v2", "android and android_v2 exclude each other"));
    }
    let blocks = [(&message["data"], "message.data"), (&message["android"]["data"], "message.android.data")];
    for (data, place) in blocks {
        if let Some(key) = object(data).and_then(|data| data.keys().find(|key| is_reserved(key))) {
            return Err(Refusal::invalid(place, format!("the key {key} is reserved")));
        }
    }
    if let Some(ttl) = message["android"]["ttl"].as_str().filter(|ttl| seconds(ttl) > MAX_TTL) {
        return Err(Refusal::invalid("message.android.ttl", format!("{ttl} is longer than four weeks")));
    }
    let size = payload_size(message);
    if size > MAX_PAYLOAD {
        // As the real one does: no details, and nothing that names the payload.
        return Err(Refusal::bare(400, "INVALID_ARGUMENT", format!("Android message is too big ({size} bytes)")));
    }
    Ok(())
}

fn is_reserved(key: &str) -> bool {
    matches!(key, "from" | "message_type" | "gcm") || key.starts_with("google.") || key.starts_with("gcm.notification.")
}

fn payload_size(message: &Value) -> usize {
    let counted = [&message["data"], &message["notification"], &message["android"], &message["apns"]["payload"]];
    counted.iter().filter(|part| !part.is_null()).map(|part| part.to_string().len()).sum()
}

/// Whether the message fits the device that it is for.
pub(super) fn suits(message: &Value, device: &Device) -> Result<(), Refusal> {
    let package = message["android"]["restrictedPackageName"].as_str();
    if let Some(package) = package.filter(|package| *package != device.package) {
        let reason = format!("{package} is not the app of this address");
        return Err(Refusal::invalid("message.android.restricted_package_name", reason));
    }
    let priority = &message["apns"]["headers"]["apns-priority"];
    if device.platform == Platform::Ios && !is_visible(message) && *priority != "5" {
        return Err(Refusal::invalid(
            "message.apns.headers",
            "a message without an alert needs apns-priority 5 on iOS",
        ));
    }
    Ok(())
}

/// Whether the address is one, and can be reached.
pub(super) fn delivery(message: &Value, ledger: &Ledger) -> Result<(), Refusal> {
    let Some((field, address)) = address(message) else { return Ok(()) };
    // `token` takes an installation id as well, `fid` takes nothing else.
    let device = ledger.devices.get(address).filter(|device| field == "token" || device.kind == AddressKind::Fid);
    match device.map(|device| device.state) {
        Some(DeviceState::Live) => Ok(()),
        Some(DeviceState::Unregistered) => {
            Err(Refusal::coded(404, "NOT_FOUND", "UNREGISTERED", "Requested entity was not found."))
        }
        Some(DeviceState::Foreign) => {
            Err(Refusal::coded(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", "SenderId mismatch"))
        }
        None => {
            let reason = "The registration token is not a valid FCM registration token";
            Err(Refusal::invalid(&format!("message.{field}"), reason))
        }
    }
}

/// Whether an iPhone shows something.
fn is_visible(message: &Value) -> bool {
    message.get("notification").is_some() || message["apns"]["payload"]["aps"].get("alert").is_some()
}

/// This project's recipe. `raw` is the whole body as received.
pub(super) fn recipe(message: &Value, raw: &[u8], device: &Device, now: Timestamp) -> Result<(), Refusal> {
    if raw.len() > MAX_OWN {
        return Err(Refusal::own(format!("the body has {} bytes, more than {MAX_OWN}", raw.len())));
    }
    let expires_at = data(&message["data"])?;
    if message.get("notification").is_some() {
        return Err(Refusal::own("message.notification: a push carries no text of its own"));
    }
    let left = expires_at.since(now).as_secs_f64() + TTL_SLACK_SECS;
    match device.platform {
        Platform::Android => android(&message["android"], left),
        Platform::Ios => ios(message, expires_at),
        Platform::Web => web(&message["webpush"]["headers"], left),
        Platform::Stream => Err(Refusal::own("a stream device has no address")),
    }
}

/// The four keys and no more; gives the time that they name.
fn data(data: &Value) -> Result<Timestamp, Refusal> {
    let keys: Vec<&str> = object(data).map(|data| data.keys().map(String::as_str).collect()).unwrap_or_default();
    if keys.len() != DATA_KEYS.len() || !DATA_KEYS.iter().all(|key| keys.contains(key)) {
        return Err(Refusal::own(format!("data holds {keys:?}, not {DATA_KEYS:?}")));
    }
    if !data["type"].as_str().is_some_and(|kind| TYPES.contains(&kind)) {
        return Err(Refusal::own(format!("data.type is {}", data["type"])));
    }
    let expires_at = data["expires_at"].as_str().unwrap_or_default();
    expires_at.parse().map_err(|_| Refusal::own(format!("data.expires_at is {expires_at}, not RFC 3339")))
}

fn android(android: &Value, left: f64) -> Result<(), Refusal> {
    if android.get("notification").is_some() {
        return Err(Refusal::own("android.notification: the app shows the prompt itself"));
    }
    if android["priority"] != "HIGH" {
        return Err(Refusal::own(format!("android.priority is {}, not HIGH", android["priority"])));
    }
    let ttl = android["ttl"].as_str().ok_or_else(|| Refusal::own("android.ttl is absent: four weeks"))?;
    if seconds(ttl) > left {
        return Err(Refusal::own(format!("android.ttl is {ttl}, the push lives {left} s")));
    }
    Ok(())
}

fn ios(message: &Value, expires_at: Timestamp) -> Result<(), Refusal> {
    let (headers, aps) = (&message["apns"]["headers"], &message["apns"]["payload"]["aps"]);
    let expiration = expires_at.as_secs().to_string();
    if headers["apns-expiration"].as_str() != Some(&expiration) {
        let found = &headers["apns-expiration"];
        return Err(Refusal::own(format!("apns-expiration is {found}, not {expiration}")));
    }
    let quiet = message["data"]["type"] == "challenge_cancelled";
    let (kind, priority) = if quiet { ("background", "5") } else { ("alert", "10") };
    if headers["apns-push-type"] != kind || headers["apns-priority"] != priority {
        return Err(Refusal::own(format!("the headers are {headers}, not {kind} with {priority}")));
    }
    if quiet != (aps["content-available"] == 1) || quiet == is_visible(message) {
        return Err(Refusal::own(format!("aps is {aps}, which is no {kind}")));
    }
    if !quiet && (aps["interruption-level"] != "time-sensitive" || aps["mutable-content"] != 1) {
        return Err(Refusal::own("an alert is time-sensitive and mutable"));
    }
    if headers["apns-collapse-id"].as_str().is_some_and(|id| id.len() > 64) {
        return Err(Refusal::own("apns-collapse-id is longer than 64 bytes"));
    }
    Ok(())
}

fn web(headers: &Value, left: f64) -> Result<(), Refusal> {
    let ttl = headers["TTL"].as_str().and_then(|ttl| ttl.parse::<u32>().ok());
    match ttl {
        Some(ttl) if f64::from(ttl) <= left && headers["Urgency"] == "high" => Ok(()),
        _ => Err(Refusal::own(format!("the webpush headers are {headers}, the push lives {left} s"))),
    }
}

fn object(value: &Value) -> Option<&Map<String, Value>> {
    value.as_object()
}

/// The seconds of a duration that the schema has passed.
fn seconds(duration: &str) -> f64 {
    duration.trim_end_matches('s').parse().unwrap_or(f64::INFINITY)
}
