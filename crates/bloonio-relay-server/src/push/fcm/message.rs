//! What a push says: that there is something to fetch, and no more (PROTOCOL 5, "The push"; PUSH.md 1.9).
//!
//! Google and Apple can read every byte of it. So it holds a kind, two ids and a time; amounts, names, numbers and texts
//! are fetched by the device over TLS. The alert that iOS demands is the same generic sentence for everybody.

use std::collections::BTreeMap;
use std::fmt;

use bloonio_wire::clock::Timestamp;
use bloonio_wire::device::Platform;
use serde::Serialize;
use serde_json::{Value, json};

use crate::push::{Push, PushAddress, PushKind};

/// Ours; FCM's own limit is 4,096, and what it answers beyond that looks like many other mistakes (PUSH.md 1.4).
pub const MAX_BYTES: usize = 2_048;
/// The longest that FCM keeps a message: four weeks, in seconds.
const MAX_TTL_SECS: u64 = 2_419_200;
/// The longest `apns-collapse-id` that Apple takes.
const MAX_COLLAPSE_ID: usize = 64;

/// A message ready to be sent: the body of one `messages:send`.
#[derive(Clone, PartialEq, Eq)]
pub struct Message(Vec<u8>);

/// A push of which no message can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Less than a second of life is left.
    #[error("the push has expired")]
    Expired,
    /// The device is not reached through FCM.
    #[error("a stream device has no push address")]
    NotAnFcmDevice,
    /// Larger than [`MAX_BYTES`].
    #[error("the message has {bytes} bytes, more than {MAX_BYTES}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It cannot be written as JSON.
    #[error("the message cannot be written as JSON")]
    Unwritable,
}

impl Message {
    /// Writes the message of `push` as of `now`.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn build(push: &Push, now: Timestamp) -> Result<Self, MessageError> {
        let ttl = push.expires_at.since(now).as_secs().min(MAX_TTL_SECS);
        if ttl == 0 {
            return Err(MessageError::Expired);
        }
        let mut body = Body::to(push);
        match push.platform {
            Platform::Android => body.android = Some(Android { priority: "HIGH", ttl: format!("{ttl}s") }),
            Platform::Ios => body.apns = Some(Apns::of(push)),
            Platform::Web => body.webpush = Some(Webpush { headers: Urgent { ttl: ttl.to_string(), urgency: "high" } }),
            Platform::Stream => return Err(MessageError::NotAnFcmDevice),
        }
        let bytes = serde_json::to_vec(&Request { message: body }).map_err(|_| MessageError::Unwritable)?;
        if bytes.len() > MAX_BYTES {
            return Err(MessageError::TooLarge { bytes: bytes.len() });
        }
        Ok(Self(bytes))
    }

    /// A message that FCM checks, credentials and all, and delivers to nobody.
    pub fn dry_run() -> Self {
        let body = json!({"validate_only": true, "message": {"topic": "bloonio-doctor", "data": {"type": "dry_run"}}});
        Self(body.to_string().into_bytes())
    }

    /// The JSON text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} bytes)", self.0.len())
    }
}

#[derive(Serialize)]
struct Request<'a> {
    message: Body<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fid: Option<&'a str>,
    data: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    android: Option<Android>,
    #[serde(skip_serializing_if = "Option::is_none")]
    apns: Option<Apns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webpush: Option<Webpush>,
}

impl<'a> Body<'a> {
    fn to(push: &'a Push) -> Self {
        let (token, fid) = match &push.address {
            PushAddress::Token(token) => (Some(token.as_str()), None),
            PushAddress::Fid(fid) => (None, Some(fid.as_str())),
        };
        let data = BTreeMap::from([
            ("type", push.kind.as_str().to_owned()),
            ("instruction_id", push.subject_id.clone()),
            ("tenant_id", push.tenant_id.to_string()),
            ("expires_at", push.expires_at.to_string()),
        ]);
        Self { token, fid, data, android: None, apns: None, webpush: None }
    }
}

/// Data-only: the app shows the notification itself. No collapse key: each prompt is its own message.
#[derive(Serialize)]
struct Android {
    priority: &'static str,
    ttl: String,
}

