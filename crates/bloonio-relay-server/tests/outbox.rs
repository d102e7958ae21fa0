//! The outbox of callbacks (PROTOCOL 9.5): at least once, under one id, whoever is down and whenever the relay ends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod receiver;
mod rig;
mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bloonio_relay_server::audit::Chain;
use bloonio_relay_server::net::client::{CallbackClient, ExtraRoots};
use bloonio_relay_server::net::guard::{Guard, GuardPolicy};
use bloonio_relay_server::outbox::{Outbox, OutboxLimits, OutboxParts};
use bloonio_relay_server::shared::herald::Herald;
use bloonio_relay_server::storage::db::{query, query_for};
use bloonio_relay_server::storage::delivery::claim::{self, ClaimLimits};
use bloonio_relay_server::storage::delivery::listing::{self, DeliveryRow, DeliveryState};
use bloonio_relay_server::storage::delivery::{Claimed, Lease, Settlement};
use bloonio_relay_server::storage::{Tx, audit, replay};
use bloonio_wire::clock::Clock;
use bloonio_wire::header;
use receiver::{Behaviour, Receiver};
use rig::{Rig, until};
use rstest::rstest;
use serde_json::{Value, json};
use support::{TestRelay, TestTenant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running outbox.
struct Running {
    outbox: Outbox,
    stopping: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Ends it as a crash would: nothing is finished, nothing handed back.
    async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    /// Ends it as SIGTERM would.
    async fn stop(self) {
        self.stopping.cancel();
        self.task.await.unwrap();
    }
}

fn allow_private() -> GuardPolicy {
    GuardPolicy { allow_private: true, extra_ports: vec![] }
}

fn start_with(rig: &Rig, policy: GuardPolicy, limits: OutboxLimits) -> Running {
    let stopping = CancellationToken::new();
    let outbox = Outbox::new(OutboxParts {
        storage: rig.storage.clone(),
        sealer: rig.sealer.clone(),
        clock: rig.clock.clone(),
        random: rig.random.clone(),
        client: CallbackClient::new(Guard::new(policy), &ExtraRoots::default()).unwrap(),
        herald: Herald::default(),
        stopping: stopping.clone(),
        limits,
    });
    let task = tokio::spawn(outbox.clone().run());
    Running { outbox, stopping, task }
}

fn start(rig: &Rig) -> Running {
    start_with(rig, allow_private(), OutboxLimits::default())
}

impl Rig {
    async fn row(&self, delivery: &str) -> DeliveryRow {
        listing::find(&self.storage, delivery).await.unwrap().unwrap()
    }

    async fn until_state(&self, delivery: &str, state: DeliveryState) -> DeliveryRow {
        until(state.as_str(), || async { self.row(delivery).await.state == state }).await;
        self.row(delivery).await
    }

    /// Waits until attempt number `attempts` has failed and the next one is planned.
    async fn until_failed(&self, delivery: &str, attempts: i64) -> DeliveryRow {
        until("a failed attempt", || async {
            let row = self.row(delivery).await;
            row.state == DeliveryState::Due && row.attempts == attempts
        })
        .await;
        self.row(delivery).await
    }

    async fn claim(&self, total: u32) -> Vec<Claimed> {
        self.claim_within(ClaimLimits { per_lane: 8, total, retries: total }).await
    }

    async fn claim_within(&self, limits: ClaimLimits) -> Vec<Claimed> {
        let now = self.clock.now();
        let token = bloonio_wire::random::hex_token::<16>(self.random.as_ref()).unwrap();
        self.claim_as(Lease { token, until: now.plus(OutboxLimits::default().lease) }, now, limits).await
    }
}

/// A port that is taken but does not listen: connecting to it is refused, and no other test can get it.
struct Nobody(tokio::net::TcpSocket);

impl Nobody {
    fn new() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self(socket)
    }

    fn url(&self) -> String {
        format!("http://{}/callback", self.0.local_addr().unwrap())
    }
}

