//! Every answer that the engine gives, built in one place (PROTOCOL 9.1, 9.4).

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use bloonio_wire::code::ErrorCode;
use bloonio_wire::envelope::{Failure, FieldProblem};
use bytes::Bytes;
use futures_core::Stream;
use serde_json::{Value, json};

use crate::decision::Refusal;
use crate::instruction::Instruction;

/// What clients of an unavailable part are told to wait.
const RETRY_SOON: Duration = Duration::from_secs(5);

/// An answer as plain data.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Bytes,
}

impl fmt::Debug for Reply {
    /// Without the body, which may hold a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("status", &self.status).finish_non_exhaustive()
    }
}

/// An answer of a mounted route.
pub enum Answer {
    /// All of it.
    Reply(Reply),
    /// A stream of server-sent events, with status and headers first.
    Events {
        /// HTTP status.
        status: u16,
        /// Headers, names in lower case.
        headers: Vec<(&'static str, String)>,
        /// The events as they travel; frameworks take streams that may fail, this one does not.
        events: Pin<Box<dyn Stream<Item = Result<Bytes, Infallible>> + Send>>,
    },
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply(reply) => reply.fmt(f),
            Self::Events { status, .. } => f.debug_struct("Events").field("status", status).finish_non_exhaustive(),
        }
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

impl Reply {
    /// A JSON answer that no cache may keep.
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned()), ("cache-control", "no-store".to_owned())];
        Self { status, headers, body: Bytes::from(body.to_string()) }
    }

    /// An error in the envelope of PROTOCOL 1.
    pub(crate) fn failure(failure: &Failure) -> Self {
        // The fixed fields of a failure serialise; an empty body beats a panic should that ever change.
        Self::json(failure.status_code, &serde_json::to_value(failure).unwrap_or_default())
    }

    /// An error of a mounted route.
    pub(crate) fn error(code: ErrorCode) -> Self {
        Self::failure(&Failure::new(code))
    }

    pub(crate) fn with_retry_after(mut self, wait: Duration) -> Self {
        self.headers.push(("retry-after", whole_seconds(wait).to_string()));
        self
    }
}

/// The answer of a handler that wants a grant where no layer can have given one: a mistake of the application.
pub fn missing_layer(layer: &str) -> Reply {
    tracing::error!(layer, "a handler takes a grant, but the request did not pass the layer that gives it");
    Refusal::new(ErrorCode::SudoMisconfigured).reply
}

/// Rounded up, and at least one: a client that waits so long finds the way free.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(u64::MAX)
}

impl Refusal {
    /// A refusal that says no more than its code.
    pub(crate) fn new(code: ErrorCode) -> Self {
        Self::with(code, json!({}))
    }

    fn with(code: ErrorCode, more: Value) -> Self {
        let mut body = json!({
            "success": false, "status_code": code.status(), "error": code.name(), "message": code.text(),
        });
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        Self { kind: code, reply: Reply::json(code.status(), &body) }
    }

    /// The answer to a first call: what is asked, and the key to come back with.
    pub(crate) fn key_required(instruction: &Instruction) -> Self {
        let mut more = json!({
            "instruction_id": instruction.instruction_id,
            "custom_type": instruction.custom_type,
            "expected_action": instruction.action,
            "is_sudo_required": true,
            "is_sudo_action": true,
            "expires_at": instruction.good_until(),
            "status_url": format!("/_bloonio/instructions/{}", instruction.instruction_id),
        });
        if let Some(number) = instruction.golden_number {
            more["golden_number"] = number.into();
        }
        Self::with(ErrorCode::SudoInstructionKeyRequired, more)
    }

    /// Nobody has answered yet.
    pub(crate) fn pending(instruction: &Instruction) -> Self {
        let more = json!({
            "instruction_id": instruction.instruction_id, "expires_at": instruction.good_until(),
            "is_sudo_required": true, "is_sudo_action": true,
        });
        Self::with(ErrorCode::SudoActionPending, more)
    }

    /// A refusal that says when to try again.
    pub(crate) fn later(code: ErrorCode, wait: Duration) -> Self {
        let Self { kind, reply } = Self::with(code, json!({"retry_after": whole_seconds(wait)}));
        Self { kind, reply: reply.with_retry_after(wait) }
    }

    /// The store is away.
    pub(crate) fn state_unavailable() -> Self {
        Self::later(ErrorCode::SudoStateUnavailable, RETRY_SOON)
    }

    /// The relay is away.
    pub(crate) fn relay_unavailable() -> Self {
        Self::later(ErrorCode::SudoRelayUnavailable, RETRY_SOON)
    }

    /// The request cannot be read.
    pub(crate) fn malformed() -> Self {
        let code = ErrorCode::MalformedRequest;
        Self { kind: code, reply: Reply::error(code) }
    }

    /// The request breaks rules.
    pub(crate) fn invalid(details: Vec<FieldProblem>) -> Self {
        Self { kind: ErrorCode::ValidationFailed, reply: Reply::failure(&Failure::invalid(details)) }
    }
}
