//! The FCM emulator refuses what it must: a test that passes against it says something.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use bloonio_tests::fcm::fault::{Answer, Ending, Fault, Gate};
use bloonio_tests::fcm::journal::{TokenVerdict, Verdict};
use bloonio_tests::fcm::rules::Refusal;
use bloonio_tests::fcm::{FcmEmulator, FcmSetup, PROJECT};
use bloonio_wire::clock::{Clock, ManualClock, SystemClock, Timestamp};
use bloonio_wire::device::Platform;
use http::Version;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Certificate, Client, Response};
use rstest::rstest;
use serde_json::{Map, Value, json};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// Somebody who talks to the emulator by hand.
struct Caller {
    emulator: FcmEmulator,
    client: Client,
    clock: Arc<ManualClock>,
}

impl Caller {
    async fn start() -> Self {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let emulator = FcmSetup::default().with_clock(clock.clone()).start().await;
        emulator.add_device("android-1", Platform::Android);
        emulator.add_device("ios-1", Platform::Ios);
        emulator.add_device("web-1", Platform::Web);
        emulator.add_fid_device("fid-1", Platform::Android);
        let client = client(&emulator, |builder| builder);
        Self { emulator, client, clock }
    }

    fn credentials(&self, project: &str) -> Value {
        let file = std::fs::read(self.emulator.credentials_of(project)).unwrap();
        serde_json::from_slice(&file).unwrap()
    }

    fn claims(&self, project: &str) -> Value {
        let file = self.credentials(project);
        let now = self.clock.now().as_secs();
        json!({"iss": file["client_email"], "scope": SCOPE, "aud": file["token_uri"], "iat": now, "exp": now + 3600})
    }

    /// An assertion signed with the project's own key, whatever the claims are.
    fn assertion(&self, project: &str, claims: &Value) -> String {
        let file = self.credentials(project);
        let mut header = Header::new(Algorithm::RS256);
        header.kid = file["private_key_id"].as_str().map(str::to_owned);
        jsonwebtoken::encode(&header, claims, &key(&file)).unwrap()
    }