#[tokio::test]
async fn a_callback_carries_both_signatures_and_the_exact_body() {
    let (rig, backend) = (Rig::new().await, Receiver::start(Behaviour::Status(200)).await);
    let tenant = rig.tenant().await;
    let running = start(&rig);
    let delivery = rig.decide(&tenant.id, "instruction-1", &backend.url()).await;
    running.outbox.wake();
    let received = &backend.received(1).await[0];
    received.verify(&tenant.secret, rig.clock.now());
    assert_eq!(received.header(header::TENANT_ID), tenant.id.as_str());
    assert_eq!(received.header(header::WEBHOOK_ID), delivery);
    assert_eq!(received.header("content-type"), "application/json");
    assert_eq!(received.body.as_ref(), br#"{"instruction_id":"instruction-1","approved":true}"#);
    assert_eq!(received.path, "/callback");
    let row = rig.until_state(&delivery, DeliveryState::Acknowledged).await;
    assert_eq!((row.attempts, row.last_status, row.settled_at), (1, Some(200), Some(rig.clock.now())));
}

#[tokio::test]
async fn every_attempt_is_signed_anew_under_the_same_id() {
    let (rig, backend) = (Rig::new().await, Receiver::start(Behaviour::Status(500)).await);
    let tenant = rig.tenant().await;
    let delivery = rig.decide(&tenant.id, "instruction-1", &backend.url()).await;
    let running = start(&rig);
    rig.until_failed(&delivery, 1).await;
    rig.advance(Duration::from_secs(1));
    running.outbox.wake();
    let received = backend.received(2).await;
    received[1].verify(&tenant.secret, rig.clock.now());
    assert_eq!(received[0].header(header::WEBHOOK_ID), received[1].header(header::WEBHOOK_ID));
    assert_eq!(received[0].body, received[1].body);
    for changed in [header::TIMESTAMP, header::SIGNATURE, header::WEBHOOK_TIMESTAMP, header::WEBHOOK_SIGNATURE] {
        assert_ne!(received[0].header(changed), received[1].header(changed), "{changed}");
    }
}

#[rstest]
#[case(200)]
#[case(201)]
#[case(202)]
#[case(204)]
#[case(299)]
#[tokio::test]
async fn any_2xx_acknowledges(#[case] status: u16) {
    let (rig, backend) = (Rig::new().await, Receiver::start(Behaviour::Status(status)).await);
    let tenant = rig.tenant().await;
    let delivery = rig.decide(&tenant.id, "instruction-1", &backend.url()).await;
    let _running = start(&rig);
    assert_eq!(rig.until_state(&delivery, DeliveryState::Acknowledged).await.last_status, Some(i64::from(status)));
}

#[rstest]
#[case(300)]
#[case(304)]
#[case(400)]
#[case(401)]
#[case(404)]
#[case(429)]
#[case(500)]
#[case(503)]
#[tokio::test]
async fn every_other_status_is_tried_again(#[case] status: u16) {
    let (rig, backend) = (Rig::new().await, Receiver::start(Behaviour::Status(status)).await);
    let tenant = rig.tenant().await;
    let delivery = rig.decide(&tenant.id, "instruction-1", &backend.url()).await;
    let _running = start(&rig);
    let row = rig.until_failed(&delivery, 1).await;
    assert_eq!(row.last_status, Some(i64::from(status)));
    assert_eq!(row.next_at, rig.clock.now().plus(Duration::from_secs(1)));
}

#[tokio::test]
async fn gone_dead_letters_at_once() {
    let (rig, backend) = (Rig::new().await, Receiver::start(Behaviour::Status(410)).await);
    let tenant = rig.tenant().await;
    let delivery = rig.decide(&tenant.id, "instruction-1", &backend.url()).await;
    let _running = start(&rig);
    let row = rig.until_state(&delivery, DeliveryState::Dead).await;
    assert_eq!((row.attempts, row.last_status, row.last_error.as_deref()), (1, Some(410), Some("gone")));
}

#[tokio::test]
async fn a65_a_redirect_is_a_failure_and_is_not_followed() {
    let (rig, elsewhere) = (Rig::new().await, Receiver::start(Behaviour::Status(200)).await);
    let backend = Receiver::start(Behaviour::Redirect(elsewhere.url())).await;
    let tenant = rig.tenant().await;
    let delivery = rig.decide(&tenant.id, "instruction-1", &backend.url()).await;
    let _running = start(&rig);
    let row = rig.until_failed(&delivery, 1).await;
    assert_eq!((row.last_status, row.last_error.as_deref()), (Some(307), Some("redirect")));
    assert!(elsewhere.journal().is_empty());
}

#[tokio::test]
async fn a65_a_redirect_to_the_metadata_service_leads_nowhere() {
    let rig = Rig::new().await;
    let metadata = "http://169.254.169.254/latest/meta-data/".to_owned();
    let backend = Receiver::start(Behaviour::Redirect(metadata.clone())).await;
    let tenant = rig.tenant().await;
    let redirected = rig.decide(&tenant.id, "instruction-1", &backend.url()).await;
    let direct = rig.decide(&tenant.id, "instruction-2", &metadata).await;
    let _running = start(&rig);
    assert_eq!(rig.until_failed(&redirected, 1).await.last_error.as_deref(), Some("redirect"));
    assert_eq!(rig.until_failed(&direct, 1).await.last_error.as_deref(), Some("address_refused"));
}

#[tokio::test]
async fn a65_a_private_receiver_is_refused_unless_the_operator_allows_it() {
    let (rig, backend) = (Rig::new().await, Receiver::start(Behaviour::Status(200)).await);
    let tenant = rig.tenant().await;
    let port = backend.address().port();
    let literal = rig.decide(&tenant.id, "instruction-1", &format!("https://127.0.0.1:{port}/")).await;
    let named = rig.decide(&tenant.id, "instruction-2", &format!("https://localhost:{port}/")).await;
    let plain = rig.decide(&tenant.id, "instruction-3", &backend.url()).await;
    let policy = GuardPolicy { allow_private: false, extra_ports: vec![port] };
    let _running = start_with(&rig, policy, OutboxLimits::default());
    assert_eq!(rig.until_failed(&literal, 1).await.last_error.as_deref(), Some("address_refused"));
    assert_eq!(rig.until_failed(&named, 1).await.last_error.as_deref(), Some("address_refused"));
    assert_eq!(rig.until_failed(&plain, 1).await.last_error.as_deref(), Some("url_refused"));
    assert!(backend.journal().is_empty());
}

#[rstest]
#[case::without_end(Behaviour::Endless)]
#[case::drop_by_drop(Behaviour::Drip)]
#[tokio::test]
async fn a_long_or_slow_answer_is_cut_off_and_still_acknowledges(#[case] behaviour: Behaviour) {
    let (rig, backend) = (Rig::new().await, Receiver::start(behaviour).await);
    let tenant = rig.tenant().await;
    let delivery = rig.decide(&tenant.id, "instruction-1", &backend.url()).await;
    let _running = start(&rig);
    backend.cut_off().await;
    rig.until_state(&delivery, DeliveryState::Acknowledged).await;
    // Of which the buffers of both sockets hold the most.
    assert!(backend.sent() < 16 << 20, "{} bytes", backend.sent());
}

#[tokio::test]
async fn a_silent_receiver_is_a_timeout() {
    let (rig, backend) = (Rig::new().await, Receiver::start(Behaviour::Silent).await);
    let tenant = rig.tenant().await;
    let delivery = rig.decide(&tenant.id, "instruction-1", &backend.url()).await;
    let limits = OutboxLimits { attempt_timeout: Duration::from_millis(50), ..OutboxLimits::default() };
    let _running = start_with(&rig, allow_private(), limits);
    let row = rig.until_failed(&delivery, 1).await;
    assert_eq!((row.last_status, row.last_error.as_deref()), (None, Some("timeout")));
}

#[tokio::test]
async fn a_receiver_that_was_down_for_twenty_seconds_gets_the_decision_once_it_is_back() {
    let (rig, backend) = (Rig::new().await, Receiver::start(Behaviour::Status(503)).await);
    let tenant = rig.tenant().await;
    let delivery = rig.decide(&tenant.id, "instruction-1", &backend.url()).await;
    let decided_at = rig.clock.now();
    let running = start(&rig);
    for (attempts, next) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 15), (6, 30)] {
        let row = rig.until_failed(&delivery, attempts).await;
        assert_eq!(row.next_at, decided_at.plus(Duration::from_secs(next)), "after attempt {attempts}");
        if next <= 20 {
            rig.clock.set(row.next_at);
            running.outbox.wake();
        }
    }
    backend.behave(Behaviour::Status(200));
    rig.clock.set(decided_at.plus(Duration::from_secs(30)));
    running.outbox.wake();
    let row = rig.until_state(&delivery, DeliveryState::Acknowledged).await;
    assert_eq!((row.attempts, backend.journal().len()), (7, 7));
}

