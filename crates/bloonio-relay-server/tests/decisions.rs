//! Decisions: what counts, once, and what follows (PROTOCOL 5; SECURITY, "What counts as approved" and "Devices").

#![allow(clippy::unwrap_used, reason = "a test that meets a surprise shall fail at once")]

mod support;

use bloonio_relay_server::storage::db::{Row, query};
use std::time::Duration;

use bloonio_wire::challenge::{Challenge, CustomType};
use bloonio_wire::decision::{Decision, DeviceSigningKey, challenge_sha256};
use futures_util::future::join_all;
use rstest::rstest;
use serde_json::{Value, json};

use support::database::birth_order;
use support::{TestAnswer, TestDevice, TestRelay, TestTenant};

const JANE: &str = "jane-0123456789";
const ID: &str = "instruction-1";
const SUBMIT: &str = "/device/submit-response";

fn prompt_with(changes: Value) -> Value {
    let mut body = json!({
        "user_socket_hash": JANE, "instruction_id": ID, "custom_type": "localAuth", "expected_action": "transfer_funds",
        "backend_url": "https://bank.example"
    });
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn answer(approved: bool) -> Value {
    json!({"instruction_id": ID, "approved": approved, "custom_type": "localAuth"})
}

async fn bank(relay: &TestRelay) -> TestTenant<'_> {
    let fields = json!({
        "tenant_name": "Bank", "rate_limit_per_min": 10_000, "device_addition": "open",
        "callback_url_base": "https://bank.example/api"
    });
    relay.provision_with(fields).await
}

async fn ask(bank: &TestTenant<'_>, changes: Value) {
    let sent = bank.post("/relay/send/auth-challenge", prompt_with(changes)).await;
    assert_eq!(sent.status, 200, "{sent:?}");
}

async fn outcome(bank: &TestTenant<'_>) -> Value {
    bank.get(&format!("/relay/fetch/outcome?instruction_id={ID}")).await.data().clone()
}

/// Flow, URL and payload of the decisions' callbacks.
async fn callbacks(relay: &TestRelay) -> Vec<(String, String, Value)> {
    let storage = &relay.app.storage;
    let sql = format!(
        "SELECT flow, url, payload FROM deliveries WHERE flow LIKE 'sudo-%' ORDER BY created_at, {}",
        birth_order(storage)
    );
    let rows = query(sql).fetch_all(storage.readers()).await.unwrap();
    let payload = |row: &Row| serde_json::from_str(&row.at::<String>(2).unwrap()).unwrap();
    rows.iter().map(|row| (row.at(0).unwrap(), row.at(1).unwrap(), payload(row))).collect()
}

#[rstest]
#[case(true, "sudo-validated")]
#[case(false, "sudo-rejected")]
#[tokio::test]
async fn a_decision_is_durable_told_and_final(#[case] approved: bool, #[case] flow: &str) {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let device = bank.pair(JANE).await;
    ask(&bank, json!({"challenge_digest": "digest"})).await;
    relay.clock.advance(Duration::from_secs(3));
    let mut body = answer(approved);
    body["reason"] = json!("because");
    let decided = device.post(SUBMIT, body).await;
    assert_eq!(
        decided.data(),
        &json!({"instruction_id": ID, "status": "answered", "approved": approved, "decided_at": "2027-01-15T08:00:03.000Z"})
    );
    let (told, url, event) = callbacks(&relay).await.pop().unwrap();
    assert_eq!((told.as_str(), url), (flow, format!("https://bank.example/api/relay-callbacks/{flow}")));
    let sha256 = event["response_data"]["challenge_sha256"].as_str().unwrap().to_owned();
    assert_eq!(
        event,
        json!({
            "instruction_id": ID, "user_socket_hash": JANE, "tenant_id": bank.tenant_id, "approved": approved,
            "response_data": {"reason": "because", "device_id": device.id("device_id"), "challenge_sha256": sha256},
            "timestamp": "2027-01-15T08:00:03.000Z", "challenge_digest": "digest"
        })
    );
    let mut expected = event;
    expected["status"] = json!("decided");
    assert_eq!(outcome(&bank).await, expected);
    device.post(SUBMIT, answer(approved)).await.expect_error(409, "ALREADY_DECIDED");
    device.post(SUBMIT, answer(!approved)).await.expect_error(409, "ALREADY_DECIDED");
    assert_eq!(outcome(&bank).await, expected);
    assert_eq!(device.get("/device/challenges").await.data()["count"], 0);
}

