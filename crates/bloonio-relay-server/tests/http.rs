//! What every answer has in common (PROTOCOL 1 and 10).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says where")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bloonio_relay_server::storage::db::query;
use bloonio_relay_server::supervise::Pauses;
use bloonio_wire::random::{Random, RandomError};
use http::Request;
use rstest::rstest;
use serde_json::json;
use support::{ADMIN_KEY, TestAnswer, TestRelay, operator};

async fn get(relay: &TestRelay, path: &str) -> TestAnswer {
    relay.send(Request::get(path).body(Body::empty()).unwrap()).await
}

#[rstest]
#[case("/")]
#[case("/api/v1")]
#[case("/api/v1/")]
#[case("/api/v1/nothing")]
#[case("/api/v1/provision/tenant/")]
#[case("/api/v2/provision/tenant")]
#[case("/provision/tenant")]
#[case("/API/V1/provision/tenant")]
#[case("/api/v1/%zz")]
#[tokio::test]
async fn an_unknown_path_is_not_found(#[case] path: &str) {
    let relay = TestRelay::new().await;
    get(&relay, path).await.expect_error(404, "NOT_FOUND");
    relay.send(Request::post(path).body(Body::from("x")).unwrap()).await.expect_error(404, "NOT_FOUND");
}

#[rstest]
#[case("GET", "/api/v1/provision/tenant", "POST")]
#[case("DELETE", "/api/v1/provision/tenant", "POST")]
#[case("POST", "/api/v1/fetch/tenants", "GET,HEAD")]
#[case("PUT", "/api/v1/relay/prepare-pairing", "POST")]
#[case("POST", "/health/live", "GET,HEAD")]
#[case("PATCH", "/metrics", "GET,HEAD")]
#[tokio::test]
async fn a_wrong_method_is_told_the_right_one(#[case] method: &str, #[case] path: &str, #[case] allow: &str) {
    let relay = TestRelay::new().await;
    let answer = relay.send(Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await;
    answer.expect_error(405, "METHOD_NOT_ALLOWED");
    assert_eq!(answer.header("allow"), allow);
}

#[rstest]
#[case::sane("abc-DEF_1.2", true)]
#[case::longest("0123456789012345678901234567890123456789012345678901234567890123", true)]
#[case::too_long("01234567890123456789012345678901234567890123456789012345678901234", false)]
#[case::empty("", false)]
#[case::blank("a b", false)]
#[case::markup("<script>", false)]
#[tokio::test]
async fn the_callers_request_id_is_kept_if_it_is_sane(#[case] id: &str, #[case] kept: bool) {
    let relay = TestRelay::new().await;
    for path in ["/health/live", "/nowhere", "/api/v1/fetch/tenants"] {
        let answer = relay.send(Request::get(path).header("x-request-id", id).body(Body::empty()).unwrap()).await;
        let given = answer.header("x-request-id");
        assert_eq!(given == id, kept, "{path}: {given:?}");
        assert!(!given.is_empty());
    }
}

#[tokio::test]
async fn requests_without_an_id_get_one_each() {
    let relay = TestRelay::new().await;
    let (a, b) = (get(&relay, "/health/live").await, get(&relay, "/health/live").await);
    assert_eq!(a.header("x-request-id").len(), 32);
    assert_ne!(a.header("x-request-id"), b.header("x-request-id"));
    let twice = Request::get("/health/live").header("x-request-id", "a").header("x-request-id", "a");
    assert_ne!(relay.send(twice.body(Body::empty()).unwrap()).await.header("x-request-id"), "a");
}

const LIMIT: usize = 256 * 1024;

#[rstest]
#[case::largest(LIMIT, false)]
#[case::one_more(LIMIT + 1, true)]
#[case::far_more(5 * 1024 * 1024, true)]
#[tokio::test]
async fn a_body_over_256_kib_is_too_large(#[case] length: usize, #[case] refused: bool) {
    let relay = TestRelay::new().await;
    let blanks = vec![b' '; length];
    let whole = relay.send(operator("POST", "/provision/tenant", blanks.clone())).await;
    let pieces: Vec<_> =
        blanks.chunks(10_000).map(|piece| Ok::<_, std::io::Error>(bytes::Bytes::copy_from_slice(piece))).collect();
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    let streamed = relay.send(operator("POST", "/provision/tenant", body)).await;
    for answer in [whole, streamed] {
        match refused {
            true => answer.expect_error(413, "BODY_TOO_LARGE"),
            false => answer.expect_error(400, "MALFORMED_REQUEST"),
        }
    }
}

#[tokio::test]
async fn the_size_is_judged_before_key_and_signature() {
    let relay = TestRelay::new().await;
    let large = || Body::from(vec![b' '; LIMIT + 1]);
    for path in ["/api/v1/provision/tenant", "/api/v1/relay/prepare-pairing"] {
        relay.send(Request::post(path).body(large()).unwrap()).await.expect_error(413, "BODY_TOO_LARGE");
    }
}

#[rstest]
#[case::no_json("{")]
#[case::no_utf8("\u{0}")]
#[case::two_values("{} {}")]
#[case::trailing_comma(r#"{"tenant_name": "a",}"#)]
#[case::nested_beyond_reason(&"[".repeat(100_000))]
#[tokio::test]
async fn bytes_that_are_not_json_are_malformed(#[case] body: &str) {
    let relay = TestRelay::new().await;
    relay.send(operator("POST", "/provision/tenant", body.to_owned())).await.expect_error(400, "MALFORMED_REQUEST");
}

#[tokio::test]
async fn the_content_type_does_not_matter() {
    let relay = TestRelay::new().await;
    for content_type in [None, Some("text/plain"), Some("application/json; charset=utf-8")] {
        let mut request = Request::post("/api/v1/provision/tenant").header("x-admin-key", ADMIN_KEY);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let request = request.body(Body::from(json!({"tenant_name": "Bank"}).to_string())).unwrap();
        assert_eq!(relay.send(request).await.status, 201);
    }
}

#[tokio::test]
async fn nothing_is_cached_and_everything_is_json() {
    let relay = TestRelay::new().await;
    for path in ["/health/live", "/nowhere", "/openapi.json", "/api/v1/fetch/tenants"] {
        let answer = get(&relay, path).await;
        assert_eq!((answer.header("cache-control"), answer.header("content-type")), ("no-store", "application/json"));
    }
}

#[derive(Debug)]
struct NoRandomness;

impl Random for NoRandomness {
    fn fill(&self, _buffer: &mut [u8]) -> Result<(), RandomError> {
        Err(RandomError)
    }
}

/// Draws while the relay is put together, and then no more.
#[derive(Debug, Default)]
struct FailsLater(std::sync::atomic::AtomicBool);

impl Random for FailsLater {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError> {
        match self.0.load(std::sync::atomic::Ordering::SeqCst) {
            true => NoRandomness.fill(buffer),
            false => bloonio_wire::random::SystemRandom.fill(buffer),
        }
    }
}

#[tokio::test]
async fn a_failure_inside_is_500_and_its_cause_stays_inside() {
    let random = Arc::new(FailsLater::default());
    let drawn = random.clone();
    let relay = TestRelay::with(|setup| setup.random = drawn).await;
    random.0.store(true, std::sync::atomic::Ordering::SeqCst);
    let answer = relay.operator_post("/provision/tenant", json!({"tenant_name": "Bank"})).await;
    answer.expect_error(500, "INTERNAL_ERROR");
    assert_eq!(answer.body["message"], "Something went wrong on our side.");
    assert!(!answer.text.contains("random"), "{}", answer.text);
    assert_eq!(relay.operator_get("/fetch/tenants").await.data()["total"], 0);
}

/// Draws while the relay is put together, and then falls over.
#[derive(Debug, Default)]
struct PanicsLater(std::sync::atomic::AtomicBool);

impl Random for PanicsLater {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError> {
        assert!(!self.0.load(std::sync::atomic::Ordering::SeqCst), "the hidden cause");
        bloonio_wire::random::SystemRandom.fill(buffer)
    }
}

#[tokio::test]
async fn a_panic_looks_like_any_other_failure() {
    let random = Arc::new(PanicsLater::default());
    let drawn = random.clone();
    let relay = TestRelay::with(|setup| setup.random = drawn).await;
    random.0.store(true, std::sync::atomic::Ordering::SeqCst);
    let mut request = operator("POST", "/provision/tenant", json!({"tenant_name": "Bank"}).to_string());
    request.headers_mut().insert("x-request-id", "mine".parse().unwrap());
    let answer = relay.send(request).await;
    answer.expect_error(500, "INTERNAL_ERROR");
    assert_eq!(answer.header("x-request-id"), "mine");
    assert!(!answer.text.contains("hidden"), "{}", answer.text);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_a_failure_inside_and_lets_nobody_in() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let spoil = "UPDATE tenants SET config = '{\"a_field_of_a_later_version\": true}'";
    query(spoil).execute(relay.app.storage.writer()).await.unwrap();
    bank.get("/relay/fetch/outcome?instruction_id=nobody-knows").await.expect_error(500, "INTERNAL_ERROR");
}

#[tokio::test]
async fn every_call_asks_for_the_credentials_that_the_document_names() {
    let relay = TestRelay::new().await;
    let document = get(&relay, "/openapi.json").await.body;
    let mut open = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let path = path.replace("{instruction_id}", "nobody-knows");
            let request = Request::builder().method(method.to_uppercase().as_str()).uri(&path).body(Body::empty());
            let answer = relay.send(request.unwrap()).await;
            let scheme = operation["security"][0].as_object().and_then(|schemes| schemes.keys().next());
            match scheme.map(String::as_str) {
                Some("admin_key") => answer.expect_error(401, "INVALID_ADMIN_KEY"),
                Some("tenant_signature") => answer.expect_error(401, "INVALID_SIGNATURE"),
                Some("device_token") => answer.expect_error(401, "INVALID_DEVICE_TOKEN"),
                Some(other) => panic!("{path}: {other}"),
                None => open.push(path),
            }
        }
    }
    assert_eq!(open, ["/docs", "/health/live", "/health/ready", "/openapi.json"]);
}

