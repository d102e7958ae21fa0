//! From a device's answer to the callback on the wire, on an idle queue and beside many deliveries for a dead endpoint; and
//! how many callbacks a second the outbox delivers.
//!
//! The time is taken from outside, from the moment at which the answer is sent: the answer's own way and its commit are in
//! it, so what follows the commit takes less.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use bloonio_relay_server::storage::db::query;
use bloonio_relay_server::storage::delivery::lane;
use bloonio_sudo::wire::clock::{Clock, SystemClock};
use bloonio_sudo::wire::id::TenantId;
use bloonio_tests::handset::Handset;
use bloonio_tests::operator::Operator;
use bloonio_tests::postgres::PostgresServer;
use bloonio_tests::tenant::TenantBackend;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::relay::ADMIN_KEY;
use crate::site::{Site, engine};
use crate::stats::{now, quantile};

/// Answers of one phone: a device may make 120 calls a minute.
const PER_PHONE: usize = 50;
/// Long enough for whatever is measured here.
const DEADLINE: Duration = Duration::from_secs(60);
const HOUR: i64 = 3_600_000;

/// Prints a line for each database and queue.
pub fn run(answers: usize, waiting: usize, deliveries: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let server = PostgresServer::start().await;
        println!("| database | waiting for a dead endpoint | answers | answer sent → callback received, p50 ms | p99 ms | callbacks a second |");
        println!("| --- | --- | --- | --- | --- | --- |");
        for server in [None, Some(&server)] {
            for waiting in [0, waiting] {
                let bench = Bench::start(server, answers, waiting).await?;
                let mut millis = bench.answer_all().await?;
                let [p50, p99] = [0.5, 0.99].map(|share| quantile(&mut millis, share));
                let rate = bench.deliver(deliveries).await?;
                println!("| {} | {waiting} | {answers} | {p50:.2} | {p99:.2} | {rate:.0} |", engine(server));
            }
        }
        Ok(())
    })
}

struct Bench {
    site: Site,
    tenant: TenantBackend,
    phones: Vec<(String, Handset)>,
    receiver: Receiver,
    answers: usize,
}

impl Bench {
    async fn start(server: Option<&PostgresServer>, answers: usize, waiting: usize) -> anyhow::Result<Self> {
        let site = Site::start(server, 1).await?;
        let operator = Operator::new(&site.relay.url, ADMIN_KEY);
        let tenant = operator.provision("Bench").await;
        let receiver = Receiver::start().await?;
        let mut phones = Vec::new();
        for n in 0..answers.div_ceil(PER_PHONE) {
            let user = format!("caller-{n:04}");
            let offer = tenant.offer_pairing(&user).await;
            phones.push((user, Handset::paired_with(&offer, json!({"platform": "stream"})).await));
        }
        operator.set_callback_base(&tenant, &receiver.url).await;
        let bench = Self { site, tenant, phones, receiver, answers };
        if waiting > 0 {
            // Bound and closed again: whoever connects is refused.
            let dead = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
            bench.enqueue(&bench.site.tenants[0].tenant_id, &format!("http://{dead}/"), "dead", waiting).await?;
        }
        Ok(bench)
    }

