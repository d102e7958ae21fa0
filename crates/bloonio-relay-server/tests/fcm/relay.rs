//! A whole relay before FCM: what its callers and phones see of FCM's trouble, and what FCM sees of a prompt.

use std::sync::Arc;
use std::time::Duration;

use bloonio_relay_server::push::PushSender;
use bloonio_relay_server::push::dispatch::PushLimits;
use bloonio_relay_server::push::fcm::{FcmClient, FcmSender, LaneLimits};
use bloonio_relay_server::storage::db::query;
use bloonio_wire::clock::{Clock, ManualClock, Timestamp};
use serde_json::{Value, json};

use crate::google::{Act, DEADLINE, Google, http};
use crate::support::{START, TestAnswer, TestRelay, TestTenant};

/// A relay with its workers, ten messages a second, before a Google that does as it is told.
struct Scene {
    google: Google,
    relay: TestRelay,
    /// The sender's clock, which goes as the relay's does.
    clock: Arc<ManualClock>,
}

impl Scene {
    async fn set() -> Self {
        let google = Google::start().await;
        let clock = Arc::new(ManualClock::new(START));
        let client = FcmClient::new(google.credentials(), &google.url(), http(), clock.clone()).unwrap();
        let limits = LaneLimits { per_min: 600, patience: Duration::ZERO };
        let sender: Arc<dyn PushSender> = Arc::new(FcmSender::with_limits(client, clock.clone(), limits));
        let relay = TestRelay::with(|setup| {
            setup.sender = Some(sender);
            setup.workers = true;
            setup.push_limits = PushLimits { poll: Duration::from_millis(5), ..PushLimits::default() };
        })
        .await;
        Self { google, relay, clock }
    }

    fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.relay.clock.advance(by);
    }

    /// How many pushes are as this condition wants them.
    async fn count(&self, which: &str) -> i64 {
        let statement = format!("SELECT count(*) FROM pushes WHERE {which}");
        query(statement).fetch_value(self.relay.app.storage.readers()).await.unwrap().unwrap()
    }

    async fn until_count(&self, which: &str, wanted: i64) {
        let waiting = async {
            let mut tick = tokio::time::interval(Duration::from_millis(2));
            while self.count(which).await != wanted {
                tick.tick().await;
            }
        };
        tokio::time::timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("waited in vain for {wanted} {which}"));
    }

    fn requests(&self) -> usize {
        self.google.journal().sends.len()
    }
}

async fn ask(bank: &TestTenant<'_>, user: &str, instruction: &str, ttl: u64) -> TestAnswer {
    let prompt = json!({
        "user_socket_hash": user, "instruction_id": instruction, "custom_type": "localAuth",
        "expected_action": "transfer_funds", "backend_url": "https://bank.example", "ttl_seconds": ttl
    });
    bank.post("/relay/send/auth-challenge", prompt).await
}

fn pause(seconds: &'static str) -> Act {
    Act::Answer(429, vec![("retry-after", seconds)], Vec::new())
}

#[tokio::test]
async fn while_fcm_asks_for_a_pause_callers_are_told_the_truth_and_pushes_stay_due() {
    let scene = Scene::set().await;
    let bank = scene.relay.provision("Bank").await;
    let phone = bank.pair_with("user-0001", json!({"platform": "android", "fcm_token": "token-a"})).await;
    scene.google.sends_next([pause("30")]);
    ask(&bank, "user-0001", "instruction-1", 180).await.expect_error(502, "PUSH_NOT_DELIVERED");
    let answer = ask(&bank, "user-0001", "instruction-2", 180).await;
    answer.expect_error(502, "PUSH_NOT_DELIVERED");
    let counts = ["delivered_count", "failed_count"].map(|name| answer.body["data"][name].clone());
    assert_eq!(counts, [json!(0), json!(1)]);
    assert_eq!(scene.requests(), 1, "the second one was not attempted");

    let status = bank.get("/relay/fetch/delivery-status?instruction_id=instruction-2").await;
    assert_eq!(status.data()["status"], "pending");
    let device = &status.data()["devices"][0];
    assert_eq!((&device["attempts"], &device["error"]), (&json!(0), &json!("fcm_paused")));
    let open = phone.get("/device/challenges").await;
    assert_eq!(open.data()["count"], 2, "the phone finds both when it looks");

    scene.advance(Duration::from_secs(29));
    assert_eq!(scene.requests(), 1);
    // The pause, and then one by one at half the pace.
    scene.advance(Duration::from_secs(2));
    scene.until_count("state = 'delivered'", 2).await;
    assert_eq!(scene.count("subject_id = 'instruction-2' AND attempts = 1").await, 1);
}