    async fn exchange(&self, fields: &[(&str, &str)]) -> (u16, Value) {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let url = self.credentials(PROJECT)["token_uri"].as_str().unwrap().to_owned();
        let request = self.client.post(url).header("content-type", "application/x-www-form-urlencoded").body(form);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn token_of(&self, project: &str) -> String {
        let assertion = self.assertion(project, &self.claims(project));
        let (status, body) = self.exchange(&[("grant_type", GRANT), ("assertion", &assertion)]).await;
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().unwrap().to_owned()
    }

    async fn post(&self, project: &str, authorization: &str, body: &Value) -> Result<Response, reqwest::Error> {
        let url = format!("{}/v1/projects/{project}/messages:send", self.emulator.endpoint());
        self.client.post(url).header("authorization", authorization).json(body).send().await
    }

    async fn send(&self, message: &Value) -> Response {
        let authorization = format!("Bearer {}", self.token_of(PROJECT).await);
        self.post(PROJECT, &authorization, &json!({"message": message})).await.unwrap()
    }

    fn refusal(&self) -> Refusal {
        match self.emulator.sends().pop().expect("a request to send").verdict {
            Verdict::Refused(refusal) => refusal,
            verdict => panic!("not refused: {verdict:?}"),
        }
    }

    fn data(&self, kind: &str) -> Value {
        let expires_at = self.clock.now().plus(Duration::from_secs(180)).to_string();
        json!({"type": kind, "instruction_id": "instruction-1", "tenant_id": "tnt_1", "expires_at": expires_at})
    }

    fn android(&self) -> Value {
        json!({"token": "android-1", "data": self.data("auth_challenge"), "android": {"priority": "HIGH", "ttl": "180s"}})
    }

    fn ios(&self) -> Value {
        let expires = Timestamp::from_secs(self.clock.now().plus(Duration::from_secs(180)).as_secs());
        let headers = json!({
            "apns-push-type": "alert", "apns-priority": "10", "apns-expiration": expires.as_secs().to_string(),
        });
        let aps = json!({"alert": {"body": "?"}, "interruption-level": "time-sensitive", "mutable-content": 1});
        let apns = json!({"headers": headers, "payload": {"aps": aps}});
        json!({"token": "ios-1", "data": self.data("auth_challenge"), "apns": apns})
    }

    fn web(&self) -> Value {
        let headers = json!({"TTL": "180", "Urgency": "high"});
        json!({"token": "web-1", "data": self.data("auth_challenge"), "webpush": {"headers": headers}})
    }
}

fn client(emulator: &FcmEmulator, configure: impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder) -> Client {
    let ca = Certificate::from_pem(&std::fs::read(emulator.ca_pem_path()).unwrap()).unwrap();
    configure(Client::builder().no_proxy().tls_certs_only([ca])).build().unwrap()
}

fn key(file: &Value) -> EncodingKey {
    EncodingKey::from_rsa_pem(file["private_key"].as_str().unwrap().as_bytes()).unwrap()
}

/// `base` with `patch` merged into it; `null` takes a field away (RFC 7396).
fn patched(base: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut merged = base.as_object().cloned().unwrap_or_default();
    for (name, value) in patch {
        match value {
            Value::Null => merged.remove(name),
            value => {
                let merged_value = patched(merged.get(name).unwrap_or(&Value::Null), value);
                merged.insert(name.clone(), merged_value)
            }
        };
    }
    merged.into()
}

#[tokio::test]
async fn good_messages_are_delivered_over_http_2() {
    let caller = Caller::start().await;
    for (address, message) in [("android-1", caller.android()), ("ios-1", caller.ios()), ("web-1", caller.web())] {
        let response = caller.send(&message).await;
        assert_eq!(response.status(), 200);
        let name = response.json::<Value>().await.unwrap()["name"].as_str().unwrap().to_owned();
        assert!(name.starts_with("projects/bank-of-tests/messages/"), "{name}");
        assert_eq!(caller.emulator.messages_for(address), [message]);
    }
    assert!(caller.emulator.sends().iter().all(|send| send.version == Version::HTTP_2));
    assert_eq!(caller.emulator.seen().connections, 1);
}

#[tokio::test]
async fn http_1_and_plain_http_do_as_well() {
    let caller = Caller::start().await;
    let old = client(&caller.emulator, |builder| builder.http1_only());
    let caller = Caller { client: old, ..caller };
    assert_eq!(caller.send(&caller.android()).await.status(), 200);
    assert_eq!(caller.emulator.sends()[0].version, Version::HTTP_11);

    let plain = FcmSetup::default().without_tls().start().await;
    plain.add_device("android-1", Platform::Android);
    let caller = Caller { client: Client::builder().no_proxy().build().unwrap(), emulator: plain, ..caller };
    assert!(caller.emulator.endpoint().starts_with("http://127.0.0.1:"));
    assert_eq!(caller.send(&caller.android()).await.status(), 200);
}

#[tokio::test]
async fn a_stranger_does_not_trust_the_emulator() {
    let emulator = FcmEmulator::start().await;
    let stranger = Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    assert!(stranger.get(emulator.endpoint()).send().await.unwrap_err().is_connect());
}

/// Both spellings of every field are taken, as protobuf's JSON has it.
#[rstest]
#[case(json!({"android": {"restrictedPackageName": "com.example.bank"}}))]
#[case(json!({"android": {"restricted_package_name": "com.example.bank"}}))]
#[case(json!({"fcm_options": {"analytics_label": "prompt"}}))]
#[case(json!({"fcmOptions": {"analyticsLabel": "prompt"}}))]
#[tokio::test]
async fn both_spellings_are_taken(#[case] patch: Value) {
    let caller = Caller::start().await;
    let response = caller.send(&patched(&caller.android(), &patch)).await;
    assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
}

/// What FCM itself refuses: `message.field` and a word of the reason.
#[rstest]
#[case::number_in_data(json!({"data": {"type": 5}}), Some("message.data[0].value"), "not of type")]
#[case::unknown_field(json!({"colour": "red"}), Some("message"), "Unknown name \"colour\"")]
#[case::unknown_priority(json!({"android": {"priority": "URGENT"}}), Some("message.android.priority"), "not one of")]
#[case::lower_case_priority(json!({"android": {"priority": "high"}}), Some("message.android.priority"), "not one of")]
#[case::ttl_as_number(json!({"android": {"ttl": 120}}), Some("message.android.ttl"), "not of type")]
#[case::ttl_without_unit(json!({"android": {"ttl": "120"}}), Some("message.android.ttl"), "does not match")]
#[case::negative_ttl(json!({"android": {"ttl": "-1s"}}), Some("message.android.ttl"), "does not match")]
#[case::ttl_over_four_weeks(json!({"android": {"ttl": "2419201s"}}), Some("message.android.ttl"), "four weeks")]
#[case::numeric_header(json!({"apns": {"headers": {"apns-priority": 10}}}), Some("message.apns.headers[0].value"), "type")]
#[case::two_targets(json!({"topic": "news"}), Some("message"), "exactly one of")]
#[case::no_target(json!({"token": null}), Some("message"), "there are 0")]
#[case::android_twice(json!({"androidV2": {}}), Some("message.android_v2"), "exclude each other")]
#[case::reserved_from(json!({"data": {"from": "x"}}), Some("message.data"), "from is reserved")]
#[case::reserved_prefix(json!({"data": {"google.x": "x"}}), Some("message.data"), "google.x is reserved")]
#[case::reserved_gcm(json!({"android": {"data": {"gcm": "x"}}}), Some("message.android.data"), "gcm is reserved")]
#[case::too_big(json!({"data": {"type": "x".repeat(4096)}}), None, "too big")]
#[case::other_app(
    json!({"android": {"restrictedPackageName": "com.example.shop"}}),
    Some("message.android.restricted_package_name"),
    "not the app"
)]
#[tokio::test]
async fn what_fcm_refuses_is_refused(#[case] patch: Value, #[case] field: Option<&str>, #[case] reason: &str) {
    let caller = Caller::start().await;
    let response = caller.send(&patched(&caller.android(), &patch)).await;
    assert_eq!(response.status(), 400);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["status"], "INVALID_ARGUMENT");
    let refusal = caller.refusal();
    assert!(!refusal.own_rule && refusal.is_misuse());
    assert_eq!(refusal.field.as_deref(), field);
    assert!(refusal.reason.contains(reason), "{refusal:?}");
    let details = body["error"]["details"].as_array().cloned().unwrap_or_default();
    assert_eq!(details.is_empty(), field.is_none());
    assert!(caller.emulator.messages_for("android-1").is_empty());
}

