//! Prompts and alerts: sending, withdrawing, looking at them, delivery status (PROTOCOL 5).

#![allow(clippy::unwrap_used, reason = "a test that meets a surprise shall fail at once")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bloonio_relay_server::push::{AddressVerdict, PushFailure, PushKind, PushOutcome, Retry};
use bloonio_relay_server::storage::db::query;
use rstest::rstest;
use serde_json::{Value, json};

use support::{RecordingSender, TestAnswer, TestRelay, TestTenant};

const JANE: &str = "jane-0123456789";
const JOHN: &str = "john-0123456789";
const SEND: &str = "/relay/send/auth-challenge";
const CANCEL: &str = "/relay/cancel/auth-challenge";
const ALERT: &str = "/relay/send/security-alert";

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

fn prompt_with(changes: Value) -> Value {
    let mut body = prompt("instruction-1");
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn alert(id: &str) -> Value {
    json!({"user_socket_hash": JANE, "notification_id": id, "title": "New sign-in", "body": "From Lisbon", "kind": "sign_in"})
}

fn phone(token: &str) -> Value {
    json!({"platform": "android", "fcm_token": token})
}

fn failed(error: &'static str, retry: Retry) -> PushOutcome {
    PushOutcome::Failed(PushFailure { error, address: AddressVerdict::Keep, retry })
}

async fn delivery_status(bank: &TestTenant<'_>, id: &str) -> TestAnswer {
    bank.get(&format!("/relay/fetch/delivery-status?instruction_id={id}")).await
}

async fn rows(relay: &TestRelay, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    query(sql).fetch_one(relay.app.storage.readers()).await.unwrap().at(0).unwrap()
}

#[rstest]
#[case::no_object(json!("x"), &[""])]
#[case::nothing(
    json!({}), &["user_socket_hash", "instruction_id", "custom_type", "expected_action", "backend_url"]
)]
#[case::unknown_type(prompt_with(json!({"custom_type": "telepathy"})), &["custom_type"])]
#[case::odd_ids(prompt_with(json!({"user_socket_hash": "a b", "instruction_id": "short"})), &["user_socket_hash", "instruction_id"])]
#[case::odd_backend(prompt_with(json!({"backend_url": "bank"})), &["backend_url"])]
#[case::ftp_backend(prompt_with(json!({"backend_url": "ftp://bank.example"})), &["backend_url"])]
#[case::life_too_short(prompt_with(json!({"ttl_seconds": 9})), &["ttl_seconds"])]
#[case::life_too_long(prompt_with(json!({"ttl_seconds": 601})), &["ttl_seconds"])]
#[case::life_as_text(prompt_with(json!({"ttl_seconds": "60"})), &["ttl_seconds"])]
#[case::numbers_of_another_type(prompt_with(json!({"numbers": [1, 2, 3]})), &["numbers"])]
#[case::two_numbers(prompt_with(json!({"custom_type": "goldenNumber", "numbers": [1, 2]})), &["numbers"])]
#[case::six_numbers(prompt_with(json!({"custom_type": "goldenNumber", "numbers": [1, 2, 3, 4, 5, 6]})), &["numbers"])]
#[case::same_numbers(prompt_with(json!({"custom_type": "goldenNumber", "numbers": [1, 2, 1]})), &["numbers"])]
#[case::no_integers(
    prompt_with(json!({"custom_type": "goldenNumber", "numbers": [1, "2", 3.5]})), &["numbers[1]", "numbers[2]"]
)]
#[case::display(
    prompt_with(json!({"display": {"title": "", "subtitle": 1, "fields": [
        {"key": "a", "title": "A", "value": "v", "data_type": "RAW_TEXT"}, {"key": "b", "title": "B", "data_type": "NOPE"}
    ]}})),
    &["display.title", "display.subtitle", "display.fields[1].value", "display.fields[1].data_type"]
)]
#[case::callback_elsewhere(prompt_with(json!({"callback_url": "https://evil.example/cb"})), &["callback_url"])]
#[case::callback_on_another_port(prompt_with(json!({"callback_url": "https://bank.example:8443/cb"})), &["callback_url"])]
#[case::callback_in_the_clear(prompt_with(json!({"callback_url": "http://bank.example/cb"})), &["callback_url"])]
#[case::callback_with_a_user(prompt_with(json!({"callback_url": "https://bank.example@evil.example/"})), &["callback_url"])]
#[case::callback_below_a_look_alike(prompt_with(json!({"callback_url": "https://bank.example.evil.example/"})), &["callback_url"])]
#[tokio::test]
async fn a_prompt_names_every_broken_rule_and_writes_nothing(#[case] body: Value, #[case] fields: &[&str]) {
    let relay = TestRelay::new().await;
    let bank =
        relay.provision_with(json!({"tenant_name": "Bank", "callback_url_base": "https://bank.example/x"})).await;
    bank.pair(JANE).await;
    let answer = bank.post(SEND, body).await;
    answer.expect_error(422, "VALIDATION_FAILED");
    assert_eq!(answer.fields(), fields);
    assert_eq!(rows(&relay, "prompts").await, 0);
}

