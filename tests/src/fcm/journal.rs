//! What the emulator has seen, in order, and waiting for more of it.

use bloonio_wire::clock::Timestamp;
use http::Version;
use serde_json::Value;
use tokio::sync::watch;

use super::rules::Refusal;
use crate::wait::DEADLINE;

/// How a send ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Taken, under this name.
    Accepted(String),
    /// A `validateOnly` that would have been taken.
    Validated,
    /// Refused, because of the request or of the device.
    Refused(Refusal),
    /// Nothing was wrong with it, but a fault was scripted.
    Faulted {
        /// The fault's name.
        fault: &'static str,
        /// Whether the device got the message all the same.
        delivered: bool,
    },
}

/// One request to send.
#[derive(Debug, Clone)]
pub struct SendRequest {
    /// When.
    pub at: Timestamp,
    /// Over which version of HTTP.
    pub version: Version,
    /// To which project.
    pub project: String,
    /// The bytes as received.
    pub raw: Vec<u8>,
    /// The same as JSON; `null` if it is none.
    pub body: Value,
    /// The address, of whichever kind.
    pub address: Option<String>,
    /// What it was answered.
    pub verdict: Verdict,
}

impl SendRequest {
    /// The message as sent.
    pub fn message(&self) -> &Value {
        &self.body["message"]
    }

    /// Whether the device got it.
    pub fn is_delivered(&self) -> bool {
        matches!(self.verdict, Verdict::Accepted(_) | Verdict::Faulted { delivered: true, .. })
    }
}

/// How a request for an access token ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenVerdict {
    /// It got one.
    Issued {
        /// Whether there was no need: another one had more than half of its life before it.
        early: bool,
    },
    /// It was refused.
    Refused {
        /// The `error` of RFC 6749.
        error: &'static str,
        /// Why, in words.
        reason: String,
    },
    /// A fault was scripted.
    Faulted(&'static str),
}

/// One request for an access token.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    /// When.
    pub at: Timestamp,
    /// What it was answered; `None` while it is held.
    pub verdict: Option<TokenVerdict>,
}

/// Everything that the emulator has seen.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Connections accepted.
    pub connections: usize,
    /// Requests to send that came to a held gate.
    pub held: usize,
    /// Requests to send that were judged, in order.
    pub sends: Vec<SendRequest>,
    /// Requests for tokens, in the order of their arrival.
    pub tokens: Vec<TokenRequest>,
    /// Requests to anywhere else, as method and path.
    pub strays: Vec<String>,
}

/// The record.
#[derive(Debug)]
pub(super) struct Journal(watch::Sender<Seen>);

impl Journal {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Seen::default()))
    }

    pub(super) fn connected(&self) {
        self.0.send_modify(|seen| seen.connections += 1);
    }

    pub(super) fn held(&self) {
        self.0.send_modify(|seen| seen.held += 1);
    }

    pub(super) fn sent(&self, request: SendRequest) {
        self.0.send_modify(|seen| seen.sends.push(request));
    }

    pub(super) fn strayed(&self, request: String) {
        self.0.send_modify(|seen| seen.strays.push(request));
    }

    /// Notes that a request for a token has come; the answer is to be noted under the same number.
    pub(super) fn token_asked(&self, at: Timestamp) -> usize {
        let mut number = 0;
        self.0.send_modify(|seen| {
            number = seen.tokens.len();
            seen.tokens.push(TokenRequest { at, verdict: None });
        });
        number
    }

    pub(super) fn token_answered(&self, number: usize, verdict: TokenVerdict) {
        self.0.send_modify(|seen| seen.tokens[number].verdict = Some(verdict));
    }

    pub(super) fn seen(&self) -> Seen {
        self.0.borrow().clone()
    }

    pub(super) async fn wait_for(&self, what: &str, enough: impl Fn(&Seen) -> bool) -> Seen {
        let mut journal = self.0.subscribe();
        let waiting = journal.wait_for(|seen| enough(seen));
        match tokio::time::timeout(DEADLINE, waiting).await {
            Ok(Ok(seen)) => seen.clone(),
            _ => panic!("waited {DEADLINE:?} in vain: {what}; seen {:#?}", self.seen()),
        }
    }
}