#[tokio::test]
async fn a_body_that_is_no_message_is_refused() {
    let caller = Caller::start().await;
    let authorization = format!("Bearer {}", caller.token_of(PROJECT).await);
    for (body, reason) in [(json!({"to": "android-1"}), "Unknown name \"to\""), (json!([]), "Invalid value")] {
        assert_eq!(caller.post(PROJECT, &authorization, &body).await.unwrap().status(), 400);
        assert!(caller.refusal().reason.contains(reason), "{body}");
    }
    let url = format!("{}/v1/projects/{PROJECT}/messages:send", caller.emulator.endpoint());
    for (kind, body) in [("application/json", "{\"message\":"), ("text/plain", "{\"message\":{}}")] {
        let request = caller.client.post(&url).header("authorization", &authorization).header("content-type", kind);
        assert_eq!(request.body(body).send().await.unwrap().status(), 400, "{kind}");
    }
}

/// A message to an iPhone that shows nothing must not claim priority 10.
#[tokio::test]
async fn ios_refuses_data_only_at_priority_10() {
    let caller = Caller::start().await;
    let patch = json!({"apns": {"payload": {"aps": {"alert": null}}}});
    assert_eq!(caller.send(&patched(&caller.ios(), &patch)).await.status(), 400);
    let refusal = caller.refusal();
    assert_eq!((refusal.field.as_deref(), refusal.own_rule), (Some("message.apns.headers"), false));
}