#[rstest]
#[case::bare(json!({}))]
#[case::shortest(json!({"ttl_seconds": 10}))]
#[case::longest(json!({"ttl_seconds": 600}))]
#[case::to_type(json!({"custom_type": "goldenNumber"}))]
#[case::to_pick(json!({"custom_type": "goldenNumber", "numbers": [17, 42, 88], "mode": "strict"}))]
#[case::callback(json!({"callback_url": "https://bank.example/cb?x=1"}))]
#[case::nulls_are_absent(json!({"description": null, "ttl_seconds": null, "numbers": null, "display": null}))]
#[case::unknown_fields_are_ignored(json!({"tenant_id": "tnt_other", "new": {}}))]
#[tokio::test]
async fn a_good_prompt_is_taken(#[case] changes: Value) {
    let relay = TestRelay::new().await;
    let bank =
        relay.provision_with(json!({"tenant_name": "Bank", "callback_url_base": "https://bank.example/x"})).await;
    let device = bank.pair(JANE).await;
    let answer = bank.post(SEND, prompt_with(changes)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.data()["instruction_id"], "instruction-1");
    assert_eq!((&answer.data()["delivered_count"], &answer.data()["failed_count"]), (&json!(1), &json!(0)));
    assert_eq!((&answer.data()["fcm_message_ids"], &answer.data()["failed_tokens_sample"]), (&json!([]), &json!([])));
    assert_eq!(answer.data()["sent_at"], "2027-01-15T08:00:00.000Z");
    assert_eq!(device.get("/device/challenges").await.data()["count"], 1);
}

#[tokio::test]
async fn a_callback_address_needs_a_base_to_share_its_origin_with() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    bank.pair(JANE).await;
    let answer = bank.post(SEND, prompt_with(json!({"callback_url": "https://bank.example/cb"}))).await;
    answer.expect_error(422, "VALIDATION_FAILED");
    assert_eq!(answer.fields(), ["callback_url"]);
}

#[tokio::test]
async fn whom_it_does_not_know_or_cannot_reach_the_relay_says() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    bank.post(SEND, prompt("instruction-1")).await.expect_error(404, "PAIRING_NOT_FOUND");
    bank.post(ALERT, alert("notice-1")).await.expect_error(404, "PAIRING_NOT_FOUND");
    bank.offer_pairing(JANE).await;
    bank.post(SEND, prompt("instruction-1")).await.expect_error(404, "PAIRING_NOT_FOUND");
    let device = bank.pair(JANE).await;
    device.post("/device/unpair", json!({})).await;
    bank.post(SEND, prompt("instruction-1")).await.expect_error(404, "NO_DEVICE");
    bank.post(ALERT, alert("notice-1")).await.expect_error(404, "NO_DEVICE");
    assert_eq!((rows(&relay, "prompts").await, rows(&relay, "alerts").await, rows(&relay, "pushes").await), (0, 0, 0));
}

#[tokio::test]
async fn the_answer_counts_what_each_device_came_to() {
    let (relay, sender) = with_sender().await;
    let fields = json!({"tenant_name": "Bank", "rate_limit_per_min": 10_000, "device_addition": "open"});
    let bank = relay.provision_with(fields).await;
    bank.pair(JANE).await;
    bank.pair_with(JANE, phone("good-token-0123456789")).await;
    assert_eq!(sender.sent().len(), 0, "nobody to tell by push before the second phone");
    sender.will_answer(failed("invalid_argument", Retry::Never));
    let answer = bank.post(SEND, prompt("instruction-1")).await;
    let data = answer.data();
    assert_eq!((&data["delivered_count"], &data["failed_count"]), (&json!(1), &json!(1)));
    assert_eq!(data["failed_tokens_sample"], json!(["good-token-0"]));
    let second = bank.post(SEND, prompt("instruction-2")).await;
    assert_eq!(second.data()["fcm_message_ids"], json!(["projects/test/messages/2"]));
}