#[tokio::test]
async fn a_callback_goes_where_the_prompt_says() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let device = bank.pair(JANE).await;
    ask(&bank, json!({"callback_url": "https://bank.example/own?x=1"})).await;
    device.post(SUBMIT, answer(true)).await;
    assert_eq!(callbacks(&relay).await[0].1, "https://bank.example/own?x=1");
}

#[tokio::test]
async fn a_tenant_without_an_address_gets_its_decision_by_asking() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let device = bank.pair(JANE).await;
    ask(&bank, json!({})).await;
    assert_eq!(device.post(SUBMIT, answer(true)).await.status, 200);
    assert_eq!(callbacks(&relay).await, []);
    assert_eq!(outcome(&bank).await["approved"], true);
}

#[tokio::test]
async fn of_64_answers_at_once_one_decides() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let devices = [bank.pair(JANE).await, bank.pair(JANE).await, bank.pair(JANE).await, bank.pair(JANE).await];
    ask(&bank, json!({})).await;
    let answers = join_all((0..64).map(|i| devices[i % 4].post(SUBMIT, answer(i % 2 == 0)))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!(won.len(), 1);
    lost.iter().for_each(|answer| answer.expect_error(409, "ALREADY_DECIDED"));
    let told = callbacks(&relay).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].2["approved"], won[0].data()["approved"]);
    assert_eq!(outcome(&bank).await["approved"], won[0].data()["approved"]);
}

#[tokio::test]
async fn a25_withdrawing_and_deciding_at_once_end_in_one_of_the_two() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let device = bank.pair(JANE).await;
    for round in 0..16 {
        let id = format!("instruction-{round}");
        ask(&bank, json!({"instruction_id": id})).await;
        let mut body = answer(true);
        body["instruction_id"] = json!(id);
        let cancel = bank.post("/relay/cancel/auth-challenge", json!({"instruction_id": id}));
        let (decided, cancelled) = if round % 2 == 0 {
            tokio::join!(device.post(SUBMIT, body), cancel)
        } else {
            let (cancelled, decided) = tokio::join!(cancel, device.post(SUBMIT, body));
            (decided, cancelled)
        };
        let status = bank.get(&format!("/relay/fetch/outcome?instruction_id={id}")).await.data()["status"].clone();
        if decided.status == 200 {
            cancelled.expect_error(409, "ALREADY_DECIDED");
            assert_eq!(status, "decided");
        } else {
            decided.expect_error(410, "GONE");
            assert_eq!((cancelled.status, &status), (200, &json!("cancelled")));
        }
    }
}

#[rstest]
#[case::last_moment(59_999, true)]
#[case::the_end_is_exclusive(60_000, false)]
#[case::long_after(3_600_000, false)]
#[tokio::test]
async fn a25_an_answer_counts_before_the_end_alone(#[case] millis: u64, #[case] counts: bool) {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let device = bank.pair(JANE).await;
    ask(&bank, json!({"ttl_seconds": 60})).await;
    relay.clock.advance(Duration::from_millis(millis));
    let decided = device.post(SUBMIT, answer(true)).await;
    if counts {
        assert_eq!(decided.status, 200, "{decided:?}");
    } else {
        decided.expect_error(410, "GONE");
        assert_eq!(callbacks(&relay).await, [], "expiry makes no callback");
        assert_eq!(outcome(&bank).await["status"], "expired");
    }
}

#[tokio::test]
async fn a24_a_decision_in_time_stays_one_after_the_end() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let device = bank.pair(JANE).await;
    ask(&bank, json!({"ttl_seconds": 60})).await;
    relay.clock.advance(Duration::from_millis(59_999));
    assert_eq!(device.post(SUBMIT, answer(true)).await.status, 200);
    relay.clock.advance(Duration::from_secs(3600));
    assert_eq!(outcome(&bank).await["status"], "decided");
    device.post(SUBMIT, answer(false)).await.expect_error(409, "ALREADY_DECIDED");
    let tried_for: i64 = query("SELECT give_up_at - created_at FROM deliveries WHERE flow = 'sudo-validated'")
        .fetch_one(relay.app.storage.readers())
        .await
        .unwrap()
        .at(0)
        .unwrap();
    assert_eq!(tried_for, 600_000, "its callback is tried for ten minutes at least");
}

#[tokio::test]
async fn a25_a_withdrawn_prompt_takes_no_answer() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let device = bank.pair(JANE).await;
    ask(&bank, json!({})).await;
    bank.post("/relay/cancel/auth-challenge", json!({"instruction_id": ID})).await;
    device.post(SUBMIT, answer(true)).await.expect_error(410, "GONE");
    assert_eq!(callbacks(&relay).await, []);
}