/// What FCM would take, but this project does not send.
#[rstest]
#[case::more_data(Caller::android, json!({"data": {"amount": "1"}}), "data holds")]
#[case::less_data(Caller::android, json!({"data": {"tenant_id": null}}), "data holds")]
#[case::other_type(Caller::android, json!({"data": {"type": "news"}}), "data.type")]
#[case::unix_time(Caller::android, json!({"data": {"expires_at": "1800000000"}}), "RFC 3339")]
#[case::text(Caller::android, json!({"notification": {"title": "Pay"}}), "no text of its own")]
#[case::android_text(Caller::android, json!({"android": {"notification": {"title": "Pay"}}}), "the app shows")]
#[case::normal(Caller::android, json!({"android": {"priority": "NORMAL"}}), "not HIGH")]
#[case::no_ttl(Caller::android, json!({"android": {"ttl": null}}), "four weeks")]
#[case::loose_ttl(Caller::android, json!({"android": {"ttl": "183s"}}), "the push lives")]
#[case::over_2048(Caller::android, json!({"data": {"instruction_id": "x".repeat(2000)}}), "more than 2048")]
#[case::no_expiration(Caller::ios, json!({"apns": {"headers": {"apns-expiration": null}}}), "apns-expiration is null")]
#[case::loose_expiration(Caller::ios, json!({"apns": {"headers": {"apns-expiration": "1"}}}), "apns-expiration is \"1\"")]
#[case::background(Caller::ios, json!({"apns": {"headers": {"apns-push-type": "background"}}}), "not alert with 10")]
#[case::low(Caller::ios, json!({"apns": {"headers": {"apns-priority": "5"}}}), "not alert with 10")]
#[case::passive(Caller::ios, json!({"apns": {"payload": {"aps": {"interruption-level": "passive"}}}}), "time-sensitive")]
#[case::immutable(Caller::ios, json!({"apns": {"payload": {"aps": {"mutable-content": null}}}}), "mutable")]
#[case::loud_cancel(Caller::ios, json!({"data": {"type": "challenge_cancelled"}}), "not background with 5")]
#[case::web_without_ttl(Caller::web, json!({"webpush": {"headers": {"TTL": null}}}), "webpush headers")]
#[case::web_with_loose_ttl(Caller::web, json!({"webpush": {"headers": {"TTL": "183"}}}), "webpush headers")]
#[case::web_without_urgency(Caller::web, json!({"webpush": {"headers": {"Urgency": null}}}), "webpush headers")]
#[tokio::test]
async fn what_the_recipe_forbids_is_refused(
    #[case] base: fn(&Caller) -> Value,
    #[case] patch: Value,
    #[case] reason: &str,
) {
    let caller = Caller::start().await;
    let message = patched(&base(&caller), &patch);
    assert_eq!(caller.send(&message).await.status(), 400);
    let refusal = caller.refusal();
    assert!(refusal.own_rule && refusal.is_misuse());
    assert!(refusal.reason.contains(reason), "{refusal:?}");
}

#[tokio::test]
async fn a_push_that_tells_a_secret_is_refused() {
    let caller = Caller::start().await;
    caller.emulator.forbid(["ACME Corp"]);
    assert_eq!(caller.send(&caller.android()).await.status(), 200);
    let telling = patched(&caller.android(), &json!({"data": {"instruction_id": "pay ACME Corp"}}));
    assert_eq!(caller.send(&telling).await.status(), 400);
    assert!(caller.refusal().reason.contains("tells"));
}

