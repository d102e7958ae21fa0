//! Pairing: offers, proofs, revocation (PROTOCOL 4).

#![allow(clippy::unwrap_used, reason = "a test that meets a surprise shall fail at once")]

mod support;

use bloonio_relay_server::storage::db::{Row, query};
use std::time::Duration;

use bloonio_wire::qr::PairingUri;
use rstest::rstest;
use serde_json::{Value, json};

use support::caller::bearer;
use support::database::birth_order;
use support::{TestAnswer, TestDevice, TestRelay, TestTenant};

const JANE: &str = "jane-0123456789";

async fn register(relay: &TestRelay, proof: &str, body: Value) -> TestAnswer {
    relay.send(bearer("POST", "/device/register-token", proof, body.to_string())).await
}

fn stream() -> Value {
    json!({"platform": "stream"})
}

/// Flow and payload of every callback, in the order in which the relay wrote them.
async fn callbacks(relay: &TestRelay) -> Vec<(String, Value)> {
    let storage = &relay.app.storage;
    let sql = format!("SELECT flow, payload FROM deliveries ORDER BY created_at, {}", birth_order(storage));
    let rows = query(sql).fetch_all(storage.readers()).await.unwrap();
    let payload = |row: &Row| serde_json::from_str(&row.at::<String>(1).unwrap()).unwrap();
    rows.iter().map(|row| (row.at(0).unwrap(), payload(row))).collect()
}

async fn bank_with_callbacks(relay: &TestRelay) -> TestTenant<'_> {
    let fields =
        json!({"tenant_name": "Bank", "rate_limit_per_min": 10_000, "callback_url_base": "https://bank.example/api/"});
    relay.provision_with(fields).await
}

#[tokio::test]
async fn an_offer_is_a_proof_and_an_address_that_holds_it() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let profile =
        json!({"user_socket_hash": JANE, "backend_user_id": "7", "display_name": "Jane", "user_phone": "+1 5"});
    let answer = bank.post("/relay/prepare-pairing", profile).await;
    assert_eq!(answer.status, 201);
    let offer = answer.data();
    assert_eq!(offer["expires_in"], 300);
    let uri = PairingUri::parse(offer["pairing_uri"].as_str().unwrap()).unwrap();
    assert_eq!(uri.proof.expose(), offer["pairing_proof"]);
    assert_eq!(uri.relay.as_str(), "http://127.0.0.1:8700/");
}

#[rstest]
#[case::nothing(json!({}), &["user_socket_hash", "backend_user_id", "display_name", "user_email"])]
#[case::no_object(json!([]), &[""])]
#[case::wrong_types(
    json!({"user_socket_hash": 1, "backend_user_id": 2, "display_name": [], "user_email": {}, "first_name": false}),
    &["user_socket_hash", "backend_user_id", "display_name", "user_email", "first_name"]
)]
#[case::no_address(json!({"user_socket_hash": JANE, "backend_user_id": "7", "display_name": "Jane"}), &["user_email"])]
#[case::null_is_absent(
    json!({"user_socket_hash": JANE, "backend_user_id": "7", "display_name": "Jane", "user_email": null}), &["user_email"]
)]
#[case::odd_values(
    json!({"user_socket_hash": "a b", "backend_user_id": "", "display_name": "", "user_email": "jane", "user_phone": "no",
           "last_name": "", "display_logo_url": "http://bank.example/logo.png"}),
    &["user_socket_hash", "backend_user_id", "display_name", "user_email", "user_phone", "last_name", "display_logo_url"]
)]
#[tokio::test]
async fn an_offer_names_every_broken_rule(#[case] body: Value, #[case] fields: &[&str]) {
    let relay = TestRelay::new().await;
    let answer = relay.provision("Bank").await.post("/relay/prepare-pairing", body).await;
    answer.expect_error(422, "VALIDATION_FAILED");
    assert_eq!(answer.fields(), fields);
}

