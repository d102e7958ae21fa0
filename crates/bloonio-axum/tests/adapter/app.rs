//! A small application behind the layer, and requests to it.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{OriginalUri, Request, State};
use axum::routing::any;
use bloonio_axum::{BloonioAuth, ErrorCode, Sudo, SudoRequirement};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{Stage, transfer};

/// What ran: method, target and body.
pub type Ran = Arc<Mutex<Vec<(String, String, Bytes)>>>;

/// An application whose every path below `/bank` is one protected route.
pub struct App {
    pub stage: Stage,
    pub auth: BloonioAuth,
    pub ran: Ran,
    pub router: Router,
}

pub async fn execute(
    State(ran): State<Ran>,
    Sudo(grant): Sudo,
    OriginalUri(uri): OriginalUri,
    method: Method,
    body: Bytes,
) -> String {
    ran.lock().unwrap().push((method.to_string(), uri.to_string(), body));
    grant.approved_by().to_string()
}

impl App {
    pub fn new() -> Self {
        Self::over(Stage::new(), transfer())
    }

    pub fn with(requirement: SudoRequirement) -> Self {
        Self::over(Stage::new(), requirement)
    }

    pub fn over(stage: Stage, requirement: SudoRequirement) -> Self {
        let (auth, ran) = (BloonioAuth::from(stage.engine.clone()), Ran::default());
        let router = Router::new()
            .route("/bank/{*rest}", any(execute).layer(auth.sudo_required(requirement)))
            .with_state(ran.clone())
            .merge(auth.routes());
        Self { stage, auth, ran, router }
    }

    pub async fn send(&self, request: Request) -> Heard {
        Heard::of(self.router.clone().oneshot(request).await.unwrap()).await
    }

    /// Asks for what `request` makes, has it approved, and gives the key.
    pub async fn approved(&self, request: impl Fn() -> http::request::Builder, body: &[u8]) -> String {
        let heard = self.send(request().body(Body::from(body.to_vec())).unwrap()).await;
        heard.assert_error(ErrorCode::SudoInstructionKeyRequired);
        let key = heard.body["instruction_id"].as_str().unwrap().to_owned();
        self.stage.tell(&self.stage.event(&key, true)).await.assert(200);
        key
    }

    pub fn runs(&self) -> usize {
        self.ran.lock().unwrap().len()
    }
}

pub const BODY: &[u8] = br#"{"amount": "1000.00", "recipient": "ACME Corp"}"#;

/// Jane's request from her first session.
pub fn jane(method: &str, target: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(target)
        .header("host", "bank.example")
        .header("x-user", "jane-0001")
        .header("x-session", "one")
        .header("content-type", "application/json")
}

pub fn with_key(request: http::request::Builder, key: &str, body: impl Into<Body>) -> Request {
    request.header("x-sudo-instruction-key", key).body(body.into()).unwrap()
}

/// An answer, read to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Value,
    pub kind: Option<ErrorCode>,
}

impl Heard {
    async fn of(response: axum::response::Response) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
        Self { status: parts.status, headers: parts.headers, body, kind: parts.extensions.get().copied() }
    }

    #[track_caller]
    pub fn assert_error(&self, code: ErrorCode) {
        assert_eq!((self.status.as_u16(), &self.body["error"]), (code.status(), &json!(code.name())), "{}", self.body);
        assert_eq!(self.headers["cache-control"], "no-store");
        assert_eq!(self.headers["content-type"], "application/json");
    }
}
