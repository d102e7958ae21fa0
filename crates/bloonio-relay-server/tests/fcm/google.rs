//! A token endpoint and a send endpoint that answer as they are told, and remember what they were asked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bloonio_relay_server::push::fcm::Credentials;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::Url;

/// Only a defect reaches it.
pub const DEADLINE: Duration = Duration::from_secs(60);

static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).unwrap());

/// The public half of the service account's key, DER (PKCS#1).
pub fn public_key() -> Vec<u8> {
    KEY.public_key().as_ref().to_vec()
}

/// The key file of a service account with this token endpoint.
pub fn credentials(token_uri: &str) -> Credentials {
    let der = STANDARD.encode(KEY.as_der().unwrap().as_ref());
    let file = json!({
        "type": "service_account",
        "project_id": "demo-project",
        "private_key_id": "key-1",
        "private_key": format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n"),
        "client_email": "relay@demo-project.iam.gserviceaccount.com",
        "token_uri": token_uri,
    });
    Credentials::from_json(file.to_string().as_bytes()).unwrap()
}

/// What an endpoint does with a request.
#[derive(Debug, Clone)]
pub enum Act {
    /// Answers.
    Answer(u16, Vec<(&'static str, &'static str)>, Vec<u8>),
    /// Begins to answer, then breaks off.
    BreakOff(u16),
    /// Never answers.
    Hang,
}

impl Act {
    /// An answer of this text.
    pub fn answer(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Answer(status, Vec::new(), body.into())
    }

    /// A refusal with an FCM error code.
    pub fn refusal(status: u16, code: &str) -> Self {
        let detail = json!({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code});
        Self::answer(status, json!({"error": {"code": status, "details": [detail]}}).to_string())
    }
}

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Asked {
    /// The body as a form.
    pub fn form(&self) -> HashMap<String, String> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

#[derive(Debug, Clone, Default)]
pub struct Journal {
    pub tokens: Vec<Asked>,
    pub sends: Vec<Asked>,
    /// Requests that hung until the client went away.
    pub given_up: usize,
}

#[derive(Debug)]
struct Shared {
    token_acts: Mutex<VecDeque<Act>>,
    send_acts: Mutex<VecDeque<Act>>,
    token_life: Mutex<i64>,
    journal: watch::Sender<Journal>,
}

/// A running pair of endpoints.
#[derive(Debug)]
pub struct Google {
    base: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Drop for Google {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Google {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            token_acts: Mutex::default(),
            send_acts: Mutex::default(),
            token_life: Mutex::new(3_600),
            journal: watch::Sender::default(),
        });
        let app = Router::new().route("/token", post(token)).fallback(send).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { base, shared, server }
    }

    pub fn url(&self) -> Url {
        self.base.parse().unwrap()
    }

    pub fn credentials(&self) -> Credentials {
        credentials(&format!("{}/token", self.base))
    }

    /// The next token requests are treated so; later ones are granted.
    pub fn tokens_next(&self, acts: impl IntoIterator<Item = Act>) {
        self.shared.token_acts.lock().unwrap().extend(acts);
    }

    /// The next messages are treated so; later ones are accepted.
    pub fn sends_next(&self, acts: impl IntoIterator<Item = Act>) {
        self.shared.send_acts.lock().unwrap().extend(acts);
    }

    /// The life of tokens granted from now on.
    pub fn token_life(&self, seconds: i64) {
        *self.shared.token_life.lock().unwrap() = seconds;
    }

    pub fn journal(&self) -> Journal {
        self.shared.journal.borrow().clone()
    }

    /// Waits until the journal is as `enough` wants it.
    pub async fn wait_for(&self, enough: impl Fn(&Journal) -> bool) -> Journal {
        let mut journal = self.shared.journal.subscribe();
        let waiting = journal.wait_for(|journal| enough(journal));
        tokio::time::timeout(DEADLINE, waiting).await.expect("waited in vain").unwrap().clone()
    }
}

/// Counts a client that went away, when it is dropped before its request was answered.
struct Departure(Arc<Shared>);

impl Drop for Departure {
    fn drop(&mut self) {
        self.0.journal.send_modify(|journal| journal.given_up += 1);
    }
}

async fn perform(shared: Arc<Shared>, act: Act) -> Response {
    match act {
        Act::Answer(status, headers, body) => {
            let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
        Act::BreakOff(status) => {
            // A pause before the break, so that what was said so far is on its way.
            let begin = stream::once(async { Ok(Bytes::from_static(b"{\"na")) });
            let end = stream::once(async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("broken off"))
            });
            let body = Body::from_stream(begin.chain(end));
            (StatusCode::from_u16(status).unwrap(), body).into_response()
        }
        Act::Hang => {
            let _departure = Departure(shared);
            std::future::pending().await
        }
    }
}

async fn token(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let asked = Asked { path: uri.path().to_owned(), headers, body };
    let mut number = 0;
    shared.journal.send_modify(|journal| {
        journal.tokens.push(asked);
        number = journal.tokens.len();
    });
    let granted = || {
        let life = *shared.token_life.lock().unwrap();
        let body = json!({"access_token": format!("ya29.token-{number}"), "expires_in": life, "token_type": "Bearer"});
        Act::answer(200, body.to_string())
    };
    let act = shared.token_acts.lock().unwrap().pop_front();
    perform(Arc::clone(&shared), act.unwrap_or_else(granted)).await
}

async fn send(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let asked = Asked { path: uri.path().to_owned(), headers, body };
    shared.journal.send_modify(|journal| journal.sends.push(asked));
    let act = shared.send_acts.lock().unwrap().pop_front();
    let accepted = || Act::answer(200, r#"{"name": "projects/demo-project/messages/0:1"}"#);
    perform(Arc::clone(&shared), act.unwrap_or_else(accepted)).await
}

/// An HTTP client as the relay's.
pub fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}
