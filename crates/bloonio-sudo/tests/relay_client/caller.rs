//! One relay client in either of its two forms.

use std::sync::Arc;

use bloonio_sudo::client::blocking::BlockingRelayClient;
use bloonio_sudo::client::http::HttpRelayClient;
use bloonio_sudo::wire::clock::SystemClock;
use bloonio_sudo::{RelayError, RelaySettings};
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::server::{SECRET, Server, TENANT};

/// Which form.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    Async,
    Blocking,
}

pub enum Caller {
    Async(Runtime, HttpRelayClient),
    Blocking(BlockingRelayClient),
}

impl Caller {
    /// A client of `server` with a request timeout of 20 s, which no test waits for.
    pub fn of(form: Form, server: &Server) -> Self {
        Self::new(form, &settings(&server.url(), 20))
    }

    pub fn new(form: Form, settings: &RelaySettings) -> Self {
        match form {
            Form::Async => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                Self::Async(runtime, HttpRelayClient::new(settings, Arc::new(SystemClock)).unwrap())
            }
            Form::Blocking => Self::Blocking(BlockingRelayClient::new(settings).unwrap()),
        }
    }
}

pub fn settings(url: &str, timeout_seconds: u64) -> RelaySettings {
    let lookup = |name: &str| match name {
        "BLOONIO_RELAY_BASE_URL" => Some(url.to_owned()),
        "BLOONIO_RELAY_TENANT_ID" => Some(TENANT.to_owned()),
        "BLOONIO_RELAY_TENANT_SECRET" => Some(SECRET.to_owned()),
        "BLOONIO_RELAY_STATE_BACKEND" => Some("memory".to_owned()),
        "BLOONIO_RELAY_REQUEST_TIMEOUT_SECONDS" => Some(timeout_seconds.to_string()),
        _ => None,
    };
    RelaySettings::from_lookup(lookup).unwrap()
}

/// An answer as JSON again, to be compared with what the server said.
pub fn as_json<T: Serialize>(answer: Result<T, RelayError>) -> Result<Value, RelayError> {
    answer.map(|answer| serde_json::to_value(answer).unwrap())
}

/// Makes one call in whichever form.
macro_rules! ask {
    ($caller:expr, $name:ident($($argument:expr),*)) => {
        match $caller {
            $crate::caller::Caller::Async(runtime, client) => runtime.block_on(client.$name($($argument),*)),
            $crate::caller::Caller::Blocking(client) => client.$name($($argument),*),
        }
    };
}
pub(crate) use ask;
