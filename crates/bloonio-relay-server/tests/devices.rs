//! Devices: registration, sessions, confirmation, leaving (PROTOCOL 4; SECURITY, "Devices").

#![allow(clippy::unwrap_used, reason = "a test that meets a surprise shall fail at once")]

mod support;

use bloonio_relay_server::storage::db::query;
use std::sync::Arc;
use std::time::Duration;

use bloonio_wire::decision::DeviceSigningKey;
use http::Request;
use rstest::rstest;
use serde_json::{Value, json};

use support::caller::bearer;
use support::{RecordingSender, TestDevice, TestRelay, TestTenant};

const JANE: &str = "jane-0123456789";

async fn with_sender() -> (TestRelay, Arc<RecordingSender>) {
    let sender = Arc::new(RecordingSender::default());
    let given = sender.clone();
    (TestRelay::with(|setup| setup.sender = Some(given)).await, sender)
}

fn prompt(id: &str) -> Value {
    json!({
        "user_socket_hash": JANE, "instruction_id": id, "custom_type": "localAuth", "expected_action": "transfer_funds",
        "backend_url": "https://bank.example"
    })
}

fn with_token<'a>(device: &TestDevice<'a>, token: &str) -> TestDevice<'a> {
    TestDevice { token: token.to_owned(), ..device.clone() }
}

async fn refresh<'a>(device: &TestDevice<'a>) -> TestDevice<'a> {
    let answer = device.post("/device/refresh-token", json!({})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    with_token(device, answer.data()["device_session_token"].as_str().unwrap())
}

async fn alerts(device: &TestDevice<'_>) -> Vec<Value> {
    device.get("/device/alerts").await.data()["items"].as_array().unwrap().clone()
}

#[rstest]
#[case::no_platform(json!({}), &["platform"])]
#[case::unknown_platform(json!({"platform": "toaster"}), &["platform"])]
#[case::no_address(json!({"platform": "android"}), &["fcm_token"])]
#[case::both_addresses(json!({"platform": "ios", "fcm_token": "a", "fid": "b"}), &["fcm_token"])]
#[case::blank_in_the_address(json!({"platform": "web", "fcm_token": "a b"}), &["fcm_token"])]
#[case::empty_address(json!({"platform": "web", "fid": ""}), &["fid"])]
#[case::token_for_a_stream(json!({"platform": "stream", "fcm_token": "a"}), &["fcm_token"])]
#[case::fid_for_a_stream(json!({"platform": "stream", "fid": "a"}), &["fid"])]
#[case::odd_key(json!({"platform": "stream", "device_public_key": {"kty": "EC"}}), &["device_public_key"])]
#[case::key_as_text(json!({"platform": "stream", "device_public_key": "key"}), &["device_public_key"])]
#[case::everything(
    json!({"platform": 1, "fcm_token": 2, "device_name": "", "app_version": []}),
    &["platform", "fcm_token", "device_name", "app_version"]
)]
#[case::address_and_name(json!({"platform": "ios", "device_name": ""}), &["fcm_token", "device_name"])]
#[tokio::test]
async fn a_registration_names_every_broken_rule(#[case] body: Value, #[case] fields: &[&str]) {
    let (relay, _) = with_sender().await;
    let proof = relay.provision("Bank").await.offer_pairing(JANE).await;
    let answer = relay.send(bearer("POST", "/device/register-token", &proof, body.to_string())).await;
    answer.expect_error(422, "VALIDATION_FAILED");
    assert_eq!(answer.fields(), fields);
}

#[rstest]
#[case::next_line("Pixel\nYour old phone was removed")]
#[case::other_direction("Pixel \u{202e}enohP")]
#[case::hidden("Pix\u{200b}el")]
#[tokio::test]
async fn a09_a_device_cannot_write_the_alert_with_its_name(#[case] name: &str) {
    let relay = TestRelay::new().await;
    let proof = relay.provision("Bank").await.offer_pairing(JANE).await;
    let body = json!({"platform": "stream", "device_name": name}).to_string();
    let answer = relay.send(bearer("POST", "/device/register-token", &proof, body)).await;
    answer.expect_error(422, "VALIDATION_FAILED");
    assert_eq!(answer.fields(), ["device_name"]);
}

