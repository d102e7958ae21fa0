//! Traces, as a collector sees them: the feature `otel`, a relay that is really running, and one approval.
#![cfg(feature = "otel")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says where")]

mod support;

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use bloonio_wire::clock::{Clock, SystemClock};
use bloonio_wire::header;
use bloonio_wire::secret::Secret;
use bloonio_wire::sign;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use support::ADMIN_KEY;
use support::process::RunningRelay;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What came in: where, with what, and what it said.
type Request = (String, HeaderMap, Bytes);

/// Anything that is called: a collector, or a backend.
struct Listener {
    base: String,
    requests: watch::Receiver<Vec<Request>>,
}

impl Listener {
    async fn start() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", socket.local_addr().unwrap());
        let (journal, requests) = watch::channel(Vec::new());
        let app = Router::new().fallback(take).with_state(journal);
        tokio::spawn(async move { axum::serve(socket, app).await.unwrap() });
        Self { base, requests }
    }

    async fn wait_for(&mut self, what: &str, enough: impl FnMut(&Vec<Request>) -> bool) -> Vec<Request> {
        let waiting = tokio::time::timeout(Duration::from_secs(60), self.requests.wait_for(enough)).await;
        waiting.unwrap_or_else(|_| panic!("waited in vain: {what}")).unwrap().clone()
    }
}

async fn take(State(journal): State<watch::Sender<Vec<Request>>>, uri: Uri, headers: HeaderMap, body: Bytes) {
    journal.send_modify(|journal| journal.push((uri.path().to_owned(), headers, body)));
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

async fn data(call: RequestBuilder) -> Value {
    let answer: Value = call.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["success"], true, "{answer}");
    answer["data"].clone()
}

struct Bank {
    base: String,
    tenant_id: String,
    secret: Secret,
}

impl Bank {
    async fn provision(relay: &RunningRelay, callbacks: &str) -> Self {
        let fields = json!({"tenant_name": "Bank", "callback_url_base": callbacks});
        let call = http().post(relay.url("/api/v1/provision/tenant")).header("x-admin-key", ADMIN_KEY).json(&fields);
        let made = data(call).await;
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Self { base: relay.url("/api/v1"), tenant_id: text("tenant_id"), secret: Secret::new(text("tenant_secret")) }
    }

    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        let (at, body) = (SystemClock.now(), body.to_string());
        http()
            .post(format!("{}{path}", self.base))
            .header(header::TENANT_ID, &self.tenant_id)
            .header(header::TIMESTAMP, at.as_millis().to_string())
            .header(header::SIGNATURE, sign::sign(&self.secret, at, body.as_bytes()).to_hex())
            .body(body)
    }

    /// Pairs a device; gives its session.
    async fn pair(&self) -> String {
        let profile = json!({
            "user_socket_hash": "user-0001", "backend_user_id": "1", "display_name": "Jane Canary",
            "user_email": "canary@example.com"
        });
        let offer = data(self.post("/relay/prepare-pairing", &profile)).await;
        let register = http()
            .post(format!("{}/device/register-token", self.base))
            .bearer_auth(offer["pairing_proof"].as_str().unwrap())
            .json(&json!({"platform": "stream"}));
        data(register).await["device_session_token"].as_str().unwrap().to_owned()
    }
}

fn traceparent(trace: &str) -> String {
    format!("00-{trace}-00f067aa0ba902b7-01")
}

/// The trace that a `traceparent` names.
fn trace_of(headers: &HeaderMap) -> Option<&str> {
    headers.get("traceparent")?.to_str().ok()?.split('-').nth(1)
}

fn holds(bodies: &[Request], bytes: &[u8]) -> bool {
    bodies.iter().any(|(_, _, body)| body.windows(bytes.len()).any(|window| window == bytes))
}

#[tokio::test]
async fn an_approval_is_one_trace_from_the_caller_to_the_callback_and_tells_no_secret() {
    let (mut collector, mut backend) = (Listener::start().await, Listener::start().await);
    let folder = TempDir::new().unwrap();
    let variables =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.base.as_str()), ("RELAY_ALLOW_PRIVATE_CALLBACKS", "true")];
    let relay = RunningRelay::start(&folder.path().join("relay"), &variables);
    let bank = Bank::provision(&relay, &backend.base).await;
    let session = bank.pair().await;
    let (asked, answered) = ("4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c");
    let prompt = json!({
        "user_socket_hash": "user-0001", "instruction_id": "instruction-1", "custom_type": "localAuth",
        "expected_action": "action_canary", "backend_url": "https://bank.example"
    });
    data(bank.post("/relay/send/auth-challenge", &prompt).header("traceparent", traceparent(asked))).await;
    let answer = json!({
        "instruction_id": "instruction-1", "approved": true, "custom_type": "localAuth", "reason": "reason-canary"
    });
    let submit = http().post(relay.url("/api/v1/device/submit-response")).bearer_auth(&session).json(&answer);
    data(submit.header("traceparent", traceparent(answered))).await;
    let is_decision = |request: &Request| request.0.ends_with("/sudo-validated");
    let callbacks = backend.wait_for("the callback", |requests| requests.iter().any(is_decision)).await;
    let decision = callbacks.iter().find(|request| is_decision(request)).unwrap();
    assert_eq!(trace_of(&decision.1), Some(answered), "the decision's trace goes on in its callback");
    relay.signal("TERM");
    assert!(relay.ended().0.success());
    let has = |name: &'static str| move |requests: &Vec<Request>| holds(requests, name.as_bytes());
    let spans = collector.wait_for("the callback's span", has("callback")).await;
    assert!(spans.iter().all(|(path, ..)| path == "/v1/traces"));
    for name in ["bloonio-relay", "request", "store", "push", "decide", "/api/v1/relay/send/auth-challenge"] {
        assert!(holds(&spans, name.as_bytes()), "{name}");
    }
    for trace in [asked, answered] {
        assert!(holds(&spans, &hex::decode(trace).unwrap()), "{trace}");
    }
    let canaries = ["Jane Canary", "canary@example.com", "action_canary", "reason-canary", "instruction-1", ADMIN_KEY];
    for canary in canaries.into_iter().chain([session.as_str(), bank.secret.expose()]) {
        assert!(!holds(&spans, canary.as_bytes()), "{canary}");
    }
}

#[tokio::test]
async fn a_collector_that_is_away_holds_nothing_up() {
    let away = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let folder = TempDir::new().unwrap();
    let endpoint = format!("http://{away}");
    let relay = RunningRelay::start(&folder.path().join("relay"), &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]);
    Bank::provision(&relay, "https://bank.example").await;
    relay.signal("TERM");
    assert!(relay.ended().0.success());
}
