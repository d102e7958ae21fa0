//! Pushes: first attempts, later ones, and what a verdict means for an address (PROTOCOL 5, PUSH.md 1.5 and 1.6).
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bloonio_relay_server::hub::Hub;
use bloonio_relay_server::push::dispatch::PushLimits;
use bloonio_relay_server::push::{
    AddressVerdict, Push, PushFailure, PushKind, PushOutcome, PushSender, PushTarget, Pusher, PusherParts, Retry,
};
use bloonio_relay_server::service::address;
use bloonio_relay_server::storage::db::{query, query_for};
use bloonio_relay_server::storage::device::revival::{self, Wave};
use bloonio_relay_server::storage::push::{self, NewPush, Retirement};
use bloonio_wire::clock::{Clock, Timestamp};
use bloonio_wire::device::Platform;
use bloonio_wire::id::{DeviceId, RelayUserLinkedId, TenantId};
use rstest::rstest;
use serde_json::{Value, json};
use support::{START, TestAnswer, TestDevice, TestRelay, TestTenant};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A push service that answers by address, and can be made to hang.
#[derive(Debug, Default)]
struct Service {
    answers: Mutex<HashMap<String, PushOutcome>>,
    holding: Mutex<HashMap<String, Arc<Notify>>>,
    journal: watch::Sender<Vec<Push>>,
}

impl Service {
    fn answers(&self, address: &str, outcome: PushOutcome) {
        self.answers.lock().unwrap().insert(address.to_owned(), outcome);
    }

    fn accepts(&self, address: &str) {
        self.answers.lock().unwrap().remove(address);
    }

    /// Holds answers for `address` back until the returned door opens.
    fn holds(&self, address: &str) -> Arc<Notify> {
        let door = Arc::new(Notify::new());
        self.holding.lock().unwrap().insert(address.to_owned(), Arc::clone(&door));
        door
    }

    fn sent(&self) -> Vec<Push> {
        self.journal.borrow().clone()
    }

    fn sent_to(&self, address: &str) -> usize {
        self.sent().iter().filter(|push| push.address.value() == address).count()
    }

    async fn got(&self, count: usize) {
        self.journal.subscribe().wait_for(|journal| journal.len() >= count).await.unwrap();
    }
}

#[async_trait]
impl PushSender for Service {
    async fn send(&self, push: &Push) -> PushOutcome {
        let mut number = 0;
        self.journal.send_modify(|journal| {
            journal.push(push.clone());
            number = journal.len();
        });
        let address = push.address.value();
        let door = self.holding.lock().unwrap().get(address).cloned();
        if let Some(door) = door {
            door.notified().await;
        }
        let accepted = || PushOutcome::Accepted { message_id: format!("projects/test/messages/{number}") };
        self.answers.lock().unwrap().get(address).cloned().unwrap_or_else(accepted)
    }
}

fn failed(error: &'static str, address: AddressVerdict, retry: Retry) -> PushOutcome {
    PushOutcome::Failed(PushFailure { error, address, retry })
}

fn unregistered() -> PushOutcome {
    failed("unregistered", AddressVerdict::Dead, Retry::Never)
}

fn unavailable() -> PushOutcome {
    failed("unavailable", AddressVerdict::Keep, Retry::Backoff)
}

/// A relay with a push service and a worker that looks often.
async fn relay(service: &Arc<Service>, workers: bool) -> TestRelay {
    TestRelay::with(|setup| {
        setup.sender = Some(Arc::clone(service) as Arc<dyn PushSender>);
        setup.workers = workers;
        setup.push_limits = PushLimits { poll: Duration::from_millis(5), ..PushLimits::default() };
    })
    .await
}

const USER: &str = "user-0001";

/// A tenant whose user has a stream device, and a device for each of `addresses`.
async fn bank<'a>(relay: &'a TestRelay, addresses: &[&str]) -> (TestTenant<'a>, TestDevice<'a>) {
    let bank = relay.provision("Bank").await;
    bank.update(json!({"device_addition": "open"})).await;
    let phone = relay_device(relay, &bank, json!({"platform": "stream"})).await;
    for address in addresses {
        relay_device(relay, &bank, json!({"platform": "android", "fcm_token": address})).await;
    }
    (bank, phone)
}