#[rstest]
#[case(json!({"platform": "android", "fcm_token": "token:1"}))]
#[case(json!({"platform": "ios", "fid": "fid-1"}))]
#[case(json!({"platform": "web", "fcm_token": "token:1", "device_name": "Firefox", "app_version": "1.0"}))]
#[tokio::test]
async fn one_address_of_either_kind_registers(#[case] body: Value) {
    let (relay, sender) = with_sender().await;
    let bank = relay.provision("Bank").await;
    bank.pair_with(JANE, body.clone()).await;
    assert_eq!(bank.post("/relay/send/auth-challenge", prompt("instruction-1")).await.status, 200);
    let pushed = &sender.sent()[0];
    let address = body["fcm_token"].as_str().or(body["fid"].as_str()).unwrap();
    assert_eq!((pushed.address.value(), pushed.platform.as_str()), (address, body["platform"].as_str().unwrap()));
}

#[tokio::test]
async fn a_relay_without_push_service_takes_stream_devices_only() {
    let relay = TestRelay::new().await;
    let proof = relay.provision("Bank").await.offer_pairing(JANE).await;
    let body = json!({"platform": "android", "fcm_token": "a"});
    let answer = relay.send(bearer("POST", "/device/register-token", &proof, body.to_string())).await;
    answer.expect_error(422, "VALIDATION_FAILED");
    assert_eq!(answer.fields(), ["platform"]);
}

#[tokio::test]
async fn a_device_that_shows_its_private_key_is_refused() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let mut key = serde_json::to_value(DeviceSigningKey::from_bytes(&[9; 32]).unwrap().public()).unwrap();
    key["use"] = json!("sig");
    let public = json!({"platform": "stream", "device_public_key": key});
    key["d"] = json!("CQkJ");
    let private = json!({"platform": "stream", "device_public_key": key});
    let proof = bank.offer_pairing(JANE).await;
    let answer = relay.send(bearer("POST", "/device/register-token", &proof, private.to_string())).await;
    answer.expect_error(422, "VALIDATION_FAILED");
    assert_eq!(answer.fields(), ["device_public_key"]);
    let answer = relay.send(bearer("POST", "/device/register-token", &proof, public.to_string())).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[tokio::test]
async fn a_pairing_has_ten_devices_at_most() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let first = bank.pair(JANE).await;
    for _ in 1..10 {
        bank.pair(JANE).await;
    }
    let proof = bank.offer_pairing(JANE).await;
    let eleventh = || bearer("POST", "/device/register-token", &proof, json!({"platform": "stream"}).to_string());
    relay.send(eleventh()).await.expect_error(409, "TOO_MANY_DEVICES");
    first.post("/device/unpair", json!({})).await;
    assert_eq!(relay.send(eleventh()).await.status, 201, "the refusal has used nothing up");
}

#[rstest]
#[case::none(None)]
#[case::empty(Some(""))]
#[case::no_scheme(Some("TOKEN"))]
#[case::other_scheme(Some("Basic TOKEN"))]
#[case::noise(Some("Bearer a.b.c"))]
#[case::spoiled(Some("Bearer TOKENx"))]
#[tokio::test]
async fn a_call_without_a_good_token_is_refused(#[case] header: Option<&str>) {
    let relay = TestRelay::new().await;
    let device_token = relay.provision("Bank").await.pair(JANE).await.token;
    for (method, path) in DEVICE_CALLS {
        let mut request = Request::builder().method(*method).uri(format!("/api/v1{path}"));
        if let Some(header) = header {
            request = request.header("authorization", header.replace("TOKEN", &device_token));
        }
        let answer = relay.send(request.body("{}".into()).unwrap()).await;
        answer.expect_error(401, "INVALID_DEVICE_TOKEN");
    }
}

/// Every call that takes a session token.
const DEVICE_CALLS: &[(&str, &str)] = &[
    ("POST", "/device/refresh-token"),
    ("POST", "/device/unpair"),
    ("POST", "/device/confirm-device"),
    ("GET", "/device/challenges"),
    ("GET", "/device/challenges/instruction-1"),
    ("GET", "/device/alerts"),
    ("GET", "/device/stream"),
    ("POST", "/device/submit-response"),
];

#[tokio::test]
async fn proofs_and_sessions_do_not_pass_for_one_another() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let device = bank.pair(JANE).await;
    let proof = bank.offer_pairing(JANE).await;
    with_token(&device, &proof).get("/device/challenges").await.expect_error(401, "INVALID_DEVICE_TOKEN");
    let body = json!({"platform": "stream"}).to_string();
    let answer = relay.send(bearer("POST", "/device/register-token", &device.token, body)).await;
    answer.expect_error(401, "INVALID_DEVICE_TOKEN");
}