#[tokio::test]
async fn health_needs_no_key() {
    let relay = TestRelay::new().await;
    assert_eq!(get(&relay, "/health/live").await.data(), &json!({"status": "live"}));
    assert_eq!(get(&relay, "/health/ready").await.data(), &json!({"status": "ready"}));
}

#[tokio::test]
async fn a_relay_that_cannot_write_is_not_ready() {
    let relay = TestRelay::new().await;
    if relay.app.storage.is_shared() {
        // Nobody can hold a server's only writer: it has many.
        return;
    }
    let held = relay.app.storage.begin_shared().await.unwrap();
    get(&relay, "/health/ready").await.expect_error(503, "STORAGE_UNAVAILABLE");
    assert_eq!(get(&relay, "/health/live").await.status, 200);
    drop(held);
    assert_eq!(get(&relay, "/health/ready").await.data(), &json!({"status": "ready"}));
}

#[tokio::test]
async fn metrics_need_the_key_and_name_routes_never_paths() {
    let relay = TestRelay::new().await;
    get(&relay, "/metrics").await.expect_error(401, "INVALID_ADMIN_KEY");
    let bank = relay.provision("Bank").await;
    relay.operator_get(&format!("/fetch/tenant?tenant_id={}", bank.tenant_id)).await.data();
    get(&relay, "/nowhere/secret-path").await;
    let request = Request::get("/metrics").header("x-admin-key", ADMIN_KEY).body(Body::empty()).unwrap();
    let answer = relay.send(request).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    let line = "bloonio_http_requests_total{route=\"/api/v1/provision/tenant\",status=\"201\"}";
    assert!(answer.text.contains(line), "{}", answer.text);
    assert!(answer.text.contains("route=\"unmatched\",status=\"404\""), "{}", answer.text);
    assert!(!answer.text.contains("secret-path") && !answer.text.contains(&bank.tenant_id));
}

