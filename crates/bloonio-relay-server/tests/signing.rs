//! Who may call as a tenant (PROTOCOL 2; SECURITY, "Signatures and replay"; ATTACKS A60, A61, A66, A101).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says where")]

mod support;

use bloonio_relay_server::storage::db::query;
use std::time::Duration;

use bloonio_wire::clock::Clock;
use bloonio_wire::header::{SIGNATURE, TENANT_ID, TIMESTAMP};
use bloonio_wire::secret::Secret;
use http::Request;
use rstest::rstest;
use serde_json::json;
use support::{Signed, TestRelay, TestTenant};

/// A call that changes something and needs nothing but a signature: 201.
const CHANGE: &str = "/relay/prepare-pairing";
/// A call that only looks: 404 once it is let in, since there is no such prompt.
const LOOK: &str = "/relay/fetch/outcome?instruction_id=nobody-knows";

fn profile() -> Vec<u8> {
    json!({"user_socket_hash": "user-0001", "backend_user_id": "1", "display_name": "Jane", "user_email": "j@example.com"})
        .to_string()
        .into_bytes()
}

/// How many offers the relay has taken: what a refused call must not change.
async fn offers(relay: &TestRelay) -> i64 {
    let sql = "SELECT COUNT(*) FROM pairing_proofs";
    query(sql).fetch_one(relay.app.storage.readers()).await.unwrap().at(0).unwrap()
}

async fn remembered(relay: &TestRelay) -> i64 {
    query("SELECT COUNT(*) FROM replays").fetch_one(relay.app.storage.readers()).await.unwrap().at(0).unwrap()
}

#[tokio::test]
async fn signed_calls_are_let_in() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    assert_eq!(relay.send(bank.sign("POST", CHANGE, &profile()).request()).await.status, 201);
    bank.get(LOOK).await.expect_error(404, "NOT_FOUND");
}

type Spoil = fn(Signed) -> Signed;

#[rstest]
#[case::no_tenant(|call: Signed| call.without(TENANT_ID))]
#[case::no_timestamp(|call: Signed| call.without(TIMESTAMP))]
#[case::no_signature(|call: Signed| call.without(SIGNATURE))]
#[case::tenant_twice(|call: Signed| call.twice(TENANT_ID))]
#[case::timestamp_twice(|call: Signed| call.twice(TIMESTAMP))]
#[case::signature_twice(|call: Signed| call.twice(SIGNATURE))]
#[case::tenant_of_another_form(|call: Signed| call.with(TENANT_ID, "bank"))]
#[case::upper_case_tenant(|call: Signed| { let id = call.header(TENANT_ID).to_uppercase(); call.with(TENANT_ID, id) })]
#[case::unknown_tenant(|call: Signed| call.with(TENANT_ID, "tnt_00000000000000000000000000000000"))]
#[case::timestamp_with_sign(|call: Signed| { let at = format!("+{}", call.header(TIMESTAMP)); call.with(TIMESTAMP, at) })]
#[case::timestamp_with_zeros(|call: Signed| { let at = format!("0{}", call.header(TIMESTAMP)); call.with(TIMESTAMP, at) })]
#[case::timestamp_in_text(|call: Signed| call.with(TIMESTAMP, "2027-01-15T08:00:00Z"))]
#[case::another_timestamp(|call: Signed| { let at: i64 = call.header(TIMESTAMP).parse().unwrap(); call.with(TIMESTAMP, (at + 1).to_string()) })]
#[case::upper_case_signature(|call: Signed| { let tag = call.header(SIGNATURE).to_uppercase(); call.with(SIGNATURE, tag) })]
#[case::short_signature(|call: Signed| { let tag = call.header(SIGNATURE)[..63].to_owned(); call.with(SIGNATURE, tag) })]
#[case::long_signature(|call: Signed| { let tag = format!("{}0", call.header(SIGNATURE)); call.with(SIGNATURE, tag) })]
#[case::prefixed_signature(|call: Signed| { let tag = format!("sha256={}", call.header(SIGNATURE)); call.with(SIGNATURE, tag) })]
#[case::no_hex(|call: Signed| call.with(SIGNATURE, "g".repeat(64)))]
#[case::zeros(|call: Signed| call.with(SIGNATURE, "0".repeat(64)))]
#[case::another_body(|mut call: Signed| { call.body[20] ^= 1; call })]
#[case::longer_body(|mut call: Signed| { call.body.push(b' '); call })]
#[case::no_body(|mut call: Signed| { call.body.clear(); call })]
#[tokio::test]
async fn a60_a_call_that_is_not_signed_right_is_refused_and_changes_nothing(#[case] spoil: Spoil) {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let call = bank.sign("POST", CHANGE, &profile());
    relay.send(spoil(call.clone()).request()).await.expect_error(401, "INVALID_SIGNATURE");
    assert_eq!((offers(&relay).await, remembered(&relay).await), (0, 0));
    // The good call was not burnt by the bad one.
    assert_eq!(relay.send(call.request()).await.status, 201);
}