#[tokio::test]
async fn a_prompt_that_reaches_nobody_is_502_with_its_counts_repeated_too() {
    let (relay, sender) = with_sender().await;
    let bank = relay.provision("Bank").await;
    bank.pair_with(JANE, phone("token-0123456789")).await;
    sender.will_answer(failed("invalid_argument", Retry::Never));
    let answer = bank.post(SEND, prompt("instruction-1")).await;
    answer.expect_error(502, "PUSH_NOT_DELIVERED");
    assert_eq!((&answer.body["data"]["delivered_count"], &answer.body["data"]["failed_count"]), (&json!(0), &json!(1)));
    assert_eq!(bank.post(SEND, prompt("instruction-1")).await.body, answer.body);
    assert_eq!(sender.sent().len(), 1);
    assert_eq!(delivery_status(&bank, "instruction-1").await.data()["status"], "failed");
}

#[tokio::test]
async fn a_push_holds_names_and_no_content() {
    let (relay, sender) = with_sender().await;
    let bank = relay.provision("Bank").await;
    bank.pair_with(JANE, phone("token")).await;
    bank.post(SEND, prompt_with(json!({"description": "Pay 1000.00", "response_token": "response-secret"}))).await;
    let push = &sender.sent()[0];
    assert_eq!((push.kind, push.subject_id.as_str()), (PushKind::AuthChallenge, "instruction-1"));
    assert_eq!(push.expires_at, support::START.plus(Duration::from_secs(180)));
    let all = format!("{push:?}");
    assert!(!all.contains("1000.00") && !all.contains("response-secret"), "{all}");
}

#[tokio::test]
async fn the_same_prompt_again_is_answered_as_before_and_pushed_once() {
    let (relay, sender) = with_sender().await;
    let bank = relay.provision("Bank").await;
    bank.pair_with(JANE, phone("token")).await;
    let body = prompt_with(json!({"display": {"title": "Transfer"}, "ttl_seconds": 60}));
    let first = bank.post(SEND, body.clone()).await;
    relay.clock.advance(Duration::from_secs(5));
    assert_eq!(bank.post(SEND, body.clone()).await.body, first.body);
    // The order of fields means nothing in JSON.
    let reordered = r#"{"ttl_seconds":60,"display":{"title":"Transfer"},"backend_url":"https://bank.example",
        "expected_action":"transfer_funds","custom_type":"localAuth","instruction_id":"instruction-1",
        "user_socket_hash":"jane-0123456789"}"#;
    let again = relay.send(bank.sign("POST", SEND, reordered.as_bytes()).request()).await;
    assert_eq!(again.body, first.body);
    for (name, value) in [
        ("ttl_seconds", json!(61)),
        ("expected_action", json!("x")),
        ("display", json!({"title": "Transfer "})),
        ("user_socket_hash", json!(JOHN)),
        ("response_token", json!("t")),
    ] {
        let mut other = body.clone();
        other[name] = value;
        bank.post(SEND, other).await.expect_error(409, "IDEMPOTENCY_CONFLICT");
    }
    assert_eq!((sender.sent().len(), rows(&relay, "prompts").await), (1, 1));
    // The memory outlives the prompt, its device and its pairing.
    relay.clock.advance(Duration::from_secs(3600));
    bank.post("/relay/revoke-pairing", json!({"user_socket_hash": JANE})).await;
    assert_eq!(bank.post(SEND, body).await.body, first.body);
}

#[tokio::test]
async fn many_equal_sends_at_once_are_one_prompt_and_one_push() {
    let (relay, sender) = with_sender().await;
    let bank = relay.provision("Bank").await;
    bank.pair_with(JANE, phone("token")).await;
    let answers = futures_util::future::join_all((0..32).map(|_| bank.post(SEND, prompt("instruction-1")))).await;
    for answer in &answers {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body, answers[0].body);
    }
    assert_eq!((sender.sent().len(), rows(&relay, "prompts").await, rows(&relay, "pushes").await), (1, 1, 1));
}