#[tokio::test]
#[should_panic(expected = "the emulator was misused")]
async fn misuse_does_not_go_unnoticed() {
    let caller = Caller::start().await;
    caller.send(&patched(&caller.android(), &json!({"android": {"ttl": null}}))).await;
    caller.emulator.assert_no_misuse();
}

/// The two answers that may cost an address, and the one that sets it aside.
#[rstest]
#[case("token", "never-given", 400, "INVALID_ARGUMENT", Some("message.token"))]
#[case("fid", "android-1", 400, "INVALID_ARGUMENT", Some("message.fid"))]
#[case("token", "gone", 404, "UNREGISTERED", None)]
#[case("token", "foreign", 403, "SENDER_ID_MISMATCH", None)]
#[tokio::test]
async fn a_device_that_cannot_be_reached_is_told(
    #[case] field: &str,
    #[case] address: &str,
    #[case] status: u16,
    #[case] code: &str,
    #[case] place: Option<&str>,
) {
    let caller = Caller::start().await;
    for state in ["gone", "foreign"] {
        caller.emulator.add_device(state, Platform::Android);
    }
    caller.emulator.mark_unregistered("gone");
    caller.emulator.mark_foreign("foreign");
    let response = caller.send(&patched(&caller.android(), &json!({"token": null, field: address}))).await;
    assert_eq!(response.status(), status);
    let details = response.json::<Value>().await.unwrap()["error"]["details"].clone();
    assert_eq!(details[0]["errorCode"], code);
    assert_eq!(details[1]["fieldViolations"][0]["field"].as_str(), place);
    assert!(caller.emulator.messages_for(address).is_empty());
}

#[tokio::test]
async fn an_installation_id_is_taken_in_both_fields() {
    let caller = Caller::start().await;
    for field in ["fid", "token"] {
        let message = patched(&caller.android(), &json!({"token": null, field: "fid-1"}));
        assert_eq!(caller.send(&message).await.status(), 200, "{field}");
    }
    assert_eq!(caller.emulator.messages_for("fid-1").len(), 2);
}

#[rstest]
#[case("validateOnly")]
#[case("validate_only")]
#[tokio::test]
async fn a_dry_run_delivers_nothing(#[case] spelling: &str) {
    let caller = Caller::start().await;
    let authorization = format!("Bearer {}", caller.token_of(PROJECT).await);
    let body = json!({"message": caller.android(), spelling: true});
    let response = caller.post(PROJECT, &authorization, &body).await.unwrap();
    let name = response.json::<Value>().await.unwrap()["name"].clone();
    assert_eq!(name, "projects/bank-of-tests/messages/fake_message_id");
    assert!(caller.emulator.messages_for("android-1").is_empty());
}

#[tokio::test]
async fn access_is_checked_before_the_message() {
    let caller = Caller::start().await;
    caller.emulator.add_project("other-project");
    let token = caller.token_of(PROJECT).await;
    let answer = async |project: &str, authorization: &str| {
        let response = caller.post(project, authorization, &json!({})).await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap()["error"]["details"].is_null())
    };
    for wrong in ["", "Bearer ", "Bearer ya29.c.0", &format!("Bearer \"{token}\""), &format!("bearer {token}")] {
        assert_eq!(answer(PROJECT, wrong).await, (401, true), "{wrong}");
    }
    let good = format!("Bearer {token}");
    assert_eq!(answer("other-project", &good).await, (403, true));
    assert_eq!(answer("no-such-project", &good).await, (404, true));
    assert_eq!(answer(PROJECT, &good).await.0, 400);
    caller.clock.advance(Duration::from_secs(3_599));
    assert_eq!(answer(PROJECT, &good).await, (401, true));
    let fresh = format!("Bearer {}", caller.token_of(PROJECT).await);
    assert_eq!(answer(PROJECT, &fresh).await.0, 400);
    caller.emulator.revoke_tokens();
    assert_eq!(answer(PROJECT, &fresh).await, (401, true));
}

