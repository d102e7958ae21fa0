//! What is over is forgotten in time, and nothing else is.

#![allow(clippy::unwrap_used, reason = "a test that meets a surprise shall fail at once")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bloonio_relay_server::push::hygiene::Hygiene;
use bloonio_relay_server::storage::db::query;
use bloonio_relay_server::storage::device::silence::{self, AddressCounts};
use bloonio_relay_server::sweep::sweep;
use bloonio_wire::clock::Clock;
use rstest::rstest;
use serde_json::json;

use support::{RecordingSender, TestDevice, TestRelay, TestTenant};

const JANE: &str = "jane-0123456789";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn bank(relay: &TestRelay) -> TestTenant<'_> {
    let fields = json!({
        "tenant_name": "Bank", "rate_limit_per_min": 10_000, "device_addition": "open",
        "callback_url_base": "https://bank.example/api"
    });
    relay.provision_with(fields).await
}

async fn ask(bank: &TestTenant<'_>, id: &str) {
    let body = json!({
        "user_socket_hash": JANE, "instruction_id": id, "custom_type": "localAuth", "expected_action": "transfer_funds",
        "backend_url": "https://bank.example", "ttl_seconds": 60
    });
    assert_eq!(bank.post("/relay/send/auth-challenge", body).await.status, 200);
}

async fn approve(device: &TestDevice<'_>, id: &str) {
    let body = json!({"instruction_id": id, "approved": true, "custom_type": "localAuth"});
    assert_eq!(device.post("/device/submit-response", body).await.status, 200);
}

async fn count(relay: &TestRelay, sql: &str) -> i64 {
    let sql = sql.to_owned();
    query(sql).fetch_one(relay.app.storage.readers()).await.unwrap().at(0).unwrap()
}

async fn change(relay: &TestRelay, sql: &'static str) {
    query(sql).execute(relay.app.storage.writer()).await.unwrap();
}

/// One of each kind that ends: a prompt that was answered and one that was not, an alert, a device that left, and the
/// callbacks of all that, one in each state.
async fn past(relay: &TestRelay) -> TestTenant<'_> {
    let bank = bank(relay).await;
    let (first, second) = (bank.pair(JANE).await, bank.pair(JANE).await);
    for id in ["instruction-1", "instruction-2", "instruction-3"] {
        ask(&bank, id).await;
    }
    approve(&first, "instruction-1").await;
    approve(&first, "instruction-2").await;
    let alert = json!({"user_socket_hash": JANE, "title": "t", "body": "b", "kind": "info", "ttl_seconds": 60});
    assert_eq!(bank.post("/relay/send/security-alert", alert).await.status, 200);
    second.post("/device/refresh-token", json!({})).await;
    assert_eq!(second.post("/device/unpair", json!({})).await.status, 200);
    let now = relay.app.clock.now().as_millis();
    for (state, subject) in [("acknowledged", "instruction-1"), ("dead", "instruction-2")] {
        query("UPDATE deliveries SET state = $1, settled_at = $2 WHERE subject_id = $3")
            .bind(state)
            .bind(now)
            .bind(subject)
            .execute(relay.app.storage.writer())
            .await
            .unwrap();
    }
    bank
}

#[rstest]
#[case::prompts("prompts", 30)]
#[case::alerts_of_a_minute("alerts WHERE notification_id NOT LIKE 'device-%'", 30)]
#[case::pushes_of_prompts("pushes WHERE kind = 'auth_challenge'", 30)]
#[case::acknowledged("deliveries WHERE state = 'acknowledged'", 30)]
#[case::dead("deliveries WHERE state = 'dead'", 90)]
#[case::removed_devices("devices WHERE status = 'removed'", 90)]
#[case::their_tokens("device_grace", 90)]
#[tokio::test]
async fn what_is_over_is_kept_for_its_time_and_then_forgotten(#[case] rows: &str, #[case] days: u32) {
    let relay = TestRelay::new().await;
    past(&relay).await;
    // A minute is the life of prompts and alerts here; whatever else ended, ended before.
    relay.clock.advance(DAY * days - Duration::from_millis(1));
    sweep(&relay.app).await.unwrap();
    let sql = format!("SELECT count(*) FROM {rows}");
    assert!(count(&relay, &sql).await > 0, "just before");
    relay.clock.advance(Duration::from_secs(61));
    sweep(&relay.app).await.unwrap();
    assert_eq!(count(&relay, &sql).await, 0, "just after");
}

