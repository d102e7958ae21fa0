//! A client that writes every byte of a request itself: no library tidies up paths, headers or bodies on the way.

use bloonio_sudo::ErrorCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const BODY: &str = r#"{"amount": "1000.00", "recipient": "ACME Corp"}"#;

/// How a body travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Length,
    Chunked,
}

/// A request as it is written.
#[derive(Debug, Clone)]
pub struct Ask {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub framing: Framing,
}

impl Ask {
    pub fn bare(method: &str, target: &str) -> Self {
        let headers = vec![("host".to_owned(), "bank.example".to_owned())];
        Self { method: method.into(), target: target.into(), headers, body: Vec::new(), framing: Framing::Length }
    }

    /// Jane's request from her first session.
    pub fn jane(method: &str, target: &str) -> Self {
        Self::bare(method, target).with("x-user", "jane-0001").with("x-session", "one")
    }

    /// Jane's transfer.
    pub fn transfer(target: &str) -> Self {
        Self::jane("POST", target).with("content-type", "application/json").body(BODY)
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(given, _)| given != name);
        self
    }

    #[must_use]
    pub fn key(self, key: &str) -> Self {
        self.with("x-sudo-instruction-key", key)
    }

    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    #[must_use]
    pub fn chunked(mut self) -> Self {
        self.framing = Framing::Chunked;
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut body = self.body.clone();
        match self.framing {
            Framing::Length if self.headers.iter().any(|(name, _)| name == "content-length") => {}
            Framing::Length => head.push_str(&format!("content-length: {}\r\n", body.len())),
            Framing::Chunked => {
                head.push_str("transfer-encoding: chunked\r\n");
                body = self.body.chunks(7_001).flat_map(chunk).chain(*b"0\r\n\r\n").collect();
            }
        }
        head.push_str("\r\n");
        [head.into_bytes(), body].concat()
    }
}

fn chunk(piece: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
}

/// An answer, read to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

impl Heard {
    /// Reads what comes until the server hangs up. `None` where nothing came.
    pub async fn from(stream: &mut TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        // A server that refuses a large body may hang up hard once it has answered.
        let _ = stream.read_to_end(&mut bytes).await;
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let body = &bytes[end + 4..];
        let body = serde_json::from_slice(body).unwrap_or_else(|_| json!(String::from_utf8_lossy(body)));
        Some(Self { status, headers, body })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// An answer of the engine with this code: its status, its envelope, its headers.
    #[track_caller]
    pub fn assert_error(&self, code: ErrorCode) {
        assert_eq!((self.status, &self.body["error"]), (code.status(), &json!(code.name())), "{self:?}");
        assert_eq!(self.body["status_code"], code.status(), "{self:?}");
        assert_eq!(self.body["success"], false, "{self:?}");
        assert_eq!(self.body["message"], code.text(), "{self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
    }

    /// A refusal of the guard: outer middleware finds its code in the extensions.
    #[track_caller]
    pub fn assert_refused(&self, code: ErrorCode) {
        self.assert_error(code);
        assert_eq!(self.header("x-seen-code"), Some(code.name()), "{self:?}");
    }

    #[track_caller]
    pub fn assert_status(&self, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
    }
}

/// Opens a connection and writes a request on it.
pub async fn write(address: std::net::SocketAddr, ask: &Ask) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server may answer, and hang up, before it has read all.
    let _ = stream.write_all(&ask.bytes()).await;
    stream
}