#[rstest]
#[case::deny_then_approve(false)]
#[case::approve_then_deny(true)]
#[tokio::test]
async fn a26_the_first_answer_stands_whoever_gives_the_second(#[case] first: bool) {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let (a, b) = (bank.pair(JANE).await, bank.pair(JANE).await);
    ask(&bank, json!({})).await;
    assert_eq!(a.post(SUBMIT, answer(first)).await.status, 200);
    b.post(SUBMIT, answer(!first)).await.expect_error(409, "ALREADY_DECIDED");
    assert_eq!(outcome(&bank).await["approved"], first);
}

#[rstest]
#[case::nothing(json!({}), &["instruction_id", "approved", "custom_type"])]
#[case::no_object(json!([]), &[""])]
#[case::text_for_a_truth(json!({"instruction_id": ID, "approved": "true", "custom_type": "localAuth"}), &["approved"])]
#[case::number_for_a_truth(json!({"instruction_id": ID, "approved": 1, "custom_type": "localAuth"}), &["approved"])]
#[case::unknown_type(json!({"instruction_id": ID, "approved": true, "custom_type": "none"}), &["custom_type"])]
#[case::other_type(json!({"instruction_id": ID, "approved": true, "custom_type": "goldenNumber"}), &["custom_type"])]
#[case::totp(json!({"instruction_id": ID, "approved": true, "custom_type": "totp", "totp_code": "123456"}), &["custom_type"])]
#[case::number(json!({"instruction_id": ID, "approved": true, "custom_type": "localAuth", "selected_number": 5}), &["selected_number"])]
#[case::odd(
    json!({"instruction_id": ID, "approved": true, "custom_type": "localAuth", "selected_number": "5", "reason": 1,
           "decided_at": -1, "signature": true}),
    &["selected_number", "reason", "decided_at", "signature"]
)]
#[tokio::test]
async fn a35_an_answer_of_the_wrong_shape_decides_nothing(#[case] body: Value, #[case] fields: &[&str]) {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let device = bank.pair(JANE).await;
    ask(&bank, json!({})).await;
    let refused = device.post(SUBMIT, body).await;
    refused.expect_error(422, "VALIDATION_FAILED");
    assert_eq!(refused.fields(), fields);
    assert_eq!(outcome(&bank).await["status"], "pending");
}

#[rstest]
#[case::typed(json!(null), json!(42), Some(42))]
#[case::typed_whatever(json!(null), json!(-7), Some(-7))]
#[case::typed_nothing(json!(null), json!(null), None)]
#[case::picked(json!([17, 42, 88]), json!(42), Some(42))]
#[case::picked_another(json!([17, 42, 88]), json!(43), None)]
#[case::picked_nothing(json!([17, 42, 88]), json!(null), None)]
#[tokio::test]
async fn a33_a_golden_number_is_passed_on_if_it_can_be_one(
    #[case] numbers: Value,
    #[case] selected: Value,
    #[case] passed: Option<i64>,
) {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let device = bank.pair(JANE).await;
    ask(&bank, json!({"custom_type": "goldenNumber", "numbers": numbers})).await;
    let body =
        json!({"instruction_id": ID, "approved": true, "custom_type": "goldenNumber", "selected_number": selected});
    let decided = device.post(SUBMIT, body).await;
    match passed {
        Some(number) => {
            assert_eq!(decided.status, 200, "{decided:?}");
            assert_eq!(outcome(&bank).await["response_data"]["selected_number"], number);
        }
        None => {
            decided.expect_error(422, "VALIDATION_FAILED");
            assert_eq!(decided.fields(), ["selected_number"]);
            assert_eq!(outcome(&bank).await["status"], "pending");
        }
    }
}

#[tokio::test]
async fn denying_needs_no_number() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let device = bank.pair(JANE).await;
    ask(&bank, json!({"custom_type": "goldenNumber", "numbers": [17, 42, 88]})).await;
    let body = json!({"instruction_id": ID, "approved": false, "custom_type": "goldenNumber"});
    assert_eq!(device.post(SUBMIT, body).await.status, 200);
    assert_eq!(outcome(&bank).await["approved"], false);
}

/// A device with a key of its own.
async fn signing<'a>(bank: &'a TestTenant<'_>, key: &DeviceSigningKey) -> TestDevice<'a> {
    bank.pair_with(JANE, json!({"platform": "stream", "device_public_key": key.public()})).await
}

async fn fetched(device: &TestDevice<'_>) -> Challenge {
    serde_json::from_value(device.get(&format!("/device/challenges/{ID}")).await.data().clone()).unwrap()
}