#[tokio::test]
async fn a101_each_single_bit_of_a_signature_counts() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let call = bank.sign("GET", LOOK, b"");
    for bit in 0..256 {
        let mut tag = hex::decode(call.header(SIGNATURE)).unwrap();
        tag[bit / 8] ^= 1 << (bit % 8);
        let forged = call.clone().with(SIGNATURE, hex::encode(tag));
        relay.send(forged.request()).await.expect_error(401, "INVALID_SIGNATURE");
    }
}

#[tokio::test]
async fn a101_an_unknown_tenant_and_a_wrong_secret_get_the_very_same_answer() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let wrong = TestTenant { secret: Secret::new(format!("sk_{}", "0".repeat(64))), ..bank.clone() };
    let nobody = TestTenant { tenant_id: format!("tnt_{}", "0".repeat(32)), ..bank };
    let (wrong, nobody) = (wrong.get(LOOK).await, nobody.get(LOOK).await);
    wrong.expect_error(401, "INVALID_SIGNATURE");
    assert_eq!((wrong.status, &wrong.text), (nobody.status, &nobody.text));
    let names =
        |answer: &support::TestAnswer| -> Vec<String> { answer.headers.keys().map(ToString::to_string).collect() };
    assert_eq!(names(&wrong), names(&nobody));
}

#[rstest]
#[case(0, true)]
#[case(30_000, true)]
#[case(-30_000, true)]
#[case(30_001, false)]
#[case(-30_001, false)]
#[case(86_400_000, false)]
#[tokio::test]
async fn the_window_is_30_seconds_either_way(#[case] offset_ms: i64, #[case] accepted: bool) {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let at = relay.clock.now().as_millis() + offset_ms;
    let answer = relay.send(bank.sign_at("POST", CHANGE, &profile(), at).request()).await;
    if accepted {
        assert_eq!(answer.status, 201, "{answer:?}");
    } else {
        answer.expect_error(401, "TIMESTAMP_OUT_OF_WINDOW");
    }
}

#[tokio::test]
async fn a61_a_call_that_changes_something_is_accepted_once() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let call = bank.sign("POST", CHANGE, &profile());
    assert_eq!(relay.send(call.request()).await.status, 201);
    for _ in 0..2 {
        relay.send(call.request()).await.expect_error(401, "REQUEST_REPLAYED");
    }
    // Nothing unsigned makes it another call: not the path, not the query, not a further header.
    let elsewhere = Signed { path: "/api/v1/relay/cancel/auth-challenge".to_owned(), ..call.clone() };
    relay.send(elsewhere.request()).await.expect_error(401, "REQUEST_REPLAYED");
    let queried = Signed { path: format!("/api/v1{CHANGE}?again=1"), ..call.clone() };
    relay.send(queried.request()).await.expect_error(401, "REQUEST_REPLAYED");
    assert_eq!(offers(&relay).await, 1);
    // As long as its timestamp is good, it is remembered; after that, the window refuses it.
    relay.clock.advance(Duration::from_secs(30));
    relay.send(call.request()).await.expect_error(401, "REQUEST_REPLAYED");
    relay.clock.advance(Duration::from_secs(31));
    relay.send(call.request()).await.expect_error(401, "TIMESTAMP_OUT_OF_WINDOW");
}

#[tokio::test]
async fn a61_of_any_number_of_equal_calls_at_once_one_is_accepted() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let call = bank.sign("POST", CHANGE, &profile());
    let answers = futures_util::future::join_all((0..64).map(|_| relay.send(call.request()))).await;
    let accepted = answers.iter().filter(|answer| answer.status == 201).count();
    let replayed = answers.iter().filter(|answer| answer.error() == "REQUEST_REPLAYED").count();
    assert_eq!((accepted, replayed, offers(&relay).await), (1, 63, 1));
}

#[tokio::test]
async fn looking_twice_is_no_replay() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let call = bank.sign("GET", LOOK, b"");
    for _ in 0..3 {
        relay.send(call.request()).await.expect_error(404, "NOT_FOUND");
    }
    assert_eq!(remembered(&relay).await, 0);
}

#[tokio::test]
async fn what_was_seen_outlives_a_restart_and_is_swept_after_90_seconds() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    bank.post("/relay/cancel/auth-challenge", json!({"instruction_id": "nobody-knows"})).await;
    assert_eq!(remembered(&relay).await, 1);
    relay.clock.advance(Duration::from_millis(89_999));
    bloonio_relay_server::sweep::sweep(&relay.app).await.unwrap();
    assert_eq!(remembered(&relay).await, 1);
    relay.clock.advance(Duration::from_millis(1));
    bloonio_relay_server::sweep::sweep(&relay.app).await.unwrap();
    assert_eq!(remembered(&relay).await, 0);
}