#[tokio::test]
async fn a_session_ends_after_30_days_and_rests_while_its_tenant_is_suspended() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let device = bank.pair(JANE).await;
    let id = &bank.tenant_id;
    relay.operator_post(&format!("/suspend/tenant?tenant_id={id}"), json!({})).await;
    for (method, path) in DEVICE_CALLS {
        let answer = relay.send(bearer(method, path, &device.token, "{}")).await;
        answer.expect_error(403, "TENANT_SUSPENDED");
    }
    relay.operator_post(&format!("/reactivate/tenant?tenant_id={id}"), json!({})).await;
    relay.clock.advance(Duration::from_secs(30 * 86_400 - 1));
    assert_eq!(device.get("/device/challenges").await.status, 200);
    relay.clock.advance(Duration::from_secs(1));
    device.get("/device/challenges").await.expect_error(401, "INVALID_DEVICE_TOKEN");
}

#[tokio::test]
async fn a_device_may_call_120_times_a_minute_and_holds_up_no_other() {
    let relay = TestRelay::new().await;
    let bank = relay.provision_with(json!({"tenant_name": "Bank", "device_addition": "open"})).await;
    let (busy, other) = (bank.pair(JANE).await, bank.pair(JANE).await);
    for _ in 0..120 {
        assert_eq!(busy.get("/device/challenges").await.status, 200);
    }
    let refused = busy.get("/device/challenges").await;
    refused.expect_error(429, "RATE_LIMITED");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(other.get("/device/challenges").await.status, 200);
    relay.clock.advance(Duration::from_secs(1));
    assert_eq!(busy.get("/device/challenges").await.status, 200);
}

#[tokio::test]
async fn a40_a_further_device_may_do_nothing_until_an_existing_one_confirms_it() {
    let (relay, sender) = with_sender().await;
    let bank = relay.provision("Bank").await;
    let first = bank.pair(JANE).await;
    let second = bank.pair_with(JANE, json!({"platform": "android", "fcm_token": "new", "device_name": "Pixel"})).await;
    assert_eq!(second.registration["device_status"], "awaiting_confirmation");

    let sent = bank.post("/relay/send/auth-challenge", prompt("instruction-1")).await;
    assert_eq!((&sent.data()["delivered_count"], sender.sent().len()), (&json!(1), 0));
    for (method, path) in
        DEVICE_CALLS.iter().filter(|(_, path)| !["/device/refresh-token", "/device/unpair"].contains(path))
    {
        let answer = relay.send(bearer(method, path, &second.token, "{}")).await;
        answer.expect_error(403, "DEVICE_NOT_CONFIRMED");
    }

    let alert = &alerts(&first).await[0];
    assert_eq!((&alert["kind"], &alert["tenant_name"]), (&json!("security"), &json!("Bank")));
    let told = alert["body"].as_str().unwrap();
    assert!(told.contains(second.id("device_id")) && told.contains("Pixel"), "{told}");

    let body = json!({"device_id": second.id("device_id"), "approved": true});
    let confirmed = first.post("/device/confirm-device", body.clone()).await;
    assert_eq!(confirmed.data(), &json!({"device_id": second.id("device_id"), "status": "active"}));
    assert_eq!(second.get("/device/challenges").await.data()["count"], 1);
    first.post("/device/confirm-device", body).await.expect_error(409, "ALREADY_DECIDED");
    bank.post("/relay/send/auth-challenge", prompt("instruction-2")).await;
    assert_eq!(sender.sent().len(), 1);
}

#[tokio::test]
async fn a_device_that_is_turned_away_is_gone() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let (first, second) = (bank.pair(JANE).await, bank.pair(JANE).await);
    let body = json!({"device_id": second.id("device_id"), "approved": false});
    assert_eq!(first.post("/device/confirm-device", body.clone()).await.data()["status"], "removed");
    second.post("/device/refresh-token", json!({})).await.expect_error(401, "INVALID_DEVICE_TOKEN");
    first.post("/device/confirm-device", body).await.expect_error(409, "ALREADY_DECIDED");
}

