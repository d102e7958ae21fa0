//! One-time codes at the relay: the seed's way to the phone, both ways in, and what must never happen (PROTOCOL 4 to 6;
//! SECURITY, "Attention and guessing").

#![allow(clippy::unwrap_used, reason = "a test that meets a surprise shall fail at once")]

mod support;

use bloonio_relay_server::storage::db::query;
use std::time::Duration;

use bloonio_wire::clock::Clock;
use bloonio_wire::decision::DeviceSigningKey;
use futures_util::future::join_all;
use rstest::rstest;
use serde_json::{Value, json};

use support::codes::{code_at, wrong_code_at};
use support::{TestAnswer, TestDevice, TestRelay, TestTenant};

const JANE: &str = "jane-0123456789";
const ID: &str = "instruction-1";
const SUBMIT: &str = "/device/submit-response";
const VERIFY: &str = "/relay/sudo/verify-totp";

async fn bank(relay: &TestRelay) -> TestTenant<'_> {
    let fields = json!({
        "tenant_name": "Bank", "branding_display_name": "Bank: of Trust", "rate_limit_per_min": 10_000,
        "device_addition": "open", "callback_url_base": "https://bank.example/api"
    });
    relay.provision_with(fields).await
}

fn seed(device: &TestDevice<'_>) -> String {
    device.registration["totp"]["otpauth_uri"].as_str().unwrap().to_owned()
}

fn has_seed(device: &TestDevice<'_>) -> bool {
    device.registration.get("totp").is_some()
}

/// The code that the device's authenticator shows `offset` seconds from now.
fn code(device: &TestDevice<'_>, offset: i64) -> String {
    code_at(&seed(device), device.relay.clock.now().as_secs() + offset)
}

fn wrong_code(device: &TestDevice<'_>, n: usize) -> String {
    wrong_code_at(&seed(device), device.relay.clock.now().as_secs(), n)
}

async fn ask(bank: &TestTenant<'_>, id: &str) -> TestAnswer {
    let body = json!({
        "user_socket_hash": JANE, "instruction_id": id, "custom_type": "totp", "expected_action": "transfer_funds",
        "backend_url": "https://bank.example"
    });
    bank.post("/relay/send/auth-challenge", body).await
}

/// A bank with a paired phone that has been asked.
async fn asked(relay: &TestRelay) -> (TestTenant<'_>, TestDevice<'_>) {
    let bank = bank(relay).await;
    let registration = bank.pair(JANE).await.registration;
    let sent = ask(&bank, ID).await;
    assert_eq!(sent.status, 200, "{sent:?}");
    (bank, TestDevice::registered(relay, registration))
}

async fn submit(device: &TestDevice<'_>, id: &str, code: &str) -> TestAnswer {
    let body = json!({"instruction_id": id, "approved": true, "custom_type": "totp", "totp_code": code});
    device.post(SUBMIT, body).await
}

async fn verify(bank: &TestTenant<'_>, pairing: &str, code: &str) -> TestAnswer {
    bank.post(VERIFY, json!({"relay_user_linked_id": pairing, "totp": code})).await
}

async fn outcome(bank: &TestTenant<'_>, id: &str) -> Value {
    bank.get(&format!("/relay/fetch/outcome?instruction_id={id}")).await.data().clone()
}

async fn rows(relay: &TestRelay, sql: &'static str) -> i64 {
    query(sql).fetch_one(relay.app.storage.readers()).await.unwrap().at(0).unwrap()
}

#[tokio::test]
async fn the_first_device_of_a_pairing_is_handed_the_seed_and_no_other() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let first = bank.pair(JANE).await;
    let uri = seed(&first);
    assert!(uri.starts_with("otpauth://totp/Bank%20%20of%20Trust:User%20jane-0123456789?"), "{uri}");
    assert!(!has_seed(&bank.pair(JANE).await), "a further device");
    let john = bank.pair("john-0123456789").await;
    assert_ne!(seed(&john), uri, "another user's pairing");
    let again = first.post("/device/refresh-token", json!({})).await;
    assert!(again.data().get("totp").is_none(), "{again:?}");
}