#[tokio::test]
async fn different_sends_under_one_name_at_once_leave_one_prompt() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let device = bank.pair(JANE).await;
    let sends = (0..16).map(|i| bank.post(SEND, prompt_with(json!({"expected_action": format!("action-{i}")}))));
    let answers = futures_util::future::join_all(sends).await;
    let (taken, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!(taken.len(), 1);
    refused.iter().for_each(|answer| answer.expect_error(409, "IDEMPOTENCY_CONFLICT"));
    assert_eq!(device.get("/device/challenges").await.data()["count"], 1);
}

#[tokio::test]
async fn a_failed_write_leaves_no_prompt_behind() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let device = bank.pair(JANE).await;
    let writer = relay.app.storage.writer();
    query("ALTER TABLE pushes RENAME TO away").execute(writer).await.unwrap();
    bank.post(SEND, prompt("instruction-1")).await.expect_error(503, "STORAGE_UNAVAILABLE");
    query("ALTER TABLE away RENAME TO pushes").execute(writer).await.unwrap();
    assert_eq!(device.get("/device/challenges").await.data()["count"], 0);
    assert_eq!(bank.post(SEND, prompt("instruction-1")).await.status, 200);
}

#[tokio::test]
async fn a30_thirty_unanswered_prompts_in_ten_minutes_are_enough() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let device = bank.pair(JANE).await;
    bank.pair(JOHN).await;
    assert_eq!(bank.post(SEND, prompt("instruction-answered")).await.status, 200);
    let answer = json!({"instruction_id": "instruction-answered", "approved": true, "custom_type": "localAuth"});
    assert_eq!(device.post("/device/submit-response", answer).await.status, 200);
    for i in 0..30 {
        let answer = bank.post(SEND, prompt(&format!("instruction-{i}"))).await;
        assert_eq!(answer.status, 200, "{i}: {answer:?}");
        relay.clock.advance(Duration::from_secs(1));
    }
    // Withdrawing does not wash them away.
    bank.post(CANCEL, json!({"instruction_id": "instruction-5"})).await;
    let refused = bank.post(SEND, prompt("instruction-30")).await;
    refused.expect_error(429, "RATE_LIMITED");
    assert_eq!(refused.header("retry-after"), "570");
    assert_eq!(bank.post(SEND, prompt("instruction-3")).await.status, 200, "a repeated one asks nobody anew");
    let mut johns = prompt("instruction-31");
    johns["user_socket_hash"] = json!(JOHN);
    assert_eq!(bank.post(SEND, johns).await.status, 200, "another's attention is his own");
    relay.clock.advance(Duration::from_millis(569_999));
    bank.post(SEND, prompt("instruction-30")).await.expect_error(429, "RATE_LIMITED");
    relay.clock.advance(Duration::from_millis(1));
    assert_eq!(bank.post(SEND, prompt("instruction-30")).await.status, 200);
}

#[tokio::test]
async fn a_device_sees_its_open_prompts_whole_and_newest_first() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let device = bank.pair(JANE).await;
    let fields = json!([{"key": "amount", "title": "Amount", "value": "1000.00", "data_type": "CURRENCY_USD"}]);
    let body = prompt_with(json!({
        "custom_type": "goldenNumber", "numbers": [17, 42, 88], "description": "Pay", "response_token": "token",
        "challenge_digest": "digest", "display": {"title": "Transfer", "subtitle": "to ACME", "fields": fields}
    }));
    bank.post(SEND, body).await;
    relay.clock.advance(Duration::from_secs(1));
    bank.post(SEND, prompt("instruction-2")).await;
    let list = device.get("/device/challenges").await;
    assert_eq!(list.data()["count"], 2);
    assert_eq!(list.data()["items"][0]["instruction_id"], "instruction-2");
    assert_eq!(
        list.data()["items"][1],
        json!({
            "instruction_id": "instruction-1", "tenant_id": bank.tenant_id, "tenant_name": "Bank",
            "custom_type": "goldenNumber", "expected_action": "transfer_funds", "description": "Pay",
            "display": {"title": "Transfer", "subtitle": "to ACME", "fields": fields}, "numbers": [17, 42, 88],
            "challenge_digest": "digest", "created_at": "2027-01-15T08:00:00.000Z",
            "expires_at": "2027-01-15T08:03:00.000Z", "status": "pending"
        })
    );
    relay.clock.advance(Duration::from_millis(178_999));
    assert_eq!(device.get("/device/challenges").await.data()["count"], 2);
    relay.clock.advance(Duration::from_millis(1));
    assert_eq!(device.get("/device/challenges").await.data()["count"], 1, "the end is exclusive");
}