#[tokio::test]
async fn the_openapi_document_describes_every_route_that_is_served() {
    let relay = TestRelay::new().await;
    let answer = get(&relay, "/openapi.json").await;
    assert!(answer.body["openapi"].as_str().unwrap().starts_with("3.1."), "{}", answer.body["openapi"]);
    let source = include_str!("../src/http/router.rs");
    let routes: Vec<_> = source.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")).collect();
    assert!(routes.len() > 8, "{routes:?}");
    for route in routes.iter().map(|line| line.split('"').next().unwrap()) {
        assert!(answer.body["paths"].get(route).is_some(), "{route} is not described");
    }
    for (path, operations) in answer.body["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let statuses = operation["responses"].as_object().unwrap();
            let describes = |prefix: &str| statuses.keys().any(|status| status.starts_with(prefix));
            assert!(describes("2"), "{method} {path} has no success");
            assert!(describes("5") || path == "/health/live", "{method} {path} never fails");
        }
    }
}

#[tokio::test]
async fn the_documentation_is_a_page_that_can_do_nothing() {
    let relay = TestRelay::new().await;
    let page = get(&relay, "/docs").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("script-src") && !page.text.contains("<script"), "{policy}");
    assert!(!page.text.contains("http://") && !page.text.contains("https://cdn"), "it loads nothing");
    let document = get(&relay, "/openapi.json").await.body;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let heading = format!("<b class=\"{method}\">{}</b><code>{path}</code>", method.to_uppercase());
            assert!(page.text.contains(&heading), "{heading}");
        }
    }
    // Bodies are laid open field by field, through references and the parts that they are put together from.
    for field in ["tenant_name", "rate_limit_per_min", "callback_url_base", "user_socket_hash", "expected_action"] {
        assert!(page.text.contains(&format!("<td><code>{field}</code>")), "{field}");
    }
}

