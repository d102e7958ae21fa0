//! GET /device/stream: hints as they come, for as long as the device may listen (PROTOCOL 5; SECURITY, "Devices").

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets a surprise shall fail at once")]

mod support;

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::timeout;

use support::caller::bearer;
use support::{TestDevice, TestRelay, TestTenant};

const JANE: &str = "jane-0123456789";
/// No test waits this long; one that would is broken.
const DEADLINE: Duration = Duration::from_secs(20);

/// An open stream.
struct Listening {
    body: Body,
    read: String,
}

impl Listening {
    async fn open(device: &TestDevice<'_>) -> Self {
        let response = device.relay.open(bearer("GET", "/device/stream", &device.token, "")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body(), read: String::new() }
    }

    /// The next event and its data; `None` at the end of the stream.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.read.split_once("\n\n") {
                let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let found = line("event:").zip(line("data:"));
                let found = found.map(|(kind, data)| (kind.to_owned(), serde_json::from_str(data).unwrap()));
                self.read = rest.to_owned();
                if found.is_some() {
                    return found;
                }
                continue;
            }
            let frame = timeout(DEADLINE, self.body.frame()).await.expect("an event, or the end")?;
            self.read.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
        }
    }

    async fn expect(&mut self, kind: &str, id: &str) -> Value {
        let (found, data) = self.next().await.expect("an event");
        assert_eq!((found.as_str(), data["instruction_id"].as_str().unwrap()), (kind, id));
        data
    }

    async fn expect_end(mut self) {
        assert_eq!(self.next().await, None);
    }
}

async fn bank(relay: &TestRelay) -> TestTenant<'_> {
    let fields = json!({"tenant_name": "Bank", "rate_limit_per_min": 10_000, "device_addition": "open"});
    relay.provision_with(fields).await
}

async fn ask(bank: &TestTenant<'_>, user: &str, id: &str) {
    let body = json!({
        "user_socket_hash": user, "instruction_id": id, "custom_type": "localAuth", "expected_action": "pay 1000.00",
        "backend_url": "https://bank.example"
    });
    assert_eq!(bank.post("/relay/send/auth-challenge", body).await.status, 200);
}

async fn notify(bank: &TestTenant<'_>, id: &str) {
    let body = json!({"user_socket_hash": JANE, "notification_id": id, "title": "t", "body": "b", "kind": "info"});
    assert_eq!(bank.post("/relay/send/security-alert", body).await.status, 200);
}

#[tokio::test]
async fn a_stream_begins_with_what_is_open() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let device = bank.pair(JANE).await;
    ask(&bank, JANE, "instruction-1").await;
    relay.clock.advance(Duration::from_secs(1));
    ask(&bank, JANE, "instruction-2").await;
    ask(&bank, JANE, "instruction-3").await;
    bank.post("/relay/cancel/auth-challenge", json!({"instruction_id": "instruction-3"})).await;
    notify(&bank, "notice-01").await;
    let mut stream = Listening::open(&device).await;
    let first = stream.expect("challenge", "instruction-1").await;
    let expected = json!({
        "instruction_id": "instruction-1", "tenant_id": bank.tenant_id, "expires_at": "2027-01-15T08:03:00.000Z"
    });
    assert_eq!(first, expected, "names, and nothing of what is asked");
    stream.expect("challenge", "instruction-2").await;
    assert_eq!(stream.expect("alert", "notice-01").await["notification_id"], "notice-01");
    // Looked at: not told again.
    device.get("/device/alerts").await;
    let mut again = Listening::open(&device).await;
    again.expect("challenge", "instruction-1").await;
    again.expect("challenge", "instruction-2").await;
    notify(&bank, "notice-02").await;
    again.expect("alert", "notice-02").await;
}

#[tokio::test]
async fn hints_come_as_things_happen_and_to_this_pairing_alone() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let (jane, john) = (bank.pair(JANE).await, bank.pair("john-0123456789").await);
    let (mut janes, mut johns) = (Listening::open(&jane).await, Listening::open(&john).await);
    ask(&bank, JANE, "instruction-1").await;
    janes.expect("challenge", "instruction-1").await;
    bank.post("/relay/cancel/auth-challenge", json!({"instruction_id": "instruction-1"})).await;
    janes.expect("challenge_cancelled", "instruction-1").await;
    notify(&bank, "notice-01").await;
    janes.expect("alert", "notice-01").await;
    ask(&bank, "john-0123456789", "instruction-2").await;
    johns.expect("challenge", "instruction-2").await;
}

