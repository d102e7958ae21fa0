//! A backend's callback address: verifies what comes, remembers it, and answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use bloonio_wire::secret::Secret;
use bloonio_wire::{header, sign, webhook};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::wait::DEADLINE;

/// One callback, verified.
#[derive(Debug, Clone)]
pub struct Received {
    /// Where it came in.
    pub path: String,
    /// Its stable id.
    pub webhook_id: String,
    /// Its body.
    pub body: Value,
    /// The bytes as received.
    pub raw: Vec<u8>,
    /// The headers as received.
    pub headers: HeaderMap,
    /// What it was answered.
    pub status: u16,
}

#[derive(Debug)]
struct Shared {
    secret: Mutex<Option<Secret>>,
    answers: Mutex<VecDeque<StatusCode>>,
    journal: watch::Sender<Vec<Received>>,
}

/// A callback receiver. Dropping it takes it off the net.
#[derive(Debug)]
pub struct Receiver {
    /// `http://ADDR`
    pub base: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Receiver {
    /// A receiver on a free port.
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await
    }

    /// A receiver at a given address.
    pub async fn start_at(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("address is free");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let shared = Arc::new(Shared {
            secret: Mutex::default(),
            answers: Mutex::default(),
            journal: watch::Sender::new(Vec::new()),
        });
        let app = Router::new().fallback(take).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") });
        Self { base, shared, server }
    }

    /// An address that nobody listens on at the moment.
    pub async fn free_address() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        listener.local_addr().expect("bound").to_string()
    }

    /// The secret that every callback must be signed with; without it nothing is verified.
    pub fn expect_secret(&self, secret: &Secret) {
        *self.shared.secret.lock().expect("secret") = Some(secret.clone());
    }

    /// Answers the next callbacks with these statuses, and 200 afterwards.
    pub fn answer_next(&self, statuses: &[u16]) {
        let statuses = statuses.iter().map(|&s| StatusCode::from_u16(s).expect("status"));
        self.shared.answers.lock().expect("answers").extend(statuses);
    }

    /// Everything received so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.journal.borrow().clone()
    }

    /// Waits until `enough` of what was received.
    pub async fn wait_for(&self, what: &str, enough: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let mut journal = self.shared.journal.subscribe();
        let waiting = journal.wait_for(|received| enough(received));
        match tokio::time::timeout(DEADLINE, waiting).await {
            Ok(Ok(received)) => received.clone(),
            _ => panic!("waited {DEADLINE:?} in vain: {what}; received {:#?}", self.received()),
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn verified(secret: &Secret, headers: &HeaderMap, body: &[u8]) -> bool {
    let hmac = || {
        let at = sign::parse_timestamp(text(headers, header::TIMESTAMP)).ok()?;
        let tag = sign::Signature::from_hex(text(headers, header::SIGNATURE)).ok()?;
        sign::verify(secret, at, body, &tag).ok()
    };
    let standard = || {
        let at = text(headers, header::WEBHOOK_TIMESTAMP).parse().ok()?;
        let (id, tag) = (text(headers, header::WEBHOOK_ID), text(headers, header::WEBHOOK_SIGNATURE));
        webhook::verify(secret, id, at, body, tag).ok()
    };
    hmac().is_some() && standard().is_some()
}

async fn take(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let secret = shared.secret.lock().expect("secret").clone();
    let status = match secret {
        Some(secret) if !verified(&secret, &headers, &body) => StatusCode::UNAUTHORIZED,
        _ => shared.answers.lock().expect("answers").pop_front().unwrap_or(StatusCode::OK),
    };
    let received = Received {
        path: uri.path().to_owned(),
        webhook_id: text(&headers, header::WEBHOOK_ID).to_owned(),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        raw: body.to_vec(),
        status: status.as_u16(),
        headers,
    };
    shared.journal.send_modify(|journal| journal.push(received));
    status
}