/// Claims that no token is given for, patched into good ones.
#[rstest]
#[case(json!({"iss": "somebody@else"}), "iss")]
#[case(json!({"iss": null}), "iss")]
#[case(json!({"aud": "https://oauth2.googleapis.com/token"}), "aud")]
#[case(json!({"sub": "relay@bank-of-tests.iam.gserviceaccount.com"}), "sub")]
#[case(json!({"scope": null}), "scope")]
#[case(json!({"scope": "https://www.googleapis.com/auth/drive"}), "scope")]
#[case(json!({"exp": 1}), "reasonable timeframe")]
#[case(json!({"exp": 9_999_999_999_i64}), "reasonable timeframe")]
#[case(json!({"iat": "now"}), "iat")]
#[tokio::test]
async fn wrong_claims_get_no_token(#[case] patch: Value, #[case] reason: &str) {
    let caller = Caller::start().await;
    let assertion = caller.assertion(PROJECT, &patched(&caller.claims(PROJECT), &patch));
    let (status, body) = caller.exchange(&[("grant_type", GRANT), ("assertion", &assertion)]).await;
    assert_eq!(status, 400);
    assert!(body["error_description"].as_str().unwrap().contains(reason), "{body}");
    let verdict = caller.emulator.token_requests().pop().unwrap().verdict;
    assert!(matches!(verdict, Some(TokenVerdict::Refused { .. })), "{verdict:?}");
}

#[tokio::test]
async fn a_clock_that_is_off_gets_no_token() {
    let caller = Caller::start().await;
    for (skew, status) in [(-4_000, 400), (-600, 200), (59, 200), (61, 400), (600, 400)] {
        let now = caller.clock.now().as_secs() + skew;
        let claims = patched(&caller.claims(PROJECT), &json!({"iat": now, "exp": now + 3600}));
        let assertion = caller.assertion(PROJECT, &claims);
        assert_eq!(caller.exchange(&[("grant_type", GRANT), ("assertion", &assertion)]).await.0, status, "{skew}");
    }
}

/// Assertions that are not what they claim to be.
#[rstest]
#[case::hs256(json!({"alg": "HS256"}), "alg")]
#[case::none(json!({"alg": "none"}), "alg")]
#[case::es256(json!({"alg": "ES256"}), "alg")]
#[case::no_key_id(json!({"kid": null}), "kid is missing")]
#[case::other_key_id(json!({"kid": "another"}), "no key another")]
#[case::other_type(json!({"typ": "at+jwt"}), "typ")]
#[case::header_not_signed(json!({"jku": "https://evil.example"}), "Invalid JWT Signature")]
#[tokio::test]
async fn wrong_headers_get_no_token(#[case] patch: Value, #[case] reason: &str) {
    let caller = Caller::start().await;
    let assertion = caller.assertion(PROJECT, &caller.claims(PROJECT));
    let parts: Vec<&str> = assertion.split('.').collect();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[0]).unwrap()).unwrap();
    let header = URL_SAFE_NO_PAD.encode(patched(&header, &patch).to_string());
    let assertion = format!("{header}.{}.{}", parts[1], parts[2]);
    let (status, body) = caller.exchange(&[("grant_type", GRANT), ("assertion", &assertion)]).await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")));
    assert!(body["error_description"].as_str().unwrap().contains(reason), "{body}");
}