#[tokio::test]
async fn an_address_is_stale_after_30_silent_days_and_given_up_after_270() {
    let relay = TestRelay::with(|setup| setup.sender = Some(Arc::new(RecordingSender::default()))).await;
    let bank = bank(&relay).await;
    bank.pair_with(JANE, json!({"platform": "android", "fcm_token": "token-jane"})).await;
    let storage = &relay.app.storage;
    relay.clock.advance(DAY * 30 - Duration::from_millis(1));
    bank.pair_with("john-0123456789", json!({"platform": "ios", "fid": "fid-john"})).await;
    let counts = |live, stale| AddressCounts { live, stale, ..AddressCounts::default() };
    assert_eq!(silence::count(storage, relay.clock.now()).await.unwrap(), counts(2, 0));
    relay.clock.advance(Duration::from_millis(1));
    assert_eq!(silence::count(storage, relay.clock.now()).await.unwrap(), counts(1, 1));
    Hygiene::default().look(storage, relay.clock.now()).await.unwrap();
    let metrics = relay.app.metrics.render();
    assert!(metrics.contains(r#"bloonio_push_addresses{state="stale"} 1"#), "{metrics}");

    relay.clock.advance(DAY * 240 - Duration::from_millis(1));
    assert_eq!(silence::give_up(storage, relay.clock.now()).await.unwrap(), 0);
    relay.clock.advance(Duration::from_millis(1));
    assert_eq!(silence::give_up(storage, relay.clock.now()).await.unwrap(), 1);
    let kept = "SELECT count(*) FROM devices WHERE address_reason = 'silent' AND address IS NULL AND status = 'active'";
    assert_eq!(count(&relay, kept).await, 1);
    assert_eq!(count(&relay, "SELECT count(*) FROM devices WHERE address = 'fid-john'").await, 1);
}

#[tokio::test]
async fn silent_devices_are_looked_for_once_an_hour() {
    let relay = TestRelay::with(|setup| setup.sender = Some(Arc::new(RecordingSender::default()))).await;
    let bank = bank(&relay).await;
    let mut hygiene = Hygiene::default();
    hygiene.look(&relay.app.storage, relay.clock.now()).await.unwrap();
    bank.pair_with(JANE, json!({"platform": "android", "fcm_token": "token-jane"})).await;
    let live = || relay.app.metrics.render().contains(r#"bloonio_push_addresses{state="live"} 1"#);
    relay.clock.advance(Duration::from_secs(3_599));
    hygiene.look(&relay.app.storage, relay.clock.now()).await.unwrap();
    assert!(!live());
    relay.clock.advance(Duration::from_secs(1));
    hygiene.look(&relay.app.storage, relay.clock.now()).await.unwrap();
    assert!(live());
}

#[tokio::test]
async fn what_is_not_over_stays_for_ever() {
    let relay = TestRelay::new().await;
    let bank = past(&relay).await;
    // A message that was never sent, and one whose attempt is under way.
    change(&relay, "UPDATE pushes SET state = 'due' WHERE subject_id = 'instruction-1'").await;
    change(&relay, "UPDATE pushes SET state = 'sending' WHERE subject_id = 'instruction-2'").await;
    let lasting = [
        "SELECT count(*) FROM deliveries WHERE state IN ('due', 'sending')",
        "SELECT count(*) FROM devices WHERE status = 'active'",
        "SELECT count(*) FROM pairings",
        "SELECT count(*) FROM tenants",
        "SELECT count(*) FROM totp_seeds",
        "SELECT count(*) FROM pushes WHERE state IN ('due', 'sending')",
    ];
    let mut before = Vec::new();
    for sql in lasting {
        before.push(count(&relay, sql).await);
    }
    assert!(before.iter().all(|count| *count > 0), "{before:?}");
    relay.clock.advance(DAY * 1000);
    sweep(&relay.app).await.unwrap();
    for (sql, before) in lasting.into_iter().zip(before) {
        assert_eq!(count(&relay, sql).await, before, "{sql}");
    }
    assert!(bank.pair(JANE).await.registration["pairing"]["device_id"].is_string(), "and it works on");
}

#[tokio::test]
async fn an_answer_is_found_for_weeks() {
    let relay = TestRelay::new().await;
    let bank = past(&relay).await;
    relay.clock.advance(DAY * 29);
    sweep(&relay.app).await.unwrap();
    let outcome = bank.get("/relay/fetch/outcome?instruction_id=instruction-1").await;
    assert_eq!(outcome.data()["approved"], true);
    relay.clock.advance(DAY * 2);
    sweep(&relay.app).await.unwrap();
    bank.get("/relay/fetch/outcome?instruction_id=instruction-1").await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_removed_devices_address_is_forgotten_at_once() {
    let relay =
        TestRelay::with(|setup| setup.sender = Some(std::sync::Arc::<support::RecordingSender>::default())).await;
    let bank = bank(&relay).await;
    let device = bank.pair_with(JANE, json!({"platform": "android", "fcm_token": "address:1"})).await;
    assert_eq!(count(&relay, "SELECT count(*) FROM devices WHERE address IS NOT NULL").await, 1);
    device.post("/device/unpair", json!({})).await;
    assert_eq!(count(&relay, "SELECT count(*) FROM devices WHERE address IS NOT NULL").await, 0);
}

#[tokio::test]
async fn a_large_past_goes_in_batches_and_all_the_same() {
    let relay = TestRelay::new().await;
    past(&relay).await;
    change(
        &relay,
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 11000)
         INSERT INTO alerts (tenant_id, notification_id, relay_user_linked_id, request_sha256, content_sealed, created_at,
                             expires_at)
         SELECT a.tenant_id, 'many-' || i, a.relay_user_linked_id, a.request_sha256, a.content_sealed, 0, 0
         FROM n, (SELECT * FROM alerts LIMIT 1) a",
    )
    .await;
    let many = "SELECT count(*) FROM alerts WHERE notification_id LIKE 'many-%'";
    sweep(&relay.app).await.unwrap();
    assert_eq!(count(&relay, many).await, 1000, "twenty batches of 500 a round");
    sweep(&relay.app).await.unwrap();
    assert_eq!(count(&relay, many).await, 0);
}