#[tokio::test]
async fn a40_a_device_that_awaits_confirmation_never_gets_the_seed() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let first = bank.pair(JANE).await;
    let waiting = bank.pair(JANE).await;
    assert_eq!(waiting.registration["device_status"], "awaiting_confirmation");
    assert!(!has_seed(&waiting));
    // Nor where there is none yet: the pairing of an older relay.
    query("DELETE FROM totp_seeds").execute(relay.app.storage.writer()).await.unwrap();
    assert!(!has_seed(&bank.pair(JANE).await));
    assert!(has_seed(&first));
    assert_eq!(rows(&relay, "SELECT count(*) FROM totp_seeds").await, 0);
}

#[tokio::test]
async fn a_right_code_approves_and_is_told_as_verified() {
    let relay = TestRelay::new().await;
    let (bank, device) = asked(&relay).await;
    let decided = submit(&device, ID, &code(&device, 0)).await;
    assert_eq!(decided.status, 200, "{decided:?}");
    assert_eq!(decided.data()["approved"], true);
    let event = outcome(&bank, ID).await;
    assert_eq!((&event["approved"], &event["response_data"]["totp_verified"]), (&json!(true), &json!(true)));
    assert!(event["response_data"].get("totp_code").is_none());
    let flow: String = query("SELECT flow FROM deliveries WHERE subject_id = $1")
        .bind(ID)
        .fetch_one(relay.app.storage.readers())
        .await
        .unwrap()
        .at(0)
        .unwrap();
    assert_eq!(flow, "sudo-validated");
}

#[tokio::test]
async fn denying_needs_no_code_and_verifies_none() {
    let relay = TestRelay::new().await;
    let (bank, device) = asked(&relay).await;
    let current = code(&device, 0);
    let body = json!({"instruction_id": ID, "approved": false, "custom_type": "totp", "totp_code": current});
    assert_eq!(device.post(SUBMIT, body).await.status, 200);
    let event = outcome(&bank, ID).await;
    assert_eq!(event["approved"], false);
    assert!(event["response_data"].get("totp_verified").is_none(), "{event}");
    assert_eq!(verify(&bank, device.id("relay_user_linked_id"), &current).await.status, 200, "it was not spent");
}

#[rstest]
#[case::none(json!(null))]
#[case::empty(json!(""))]
#[case::five_digits(json!("12345"))]
#[case::letters(json!("12345a"))]
#[case::blank(json!("123 45"))]
#[case::number(json!(123456))]
#[tokio::test]
async fn a_code_of_the_wrong_shape_is_no_guess(#[case] given: Value) {
    let relay = TestRelay::new().await;
    let (bank, device) = asked(&relay).await;
    for _ in 0..6 {
        let body = json!({"instruction_id": ID, "approved": true, "custom_type": "totp", "totp_code": given});
        let refused = device.post(SUBMIT, body).await;
        refused.expect_error(422, "VALIDATION_FAILED");
        assert_eq!(refused.fields(), ["totp_code"]);
        let pairing = device.id("relay_user_linked_id");
        let refused = bank.post(VERIFY, json!({"relay_user_linked_id": pairing, "totp": given})).await;
        refused.expect_error(422, "VALIDATION_FAILED");
        assert_eq!(refused.fields(), ["totp"]);
    }
    assert_eq!(submit(&device, ID, &code(&device, 0)).await.status, 200);
}