#[tokio::test]
async fn another_accounts_signature_padding_and_a_disabled_account_get_no_token() {
    let caller = Caller::start().await;
    caller.emulator.add_project("other-project");
    let good = caller.assertion(PROJECT, &caller.claims(PROJECT));
    let other = caller.assertion("other-project", &caller.claims(PROJECT));
    let (text, signature) = good.rsplit_once('.').unwrap();
    let (_, foreign) = other.rsplit_once('.').unwrap();
    let padded = URL_SAFE.encode(URL_SAFE_NO_PAD.decode(signature).unwrap());
    for wrong in [format!("{text}.{foreign}"), format!("{text}.{padded}"), format!("{text}."), text.to_owned(), other] {
        let (status, body) = caller.exchange(&[("grant_type", GRANT), ("assertion", &wrong)]).await;
        assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")), "{wrong}");
    }
    caller.emulator.disable_account(PROJECT);
    assert_eq!(caller.exchange(&[("grant_type", GRANT), ("assertion", &good)]).await.0, 400);
}

#[tokio::test]
async fn an_exchange_that_is_no_form_or_another_grant_gets_no_token() {
    let caller = Caller::start().await;
    let assertion = caller.assertion(PROJECT, &caller.claims(PROJECT));
    for (fields, error) in [
        (vec![("grant_type", "client_credentials"), ("assertion", &assertion)], "unsupported_grant_type"),
        (vec![("assertion", &assertion)], "unsupported_grant_type"),
        (vec![("grant_type", GRANT)], "invalid_request"),
        (vec![("grant_type", GRANT), ("assertion", &assertion), ("scope", SCOPE)], "invalid_request"),
    ] {
        let (status, body) = caller.exchange(&fields).await;
        assert_eq!((status, &body["error"]), (400, &json!(error)));
    }
    let url = caller.credentials(PROJECT)["token_uri"].as_str().unwrap().to_owned();
    let fields = Map::from_iter([("grant_type".to_owned(), GRANT.into()), ("assertion".to_owned(), assertion.into())]);
    let response = caller.client.post(url).json(&fields).send().await.unwrap();
    assert_eq!(response.json::<Value>().await.unwrap()["error"], "invalid_request");
}

#[tokio::test]
async fn a_token_that_nobody_needed_is_noted() {
    let caller = Caller::start().await;
    let early = |caller: &Caller| caller.emulator.token_requests().pop().unwrap().verdict;
    caller.token_of(PROJECT).await;
    assert_eq!(early(&caller), Some(TokenVerdict::Issued { early: false }));
    caller.token_of(PROJECT).await;
    assert_eq!(early(&caller), Some(TokenVerdict::Issued { early: true }));
    caller.clock.advance(Duration::from_secs(1_800));
    caller.token_of(PROJECT).await;
    assert_eq!(early(&caller), Some(TokenVerdict::Issued { early: false }));
}

#[tokio::test]
async fn scripted_answers_come_once_in_order_and_the_addresss_own_first() {
    let caller = Caller::start().await;
    caller.emulator.fault_next([Fault::Answer(Answer::html(502))]);
    caller.emulator.fault_next_for("android-1", [Fault::Answer(Answer::fcm_error(429, "RESOURCE_EXHAUSTED", "QUOTA"))]);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(caller.send(&caller.android()).await.status().as_u16());
    }
    assert_eq!(statuses, [429, 502, 200]);
    caller.emulator.fault_always_for("android-1", Some(Fault::Answer(Answer::html(503))));
    assert_eq!(caller.send(&caller.android()).await.status(), 503);
    assert_eq!(caller.send(&caller.web()).await.status(), 200);
    caller.emulator.fault_always_for("android-1", None);
    assert_eq!(caller.send(&caller.android()).await.status(), 200);
}

#[tokio::test]
async fn a_wrong_message_is_refused_even_where_a_fault_is_scripted() {
    let caller = Caller::start().await;
    caller.emulator.fault_next([Fault::DoneButAnswer(Answer::html(502))]);
    assert_eq!(caller.send(&patched(&caller.android(), &json!({"android": {"ttl": 1}}))).await.status(), 400);
}

