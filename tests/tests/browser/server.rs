//! A backend that answers by a script, and remembers every request as it came.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The first example of the guide for web pages.
const EXAMPLE: &str = include_str!("../../../docs/src/browser.md");
const SCRIPT: &str = include_str!("../../../crates/bloonio-sudo/assets/bloonio.js");
/// As strict as a policy can be for a page that uses the module.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:";
/// The key that the scripts hand out.
pub const KEY: &str = "0123456789abcdef0123456789abcdef";

/// A request as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Came {
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Came {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// One answer of a script.
#[derive(Debug, Clone)]
pub enum Says {
    /// Status, headers, body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// Nothing: the client waits.
    Nothing,
}

impl Says {
    pub fn text(status: u16, text: &str) -> Self {
        Self::Answer(status, vec![("content-type", "text/plain".to_owned())], text.to_owned())
    }

    pub fn json(status: u16, body: &Value) -> Self {
        Self::Answer(status, vec![("content-type", "application/json".to_owned())], body.to_string())
    }

    /// A refusal with this code.
    pub fn error(status: u16, code: &str) -> Self {
        Self::json(status, &json!({"success": false, "status_code": status, "error": code, "message": "a message"}))
    }

    /// The guard's answer to a first call, with `changes`.
    pub fn asks(changes: &Value) -> Self {
        let mut body = json!({
            "success": false, "status_code": 403, "error": "SUDO_INSTRUCTION_KEY_REQUIRED", "instruction_id": KEY,
            "custom_type": "goldenNumber", "expected_action": "pay", "golden_number": 42,
            "expires_at": "2100-01-01T00:00:00Z", "status_url": format!("/status/{KEY}"),
        });
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        Self::json(403, &body)
    }

    /// An answer to the question how the approval stands.
    pub fn stands(status: &str) -> Self {
        Self::json(200, &json!({"status": status, "expires_at": "2100-01-01T00:00:00Z"}))
    }

    /// The same with another content type.
    pub fn typed(mut self, content_type: &str) -> Self {
        if let Self::Answer(_, headers, _) = &mut self {
            headers.retain(|(name, _)| *name != "content-type");
        }
        self.with("content-type", content_type)
    }

    #[must_use]
    pub fn with(self, name: &'static str, value: impl Into<String>) -> Self {
        match self {
            Self::Answer(status, mut headers, body) => {
                headers.push((name, value.into()));
                Self::Answer(status, headers, body)
            }
            Self::Nothing => Self::Nothing,
        }
    }
}

#[derive(Debug, Default)]
struct Play {
    /// What a protected route says, call after call.
    run: VecDeque<Says>,
    /// What the status says, question after question.
    status: VecDeque<Says>,
    came: Vec<Came>,
}

/// The backend. It serves a blank page at `/`, the module, a protected route at `/run` and below, a status below
/// `/status`.
#[derive(Debug)]
pub struct Server {
    /// `http://ADDR`
    pub base: String,
    play: Arc<Mutex<Play>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start() -> Self {
        let play = Arc::<Mutex<Play>>::default();
        let app = Router::new().fallback(answer).with_state(Arc::clone(&play));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { base, play, task }
    }

    /// What is said next, and forgets what came.
    pub fn will_say(&self, run: &[Says], status: &[Says]) {
        let (run, status) = (run.iter().cloned().collect(), status.iter().cloned().collect());
        *self.play.lock().unwrap() = Play { run, status, came: Vec::new() };
    }

    /// What came below a path.
    pub fn came(&self, below: &str) -> Vec<Came> {
        let play = self.play.lock().unwrap();
        play.came.iter().filter(|came| came.target.starts_with(below)).cloned().collect()
    }

    /// How much of the script was not said.
    pub fn unsaid(&self) -> usize {
        let play = self.play.lock().unwrap();
        play.run.len() + play.status.len()
    }
}

async fn answer(
    State(play): State<Arc<Mutex<Play>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let says = {
        let mut play = play.lock().unwrap();
        play.came.push(Came { method, target: uri.to_string(), headers, body });
        match uri.path() {
            "/" => page(),
            "/_bloonio/bloonio.js" => module(),
            "/example.js" => example(),
            path if path.starts_with("/run") || path == "/transfer/execute" => {
                play.run.pop_front().unwrap_or_else(|| Says::text(500, "not scripted"))
            }
            _ => play.status.pop_front().unwrap_or_else(|| Says::text(500, "not scripted")),
        }
    };
    match says {
        Says::Answer(status, headers, body) => {
            let response = headers
                .into_iter()
                .fold(Response::builder().status(status), |response, (name, value)| response.header(name, value));
            response.body(Body::from(body)).unwrap()
        }
        Says::Nothing => std::future::pending().await,
    }
}

fn file(headers: &[(&'static str, &str)], body: &str) -> Says {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned()));
    Says::Answer(200, headers.collect(), body.to_owned())
}

fn module() -> Says {
    file(&[("content-type", "text/javascript; charset=utf-8")], SCRIPT)
}

fn example() -> Says {
    let example = EXAMPLE.split("```js\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    file(&[("content-type", "text/javascript; charset=utf-8")], example)
}

fn page() -> Says {
    let html = "<!doctype html><title>Page</title><link rel=icon href=\"data:,\"><p id=status>A page.</p>";
    let headers = [
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", POLICY),
        ("set-cookie", "session=of-the-page; HttpOnly; SameSite=Strict; Path=/"),
    ];
    file(&headers, html)
}