async fn submit_signed(
    device: &TestDevice<'_>,
    key: &DeviceSigningKey,
    change: impl FnOnce(&mut Decision<'_>),
) -> (TestAnswer, String) {
    let shown = fetched(device).await;
    let mut decision = Decision {
        tenant_id: device.id("tenant_id"),
        instruction_id: ID,
        device_id: device.id("device_id"),
        user_socket_hash: JANE,
        custom_type: CustomType::LocalAuth,
        approved: true,
        selected_number: None,
        challenge_sha256: challenge_sha256(&shown),
        challenge_digest: shown.challenge_digest.as_deref(),
        decided_at: 1_800_000_000_123,
    };
    change(&mut decision);
    let signature = key.sign(&decision);
    let mut body = answer(true);
    body["signature"] = json!(signature);
    body["decided_at"] = json!(1_800_000_000_123_i64);
    (device.post(SUBMIT, body).await, signature)
}

#[tokio::test]
async fn a62_a_signed_decision_travels_with_its_signature() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let key = DeviceSigningKey::from_bytes(&[9; 32]).unwrap();
    let device = signing(&bank, &key).await;
    ask(&bank, json!({"challenge_digest": "digest", "display": {"title": "Transfer"}})).await;
    // A new brand in between is none of this prompt's business: it was asked under the old one.
    bank.update(json!({"branding_display_name": "New Bank"})).await;
    let sha256 = hex::encode(challenge_sha256(&fetched(&device).await));
    let (decided, signature) = submit_signed(&device, &key, |_| ()).await;
    assert_eq!(decided.status, 200, "{decided:?}");
    let data = &outcome(&bank).await["response_data"];
    assert_eq!(data["signature"], signature);
    assert_eq!(data["decided_at"], 1_800_000_000_123_i64);
    assert_eq!(data["challenge_sha256"], sha256);
    let told: Value = query("SELECT payload FROM deliveries WHERE flow = 'pairing-completed'")
        .fetch_one(relay.app.storage.readers())
        .await
        .map(|row| serde_json::from_str(&row.at::<String>(0).unwrap()).unwrap())
        .unwrap();
    assert_eq!(
        told["device_public_key"],
        serde_json::to_value(key.public()).unwrap(),
        "so that the backend can pin it"
    );
}

#[rstest]
#[case::not_approved(|decision: &mut Decision<'_>| decision.approved = false)]
#[case::another_instruction(|decision: &mut Decision<'_>| decision.instruction_id = "instruction-2")]
#[case::another_device(|decision: &mut Decision<'_>| decision.device_id = "000000000000000000000000")]
#[case::another_user(|decision: &mut Decision<'_>| decision.user_socket_hash = "john-0123456789")]
#[case::another_prompt(|decision: &mut Decision<'_>| decision.challenge_sha256 = [0; 32])]
#[case::another_digest(|decision: &mut Decision<'_>| decision.challenge_digest = Some("other"))]
#[case::a_number(|decision: &mut Decision<'_>| decision.selected_number = Some(1))]
#[case::another_time(|decision: &mut Decision<'_>| decision.decided_at += 1)]
#[tokio::test]
async fn a62_a_signature_over_anything_else_is_refused(#[case] change: fn(&mut Decision<'_>)) {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let key = DeviceSigningKey::from_bytes(&[9; 32]).unwrap();
    let device = signing(&bank, &key).await;
    ask(&bank, json!({"challenge_digest": "digest"})).await;
    submit_signed(&device, &key, change).await.0.expect_error(401, "INVALID_DEVICE_SIGNATURE");
    assert_eq!(outcome(&bank).await["status"], "pending");
}

#[rstest]
#[case::unsigned(json!({}))]
#[case::null(json!({"signature": null, "decided_at": 1}))]
#[case::empty(json!({"signature": "", "decided_at": 1}))]
#[case::noise(json!({"signature": "AAAA", "decided_at": 1}))]
#[case::no_time(json!({"signature": "AAAA"}))]
#[tokio::test]
async fn a62_a_device_that_registered_a_key_must_sign(#[case] given: Value) {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let device = signing(&bank, &DeviceSigningKey::from_bytes(&[9; 32]).unwrap()).await;
    ask(&bank, json!({})).await;
    for approved in [true, false] {
        let mut body = answer(approved);
        for (name, value) in given.as_object().unwrap() {
            body[name] = value.clone();
        }
        device.post(SUBMIT, body).await.expect_error(401, "INVALID_DEVICE_SIGNATURE");
    }
    assert_eq!(outcome(&bank).await["status"], "pending");
}

