//! A call of the relay as plain data: what is sent, and whether it may be sent twice.

use std::fmt;
use std::time::Duration;

use bloonio_wire::secret::Secret;
use bytes::Bytes;
use serde::Serialize;

use super::RelayError;

/// How a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads; never refused as a replay.
    Get,
    /// Changes, or carries a body.
    Post,
}

impl Method {
    /// As it stands in the request line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// Whether a call that came to nothing may be made once more by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Twice is as good as once: also where the first may have arrived.
    Safe,
    /// Only where the first has not left this machine.
    IfUnsent,
    /// Never: one try, one answer.
    Never,
}

/// A call of the relay, below `/api/v1/relay/`. Its `Debug` shows neither query nor body.
#[derive(Clone)]
pub struct RelayCall {
    method: Method,
    path: &'static str,
    query: Vec<(&'static str, String)>,
    poll_token: Option<Secret>,
    body: Bytes,
    repeat: Repeat,
    wait: Duration,
}

impl fmt::Debug for RelayCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayCall").field("method", &self.method).field("path", &self.path).finish_non_exhaustive()
    }
}

impl RelayCall {
    /// A call that reads, such as `sudo/groups`. It may be repeated.
    pub fn get(path: &'static str) -> Self {
        Self {
            method: Method::Get,
            path,
            query: Vec::new(),
            poll_token: None,
            body: Bytes::new(),
            repeat: Repeat::Safe,
            wait: Duration::ZERO,
        }
    }

    /// A call with a body, such as `revoke-pairing`. It may be repeated only where it has not left this machine.
    ///
    /// # Errors
    /// [`RelayError::Unsendable`] for a body that is not JSON.
    pub fn post(path: &'static str, body: &impl Serialize) -> Result<Self, RelayError> {
        let body = serde_json::to_vec(body).map_err(|_| RelayError::Unsendable("its body is not JSON"))?;
        Ok(Self { method: Method::Post, body: body.into(), repeat: Repeat::IfUnsent, ..Self::get(path) })
    }

    /// With a parameter in the query.
    #[must_use]
    pub fn with_query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// With another rule for repeats.
    #[must_use]
    pub fn with_repeat(mut self, repeat: Repeat) -> Self {
        self.repeat = repeat;
        self
    }

    /// With the poll token of a QR login, in its header.
    #[must_use]
    pub fn with_poll_token(mut self, token: Secret) -> Self {
        self.poll_token = Some(token);
        self
    }

    /// With time for the relay to hold its answer back; added to the deadline of other calls.
    #[must_use]
    pub fn with_wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// How it is made.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Where it goes, below `/api/v1/relay/`.
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// Its query, unencoded.
    pub fn query(&self) -> &[(&'static str, String)] {
        &self.query
    }

    /// The poll token of a QR login.
    pub fn poll_token(&self) -> Option<&Secret> {
        self.poll_token.as_ref()
    }

    /// Its body, empty for none.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Whether it may be repeated.
    pub fn repeat(&self) -> Repeat {
        self.repeat
    }

    /// How long the relay may hold its answer back.
    pub fn wait(&self) -> Duration {
        self.wait
    }
}
