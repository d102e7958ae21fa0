//! Scripted trouble: what is answered instead of the truth, and what becomes of the connection.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};
use tokio::sync::watch;

/// A barrier that requests wait at until a test opens it.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<bool>);

impl Default for Gate {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Gate {
    /// Lets everybody through, for good.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub(super) async fn pass(&self) {
        // The sender lives as long as this gate does.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// How an answer's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As it should.
    Complete,
    /// Never: the connection stays open, and silent.
    Stalls,
    /// Never: a byte now and then.
    Drips,
    /// Never: more and more of it.
    Endless,
    /// Too early: the connection is cut in the middle.
    BreaksOff,
}

/// A scripted answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// More headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How it ends.
    pub ending: Ending,
}

impl Answer {
    /// This status with this body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), ending: Ending::Complete }
    }

    /// A JSON body.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(status, body.to_string()).with_header("content-type", "application/json; charset=UTF-8")
    }

    /// A refusal as FCM words it, with these details.
    pub fn refusal(status: u16, name: &str, details: &[Value]) -> Self {
        let mut error = json!({"code": status, "message": "scripted", "status": name});
        if !details.is_empty() {
            error["details"] = details.into();
        }
        Self::json(status, &json!({ "error": error }))
    }

    /// A refusal with an `FcmError`.
    pub fn fcm_error(status: u16, name: &str, code: &str) -> Self {
        Self::refusal(status, name, &[fcm_error(code)])
    }

    /// A front end's page.
    pub fn html(status: u16) -> Self {
        let page = format!("<!DOCTYPE html><title>Error {status}</title><p>Please try again in 30 seconds.");
        Self::new(status, page).with_header("content-type", "text/html; charset=UTF-8")
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Ends otherwise.
    #[must_use]
    pub fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }
}

/// The `FcmError` detail with this code.
pub fn fcm_error(code: &str) -> Value {
    json!({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code})
}

/// The `RetryInfo` detail with this delay, such as `"30s"`.
pub fn retry_info(delay: &str) -> Value {
    json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
}

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This is answered, and nothing is done.
    Answer(Answer),
    /// It is done, and this is answered.
    DoneButAnswer(Answer),
    /// It is held at the gate, then treated like any other.
    Hold(Gate),
    /// It is never answered.
    Hang,
    /// The connection is cut, and nothing was done.
    Cut,
    /// It is done, and then the connection is cut.
    DoneButCut,
}

impl Fault {
    /// For the journal.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Answer(_) => "answer",
            Self::DoneButAnswer(_) => "done but answer",
            Self::Hold(_) => "hold",
            Self::Hang => "hang",
            Self::Cut => "cut",
            Self::DoneButCut => "done but cut",
        }
    }

    /// Whether the request takes effect all the same.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::DoneButAnswer(_) | Self::DoneButCut)
    }
}

/// Which faults are to come.
#[derive(Debug, Default)]
pub(super) struct Script {
    next: VecDeque<Fault>,
    standing: Option<Fault>,
    next_for: HashMap<String, VecDeque<Fault>>,
    standing_for: HashMap<String, Fault>,
}

impl Script {
    pub(super) fn push(&mut self, faults: impl IntoIterator<Item = Fault>) {
        self.next.extend(faults);
    }

    pub(super) fn push_for(&mut self, address: &str, faults: impl IntoIterator<Item = Fault>) {
        self.next_for.entry(address.to_owned()).or_default().extend(faults);
    }

    pub(super) fn stand(&mut self, fault: Option<Fault>) {
        self.standing = fault;
    }

    pub(super) fn stand_for(&mut self, address: &str, fault: Option<Fault>) {
        match fault {
            Some(fault) => self.standing_for.insert(address.to_owned(), fault),
            None => self.standing_for.remove(address),
        };
    }

    /// The fault of a request: what was scripted for this address goes first, what is used up before what stands.
    pub(super) fn take(&mut self, address: Option<&str>) -> Option<Fault> {
        let own = address.and_then(|address| {
            let queued = self.next_for.get_mut(address).and_then(VecDeque::pop_front);
            queued.or_else(|| self.standing_for.get(address).cloned())
        });
        own.or_else(|| self.next.pop_front()).or_else(|| self.standing.clone())
    }
}
