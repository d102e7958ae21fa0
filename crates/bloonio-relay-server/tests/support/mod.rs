//! Actors for the relay's own tests: a relay behind its real router, on a real database file, with a clock that stands
//! still; and those who call it.
//!
//! ```ignore
//! let relay = TestRelay::new().await;                        // or TestRelay::with(|setup| …).await
//! let bank = relay.provision("Bank").await;                  // a TestTenant
//! let answer = bank.post("/relay/prepare-pairing", json!({…})).await;
//! answer.expect_error(422, "VALIDATION_FAILED");
//! let phone = bank.pair("user-0001").await;                  // a TestDevice on platform "stream"
//! phone.get("/device/challenges").await.data();
//! relay.clock.advance(Duration::from_secs(31));
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says where")]
#![allow(dead_code, unused_imports, reason = "every test file uses its own part of the actors")]

pub mod answer;
pub mod caller;
#[path = "../../../../tests/src/codes.rs"]
pub mod codes;
pub mod database;
pub mod message;
pub mod process;
pub mod redis;
pub mod sender;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use bloonio_relay_server::app::{App, AppParts, SharedApp};
use bloonio_relay_server::config::{Config, RelayArgs};
use bloonio_relay_server::http::router;
use bloonio_relay_server::net::client::ExtraRoots;
use bloonio_relay_server::net::guard::Guard;
use bloonio_relay_server::outbox::OutboxLimits;
use bloonio_relay_server::push::PushSender;
use bloonio_relay_server::push::dispatch::PushLimits;
use bloonio_relay_server::seal::MasterKey;
use bloonio_relay_server::shared::Shared;
use bloonio_wire::clock::{Clock, ManualClock, Timestamp};
use bloonio_wire::random::{Random, SystemRandom};
use bloonio_wire::secret::Secret;
use clap::Parser;
use http::Request;
use serde_json::{Value, json};
use tower::ServiceExt;

pub use answer::TestAnswer;
pub use caller::{Signed, TestDevice, TestTenant};
pub use database::TestDatabase;
pub use message::Message;
pub use sender::RecordingSender;

/// The admin key of the tests' relays.
pub const ADMIN_KEY: &str = "admin-key-of-the-tests-0123456789abcdef";
/// Where the tests' clocks start.
pub const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// The address of every caller that names no other.
pub const CALLER: &str = "192.0.2.7:50000";

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    relay: RelayArgs,
}

/// What a test may choose before its relay is put together.
pub struct Setup {
    /// Settings; start from the defaults, an admin key and a data folder of the test's own.
    pub config: Config,
    /// The push service; none at first.
    pub sender: Option<Arc<dyn PushSender>>,
    /// The guard, if another than the settings' own is wanted.
    pub guard: Option<Guard>,
    /// How the outbox works.
    pub outbox_limits: OutboxLimits,
    /// How pushes are sent.
    pub push_limits: PushLimits,
    /// Whether the workers run; else nothing happens but what a call does.
    pub workers: bool,
    /// The source of ids and secrets.
    pub random: Arc<dyn Random>,
    /// What is shared with other instances; nothing at first.
    pub shared: Shared,
}

impl Setup {
    fn new(folder: &Path) -> Self {
        let folder = folder.to_str().expect("a path in UTF-8");
        let flags = ["relay", "--relay-data-dir", folder, "--relay-admin-key", ADMIN_KEY];
        Self {
            config: Config::from_args(Line::parse_from(flags).relay)
                .expect("settings")
                .bound_to("127.0.0.1:8700".parse().expect("address")),
            sender: None,
            guard: None,
            outbox_limits: OutboxLimits::default(),
            push_limits: PushLimits::default(),
            workers: false,
            random: Arc::new(SystemRandom),
            shared: Shared::alone(),
        }
    }
}

/// A relay. Ended when dropped.
pub struct TestRelay {
    /// Its state, for looking behind the door.
    pub app: SharedApp,
    /// Its clock.
    pub clock: Arc<ManualClock>,
    router: Router,
    database: Arc<TestDatabase>,
    master: MasterKey,
    /// No two signed calls carry the same millisecond, whichever instance they go to.
    signed: Arc<AtomicI64>,
}