#[tokio::test]
async fn an_unreachable_receiver_is_given_up_at_the_end_of_the_schedule_and_can_be_sent_again() {
    let (rig, backend) = (Rig::new().await, Nobody::new());
    let tenant = rig.tenant().await;
    let delivery = rig.decide(&tenant.id, "instruction-1", &backend.url()).await;
    let running = start(&rig);
    let mut attempts = 0;
    let row = loop {
        attempts += 1;
        until("an attempt", || async {
            let row = rig.row(&delivery).await;
            row.attempts == attempts && row.state != DeliveryState::Sending
        })
        .await;
        let row = rig.row(&delivery).await;
        if row.state == DeliveryState::Dead {
            break row;
        }
        rig.clock.set(row.next_at);
        running.outbox.wake();
    };
    assert_eq!((row.attempts, row.last_error.as_deref()), (12, Some("connect")));
    assert_eq!(row.settled_at, Some(row.created_at.plus(Duration::from_secs(540))));

    // An operator's order starts the schedule anew, long after it had ended.
    rig.advance(Duration::from_secs(3_600));
    let now = rig.clock.now();
    let again = listing::redeliver(&rig.storage, &delivery, now, now.plus(Duration::from_secs(600))).await.unwrap();
    assert_eq!(again.unwrap().state, DeliveryState::Due);
    running.outbox.wake();
    assert_eq!(rig.until_failed(&delivery, 13).await.next_at, now.plus(Duration::from_secs(1)));
}

#[tokio::test]
async fn a_kill_between_decision_and_callback_loses_nothing() {
    let (rig, backend) = (Rig::new().await, Receiver::start(Behaviour::Status(200)).await);
    let tenant = rig.tenant().await;
    let delivery = rig.decide(&tenant.id, "instruction-1", &backend.url()).await;
    // The process that decided is no more; another one opens the same file, much later.
    let rig = rig.reopened().await;
    rig.advance(Duration::from_secs(86_400));
    let _running = start(&rig);
    backend.received(1).await[0].verify(&tenant.secret, rig.clock.now());
    rig.until_state(&delivery, DeliveryState::Acknowledged).await;
}

#[tokio::test]
async fn a_kill_during_an_attempt_sends_again_under_the_same_id() {
    let (rig, backend) = (Rig::new().await, Receiver::start(Behaviour::Silent).await);
    let tenant = rig.tenant().await;
    let delivery = rig.decide(&tenant.id, "instruction-1", &backend.url()).await;
    let running = start(&rig);
    backend.received(1).await;
    running.kill().await;
    assert_eq!(rig.row(&delivery).await.state, DeliveryState::Sending);
    backend.behave(Behaviour::Status(200));
    rig.lapse_leases();
    let _running = start(&rig);
    let received = backend.received(2).await;
    assert_eq!(received[0].header(header::WEBHOOK_ID), received[1].header(header::WEBHOOK_ID));
    assert_eq!(rig.until_state(&delivery, DeliveryState::Acknowledged).await.attempts, 2);
}

#[tokio::test]
async fn a_schedule_that_ran_out_while_the_relay_was_away_starts_anew() {
    let (rig, backend) = (Rig::new().await, Nobody::new());
    let tenant = rig.tenant().await;
    let delivery = rig.decide(&tenant.id, "instruction-1", &backend.url()).await;
    rig.advance(Duration::from_secs(7_200));
    let _running = start(&rig);
    let row = rig.until_failed(&delivery, 1).await;
    assert_eq!(row.next_at, rig.clock.now().plus(Duration::from_secs(1)));
}

