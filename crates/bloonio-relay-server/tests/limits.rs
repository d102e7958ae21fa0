//! How much of it (PROTOCOL 3; SECURITY, "Signatures and replay", "Outbound and operators").
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says where")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use bloonio_relay_server::limit::{ADMIN_FAILURES, STRANGER_PER_MIN};
use bloonio_wire::header::SIGNATURE;
use http::Request;
use rstest::rstest;
use serde_json::json;
use support::{ADMIN_KEY, TestAnswer, TestRelay};

const LOOK: &str = "/relay/fetch/outcome?instruction_id=nobody-knows";

fn cancel() -> serde_json::Value {
    json!({"instruction_id": "nobody-knows"})
}

#[rstest]
#[case(5, 12)]
#[case(1, 60)]
#[case(60, 1)]
#[tokio::test]
async fn a_tenant_has_its_rate_at_once_and_then_evenly(#[case] per_min: u32, #[case] seconds: u64) {
    let relay = TestRelay::new().await;
    let bank = relay.provision_with(json!({"tenant_name": "B", "rate_limit_per_min": per_min})).await;
    for _ in 0..per_min {
        bank.get(LOOK).await.expect_error(404, "NOT_FOUND");
    }
    let refused = bank.get(LOOK).await;
    refused.expect_error(429, "RATE_LIMITED");
    assert_eq!(refused.header("retry-after"), seconds.to_string());
    relay.clock.advance(Duration::from_secs(seconds));
    bank.get(LOOK).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn sending_and_reading_never_starve_withdrawing() {
    let relay = TestRelay::new().await;
    let bank = relay.provision_with(json!({"tenant_name": "B", "rate_limit_per_min": 1})).await;
    let alert = json!({"user_socket_hash": "user-0001", "title": "t", "body": "b", "kind": "info"});
    bank.post("/relay/send/security-alert", alert.clone()).await.expect_error(404, "PAIRING_NOT_FOUND");
    bank.post("/relay/send/security-alert", alert).await.expect_error(429, "RATE_LIMITED");
    bank.get(LOOK).await.expect_error(404, "NOT_FOUND");
    bank.get(LOOK).await.expect_error(429, "RATE_LIMITED");
    bank.post("/relay/cancel/auth-challenge", cancel()).await.expect_error(404, "NOT_FOUND");
    bank.post("/relay/cancel/auth-challenge", cancel()).await.expect_error(429, "RATE_LIMITED");
}

#[tokio::test]
async fn nobody_spends_a_tenants_limit_without_its_secret() {
    let relay = TestRelay::new().await;
    let bank = relay.provision_with(json!({"tenant_name": "B", "rate_limit_per_min": 1})).await;
    for _ in 0..20 {
        let forged = bank.sign("GET", LOOK, b"").with(SIGNATURE, "0".repeat(64));
        relay.send(forged.request()).await.expect_error(401, "INVALID_SIGNATURE");
    }
    bank.get(LOOK).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn strangers_are_limited_by_their_address_and_hold_up_no_tenant() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let forged = bank.sign("GET", LOOK, b"").with(SIGNATURE, "0".repeat(64));
    for _ in 0..STRANGER_PER_MIN {
        relay.send(forged.request()).await.expect_error(401, "INVALID_SIGNATURE");
    }
    relay.send(forged.request()).await.expect_error(429, "RATE_LIMITED");
    bank.get(LOOK).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_new_limit_counts_at_once() {
    let relay = TestRelay::new().await;
    let bank = relay.provision_with(json!({"tenant_name": "B", "rate_limit_per_min": 1})).await;
    bank.get(LOOK).await.expect_error(404, "NOT_FOUND");
    bank.get(LOOK).await.expect_error(429, "RATE_LIMITED");
    bank.update(json!({"rate_limit_per_min": 3})).await.data();
    bank.get(LOOK).await.expect_error(404, "NOT_FOUND");
    bank.get(LOOK).await.expect_error(404, "NOT_FOUND");
    bank.get(LOOK).await.expect_error(429, "RATE_LIMITED");
}

#[tokio::test]
async fn a_replay_costs_no_token() {
    let relay = TestRelay::new().await;
    let bank = relay.provision_with(json!({"tenant_name": "B", "rate_limit_per_min": 2})).await;
    let call = bank.sign("POST", "/relay/cancel/auth-challenge", cancel().to_string().as_bytes());
    relay.send(call.request()).await.expect_error(404, "NOT_FOUND");
    for _ in 0..3 {
        relay.send(call.request()).await.expect_error(401, "REQUEST_REPLAYED");
    }
    bank.post("/relay/cancel/auth-challenge", cancel()).await.expect_error(404, "NOT_FOUND");
    bank.post("/relay/cancel/auth-challenge", cancel()).await.expect_error(429, "RATE_LIMITED");
}

async fn ask(relay: &TestRelay, key: Option<&str>, peer: &str, forwarded: Option<&str>) -> TestAnswer {
    let mut request = Request::get("/api/v1/fetch/tenants");
    if let Some(key) = key {
        request = request.header("x-admin-key", key);
    }
    if let Some(forwarded) = forwarded {
        request = request.header("x-forwarded-for", forwarded);
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer.parse().unwrap()));
    relay.send(request).await
}

const HERE: &str = "192.0.2.1:1000";

#[rstest]
#[case::none(None)]
#[case::empty(Some(""))]
#[case::prefix(Some("admin-key-of-the-tests"))]
#[case::longer(Some("admin-key-of-the-tests-0123456789abcdefg"))]
#[case::upper_case(Some("ADMIN-KEY-OF-THE-TESTS-0123456789ABCDEF"))]
#[tokio::test]
async fn a_wrong_admin_key_opens_nothing(#[case] key: Option<&str>) {
    let relay = TestRelay::new().await;
    ask(&relay, key, HERE, None).await.expect_error(401, "INVALID_ADMIN_KEY");
}

#[tokio::test]
async fn without_a_configured_key_nobody_is_an_operator() {
    let relay = TestRelay::with(|setup| setup.config.admin_keys.clear()).await;
    for key in [None, Some(""), Some(ADMIN_KEY)] {
        ask(&relay, key, HERE, None).await.expect_error(401, "INVALID_ADMIN_KEY");
    }
}

#[tokio::test]
async fn two_admin_keys_may_overlap() {
    const NEXT: &str = "the-next-admin-key-0123456789abcdefghij";
    let relay = TestRelay::with(|setup| setup.config.admin_keys.push(bloonio_wire::secret::Secret::new(NEXT))).await;
    for key in [ADMIN_KEY, NEXT] {
        assert_eq!(ask(&relay, Some(key), HERE, None).await.status, 200);
    }
}

#[tokio::test]
async fn an_admin_key_given_twice_is_none() {
    let relay = TestRelay::new().await;
    let request =
        Request::get("/api/v1/fetch/tenants").header("x-admin-key", ADMIN_KEY).header("x-admin-key", ADMIN_KEY);
    relay.send(request.body(Body::empty()).unwrap()).await.expect_error(401, "INVALID_ADMIN_KEY");
}

#[tokio::test]
async fn ten_wrong_admin_keys_a_minute_close_the_door_for_that_address() {
    let relay = TestRelay::new().await;
    for _ in 0..ADMIN_FAILURES {
        ask(&relay, Some("guess"), HERE, None).await.expect_error(401, "INVALID_ADMIN_KEY");
    }
    let refused = ask(&relay, Some("guess"), HERE, None).await;
    refused.expect_error(429, "RATE_LIMITED");
    assert_eq!(refused.header("retry-after"), "60");
    // Even the right key is not looked at: whoever guesses learns nothing more.
    ask(&relay, Some(ADMIN_KEY), HERE, None).await.expect_error(429, "RATE_LIMITED");
    assert_eq!(ask(&relay, Some(ADMIN_KEY), "192.0.2.2:1000", None).await.status, 200);
    relay.clock.advance(Duration::from_secs(60));
    assert_eq!(ask(&relay, Some(ADMIN_KEY), HERE, None).await.status, 200);
}

#[rstest]
#[case::believed(&["192.0.2.1/32"], true)]
#[case::not_believed(&[], false)]
#[tokio::test]
async fn whose_forwarded_address_counts_is_the_operators_to_say(#[case] trusted: &[&str], #[case] apart: bool) {
    let trusted: Vec<_> = trusted.iter().map(|net| net.parse().unwrap()).collect();
    let relay = TestRelay::with(|setup| setup.config.trusted_proxies = trusted).await;
    for _ in 0..ADMIN_FAILURES {
        ask(&relay, Some("guess"), HERE, Some("203.0.113.1")).await.expect_error(401, "INVALID_ADMIN_KEY");
    }
    ask(&relay, Some("guess"), HERE, Some("203.0.113.1")).await.expect_error(429, "RATE_LIMITED");
    let other = ask(&relay, Some(ADMIN_KEY), HERE, Some("203.0.113.2")).await;
    assert_eq!(other.status == 200, apart, "{other:?}");
}