#[tokio::test]
async fn a62_another_devices_key_signs_for_itself_alone() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let (a, b) = (DeviceSigningKey::from_bytes(&[9; 32]).unwrap(), DeviceSigningKey::from_bytes(&[8; 32]).unwrap());
    let device = signing(&bank, &a).await;
    signing(&bank, &b).await;
    ask(&bank, json!({})).await;
    submit_signed(&device, &b, |_| ()).await.0.expect_error(401, "INVALID_DEVICE_SIGNATURE");
}

#[tokio::test]
async fn a_signature_that_nobody_can_check_does_not_travel() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let device = bank.pair(JANE).await;
    ask(&bank, json!({})).await;
    let (decided, _) = submit_signed(&device, &DeviceSigningKey::from_bytes(&[9; 32]).unwrap(), |_| ()).await;
    assert_eq!(decided.status, 200);
    assert!(outcome(&bank).await["response_data"].get("signature").is_none());
}

#[tokio::test]
async fn a39_a_removed_device_decides_nothing() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let (lost, kept) = (bank.pair(JANE).await, bank.pair(JANE).await);
    ask(&bank, json!({})).await;
    lost.post("/device/unpair", json!({})).await;
    lost.post(SUBMIT, answer(true)).await.expect_error(401, "INVALID_DEVICE_TOKEN");
    assert_eq!(kept.post(SUBMIT, answer(false)).await.status, 200);
}

#[tokio::test]
async fn a39_removing_and_deciding_at_once_leave_no_decision_of_a_removed_device() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    for round in 0..8 {
        let (device, id) = (bank.pair(JANE).await, format!("instruction-{round}"));
        ask(&bank, json!({"instruction_id": id})).await;
        let mut body = answer(true);
        body["instruction_id"] = json!(id);
        let revoke = bank.post("/relay/revoke-pairing", json!({"user_socket_hash": JANE}));
        let (revoked, decided) = tokio::join!(revoke, device.post(SUBMIT, body));
        assert_eq!(revoked.status, 200);
        let status = bank.get(&format!("/relay/fetch/outcome?instruction_id={id}")).await.data()["status"].clone();
        match decided.status {
            200 => assert_eq!(status, "decided"),
            _ => {
                decided.expect_error(401, "INVALID_DEVICE_TOKEN");
                assert_eq!(status, "pending");
            }
        }
    }
}

#[tokio::test]
async fn suspending_and_deciding_at_once_leave_no_decision_of_a_suspended_tenant() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let device = bank.pair(JANE).await;
    let id = &bank.tenant_id;
    for round in 0..8 {
        let instruction = format!("instruction-{round}");
        ask(&bank, json!({"instruction_id": instruction})).await;
        let mut body = answer(true);
        body["instruction_id"] = json!(instruction);
        let path = format!("/suspend/tenant?tenant_id={id}");
        let (suspended, decided) = tokio::join!(relay.operator_post(&path, json!({})), device.post(SUBMIT, body));
        assert_eq!(suspended.status, 200);
        relay.operator_post(&format!("/reactivate/tenant?tenant_id={id}"), json!({})).await;
        let path = format!("/relay/fetch/outcome?instruction_id={instruction}");
        let status = bank.get(&path).await.data()["status"].clone();
        match decided.status {
            200 => assert_eq!(status, "decided"),
            _ => {
                decided.expect_error(403, "TENANT_SUSPENDED");
                assert_eq!(status, "pending");
            }
        }
    }
}

#[tokio::test]
async fn a_device_that_hangs_up_has_decided_all_the_same() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let device = bank.pair(JANE).await;
    ask(&bank, json!({})).await;
    let path = format!("/relay/fetch/outcome?instruction_id={ID}&wait_seconds=30");
    let hang_up = async {
        let mut call = Box::pin(device.post(SUBMIT, answer(true)));
        assert!(futures_util::poll!(&mut call).is_pending(), "it has begun and is not over");
    };
    let (waited, ()) = tokio::join!(bank.get(&path), hang_up);
    assert_eq!(waited.data()["status"], "decided", "and whoever waits was woken");
}

#[tokio::test]
async fn a_decision_whose_callback_cannot_be_written_is_none() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let device = bank.pair(JANE).await;
    ask(&bank, json!({})).await;
    let writer = relay.app.storage.writer();
    query("ALTER TABLE deliveries RENAME TO away").execute(writer).await.unwrap();
    device.post(SUBMIT, answer(true)).await.expect_error(503, "STORAGE_UNAVAILABLE");
    query("ALTER TABLE away RENAME TO deliveries").execute(writer).await.unwrap();
    assert_eq!(outcome(&bank).await["status"], "pending");
    assert_eq!(device.post(SUBMIT, answer(false)).await.status, 200);
    assert_eq!(callbacks(&relay).await.len(), 1);
}
