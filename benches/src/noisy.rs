//! What one tenant's noise costs another: the quiet one's latencies with and without a noisy one, A B B A.
//!
//! The noisy tenant calls at a steady pace far above its limit, so almost all of its calls are refused. The relay is a
//! process of its own, on SQLite, with a Redis where one is named; the pace is fixed, since callers as fast as they can be
//! would measure the machine and not the relay.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use bloonio_sudo::Secret;
use bloonio_sudo::wire::clock::{Clock, SystemClock, Timestamp};
use bloonio_sudo::wire::{header, sign};
use serde_json::{Value, json};

use crate::relay::{ADMIN_KEY, Relay};
use crate::stats::{now, quantile, spread};

/// Of the noisy tenant, calls a minute.
const NOISY_LIMIT: u32 = 60;
/// Answered with 404, after everything that a call goes through.
const LOOK: &str = "/api/v1/relay/fetch/outcome?instruction_id=nobody-knows";
const CANCEL: &str = "/api/v1/relay/cancel/auth-challenge";

/// Prints the comparison.
pub fn run(rounds: usize, calls: usize, noise: u32, redis: Option<&str>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let bench = Bench::start(redis).await?;
        println!("| the quiet tenant's calls | p50 ms alone | p50 ratio with noise | p99 ratio with noise |");
        println!("| --- | --- | --- | --- |");
        for (what, path) in [("reads", LOOK), ("writes", CANCEL)] {
            bench.compare(what, path, rounds, calls, noise).await?;
        }
        let [answered, refused] = [&bench.answered, &bench.refused].map(|count| count.load(Ordering::Relaxed));
        println!();
        println!("The noisy tenant, limit {NOISY_LIMIT} a minute: {answered} calls answered, {refused} refused.");
        Ok(())
    })
}

#[derive(Clone)]
struct Tenant {
    id: String,
    secret: Secret,
}

struct Bench {
    relay: Relay,
    http: reqwest::Client,
    quiet: Tenant,
    noisy: Tenant,
    /// No two calls are signed as of the same millisecond.
    signed: AtomicI64,
    answered: AtomicUsize,
    refused: AtomicUsize,
}

impl Bench {
    async fn start(redis: Option<&str>) -> anyhow::Result<Arc<Self>> {
        let settings: Vec<_> = redis.map(|url| ("RELAY_REDIS_URL", url)).into_iter().collect();
        let relay = Relay::start(&settings)?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let quiet = provision(&http, &relay.url, 10_000).await?;
        let noisy = provision(&http, &relay.url, NOISY_LIMIT).await?;
        let (answered, refused) = (AtomicUsize::default(), AtomicUsize::default());
        Ok(Arc::new(Self { relay, http, quiet, noisy, signed: AtomicI64::default(), answered, refused }))
    }

    async fn compare(
        self: &Arc<Self>,
        what: &str,
        path: &'static str,
        rounds: usize,
        calls: usize,
        noise: u32,
    ) -> anyhow::Result<()> {
        let (mut alone, mut p50, mut p99) = (Vec::new(), Vec::new(), Vec::new());
        self.play(path, calls / 4, 0).await?;
        for _ in 0..rounds {
            let a = self.play(path, calls, 0).await?;
            let b = self.play(path, calls, noise).await?;
            let b = mean(b, self.play(path, calls, noise).await?);
            let a = mean(a, self.play(path, calls, 0).await?);
            alone.push(a.0);
            p50.push(b.0 / a.0);
            p99.push(b.1 / a.1);
            eprint!(".");
        }
        eprintln!();
        println!("| {what} | {} | {} | {} |", spread(&mut alone), spread(&mut p50), spread(&mut p99));
        Ok(())
    }

    /// The quiet tenant's calls, one after the other, beside so much noise a second: p50 and p99 in milliseconds.
    async fn play(self: &Arc<Self>, path: &'static str, calls: usize, noise: u32) -> anyhow::Result<(f64, f64)> {
        let over = Arc::new(AtomicBool::new(false));
        let noise = (noise > 0).then(|| tokio::spawn(Arc::clone(self).make_noise(path, noise, Arc::clone(&over))));
        let mut millis = Vec::with_capacity(calls);
        for _ in 0..calls {
            let began = now();
            let status = self.call(&self.quiet, path).await?;
            millis.push(began.elapsed().as_secs_f64() * 1000.0);
            ensure!(status == 404, "the quiet tenant met {status}");
        }
        over.store(true, Ordering::Relaxed);
        if let Some(noise) = noise {
            noise.await?;
        }
        Ok((quantile(&mut millis, 0.5), quantile(&mut millis, 0.99)))
    }

    async fn make_noise(self: Arc<Self>, path: &'static str, per_second: u32, over: Arc<AtomicBool>) {
        let mut pace = tokio::time::interval(Duration::from_secs(1) / per_second);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        while !over.load(Ordering::Relaxed) {
            pace.tick().await;
            let bench = Arc::clone(&self);
            tokio::spawn(async move {
                match bench.call(&bench.noisy, path).await {
                    Ok(429) => bench.refused.fetch_add(1, Ordering::Relaxed),
                    _ => bench.answered.fetch_add(1, Ordering::Relaxed),
                }
            });
        }
    }

    async fn call(&self, tenant: &Tenant, path: &str) -> anyhow::Result<u16> {
        let body = if path == CANCEL { json!({"instruction_id": "nobody-knows"}).to_string() } else { String::new() };
        let at = self.fresh_millis();
        let signature = sign::sign(&tenant.secret, at, body.as_bytes());
        let url = format!("{}{path}", self.relay.url);
        let request = if body.is_empty() { self.http.get(url) } else { self.http.post(url).body(body) };
        let request = request
            .header(header::TENANT_ID, &tenant.id)
            .header(header::TIMESTAMP, at.as_millis().to_string())
            .header(header::SIGNATURE, signature.to_hex());
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        answer.bytes().await?;
        Ok(status)
    }

    /// This millisecond, or the next one that was not used.
    fn fresh_millis(&self) -> Timestamp {
        let now = SystemClock.now().as_millis();
        let before = self.signed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(now.max(last + 1)));
        Timestamp::from_millis(before.map_or(now, |last| now.max(last + 1)))
    }
}

fn mean(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    ((a.0 + b.0) / 2.0, (a.1 + b.1) / 2.0)
}

async fn provision(http: &reqwest::Client, url: &str, per_min: u32) -> anyhow::Result<Tenant> {
    let fields = json!({"tenant_name": "Bench", "rate_limit_per_min": per_min}).to_string();
    let request = http.post(format!("{url}/api/v1/provision/tenant")).header("x-admin-key", ADMIN_KEY).body(fields);
    let answer: Value = serde_json::from_slice(&request.send().await?.bytes().await?)?;
    let text = |name: &str| answer["data"][name].as_str().map(str::to_owned).with_context(|| answer.to_string());
    Ok(Tenant { id: text("tenant_id")?, secret: Secret::new(text("tenant_secret")?) })
}