#[tokio::test]
async fn a_fetched_prompt_brings_the_response_token_while_it_is_open_and_is_seen() {
    let (relay, _) = with_sender().await;
    let bank = relay.provision("Bank").await;
    let device = bank.pair_with(JANE, phone("token")).await;
    bank.post(SEND, prompt_with(json!({"response_token": "response-secret"}))).await;
    assert_eq!(delivery_status(&bank, "instruction-1").await.data()["devices"][0]["seen_at"], Value::Null);
    assert!(!device.get("/device/challenges").await.text.contains("response-secret"));
    relay.clock.advance(Duration::from_secs(2));
    let fetched = device.get("/device/challenges/instruction-1").await;
    assert_eq!(fetched.data()["response_token"], "response-secret");
    assert_eq!(fetched.data()["backend_url"], "https://bank.example");
    relay.clock.advance(Duration::from_secs(2));
    device.get("/device/challenges/instruction-1").await;
    let seen = &delivery_status(&bank, "instruction-1").await.data()["devices"][0]["seen_at"].clone();
    assert_eq!(seen, "2027-01-15T08:00:02.000Z", "the first look counts");
    bank.post(CANCEL, json!({"instruction_id": "instruction-1"})).await;
    let over = device.get("/device/challenges/instruction-1").await;
    assert_eq!(over.data()["status"], "cancelled");
    assert!(over.data().get("response_token").is_none() && over.data().get("backend_url").is_none());
}

#[rstest]
#[case("instruction-9")]
#[case("short")]
#[case("%20odd%20")]
#[case("%ff")]
#[tokio::test]
async fn a_prompt_that_is_not_there_is_not_found(#[case] id: &str) {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let device = bank.pair(JANE).await;
    device.get(&format!("/device/challenges/{id}")).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn a63_what_is_asked_lies_sealed_in_the_database() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    bank.pair(JANE).await;
    bank.post(SEND, prompt_with(json!({"description": "Pay 31415.92", "response_token": "response-secret"}))).await;
    bank.post(ALERT, json!({"user_socket_hash": JANE, "title": "Hush", "body": "From 27182", "kind": "info"})).await;
    let bytes = relay.database().dump().await;
    let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has(JANE), "the database was looked at");
    for secret in ["31415.92", "response-secret", "27182", bank.secret.expose()] {
        assert!(!has(secret), "{secret}");
    }
}

#[tokio::test]
async fn withdrawing_takes_a_prompt_off_the_devices_and_can_be_repeated() {
    let (relay, sender) = with_sender().await;
    let bank = relay.provision("Bank").await;
    let device = bank.pair_with(JANE, phone("token")).await;
    bank.post(SEND, prompt("instruction-1")).await;
    for _ in 0..2 {
        let answer = bank.post(CANCEL, json!({"instruction_id": "instruction-1"})).await;
        assert_eq!(answer.data(), &json!({"instruction_id": "instruction-1", "status": "cancelled"}));
    }
    assert_eq!(device.get("/device/challenges").await.data()["count"], 0);
    relay.app.tracker.close();
    relay.app.tracker.wait().await;
    let kinds: Vec<_> = sender.sent().iter().map(|push| push.kind).collect();
    assert_eq!(kinds, [PushKind::AuthChallenge, PushKind::ChallengeCancelled]);
}

#[tokio::test]
async fn withdrawing_knows_what_it_cannot_withdraw() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let device = bank.pair(JANE).await;
    bank.post(CANCEL, json!({"instruction_id": "instruction-1"})).await.expect_error(404, "NOT_FOUND");
    let odd = bank.post(CANCEL, json!({"instruction_id": "x", "force": true})).await;
    odd.expect_error(422, "VALIDATION_FAILED");
    assert_eq!(odd.fields(), ["instruction_id", "force"]);
    bank.post(SEND, prompt("instruction-1")).await;
    let answer = json!({"instruction_id": "instruction-1", "approved": false, "custom_type": "localAuth"});
    device.post("/device/submit-response", answer).await;
    bank.post(CANCEL, json!({"instruction_id": "instruction-1"})).await.expect_error(409, "ALREADY_DECIDED");
    bank.post(SEND, prompt("instruction-2")).await;
    relay.clock.advance(Duration::from_secs(180));
    let late = bank.post(CANCEL, json!({"instruction_id": "instruction-2"})).await;
    assert_eq!(late.data()["status"], "expired");
}

