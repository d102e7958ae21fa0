//! A strict emulator of FCM's HTTP v1 interface: the token endpoint, the send endpoint, scripted faults, and a journal of
//! every request. What it does not like it refuses with a reason, so that a test cannot pass with a message that a phone
//! would never get.
//!
//! | part | what it does |
//! | --- | --- |
//! | `server` | TLS, HTTP/2, connections that break |
//! | `account`, `token_endpoint` | service accounts; verifies assertions, hands out tokens |
//! | `send_endpoint`, `schema`, [`rules`] | checks messages: Google's own description first, then what it cannot say |
//! | [`device`] | addresses: live, unregistered, of another project |
//! | [`fault`] | what goes wrong on demand |
//! | [`journal`] | what came in, and waiting for it |
//! | [`road`] | connections that break on the way |

mod account;
mod desk;
pub mod device;
pub mod fault;
pub mod journal;
mod quota;
pub mod road;
pub mod rules;
mod schema;
mod send_endpoint;
mod server;
mod token_endpoint;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bloonio_wire::clock::{Clock, SystemClock};
use bloonio_wire::device::Platform;
use rustls::ServerConfig;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use account::Account;
use desk::Desk;
use device::{AddressKind, DeviceState};
use fault::Fault;
use journal::{Seen, SendRequest, TokenRequest, TokenVerdict, Verdict};
use quota::Quota;
use server::Server;

/// The project that the emulator starts with.
pub const PROJECT: &str = "bank-of-tests";

/// An FCM of one's own. Dropping it takes it off the net.
#[derive(Debug)]
pub struct FcmEmulator {
    endpoint: String,
    folder: TempDir,
    desk: Arc<Desk>,
    tls: Option<Arc<ServerConfig>>,
    _server: Server,
}

/// How an emulator shall be.
#[derive(Debug)]
pub struct FcmSetup {
    clock: Arc<dyn Clock>,
    tls: bool,
    expired: bool,
}

impl Default for FcmSetup {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), tls: true, expired: false }
    }
}

impl FcmSetup {
    /// Lives by this clock: the one of the client under test, where that is not the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Speaks plain HTTP, on a loopback address.
    #[must_use]
    pub fn without_tls(mut self) -> Self {
        self.tls = false;
        self
    }

    /// Has a certificate that has run out.
    #[must_use]
    pub fn with_expired_certificate(mut self) -> Self {
        self.expired = true;
        self
    }

    /// Starts it on a free port.
    pub async fn start(self) -> FcmEmulator {
        let folder = TempDir::new().expect("temporary folder");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let tls = self.tls.then(|| server::tls(&folder.path().join("ca.pem"), self.expired));
        let endpoint = format!("{}://{address}", if self.tls { "https" } else { "http" });
        let desk = Arc::new(Desk::new(self.clock, format!("{endpoint}{}", token_endpoint::PATH)));
        let server = Server::start(listener, tls.clone().map(TlsAcceptor::from), Arc::clone(&desk));
        let emulator = FcmEmulator { endpoint, folder, desk, tls, _server: server };
        emulator.add_project(PROJECT);
        emulator
    }
}

impl FcmEmulator {
    /// An emulator with TLS and HTTP/2, on the system's clock.
    pub async fn start() -> Self {
        FcmSetup::default().start().await
    }

    /// `https://ADDR`: what `RELAY_FCM_ENDPOINT` shall be.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The certificate to trust: what `RELAY_EXTRA_CA_FILE` shall be.
    pub fn ca_pem_path(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The key file of [`PROJECT`]: what `RELAY_FCM_CREDENTIALS` shall be.
    pub fn credentials_path(&self) -> PathBuf {
        self.credentials_of(PROJECT)
    }

    /// The key file of another project.
    pub fn credentials_of(&self, project: &str) -> PathBuf {
        let ledger = self.desk.ledger();
        let account = ledger.accounts.iter().find(|account| account.project == project);
        account.map(|account| account.file.clone()).unwrap_or_else(|| panic!("no project {project}"))
    }

    /// Adds another project, with an account of its own.
    pub fn add_project(&self, project: &str) {
        let account = Account::create(self.folder.path(), project, &self.desk.token_url);
        self.desk.ledger().accounts.push(account);
    }

    /// Adds a device with a registration token.
    pub fn add_device(&self, token: &str, platform: Platform) {
        self.desk.ledger().devices.add(token, AddressKind::Token, platform);
    }

    /// Adds a device with a Firebase installation id.
    pub fn add_fid_device(&self, fid: &str, platform: Platform) {
        self.desk.ledger().devices.add(fid, AddressKind::Fid, platform);
    }

    /// The app is gone from this device.
    pub fn mark_unregistered(&self, address: &str) {
        self.desk.ledger().devices.set_state(address, DeviceState::Unregistered);
    }

    /// This device belongs to another project.
    pub fn mark_foreign(&self, address: &str) {
        self.desk.ledger().devices.set_state(address, DeviceState::Foreign);
    }

    /// What goes wrong with the next requests to send, whoever they are for.
    pub fn fault_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.desk.ledger().sends.push(faults);
    }