#[tokio::test]
async fn only_an_existing_device_of_the_same_pairing_confirms() {
    let relay = TestRelay::new().await;
    let (bank, shop) = (relay.provision("Bank").await, relay.provision("Shop").await);
    let first = bank.pair(JANE).await;
    let (waiting, also_waiting) = (bank.pair(JANE).await, bank.pair(JANE).await);
    let (john, at_shop) = (bank.pair("john-0123456789").await, shop.pair(JANE).await);
    let body = json!({"device_id": waiting.id("device_id"), "approved": true});
    for stranger in [&john, &at_shop] {
        let foreign = stranger.post("/device/confirm-device", body.clone()).await;
        foreign.expect_error(404, "NOT_FOUND");
        let unknown = json!({"device_id": "0".repeat(24), "approved": true});
        assert_eq!(stranger.post("/device/confirm-device", unknown).await.body, foreign.body);
    }
    for waits in [&waiting, &also_waiting] {
        waits.post("/device/confirm-device", body.clone()).await.expect_error(403, "DEVICE_NOT_CONFIRMED");
    }
    let bad = first.post("/device/confirm-device", json!({"device_id": "x", "approved": "yes"})).await;
    bad.expect_error(422, "VALIDATION_FAILED");
    assert_eq!(bad.fields(), ["device_id", "approved"]);
    assert_eq!(first.post("/device/confirm-device", body).await.status, 200);
}

#[tokio::test]
async fn an_open_tenant_lets_further_devices_in_and_still_alerts() {
    let relay = TestRelay::new().await;
    let bank = relay.provision_with(json!({"tenant_name": "Bank", "device_addition": "open"})).await;
    let (first, second) = (bank.pair(JANE).await, bank.pair(JANE).await);
    assert_eq!(second.registration["device_status"], "active");
    assert_eq!(second.get("/device/challenges").await.status, 200);
    assert!(alerts(&first).await[0]["body"].as_str().unwrap().contains(second.id("device_id")));
}

#[tokio::test]
async fn a_device_whose_address_is_gone_needs_not_confirm_its_successor() {
    use bloonio_relay_server::push::{AddressVerdict, PushFailure, PushOutcome, Retry};
    let (relay, sender) = with_sender().await;
    let bank = relay.provision("Bank").await;
    let old = bank.pair_with(JANE, json!({"platform": "android", "fcm_token": "old"})).await;
    sender.will_answer(PushOutcome::Failed(PushFailure {
        error: "unregistered",
        address: AddressVerdict::Dead,
        retry: Retry::Never,
    }));
    bank.post("/relay/send/auth-challenge", prompt("instruction-1")).await.expect_error(502, "PUSH_NOT_DELIVERED");
    bank.post("/relay/send/auth-challenge", prompt("instruction-2")).await.expect_error(404, "NO_DEVICE");
    let next = bank.pair_with(JANE, json!({"platform": "android", "fcm_token": "new"})).await;
    assert_eq!(next.registration["device_status"], "active");
    assert_eq!(alerts(&old).await.len(), 1, "the old device, which still lives, is told");
}

#[tokio::test]
async fn a_device_whose_session_has_run_out_neither_confirms_nor_counts_as_reached() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    bank.pair(JANE).await;
    relay.clock.advance(Duration::from_secs(30 * 86_400));
    assert_eq!(send_to(&bank).await, 404);
    let second = bank.pair(JANE).await;
    assert_eq!(second.registration["device_status"], "active");
    assert_eq!(send_to(&bank).await, 200);
}

#[tokio::test]
async fn no_tenant_uses_the_ids_of_the_relays_own_alerts() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let device = bank.pair(JANE).await;
    for kind in ["device-added", "device-removed"] {
        let id = format!("{kind}-{}", device.registration["pairing"]["device_id"].as_str().unwrap());
        let body = json!({"user_socket_hash": JANE, "notification_id": id, "title": "t", "body": "b", "kind": "info"});
        let refused = bank.post("/relay/send/security-alert", body).await;
        assert_eq!((refused.status, refused.fields()), (422, vec!["notification_id"]));
    }
    assert_eq!(alerts(&device).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_refreshed_session_replaces_the_old_one_after_a_minute() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let old = bank.pair(JANE).await;
    let new = refresh(&old).await;
    assert_ne!(old.token, new.token);
    relay.clock.advance(Duration::from_millis(59_999));
    assert_eq!(old.get("/device/challenges").await.status, 200);
    assert_eq!(new.get("/device/challenges").await.status, 200);
}