#[rstest]
#[case::nothing(json!({}), &["user_socket_hash", "title", "body", "kind"])]
#[case::odd(
    json!({"user_socket_hash": "x", "title": "", "body": 1, "kind": "gossip", "notification_id": "a b", "ttl_seconds": 0}),
    &["user_socket_hash", "title", "body", "kind", "notification_id", "ttl_seconds"]
)]
#[tokio::test]
async fn an_alert_names_every_broken_rule(#[case] body: Value, #[case] fields: &[&str]) {
    let relay = TestRelay::new().await;
    let answer = relay.provision("Bank").await.post(ALERT, body).await;
    answer.expect_error(422, "VALIDATION_FAILED");
    assert_eq!(answer.fields(), fields);
}

#[tokio::test]
async fn an_alert_is_listed_for_its_day_and_pushed_once() {
    let (relay, sender) = with_sender().await;
    let bank = relay.provision("Bank").await;
    let device = bank.pair_with(JANE, phone("token")).await;
    let first = bank.post(ALERT, alert("notice-01")).await;
    assert_eq!(first.data()["notification_id"], "notice-01");
    assert_eq!(first.data()["delivered_count"], 1);
    assert_eq!(bank.post(ALERT, alert("notice-01")).await.body, first.body);
    let mut other = alert("notice-01");
    other["body"] = json!("From Porto");
    bank.post(ALERT, other).await.expect_error(409, "IDEMPOTENCY_CONFLICT");
    assert_eq!(sender.sent().len(), 1);
    assert_eq!(sender.sent()[0].kind, PushKind::SecurityAlert);
    relay.clock.advance(Duration::from_secs(1));
    let mut unnamed = alert("");
    unnamed.as_object_mut().unwrap().remove("notification_id");
    assert_eq!(bank.post(ALERT, unnamed).await.status, 200);
    let list = device.get("/device/alerts").await;
    assert_eq!(list.data()["count"], 2);
    assert_eq!(
        list.data()["items"][1],
        json!({
            "notification_id": "notice-01", "tenant_id": bank.tenant_id, "tenant_name": "Bank", "title": "New sign-in",
            "body": "From Lisbon", "kind": "sign_in", "created_at": "2027-01-15T08:00:00.000Z",
            "expires_at": "2027-01-16T08:00:00.000Z"
        })
    );
    relay.clock.advance(Duration::from_secs(86_399));
    assert_eq!(device.get("/device/alerts").await.data()["count"], 1, "the end is exclusive");
    let status = delivery_status(&bank, "notice-01").await;
    assert_eq!(status.data()["status"], "expired");
    assert_eq!(status.data()["devices"][0]["seen_at"], "2027-01-15T08:00:01.000Z");
}

#[tokio::test]
async fn the_delivery_status_follows_the_prompt() {
    let (relay, sender) = with_sender().await;
    let bank = relay
        .provision_with(json!({"tenant_name": "Bank", "rate_limit_per_min": 10_000, "device_addition": "open"}))
        .await;
    let device = bank.pair(JANE).await;
    let other = bank.pair_with(JANE, phone("token")).await;
    bank.post(SEND, prompt("instruction-1")).await;
    let status = delivery_status(&bank, "instruction-1").await;
    assert_eq!(status.data()["instruction_id"], "instruction-1");
    assert_eq!((&status.data()["status"], &status.data()["delivered_count"]), (&json!("delivered"), &json!(2)));
    let devices = status.data()["devices"].as_array().unwrap();
    let line = devices.iter().find(|line| line["device_id"] == other.id("device_id")).unwrap();
    assert_eq!(
        line,
        &json!({
            "device_id": other.id("device_id"), "platform": "android", "status": "delivered", "attempts": 1,
            "fcm_message_id": "projects/test/messages/1", "error": null, "sent_at": "2027-01-15T08:00:00.000Z",
            "seen_at": null
        })
    );

    sender.will_answer(failed("internal", Retry::Backoff));
    bank.post(SEND, prompt("instruction-2")).await;
    let status = delivery_status(&bank, "instruction-2").await;
    assert_eq!((&status.data()["status"], &status.data()["failed_count"]), (&json!("partial"), &json!(0)));
    let waits = status.data()["devices"].as_array().unwrap().iter().find(|line| line["platform"] == "android").unwrap();
    assert_eq!((&waits["status"], &waits["error"]), (&json!("pending"), &json!("internal")));

    let answer = json!({"instruction_id": "instruction-1", "approved": true, "custom_type": "localAuth"});
    device.post("/device/submit-response", answer).await;
    assert_eq!(delivery_status(&bank, "instruction-1").await.data()["status"], "answered");
    bank.post(CANCEL, json!({"instruction_id": "instruction-2"})).await;
    assert_eq!(delivery_status(&bank, "instruction-2").await.data()["status"], "cancelled");
    bank.post(SEND, prompt("instruction-3")).await;
    relay.clock.advance(Duration::from_secs(180));
    assert_eq!(delivery_status(&bank, "instruction-3").await.data()["status"], "expired");
}