#[derive(Serialize)]
struct Webpush {
    headers: Urgent,
}

#[derive(Serialize)]
struct Urgent {
    #[serde(rename = "TTL")]
    ttl: String,
    #[serde(rename = "Urgency")]
    urgency: &'static str,
}

#[derive(Serialize)]
struct Apns {
    headers: BTreeMap<&'static str, String>,
    payload: Value,
}

impl Apns {
    fn of(push: &Push) -> Self {
        let (push_type, priority, aps) = match push.kind {
            PushKind::AuthChallenge => {
                ("alert", "10", alert("BLOONIO_APPROVAL", "Approval needed", "Open the app to review it."))
            }
            PushKind::SecurityAlert => {
                ("alert", "10", alert("BLOONIO_NOTICE", "Security notice", "Open the app to read it."))
            }
            // Nothing to show, only something to take away. FCM refuses priority 10 without an alert.
            PushKind::ChallengeCancelled => ("background", "5", json!({"content-available": 1})),
        };
        let mut headers = BTreeMap::from([
            ("apns-push-type", push_type.to_owned()),
            ("apns-priority", priority.to_owned()),
            // Without it FCM asks Apple to keep the message for 30 days.
            ("apns-expiration", push.expires_at.as_secs().to_string()),
        ]);
        // A repeated push replaces the first one instead of standing beside it.
        if push_type == "alert" && push.subject_id.len() <= MAX_COLLAPSE_ID {
            headers.insert("apns-collapse-id", push.subject_id.clone());
        }
        Self { headers, payload: json!({"aps": aps}) }
    }
}

