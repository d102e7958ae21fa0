//! Tenants side by side: none meets what is another's, and none is slowed by another (ATTACKS A66, A68, A104).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says where")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use bloonio_relay_server::http::listener;
use bloonio_relay_server::http::listener::places::ConnectionLimits;
use bloonio_relay_server::http::{openapi, router};
use serde_json::{Value, json};
use support::{TestAnswer, TestDevice, TestRelay, TestTenant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const JANE: &str = "jane-0123456789";
const JOHN: &str = "john-0123456789";
/// Stands in everything that is Jane's.
const HERS: &str = "known to jane alone";
const DEADLINE: Duration = Duration::from_secs(30);

fn prompt(user: &str, id: &str) -> Value {
    json!({
        "user_socket_hash": user, "instruction_id": id, "custom_type": "localAuth", "expected_action": HERS,
        "backend_url": "https://bank.example"
    })
}

fn notice(user: &str) -> Value {
    json!({"user_socket_hash": user, "notification_id": "notice-of-jane", "title": HERS, "body": "b", "kind": "info"})
}

/// What may be said of a call.
enum Call {
    /// It names a thing: a foreign one is answered like one that nobody has. Body or query; each `%` is the name.
    Naming(&'static str, &'static str),
    /// It names nothing, and tells or changes what is the caller's own.
    Own(Value),
    /// It is proven elsewhere.
    Elsewhere,
}

/// What each call of a tenant or device can do to another's: a new call needs a line here.
fn call(path: &str) -> Call {
    use Call::{Elsewhere, Naming, Own};
    match path {
        // The same handle with two tenants is two pairings; and whose proof it is stands in the proof.
        "/api/v1/relay/prepare-pairing" | "/api/v1/device/register-token" => Elsewhere,
        "/api/v1/relay/revoke-pairing" => Naming(r#"{"user_socket_hash": "%"}"#, "user"),
        "/api/v1/relay/send/auth-challenge" => Naming(
            r#"{"user_socket_hash": "%", "instruction_id": "another-one", "custom_type": "localAuth",
                "expected_action": "pay", "backend_url": "https://shop.example"}"#,
            "user",
        ),
        "/api/v1/relay/send/security-alert" => {
            Naming(r#"{"user_socket_hash": "%", "title": "t", "body": "b", "kind": "info"}"#, "user")
        }
        "/api/v1/relay/cancel/auth-challenge" => Naming(r#"{"instruction_id": "%"}"#, "instruction"),
        "/api/v1/relay/fetch/delivery-status" | "/api/v1/relay/fetch/outcome" => {
            Naming("?instruction_id=%", "instruction")
        }
        "/api/v1/relay/sudo/verify-totp" => Naming(r#"{"relay_user_linked_id": "%", "totp": "123456"}"#, "pairing"),
        "/api/v1/device/confirm-device" => Naming(r#"{"device_id": "%", "approved": true}"#, "device"),
        "/api/v1/device/challenges/{instruction_id}" => Naming("/%", "instruction"),
        "/api/v1/device/submit-response" => {
            Naming(r#"{"instruction_id": "%", "approved": true, "custom_type": "localAuth"}"#, "instruction")
        }
        "/api/v1/device/challenges" | "/api/v1/device/alerts" => Own(json!(null)),
        // One that stays open: streams begin with the caller's own, and `stream.rs` has what follows.
        "/api/v1/device/stream" => Elsewhere,
        // Last, for they end the caller's own session.
        "/api/v1/device/refresh-token" | "/api/v1/device/unpair" => Own(json!({})),
        _ => panic!("{path}: what can it do to another tenant's?"),
    }
}

/// Every call that a tenant or a device may make, as the relay describes them: method, path, and whether it is a tenant's.
fn calls() -> BTreeSet<(bool, String, String)> {
    let document: Value = serde_json::from_str(&openapi::json().unwrap()).unwrap();
    let mut calls = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let security = operation["security"].to_string();
            if security.contains("tenant_signature") || security.contains("device_token") {
                calls.insert((security.contains("tenant_signature"), path.clone(), method.to_uppercase()));
            }
        }
    }
    calls
}

/// John's shop and phone, who try everything.
struct John<'a> {
    shop: &'a TestTenant<'a>,
    phone: TestDevice<'a>,
}

impl John<'_> {
    async fn try_call(&self, tenants: bool, path: &str, method: &str, body: &str) -> TestAnswer {
        let path = path.strip_prefix("/api/v1").unwrap();
        match (tenants, method) {
            (true, "GET") => self.shop.get(&format!("{path}{body}")).await,
            (true, _) => self.shop.post(path, serde_json::from_str(body).unwrap()).await,
            (false, "GET") => self.phone.get(&format!("{}{body}", path.replace("/{instruction_id}", ""))).await,
            (false, _) => self.phone.post(path, serde_json::from_str(body).unwrap()).await,
        }
    }
}

/// What an answer tells, but for its own id.
fn told(answer: &TestAnswer) -> (u16, &Value) {
    (answer.status, &answer.body)
}

#[tokio::test]
async fn a66_no_call_of_any_kind_tells_a_foreign_thing_from_one_that_nobody_has() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let jane = bank.pair(JANE).await;
    assert_eq!(bank.post("/relay/send/auth-challenge", prompt(JANE, "instruction-of-jane")).await.status, 200);
    assert_eq!(bank.post("/relay/send/security-alert", notice(JANE)).await.status, 200);
    let shop = relay.provision("Shop").await;
    let john = John { phone: shop.pair(JOHN).await, shop: &shop };
    let names = |kind: &str| match kind {
        "user" => (JANE.to_owned(), "nobody-0123456789".to_owned()),
        "instruction" => ("instruction-of-jane".to_owned(), "instruction-of-nobody".to_owned()),
        "pairing" => (jane.id("relay_user_linked_id").to_owned(), "0123456789abcdef01234567".to_owned()),
        "device" => (jane.id("device_id").to_owned(), jane.id("device_id").chars().rev().collect()),
        other => panic!("{other}"),
    };
    let mut all: Vec<_> = calls().into_iter().collect();
    all.sort_by_key(|(_, path, _)| path.ends_with("refresh-token") || path.ends_with("unpair"));
    assert!(all.len() >= 17, "{all:?}");
    for (tenants, path, method) in &all {
        match call(path) {
            Call::Elsewhere => (),
            Call::Own(body) => {
                let body = if body.is_null() { String::new() } else { body.to_string() };
                let answer = john.try_call(*tenants, path, method, &body).await;
                assert!(!answer.text.contains(HERS) && !answer.text.contains("of-jane"), "{path}: {answer:?}");
            }
            Call::Naming(body, kind) => {
                let (foreign, unknown) = names(kind);
                let foreign = john.try_call(*tenants, path, method, &body.replace('%', &foreign)).await;
                let unknown = john.try_call(*tenants, path, method, &body.replace('%', &unknown)).await;
                assert!((400..500).contains(&unknown.status) && unknown.status != 429, "{path}: {unknown:?}");
                assert_eq!(told(&foreign), told(&unknown), "{path}");
            }
        }
    }
    // And nothing of hers has changed.
    let open = jane.get("/device/challenges").await;
    assert_eq!((&open.data()["count"], &open.data()["items"][0]["status"]), (&json!(1), &json!("pending")));
    assert_eq!(jane.get("/device/alerts").await.data()["count"], 1);
}

#[tokio::test]
async fn a66_the_same_ids_with_two_tenants_are_two_prompts() {
    let relay = TestRelay::new().await;
    let (bank, shop) = (relay.provision("Bank").await, relay.provision("Shop").await);
    let (hers, his) = (bank.pair(JANE).await, shop.pair(JANE).await);
    for tenant in [&bank, &shop] {
        assert_eq!(tenant.post("/relay/send/auth-challenge", prompt(JANE, "instruction-1")).await.status, 200);
    }
    let answer = json!({"instruction_id": "instruction-1", "approved": true, "custom_type": "localAuth"});
    his.post("/device/submit-response", answer).await.data();
    let look = "/relay/fetch/outcome?instruction_id=instruction-1";
    assert_eq!(shop.get(look).await.data()["status"], "decided");
    assert_eq!(bank.get(look).await.data()["status"], "pending");
    assert_eq!(hers.get("/device/challenges").await.data()["count"], 1);
}

#[tokio::test]
async fn a68_whoever_exhausts_his_own_limit_takes_nothing_of_anybody_elses() {
    let relay = TestRelay::new().await;
    let limited = |name: &str| json!({"tenant_name": name, "rate_limit_per_min": 5});
    let (noisy, quiet) = (relay.provision_with(limited("Noisy")).await, relay.provision_with(limited("Quiet")).await);
    let look = "/relay/fetch/outcome?instruction_id=nobody-knows";
    let mut noise = Vec::new();
    for round in 0..5 {
        for _ in 0..20 {
            noise.push(noisy.get(look).await.status);
        }
        assert_eq!(quiet.get(look).await.status, 404, "call {round} of the quiet one");
    }
    let count = |status| noise.iter().filter(|seen| **seen == status).count();
    assert_eq!((count(404), count(429)), (5, 95));
}

#[tokio::test]
async fn a105_a_poll_storm_is_told_when_to_come_back_and_starves_no_send() {
    let relay = TestRelay::new().await;
    let bank = relay.provision_with(json!({"tenant_name": "Bank", "rate_limit_per_min": 20})).await;
    let _jane = bank.pair(JANE).await;
    let look = "/relay/fetch/outcome?instruction_id=instruction-1";
    let mut refused = 0;
    for _ in 0..50 {
        let answer = bank.get(look).await;
        if answer.status == 429 {
            assert_eq!(answer.header("retry-after"), "3");
            refused += 1;
        }
    }
    assert_eq!(refused, 30);
    assert_eq!(bank.post("/relay/send/auth-challenge", prompt(JANE, "instruction-1")).await.status, 200);
    relay.clock.advance(Duration::from_secs(3));
    assert_eq!(bank.get(look).await.data()["status"], "pending");
}

#[tokio::test]
async fn a32_a_flood_of_prompts_for_one_user_takes_nothing_of_anothers() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let (_jane, _john) = (bank.pair(JANE).await, bank.pair(JOHN).await);
    for n in 0..30 {
        assert_eq!(bank.post("/relay/send/auth-challenge", prompt(JANE, &format!("flood-{n:04}"))).await.status, 200);
    }
    let refused = bank.post("/relay/send/auth-challenge", prompt(JANE, "flood-more")).await;
    refused.expect_error(429, "RATE_LIMITED");
    // The first of the thirty is ten minutes old then, and the answer says when.
    assert_eq!(refused.header("retry-after"), "600");
    assert_eq!(bank.post("/relay/send/auth-challenge", prompt(JOHN, "one-of-johns")).await.status, 200);
    bank.post("/relay/cancel/auth-challenge", json!({"instruction_id": "flood-0000"})).await.data();
}

#[tokio::test]
async fn a104_a_connection_too_many_is_closed_and_a_place_given_back_is_free() {
    let relay = TestRelay::new().await;
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let limits = ConnectionLimits { total: 2, per_address: 2, proxies: Vec::new() };
    let service = router::router(&relay.app);
    let serving = tokio::spawn(listener::serve(socket, limits, service, relay.app.stopping.clone()));
    let one = asked(address).await.expect("a place");
    let _two = asked(address).await.expect("a place");
    assert!(asked(address).await.is_none(), "a third is closed");
    drop(one);
    let freed = async {
        while asked(address).await.is_none() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, freed).await.expect("a place given back is free");
    relay.app.stopping.cancel();
    timeout(DEADLINE, serving).await.expect("it ends").unwrap();
}

/// A connection on which a question was answered; `None` if it was closed instead.
async fn asked(address: std::net::SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: relay\r\n\r\n").await.ok()?;
    let mut answer = [0; 12];
    let read = timeout(DEADLINE, stream.read_exact(&mut answer)).await.expect("an answer, or the end");
    (read.is_ok() && &answer == b"HTTP/1.1 200").then_some(stream)
}
