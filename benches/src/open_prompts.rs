//! What open prompts cost: memory, and the latency of a read and of a new prompt beside them.

use anyhow::ensure;
use bloonio_tests::postgres::PostgresServer;
use reqwest::Method;

use crate::play::Turns;
use crate::site::{Site, TENANTS, engine, finished};
use crate::stats::{now, quantile};

/// Open prompts of each person.
const EACH: usize = 5;
/// People at least: each is asked by the calls of the run, and the relay takes 30 unanswered prompts a person.
const FEWEST: usize = 160;

/// Prints a table for each database: sizes in turn, each a relay of its own.
pub fn run(rounds: usize, calls: usize, most: usize) -> anyhow::Result<()> {
    ensure!(most >= 10_000, "10,000 at least: there are three sizes, each ten times the one before");
    ensure!(2 * calls * (2 * rounds + 1) / FEWEST < 30, "the relay takes 30 unanswered prompts a person");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let server = PostgresServer::start().await;
        println!("| database | open prompts | MiB resident | MiB at most | read, p50 ms | of the smallest | new prompt, p50 ms | of the smallest |");
        println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
        for server in [None, Some(&server)] {
            let mut bench = Bench { sites: Vec::new() };
            for size in [most / 100, most / 10, most] {
                bench.sites.push((size, filled(server, size).await?));
            }
            bench.compare(engine(server), rounds, calls).await?;
        }
        Ok(())
    })
}

/// A relay with so many open prompts.
async fn filled(server: Option<&PostgresServer>, size: usize) -> anyhow::Result<Site> {
    let people = (size / EACH).max(FEWEST) / TENANTS;
    let site = Site::start(server, people).await?;
    site.fill((size / (people * TENANTS)).max(1)).await?;
    Ok(site)
}

struct Bench {
    sites: Vec<(usize, Site)>,
}

impl Bench {
    async fn compare(&self, engine: &str, rounds: usize, calls: usize) -> anyhow::Result<()> {
        let reads =
            Turns::play(rounds, self.sites.len(), async |thing| read(&self.sites[thing].1, calls).await).await?;
        let asks = Turns::play(rounds, self.sites.len(), async |thing| ask(&self.sites[thing].1, calls).await).await?;
        for (place, (size, site)) in self.sites.iter().enumerate() {
            let process = &site.relay.running;
            println!(
                "| {engine} | {size} | {:.1} | {:.1} | {} | {} | {} | {} |",
                process.mebibytes("VmRSS:")?,
                process.mebibytes("VmHWM:")?,
                reads.of(place),
                reads.ratio(place, 0),
                asks.of(place),
                asks.ratio(place, 0)
            );
        }
        Ok(())
    }
}

/// Median of signed reads, one after the other, in milliseconds.
async fn read(site: &Site, calls: usize) -> anyhow::Result<f64> {
    let mut millis = Vec::with_capacity(calls);
    for n in 0..calls {
        let (tenant, instruction) = site.open(n);
        let began = now();
        let path = format!("/relay/fetch/outcome?instruction_id={instruction}");
        finished(tenant.request(Method::GET, &path, b"")).await?;
        millis.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(quantile(&mut millis, 0.5))
}

/// The same of new prompts.
async fn ask(site: &Site, calls: usize) -> anyhow::Result<f64> {
    let mut millis = Vec::with_capacity(calls);
    for _ in 0..calls {
        let began = now();
        site.prompt().await?;
        millis.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(quantile(&mut millis, 0.5))
}