/// What a caller can tell of an answer; the id of the request is its own.
fn seen(answer: &TestAnswer) -> (u16, &str, &str) {
    (answer.status, answer.text.as_str(), answer.header("retry-after"))
}

#[tokio::test]
async fn a106_what_is_somebody_elses_answers_exactly_like_what_is_not_there() {
    let relay = TestRelay::new().await;
    let (bank, shop) = (relay.provision("Bank").await, relay.provision("Shop").await);
    let (phone, other) = (bank.pair("user-of-the-bank").await, shop.pair("user-of-the-shop").await);
    let prompt = json!({
        "user_socket_hash": "user-of-the-bank", "instruction_id": "prompt-of-the-bank", "custom_type": "localAuth",
        "expected_action": "transfer_funds", "backend_url": "https://bank.example"
    });
    assert_eq!(bank.post("/relay/send/auth-challenge", prompt.clone()).await.status, 200);
    let (theirs, nobodys) = ("prompt-of-the-bank", "prompt-of-nobody-at");
    for path in ["/relay/fetch/outcome?instruction_id=", "/relay/fetch/delivery-status?instruction_id="] {
        let (foreign, unknown) =
            (shop.get(&format!("{path}{theirs}")).await, shop.get(&format!("{path}{nobodys}")).await);
        assert_eq!(seen(&foreign), seen(&unknown), "{path}");
        foreign.expect_error(404, "NOT_FOUND");
    }
    let linked = phone.id("relay_user_linked_id");
    let pairs = [
        ("/relay/cancel/auth-challenge", json!({"instruction_id": theirs}), json!({"instruction_id": nobodys})),
        (
            "/relay/revoke-pairing",
            json!({"user_socket_hash": "user-of-the-bank"}),
            json!({"user_socket_hash": "user-of-nobody-1"}),
        ),
        (
            "/relay/sudo/verify-totp",
            json!({"relay_user_linked_id": linked, "totp": "123456"}),
            json!({"relay_user_linked_id": "0".repeat(24), "totp": "123456"}),
        ),
    ];
    for (path, theirs, nobodys) in pairs {
        let (foreign, unknown) = (shop.post(path, theirs).await, shop.post(path, nobodys).await);
        assert_eq!(seen(&foreign), seen(&unknown), "{path}");
        assert!((400..500).contains(&foreign.status), "{path}");
    }
    let [mut foreign, mut unknown] = [prompt.clone(), prompt];
    foreign["instruction_id"] = json!("another-prompt-1");
    unknown["instruction_id"] = json!("another-prompt-2");
    unknown["user_socket_hash"] = json!("user-of-nobody-1");
    let foreign = shop.post("/relay/send/auth-challenge", foreign).await;
    assert_eq!(seen(&foreign), seen(&shop.post("/relay/send/auth-challenge", unknown).await));
    // The same from the side of the devices.
    let fetch = |id: &str| format!("/device/challenges/{id}");
    assert_eq!(seen(&other.get(&fetch(theirs)).await), seen(&other.get(&fetch(nobodys)).await));
    let answer = |id: &str| json!({"instruction_id": id, "approved": true, "custom_type": "localAuth"});
    let foreign = other.post("/device/submit-response", answer(theirs)).await;
    assert_eq!(seen(&foreign), seen(&other.post("/device/submit-response", answer(nobodys)).await));
    let confirm = |id: &str| json!({"device_id": id, "approved": true});
    let foreign = other.post("/device/confirm-device", confirm(phone.id("device_id"))).await;
    let same_form: String = phone.id("device_id").chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(seen(&foreign), seen(&other.post("/device/confirm-device", confirm(&same_form)).await));
    assert_eq!(bank.get(&format!("/relay/fetch/outcome?instruction_id={theirs}")).await.data()["status"], "pending");
}