#[tokio::test]
async fn a_suspended_tenant_is_told_so_only_after_its_signature_has_verified() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let at = |path: &str| format!("{path}?tenant_id={}", bank.tenant_id);
    let suspended = relay.operator_post(&at("/suspend/tenant"), json!({})).await;
    assert_eq!(suspended.data(), &json!({"tenant_id": bank.tenant_id, "status": "suspended"}));
    let call = bank.sign("POST", CHANGE, &profile());
    relay.send(call.request()).await.expect_error(403, "TENANT_SUSPENDED");
    relay.send(call.clone().with(SIGNATURE, "0".repeat(64)).request()).await.expect_error(401, "INVALID_SIGNATURE");
    bank.get(LOOK).await.expect_error(403, "TENANT_SUSPENDED");
    assert_eq!((offers(&relay).await, remembered(&relay).await), (0, 0));
    let active = relay.operator_post(&at("/reactivate/tenant"), json!({})).await;
    assert_eq!(active.data()["status"], "active");
    // Refused before the replay step, so it was not remembered.
    assert_eq!(relay.send(call.request()).await.status, 201);
}

#[tokio::test]
async fn a64_the_old_secret_is_dead_as_soon_as_a_new_one_is_drawn() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let path = format!("/rotate/tenant-secret?tenant_id={}", bank.tenant_id);
    let rotated = relay.operator_post(&path, json!({})).await;
    let mut fields: Vec<_> = rotated.data().as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["rotated_at", "tenant_id", "tenant_secret"]);
    bank.get(LOOK).await.expect_error(401, "INVALID_SIGNATURE");
    let secret = Secret::new(rotated.data()["tenant_secret"].as_str().unwrap());
    TestTenant { secret, ..bank }.get(LOOK).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn a66_one_tenants_secret_signs_for_no_other() {
    let relay = TestRelay::new().await;
    let (bank, shop) = (relay.provision("Bank").await, relay.provision("Shop").await);
    let mixed = TestTenant { tenant_id: bank.tenant_id.clone(), ..shop };
    mixed.get(LOOK).await.expect_error(401, "INVALID_SIGNATURE");
}

#[tokio::test]
async fn the_signature_is_judged_before_the_json_and_the_query() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let noise = bank.sign("POST", CHANGE, b"{");
    relay.send(noise.clone().with(SIGNATURE, "0".repeat(64)).request()).await.expect_error(401, "INVALID_SIGNATURE");
    relay.send(noise.request()).await.expect_error(400, "MALFORMED_REQUEST");
    let query = bank.sign("GET", "/relay/fetch/outcome?instruction_id=%zz", b"");
    relay.send(query.clone().with(SIGNATURE, "0".repeat(64)).request()).await.expect_error(401, "INVALID_SIGNATURE");
    relay.send(query.request()).await.expect_error(400, "MALFORMED_REQUEST");
}

#[tokio::test]
async fn secrets_are_sealed_at_rest() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    relay.app.storage.close().await;
    for entry in std::fs::read_dir(relay.folder()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let secret = bank.secret.as_bytes();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        let raw = hex::decode(&bank.secret.expose()[3..]).unwrap();
        assert!(!bytes.windows(raw.len()).any(|window| window == raw));
    }
}

#[tokio::test]
async fn an_unreachable_storage_lets_nobody_in() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let call = bank.sign("POST", CHANGE, &profile());
    relay.app.storage.close().await;
    let answer = relay.send(call.request()).await;
    answer.expect_error(503, "STORAGE_UNAVAILABLE");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.body["message"], "The storage is not available.");
    let ready = Request::get("/health/ready").body(axum::body::Body::empty()).unwrap();
    relay.send(ready).await.expect_error(503, "STORAGE_UNAVAILABLE");
}

#[tokio::test]
async fn a95_a_clock_that_is_set_back_accepts_nothing_a_second_time() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let call = bank.sign("POST", CHANGE, &profile());
    let then = relay.clock.now();
    assert_eq!(relay.send(call.request()).await.status, 201);
    for back in [1, 20] {
        relay.clock.set(then.minus(Duration::from_secs(back)));
        bloonio_relay_server::sweep::sweep(&relay.app).await.unwrap();
        let again = relay.send(call.request()).await;
        assert!(matches!(again.error(), "REQUEST_REPLAYED" | "TIMESTAMP_OUT_OF_WINDOW"), "{again:?}");
    }
    assert_eq!(offers(&relay).await, 1);
}