    /// What goes wrong with every request to send, until it is taken back with `None`.
    pub fn fault_always(&self, fault: Option<Fault>) {
        self.desk.ledger().sends.stand(fault);
    }

    /// What goes wrong with the next messages to this address.
    pub fn fault_next_for(&self, address: &str, faults: impl IntoIterator<Item = Fault>) {
        self.desk.ledger().sends.push_for(address, faults);
    }

    /// What goes wrong with every message to this address, until it is taken back with `None`.
    pub fn fault_always_for(&self, address: &str, fault: Option<Fault>) {
        self.desk.ledger().sends.stand_for(address, fault);
    }

    /// What goes wrong with the next requests for a token.
    pub fn fault_next_token(&self, faults: impl IntoIterator<Item = Fault>) {
        self.desk.ledger().exchanges.push(faults);
    }

    /// What goes wrong with every request for a token, until it is taken back with `None`.
    pub fn fault_tokens(&self, fault: Option<Fault>) {
        self.desk.ledger().exchanges.stand(fault);
    }

    /// How long tokens live that are handed out from now on; whole seconds.
    pub fn set_token_life(&self, life: Duration) {
        self.desk.ledger().tokens.life = life;
    }

    /// Ends every token, as if it had lapsed early.
    pub fn revoke_tokens(&self) {
        self.desk.ledger().tokens.revoke_all();
    }

    /// Switches a project's account off.
    pub fn disable_account(&self, project: &str) {
        let mut ledger = self.desk.ledger();
        let account = ledger.accounts.iter_mut().find(|account| account.project == project);
        account.unwrap_or_else(|| panic!("no project {project}")).disabled = true;
    }

    /// Takes no more than so many messages a minute, from now on: the rest is refused with 429.
    pub fn set_quota(&self, per_min: u32) {
        let now = self.desk.clock.now();
        self.desk.ledger().quota = Some(Quota::full(per_min, now));
    }

    /// Says goodbye on every connection (GOAWAY), as FCM does once an hour.
    pub fn go_away(&self) {
        self.desk.away.send_replace(());
    }

    /// Texts that no push may tell from now on: amounts, names, codes.
    pub fn forbid<'a>(&self, texts: impl IntoIterator<Item = &'a str>) {
        self.desk.ledger().secrets.extend(texts.into_iter().map(str::to_owned));
    }

    /// Everything seen so far.
    pub fn seen(&self) -> Seen {
        self.desk.journal.seen()
    }

    /// Every request to send so far.
    pub fn sends(&self) -> Vec<SendRequest> {
        self.seen().sends
    }

    /// The messages that a device has got, in order, with names in camel case.
    pub fn messages_for(&self, address: &str) -> Vec<Value> {
        let sends = self.sends().into_iter();
        let own = sends.filter(|send| send.is_delivered() && send.address.as_deref() == Some(address));
        own.map(|send| send.message().clone()).collect()
    }

    /// Every request for a token so far.
    pub fn token_requests(&self) -> Vec<TokenRequest> {
        self.seen().tokens
    }

    /// Waits until `enough` has been seen.
    pub async fn wait_for(&self, what: &str, enough: impl Fn(&Seen) -> bool) -> Seen {
        self.desk.journal.wait_for(what, enough).await
    }

    /// Waits until so many requests to send have been held by a [`Fault::Hold`].
    pub async fn wait_for_held(&self, count: usize) {
        self.wait_for(&format!("{count} requests held"), |seen| seen.held >= count).await;
    }

    /// Waits until a device has got `count` messages, and gives them.
    pub async fn wait_for_messages(&self, address: &str, count: usize) -> Vec<Value> {
        let enough = |seen: &Seen| {
            let own = seen.sends.iter().filter(|send| send.address.as_deref() == Some(address) && send.is_delivered());
            own.count() >= count
        };
        self.wait_for(&format!("{count} messages for {address}"), enough).await;
        self.messages_for(address)
    }

    /// Fails unless every request so far was one that the real service takes and this project means to send, no request
    /// went astray, and no token was asked for while another had most of its life before it.
    ///
    /// Refusals because of a device's state, and faults, are the test's own doing.
    pub fn assert_no_misuse(&self) {
        let seen = self.seen();
        let sends = seen.sends.iter().filter_map(|send| match &send.verdict {
            Verdict::Refused(refusal) if refusal.is_misuse() => Some(format!("{refusal:?}")),
            _ => None,
        });
        let tokens = seen.tokens.iter().filter_map(|token| match &token.verdict {
            Some(TokenVerdict::Issued { early: true }) => Some("a token was asked for too early".to_owned()),
            Some(TokenVerdict::Refused { error, reason }) => Some(format!("{error}: {reason}")),
            _ => None,
        });
        let misuse: Vec<String> = sends.chain(tokens).chain(seen.strays.iter().cloned()).collect();
        assert!(misuse.is_empty(), "the emulator was misused: {misuse:#?}");
    }

    /// The folder with its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
