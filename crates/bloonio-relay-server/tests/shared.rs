//! Several instances on one database, with and without Redis: they behave as one (PROTOCOL 2.3, 3 and 10).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says where")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bloonio_relay_server::shared::{RedisState, Shared, SharedLimits};
use bloonio_relay_server::storage::db::query;
use bloonio_wire::random::SystemRandom;
use http_body_util::BodyExt;
use rstest::rstest;
use serde_json::{Value, json};
use support::caller::bearer;
use support::redis::RedisServer;
use support::{Setup, Signed, TestDevice, TestRelay, TestTenant};
use tokio::time::timeout;

const JANE: &str = "jane-0123456789";
/// No test waits this long; one that would is broken.
const DEADLINE: Duration = Duration::from_secs(30);
const CANCEL: &str = "/relay/cancel/auth-challenge";

/// Machines under load answer late; no test of these is about that.
const PATIENT: SharedLimits =
    SharedLimits { timeout: Duration::from_secs(5), rest: Duration::from_millis(50), beat: Duration::from_millis(200) };

fn over(redis: &RedisServer) -> impl FnOnce(&mut Setup) {
    let shared = Shared::over_redis(&redis.url(), PATIENT, &SystemRandom).unwrap();
    |setup| setup.shared = shared
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let so = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, so).await.unwrap_or_else(|_| panic!("{what}: it never came"));
}

async fn up(relay: &TestRelay) {
    until("Redis is used", async || relay.app.shared.state().await == RedisState::Up).await;
}

/// Two instances that hear each other.
async fn pair(redis: &RedisServer) -> (TestRelay, TestRelay) {
    let a = TestRelay::with(over(redis)).await;
    let b = a.beside(over(redis)).await;
    hear_each_other(redis, &[&a, &b]).await;
    (a, b)
}

async fn hear_each_other(redis: &RedisServer, all: &[&TestRelay]) {
    for relay in all {
        up(relay).await;
    }
    let subscribers = format!("bloonio:relay:wake\n{}\n", all.len());
    until("they listen", async || redis.command(&["PUBSUB", "NUMSUB", "bloonio:relay:wake"]) == subscribers).await;
}

/// The same tenant, calling another instance.
fn at<'a>(bank: &TestTenant<'_>, relay: &'a TestRelay) -> TestTenant<'a> {
    TestTenant { relay, tenant_id: bank.tenant_id.clone(), secret: bank.secret.clone() }
}

async fn bank(relay: &TestRelay) -> TestTenant<'_> {
    let fields = json!({"tenant_name": "Bank", "rate_limit_per_min": 10_000, "device_addition": "open"});
    relay.provision_with(fields).await
}

async fn ask(bank: &TestTenant<'_>, id: &str) {
    let body = json!({
        "user_socket_hash": JANE, "instruction_id": id, "custom_type": "localAuth", "expected_action": "pay",
        "backend_url": "https://bank.example"
    });
    assert_eq!(bank.post("/relay/send/auth-challenge", body).await.status, 200);
}

async fn approve(device: &TestDevice<'_>, id: &str) {
    let body = json!({"instruction_id": id, "approved": true, "custom_type": "localAuth"});
    assert_eq!(device.post("/device/submit-response", body).await.status, 200);
}

fn withdrawal(bank: &TestTenant<'_>) -> Signed {
    bank.sign("POST", CANCEL, json!({"instruction_id": "nobody-knows"}).to_string().as_bytes())
}

/// An open stream of `device`, at an instance of one's choice.
struct Stream {
    body: Body,
    read: String,
}

impl Stream {
    async fn open(relay: &TestRelay, device: &TestDevice<'_>) -> Self {
        let response = relay.open(bearer("GET", "/device/stream", &device.token, "")).await;
        assert_eq!(response.status(), 200);
        Self { body: response.into_body(), read: String::new() }
    }