#[tokio::test]
async fn a_prompt_that_waits_for_its_next_attempt_is_pending() {
    let (relay, sender) = with_sender().await;
    let bank = relay.provision("Bank").await;
    bank.pair_with(JANE, phone("token")).await;
    sender.will_answer(failed("internal", Retry::Backoff));
    bank.post(SEND, prompt("instruction-1")).await.expect_error(502, "PUSH_NOT_DELIVERED");
    assert_eq!(delivery_status(&bank, "instruction-1").await.data()["status"], "pending");
}

#[rstest]
#[case("", 422)]
#[case("?instruction_id=", 422)]
#[case("?instruction_id=%zz", 400)]
#[case("?instruction_id=short", 404)]
#[case("?instruction_id=instruction-9", 404)]
#[tokio::test]
async fn the_delivery_status_needs_a_prompt(#[case] query: &str, #[case] status: u16) {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let answer = bank.get(&format!("/relay/fetch/delivery-status{query}")).await;
    assert_eq!(answer.status, status, "{answer:?}");
}

#[tokio::test]
async fn a66_no_call_of_another_tenant_or_pairing_meets_a_prompt() {
    let relay = TestRelay::new().await;
    let (bank, shop) = (relay.provision("Bank").await, relay.provision("Shop").await);
    let (jane, john, at_shop) = (bank.pair(JANE).await, bank.pair(JOHN).await, shop.pair(JANE).await);
    bank.post(SEND, prompt("instruction-1")).await;
    bank.post(ALERT, alert("notice-01")).await;

    for path in [
        "/relay/fetch/delivery-status?instruction_id=instruction-1",
        "/relay/fetch/delivery-status?instruction_id=notice-01",
        "/relay/fetch/outcome?instruction_id=instruction-1",
    ] {
        let foreign = shop.get(path).await;
        foreign.expect_error(404, "NOT_FOUND");
        assert_eq!(foreign.body, shop.get("/relay/fetch/outcome?instruction_id=unknown-1").await.body, "{path}");
    }
    shop.post(CANCEL, json!({"instruction_id": "instruction-1"})).await.expect_error(404, "NOT_FOUND");
    for stranger in [&john, &at_shop] {
        for list in ["/device/challenges", "/device/alerts"] {
            assert_eq!(stranger.get(list).await.data()["count"], 0, "{list}");
        }
        let foreign = stranger.get("/device/challenges/instruction-1").await;
        foreign.expect_error(404, "NOT_FOUND");
        assert_eq!(stranger.get("/device/challenges/instruction-9").await.body, foreign.body);
        let answer = json!({"instruction_id": "instruction-1", "approved": true, "custom_type": "localAuth"});
        stranger.post("/device/submit-response", answer).await.expect_error(404, "NOT_FOUND");
    }
    // The same names are free for another tenant, and mean another prompt.
    assert_eq!(shop.post(SEND, prompt("instruction-1")).await.status, 200);
    assert_eq!(shop.post(ALERT, alert("notice-01")).await.status, 200);
    assert_eq!(shop.post(CANCEL, json!({"instruction_id": "instruction-1"})).await.status, 200);
    assert_eq!(jane.get("/device/challenges").await.data()["count"], 1);
    assert_eq!(jane.get("/device/challenges").await.data()["items"][0]["tenant_name"], "Bank");
}
