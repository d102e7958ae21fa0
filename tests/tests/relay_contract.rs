//! The relay from outside, by the protocol's tables: envelope, order of checks, bad input.

use bloonio_tests::operator::{Answer, Operator, http};
use bloonio_tests::phone::Phone;
use bloonio_tests::relay::{ADMIN_KEY, Relay};
use bloonio_tests::tenant::TenantBackend;
use reqwest::Method;
use serde_json::{Value, json};

const USER: &str = "jane-0123456789";

async fn setup() -> (Relay, Operator, TenantBackend) {
    let relay = Relay::start().await;
    let operator = relay.operator();
    let tenant = operator.provision("Bank").await;
    (relay, operator, tenant)
}

fn fields(answer: &Answer) -> Vec<&str> {
    let details = answer.body["details"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
    details.iter().filter_map(|d| d["field"].as_str()).collect()
}

#[tokio::test]
async fn every_answer_has_the_envelope_and_a_request_id() {
    let (relay, _, tenant) = setup().await;
    let url = |path: &str| format!("{}{path}", relay.base_url());
    for (method, path, status, code) in [
        (Method::GET, "/api/v1/nowhere", 404, "NOT_FOUND"),
        (Method::GET, "/api/v1/provision/tenant", 405, "METHOD_NOT_ALLOWED"),
        (Method::POST, "/api/v1/provision/tenant", 401, "INVALID_ADMIN_KEY"),
        (Method::POST, "/api/v1/relay/send/auth-challenge", 401, "INVALID_SIGNATURE"),
        (Method::GET, "/api/v1/device/challenges", 401, "INVALID_DEVICE_TOKEN"),
        (Method::POST, "/api/v1/device/register-token", 401, "INVALID_DEVICE_TOKEN"),
    ] {
        let response = http().request(method, url(path)).header("x-request-id", "my-id.1").send().await.unwrap();
        assert_eq!(response.headers()["x-request-id"], "my-id.1", "{path}");
        let answer = Answer::of(response).await;
        answer.expect_error(status, code);
        assert_eq!(answer.body["success"], false, "{path}");
        assert_eq!(answer.body["status_code"], status, "{path}");
        assert_eq!(answer.body["data"], Value::Null, "{path}");
        assert!(answer.body["message"].is_string(), "{path}");
    }
    let odd = http().get(url("/health/live")).header("x-request-id", "odd id\u{e9}").send().await.unwrap();
    assert_ne!(odd.headers()["x-request-id"].as_bytes(), "odd id\u{e9}".as_bytes());
    let ok = tenant.offer_pairing(USER).await;
    assert!(ok.starts_with("bloonio://pair?relay=http%3A%2F%2F127.0.0.1"), "{ok}");
}

#[tokio::test]
async fn a60_calls_that_are_not_signed_right_are_refused() {
    let (relay, _, tenant) = setup().await;
    let body = br#"{"user_socket_hash":"jane-0123456789"}"#;
    let path = "/relay/revoke-pairing";
    let spoil = |name: &'static str, value: &str| tenant.request(Method::POST, path, body).header(name, value);
    let stranger = TenantBackend::new(relay.base_url(), &format!("tnt_{}", "0".repeat(32)), tenant.secret.expose());
    let wrong_secret = TenantBackend::new(relay.base_url(), &tenant.tenant_id, "sk_wrong");
    let refused = [
        // A header given twice counts as malformed, whatever its values.
        spoil("x-bloonio-signature", &"0".repeat(64)),
        spoil("x-bloonio-timestamp", "1"),
        spoil("x-bloonio-tenant-id", &stranger.tenant_id),
        stranger.request(Method::POST, path, body),
        wrong_secret.request(Method::POST, path, body),
        tenant.request(Method::POST, path, body).body("{\"user_socket_hash\":\"john-0123456789\"}"),
    ];
    let mut answers = Vec::new();
    for request in refused {
        let answer = Answer::of(request.send().await.unwrap()).await;
        answer.expect_error(401, "INVALID_SIGNATURE");
        answers.push(answer.body);
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "one answer for all");
}

#[tokio::test]
async fn a61_a_call_is_accepted_once() {
    let (_relay, _, tenant) = setup().await;
    let body = json!({"user_socket_hash": USER}).to_string();
    let request = tenant.request(Method::POST, "/relay/revoke-pairing", body.as_bytes());
    let again = request.try_clone().unwrap();
    Answer::of(request.send().await.unwrap()).await.expect_error(404, "PAIRING_NOT_FOUND");
    Answer::of(again.send().await.unwrap()).await.expect_error(401, "REQUEST_REPLAYED");
}

#[tokio::test]
async fn bad_input_names_every_broken_rule() {
    let (_relay, operator, tenant) = setup().await;
    let noise = tenant.request(Method::POST, "/relay/send/auth-challenge", b"{").send().await.unwrap();
    Answer::of(noise).await.expect_error(400, "MALFORMED_REQUEST");
    for (body, want) in [
        (json!([]), vec![""]),
        (json!({}), vec!["user_socket_hash", "instruction_id", "custom_type", "expected_action", "backend_url"]),
        (
            json!({"user_socket_hash": "short", "instruction_id": 5, "custom_type": "telepathy", "expected_action": "a",
                "backend_url": "https://b.example", "ttl_seconds": 9, "numbers": [1, 1, 2],
                "display": {"title": "", "fields": [{"key": "k", "title": "t", "value": "v", "data_type": "NOPE"}]}}),
            vec![
                "user_socket_hash",
                "instruction_id",
                "custom_type",
                "ttl_seconds",
                "numbers",
                "display.title",
                "display.fields[0].data_type",
            ],
        ),
        (
            json!({"user_socket_hash": USER, "instruction_id": "instruction-1", "custom_type": "totp",
                "expected_action": "a", "backend_url": "https://b.example", "numbers": [11, 22, 33]}),
            vec!["numbers"],
        ),
    ] {
        let answer = tenant.post("/relay/send/auth-challenge", body.clone()).await;
        answer.expect_error(422, "VALIDATION_FAILED");
        let found = fields(&answer);
        assert!(want.iter().all(|field| found.contains(field)), "{body}: wanted {want:?}, found {found:?}");
    }
    let answer = tenant.post("/relay/prepare-pairing", json!({"user_socket_hash": USER})).await;
    answer.expect_error(422, "VALIDATION_FAILED");
    for field in ["backend_user_id", "display_name", "user_email"] {
        assert!(fields(&answer).contains(&field), "{field}: {answer:?}");
    }
    let unknown =
        tenant.post("/relay/cancel/auth-challenge", json!({"instruction_id": "instruction-1", "force": true})).await;
    unknown.expect_error(422, "VALIDATION_FAILED");
    assert_eq!(fields(&unknown), ["force"]);
    let provision =
        operator.post("/provision/tenant", json!({"rate_limit_per_min": 0, "passkeys_enabled": "no"})).await;
    provision.expect_error(422, "VALIDATION_FAILED");
    for field in ["tenant_name", "rate_limit_per_min", "passkeys_enabled"] {
        assert!(fields(&provision).contains(&field), "{field}: {provision:?}");
    }
    let listed = operator.get("/fetch/tenants").await;
    assert_eq!(listed.data()["total"], 1, "nothing half-written");
}

#[tokio::test]
async fn too_large_a_body_is_answered_before_it_is_read() {
    let (_relay, _, tenant) = setup().await;
    let large = vec![b'x'; 1_500_000];
    let answer = tenant.request(Method::POST, "/relay/prepare-pairing", &large).send().await.unwrap();
    Answer::of(answer).await.expect_error(413, "BODY_TOO_LARGE");
}

#[tokio::test]
async fn a66_one_tenant_never_meets_anothers() {
    let (relay, operator, tenant) = setup().await;
    let other = operator.provision("Other").await;
    let phone = Phone::paired(&tenant.offer_pairing(USER).await).await;
    assert_eq!(tenant.send_challenge(USER, "instruction-1").await.status, 200);
    other.send_challenge(USER, "instruction-1").await.expect_error(404, "PAIRING_NOT_FOUND");
    for path in [
        "/relay/fetch/outcome?instruction_id=instruction-1",
        "/relay/fetch/delivery-status?instruction_id=instruction-1",
    ] {
        let foreign = other.get(path).await;
        foreign.expect_error(404, "NOT_FOUND");
        assert_eq!(foreign.body, other.get(&path.replace("instruction-1", "instruction-2")).await.body);
    }
    other
        .post("/relay/cancel/auth-challenge", json!({"instruction_id": "instruction-1"}))
        .await
        .expect_error(404, "NOT_FOUND");
    other.post("/relay/revoke-pairing", json!({"user_socket_hash": USER})).await.expect_error(404, "PAIRING_NOT_FOUND");
    phone.approve("instruction-1").await;
    assert_eq!(tenant.get("/relay/fetch/outcome?instruction_id=instruction-1").await.data()["status"], "decided");
    drop(relay);
}

#[tokio::test]
async fn a64_rotation_and_suspension_hold_at_once() {
    let (relay, operator, tenant) = setup().await;
    let id = format!("tenant_id={}", tenant.tenant_id);
    let rotated = operator.post(&format!("/rotate/tenant-secret?{id}"), json!({})).await;
    tenant.get("/relay/fetch/outcome?instruction_id=instruction-1").await.expect_error(401, "INVALID_SIGNATURE");
    let tenant =
        TenantBackend::new(relay.base_url(), &tenant.tenant_id, rotated.data()["tenant_secret"].as_str().unwrap());
    tenant.get("/relay/fetch/outcome?instruction_id=instruction-1").await.expect_error(404, "NOT_FOUND");
    assert_eq!(operator.post(&format!("/suspend/tenant?{id}"), json!({})).await.data()["status"], "suspended");
    tenant.get("/relay/fetch/outcome?instruction_id=instruction-1").await.expect_error(403, "TENANT_SUSPENDED");
    assert_eq!(operator.post(&format!("/reactivate/tenant?{id}"), json!({})).await.data()["status"], "active");
    tenant.get("/relay/fetch/outcome?instruction_id=instruction-1").await.expect_error(404, "NOT_FOUND");
    let shown = operator.get(&format!("/fetch/tenant?{id}")).await;
    assert!(!shown.body.to_string().contains("sk_"), "the secret is never shown again");
}

#[tokio::test]
async fn the_rate_limit_says_when_to_come_again() {
    let (_relay, operator, _) = setup().await;
    let tenant = operator.provision_with(json!({"tenant_name": "Slow", "rate_limit_per_min": 2})).await;
    let path = "/relay/fetch/outcome?instruction_id=instruction-1";
    for _ in 0..2 {
        tenant.get(path).await.expect_error(404, "NOT_FOUND");
    }
    let refused = tenant.get(path).await;
    refused.expect_error(429, "RATE_LIMITED");
    let seconds: u64 = refused.retry_after.as_deref().unwrap().parse().unwrap();
    assert!((1..=30).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn a_repeated_prompt_is_one_prompt() {
    let (_relay, _, tenant) = setup().await;
    let phone = Phone::paired(&tenant.offer_pairing(USER).await).await;
    let first = tenant.send_challenge(USER, "instruction-1").await;
    assert_eq!(first.data()["delivered_count"], 1);
    assert_eq!(tenant.send_challenge(USER, "instruction-1").await.body, first.body);
    let mut other = tenant.challenge(USER, "instruction-1");
    other["expected_action"] = json!("something_else");
    tenant.post("/relay/send/auth-challenge", other).await.expect_error(409, "IDEMPOTENCY_CONFLICT");
    assert_eq!(phone.prompts().await.len(), 1);
    let cancelled = tenant.post("/relay/cancel/auth-challenge", json!({"instruction_id": "instruction-1"})).await;
    assert_eq!(cancelled.data()["status"], "cancelled");
    assert_eq!(phone.prompts().await.len(), 0);
    let late = phone.run(&["approve", "instruction-1"]).await;
    assert_eq!(late.error(), "GONE", "{late:?}");
    assert_eq!(tenant.get("/relay/fetch/outcome?instruction_id=instruction-1").await.data()["status"], "cancelled");
}

#[tokio::test]
async fn whom_the_relay_does_not_know_it_says() {
    let (_relay, _, tenant) = setup().await;
    tenant.send_challenge(USER, "instruction-1").await.expect_error(404, "PAIRING_NOT_FOUND");
    let phone = Phone::paired(&tenant.offer_pairing(USER).await).await;
    phone.run(&["unpair"]).await.ok();
    tenant.send_challenge(USER, "instruction-1").await.expect_error(404, "NO_DEVICE");
    let revoked = tenant.post("/relay/revoke-pairing", json!({"user_socket_hash": USER})).await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    tenant.send_challenge(USER, "instruction-1").await.expect_error(404, "PAIRING_NOT_FOUND");
}

#[tokio::test]
async fn a_pairing_proof_pairs_once() {
    let (_relay, _, tenant) = setup().await;
    let uri = tenant.offer_pairing(USER).await;
    Phone::paired(&uri).await;
    let again = Phone::default().run(&["pair", &uri]).await;
    assert_eq!((again.code, again.error()), (1, "PAIRING_PROOF_USED"), "{again:?}");
}

#[tokio::test]
async fn health_metrics_and_openapi_are_where_operators_look() {
    let (relay, operator, _) = setup().await;
    let url = |path: &str| format!("{}{path}", relay.base_url());
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(http().get(url(path)).send().await.unwrap().status(), 200, "{path}");
    }
    assert_eq!(http().get(url("/metrics")).send().await.unwrap().status(), 401);
    let metrics = http().get(url("/metrics")).header("x-admin-key", ADMIN_KEY).send().await.unwrap();
    assert_eq!(metrics.status(), 200);
    assert!(metrics.text().await.unwrap().contains("bloonio_http_requests_total"));
    let openapi: Value = http().get(url("/openapi.json")).send().await.unwrap().json().await.unwrap();
    assert!(openapi["openapi"].as_str().unwrap().starts_with("3.1"));
    for path in ["/api/v1/provision/tenant", "/api/v1/relay/send/auth-challenge", "/api/v1/device/submit-response"] {
        assert!(openapi["paths"][path].is_object(), "{path}");
    }
    drop(operator);
}

#[tokio::test]
async fn a63_the_database_holds_no_secret_in_the_clear() {
    let (mut relay, _, tenant) = setup().await;
    let phone = Phone::paired(&tenant.offer_pairing(USER).await).await;
    assert_eq!(tenant.send_challenge(USER, "instruction-1").await.status, 200);
    phone.approve("instruction-1").await;
    relay.process.terminate().await.unwrap();
    for entry in std::fs::read_dir(relay.data_dir()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for secret in [tenant.secret.expose(), "1000.00"] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} lies in the data folder");
        }
    }
}

#[tokio::test]
async fn a_wrong_configuration_ends_the_start_with_its_name() {
    use bloonio_demo::process::binary;
    for (name, value) in [
        ("RELAY_ADMIN_KEY", "short"),
        ("RELAY_MASTER_KEY", "AAAA"),
        ("RELAY_LISTEN", "nowhere"),
        ("RELAY_FCM_CREDENTIALS", "/nonexistent/service-account.json"),
        ("RELAY_DATABASE_URL", "mysql://x"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = tokio::process::Command::new(binary("bloonio-relay-server").unwrap());
        command.arg("serve").env_clear().env("RELAY_LISTEN", "127.0.0.1:0").env("RELAY_DATA_DIR", folder.path());
        let output = command.env(name, value).kill_on_drop(true).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let flag = format!("--{}", name.to_lowercase().replace('_', "-"));
        assert!(!output.status.success(), "{name}");
        assert!(said.contains(name) || said.contains(&flag), "{name}: {said}");
        assert!(output.stdout.is_empty(), "{name}");
    }
}
