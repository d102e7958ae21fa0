//! A backend that receives callbacks on a port of its own, answers as it is told, and keeps a journal.
#![allow(dead_code, reason = "every test file uses its own part of the receiver")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bloonio_wire::clock::Timestamp;
use bloonio_wire::secret::Secret;
use bloonio_wire::{header, sign, webhook};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode};
use tokio::sync::watch;

/// What the backend does with a callback.
#[derive(Clone)]
pub enum Behaviour {
    /// Answers with this status.
    Status(u16),
    /// Sends the caller elsewhere.
    Redirect(String),
    /// Takes the request and never answers.
    Silent,
    /// Answers 200 and a body without end, as fast as it is read.
    Endless,
    /// Answers 200 and a body that never comes to its end, slowly.
    Drip,
}

/// A callback as it came in.
#[derive(Clone)]
pub struct Received {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its raw body.
    pub body: Bytes,
    /// Its path.
    pub path: String,
}

impl Received {
    /// A header that must be there once.
    pub fn header(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().unwrap_or_else(|| panic!("no {name}"));
        assert!(values.next().is_none(), "{name} twice");
        value.to_str().unwrap()
    }

    /// HMAC #1 as sent.
    pub fn signature(&self) -> sign::Signature {
        sign::Signature::from_hex(self.header(header::SIGNATURE)).unwrap()
    }

    /// Verifies all signatures, as a backend must.
    pub fn verify(&self, secret: &Secret, now: Timestamp) {
        let at = sign::parse_timestamp(self.header(header::TIMESTAMP)).unwrap();
        sign::check_window(at, now).unwrap();
        sign::verify(secret, at, &self.body, &self.signature()).unwrap();
        let secs = self.header(header::WEBHOOK_TIMESTAMP).parse().unwrap();
        assert_eq!(secs, at / 1000);
        let id = self.header(header::WEBHOOK_ID);
        webhook::verify(secret, id, secs, &self.body, self.header(header::WEBHOOK_SIGNATURE)).unwrap();
    }
}

static CHUNK: [u8; 65_536] = [b'x'; 65_536];

struct Shared {
    behaviour: watch::Sender<Behaviour>,
    journal: watch::Sender<Vec<Received>>,
    cut_off: watch::Sender<usize>,
    open: AtomicUsize,
    most_open: AtomicUsize,
    sent: AtomicUsize,
}

/// The backend.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Receiver {
    /// Starts it on a free port.
    pub async fn start(behaviour: Behaviour) -> Self {
        let shared = Arc::new(Shared {
            behaviour: watch::Sender::new(behaviour),
            journal: watch::Sender::new(Vec::new()),
            cut_off: watch::Sender::new(0),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            sent: AtomicUsize::new(0),
        });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().fallback(receive).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared, server }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}/callback", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.shared.behaviour.send_replace(behaviour);
    }

    /// What came in so far.
    pub fn journal(&self) -> Vec<Received> {
        self.shared.journal.borrow().clone()
    }

    /// The largest number of requests that were open at once.
    pub fn most_open(&self) -> usize {
        self.shared.most_open.load(Ordering::SeqCst)
    }

    /// Bytes of endless answers that went out, those on their way included.
    pub fn sent(&self) -> usize {
        self.shared.sent.load(Ordering::SeqCst)
    }

    /// Waits until `count` callbacks have come in.
    pub async fn received(&self, count: usize) -> Vec<Received> {
        let mut journal = self.shared.journal.subscribe();
        journal.wait_for(|journal| journal.len() >= count).await.unwrap().clone()
    }

    /// Waits until the caller has given up reading an answer.
    pub async fn cut_off(&self) {
        self.shared.cut_off.subscribe().wait_for(|count| *count > 0).await.unwrap();
    }
}

/// Counts an open request, and an answer that was not read to its end.
struct Open {
    shared: Arc<Shared>,
    endless: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::SeqCst);
        if self.endless {
            self.shared.cut_off.send_modify(|count| *count += 1);
        }
    }
}

async fn receive(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let open = shared.open.fetch_add(1, Ordering::SeqCst) + 1;
    shared.most_open.fetch_max(open, Ordering::SeqCst);
    let mut guard = Open { shared: Arc::clone(&shared), endless: false };
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let received = Received { headers: parts.headers, body, path: parts.uri.to_string() };
    let behaviour = shared.behaviour.borrow().clone();
    shared.journal.send_modify(|journal| journal.push(received));
    let answer = Response::builder();
    match behaviour {
        Behaviour::Status(status) => answer.status(status).body(Body::from("thank you")).unwrap(),
        Behaviour::Redirect(to) => {
            answer.status(StatusCode::TEMPORARY_REDIRECT).header("location", to).body(Body::empty()).unwrap()
        }
        Behaviour::Silent => std::future::pending().await,
        Behaviour::Endless => {
            guard.endless = true;
            let chunks = futures_util::stream::repeat_with(move || {
                guard.shared.sent.fetch_add(CHUNK.len(), Ordering::SeqCst);
                Ok::<_, std::convert::Infallible>(Bytes::from_static(&CHUNK))
            });
            answer.body(Body::from_stream(chunks)).unwrap()
        }
        Behaviour::Drip => {
            guard.endless = true;
            let first =
                futures_util::stream::once(async { Ok::<_, std::convert::Infallible>(Bytes::from_static(b"x")) });
            let never = futures_util::stream::once(async move {
                let _open = guard;
                std::future::pending().await
            });
            answer.body(Body::from_stream(first.chain(never))).unwrap()
        }
    }
}