#[tokio::test]
async fn a_row_whose_worker_died_is_sent_by_a_living_one_within_twenty_seconds() {
    let (rig, backend) = (Rig::new().await, Receiver::start(Behaviour::Status(200)).await);
    let tenant = rig.tenant().await;
    let running = start(&rig);
    let first = rig.decide(&tenant.id, "instruction-1", &backend.url()).await;
    running.outbox.wake();
    rig.until_state(&first, DeliveryState::Acknowledged).await;
    // Claimed by somebody who never comes back; not yet due by the clock of the living one, who cannot be first.
    let later = rig.clock.now().plus(Duration::from_secs(5));
    let second = rig.decide_at(later, &tenant.id, &["instruction-2".to_owned()], &backend.url()).await;
    let lease = Lease { token: "lost".to_owned(), until: later.plus(OutboxLimits::default().lease) };
    let limits = ClaimLimits { per_lane: 8, total: 1, retries: 1 };
    assert_eq!(rig.claim_as(lease, later, limits).await.len(), 1);
    rig.clock.set(later.plus(Duration::from_secs(20)));
    running.outbox.wake();
    rig.until_state(&second, DeliveryState::Acknowledged).await;
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_settles_nothing() {
    let rig = Rig::new().await;
    let tenant = rig.tenant().await;
    let delivery = rig.decide(&tenant.id, "instruction-1", "https://backend.test/").await;
    let slow = rig.claim(10).await.remove(0);
    assert!(rig.claim(10).await.is_empty());
    rig.advance(Duration::from_secs(15));
    let quick = rig.claim(10).await.remove(0);
    assert_eq!((slow.attempts, quick.attempts), (1, 2));
    assert!(!rig.settle(&slow, Settlement::Dead).await);
    assert_eq!(rig.row(&delivery).await.state, DeliveryState::Sending);
    assert!(rig.settle(&quick, Settlement::Acknowledged).await);
    assert!(!rig.settle(&quick, Settlement::Dead).await);
    assert!(!rig.release(&slow).await);
    assert_eq!(rig.row(&delivery).await.state, DeliveryState::Acknowledged);
}

#[tokio::test]
async fn of_two_claims_of_a_callback_that_end_together_the_living_one_counts() {
    let rig = Rig::new().await;
    let tenant = rig.tenant().await;
    let delivery = rig.decide(&tenant.id, "instruction-1", "https://backend.test/").await;
    let lapsed = rig.claim(10).await.remove(0);
    rig.advance(Duration::from_secs(15));
    let other = rig.decide(&tenant.id, "instruction-2", "https://backend.test/").await;
    let claimed = rig.claim(10).await;
    let of = |name: &str| claimed.iter().find(|claimed| claimed.delivery_id == name).unwrap();
    let (living, beside) = (of(&delivery), of(&other));
    let ends = [(&lapsed, Settlement::Dead), (living, Settlement::Acknowledged), (beside, Settlement::Dead)];
    assert_eq!(rig.settle_all(&ends).await, [false, true, true]);
    assert_eq!(rig.row(&delivery).await.state, DeliveryState::Acknowledged);
    assert_eq!(rig.row(&other).await.state, DeliveryState::Dead);
}

#[tokio::test]
async fn workers_that_claim_at_once_share_the_rows() {
    let rig = Rig::new().await;
    for tenant in 0..20 {
        let tenant = (tenant, rig.tenant().await);
        for row in 0..5 {
            rig.decide(&tenant.1.id, &format!("instruction-{}-{row}", tenant.0), "https://backend.test/").await;
        }
    }
    let claims = futures_util::future::join_all((0..16).map(|_| rig.claim(10))).await;
    let mut claimed: Vec<_> = claims.into_iter().flatten().map(|claimed| claimed.delivery_id).collect();
    assert_eq!(claimed.len(), 100);
    claimed.sort();
    claimed.dedup();
    assert_eq!(claimed.len(), 100);
}

#[tokio::test]
async fn a68_a_thousand_rows_of_a_dead_endpoint_do_not_delay_another_tenants_first_try() {
    let (rig, dead, alive) =
        (Rig::new().await, Receiver::start(Behaviour::Silent).await, Receiver::start(Behaviour::Status(200)).await);
    let (noisy, quiet) = (rig.tenant().await, rig.tenant().await);
    let subjects: Vec<_> = (0..1_000).map(|row| format!("instruction-{row}")).collect();
    rig.decide_at(rig.clock.now(), &noisy.id, &subjects, &dead.url()).await;
    let limits = OutboxLimits { attempt_timeout: Duration::from_secs(3_600), ..OutboxLimits::default() };
    let running = start_with(&rig, allow_private(), limits);
    dead.received(8).await;
    let delivery = rig.decide(&quiet.id, "instruction-1", &alive.url()).await;
    running.outbox.wake();
    rig.until_state(&delivery, DeliveryState::Acknowledged).await;
    // Nothing of the dead endpoint is over yet, and it never had more than its share.
    assert_eq!((dead.journal().len(), dead.most_open()), (8, 8));
}

#[tokio::test]
async fn a68_retries_leave_half_of_the_places_to_first_attempts() {
    let rig = Rig::new().await;
    let mut tenants = Vec::new();
    for n in 0..8 {
        let tenant = rig.tenant().await;
        rig.decide(&tenant.id, &format!("instruction-{n}"), "https://backend.test/").await;
        tenants.push(tenant);
    }
    for claimed in rig.claim(8).await {
        assert!(rig.settle(&claimed, Settlement::Due(rig.clock.now())).await);
    }
    rig.decide(&tenants[0].id, "instruction-fresh", "https://backend.test/").await;
    let claimed = rig.claim_within(ClaimLimits { per_lane: 8, total: 6, retries: 3 }).await;
    let (fresh, retries): (Vec<_>, Vec<_>) = claimed.iter().partition(|claimed| claimed.attempts == 1);
    assert_eq!((fresh.len(), retries.len()), (1, 3));
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_given_up_and_holds_up_no_other() {
    let rig = Rig::new().await;
    let receiver = Receiver::start(Behaviour::Status(200)).await;
    let tenant = rig.tenant().await;
    let odd = rig.decide(&tenant.id, "instruction-odd", &receiver.url()).await;
    let good = rig.decide(&tenant.id, "instruction-1", &receiver.url()).await;
    // As a newer version, or a bad disk, might leave it: a tenant whose id is none.
    for sql in [
        "INSERT INTO tenants SELECT 'odd', tenant_name, secret_sealed, status, rate_limit_per_min, config, created_at, \
         rotated_at FROM tenants",
        "UPDATE deliveries SET tenant_id = 'odd' WHERE subject_id = 'instruction-odd'",
    ] {
        query(sql).execute(rig.storage.writer()).await.unwrap();
    }
    let running = start(&rig);
    rig.until_state(&good, DeliveryState::Acknowledged).await;
    running.stop().await;
    let row = query("SELECT state, last_error FROM deliveries WHERE delivery_id = $1")
        .bind(&odd)
        .fetch_one(rig.storage.readers())
        .await
        .unwrap();
    let text = |place| row.at::<String>(place).unwrap();
    assert_eq!((text(0), text(1)), ("dead".to_owned(), "unreadable".to_owned()));
    assert_eq!(receiver.journal().len(), 1);
    // Whose it was cannot be read: the operator's own chain tells of it.
    let told = audit::of_subject(&rig.storage, &Chain::Operator, &odd).await.unwrap();
    assert_eq!(told.iter().map(|entry| entry.kind.as_str()).collect::<Vec<_>>(), ["callback.dead"]);
    assert_eq!(told[0].details, r#"{"error":"unreadable"}"#);
}

/// Twelve decisions for one endpoint, each of which has failed once.
async fn twelve_failures(rig: &Rig, tenant: &rig::TestTenant, backend: &Receiver) -> Running {
    let subjects: Vec<_> = (0..12).map(|row| format!("instruction-{row}")).collect();
    rig.decide_at(rig.clock.now(), &tenant.id, &subjects, &backend.url()).await;
    let running = start(rig);
    rig.until_count("state = 'due' AND attempts = 1", 12).await;
    running
}

impl Rig {
    async fn until_count(&self, which: &'static str, wanted: i64) {
        until(which, || async {
            let statement = format!("SELECT count(*) FROM deliveries WHERE {which}");
            query(statement).fetch_value::<i64>(self.storage.readers()).await.unwrap() == Some(wanted)
        })
        .await;
    }

    /// Lets the worker take a turn, to its end: a callback of somebody else passes.
    async fn a_turn_passes(&self, running: &Running, number: usize) {
        let (other, healthy) = (self.tenant().await, Receiver::start(Behaviour::Status(200)).await);
        let delivery = self.decide(&other.id, &format!("turn-{number}"), &healthy.url()).await;
        running.outbox.wake();
        self.until_state(&delivery, DeliveryState::Acknowledged).await;
    }
}

#[tokio::test]
async fn a72_an_endpoint_that_failed_ten_times_in_a_row_gets_one_attempt_at_a_time() {
    let (rig, backend) = (Rig::new().await, Receiver::start(Behaviour::Status(500)).await);
    let tenant = rig.tenant().await;
    let running = twelve_failures(&rig, &tenant, &backend).await;
    backend.behave(Behaviour::Silent);
    rig.advance(Duration::from_secs(1));
    running.outbox.wake();
    backend.received(13).await;
    rig.decide(&tenant.id, "instruction-fresh", &backend.url()).await;
    for number in 0..3 {
        rig.a_turn_passes(&running, number).await;
    }
    assert_eq!(backend.journal().len(), 13, "the eleven others and the fresh one wait for the outcome");
}

#[tokio::test]
async fn a72_the_first_success_lets_everything_through_that_has_waited() {
    let (rig, backend) = (Rig::new().await, Receiver::start(Behaviour::Status(500)).await);
    let tenant = rig.tenant().await;
    let running = twelve_failures(&rig, &tenant, &backend).await;
    backend.behave(Behaviour::Status(200));
    rig.advance(Duration::from_secs(1));
    running.outbox.wake();
    rig.until_count("state = 'acknowledged' AND attempts = 2", 12).await;
    assert_eq!(backend.journal().len(), 24);

    // Nothing of it is remembered: eight at once again.
    backend.behave(Behaviour::Silent);
    let subjects: Vec<_> = (0..12).map(|row| format!("later-{row}")).collect();
    rig.decide_at(rig.clock.now(), &tenant.id, &subjects, &backend.url()).await;
    running.outbox.wake();
    backend.received(32).await;
}

#[tokio::test]
async fn a72_a_failing_endpoint_slows_no_other_one_of_its_tenant() {
    let (rig, backend) = (Rig::new().await, Receiver::start(Behaviour::Status(500)).await);
    let tenant = rig.tenant().await;
    let running = twelve_failures(&rig, &tenant, &backend).await;
    let other = Receiver::start(Behaviour::Silent).await;
    let subjects: Vec<_> = (0..8).map(|row| format!("other-{row}")).collect();
    rig.decide_at(rig.clock.now(), &tenant.id, &subjects, &other.url()).await;
    running.outbox.wake();
    other.received(8).await;
}

#[tokio::test]
async fn what_a_failing_endpoint_has_no_time_for_is_kept_as_dead_at_the_end_of_its_schedule() {
    let (rig, backend) = (Rig::new().await, Receiver::start(Behaviour::Status(500)).await);
    let tenant = rig.tenant().await;
    let running = twelve_failures(&rig, &tenant, &backend).await;
    backend.behave(Behaviour::Silent);
    rig.advance(Duration::from_secs(1));
    running.outbox.wake();
    backend.received(13).await;
    rig.decide(&tenant.id, "instruction-fresh", &backend.url()).await;
    rig.advance(Duration::from_secs(600));
    running.outbox.wake();
    rig.until_count("state = 'dead' AND attempts = 1 AND last_status = 500", 11).await;
    rig.until_count("state IN ('due', 'sending') AND subject_id = 'instruction-fresh'", 1).await;
}

#[tokio::test]
async fn lanes_take_turns() {
    let rig = Rig::new().await;
    let (noisy, quiet) = (rig.tenant().await, rig.tenant().await);
    for row in 0..20 {
        rig.decide(&noisy.id, &format!("instruction-{row}"), "https://noisy.test/").await;
    }
    rig.advance(Duration::from_secs(1));
    rig.decide(&quiet.id, "instruction-1", "https://quiet.test/").await;
    rig.decide(&noisy.id, "instruction-other", "https://other.test/").await;
    let claimed = rig.claim(3).await;
    let mut urls: Vec<_> = claimed.iter().map(|claimed| claimed.url.as_str()).collect();
    urls.sort_unstable();
    assert_eq!(urls, ["https://noisy.test/", "https://other.test/", "https://quiet.test/"]);
    // The lane's share counts what is under way.
    let rest = rig.claim(100).await;
    assert_eq!(rest.len(), 7);
}

#[tokio::test]
async fn a64_a_rotated_secret_signs_from_the_next_attempt_on() {
    let (rig, backend) = (Rig::new().await, Receiver::start(Behaviour::Status(500)).await);
    let tenant = rig.tenant().await;
    let delivery = rig.decide(&tenant.id, "instruction-1", &backend.url()).await;
    let running = start(&rig);
    rig.until_failed(&delivery, 1).await;
    let rotated = rig.registry().rotate(&tenant.id).await.unwrap();
    rig.advance(Duration::from_secs(1));
    running.outbox.wake();
    let received = backend.received(2).await;
    received[1].verify(&bloonio_wire::secret::Secret::new(rotated.tenant_secret), rig.clock.now());
}

#[tokio::test]
async fn a_callbacks_signature_is_in_the_replay_memory_before_it_arrives() {
    let (rig, backend) = (Rig::new().await, Receiver::start(Behaviour::Silent).await);
    let tenant = rig.tenant().await;
    rig.decide(&tenant.id, "instruction-1", &backend.url()).await;
    let _running = start(&rig);
    let signature = backend.received(1).await[0].signature();
    let first = replay::claim(&rig.storage, &tenant.id, &[*signature.as_bytes()], rig.clock.now(), rig.clock.now())
        .await
        .unwrap();
    assert!(!first);
}

#[tokio::test]
async fn a_suspended_tenants_callbacks_are_held_and_go_out_when_it_is_reactivated() {
    let (rig, backend) = (Rig::new().await, Receiver::start(Behaviour::Status(200)).await);
    let (held, other) = (rig.tenant().await, rig.tenant().await);
    rig.suspend(&held.id).await;
    let delivery = rig.decide(&held.id, "instruction-1", &backend.url()).await;
    let running = start(&rig);
    let passing = rig.decide(&other.id, "instruction-2", &backend.url()).await;
    running.outbox.wake();
    rig.until_state(&passing, DeliveryState::Acknowledged).await;
    assert_eq!((rig.row(&delivery).await.attempts, backend.journal().len()), (0, 1));

    // Held for longer than any schedule; the receiver is down when it is let go.
    rig.advance(Duration::from_secs(86_400));
    backend.behave(Behaviour::Status(503));
    rig.reactivate(&held.id).await;
    running.outbox.wake();
    assert_eq!(rig.until_failed(&delivery, 1).await.next_at, rig.clock.now().plus(Duration::from_secs(1)));
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn says(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.0.lock().unwrap()).contains(text)
    }
}

#[tokio::test]
async fn an_outcome_that_cannot_be_stored_is_stored_later_and_not_sent_again() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let (rig, backend) = (Rig::new().await, Receiver::start(Behaviour::Status(200)).await);
    let tenant = rig.tenant().await;
    let delivery = rig.decide(&tenant.id, "instruction-1", &backend.url()).await;
    let trigger = "CREATE TRIGGER fault BEFORE UPDATE ON deliveries";
    let sqlite = format!("{trigger} WHEN NEW.state = 'acknowledged' BEGIN SELECT RAISE(ABORT, 'disk full'); END");
    let postgres = format!("{trigger} FOR EACH ROW WHEN (NEW.state = 'acknowledged') EXECUTE FUNCTION refuse()");
    if rig.storage.is_shared() {
        let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                      $$ BEGIN RAISE EXCEPTION 'disk full'; END $$";
        query(refuse).execute(rig.storage.writer()).await.unwrap();
    }
    query_for(sqlite, postgres).execute(rig.storage.writer()).await.unwrap();
    let limits = OutboxLimits { poll: Duration::from_millis(5), ..OutboxLimits::default() };
    let _running = start_with(&rig, allow_private(), limits);
    until("a failure", || async { log.says("the outbox cannot be worked on") }).await;
    query_for("DROP TRIGGER fault", "DROP TRIGGER fault ON deliveries").execute(rig.storage.writer()).await.unwrap();
    let row = rig.until_state(&delivery, DeliveryState::Acknowledged).await;
    assert_eq!((row.attempts, backend.journal().len()), (1, 1));
    assert!(!log.says(tenant.secret.expose()));
}

#[tokio::test]
async fn stopping_finishes_what_is_under_way() {
    let (rig, backend) = (Rig::new().await, Receiver::start(Behaviour::Drip).await);
    let tenant = rig.tenant().await;
    let delivery = rig.decide(&tenant.id, "instruction-1", &backend.url()).await;
    let running = start(&rig);
    backend.received(1).await;
    running.stop().await;
    assert_eq!(rig.row(&delivery).await.state, DeliveryState::Acknowledged);
}

#[tokio::test]
async fn stopping_hands_back_what_does_not_finish() {
    let (rig, backend) = (Rig::new().await, Receiver::start(Behaviour::Silent).await);
    let tenant = rig.tenant().await;
    let delivery = rig.decide(&tenant.id, "instruction-1", &backend.url()).await;
    let limits = OutboxLimits { drain: Duration::ZERO, ..OutboxLimits::default() };
    let running = start_with(&rig, allow_private(), limits);
    backend.received(1).await;
    running.stop().await;
    let row = rig.row(&delivery).await;
    assert_eq!((row.state, row.attempts, row.next_at), (DeliveryState::Due, 1, rig.clock.now()));
    // Due at once, without any lease to wait for.
    assert_eq!(rig.claim(1).await.len(), 1);
}

#[tokio::test]
async fn the_same_event_is_one_delivery() {
    let rig = Rig::new().await;
    let (tenant, other) = (rig.tenant().await, rig.tenant().await);
    let first = rig.decide(&tenant.id, "instruction-1", "https://backend.test/").await;
    let second = rig.decide(&tenant.id, "instruction-1", "https://elsewhere.test/").await;
    let foreign = rig.decide(&other.id, "instruction-1", "https://backend.test/").await;
    assert_eq!(first, second);
    assert_ne!(first, foreign);
    assert_eq!(rig.claim(10).await.len(), 2);
}

/// A relay behind its real router, with workers and a backend that its callbacks reach.
async fn relay_with(limits: OutboxLimits) -> TestRelay {
    TestRelay::with(|setup| {
        setup.config.guard = allow_private();
        setup.outbox_limits = limits;
        setup.workers = true;
    })
    .await
}

/// A decision of a fresh user of `bank`, with its callback to `url`; gives the delivery's id once the list has it.
async fn decide(bank: &TestTenant<'_>, instruction: &str, url: &str) -> String {
    assert_eq!(bank.update(json!({"callback_url_base": url})).await.status, 200);
    let phone = bank.pair(&format!("user-of-{instruction}")).await;
    let prompt = json!({
        "user_socket_hash": format!("user-of-{instruction}"), "instruction_id": instruction, "custom_type": "localAuth",
        "expected_action": "transfer_funds", "backend_url": "https://bank.example", "ttl_seconds": 180
    });
    assert_eq!(bank.post("/relay/send/auth-challenge", prompt).await.status, 200);
    let body = json!({"instruction_id": instruction, "approved": true, "custom_type": "localAuth"});
    assert_eq!(phone.post("/device/submit-response", body).await.status, 200);
    let page = bank.relay.operator_get(&format!("/fetch/callbacks?tenant_id={}", bank.tenant_id)).await;
    let items = page.data()["items"].as_array().unwrap().clone();
    let of_decision = items.iter().find(|item| item["subject_id"] == instruction).unwrap();
    assert_eq!(of_decision["flow"], "sudo-validated");
    of_decision["delivery_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_decision_calls_back_at_the_tenants_base_without_being_polled_for() {
    let backend = Receiver::start(Behaviour::Status(200)).await;
    let relay = relay_with(OutboxLimits::default()).await;
    let bank = relay.provision("Bank").await;
    let base = format!("http://{}/base/", backend.address());
    let delivery = decide(&bank, "instruction-1", &base).await;
    let mut received = backend.received(2).await;
    received.sort_by(|a, b| a.path.cmp(&b.path));
    assert_eq!(received[0].path, "/base/relay-callbacks/pairing-completed");
    assert_eq!(received[1].path, "/base/relay-callbacks/sudo-validated");
    received[1].verify(&bank.secret, relay.clock.now());
    assert_eq!(received[1].header(header::WEBHOOK_ID), delivery);
    let event: Value = serde_json::from_slice(&received[1].body).unwrap();
    assert_eq!((&event["instruction_id"], &event["approved"]), (&json!("instruction-1"), &json!(true)));
}

#[tokio::test]
async fn a_callback_cannot_come_back_as_a_call() {
    let backend = Receiver::start(Behaviour::Status(200)).await;
    let relay = relay_with(OutboxLimits::default()).await;
    let bank = relay.provision("Bank").await;
    decide(&bank, "instruction-1", &format!("http://{}", backend.address())).await;
    for received in backend.received(2).await {
        let mut request = http::Request::post("/api/v1/relay/cancel/auth-challenge");
        for name in [header::TENANT_ID, header::TIMESTAMP, header::SIGNATURE] {
            request = request.header(name, received.header(name));
        }
        let answer = relay.send(request.body(received.body.into()).unwrap()).await;
        answer.expect_error(401, "REQUEST_REPLAYED");
    }
}

#[tokio::test]
async fn an_operator_lists_callbacks_and_sends_a_dead_one_again() {
    let backend = Receiver::start(Behaviour::Status(410)).await;
    let relay = relay_with(OutboxLimits::default()).await;
    let bank = relay.provision("Bank").await;
    let delivery = decide(&bank, "instruction-1", &format!("http://{}", backend.address())).await;
    let list = async |query: &str| relay.operator_get(&format!("/fetch/callbacks?{query}")).await;
    let dead = format!("tenant_id={}&status=dead", bank.tenant_id);
    until("two dead letters", || async { list(&dead).await.data()["total"] == 2 }).await;
    let page = list(&format!("{dead}&limit=1&offset=1")).await;
    assert_eq!((&page.data()["limit"], &page.data()["offset"]), (&json!(1), &json!(1)));
    assert_eq!((&page.data()["total"], page.data()["items"].as_array().unwrap().len()), (&json!(2), 1));
    let items = list(&dead).await.data()["items"].clone();
    let item = items.as_array().unwrap().iter().find(|item| item["delivery_id"] == delivery.as_str()).unwrap();
    assert_eq!(
        item,
        &json!({
            "delivery_id": delivery, "tenant_id": bank.tenant_id, "subject_id": "instruction-1",
            "flow": "sudo-validated", "url": format!("http://{}/relay-callbacks/sudo-validated", backend.address()),
            "status": "dead", "attempts": 1, "created_at": relay.clock.now().to_string(), "next_at": null,
            "give_up_at": relay.clock.now().plus(Duration::from_secs(600)).to_string(),
            "settled_at": relay.clock.now().to_string(), "last_status": 410, "last_error": "gone"
        })
    );
    backend.behave(Behaviour::Status(200));
    let path = format!("/redeliver/callback?delivery_id={delivery}");
    for attempts in [2, 3] {
        // The second time around it is an acknowledged one.
        assert_eq!(relay.operator_post(&path, json!({})).await.status, 200);
        let acknowledged = format!("tenant_id={}&status=acknowledged", bank.tenant_id);
        until("an acknowledgement", || async { list(&acknowledged).await.data()["items"][0]["attempts"] == attempts })
            .await;
    }
    let journal = backend.journal();
    assert!(journal[2..].iter().all(|received| received.header(header::WEBHOOK_ID) == delivery));
}

#[tokio::test]
async fn the_outbox_of_another_tenant_or_of_nobody_is_told_apart() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let mine = relay.operator_get(&format!("/fetch/callbacks?tenant_id={}", bank.tenant_id)).await;
    assert_eq!((&mine.data()["items"], &mine.data()["total"]), (&json!([]), &json!(0)));
    assert_eq!(relay.operator_get("/fetch/callbacks").await.data()["limit"], 50);
    for nobody in ["tnt_00000000000000000000000000000000", "nobody"] {
        relay.operator_get(&format!("/fetch/callbacks?tenant_id={nobody}")).await.expect_error(404, "NOT_FOUND");
    }
    relay.operator_post("/redeliver/callback?delivery_id=dlv_0", json!({})).await.expect_error(404, "NOT_FOUND");
}

#[rstest]
#[case::status("GET", "/fetch/callbacks?status=lost", "status")]
#[case::limit("GET", "/fetch/callbacks?limit=201", "limit")]
#[case::offset("GET", "/fetch/callbacks?offset=-1", "offset")]
#[case::delivery("POST", "/redeliver/callback", "delivery_id")]
#[tokio::test]
async fn parameters_that_break_a_rule_are_named(#[case] method: &str, #[case] path: &str, #[case] field: &str) {
    let relay = TestRelay::new().await;
    let answer = relay.send(support::operator(method, path, "")).await;
    answer.expect_error(422, "VALIDATION_FAILED");
    assert_eq!(answer.body["details"][0]["field"], field);
}

#[rstest]
#[case("GET", "/fetch/callbacks")]
#[case("POST", "/redeliver/callback?delivery_id=dlv_0")]
#[tokio::test]
async fn nobody_handles_callbacks_without_the_admin_key(#[case] method: &str, #[case] path: &str) {
    let relay = TestRelay::new().await;
    let mut request = support::operator(method, path, "");
    request.headers_mut().insert(header::ADMIN_KEY, "x".repeat(40).parse().unwrap());
    relay.send(request).await.expect_error(401, "INVALID_ADMIN_KEY");
}

#[tokio::test]
async fn what_waits_and_what_became_of_it_is_measured() {
    let backend = Receiver::start(Behaviour::Status(410)).await;
    let relay = relay_with(OutboxLimits::default()).await;
    let bank = relay.provision("Bank").await;
    decide(&bank, "instruction-1", &format!("http://{}", backend.address())).await;
    let request = || {
        let request = http::Request::get("/metrics").header(header::ADMIN_KEY, support::ADMIN_KEY);
        request.body(axum::body::Body::empty()).unwrap()
    };
    until("a dead letter in the metrics", || async {
        relay.send(request()).await.text.contains(r#"bloonio_callbacks_total{outcome="dead"}"#)
    })
    .await;
    let metrics = relay.send(request()).await.text;
    for gauge in ["bloonio_outbox_waiting ", "bloonio_outbox_oldest_seconds "] {
        assert!(metrics.lines().any(|line| line.starts_with(gauge)), "{metrics}");
    }
}

/// On PostgreSQL, where the server counts them; SQLite does not.
async fn rows_read(tx: &mut Tx) -> i64 {
    let counted = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'deliveries'";
    query(counted).fetch_one(tx).await.unwrap().at(0).unwrap()
}

#[tokio::test]
async fn a_claim_looks_at_no_row_often_however_many_are_kept_and_wait() {
    const KEPT: usize = 600;
    const WAITING: usize = 300;
    let rig = Rig::new().await;
    let limits = ClaimLimits { per_lane: 8, total: 64, retries: 32 };
    for name in ["a", "b", "c"] {
        let (tenant, url) = (rig.tenant().await, format!("https://{name}.test/"));
        let subjects: Vec<_> = (0..KEPT + WAITING).map(|number| format!("{name}-{number:08}")).collect();
        rig.decide_at(rig.clock.now(), &tenant.id, &subjects, &url).await;
        query(
            "UPDATE deliveries SET state = 'acknowledged'
             WHERE delivery_id IN (SELECT delivery_id FROM deliveries WHERE tenant_id = $1 LIMIT $2)",
        )
        .bind(tenant.id.as_str())
        .bind(i64::try_from(KEPT).unwrap())
        .execute(rig.storage.writer())
        .await
        .unwrap();
    }
    let now = rig.clock.now();
    let lease = Lease { token: "lease".to_owned(), until: now.plus(Duration::from_secs(20)) };
    let mut tx = rig.storage.begin_shared().await.unwrap();
    claim::hold(&mut tx).await.unwrap();
    let claimed = claim::claim(&mut tx, now, &lease, limits).await.unwrap();
    assert_eq!(claimed.readable.len(), 3 * 8, "the places of each lane");
    if rig.storage.is_shared() {
        let all = i64::try_from(3 * (KEPT + WAITING)).unwrap();
        let read = rows_read(&mut tx).await;
        assert!(read < 2 * all, "{read} rows were read of {all}");
    }
}