/// A visible alert of generic text, in the language of the phone. The sentences are their own keys of localisation: iOS shows
/// the key where the app has no translation of it. The app's service extension (`mutable-content`) may put in what it has
/// fetched.
fn alert(category: &str, title: &str, body: &str) -> Value {
    json!({
        "alert": {
            "title": title,
            "title-loc-key": title,
            "body": body,
            "loc-key": body,
        },
        "category": category,
        "interruption-level": "time-sensitive",
        "mutable-content": 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bloonio_wire::id::TenantId;
    use rstest::rstest;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_millis(1_718_966_400_900);
    const TENANT: &str = "tnt_0123456789abcdef0123456789abcdef";

    fn push(platform: Platform, kind: PushKind) -> Push {
        Push {
            tenant_id: TenantId::parse(TENANT).unwrap(),
            kind,
            subject_id: "instruction-1".to_owned(),
            expires_at: NOW.plus(Duration::from_millis(118_500)),
            platform,
            address: PushAddress::Token("token-1".to_owned()),
        }
    }

    fn written(push: &Push) -> Value {
        serde_json::from_slice(Message::build(push, NOW).unwrap().as_bytes()).unwrap()
    }

    fn data(kind: &str) -> Value {
        let expires_at = "2024-06-21T10:41:59.400Z";
        json!({"type": kind, "instruction_id": "instruction-1", "tenant_id": TENANT, "expires_at": expires_at})
    }

    #[rstest]
    fn android_gets_data_only_at_high_priority_for_the_rest_of_its_life(
        #[values(PushKind::AuthChallenge, PushKind::SecurityAlert, PushKind::ChallengeCancelled)] kind: PushKind,
    ) {
        let android = json!({"priority": "HIGH", "ttl": "118s"});
        let expected = json!({"message": {"token": "token-1", "data": data(kind.as_str()), "android": android}});
        assert_eq!(written(&push(Platform::Android, kind)), expected);
    }

    #[rstest]
    #[case(PushKind::AuthChallenge, "BLOONIO_APPROVAL", "Approval needed", "Open the app to review it.")]
    #[case(PushKind::SecurityAlert, "BLOONIO_NOTICE", "Security notice", "Open the app to read it.")]
    fn ios_gets_a_visible_generic_alert(
        #[case] kind: PushKind,
        #[case] category: &str,
        #[case] title: &str,
        #[case] body: &str,
    ) {
        let message = written(&push(Platform::Ios, kind));
        assert_eq!(message["message"]["data"], data(kind.as_str()));
        let headers = json!({
            "apns-push-type": "alert",
            "apns-priority": "10",
            "apns-expiration": "1718966519",
            "apns-collapse-id": "instruction-1",
        });
        assert_eq!(message["message"]["apns"]["headers"], headers);
        let aps = &message["message"]["apns"]["payload"]["aps"];
        let alert = json!({"title": title, "title-loc-key": title, "body": body, "loc-key": body});
        assert_eq!((&aps["alert"], &aps["category"]), (&alert, &json!(category)));
        assert_eq!(aps["interruption-level"], "time-sensitive");
        assert_eq!(aps["mutable-content"], 1);
    }

    #[test]
    fn ios_withdraws_in_the_background_at_priority_5() {
        let message = written(&push(Platform::Ios, PushKind::ChallengeCancelled));
        let apns = json!({
            "headers": {"apns-push-type": "background", "apns-priority": "5", "apns-expiration": "1718966519"},
            "payload": {"aps": {"content-available": 1}},
        });
        assert_eq!(message["message"]["apns"], apns);
    }

    #[test]
    fn web_gets_an_urgent_push_for_the_rest_of_its_life() {
        let headers = json!({"TTL": "118", "Urgency": "high"});
        let expected = json!({"message": {
            "token": "token-1", "data": data("auth_challenge"), "webpush": {"headers": headers},
        }});
        assert_eq!(written(&push(Platform::Web, PushKind::AuthChallenge)), expected);
    }

    #[test]
    fn a_fid_goes_into_its_own_field() {
        let mut push = push(Platform::Android, PushKind::AuthChallenge);
        push.address = PushAddress::Fid("fid-1".to_owned());
        let message = written(&push);
        assert_eq!((&message["message"]["fid"], &message["message"]["token"]), (&json!("fid-1"), &Value::Null));
    }

    #[test]
    fn an_id_too_long_for_apple_does_not_become_a_collapse_id() {
        let mut push = push(Platform::Ios, PushKind::SecurityAlert);
        push.subject_id = "n".repeat(65);
        assert_eq!(written(&push)["message"]["apns"]["headers"]["apns-collapse-id"], Value::Null);
    }

    #[test]
    fn a_life_beyond_what_fcm_keeps_is_cut() {
        let mut push = push(Platform::Android, PushKind::SecurityAlert);
        push.expires_at = NOW.plus(Duration::from_secs(150 * 86_400));
        assert_eq!(written(&push)["message"]["android"]["ttl"], "2419200s");
    }

    #[rstest]
    #[case::in_less_than_a_second(999)]
    #[case::now(0)]
    fn what_has_expired_is_not_sent(#[case] life_ms: u64) {
        let mut push = push(Platform::Android, PushKind::AuthChallenge);
        push.expires_at = NOW.plus(Duration::from_millis(life_ms));
        assert_eq!(Message::build(&push, NOW), Err(MessageError::Expired));
    }

    #[test]
    fn a_stream_device_has_no_message() {
        let push = push(Platform::Stream, PushKind::AuthChallenge);
        assert_eq!(Message::build(&push, NOW), Err(MessageError::NotAnFcmDevice));
    }

    #[test]
    fn a_message_of_2048_bytes_passes_and_a_larger_one_does_not() {
        let mut push = push(Platform::Android, PushKind::AuthChallenge);
        let rest = Message::build(&push, NOW).unwrap().as_bytes().len() - "token-1".len();
        push.address = PushAddress::Token("x".repeat(MAX_BYTES - rest));
        assert_eq!(Message::build(&push, NOW).unwrap().as_bytes().len(), MAX_BYTES);
        push.address = PushAddress::Token("x".repeat(MAX_BYTES - rest + 1));
        assert_eq!(Message::build(&push, NOW), Err(MessageError::TooLarge { bytes: MAX_BYTES + 1 }));
    }

    #[test]
    fn debug_shows_no_address() {
        let message = Message::build(&push(Platform::Android, PushKind::AuthChallenge), NOW).unwrap();
        assert!(!format!("{message:?}").contains("token-1"));
    }
}
