//! From the decision's being recorded to the waiting request's running.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bloonio_sudo::request::Headers;
use bloonio_sudo::store::InstructionStore;
use bloonio_sudo::{Decision, RequestView, SudoEngine, TenantId};
use tokio::sync::mpsc::unbounded_channel;

use crate::app::{TENANT, engine, requirement, user};
use crate::drive::APPROVED;
use crate::redis::PrivateRedis;
use crate::serve::store;
use crate::stats::{now, quantile};

/// How long a request is left to wait before it is decided, so that it does wait.
const SETTLED: Duration = Duration::from_millis(5);

/// Prints the median and the 99th percentile of both stores.
pub fn run(waits: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        println!("| store | waits | p50 ms | p99 ms |\n| --- | --- | --- | --- |");
        let memory = store(None).await?;
        report("memory", measure(Arc::clone(&memory), memory, waits).await?);
        let redis = PrivateRedis::start()?;
        // The decision comes to another process: another store, with connections of its own.
        let (waiting, deciding) = (store(Some(&redis.url())).await?, store(Some(&redis.url())).await?);
        report("Redis, another process", measure(waiting, deciding, waits).await?);
        Ok(())
    })
}

fn report(store: &str, mut took: Vec<f64>) {
    let [p50, p99] = [0.5, 0.99].map(|share| quantile(&mut took, share));
    println!("| {store} | {} | {p50:.2} | {p99:.2} |", took.len());
}

async fn measure(
    waiting: Arc<dyn InstructionStore>,
    deciding: Arc<dyn InstructionStore>,
    waits: usize,
) -> anyhow::Result<Vec<f64>> {
    let (told, mut prompts) = unbounded_channel();
    let (engine, tenant) = (engine(waiting, Some(told))?, TenantId::parse(TENANT)?);
    let mut took = Vec::with_capacity(waits);
    for n in 0..waits {
        let running = tokio::spawn(passed(engine.clone(), user(n)));
        let id = prompts.recv().await.context("no prompt was sent")?;
        tokio::time::sleep(SETTLED).await;
        deciding.decide(&tenant, &id, &APPROVED).await?;
        let decided = now();
        let ran = running.await??;
        took.push(ran.saturating_duration_since(decided).as_secs_f64() * 1000.0);
    }
    Ok(took)
}

struct Of(String);

impl Headers for Of {
    fn values(&self, name: &str) -> Vec<&[u8]> {
        if name == "x-user" { vec![self.0.as_bytes()] } else { Vec::new() }
    }
}

/// Waits for an approval. When it came.
async fn passed(engine: SudoEngine, user: String) -> anyhow::Result<Instant> {
    let (headers, demand) = (Of(user), engine.demand(requirement().with_blocking()));
    let view = RequestView::new("POST", "/waiting", None, &headers);
    let guarded = demand.route(&view).await.ok().flatten().context("it is protected")?;
    match guarded.check(&view).await {
        Decision::Pass(_) => Ok(now()),
        other => anyhow::bail!("{other:?}"),
    }
}