#[tokio::test]
async fn f13_after_an_outage_the_backlog_drains_at_the_lanes_pace_and_what_has_expired_is_not_pushed() {
    let scene = Scene::set().await;
    let bank = scene.relay.provision("Bank").await;
    let users = ["user-0001", "user-0002", "user-0003", "user-0004"];
    for user in users {
        bank.pair_with(user, json!({"platform": "android", "fcm_token": format!("token-{user}")})).await;
    }
    scene.google.sends_next([pause("60")]);
    ask(&bank, users[0], "instruction-first", 600).await;
    for (n, user) in users.into_iter().enumerate() {
        for m in 0..10 {
            let ttl = if m % 2 == 0 { 30 } else { 600 };
            ask(&bank, user, &format!("instruction-{n}-{m}"), ttl).await.expect_error(502, "PUSH_NOT_DELIVERED");
        }
    }
    assert_eq!(scene.requests(), 1);
    scene.advance(Duration::from_secs(60));
    let mut before = scene.requests();
    for _ in 0..60 {
        // Everything that is due now has been looked at: it has left, or is due later.
        let now = scene.relay.clock.now().as_millis();
        scene.until_count(&format!("state = 'sending' OR (state = 'due' AND next_at <= {now})"), 0).await;
        let left = scene.requests() - before;
        assert!(left <= 6, "{left} at once: five a second, and one");
        before = scene.requests();
        scene.advance(Duration::from_secs(1));
    }
    assert_eq!(scene.count("state = 'delivered'").await, 21);
    assert_eq!(scene.count("state = 'expired'").await, 20);
    assert_eq!(scene.requests(), 22, "one was refused, 21 were accepted, and no other one was sent");
}

/// What FCM is told of a prompt for a number: all of it.
#[tokio::test]
async fn a34_a43_a_push_tells_that_there_is_something_to_fetch_and_nothing_else() {
    let scene = Scene::set().await;
    let bank = scene.relay.provision("Bank").await;
    bank.pair_with("user-0001", json!({"platform": "android", "fcm_token": "token-a"})).await;
    bank.pair_with("user-0002", json!({"platform": "ios", "fid": "fid-b"})).await;
    for (user, instruction) in [("user-0001", "instruction-a"), ("user-0002", "instruction-b")] {
        let prompt = json!({
            "user_socket_hash": user, "instruction_id": instruction, "custom_type": "goldenNumber", "numbers": [17, 42, 88],
            "expected_action": "change_password", "description": "Salary of May", "backend_url": "https://bank.example",
            "ttl_seconds": 180, "display": {"title": "Transfer", "fields": [
                {"key": "amount", "title": "Amount", "value": "1000.00", "data_type": "CURRENCY_USD"}
            ]}
        });
        assert_eq!(bank.post("/relay/send/auth-challenge", prompt).await.status, 200);
    }
    let sends: Vec<Value> = scene.google.journal().sends.iter().map(crate::google::Asked::json).collect();
    let end: Timestamp = START.plus(Duration::from_secs(180));
    let data = |instruction: &str| {
        json!({
            "type": "auth_challenge", "instruction_id": instruction, "tenant_id": bank.tenant_id,
            "expires_at": end.to_string(),
        })
    };
    let android = json!({"message": {
        "token": "token-a", "data": data("instruction-a"), "android": {"priority": "HIGH", "ttl": "180s"},
    }});
    let alert = json!({
        "title": "Approval needed", "title-loc-key": "Approval needed",
        "body": "Open the app to review it.", "loc-key": "Open the app to review it.",
    });
    let ios = json!({"message": {
        "fid": "fid-b", "data": data("instruction-b"),
        "apns": {
            "headers": {
                "apns-push-type": "alert", "apns-priority": "10", "apns-expiration": end.as_secs().to_string(),
                "apns-collapse-id": "instruction-b",
            },
            "payload": {"aps": {
                "alert": alert, "category": "BLOONIO_APPROVAL", "interruption-level": "time-sensitive",
                "mutable-content": 1,
            }},
        },
    }});
    assert_eq!(sends, [android, ios]);
}
