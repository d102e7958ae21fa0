//! Requests answered in this process, one after the other, on one thread: what instructions are counted of.

use std::sync::Arc;

use actix_web::App;
use actix_web::test::{TestRequest, call_and_read_body, init_service};
use anyhow::{Context, ensure};
use axum::body::Body;
use axum::http::Request;
use bloonio_sudo::instruction::Verdict;
use bloonio_sudo::store::InstructionStore;
use bloonio_sudo::store::memory::MemoryStore;
use bloonio_sudo::wire::clock::SystemClock;
use bloonio_sudo::{InstructionId, TenantId};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use crate::app::{Framework, Scene, TENANT, body, engine, on_actix, on_axum, user};

/// An approval.
pub const APPROVED: Verdict = Verdict { approved: true, wrong_number: false, device_id: None, webhook_id: None };

/// A key that nobody has.
const NO_KEY: &str = "0123456789abcdef0123456789abcdef01234567";

/// Prepares approvals, and then answers requests.
pub fn run(framework: Framework, scene: Scene, prepared: usize, executed: usize) -> anyhow::Result<()> {
    let store: Arc<dyn InstructionStore> = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
    match framework {
        Framework::Axum => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(on_the_axum(scene, store, prepared, executed))
        }
        Framework::Actix => actix_web::rt::System::new().block_on(on_the_actix(scene, store, prepared, executed)),
    }
}

/// The key that a request of this scene comes with.
fn key_for(scene: Scene, prepared: Option<&String>) -> Option<&str> {
    match scene {
        Scene::Recall => prepared.map(String::as_str),
        Scene::Refusal => Some(NO_KEY),
        _ => None,
    }
}

/// The key that an answer names.
fn key_of(answer: &[u8]) -> anyhow::Result<String> {
    let answer: Value = serde_json::from_slice(answer)?;
    Ok(answer["instruction_id"].as_str().context("no instruction")?.to_owned())
}

async fn approve(store: &dyn InstructionStore, key: &str) -> anyhow::Result<()> {
    store.decide(&TenantId::parse(TENANT)?, &InstructionId::parse(key)?, &APPROVED).await?;
    Ok(())
}

async fn on_the_axum(
    scene: Scene,
    store: Arc<dyn InstructionStore>,
    prepared: usize,
    executed: usize,
) -> anyhow::Result<()> {
    let app = on_axum::app(engine(Arc::clone(&store), None)?);
    let request = |scene: Scene, n: usize, key: Option<&str>| {
        let mut request =
            Request::post(scene.path(n)).header("content-type", "application/json").header("x-user", user(n));
        if let Some(key) = key {
            request = request.header("x-sudo-instruction-key", key);
        }
        request.body(Body::from(body()))
    };
    let mut keys = Vec::new();
    for n in 0..prepared {
        let refused = app.clone().oneshot(request(Scene::Recall, n, None)?).await?;
        let key = key_of(&refused.into_body().collect().await?.to_bytes())?;
        approve(store.as_ref(), &key).await?;
        keys.push(key);
    }
    for n in 0..executed {
        let key = key_for(scene, keys.get(n));
        let answer = app.clone().oneshot(request(scene, n, key)?).await?;
        ensure!(answer.status().as_u16() == if scene == Scene::Refusal { 403 } else { 200 }, "{}", answer.status());
        answer.into_body().collect().await?;
    }
    Ok(())
}

async fn on_the_actix(
    scene: Scene,
    store: Arc<dyn InstructionStore>,
    prepared: usize,
    executed: usize,
) -> anyhow::Result<()> {
    let app = init_service(App::new().configure(on_actix::app(engine(Arc::clone(&store), None)?))).await;
    let request = |scene: Scene, n: usize, key: Option<&str>| {
        let mut request = TestRequest::post().uri(&scene.path(n)).insert_header(("content-type", "application/json"));
        request = request.insert_header(("x-user", user(n))).set_payload(body());
        if let Some(key) = key {
            request = request.insert_header(("x-sudo-instruction-key", key));
        }
        request.to_request()
    };
    let mut keys = Vec::new();
    for n in 0..prepared {
        let key = key_of(&call_and_read_body(&app, request(Scene::Recall, n, None)).await)?;
        approve(store.as_ref(), &key).await?;
        keys.push(key);
    }
    for n in 0..executed {
        let key = key_for(scene, keys.get(n));
        let answer = call_and_read_body(&app, request(scene, n, key)).await;
        ensure!((answer.len() < 10) == (scene != Scene::Refusal), "{}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}