#[tokio::test]
async fn an_answer_takes_the_prompt_off_the_other_devices() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let (a, b) = (bank.pair(JANE).await, bank.pair(JANE).await);
    a.get("/device/alerts").await;
    let (mut by_a, mut by_b) = (Listening::open(&a).await, Listening::open(&b).await);
    ask(&bank, JANE, "instruction-1").await;
    by_a.expect("challenge", "instruction-1").await;
    by_b.expect("challenge", "instruction-1").await;
    let answer = json!({"instruction_id": "instruction-1", "approved": true, "custom_type": "localAuth"});
    assert_eq!(a.post("/device/submit-response", answer).await.status, 200);
    by_b.expect("challenge_cancelled", "instruction-1").await;
    ask(&bank, JANE, "instruction-2").await;
    by_a.expect("challenge", "instruction-2").await;
}

#[tokio::test]
async fn a_stream_that_missed_hints_begins_again_with_what_is_open() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let device = bank.pair(JANE).await;
    let mut stream = Listening::open(&device).await;
    for _ in 0..100 {
        let key = (bank.tenant_id.parse().unwrap(), device.id("relay_user_linked_id").parse().unwrap());
        relay.app.streams.wake(&key, bloonio_relay_server::push::stream::StreamEvent::Recheck);
    }
    ask(&bank, JANE, "instruction-1").await;
    stream.expect("challenge", "instruction-1").await;
}

#[tokio::test]
async fn a_stream_ends_when_its_device_leaves_or_its_pairing_is_revoked() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let (a, b) = (bank.pair(JANE).await, bank.pair(JANE).await);
    a.get("/device/alerts").await;
    let (by_a, mut by_b) = (Listening::open(&a).await, Listening::open(&b).await);
    a.post("/device/unpair", json!({})).await;
    by_a.expect_end().await;
    ask(&bank, JANE, "instruction-1").await;
    by_b.expect("challenge", "instruction-1").await;
    bank.post("/relay/revoke-pairing", json!({"user_socket_hash": JANE})).await;
    by_b.expect_end().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_tenants_suspension_and_no_others() {
    let relay = TestRelay::new().await;
    let (bank, shop) = (bank(&relay).await, relay.provision("Shop").await);
    let (device, other) = (bank.pair(JANE).await, shop.pair(JANE).await);
    let (stream, mut others) = (Listening::open(&device).await, Listening::open(&other).await);
    relay.operator_post(&format!("/suspend/tenant?tenant_id={}", bank.tenant_id), json!({})).await;
    stream.expect_end().await;
    ask(&shop, JANE, "instruction-1").await;
    others.expect("challenge", "instruction-1").await;
}

#[tokio::test]
async fn a_stream_ends_when_the_relay_stops() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let device = bank.pair(JANE).await;
    let stream = Listening::open(&device).await;
    relay.app.stopping.cancel();
    stream.expect_end().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let device = bank.pair(JANE).await;
    let mut stream = Listening::open(&device).await;
    relay.clock.advance(Duration::from_secs(30 * 86_400 - 1));
    ask(&bank, JANE, "instruction-1").await;
    stream.expect("challenge", "instruction-1").await;
    // A second device keeps the user within reach; the first one is told of it.
    let _second = bank.pair(JANE).await;
    assert!(stream.next().await.is_some());
    relay.clock.advance(Duration::from_secs(1));
    ask(&bank, JANE, "instruction-2").await;
    stream.expect_end().await;
}

#[tokio::test]
async fn a_superseded_session_listens_for_its_minute_and_removes_nothing() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let old = bank.pair(JANE).await;
    let mut stream = Listening::open(&old).await;
    let refreshed = old.post("/device/refresh-token", json!({})).await;
    let token = refreshed.data()["device_session_token"].as_str().unwrap().to_owned();
    let new = TestDevice { token, ..old.clone() };
    ask(&bank, JANE, "instruction-1").await;
    stream.expect("challenge", "instruction-1").await;
    relay.clock.advance(Duration::from_secs(60));
    ask(&bank, JANE, "instruction-2").await;
    stream.expect_end().await;
    assert_eq!(new.get("/device/challenges").await.status, 200, "listening on is not showing the token again");
}

#[tokio::test]
async fn nobody_is_left_in_the_hub_when_a_device_hangs_up() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let device = bank.pair(JANE).await;
    let key = (bank.tenant_id.parse().unwrap(), device.id("relay_user_linked_id").parse().unwrap());
    let stream = Listening::open(&device).await;
    assert_eq!(relay.app.streams.subscribers(&key), 1);
    drop(stream);
    assert_eq!(relay.app.streams.subscribers(&key), 0);
}

#[tokio::test]
async fn a_pairing_has_so_many_streams_and_no_more() {
    let relay = TestRelay::new().await;
    let bank = bank(&relay).await;
    let device = bank.pair(JANE).await;
    let mut open = Vec::new();
    for _ in 0..40 {
        open.push(Listening::open(&device).await);
    }
    let refused = device.get("/device/stream").await;
    refused.expect_error(429, "RATE_LIMITED");
    open.pop();
    Listening::open(&device).await;
}