#[tokio::test]
async fn a_registration_tells_the_device_its_pairing() {
    let relay = TestRelay::new().await;
    let bank = relay.provision_with(json!({"tenant_name": "Bank plc", "branding_display_name": "Bank"})).await;
    let answer = register(&relay, &bank.offer_pairing(JANE).await, stream()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let data = answer.data();
    assert_eq!((&data["expires_in"], &data["device_status"]), (&json!(2_592_000), &json!("active")));
    let pairing = &data["pairing"];
    assert_eq!(pairing["tenant_id"], bank.tenant_id);
    assert_eq!(pairing["tenant_name"], "Bank");
    assert_eq!(pairing["user_socket_hash"], JANE);
    assert_eq!(pairing["display_name"], format!("User {JANE}"));
    assert_eq!(pairing["display_logo_url"], Value::Null);
    for id in ["relay_user_linked_id", "device_id"] {
        let id = pairing[id].as_str().unwrap();
        assert!(id.len() == 24 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{id}");
    }
}

#[tokio::test]
async fn a_proof_works_once_even_for_many_at_the_same_time() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let proof = bank.offer_pairing(JANE).await;
    let tries = (0..16).map(|_| register(&relay, &proof, stream()));
    let answers = futures_util::future::join_all(tries).await;
    let (paired, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!(paired.len(), 1);
    refused.iter().for_each(|answer| answer.expect_error(409, "PAIRING_PROOF_USED"));
    let devices: i64 =
        query("SELECT count(*) FROM devices").fetch_one(relay.app.storage.readers()).await.unwrap().at(0).unwrap();
    assert_eq!(devices, 1);
}

#[tokio::test]
async fn a_new_proof_voids_the_older_one_of_that_user_alone() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let (old, johns) = (bank.offer_pairing(JANE).await, bank.offer_pairing("john-0123456789").await);
    let new = bank.offer_pairing(JANE).await;
    register(&relay, &old, stream()).await.expect_error(401, "INVALID_DEVICE_TOKEN");
    assert_eq!(register(&relay, &new, stream()).await.status, 201);
    assert_eq!(register(&relay, &johns, stream()).await.status, 201);
}

#[rstest]
#[case(299_999, true)]
#[case(300_000, false)]
#[tokio::test]
async fn a_proof_lives_for_300_seconds(#[case] millis: u64, #[case] holds: bool) {
    let relay = TestRelay::new().await;
    let proof = relay.provision("Bank").await.offer_pairing(JANE).await;
    relay.clock.advance(Duration::from_millis(millis));
    let answer = register(&relay, &proof, stream()).await;
    if holds {
        assert_eq!(answer.status, 201, "{answer:?}");
    } else {
        answer.expect_error(401, "INVALID_DEVICE_TOKEN");
    }
}

#[tokio::test]
async fn what_a_proof_says_of_people_is_forgotten_with_its_end() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let (offer, used) = (bank.offer_pairing(JANE).await, bank.pair("john-0123456789").await);
    let kept = || query("SELECT count(*) FROM pairing_proofs").fetch_value::<i64>(relay.app.storage.readers());
    relay.clock.advance(Duration::from_millis(299_999));
    bloonio_relay_server::sweep::sweep(&relay.app).await.unwrap();
    assert_eq!(kept().await.unwrap(), Some(2));
    relay.clock.advance(Duration::from_millis(1));
    bloonio_relay_server::sweep::sweep(&relay.app).await.unwrap();
    assert_eq!(kept().await.unwrap(), Some(0));
    register(&relay, &offer, stream()).await.expect_error(401, "INVALID_DEVICE_TOKEN");
    assert_eq!(used.get("/device/challenges").await.status, 200);
}

#[tokio::test]
async fn a_refused_registration_leaves_the_proof_good() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let proof = bank.offer_pairing(JANE).await;
    register(&relay, &proof, json!({"platform": "toaster"})).await.expect_error(422, "VALIDATION_FAILED");
    let id = &bank.tenant_id;
    relay.operator_post(&format!("/suspend/tenant?tenant_id={id}"), json!({})).await;
    register(&relay, &proof, stream()).await.expect_error(403, "TENANT_SUSPENDED");
    relay.operator_post(&format!("/reactivate/tenant?tenant_id={id}"), json!({})).await;
    assert_eq!(register(&relay, &proof, stream()).await.status, 201);
}

#[tokio::test]
async fn a_failed_write_registers_nothing() {
    let relay = TestRelay::new().await;
    let bank = bank_with_callbacks(&relay).await;
    let proof = bank.offer_pairing(JANE).await;
    let writer = relay.app.storage.writer();
    query("ALTER TABLE deliveries RENAME TO away").execute(writer).await.unwrap();
    let answer = register(&relay, &proof, stream()).await;
    answer.expect_error(503, "STORAGE_UNAVAILABLE");
    assert!(!answer.header("retry-after").is_empty());
    query("ALTER TABLE away RENAME TO deliveries").execute(writer).await.unwrap();
    let left: i64 = query(
        "SELECT (SELECT count(*) FROM devices) + (SELECT count(*) FROM pairings) \
         + (SELECT count(*) FROM pairing_proofs WHERE consumed_at IS NOT NULL)",
    )
    .fetch_one(relay.app.storage.readers())
    .await
    .unwrap()
    .at(0)
    .unwrap();
    assert_eq!(left, 0, "nothing half-written");
    assert_eq!(register(&relay, &proof, stream()).await.status, 201);
}

#[tokio::test]
async fn the_backend_is_told_of_the_first_device_and_of_further_ones() {
    let relay = TestRelay::new().await;
    let bank = bank_with_callbacks(&relay).await;
    let first = bank.pair(JANE).await;
    let second = bank.pair(JANE).await;
    let told = callbacks(&relay).await;
    let flows: Vec<_> = told.iter().map(|(flow, _)| flow.as_str()).collect();
    assert_eq!(flows, ["pairing-completed", "device-added"]);
    for ((_, event), (device, status)) in told.iter().zip([(&first, "active"), (&second, "awaiting_confirmation")]) {
        assert_eq!(event["tenant_id"], bank.tenant_id);
        assert_eq!(event["user_socket_hash"], JANE);
        assert_eq!(event["backend_user_id"], format!("id-of-{JANE}"));
        assert_eq!(event["relay_user_linked_id"], first.id("relay_user_linked_id"));
        assert_eq!(event["device_id"], device.id("device_id"));
        assert_eq!(event["device_status"], status);
    }
    let sql = format!("SELECT url FROM deliveries ORDER BY created_at, {}", birth_order(&relay.app.storage));
    let urls = query(sql).fetch_all(relay.app.storage.readers()).await.unwrap();
    let urls: Vec<String> = urls.iter().map(|row| row.at(0).unwrap()).collect();
    assert_eq!(
        urls,
        [
            "https://bank.example/api/relay-callbacks/pairing-completed",
            "https://bank.example/api/relay-callbacks/device-added"
        ]
    );
}