#[tokio::test]
async fn a41_a_superseded_session_removes_its_device_and_alerts_the_others() {
    let relay = TestRelay::new().await;
    let bank = relay.provision_with(json!({"tenant_name": "Bank", "device_addition": "open"})).await;
    let (old, other) = (bank.pair(JANE).await, bank.pair(JANE).await);
    let new = refresh(&old).await;
    relay.clock.advance(Duration::from_secs(60));
    assert_eq!(new.get("/device/challenges").await.status, 200);
    old.get("/device/challenges").await.expect_error(401, "INVALID_DEVICE_TOKEN");
    new.get("/device/challenges").await.expect_error(401, "INVALID_DEVICE_TOKEN");
    let told = alerts(&other).await;
    assert!(told[0]["body"].as_str().unwrap().contains(old.id("device_id")), "{told:?}");
    old.get("/device/challenges").await.expect_error(401, "INVALID_DEVICE_TOKEN");
    assert_eq!(alerts(&other).await.len(), told.len(), "one alert, however often");
}

#[tokio::test]
async fn a_refresh_whose_answer_was_lost_can_be_repeated() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let old = bank.pair(JANE).await;
    let (_lost, also_lost) = (refresh(&old).await, refresh(&old).await);
    let kept = refresh(&old).await;
    relay.clock.advance(Duration::from_secs(59));
    assert_eq!(also_lost.get("/device/challenges").await.status, 200);
    relay.clock.advance(Duration::from_secs(61));
    assert_eq!(kept.get("/device/challenges").await.status, 200);
}

#[tokio::test]
async fn a_refresh_moves_the_pushes_to_the_new_address() {
    let (relay, sender) = with_sender().await;
    let bank = relay.provision("Bank").await;
    let device = bank.pair_with(JANE, json!({"platform": "android", "fcm_token": "old"})).await;
    for (body, field) in [(json!({}), "fcm_token"), (json!({"fcm_token": "a", "fid": "b"}), "fcm_token")] {
        let answer = device.post("/device/refresh-token", body).await;
        answer.expect_error(422, "VALIDATION_FAILED");
        assert_eq!(answer.fields(), [field]);
    }
    assert_eq!(device.post("/device/refresh-token", json!({"fid": "new"})).await.status, 200);
    bank.post("/relay/send/auth-challenge", prompt("instruction-1")).await;
    let pushed: Vec<_> = sender.sent().iter().map(|push| push.address.value().to_owned()).collect();
    assert_eq!(pushed, ["new"]);
}

#[tokio::test]
async fn a_device_that_leaves_is_removed_and_its_address_forgotten() {
    let (relay, _) = with_sender().await;
    let bank = relay.provision("Bank").await;
    let device = bank.pair_with(JANE, json!({"platform": "android", "fcm_token": "forget-me"})).await;
    let left = device.post("/device/unpair", json!({})).await;
    assert_eq!(left.data(), &json!({"device_id": device.id("device_id"), "status": "removed"}));
    device.get("/device/challenges").await.expect_error(401, "INVALID_DEVICE_TOKEN");
    bank.post("/relay/send/auth-challenge", prompt("instruction-1")).await.expect_error(404, "NO_DEVICE");
    let kept: Option<String> =
        query("SELECT address FROM devices").fetch_one(relay.app.storage.readers()).await.unwrap().at(0).unwrap();
    assert_eq!(kept, None);
}

async fn send_to(bank: &TestTenant<'_>) -> u16 {
    bank.post("/relay/send/auth-challenge", prompt("instruction-1")).await.status
}

#[tokio::test]
async fn a67_one_push_address_with_two_tenants_stays_two_devices() {
    let (relay, sender) = with_sender().await;
    let (bank, shop) = (relay.provision("Bank").await, relay.provision("Shop").await);
    let body = json!({"platform": "android", "fcm_token": "shared"});
    let (at_bank, at_shop) = (bank.pair_with(JANE, body.clone()).await, shop.pair_with(JANE, body).await);
    assert_eq!(send_to(&bank).await, 200);
    assert_eq!(at_shop.get("/device/challenges").await.data()["count"], 0);
    assert_eq!(sender.sent()[0].tenant_id.as_str(), bank.tenant_id);
    at_bank.post("/device/unpair", json!({})).await;
    assert_eq!(send_to(&shop).await, 200);
}
