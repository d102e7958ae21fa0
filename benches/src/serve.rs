//! The measured application as a process of its own, with one worker.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::{App, HttpServer};
use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use bloonio_sudo::store::InstructionStore;
use bloonio_sudo::store::memory::MemoryStore;
use bloonio_sudo::store::redis::{RedisOptions, RedisStore};
use bloonio_sudo::wire::clock::SystemClock;
use bloonio_sudo::{Secret, TenantId};
use clap::ValueEnum;
use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::Builder;
use fred::types::config::Config;
use fred::types::scripts::Script;
use tokio::sync::mpsc::unbounded_channel;

use crate::app::{Framework, TENANT, claim, engine, instruction, on_actix, on_axum};

/// What the plainest layer on Redis could do: look whether something may be used, and use it.
const ONE_SCRIPT: &str = "
    if redis.call('HGET', KEYS[1], 'status') == 'validated' then
        redis.call('HSET', KEYS[1], 'status', 'consumed')
        return 1
    end
    return 0";

/// Serves until it is ended.
pub fn run(framework: Framework, redis: Option<String>) -> anyhow::Result<()> {
    match framework {
        Framework::Axum => {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
            runtime.block_on(serve_axum(redis))
        }
        Framework::Actix => actix_web::rt::System::new().block_on(serve_actix()),
    }
}

/// The store that the address names; without one this process's memory.
pub async fn store(redis: Option<&str>) -> anyhow::Result<Arc<dyn InstructionStore>> {
    Ok(match redis {
        Some(url) => Arc::new(RedisStore::connect(&Secret::new(url), RedisOptions::default()).await?),
        None => Arc::new(MemoryStore::new(Arc::new(SystemClock))),
    })
}

#[derive(Clone)]
struct OneScript(Client, Script);

impl OneScript {
    async fn connect(url: &str) -> anyhow::Result<Self> {
        let client = Builder::from_config(Config::from_url(url)?).build()?;
        client.init().await?;
        Ok(Self(client, Script::from_lua(ONE_SCRIPT)))
    }
}

async fn one_script(State(script): State<OneScript>, Path(n): Path<usize>, body: Bytes) -> Result<String, StatusCode> {
    let away = |_| StatusCode::SERVICE_UNAVAILABLE;
    let OneScript(client, script) = script;
    let used: u32 =
        script.evalsha_with_reload(&client, format!("bench:{n}"), Vec::<String>::new()).await.map_err(away)?;
    if used == 1 { Ok(body.len().to_string()) } else { Err(StatusCode::FORBIDDEN) }
}

async fn one_step(
    State(store): State<Arc<dyn InstructionStore>>,
    Path(n): Path<usize>,
    body: Bytes,
) -> Result<String, StatusCode> {
    let new = instruction(n).map_err(|_| StatusCode::BAD_REQUEST)?;
    let tenant = TenantId::parse(TENANT).map_err(|_| StatusCode::BAD_REQUEST)?;
    let used = store.consume(&tenant, &new.instruction_id, &claim(&new)).await;
    match used.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)? {
        Ok(_) => Ok(body.len().to_string()),
        Err(_) => Err(StatusCode::FORBIDDEN),
    }
}

async fn serve_axum(redis: Option<String>) -> anyhow::Result<()> {
    let store = store(redis.as_deref()).await?;
    let (told, mut prompts) = unbounded_channel();
    let (asked, parked) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let counting = Arc::clone(&asked);
    tokio::spawn(async move {
        while prompts.recv().await.is_some() {
            counting.fetch_add(1, Ordering::SeqCst);
        }
    });
    let (asked_by, parked_by) = (Arc::clone(&asked), Arc::clone(&parked));
    let step = Router::new().route("/one-step/{n}", post(one_step)).with_state(Arc::clone(&store));
    let mut app = on_axum::app(engine(store, Some(told))?)
        .merge(step)
        .route("/asked", get(move || async move { asked_by.load(Ordering::SeqCst).to_string() }))
        .route("/parked", get(move || async move { parked_by.load(Ordering::SeqCst).to_string() }))
        .route("/park/{n}", post(move |body: Bytes| park(Arc::clone(&parked), body)));
    if let Some(url) = &redis {
        let route = Router::new().route("/one-script/{n}", post(one_script));
        app = app.merge(route.with_state(OneScript::connect(url).await?));
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}

/// Waits for ever, with the body that a handler would need then.
async fn park(parked: Arc<AtomicUsize>, body: Bytes) -> String {
    parked.fetch_add(1, Ordering::SeqCst);
    std::future::pending::<()>().await;
    body.len().to_string()
}

async fn serve_actix() -> anyhow::Result<()> {
    let engine = engine(store(None).await?, None)?;
    let server = HttpServer::new(move || App::new().configure(on_actix::app(engine.clone()))).workers(1);
    let server = server.bind("127.0.0.1:0")?;
    println!("listening on http://{}", server.addrs()[0]);
    Ok(server.run().await?)
}

/// A server that runs in a process of its own, ended when this is dropped.
pub struct Server {
    process: Child,
    /// `http://ADDR`
    pub url: String,
}

impl Server {
    /// Starts one.
    pub fn start(framework: Framework, redis: Option<&str>) -> anyhow::Result<Self> {
        let name = framework.to_possible_value().context("no name")?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", name.get_name()]).args(redis).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let output = process.stdout.take().context("standard output is piped")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let url = line.trim().strip_prefix("listening on ").context("the server does not listen")?.to_owned();
        Ok(Self { process, url })
    }

    /// The most memory that it has ever held, in KiB.
    pub fn peak_kib(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        line.split_whitespace().next().context("no VmHWM")?.parse().context("VmHWM is no number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