#[rstest]
#[case(Fault::Cut, 0)]
#[case(Fault::DoneButCut, 1)]
#[tokio::test]
async fn a_cut_connection_gives_no_answer(#[case] fault: Fault, #[case] delivered: usize) {
    let caller = Caller::start().await;
    let authorization = format!("Bearer {}", caller.token_of(PROJECT).await);
    caller.emulator.fault_next([fault]);
    let body = json!({"message": caller.android()});
    let error = caller.post(PROJECT, &authorization, &body).await.unwrap_err();
    assert!(error.is_request() && error.source().is_some(), "{error:?}");
    assert_eq!(caller.emulator.messages_for("android-1").len(), delivered);
    assert_eq!(caller.post(PROJECT, &authorization, &body).await.unwrap().status(), 200);
    assert_eq!(caller.emulator.seen().connections, 2);
}

#[tokio::test]
async fn a_goodbye_makes_the_next_request_take_a_new_connection() {
    let caller = Caller::start().await;
    assert_eq!(caller.send(&caller.android()).await.status(), 200);
    caller.emulator.go_away();
    assert_eq!(caller.send(&caller.android()).await.status(), 200);
    assert_eq!(caller.emulator.seen().connections, 2);
}

#[tokio::test]
async fn a_held_request_waits_for_its_gate() {
    let caller = Caller::start().await;
    let gate = Gate::default();
    let token = caller.token_of(PROJECT).await;
    caller.emulator.fault_next([Fault::Hold(gate.clone())]);
    let (authorization, body) = (format!("Bearer {token}"), json!({"message": caller.android()}));
    let mut held = std::pin::pin!(caller.post(PROJECT, &authorization, &body));
    // The other one overtakes it.
    tokio::select! {
        _ = &mut held => panic!("it was not held"),
        _ = caller.emulator.wait_for_messages("web-1", 1) => (),
        _ = async { caller.send(&caller.web()).await; std::future::pending::<()>().await } => (),
    }
    gate.open();
    assert_eq!(held.await.unwrap().status(), 200);
}

#[tokio::test]
async fn answers_can_go_on_for_ever() {
    let caller = Caller::start().await;
    caller.emulator.fault_next([Fault::Answer(Answer::new(200, "{\"name\":").ending(Ending::Endless))]);
    let mut response = caller.send(&caller.android()).await;
    let mut read = 0;
    while read < 1024 * 1024 {
        read += response.chunk().await.unwrap().expect("no end").len();
    }
}

#[tokio::test]
async fn answers_can_stop_in_the_middle() {
    let caller = Caller::start().await;
    caller.emulator.fault_next([Fault::Answer(Answer::new(200, "{\"name\":").ending(Ending::Stalls))]);
    let mut response = caller.send(&caller.android()).await;
    assert_eq!(response.chunk().await.unwrap().unwrap(), "{\"name\":");
    let other = caller.web();
    tokio::select! {
        biased;
        chunk = response.chunk() => panic!("it went on: {chunk:?}"),
        // Nothing comes while another request is asked and answered.
        other = caller.send(&other) => assert_eq!(other.status(), 200),
    }
}

#[tokio::test]
async fn answers_can_break_off() {
    let caller = Caller::start().await;
    let authorization = format!("Bearer {}", caller.token_of(PROJECT).await);
    caller.emulator.fault_next([Fault::Answer(Answer::new(200, "{\"name\":").ending(Ending::BreaksOff))]);
    // Whether the head of the answer gets through before it is a race.
    let answer =
        async { caller.post(PROJECT, &authorization, &json!({"message": caller.android()})).await?.bytes().await };
    assert!(answer.await.is_err());
}

#[tokio::test]
async fn other_paths_are_astray() {
    let caller = Caller::start().await;
    let url = format!("{}/fcm/send", caller.emulator.endpoint());
    assert_eq!(caller.client.post(url).send().await.unwrap().status(), 404);
    assert_eq!(caller.emulator.seen().strays, ["POST /fcm/send"]);
}