/// Pairs one more device, and waits until the others have been told of it.
async fn relay_device<'a>(relay: &'a TestRelay, bank: &TestTenant<'a>, body: Value) -> TestDevice<'a> {
    let paired = bank.pair_with(USER, body).await;
    until_count(relay, "SELECT count(*) FROM pushes WHERE state IN ('due', 'sending')", |open| open == 0).await;
    TestDevice { relay, token: paired.token.clone(), registration: paired.registration.clone() }
}

/// Waits until a count in the database is as wanted.
async fn until_count(relay: &TestRelay, sql: &'static str, wanted: impl Fn(i64) -> bool) {
    let mut tick = tokio::time::interval(Duration::from_millis(2));
    let waiting = async {
        while !wanted(query(sql).fetch_one(relay.app.storage.readers()).await.unwrap().at(0).unwrap()) {
            tick.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("waited in vain: {sql}"));
}

async fn ask(bank: &TestTenant<'_>, instruction: &str) -> TestAnswer {
    bank.post(
        "/relay/send/auth-challenge",
        json!({
            "user_socket_hash": USER, "instruction_id": instruction, "custom_type": "localAuth",
            "expected_action": "transfer_funds", "backend_url": "https://bank.example", "ttl_seconds": 180
        }),
    )
    .await
}

async fn answer(phone: &TestDevice<'_>, instruction: &str) {
    let body = json!({"instruction_id": instruction, "approved": true, "custom_type": "localAuth"});
    assert_eq!(phone.post("/device/submit-response", body).await.status, 200);
}

/// The line of the device with that address: state, attempts, error, next attempt.
async fn row(relay: &TestRelay, address: &str, subject: &str) -> (String, i64, Option<String>, Timestamp) {
    let row = query(
        "SELECT p.state, p.attempts, p.error, p.next_at FROM pushes p JOIN devices d USING (tenant_id, device_id)
         WHERE d.address = $1 AND p.subject_id = $2",
    )
    .bind(address)
    .bind(subject)
    .fetch_one(relay.app.storage.readers())
    .await
    .unwrap();
    let next_at = Timestamp::from_millis(row.at(3).unwrap());
    (row.at(0).unwrap(), row.at(1).unwrap(), row.at(2).unwrap(), next_at)
}

async fn address_state(relay: &TestRelay, address: &str) -> (String, Option<String>) {
    let row = query("SELECT address_state, address_reason FROM devices WHERE address = $1")
        .bind(address)
        .fetch_one(relay.app.storage.readers())
        .await
        .unwrap();
    (row.at(0).unwrap(), row.at(1).unwrap())
}

async fn until_row(relay: &TestRelay, address: &str, subject: &str, state: &str, attempts: i64) -> Timestamp {
    let mut tick = tokio::time::interval(Duration::from_millis(2));
    let waiting = async {
        loop {
            let found = row(relay, address, subject).await;
            if found.0 == state && found.1 == attempts {
                return found.3;
            }
            tick.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {state} after {attempts} attempts"))
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_given_up_and_holds_up_no_other() {
    let service = Arc::new(Service::default());
    let relay = relay(&service, false).await;
    let (bank, _) = bank(&relay, &["token-a", "token-b"]).await;
    service.answers("token-a", unavailable());
    service.answers("token-b", unavailable());
    assert_eq!(ask(&bank, "instruction-1").await.status, 200);
    service.accepts("token-a");
    service.accepts("token-b");
    // As a newer version, or a bad disk, might leave it: a kind of address that this one does not know.
    let writer = relay.app.storage.writer();
    let unchecked = "ALTER TABLE devices DROP CONSTRAINT devices_address_kind_check";
    query_for("PRAGMA ignore_check_constraints = ON", unchecked).execute(writer).await.unwrap();
    let pigeon = "UPDATE devices SET address_kind = 'pigeon' WHERE address = 'token-a'";
    query(pigeon).execute(writer).await.unwrap();
    relay.clock.advance(Duration::from_secs(15));
    relay.app.start();
    until_row(&relay, "token-b", "instruction-1", "delivered", 2).await;
    let (state, _, error, _) = row(&relay, "token-a", "instruction-1").await;
    assert_eq!((state.as_str(), error.as_deref()), ("failed", Some("unreadable")));
}

#[tokio::test]
async fn one_prompt_to_three_devices_and_a_stream_is_three_messages() {
    let service = Arc::new(Service::default());
    let relay = relay(&service, false).await;
    let (bank, _) = bank(&relay, &["token-a", "token-b", "token-c"]).await;
    let sent = ask(&bank, "instruction-1").await;
    assert_eq!(sent.status, 200, "{sent:?}");
    assert_eq!(sent.data()["delivered_count"], 4);
    assert_eq!(sent.data()["failed_count"], 0);
    assert_eq!(sent.data()["fcm_message_ids"].as_array().unwrap().len(), 3);
    let prompts: Vec<_> = service.sent().into_iter().filter(|push| push.kind == PushKind::AuthChallenge).collect();
    for address in ["token-a", "token-b", "token-c"] {
        assert_eq!(row(&relay, address, "instruction-1").await.0, "delivered");
    }
    let mut addresses: Vec<_> = prompts.iter().map(|push| push.address.value().to_owned()).collect();
    addresses.sort();
    assert_eq!(addresses, ["token-a", "token-b", "token-c"]);
    for push in prompts {
        assert_eq!((push.subject_id.as_str(), push.platform), ("instruction-1", Platform::Android));
        assert_eq!(push.tenant_id.as_str(), bank.tenant_id);
        assert_eq!(push.expires_at, START.plus(Duration::from_secs(180)));
    }
}

#[tokio::test]
async fn a69_unregistered_retires_that_one_address_and_no_other() {
    let service = Arc::new(Service::default());
    let relay = relay(&service, false).await;
    let (bank, _) = bank(&relay, &["token-a", "token-gone-and-long", "token-c"]).await;
    service.answers("token-gone-and-long", unregistered());
    let sent = ask(&bank, "instruction-1").await;
    assert_eq!((&sent.data()["delivered_count"], &sent.data()["failed_count"]), (&json!(3), &json!(1)));
    assert_eq!(sent.data()["failed_tokens_sample"], json!(["token-gone-a"]));
    assert_eq!(address_state(&relay, "token-gone-and-long").await, ("dead".into(), Some("unregistered".into())));
    assert_eq!(address_state(&relay, "token-a").await.0, "live");
    assert_eq!(address_state(&relay, "token-c").await.0, "live");
    let (before, again) = (service.sent_to("token-gone-and-long"), ask(&bank, "instruction-2").await);
    assert_eq!((&again.data()["delivered_count"], &again.data()["failed_count"]), (&json!(3), &json!(0)));
    assert_eq!(service.sent_to("token-gone-and-long"), before);
}

#[tokio::test]
async fn an_address_that_was_retired_wrongly_is_revived_and_gets_the_next_prompt() {
    let service = Arc::new(Service::default());
    let relay = relay(&service, false).await;
    let (bank, _) = bank(&relay, &["token-a", "token-b"]).await;
    service.answers("token-b", unregistered());
    ask(&bank, "instruction-1").await;
    service.answers("token-b", PushOutcome::Accepted { message_id: "projects/test/messages/b".to_owned() });
    let storage = &relay.app.storage;
    let tenant_id = Some(TenantId::parse(&bank.tenant_id).unwrap());
    let wave = |since| Wave { verdict: Retirement::Dead, since, reason: None, tenant_id: tenant_id.clone() };
    let later = START.plus(Duration::from_secs(1));
    assert_eq!(address::revive(storage, &wave(later), later).await.unwrap(), 0);
    assert_eq!(revival::count(storage, &wave(START)).await.unwrap(), 1);
    assert_eq!(address::revive(storage, &wave(START), later).await.unwrap(), 1);
    assert_eq!(address_state(&relay, "token-b").await, ("live".into(), None));
    assert_eq!(ask(&bank, "instruction-2").await.data()["failed_count"], 0);
    assert_eq!(service.sent_to("token-b"), 2);
}

#[rstest]
#[case::bare_404("not_found", Retry::Never, "failed")]
#[case::bare_400("invalid_argument", Retry::Never, "failed")]
#[case::our_token("unauthenticated", Retry::Never, "failed")]
#[case::overloaded("unavailable", Retry::Backoff, "due")]
#[tokio::test]
async fn a69_a_verdict_that_is_not_about_the_address_retires_none(
    #[case] error: &'static str,
    #[case] retry: Retry,
    #[case] state: &str,
) {
    let service = Arc::new(Service::default());
    let relay = relay(&service, false).await;
    let (bank, _) = bank(&relay, &["token-a"]).await;
    service.answers("token-a", failed(error, AddressVerdict::Keep, retry));
    assert_eq!(ask(&bank, "instruction-1").await.data()["failed_count"], 1);
    assert_eq!(address_state(&relay, "token-a").await, ("live".into(), None));
    let row = row(&relay, "token-a", "instruction-1").await;
    assert_eq!((row.0.as_str(), row.1, row.2.as_deref()), (state, 1, Some(error)));
}

#[tokio::test]
async fn a69_another_projects_address_is_set_aside_and_revived_by_the_app() {
    let service = Arc::new(Service::default());
    let relay = relay(&service, false).await;
    let (bank, _) = bank(&relay, &[]).await;
    let phone = relay_device(&relay, &bank, json!({"platform": "ios", "fcm_token": "token-a"})).await;
    service.answers("token-a", failed("sender_id_mismatch", AddressVerdict::Quarantine, Retry::Never));
    ask(&bank, "instruction-1").await;
    assert_eq!(address_state(&relay, "token-a").await, ("quarantined".into(), Some("sender_id_mismatch".into())));
    service.accepts("token-a");
    assert_eq!(phone.post("/device/refresh-token", json!({"fcm_token": "token-a"})).await.status, 200);
    assert_eq!(address_state(&relay, "token-a").await.0, "live");
}

#[rstest]
#[case::another_token(json!({"fcm_token": "token-new"}), "token-new", "token")]
#[case::an_installation_id(json!({"fid": "fid-new"}), "fid-new", "fid")]
#[case::the_same_text_as_an_installation_id(json!({"fid": "token-old"}), "token-old", "fid")]
#[tokio::test]
async fn a_verdict_on_an_address_that_was_replaced_meanwhile_hits_nobody(
    #[case] replacement: Value,
    #[case] address: &str,
    #[case] kind: &str,
) {
    let service = Arc::new(Service::default());
    let relay = relay(&service, false).await;
    let (bank, _) = bank(&relay, &[]).await;
    let phone = relay_device(&relay, &bank, json!({"platform": "android", "fcm_token": "token-old"})).await;
    service.answers("token-old", unregistered());
    let door = service.holds("token-old");
    let before = service.sent().len();
    let (sent, ()) = tokio::join!(ask(&bank, "instruction-1"), async {
        service.got(before + 1).await;
        assert_eq!(phone.post("/device/refresh-token", replacement).await.status, 200);
        door.notify_one();
    });
    assert_eq!(sent.data()["failed_count"], 1);
    assert_eq!(address_state(&relay, address).await, ("live".into(), None));
    service.accepts("token-old");
    door.notify_one();
    assert_eq!(ask(&bank, "instruction-2").await.data()["failed_count"], 0);
    let last = service.sent().into_iter().rev().find(|push| push.subject_id == "instruction-2").unwrap();
    assert_eq!((last.address.value(), last.address.kind()), (address, kind));
}

#[rstest]
#[case::f03_gone(unregistered(), "dead")]
#[case::f02_another_projects(failed("sender_id_mismatch", AddressVerdict::Quarantine, Retry::Never), "quarantined")]
#[tokio::test]
async fn a_wave_of_refused_addresses_is_not_believed(#[case] verdict: PushOutcome, #[case] retired: &str) {
    let service = Arc::new(Service::default());
    let relay = relay(&service, false).await;
    let (bank, _) = bank(&relay, &[]).await;
    let phone = relay_device(&relay, &bank, json!({"platform": "android", "fcm_token": "token-0"})).await;
    let mut token = phone.token.clone();
    for n in 0..60 {
        let address = format!("token-{n}");
        service.answers(&address, verdict.clone());
        let notice = json!({"user_socket_hash": USER, "title": "Hello", "body": "Hello", "kind": "info"});
        assert_eq!(bank.post("/relay/send/security-alert", notice).await.status, 200);
        let state = address_state(&relay, &address).await.0;
        assert_eq!(state, if n < 45 { retired } else { state.as_str() }, "address {n}");
        if n == 59 {
            assert_eq!(state, "live");
            break;
        }
        let next = TestDevice { token: token.clone(), ..phone.clone() };
        let refreshed = next.post("/device/refresh-token", json!({"fcm_token": format!("token-{}", n + 1)})).await;
        token = refreshed.data()["device_session_token"].as_str().unwrap().to_owned();
        relay.clock.advance(Duration::from_secs(1));
    }
}

#[tokio::test]
async fn a_slow_device_counts_as_failed_for_now_and_its_outcome_shows_later() {
    let service = Arc::new(Service::default());
    let relay = TestRelay::with(|setup| {
        setup.sender = Some(Arc::clone(&service) as Arc<dyn PushSender>);
        setup.push_limits = PushLimits { first_wait: Duration::from_millis(50), ..PushLimits::default() };
    })
    .await;
    let (bank, _) = bank(&relay, &["token-slow"]).await;
    let door = service.holds("token-slow");
    let sent = ask(&bank, "instruction-1").await;
    assert_eq!((&sent.data()["delivered_count"], &sent.data()["failed_count"]), (&json!(1), &json!(1)));
    door.notify_one();
    until_row(&relay, "token-slow", "instruction-1", "delivered", 1).await;
}

#[tokio::test]
async fn a_caller_that_hangs_up_cancels_no_push() {
    let service = Arc::new(Service::default());
    let relay = relay(&service, false).await;
    let (bank, _) = bank(&relay, &["token-a"]).await;
    let door = service.holds("token-a");
    let before = service.sent().len();
    tokio::select! {
        _ = ask(&bank, "instruction-1") => panic!("answered"),
        () = service.got(before + 1) => (),
    }
    door.notify_one();
    until_row(&relay, "token-a", "instruction-1", "delivered", 1).await;
}

#[tokio::test]
async fn a_failed_push_is_tried_again_while_the_prompt_is_open() {
    let service = Arc::new(Service::default());
    let relay = relay(&service, true).await;
    let (bank, _) = bank(&relay, &["token-a"]).await;
    service.answers("token-a", unavailable());
    ask(&bank, "instruction-1").await;
    let next = until_row(&relay, "token-a", "instruction-1", "due", 1).await;
    let pause = next.since(START);
    assert!(pause >= Duration::from_secs(8) && pause <= Duration::from_secs(12), "{pause:?}");
    service.accepts("token-a");
    relay.clock.set(next);
    until_row(&relay, "token-a", "instruction-1", "delivered", 2).await;
    let status = bank.get("/relay/fetch/delivery-status?instruction_id=instruction-1").await;
    assert_eq!(status.data()["status"], "delivered", "{status:?}");
}

#[tokio::test]
async fn a_push_is_given_up_after_five_attempts() {
    let service = Arc::new(Service::default());
    let relay = relay(&service, true).await;
    let (bank, _) = bank(&relay, &["token-a"]).await;
    service.answers("token-a", unavailable());
    let body = json!({"user_socket_hash": USER, "title": "Hello", "body": "Hello", "kind": "info",
        "notification_id": "notice-0001", "ttl_seconds": 86_400});
    bank.post("/relay/send/security-alert", body).await;
    for attempts in 1..5 {
        let next = until_row(&relay, "token-a", "notice-0001", "due", attempts).await;
        relay.clock.set(next);
    }
    until_row(&relay, "token-a", "notice-0001", "failed", 5).await;
}

#[tokio::test]
async fn the_push_service_is_left_alone_for_as_long_as_it_asks() {
    let service = Arc::new(Service::default());
    let relay = relay(&service, false).await;
    let (bank, _) = bank(&relay, &["token-a"]).await;
    let asked = Retry::NotBefore(Duration::from_secs(60));
    service.answers("token-a", failed("quota_exceeded", AddressVerdict::Keep, asked));
    ask(&bank, "instruction-1").await;
    assert_eq!(row(&relay, "token-a", "instruction-1").await.3, START.plus(Duration::from_secs(60)));
}

/// How a prompt ends while a push waits for its next attempt.
#[derive(Debug, Clone, Copy)]
enum End {
    Answered,
    Cancelled,
    Expired,
}

#[rstest]
#[case(End::Answered)]
#[case(End::Cancelled)]
#[case(End::Expired)]
#[tokio::test]
async fn no_push_is_sent_for_a_prompt_that_is_over(#[case] end: End) {
    let service = Arc::new(Service::default());
    let relay = relay(&service, true).await;
    let (bank, phone) = bank(&relay, &["token-a"]).await;
    service.answers("token-a", unavailable());
    ask(&bank, "instruction-1").await;
    let next = until_row(&relay, "token-a", "instruction-1", "due", 1).await;
    let prompts = || service.sent().iter().filter(|push| push.kind == PushKind::AuthChallenge).count();
    let before = prompts();
    match end {
        End::Answered => answer(&phone, "instruction-1").await,
        End::Cancelled => {
            let cancelled = bank.post("/relay/cancel/auth-challenge", json!({"instruction_id": "instruction-1"})).await;
            assert_eq!(cancelled.status, 200);
        }
        End::Expired => relay.clock.advance(Duration::from_secs(180)),
    }
    relay.clock.set(relay.clock.now().max(next));
    let expired = "SELECT count(*) FROM pushes WHERE kind = 'auth_challenge' AND state = 'expired'";
    until_count(&relay, expired, |count| count == 1).await;
    assert_eq!(prompts(), before);
}

#[tokio::test]
async fn a_suspended_tenants_pushes_are_held() {
    let service = Arc::new(Service::default());
    let relay = relay(&service, true).await;
    let (held, _) = bank(&relay, &["token-held"]).await;
    let (free, _) = bank(&relay, &["token-free"]).await;
    service.answers("token-held", unavailable());
    service.answers("token-free", unavailable());
    ask(&held, "instruction-1").await;
    ask(&free, "instruction-2").await;
    let next = until_row(&relay, "token-held", "instruction-1", "due", 1).await;
    let other = until_row(&relay, "token-free", "instruction-2", "due", 1).await;
    let path = format!("/suspend/tenant?tenant_id={}", held.tenant_id);
    assert_eq!(relay.operator_post(&path, json!({})).await.status, 200);
    service.accepts("token-held");
    service.accepts("token-free");
    relay.clock.set(next.max(other));
    until_row(&relay, "token-free", "instruction-2", "delivered", 2).await;
    assert_eq!(row(&relay, "token-held", "instruction-1").await.1, 1);
}

/// Rows as a prompt's transaction leaves them, and a pusher that knows nothing of them.
struct Crashed {
    relay: TestRelay,
    tenant: TenantId,
}

/// Commits a notice's push to the device with the address `token-a`, and crashes before the first attempt.
async fn crash_after_commit(service: &Arc<Service>) -> Crashed {
    let relay = relay(service, false).await;
    let (tenant, devices) = {
        let (bank, _) = bank(&relay, &[]).await;
        let phone = relay_device(&relay, &bank, json!({"platform": "android", "fcm_token": "token-a"})).await;
        let target = PushTarget {
            device_id: DeviceId::parse(phone.id("device_id")).unwrap(),
            platform: Platform::Android,
            relay_user_linked_id: RelayUserLinkedId::parse(phone.id("relay_user_linked_id")).unwrap(),
        };
        (TenantId::parse(&bank.tenant_id).unwrap(), [target])
    };
    let (now, app) = (relay.clock.now(), &relay.app);
    let expires_at = now.plus(Duration::from_secs(3_600));
    let new = NewPush { kind: PushKind::SecurityAlert, subject_id: "notice-0001", expires_at };
    let mut tx = app.storage.begin_shared().await.unwrap();
    push::enqueue(&mut tx, &tenant, new, &devices, now, &app.pusher.lease().unwrap()).await.unwrap();
    tx.commit().await.unwrap();
    Crashed { relay, tenant }
}

fn another_pusher(relay: &TestRelay, sender: Option<Arc<dyn PushSender>>) -> (Pusher, CancellationToken) {
    let stopping = CancellationToken::new();
    let pusher = Pusher::new(PusherParts {
        storage: relay.app.storage.clone(),
        clock: relay.clock.clone(),
        random: relay.app.random.clone(),
        streams: Hub::default(),
        sender,
        tracker: TaskTracker::new(),
        stopping: stopping.clone(),
        limits: PushLimits { poll: Duration::from_millis(5), ..PushLimits::default() },
    });
    (pusher, stopping)
}

#[tokio::test]
async fn a_crash_between_the_prompt_and_its_pushes_loses_none() {
    let service = Arc::new(Service::default());
    let crashed = crash_after_commit(&service).await;
    // The next process starts a moment later; no lease has lapsed yet. Beside other processes it waits for that.
    let shared = crashed.relay.app.storage.is_shared();
    let lapsed = if shared { PushLimits::default().lease } else { Duration::from_millis(1) };
    crashed.relay.clock.advance(lapsed);
    let (pusher, stopping) = another_pusher(&crashed.relay, Some(service.clone()));
    let running = tokio::spawn(pusher.run());
    until_row(&crashed.relay, "token-a", "notice-0001", "delivered", 2).await;
    stopping.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_starting_worker_leaves_rows_to_the_process_that_has_just_written_them() {
    let service = Arc::new(Service::default());
    let crashed = crash_after_commit(&service).await;
    let (pusher, stopping) = another_pusher(&crashed.relay, Some(service.clone()));
    let running = tokio::spawn(pusher.clone().run());
    let first = pusher.first_attempts(&crashed.tenant, PushKind::SecurityAlert, "notice-0001").await.unwrap();
    assert_eq!((first.delivered, first.failed), (1, 0));
    stopping.cancel();
    running.await.unwrap();
    assert_eq!(service.sent_to("token-a"), 1);
    assert_eq!(row(&crashed.relay, "token-a", "notice-0001").await.1, 1);
}

#[tokio::test]
async fn asking_for_the_first_attempts_again_sends_nothing_again() {
    let service = Arc::new(Service::default());
    let crashed = crash_after_commit(&service).await;
    let pusher = &crashed.relay.app.pusher;
    let first = pusher.first_attempts(&crashed.tenant, PushKind::SecurityAlert, "notice-0001").await.unwrap();
    let again = pusher.first_attempts(&crashed.tenant, PushKind::SecurityAlert, "notice-0001").await.unwrap();
    assert_eq!(first, again);
    assert_eq!(service.sent_to("token-a"), 1);
}

#[tokio::test]
async fn without_a_push_service_the_push_fails_and_the_address_is_kept() {
    let service = Arc::new(Service::default());
    let crashed = crash_after_commit(&service).await;
    let (pusher, _) = another_pusher(&crashed.relay, None);
    let first = pusher.first_attempts(&crashed.tenant, PushKind::SecurityAlert, "notice-0001").await.unwrap();
    assert_eq!((first.delivered, first.failed), (0, 1));
    let row = row(&crashed.relay, "token-a", "notice-0001").await;
    assert_eq!((row.0.as_str(), row.2.as_deref()), ("failed", Some("push_not_configured")));
    assert_eq!(address_state(&crashed.relay, "token-a").await.0, "live");
}
