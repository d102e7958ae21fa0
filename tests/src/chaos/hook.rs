//! A tenant's receiver of callbacks: it fails as it is told, and notes what came.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use bloonio_wire::secret::Secret;
use bloonio_wire::{header, sign, webhook};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// How a receiver takes what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mood {
    /// It takes it.
    #[default]
    Well,
    /// It answers this status, and takes nothing.
    Answers(u16),
    /// It says nothing.
    Hangs,
    /// It cuts the connection, and takes nothing.
    Cuts,
    /// It takes it, and cuts the connection before it has said so.
    TakesAndCuts,
}

/// What came of one instruction.
#[derive(Debug, Default, Clone)]
pub struct Arrivals {
    /// Under which ids.
    pub ids: BTreeSet<String>,
    /// With which answers.
    pub approved: BTreeSet<bool>,
    /// For whom.
    pub people: BTreeSet<String>,
    /// How often in all.
    pub count: u32,
    /// How often it was acknowledged.
    pub acknowledged: u32,
}

/// What a receiver has noted.
#[derive(Debug, Default)]
pub struct Notes {
    /// By instruction id.
    pub arrivals: BTreeMap<String, Arrivals>,
    /// Whatever must not come, in words.
    pub wrong: Vec<String>,
    /// Callbacks that tell of no instruction: pairings and devices.
    pub others: u32,
}

#[derive(Debug, Default)]
struct Desk {
    tenant: Mutex<Option<(String, Secret)>>,
    mood: Mutex<Mood>,
    notes: Mutex<Notes>,
}

/// A receiver. Dropping it takes it off the net.
#[derive(Debug)]
pub struct Hook {
    /// `http://ADDR`
    pub base: String,
    desk: Arc<Desk>,
    server: JoinHandle<()>,
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test has panicked in here")
}

impl Hook {
    /// A receiver on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let desk = Arc::new(Desk::default());
        let server = tokio::spawn(serve(listener, Arc::clone(&desk)));
        Self { base, desk, server }
    }

    /// Whose callbacks come here, and how they are signed.
    pub fn belongs_to(&self, tenant: &str, secret: &Secret) {
        *lock(&self.desk.tenant) = Some((tenant.to_owned(), secret.clone()));
    }

    /// From now on it takes things so.
    pub fn feel(&self, mood: Mood) {
        *lock(&self.desk.mood) = mood;
    }

    /// What has come so far.
    pub fn notes(&self) -> MutexGuard<'_, Notes> {
        lock(&self.desk.notes)
    }

    /// How many instructions were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.notes().arrivals.values().filter(|arrivals| arrivals.acknowledged > 0).count()
    }
}

/// The connections end with the task.
async fn serve(listener: TcpListener, desk: Arc<Desk>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let desk = Arc::clone(&desk);
                let service = service_fn(move |request| take(Arc::clone(&desk), request));
                let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                connections.spawn(async move { connection.await.ok() });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// An error is how a service cuts its connection.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the receiver cuts the connection")
    }
}

impl std::error::Error for Cut {}

async fn take(desk: Arc<Desk>, request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Cut> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let mood = *lock(&desk.mood);
    let acknowledged = mood == Mood::Well;
    note(&desk, head.uri.path(), &head.headers, &body, acknowledged);
    match mood {
        Mood::Well => answer(StatusCode::OK),
        Mood::Answers(status) => answer(StatusCode::from_u16(status).expect("a status")),
        Mood::Hangs => {
            let never: Infallible = std::future::pending().await;
            match never {}
        }
        Mood::Cuts | Mood::TakesAndCuts => Err(Cut),
    }
}

fn answer(status: StatusCode) -> Result<Response<Empty<Bytes>>, Cut> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    Ok(response)
}

fn note(desk: &Desk, path: &str, headers: &HeaderMap, body: &[u8], acknowledged: bool) {
    let event: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let id = text(headers, header::WEBHOOK_ID);
    let mut notes = lock(&desk.notes);
    if let Err(wrong) = check(desk, path, headers, body, &event) {
        notes.wrong.push(format!("{path} {id}: {wrong}"));
        return;
    }
    let Some(instruction) = event["instruction_id"].as_str() else {
        notes.others += 1;
        return;
    };
    let arrivals = notes.arrivals.entry(instruction.to_owned()).or_default();
    arrivals.ids.insert(id.to_owned());
    arrivals.approved.extend(event["approved"].as_bool());
    arrivals.people.extend(event["user_socket_hash"].as_str().map(str::to_owned));
    arrivals.count += 1;
    arrivals.acknowledged += u32::from(acknowledged);
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Signed twice, by this tenant, for this tenant, and of one mind.
fn check(desk: &Desk, path: &str, headers: &HeaderMap, body: &[u8], event: &Value) -> Result<(), String> {
    let tenant = lock(&desk.tenant);
    let (tenant, secret) = tenant.as_ref().ok_or("nobody's callbacks are expected yet")?;
    let at = sign::parse_timestamp(text(headers, header::TIMESTAMP)).map_err(|error| error.to_string())?;
    let tag = sign::Signature::from_hex(text(headers, header::SIGNATURE)).map_err(|error| error.to_string())?;
    sign::verify(secret, at, body, &tag).map_err(|_| "HMAC #1 is not this tenant's")?;
    let at = text(headers, header::WEBHOOK_TIMESTAMP).parse().map_err(|_| "no webhook-timestamp")?;
    let (id, tag) = (text(headers, header::WEBHOOK_ID), text(headers, header::WEBHOOK_SIGNATURE));
    webhook::verify(secret, id, at, body, tag).map_err(|_| "webhook-signature is not this tenant's")?;
    if text(headers, header::TENANT_ID) != tenant {
        return Err(format!("the header names {}", text(headers, header::TENANT_ID)));
    }
    if event.get("instruction_id").is_none() {
        return Ok(());
    }
    if event["tenant_id"] != tenant.as_str() {
        return Err(format!("the event is of {}", event["tenant_id"]));
    }
    let flow = if event["approved"] == true { "sudo-validated" } else { "sudo-rejected" };
    if path != format!("/relay-callbacks/{flow}") {
        return Err(format!("the event says {}", event["approved"]));
    }
    Ok(())
}