impl TestRelay {
    /// A relay with the default settings, without push service and workers.
    pub async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// A relay with other settings.
    pub async fn with(choose: impl FnOnce(&mut Setup)) -> Self {
        let database = Arc::new(TestDatabase::new().await);
        let master = MasterKey::draw(&SystemRandom).expect("master key");
        Self::build(database, master, Arc::new(ManualClock::new(START)), Arc::default(), choose).await
    }

    /// Another instance on the same database, under the same clock.
    pub async fn beside(&self, choose: impl FnOnce(&mut Setup)) -> Self {
        let (database, signed) = (Arc::clone(&self.database), Arc::clone(&self.signed));
        Self::build(database, self.master.clone(), Arc::clone(&self.clock), signed, choose).await
    }

    async fn build(
        database: Arc<TestDatabase>,
        master: MasterKey,
        clock: Arc<ManualClock>,
        signed: Arc<AtomicI64>,
        choose: impl FnOnce(&mut Setup),
    ) -> Self {
        let mut setup = Setup::new(database.folder());
        choose(&mut setup);
        let storage = database.open().await;
        let guard = setup.guard.unwrap_or_else(|| Guard::new(setup.config.guard.clone()));
        let app = App::new(AppParts {
            config: setup.config,
            storage,
            shared: setup.shared,
            keys: master.clone().into(),
            clock: clock.clone(),
            random: setup.random,
            sender: setup.sender,
            guard,
            roots: ExtraRoots::default(),
            outbox_limits: setup.outbox_limits,
            push_limits: setup.push_limits,
        });
        let app = app.expect("relay");
        if setup.workers {
            app.start();
        } else {
            app.join();
        }
        Self { router: router::router(&app), app, clock, database, master, signed }
    }

    /// Its database.
    pub fn database(&self) -> &TestDatabase {
        &self.database
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        self.database.folder()
    }

    /// Sends any request through the real router, as from [`CALLER`] unless the request says otherwise.
    pub async fn send(&self, mut request: Request<Body>) -> TestAnswer {
        if request.extensions().get::<ConnectInfo<SocketAddr>>().is_none() {
            request.extensions_mut().insert(ConnectInfo::<SocketAddr>(CALLER.parse().expect("address")));
        }
        TestAnswer::of(self.router.clone().oneshot(request).await.expect("the router never fails")).await
    }

    /// Sends a request and hands over the answer before its body has ended, as a stream needs.
    pub async fn open(&self, mut request: Request<Body>) -> http::Response<Body> {
        request.extensions_mut().insert(ConnectInfo::<SocketAddr>(CALLER.parse().expect("address")));
        self.router.clone().oneshot(request).await.expect("the router never fails")
    }

    /// An operator's POST under /api/v1.
    pub async fn operator_post(&self, path: &str, body: Value) -> TestAnswer {
        self.send(operator("POST", path, body.to_string())).await
    }

    /// An operator's GET under /api/v1.
    pub async fn operator_get(&self, path: &str) -> TestAnswer {
        self.send(operator("GET", path, "")).await
    }

    /// Adds a tenant with a generous limit.
    pub async fn provision(&self, name: &str) -> TestTenant<'_> {
        self.provision_with(json!({"tenant_name": name, "rate_limit_per_min": 10_000})).await
    }

    /// Adds a tenant with these fields.
    pub async fn provision_with(&self, fields: Value) -> TestTenant<'_> {
        let answer = self.operator_post("/provision/tenant", fields).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let text = |name: &str| answer.data()[name].as_str().expect("text").to_owned();
        TestTenant { relay: self, tenant_id: text("tenant_id"), secret: Secret::new(text("tenant_secret")) }
    }

    /// A millisecond within the window that no call of this relay was signed with before.
    pub fn fresh_millis(&self) -> i64 {
        self.clock.now().as_millis() + self.signed.fetch_add(1, Ordering::SeqCst) % 20_000
    }
}

impl Drop for TestRelay {
    fn drop(&mut self) {
        self.app.stopping.cancel();
    }
}

/// An operator's request under /api/v1, ready to be spoiled.
pub fn operator(method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(format!("/api/v1{path}"))
        .header("x-admin-key", ADMIN_KEY)
        .header("content-type", "application/json")
        .body(body.into())
        .expect("request")
}