#[tokio::test]
async fn the_third_wrong_code_denies_the_prompt() {
    let relay = TestRelay::new().await;
    let (bank, device) = asked(&relay).await;
    for n in 0..2 {
        submit(&device, ID, &wrong_code(&device, n)).await.expect_error(401, "INVALID_TOTP");
        assert_eq!(outcome(&bank, ID).await["status"], "pending");
    }
    submit(&device, ID, &wrong_code(&device, 2)).await.expect_error(401, "INVALID_TOTP");
    let event = outcome(&bank, ID).await;
    assert_eq!(event["status"], "decided");
    assert_eq!(event["approved"], false);
    assert_eq!(
        event["response_data"],
        json!({"totp_verified": false, "device_id": device.id("device_id")}),
        "and nothing that a device has signed for another answer"
    );
    let flow: String = query("SELECT flow FROM deliveries WHERE subject_id = $1")
        .bind(ID)
        .fetch_one(relay.app.storage.readers())
        .await
        .unwrap()
        .at(0)
        .unwrap();
    assert_eq!(flow, "sudo-rejected");
    submit(&device, ID, &code(&device, 0)).await.expect_error(409, "ALREADY_DECIDED");
    ask(&bank, "instruction-2").await;
    assert_eq!(submit(&device, "instruction-2", &code(&device, 0)).await.status, 200, "the next prompt is another one");
}

#[tokio::test]
async fn a_right_code_after_two_wrong_ones_approves() {
    let relay = TestRelay::new().await;
    let (bank, device) = asked(&relay).await;
    for n in 0..2 {
        submit(&device, ID, &wrong_code(&device, n)).await.expect_error(401, "INVALID_TOTP");
    }
    assert_eq!(submit(&device, ID, &code(&device, 0)).await.status, 200);
    assert_eq!(outcome(&bank, ID).await["approved"], true);
}

#[tokio::test]
async fn a83_one_code_is_good_for_one_prompt() {
    let relay = TestRelay::new().await;
    let (bank, device) = asked(&relay).await;
    ask(&bank, "instruction-2").await;
    let current = code(&device, 0);
    assert_eq!(submit(&device, ID, &current).await.status, 200);
    submit(&device, "instruction-2", &current).await.expect_error(401, "INVALID_TOTP");
    assert_eq!(outcome(&bank, "instruction-2").await["status"], "pending");
    assert_eq!(submit(&device, "instruction-2", &code(&device, 30)).await.status, 200, "the next one passes");
}

#[rstest]
#[case::at_the_phone_first(true)]
#[case::at_the_backend_first(false)]
#[tokio::test]
async fn a83_a_code_works_once_across_both_ways_in(#[case] phone_first: bool) {
    let relay = TestRelay::new().await;
    let (bank, device) = asked(&relay).await;
    let (pairing, current) = (device.id("relay_user_linked_id"), code(&device, 0));
    if phone_first {
        assert_eq!(submit(&device, ID, &current).await.status, 200);
        verify(&bank, pairing, &current).await.expect_error(401, "INVALID_TOTP");
    } else {
        let right = verify(&bank, pairing, &current).await;
        assert_eq!((right.status, right.data()), (200, &json!({"ok": true})));
        submit(&device, ID, &current).await.expect_error(401, "INVALID_TOTP");
        assert_eq!(outcome(&bank, ID).await["status"], "pending");
    }
}

