//! A relay that says what the test tells it to. It knows the protocol's recipe on its own: nothing here signs or verifies
//! with the code under test.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub const SECRET: &str = "sk_0000000000000000000000000000000000000000000000000000000000000000";
pub const TENANT: &str = "tnt_0123456789abcdef0123456789abcdef";

/// HMAC-SHA256 by RFC 2104, for keys of any length.
pub fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0u8; 64];
    match key.len() {
        0..=64 => block[..key.len()].copy_from_slice(key),
        _ => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

#[allow(clippy::disallowed_methods, reason = "the server stands for another machine, with a clock of its own")]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// A request as it came over the wire.
#[derive(Debug, Clone)]
pub struct Received {
    pub line: String,
    pub head: String,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.head.lines().filter_map(|line| line.split_once(':'));
        let value = values.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
        assert!(!values.any(|(found, _)| found.eq_ignore_ascii_case(name)), "{name} is given twice");
        value
    }

    /// PROTOCOL 2.1 and 2.2, word by word.
    pub fn assert_signed(&self) {
        assert_eq!(self.header("x-bloonio-tenant-id"), Some(TENANT));
        let timestamp = self.header("x-bloonio-timestamp").unwrap();
        assert!((now_ms() - timestamp.parse::<i64>().unwrap()).abs() <= 30_000, "{timestamp}");
        let message = format!("{timestamp}.{}", hex::encode(Sha256::digest(&self.body)));
        let tag = hex::encode(hmac(SECRET.as_bytes(), message.as_bytes()));
        assert_eq!(self.header("x-bloonio-signature"), Some(tag.as_str()));
        self.assert_signed_as_message();
    }

    fn assert_signed_as_message(&self) {
        let (method, target) = self.line.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let digest = format!("sha-256=:{}:", base64(&Sha256::digest(&self.body)));
        let (list, line) = match self.body.is_empty() {
            true => ("", String::new()),
            false => (" \"content-digest\"", format!("\"content-digest\": {digest}\n")),
        };
        assert_eq!(self.header("content-digest"), Some(digest.as_str()).filter(|_| !self.body.is_empty()));
        let input = self.header("signature-input").unwrap().strip_prefix("bloonio=").unwrap();
        let created = self.header("x-bloonio-timestamp").unwrap().parse::<i64>().unwrap() / 1000;
        let nonce = self.nonce();
        assert!(nonce.len() == 32 && nonce.bytes().all(|b| b.is_ascii_hexdigit()), "{nonce}");
        let parameters = format!(
            "(\"@method\" \"@path\" \"@query\" \"x-bloonio-tenant-id\"{list});created={created};nonce=\"{nonce}\";\
             keyid=\"{TENANT}\";alg=\"hmac-sha256\";tag=\"bloonio-relay\""
        );
        assert_eq!(input, parameters);
        let base = format!(
            "\"@method\": {method}\n\"@path\": {path}\n\"@query\": ?{query}\n\"x-bloonio-tenant-id\": {TENANT}\n{line}\
             \"@signature-params\": {parameters}"
        );
        let tag = format!("bloonio=:{}:", base64(&hmac(SECRET.as_bytes(), base.as_bytes())));
        assert_eq!(self.header("signature"), Some(tag.as_str()));
    }

    /// The nonce of the message signature.
    pub fn nonce(&self) -> &str {
        let input = self.header("signature-input").unwrap();
        input.split_once("nonce=\"").unwrap().1.split_once('"').unwrap().0
    }
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub enum Step {
    /// Sends these bytes and closes the connection.
    Say(String),
    /// Closes the connection without a word.
    BreakOff,
    /// Keeps the connection and says nothing.
    Hang,
}

/// A server on a port of its own, for as long as the test runs.
pub struct Server {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    connections: Arc<AtomicUsize>,
    script: Arc<Mutex<VecDeque<Step>>>,
}

impl Server {
    /// Hangs until it is told what to say ([`says`](Self::says)).
    pub fn scripted() -> Self {
        let script = Arc::new(Mutex::new(VecDeque::new()));
        let next = Arc::clone(&script);
        let answer = move |_: &Received| next.lock().unwrap().pop_front().unwrap_or(Step::Hang);
        Self { script, ..Self::answering(answer) }
    }

    /// Forgets what was, answers with each of these in turn, and then hangs.
    pub fn says(&self, steps: impl IntoIterator<Item = Step>) {
        self.received.lock().unwrap().clear();
        self.connections.store(0, Ordering::SeqCst);
        *self.script.lock().unwrap() = steps.into_iter().collect();
    }

    /// Answers each request as `answer` says.
    pub fn answering(answer: impl Fn(&Received) -> Step + Send + Sync + 'static) -> Self {
        let received = Arc::new(Mutex::new(Vec::new()));
        let journal = Arc::clone(&received);
        let answer = Arc::new(answer);
        Self::accepting(received, move |mut socket| {
            let (journal, answer) = (Arc::clone(&journal), Arc::clone(&answer));
            std::thread::spawn(move || {
                let Some(request) = read(&mut socket) else { return };
                journal.lock().unwrap().push(request.clone());
                match answer(&request) {
                    // A client that has heard enough may close before the end.
                    Step::Say(text) => drop(socket.write_all(text.as_bytes())),
                    Step::BreakOff => {}
                    Step::Hang => drop(socket.read(&mut [0])),
                }
            });
        })
    }

    /// Closes every connection before a word is said.
    pub fn refusing() -> Self {
        Self::accepting(Arc::default(), drop)
    }

    fn accepting(received: Arc<Mutex<Vec<Received>>>, mut take: impl FnMut(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                take(socket.unwrap());
            }
        });
        Self { address, received, connections, script: Arc::default() }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDR/base/`: a relay behind a path.
    pub fn url(&self) -> String {
        format!("http://{}/base/", self.address)
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn read(socket: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let n = socket.read(&mut chunk).ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&chunk[..n]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let request = Received {
            line: head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned(),
            head,
            body: bytes[end + 4..].to_vec(),
        };
        let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
        if request.body.len() >= length {
            return Some(request);
        }
    }
}

/// An HTTP answer; `headers` are whole lines.
pub fn answer(status: u16, headers: &str, body: &str) -> Step {
    let length = body.len();
    Step::Say(format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"))
}

/// A refusal with a `Retry-After` of 7 seconds.
pub fn refusal(status: u16, code: &str, more: Value) -> Step {
    let mut body = json!({"success": false, "status_code": status, "message": "", "error": code, "data": null});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    answer(status, "retry-after: 7\r\n", &body.to_string())
}

/// A success around `data`, signed as PROTOCOL 2.5 signs callbacks; most calls do not ask for that.
pub fn success(status: u16, data: &Value) -> Step {
    let body = json!({"success": true, "status_code": status, "message": "", "data": data}).to_string();
    answer(status, &webhook_headers("out_1", now_ms() / 1000, &body), &body)
}

/// The Standard Webhooks headers of PROTOCOL 2.5, made at `at` (Unix seconds).
pub fn webhook_headers(id: &str, at: i64, body: &str) -> String {
    let tag = hmac(SECRET.as_bytes(), format!("{id}.{at}.{body}").as_bytes());
    format!("webhook-id: {id}\r\nwebhook-timestamp: {at}\r\nwebhook-signature: v1,{}\r\n", base64(&tag))
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