    /// The next event's kind and subject; `None` at the end.
    async fn next(&mut self) -> Option<(String, String)> {
        loop {
            if let Some((event, rest)) = self.read.split_once("\n\n") {
                let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let found = line("event:").zip(line("data:")).map(|(kind, data)| {
                    let data: Value = serde_json::from_str(data).unwrap();
                    (kind.to_owned(), data["instruction_id"].as_str().unwrap().to_owned())
                });
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

    async fn expect(&mut self, kind: &str, id: &str) {
        assert_eq!(self.next().await, Some((kind.to_owned(), id.to_owned())));
    }

    async fn expect_end(mut self) {
        assert_eq!(self.next().await, None);
    }
}

/// Waits at `relay` for the outcome of `id`.
async fn outcome(bank: &TestTenant<'_>, id: &str) -> Value {
    let path = format!("/relay/fetch/outcome?instruction_id={id}&wait_seconds=30");
    let answer = timeout(DEADLINE - Duration::from_secs(5), bank.get(&path)).await.expect("it ends early");
    answer.data()["status"].clone()
}

async fn somebody_waits(relay: &TestRelay, bank: &TestTenant<'_>, id: &str) {
    let key = (bank.tenant_id.parse().unwrap(), id.parse().unwrap());
    until("somebody waits", async || relay.app.prompts.subscribers(&key) > 0).await;
}

#[tokio::test]
async fn a_decision_at_one_instance_ends_a_wait_at_another() {
    let redis = RedisServer::start().await;
    let (a, b) = pair(&redis).await;
    let bank = bank(&a).await;
    let device = bank.pair(JANE).await;
    ask(&bank, "instruction-1").await;
    let there = at(&bank, &b);
    let (status, ()) = tokio::join!(outcome(&there, "instruction-1"), async {
        somebody_waits(&b, &bank, "instruction-1").await;
        approve(&device, "instruction-1").await;
    });
    assert_eq!(status, "decided");
}

#[tokio::test]
async fn hints_reach_a_stream_at_another_instance() {
    let redis = RedisServer::start().await;
    let (a, b) = pair(&redis).await;
    let bank = bank(&a).await;
    let device = bank.pair(JANE).await;
    let mut stream = Stream::open(&b, &device).await;
    ask(&bank, "instruction-1").await;
    stream.expect("challenge", "instruction-1").await;
    bank.post(CANCEL, json!({"instruction_id": "instruction-1"})).await.data();
    stream.expect("challenge_cancelled", "instruction-1").await;
}

#[tokio::test]
async fn a_stream_ends_with_the_suspension_at_another_instance() {
    let redis = RedisServer::start().await;
    let (a, b) = pair(&redis).await;
    let bank = bank(&a).await;
    let stream = Stream::open(&b, &bank.pair(JANE).await).await;
    a.operator_post(&format!("/suspend/tenant?tenant_id={}", bank.tenant_id), json!({})).await.data();
    stream.expect_end().await;
    at(&bank, &b).get("/relay/fetch/outcome?instruction_id=nobody-knows").await.expect_error(403, "TENANT_SUSPENDED");
}

#[tokio::test]
async fn a_stream_ends_with_the_revocation_at_another_instance() {
    let redis = RedisServer::start().await;
    let (a, b) = pair(&redis).await;
    let bank = bank(&a).await;
    let device = bank.pair(JANE).await;
    let stream = Stream::open(&b, &device).await;
    bank.post("/relay/revoke-pairing", json!({"user_socket_hash": JANE})).await.data();
    stream.expect_end().await;
    let refused = b.send(bearer("GET", "/device/challenges", &device.token, "")).await;
    refused.expect_error(401, "INVALID_DEVICE_TOKEN");
}

#[tokio::test]
async fn a_new_secret_counts_at_every_instance_at_once() {
    let redis = RedisServer::start().await;
    let (a, b) = pair(&redis).await;
    let bank = bank(&a).await;
    let look = "/relay/fetch/outcome?instruction_id=nobody-knows";
    at(&bank, &b).get(look).await.expect_error(404, "NOT_FOUND");
    a.operator_post(&format!("/rotate/tenant-secret?tenant_id={}", bank.tenant_id), json!({})).await.data();
    at(&bank, &b).get(look).await.expect_error(401, "INVALID_SIGNATURE");
}

/// How instances may share what they have seen.
#[derive(Clone, Copy, PartialEq)]
enum Sharing {
    Redis,
    RedisThatForgets,
    DatabaseAlone,
}

#[rstest]
#[case::redis(Sharing::Redis)]
#[case::redis_that_lost_everything(Sharing::RedisThatForgets)]
#[case::no_redis(Sharing::DatabaseAlone)]
#[tokio::test]
async fn a61_a_call_accepted_by_one_instance_is_a_replay_at_another(#[case] sharing: Sharing) {
    let redis = RedisServer::start().await;
    let (a, b) = match sharing {
        Sharing::DatabaseAlone => {
            let a = TestRelay::new().await;
            let b = a.beside(|_| ()).await;
            (a, b)
        }
        _ => pair(&redis).await,
    };
    let bank = bank(&a).await;
    let call = withdrawal(&bank);
    a.send(call.request()).await.expect_error(404, "NOT_FOUND");
    if sharing == Sharing::RedisThatForgets {
        redis.command(&["FLUSHALL"]);
    }
    for relay in [&b, &a, &b] {
        relay.send(call.request()).await.expect_error(401, "REQUEST_REPLAYED");
    }
}

#[tokio::test]
async fn a61_a_flood_of_replays_costs_the_database_nothing() {
    let redis = RedisServer::start().await;
    let (a, b) = pair(&redis).await;
    let bank = bank(&a).await;
    let call = withdrawal(&bank);
    a.send(call.request()).await.expect_error(404, "NOT_FOUND");
    query("DELETE FROM replays").execute(b.app.storage.writer()).await.unwrap();
    for relay in [&a, &b, &a, &b] {
        relay.send(call.request()).await.expect_error(401, "REQUEST_REPLAYED");
    }
    let rows = query("SELECT count(*) FROM replays").fetch_all(b.app.storage.readers()).await.unwrap();
    assert_eq!(rows[0].at::<i64>(0).unwrap(), 0, "nobody has claimed there");
}

#[tokio::test]
async fn of_any_number_of_equal_calls_at_all_instances_one_is_accepted() {
    let redis = RedisServer::start().await;
    let (a, b) = pair(&redis).await;
    let bank = bank(&a).await;
    let call = withdrawal(&bank);
    let calls = (0..32).map(|n| if n % 2 == 0 { &a } else { &b }.send(call.request()));
    let statuses = futures_util::future::join_all(calls).await.into_iter().map(|answer| answer.status);
    let (accepted, replayed): (Vec<_>, Vec<_>) = statuses.partition(|status| *status == 404);
    assert_eq!((accepted.len(), replayed.iter().filter(|status| **status == 401).count()), (1, 31));
}

#[tokio::test]
async fn a_limit_is_one_limit_over_all_instances() {
    let redis = RedisServer::start().await;
    let a = TestRelay::new().await;
    let clock = a.clock.clone();
    let with_clock = |redis: &RedisServer| {
        let shared = Shared::over_redis(&redis.url(), PATIENT, &SystemRandom).unwrap().with_clock(clock.clone());
        move |setup: &mut Setup| setup.shared = shared
    };
    let (b, c) = (a.beside(with_clock(&redis)).await, a.beside(with_clock(&redis)).await);
    hear_each_other(&redis, &[&b, &c]).await;
    let bank = b.provision_with(json!({"tenant_name": "B", "rate_limit_per_min": 4})).await;
    let look = "/relay/fetch/outcome?instruction_id=nobody-knows";
    for relay in [&b, &c, &b, &c] {
        at(&bank, relay).get(look).await.expect_error(404, "NOT_FOUND");
    }
    for relay in [&b, &c] {
        let refused = at(&bank, relay).get(look).await;
        refused.expect_error(429, "RATE_LIMITED");
        assert_eq!(refused.header("retry-after"), "15");
    }
    // Another lane, and another limit, count at once.
    at(&bank, &c).post(CANCEL, json!({"instruction_id": "nobody-knows"})).await.expect_error(404, "NOT_FOUND");
    bank.update(json!({"rate_limit_per_min": 5})).await.data();
    at(&bank, &c).get(look).await.expect_error(404, "NOT_FOUND");
    at(&bank, &b).get(look).await.expect_error(429, "RATE_LIMITED");
    b.clock.advance(Duration::from_secs(12));
    at(&bank, &b).get(look).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn guesses_at_the_admin_key_are_counted_over_all_instances() {
    let redis = RedisServer::start().await;
    let (a, b) = pair(&redis).await;
    let guess = |relay| async move {
        let wrong = support::operator("GET", "/fetch/tenants", "");
        let (mut parts, body) = wrong.into_parts();
        parts.headers.insert("x-admin-key", "a-wrong-key".parse().unwrap());
        TestRelay::send(relay, http::Request::from_parts(parts, body)).await
    };
    for n in 0..10 {
        guess(if n % 2 == 0 { &a } else { &b }).await.expect_error(401, "INVALID_ADMIN_KEY");
    }
    for relay in [&a, &b] {
        guess(relay).await.expect_error(429, "RATE_LIMITED");
        relay.operator_get("/fetch/tenants").await.expect_error(429, "RATE_LIMITED");
    }
}

#[tokio::test]
async fn a_right_admin_key_forgets_wrong_ones_everywhere() {
    let redis = RedisServer::start().await;
    let (a, b) = pair(&redis).await;
    for relay in [&a, &b, &a, &b] {
        for _ in 0..3 {
            let wrong = bearer("GET", "/fetch/tenants", "x", "");
            let (mut parts, body) = wrong.into_parts();
            parts.headers.insert("x-admin-key", "a-wrong-key".parse().unwrap());
            relay.send(http::Request::from_parts(parts, body)).await.expect_error(401, "INVALID_ADMIN_KEY");
        }
        relay.operator_get("/fetch/tenants").await.data();
    }
}

#[tokio::test]
async fn a_relay_starts_and_serves_without_its_redis_and_uses_it_once_it_is_there() {
    let mut redis = RedisServer::start().await;
    redis.kill();
    let relay = TestRelay::with(over(&redis)).await;
    let bank = bank(&relay).await;
    let ready = relay.send(http::Request::get("/health/ready").body(Body::empty()).unwrap()).await;
    assert_eq!(
        (ready.status, &ready.data()["status"], &ready.data()["redis"]),
        (200, &json!("degraded"), &json!("away"))
    );
    let call = withdrawal(&bank);
    relay.send(call.request()).await.expect_error(404, "NOT_FOUND");
    relay.send(call.request()).await.expect_error(401, "REQUEST_REPLAYED");
    redis.restart().await;
    up(&relay).await;
    relay.send(call.request()).await.expect_error(401, "REQUEST_REPLAYED");
    let ready = relay.send(http::Request::get("/health/ready").body(Body::empty()).unwrap()).await;
    assert_eq!((&ready.data()["status"], &ready.data()["redis"]), (&json!("ready"), &json!("up")));
}

#[tokio::test]
async fn a_silent_redis_holds_up_a_few_calls_and_then_none() {
    let redis = RedisServer::start().await;
    let hasty = SharedLimits { timeout: Duration::from_millis(250), rest: Duration::from_secs(3600), ..PATIENT };
    let shared = Shared::over_redis(&redis.url(), hasty, &SystemRandom).unwrap();
    let relay = TestRelay::with(|setup| setup.shared = shared).await;
    up(&relay).await;
    let bank = bank(&relay).await;
    redis.pause(true);
    // The first call waits in vain, and the rest of an hour begins: had the others waited, too, they would take minutes.
    let calls = async {
        for _ in 0..1_000 {
            relay.send(withdrawal(&bank).request()).await.expect_error(404, "NOT_FOUND");
        }
    };
    timeout(DEADLINE, calls).await.expect("nobody else waits");
    redis.pause(false);
}

#[tokio::test]
async fn a97_when_redis_goes_an_instance_still_knows_what_it_let_through() {
    let redis = RedisServer::start().await;
    let (a, _b) = pair(&redis).await;
    let bank = a.provision_with(json!({"tenant_name": "B", "rate_limit_per_min": 2})).await;
    let look = "/relay/fetch/outcome?instruction_id=nobody-knows";
    bank.get(look).await.expect_error(404, "NOT_FOUND");
    bank.get(look).await.expect_error(404, "NOT_FOUND");
    redis.kill();
    until("it is away", async || a.app.shared.state().await == RedisState::Away).await;
    bank.get(look).await.expect_error(429, "RATE_LIMITED");
}

#[tokio::test]
async fn while_redis_is_away_and_after_it_came_back_waits_end_all_the_same() {
    let mut redis = RedisServer::start().await;
    let (a, b) = pair(&redis).await;
    let bank = bank(&a).await;
    let device = bank.pair(JANE).await;
    for id in ["instruction-1", "instruction-2", "instruction-3"] {
        a.clock.advance(Duration::from_secs(1));
        ask(&bank, id).await;
    }
    let there = at(&bank, &b);
    let mut stream = Stream::open(&b, &device).await;
    for id in ["instruction-1", "instruction-2", "instruction-3"] {
        stream.expect("challenge", id).await;
    }
    let (status, ()) = tokio::join!(outcome(&there, "instruction-1"), async {
        somebody_waits(&b, &bank, "instruction-1").await;
        redis.kill();
        approve(&device, "instruction-1").await;
    });
    assert_eq!(status, "decided");
    stream.expect("challenge_cancelled", "instruction-1").await;
    let (status, ()) = tokio::join!(outcome(&there, "instruction-2"), async {
        somebody_waits(&b, &bank, "instruction-2").await;
        approve(&device, "instruction-2").await;
        redis.restart().await;
    });
    assert_eq!(status, "decided");
    stream.expect("challenge_cancelled", "instruction-2").await;
    hear_each_other(&redis, &[&a, &b]).await;
    let (status, ()) = tokio::join!(outcome(&there, "instruction-3"), async {
        somebody_waits(&b, &bank, "instruction-3").await;
        approve(&device, "instruction-3").await;
    });
    assert_eq!(status, "decided");
    stream.expect("challenge_cancelled", "instruction-3").await;
}

#[tokio::test]
async fn without_redis_instances_on_one_database_find_each_others_decisions() {
    let a = TestRelay::with(|setup| setup.shared = Shared::by_database()).await;
    let b = a.beside(|setup| setup.shared = Shared::by_database()).await;
    let bank = bank(&a).await;
    let device = bank.pair(JANE).await;
    let mut stream = Stream::open(&b, &device).await;
    ask(&bank, "instruction-1").await;
    stream.expect("challenge", "instruction-1").await;
    let there = at(&bank, &b);
    let (status, ()) = tokio::join!(outcome(&there, "instruction-1"), async {
        somebody_waits(&b, &bank, "instruction-1").await;
        approve(&device, "instruction-1").await;
    });
    assert_eq!(status, "decided");
    stream.expect("challenge_cancelled", "instruction-1").await;
    a.operator_post(&format!("/suspend/tenant?tenant_id={}", bank.tenant_id), json!({})).await.data();
    stream.expect_end().await;
}

#[tokio::test]
async fn keys_in_redis_do_not_stay() {
    let redis = RedisServer::start().await;
    let (a, _b) = pair(&redis).await;
    let bank = bank(&a).await;
    let device = bank.pair(JANE).await;
    ask(&bank, "instruction-1").await;
    approve(&device, "instruction-1").await;
    a.send(bank.sign("GET", "/x", b"").without("x-bloonio-tenant-id").request()).await;
    let keys = redis.command(&["KEYS", "*"]);
    assert!(keys.lines().count() >= 4, "{keys}");
    for key in keys.lines() {
        let left: i64 = redis.command(&["PTTL", key]).trim().parse().unwrap();
        assert!((1..=90_000).contains(&left), "{key}: {left}");
    }
}

/// What the shared bucket answers to a sequence of calls is what our own answers.
#[tokio::test]
async fn the_shared_bucket_counts_like_our_own() {
    use bloonio_relay_server::limit::bucket::Bucket;
    use bloonio_relay_server::shared::LimitKey;
    use bloonio_wire::clock::{Clock, ManualClock};
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let redis = RedisServer::start().await;
    let clock = Arc::new(ManualClock::new(support::START));
    let shared = Shared::over_redis(&redis.url(), PATIENT, &SystemRandom).unwrap().with_clock(clock.clone());
    let relay = TestRelay::with(|setup| setup.shared = shared.clone()).await;
    up(&relay).await;
    let rates = prop_oneof![Just(1u32), Just(7), Just(60), Just(10_000), 1u32..500];
    let pauses = prop_oneof![Just(0u64), 0u64..50, 0u64..3_000, 0u64..200_000];
    let steps = prop::collection::vec((pauses, rates, 1usize..12), 1..40);
    let mut runner = TestRunner::deterministic();
    for run in 0..24u8 {
        let key = LimitKey::Stranger(std::net::IpAddr::from([192, 0, 2, run]));
        let mut own: Option<Bucket> = None;
        for (pause, per_min, calls) in steps.new_tree(&mut runner).unwrap().current() {
            clock.advance(Duration::from_millis(pause));
            for _ in 0..calls {
                let now = clock.now();
                let expected = own.get_or_insert_with(|| Bucket::full(per_min, now)).take(per_min, now);
                assert_eq!(shared.charge(key, per_min).await, Ok(expected), "{per_min} a minute after {pause} ms");
            }
        }
    }
}