#[tokio::test]
async fn a84_one_code_at_once_on_many_prompts_decides_one() {
    let relay = TestRelay::new().await;
    let (bank, device) = asked(&relay).await;
    let ids: Vec<_> = (0..16).map(|n| format!("instruction-of-many-{n}")).collect();
    for id in &ids {
        assert_eq!(ask(&bank, id).await.status, 200);
    }
    let current = code(&device, 0);
    let answers = join_all(ids.iter().map(|id| submit(&device, id, &current))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{answers:?}");
    let mut approved = 0;
    for id in &ids {
        approved += usize::from(outcome(&bank, id).await["approved"] == true);
    }
    assert_eq!(approved, 1);
}

#[tokio::test]
async fn a84_one_code_at_once_on_one_prompt_decides_once() {
    let relay = TestRelay::new().await;
    let (bank, device) = asked(&relay).await;
    let current = code(&device, 0);
    let answers = join_all((0..16).map(|_| submit(&device, ID, &current))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{answers:?}");
    assert_eq!(outcome(&bank, ID).await["approved"], true, "and no copy of it was counted against the prompt");
}

#[tokio::test]
async fn a_code_is_not_spent_for_a_decision_that_could_not_be_written() {
    let relay = TestRelay::new().await;
    let (bank, device) = asked(&relay).await;
    let (writer, current) = (relay.app.storage.writer(), code(&device, 0));
    query("ALTER TABLE deliveries RENAME TO away").execute(writer).await.unwrap();
    submit(&device, ID, &current).await.expect_error(503, "STORAGE_UNAVAILABLE");
    query("ALTER TABLE away RENAME TO deliveries").execute(writer).await.unwrap();
    assert_eq!(submit(&device, ID, &current).await.status, 200);
    assert_eq!(outcome(&bank, ID).await["approved"], true);
}

#[tokio::test]
async fn a25_a_code_for_a_prompt_that_is_over_is_not_spent() {
    let relay = TestRelay::new().await;
    let (bank, device) = asked(&relay).await;
    let current = code(&device, 0);
    bank.post("/relay/cancel/auth-challenge", json!({"instruction_id": ID})).await;
    submit(&device, ID, &current).await.expect_error(410, "GONE");
    assert_eq!(verify(&bank, device.id("relay_user_linked_id"), &current).await.status, 200);
}

#[tokio::test]
async fn a85_guesses_are_counted_across_prompts_and_both_ways_in() {
    let relay = TestRelay::new().await;
    let (bank, device) = asked(&relay).await;
    let pairing = device.id("relay_user_linked_id");
    for n in 0..4 {
        ask(&bank, &format!("instruction-of-many-{n}")).await;
    }
    for n in 0..4 {
        submit(&device, &format!("instruction-of-many-{n}"), &wrong_code(&device, n))
            .await
            .expect_error(401, "INVALID_TOTP");
    }
    verify(&bank, pairing, &wrong_code(&device, 4)).await.expect_error(401, "INVALID_TOTP");
    for _ in 0..4 {
        for locked in [verify(&bank, pairing, &code(&device, 0)).await, submit(&device, ID, &code(&device, 0)).await] {
            locked.expect_error(429, "RATE_LIMITED");
            assert_eq!(locked.headers["retry-after"], "60", "whatever the code");
        }
    }
    assert_eq!(outcome(&bank, ID).await["status"], "pending", "a locked code is no wrong one");
    relay.clock.advance(Duration::from_secs(59));
    let locked = verify(&bank, pairing, &code(&device, 0)).await;
    locked.expect_error(429, "RATE_LIMITED");
    assert_eq!(locked.headers["retry-after"], "1");
    relay.clock.advance(Duration::from_secs(1));
    assert_eq!(submit(&device, ID, &code(&device, 0)).await.status, 200);
}

#[tokio::test]
async fn a32_the_lock_concerns_codes_alone() {
    let relay = TestRelay::new().await;
    let (bank, device) = asked(&relay).await;
    let john = bank.pair("john-0123456789").await;
    for n in 0..5 {
        verify(&bank, device.id("relay_user_linked_id"), &wrong_code(&device, n))
            .await
            .expect_error(401, "INVALID_TOTP");
    }
    let body = json!({"instruction_id": ID, "approved": false, "custom_type": "totp"});
    assert_eq!(device.post(SUBMIT, body).await.status, 200, "denying");
    let mut other = json!({
        "user_socket_hash": JANE, "instruction_id": "instruction-2", "custom_type": "localAuth",
        "expected_action": "transfer_funds", "backend_url": "https://bank.example"
    });
    assert_eq!(bank.post("/relay/send/auth-challenge", other.take()).await.status, 200, "asking");
    let body = json!({"instruction_id": "instruction-2", "approved": true, "custom_type": "localAuth"});
    assert_eq!(device.post(SUBMIT, body).await.status, 200, "approving otherwise");
    assert_eq!(verify(&bank, john.id("relay_user_linked_id"), &code(&john, 0)).await.status, 200, "somebody else");
}

#[tokio::test]
async fn a66_a_foreign_pairing_is_like_an_unknown_one() {
    let relay = TestRelay::new().await;
    let (_, device) = asked(&relay).await;
    let stranger = relay.provision("Shop").await;
    let current = code(&device, 0);
    let foreign = verify(&stranger, device.id("relay_user_linked_id"), &current).await;
    let unknown = verify(&stranger, &"0".repeat(24), &current).await;
    foreign.expect_error(401, "INVALID_TOTP");
    assert_eq!(foreign.body, unknown.body);
    for _ in 0..7 {
        verify(&stranger, device.id("relay_user_linked_id"), &current).await.expect_error(401, "INVALID_TOTP");
    }
    assert_eq!(submit(&device, ID, &current).await.status, 200, "nor could he spend it, nor lock it");
}

#[tokio::test]
async fn verify_totp_is_a_tenants_call() {
    let relay = TestRelay::new().await;
    let bank = relay.provision_with(json!({"tenant_name": "Bank", "rate_limit_per_min": 5})).await;
    let device = bank.pair(JANE).await;
    let body = json!({"relay_user_linked_id": device.id("relay_user_linked_id"), "totp": code(&device, 0)}).to_string();
    let signed = bank.sign("POST", VERIFY, body.as_bytes());
    let unsigned = signed.clone().without("x-bloonio-signature");
    relay.send(unsigned.request()).await.expect_error(401, "INVALID_SIGNATURE");
    assert_eq!(relay.send(signed.request()).await.status, 200);
    relay.send(signed.request()).await.expect_error(401, "REQUEST_REPLAYED");
    let refused = bank.post(VERIFY, json!({"relay_user_linked_id": "short"})).await;
    assert_eq!(refused.fields(), ["relay_user_linked_id", "totp"]);
    for n in 0..2 {
        verify(&bank, device.id("relay_user_linked_id"), &wrong_code(&device, n))
            .await
            .expect_error(401, "INVALID_TOTP");
    }
    let limited = verify(&bank, device.id("relay_user_linked_id"), "123456").await;
    limited.expect_error(429, "RATE_LIMITED");
    assert_eq!(limited.headers["retry-after"], "12", "the tenant's own bucket");
    relay.operator_post(&format!("/suspend/tenant?tenant_id={}", bank.tenant_id), json!({})).await;
    verify(&bank, device.id("relay_user_linked_id"), "123456").await.expect_error(403, "TENANT_SUSPENDED");
}

#[tokio::test]
async fn a39_revoking_the_pairing_ends_its_codes() {
    let relay = TestRelay::new().await;
    let (bank, device) = asked(&relay).await;
    bank.post("/relay/revoke-pairing", json!({"user_socket_hash": JANE})).await;
    assert_eq!(rows(&relay, "SELECT count(*) FROM totp_seeds").await, 0);
    verify(&bank, device.id("relay_user_linked_id"), &code(&device, 0)).await.expect_error(401, "INVALID_TOTP");
    assert_ne!(seed(&bank.pair(JANE).await), seed(&device));
}

#[tokio::test]
async fn a39_the_seed_ends_with_the_last_device_and_the_next_one_gets_another() {
    let relay = TestRelay::new().await;
    let (bank, first) = asked(&relay).await;
    let second = bank.pair(JANE).await;
    let pairing = first.id("relay_user_linked_id").to_owned();
    first.post("/device/unpair", json!({})).await;
    assert_eq!(verify(&bank, &pairing, &code(&first, 0)).await.status, 200, "one is left who may approve");
    second.post("/device/unpair", json!({})).await;
    verify(&bank, &pairing, &code(&first, 30)).await.expect_error(401, "INVALID_TOTP");
    let third = bank.pair(JANE).await;
    assert_eq!(third.id("relay_user_linked_id"), pairing);
    assert_ne!(seed(&third), seed(&first));
    assert_eq!(submit(&third, ID, &code(&third, 0)).await.status, 200);
}

#[tokio::test]
async fn a41_a_stolen_session_ends_the_pairings_codes() {
    let relay = TestRelay::new().await;
    let (bank, stolen) = asked(&relay).await;
    bank.pair(JANE).await;
    stolen.post("/device/refresh-token", json!({})).await;
    relay.clock.advance(Duration::from_secs(61));
    stolen.get("/device/challenges").await.expect_error(401, "INVALID_DEVICE_TOKEN");
    verify(&bank, stolen.id("relay_user_linked_id"), &code(&stolen, 0)).await.expect_error(401, "INVALID_TOTP");
}

#[tokio::test]
async fn a_prompt_that_no_code_could_approve_is_not_sent() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    ask(&bank, ID).await.expect_error(404, "PAIRING_NOT_FOUND");
    let device = bank.pair(JANE).await;
    query("DELETE FROM totp_seeds").execute(relay.app.storage.writer()).await.unwrap();
    let refused = ask(&bank, ID).await;
    refused.expect_error(422, "VALIDATION_FAILED");
    assert_eq!(refused.fields(), ["custom_type"]);
    assert_eq!(rows(&relay, "SELECT count(*) FROM prompts").await, 0);
    assert!(has_seed(&bank.pair(JANE).await), "the next device that may act gets the seed that is missing");
    assert_eq!(ask(&bank, ID).await.status, 200);
    device.post("/device/unpair", json!({})).await;
}

#[tokio::test]
async fn a62_a_code_does_not_stand_in_for_the_devices_signature() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let key = DeviceSigningKey::from_bytes(&[9; 32]).unwrap();
    let device = bank.pair_with(JANE, json!({"platform": "stream", "device_public_key": key.public()})).await;
    ask(&bank, ID).await;
    let current = code(&device, 0);
    submit(&device, ID, &current).await.expect_error(401, "INVALID_DEVICE_SIGNATURE");
    assert_eq!(verify(&bank, device.id("relay_user_linked_id"), &current).await.status, 200, "nor is it spent");
}