    /// Puts so many callbacks into the outbox, due at once.
    async fn enqueue(&self, tenant: &str, url: &str, name: &str, count: usize) -> anyhow::Result<()> {
        let sql = "-- bench_deliveries
            WITH RECURSIVE numbers (n) AS (
                SELECT CAST(100000000 AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < 100000000 + $2)
            INSERT INTO deliveries (tenant_id, delivery_id, subject_id, flow, url, lane, payload, state, next_at, created_at,
                                    scheduled_from, give_up_at)
            SELECT $1, 'dlv_' || $3 || CAST(n AS TEXT), $3 || CAST(n AS TEXT), 'sudo-validated', $4, $5,
                   '{\"instruction_id\":\"' || $3 || CAST(n AS TEXT) || '\"}', 'due', $6, $6, $6, $7
            FROM numbers";
        let (tenant_id, now) = (TenantId::parse(tenant)?, SystemClock.now().as_millis());
        let mut tx = self.site.storage.begin(&tenant_id).await?;
        let insert =
            query(sql).bind(tenant).bind(i64::try_from(count)?).bind(name).bind(url).bind(lane(&tenant_id, url));
        insert.bind(now).bind(now + HOUR).execute(&mut tx).await?;
        Ok(self.site.storage.commit(tx).await?)
    }

    /// Answers prompts, one after the other; milliseconds from each answer to its callback.
    async fn answer_all(&self) -> anyhow::Result<Vec<f64>> {
        let mut millis = Vec::with_capacity(self.answers);
        for n in 0..self.answers {
            let (user, phone) = &self.phones[n / PER_PHONE];
            let instruction = format!("answered-{n:06}");
            let asked = self.tenant.send_challenge(user, &instruction).await;
            ensure!(asked.status == 200, "{asked:?}");
            let body = json!({"instruction_id": instruction, "approved": true, "custom_type": "localAuth"});
            let sent = now();
            let answered = phone.post("/device/submit-response", body).await;
            ensure!(answered.status == 200, "{answered:?}");
            let arrived = self.receiver.wait_for(&instruction).await?;
            millis.push(arrived.duration_since(sent).as_secs_f64() * 1000.0);
        }
        Ok(millis)
    }

    /// Callbacks a second, of so many of each tenant that are due at once: an endpoint gets eight at a time.
    async fn deliver(&self, count: usize) -> anyhow::Result<f64> {
        let url = format!("{}/live", self.receiver.url);
        let (began, each) = (now(), count.div_ceil(self.site.tenants.len()));
        let names: Vec<_> = (0..self.site.tenants.len()).map(|tenant| format!("live-{tenant:02}-")).collect();
        for (tenant, name) in self.site.tenants.iter().zip(&names) {
            self.enqueue(&tenant.tenant_id, &url, name, each).await?;
        }
        let mut arrivals = Vec::with_capacity(count);
        for name in &names {
            for n in 0..each {
                arrivals.push(self.receiver.wait_for(&format!("{name}{}", 100_000_000 + n)).await?);
            }
        }
        let first = arrivals.iter().min().copied().unwrap_or(began);
        let last = arrivals.iter().max().copied().unwrap_or(began);
        Ok((arrivals.len() - 1) as f64 / last.duration_since(first).as_secs_f64())
    }
}

/// Acknowledges callbacks, and remembers when each came first.
struct Receiver {
    url: String,
    arrivals: Arc<Mutex<HashMap<String, Instant>>>,
    count: watch::Receiver<usize>,
}

type Arrivals = (Arc<Mutex<HashMap<String, Instant>>>, watch::Sender<usize>);

impl Receiver {
    async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let arrivals = Arc::<Mutex<HashMap<String, Instant>>>::default();
        let (counted, count) = watch::channel(0);
        let app = Router::new().fallback(take).with_state(Arc::new((Arc::clone(&arrivals), counted)));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { url, arrivals, count })
    }

    async fn wait_for(&self, instruction: &str) -> anyhow::Result<Instant> {
        let arrival = || self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).get(instruction).copied();
        let mut count = self.count.clone();
        let waiting = count.wait_for(|_| arrival().is_some());
        tokio::time::timeout(DEADLINE, waiting).await.context("a callback does not come")??;
        arrival().context("it was there")
    }
}

async fn take(State(arrivals): State<Arc<Arrivals>>, body: Bytes) {
    let arrived = now();
    let event: Value = serde_json::from_slice(&body).unwrap_or_default();
    let name = event["instruction_id"].as_str().unwrap_or_default().to_owned();
    arrivals.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_insert(arrived);
    arrivals.1.send_modify(|count| *count += 1);
}
