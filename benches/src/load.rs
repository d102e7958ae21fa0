//! Request rates from another process: 32 callers at once, two things in turn, A B B A.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, ensure};
use bloonio_sudo::store::{InstructionStore, Limits};
use bloonio_sudo::{InstructionId, TenantId};
use fred::clients::Client;
use fred::interfaces::{ClientLike, HashesInterface};
use fred::types::Builder;
use fred::types::config::Config;
use futures_util::future::try_join_all;
use serde_json::Value;

use crate::app::{Framework, Scene, TENANT, body, instruction, user};
use crate::drive::APPROVED;
use crate::redis::PrivateRedis;
use crate::serve::{Server, store};
use crate::stats::{now, spread};

const CALLERS: usize = 32;

/// Prints each comparison.
pub fn run(rounds: usize, requests: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        println!("| what | of what | ratio of the rates: median [spread] of {rounds} |");
        println!("| --- | --- | --- |");
        for framework in [Framework::Axum, Framework::Actix] {
            let mut bench = Bench::start(framework, None).await?;
            let ratios = bench.compare(Scene::Unguarded, Scene::Bare, rounds, requests).await?;
            println!("| {framework:?}: unguarded behind the resolver's layer | bare handler | {ratios} |");
        }
        let redis = PrivateRedis::start()?;
        let mut bench = Bench::start(Framework::Axum, Some(&redis.url())).await?;
        let ratios = bench.compare(Scene::Recall, Scene::OneStep, rounds, requests).await?;
        println!("| Axum: guarded re-call on Redis | a handler with that EVALSHA alone | {ratios} |");
        let ratios = bench.compare(Scene::OneStep, Scene::OneScript, rounds, requests).await?;
        println!("| Axum: a handler with that EVALSHA alone | a handler with the plainest EVALSHA | {ratios} |");
        let ratios = bench.compare(Scene::OneScript, Scene::Bare, rounds, requests).await?;
        println!("| Axum: a handler with the plainest EVALSHA | bare handler | {ratios} |");
        Ok(())
    })
}

struct Bench {
    server: Server,
    http: reqwest::Client,
    redis: Option<(Client, Arc<dyn InstructionStore>)>,
    /// Every request has its own number.
    next: usize,
}

impl Bench {
    async fn start(framework: Framework, redis: Option<&str>) -> anyhow::Result<Self> {
        let server = Server::start(framework, redis)?;
        let redis = match redis {
            None => None,
            Some(url) => {
                let client = Builder::from_config(Config::from_url(url)?).build()?;
                client.init().await?;
                Some((client, store(Some(url)).await?))
            }
        };
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(CALLERS).build()?;
        Ok(Self { server, http, redis, next: 0 })
    }

    async fn compare(&mut self, a: Scene, b: Scene, rounds: usize, requests: usize) -> anyhow::Result<String> {
        let mut ratios = Vec::new();
        for scene in [a, b] {
            self.rate(scene, requests / 4).await?;
        }
        for _ in 0..rounds {
            let first = self.rate(a, requests).await?;
            let second = self.rate(b, requests).await? + self.rate(b, requests).await?;
            ratios.push((first + self.rate(a, requests).await?) / second);
            eprint!(".");
        }
        eprintln!();
        Ok(spread(&mut ratios))
    }

    /// Requests a second.
    async fn rate(&mut self, scene: Scene, requests: usize) -> anyhow::Result<f64> {
        let first = self.next;
        self.next += requests;
        let keys = Arc::new(self.prepared(scene, first, requests).await?);
        let taken = Arc::<AtomicUsize>::default();
        let began = now();
        let asking = &*self;
        let callers = (0..CALLERS).map(|_| {
            let (keys, taken) = (Arc::clone(&keys), Arc::clone(&taken));
            async move {
                loop {
                    let n = taken.fetch_add(1, Ordering::Relaxed);
                    if n >= requests {
                        return anyhow::Ok(());
                    }
                    let mut request = asking.request(scene, first + n);
                    if let Some(key) = keys.get(n) {
                        request = request.header("x-sudo-instruction-key", key);
                    }
                    let answer = request.send().await?;
                    ensure!(answer.status() == 200, "{scene:?}: {}", answer.status());
                    answer.bytes().await?;
                }
            }
        });
        try_join_all(callers).await?;
        Ok(requests as f64 / began.elapsed().as_secs_f64())
    }

    fn request(&self, scene: Scene, n: usize) -> reqwest::RequestBuilder {
        let request = self.http.post(format!("{}{}", self.server.url, scene.path(n)));
        request.header("content-type", "application/json").header("x-user", user(n)).body(body())
    }

    /// What the requests from `first` on need before they can be made; their keys, where they have some.
    async fn prepared(&self, scene: Scene, first: usize, requests: usize) -> anyhow::Result<Vec<String>> {
        let Some((client, store)) = &self.redis else { return Ok(Vec::new()) };
        let mut keys = Vec::new();
        for from in (first..first + requests).step_by(CALLERS) {
            let numbers = from..(from + CALLERS).min(first + requests);
            match scene {
                Scene::OneScript => {
                    let set = |n: usize| client.hset::<(), _, _>(format!("bench:{n}"), ("status", "validated"));
                    try_join_all(numbers.map(set)).await?;
                }
                Scene::OneStep => {
                    try_join_all(numbers.map(|n| made(store.as_ref(), n))).await?;
                }
                Scene::Recall => keys.extend(try_join_all(numbers.map(|n| self.approved(store.as_ref(), n))).await?),
                _ => {}
            }
        }
        Ok(keys)
    }

    async fn approved(&self, store: &dyn InstructionStore, n: usize) -> anyhow::Result<String> {
        let refused: Value = serde_json::from_slice(&self.request(Scene::Recall, n).send().await?.bytes().await?)?;
        let key = refused["instruction_id"].as_str().with_context(|| refused.to_string())?.to_owned();
        store.decide(&TenantId::parse(TENANT)?, &InstructionId::parse(key.as_str())?, &APPROVED).await?;
        Ok(key)
    }
}

/// Stores the `n`th instruction past the engine, and approves it.
async fn made(store: &dyn InstructionStore, n: usize) -> anyhow::Result<()> {
    let (tenant, new) = (TenantId::parse(TENANT)?, instruction(n)?);
    let id = new.instruction_id.clone();
    store.create(&tenant, new, Limits { per_initiator: 2, per_user: 3 }).await?;
    store.decide(&tenant, &id, &APPROVED).await?;
    Ok(())
}