#[tokio::test]
async fn a103_a_code_is_kept_nowhere() {
    let relay = TestRelay::new().await;
    let (bank, device) = asked(&relay).await;
    let (wrong, right) = (wrong_code(&device, 0), code(&device, 0));
    submit(&device, ID, &wrong).await.expect_error(401, "INVALID_TOTP");
    assert_eq!(submit(&device, ID, &right).await.status, 200);
    let event = outcome(&bank, ID).await.to_string();
    let right = format!("\"{right}\"");
    assert!(!event.contains(&right), "{event}");
    let secret = seed(&device);
    let secret = secret.split("secret=").nth(1).unwrap().split('&').next().unwrap();
    for entry in std::fs::read_dir(relay.folder()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for hushed in [right.as_str(), secret] {
            assert!(!bytes.windows(hushed.len()).any(|part| part == hushed.as_bytes()));
        }
    }
}

#[tokio::test]
async fn a42_whoever_begins_anew_after_a_loss_inherits_nothing_of_the_lost_phone() {
    let relay = TestRelay::new().await;
    let (bank, lost) = asked(&relay).await;
    let old_offer = bank.offer_pairing(JANE).await;
    // No device, and nobody without the tenant's secret, can end a pairing or begin a new one.
    let revoke = json!({"user_socket_hash": JANE});
    lost.post("/relay/revoke-pairing", revoke.clone()).await.expect_error(401, "INVALID_SIGNATURE");
    assert_eq!(bank.post("/relay/revoke-pairing", revoke).await.status, 200);
    submit(&lost, ID, &code(&lost, 0)).await.expect_error(401, "INVALID_DEVICE_TOKEN");
    lost.post("/device/refresh-token", json!({})).await.expect_error(401, "INVALID_DEVICE_TOKEN");
    let open = support::caller::bearer("POST", "/device/register-token", &old_offer, r#"{"platform": "stream"}"#);
    relay.send(open).await.expect_error(401, "INVALID_DEVICE_TOKEN");
    // The new pairing is another one, with another seed, and does not see what the old one was asked.
    let new = bank.pair(JANE).await;
    assert_ne!(new.id("relay_user_linked_id"), lost.id("relay_user_linked_id"));
    assert_ne!(seed(&new), seed(&lost));
    assert_eq!(new.get("/device/challenges").await.data()["count"], 0);
    submit(&new, ID, &code(&new, 0)).await.expect_error(404, "NOT_FOUND");
    verify(&bank, new.id("relay_user_linked_id"), &code(&lost, 0)).await.expect_error(401, "INVALID_TOTP");
}