#[tokio::test]
async fn the_openapi_document_writes_values_as_they_travel() {
    let relay = TestRelay::new().await;
    let schemas = &get(&relay, "/openapi.json").await.body["components"]["schemas"];
    let kinds = ["totp", "goldenNumber", "localAuth"];
    assert_eq!(schemas["CustomType"]["enum"], serde_json::json!(kinds));
    assert_eq!(schemas["Platform"]["enum"], serde_json::json!(["android", "ios", "web", "stream"]));
    assert_eq!(schemas["TenantId"]["pattern"], "^tnt_[0-9a-f]{32}$");
    // A part of larger objects says nothing of their other fields.
    assert!(schemas["TenantConfig"].get("additionalProperties").is_none(), "{}", schemas["TenantConfig"]);
    for (name, schema) in schemas.as_object().unwrap() {
        let values = schema["enum"].as_array().into_iter().flatten().filter_map(|value| value.as_str());
        for value in values {
            let is_shouted = value.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            assert!(is_shouted || value.starts_with(|c: char| c.is_ascii_lowercase()), "{name} has {value}");
        }
    }
}

#[tokio::test]
async fn every_body_has_an_example_and_the_relay_takes_it() {
    let relay = TestRelay::new().await;
    let document = get(&relay, "/openapi.json").await.body;
    let example =
        |path: &str| document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"].clone();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let has_body = operations["post"]["requestBody"].is_object();
        assert_eq!(has_body, example(path).is_object(), "{path}");
        for operation in operations.as_object().unwrap().values() {
            let tag = &operation["tags"][0];
            assert!(document["tags"].as_array().unwrap().iter().any(|known| known["name"] == *tag), "{tag}");
        }
    }
    let bank = relay.provision_with(example("/api/v1/provision/tenant")).await;
    let update = format!("/update/tenant?tenant_id={}", bank.tenant_id);
    assert_eq!(relay.operator_post(&update, example("/api/v1/update/tenant")).await.status, 200);
    let offer = bank.post("/relay/prepare-pairing", example("/api/v1/relay/prepare-pairing")).await;
    let proof = offer.data()["pairing_proof"].as_str().unwrap().to_owned();
    let registration = example("/api/v1/device/register-token").to_string();
    let registered = relay.send(support::caller::bearer("POST", "/device/register-token", &proof, registration)).await;
    let mut phone = support::TestDevice::registered(&relay, registered.data().clone());
    let refreshed = phone.post("/device/refresh-token", example("/api/v1/device/refresh-token")).await;
    phone.token = refreshed.data()["device_session_token"].as_str().unwrap().to_owned();
    // What names somebody whom this relay does not know is understood, and nobody is found.
    let confirmed = phone.post("/device/confirm-device", example("/api/v1/device/confirm-device")).await;
    confirmed.expect_error(404, "NOT_FOUND");
    let checked = bank.post("/relay/sudo/verify-totp", example("/api/v1/relay/sudo/verify-totp")).await;
    checked.expect_error(401, "INVALID_TOTP");
    for path in ["/relay/send/auth-challenge", "/relay/send/security-alert"] {
        assert_eq!(bank.post(path, example(&format!("/api/v1{path}"))).await.status, 200, "{path}");
    }
    let answered = phone.post("/device/submit-response", example("/api/v1/device/submit-response")).await;
    assert_eq!(answered.status, 200, "{answered:?}");
    let cancelled = bank.post("/relay/cancel/auth-challenge", example("/api/v1/relay/cancel/auth-challenge")).await;
    cancelled.expect_error(409, "ALREADY_DECIDED");
    assert_eq!(bank.post("/relay/revoke-pairing", example("/api/v1/relay/revoke-pairing")).await.status, 200);
}

#[tokio::test]
async fn readiness_names_a_worker_that_has_fallen_over_and_goes_on_serving() {
    let relay = TestRelay::new().await;
    let pauses = Pauses { first: Duration::from_secs(3_600), ..Pauses::default() };
    let fall = || async { panic!("{}", "over") };
    let workers = relay.app.workers.clone();
    let stopping = relay.app.stopping.clone();
    let supervised = tokio::spawn(workers.supervise("outbox", pauses, stopping, fall));
    while relay.app.workers.fallen().is_empty() {
        tokio::task::yield_now().await;
    }
    let ready = get(&relay, "/health/ready").await;
    assert_eq!((ready.status, ready.data()), (200, &json!({"status": "degraded", "restarting": ["outbox"]})));
    let metrics = Request::get("/metrics").header("x-admin-key", ADMIN_KEY).body(Body::empty()).unwrap();
    let metrics = relay.send(metrics).await.text;
    assert!(metrics.contains("bloonio_worker_restarts_total{worker=\"outbox\"} 1"), "{metrics}");
    relay.app.stopping.cancel();
    supervised.await.unwrap();
}
