//! What the endpoints share.

use std::sync::{Arc, Mutex, MutexGuard};

use bloonio_wire::clock::Clock;
use serde_json::Value;
use tokio::sync::watch;

use super::account::Account;
use super::device::{Device, Devices};
use super::fault::Script;
use super::journal::Journal;
use super::quota::Quota;
use super::rules;
use super::schema::Schema;
use super::token_endpoint::Tokens;

/// The service behind the endpoints.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) token_url: String,
    pub(super) schema: Schema,
    pub(super) journal: Journal,
    /// Changes when every connection shall be ended politely.
    pub(super) away: watch::Sender<()>,
    ledger: Mutex<Ledger>,
}

/// The part of it that changes.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) accounts: Vec<Account>,
    pub(super) tokens: Tokens,
    pub(super) devices: Devices,
    pub(super) sends: Script,
    pub(super) exchanges: Script,
    /// How many messages the project may still send.
    pub(super) quota: Option<Quota>,
    /// Texts that no push may tell.
    pub(super) secrets: Vec<String>,
}

impl Desk {
    pub(super) fn new(clock: Arc<dyn Clock>, token_url: String) -> Self {
        let away = watch::Sender::new(());
        Self { clock, token_url, schema: Schema::new(), journal: Journal::new(), away, ledger: Mutex::default() }
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no test has panicked in here")
    }
}

impl Ledger {
    /// The device that a message is for, if there is one.
    pub(super) fn device(&self, message: &Value) -> Option<&Device> {
        self.devices.get(rules::address(message)?.1)
    }
}