#[tokio::test]
async fn a_tenant_without_an_address_is_told_nothing() {
    let relay = TestRelay::new().await;
    relay.provision("Bank").await.pair(JANE).await;
    assert_eq!(callbacks(&relay).await, []);
}

#[tokio::test]
async fn revoking_ends_pairing_devices_and_open_offers_at_once() {
    let relay = TestRelay::new().await;
    let bank = relay.provision_with(json!({"tenant_name": "Bank", "device_addition": "open"})).await;
    let (a, b) = (bank.pair(JANE).await, bank.pair(JANE).await);
    let offer = bank.offer_pairing(JANE).await;
    let body = json!({"user_socket_hash": JANE});
    let revoked = bank.post("/relay/revoke-pairing", body.clone()).await;
    assert_eq!(revoked.data()["devices_removed"], 2);
    assert_eq!(revoked.data()["relay_user_linked_id"], a.id("relay_user_linked_id"));
    for device in [&a, &b] {
        device.get("/device/challenges").await.expect_error(401, "INVALID_DEVICE_TOKEN");
        device.post("/device/refresh-token", json!({})).await.expect_error(401, "INVALID_DEVICE_TOKEN");
    }
    register(&relay, &offer, stream()).await.expect_error(401, "INVALID_DEVICE_TOKEN");
    bank.post("/relay/revoke-pairing", body).await.expect_error(404, "PAIRING_NOT_FOUND");
    let again = bank.pair(JANE).await;
    assert_ne!(again.id("relay_user_linked_id"), a.id("relay_user_linked_id"));
    assert_eq!(again.registration["device_status"], "active");
}

#[rstest]
#[case(json!({}), &["user_socket_hash"])]
#[case(json!({"user_socket_hash": "x"}), &["user_socket_hash"])]
#[case(json!({"user_socket_hash": JANE, "all": true}), &["all"])]
#[tokio::test]
async fn revoking_knows_one_field_only(#[case] body: Value, #[case] fields: &[&str]) {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let device = bank.pair(JANE).await;
    let answer = bank.post("/relay/revoke-pairing", body).await;
    answer.expect_error(422, "VALIDATION_FAILED");
    assert_eq!(answer.fields(), fields);
    assert_eq!(device.get("/device/challenges").await.status, 200);
}

#[tokio::test]
async fn a_pairing_outlives_its_last_device_and_takes_over_the_newest_profile() {
    let relay = TestRelay::new().await;
    let bank = bank_with_callbacks(&relay).await;
    let first = bank.pair(JANE).await;
    assert_eq!(first.post("/device/unpair", json!({})).await.status, 200);
    let profile = json!({"user_socket_hash": JANE, "backend_user_id": "8", "display_name": "Jane B", "user_email": "j@x.example"});
    let offer = bank.post("/relay/prepare-pairing", profile).await;
    let proof = offer.data()["pairing_proof"].as_str().unwrap().to_owned();
    let second = TestDevice::registered(&relay, register(&relay, &proof, stream()).await.data().clone());
    assert_eq!(second.id("relay_user_linked_id"), first.id("relay_user_linked_id"));
    assert_eq!(second.id("display_name"), "Jane B");
    assert_eq!(second.registration["device_status"], "active", "nobody is there to confirm it");
    let (flow, event) = callbacks(&relay).await.pop().unwrap();
    assert_eq!((flow.as_str(), &event["backend_user_id"]), ("pairing-completed", &json!("8")));
}

#[tokio::test]
async fn a66_the_same_handle_with_two_tenants_is_two_pairings() {
    let relay = TestRelay::new().await;
    let (bank, shop) = (relay.provision("Bank").await, relay.provision("Shop").await);
    let (at_bank, at_shop) = (bank.pair(JANE).await, shop.pair(JANE).await);
    assert_ne!(at_bank.id("relay_user_linked_id"), at_shop.id("relay_user_linked_id"));
    assert_eq!(at_shop.registration["device_status"], "active", "another tenant's device is nobody's to confirm");
    let revoked = shop.post("/relay/revoke-pairing", json!({"user_socket_hash": JANE})).await;
    assert_eq!(revoked.data()["devices_removed"], 1);
    assert_eq!(at_bank.get("/device/challenges").await.status, 200);
    shop.post("/relay/revoke-pairing", json!({"user_socket_hash": JANE})).await.expect_error(404, "PAIRING_NOT_FOUND");
}
