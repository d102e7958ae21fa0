//! What the tests of the outbox and of pushes stand on: a fresh database on disk, a clock that moves when told, and rows.
#![allow(dead_code, reason = "every test file uses its own part of the rig")]

#[path = "../support/database.rs"]
#[allow(
    clippy::duplicate_mod,
    clippy::expect_used,
    reason = "some tests have the rig and the actors, others the rig alone"
)]
pub mod database;

use std::sync::Arc;
use std::time::Duration;

use bloonio_relay_server::outbox::{OutboxLimits, backoff};
use bloonio_relay_server::seal::{MasterKey, Sealer};
use bloonio_relay_server::service::tenant::{Registry, TenantStatus};
use bloonio_relay_server::storage::Storage;
use bloonio_relay_server::storage::delivery::claim::{self, ClaimLimits};
use bloonio_relay_server::storage::delivery::{self, Claimed, End, Lease, Met, NewDelivery, Settlement, delivery_id};
use bloonio_wire::callback::Flow;
use bloonio_wire::clock::{Clock, ManualClock, Timestamp};
use bloonio_wire::id::TenantId;
use bloonio_wire::random::{Random, SystemRandom};
use bloonio_wire::secret::Secret;
use serde_json::json;

use database::TestDatabase;

/// Half past something; the milliseconds show whether somebody rounds.
pub const START: Timestamp = Timestamp::from_millis(1_800_000_000_123);

/// A relay's database, without a relay.
pub struct Rig {
    pub storage: Storage,
    pub sealer: Sealer,
    pub clock: Arc<ManualClock>,
    pub random: Arc<dyn Random>,
    database: TestDatabase,
}

/// A tenant of the rig.
#[derive(Clone)]
pub struct TestTenant {
    pub id: TenantId,
    pub secret: Secret,
}

impl Rig {
    pub async fn new() -> Self {
        let database = TestDatabase::new().await;
        let storage = database.open().await;
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let sealer = Sealer::new(MasterKey::draw(random.as_ref()).unwrap());
        Self { storage, sealer, clock: Arc::new(ManualClock::new(START)), random, database }
    }

    /// The same database, opened by another process after this one has ended.
    pub async fn reopened(self) -> Self {
        self.storage.close().await;
        let storage = self.database.open().await;
        Self { storage, ..self }
    }

    pub fn registry(&self) -> Registry<'_> {
        Registry {
            storage: &self.storage,
            sealer: &self.sealer,
            clock: self.clock.as_ref(),
            random: self.random.as_ref(),
            allow_http: true,
        }
    }

    pub async fn tenant(&self) -> TestTenant {
        let made = self.registry().provision(&json!({"tenant_name": "Bank"})).await.unwrap();
        TestTenant { id: made.tenant_id, secret: Secret::new(made.tenant_secret) }
    }

    pub async fn suspend(&self, tenant: &TenantId) {
        self.registry().set_status(tenant, TenantStatus::Suspended).await.unwrap();
    }

    pub async fn reactivate(&self, tenant: &TenantId) {
        self.registry().set_status(tenant, TenantStatus::Active).await.unwrap();
    }

    /// Commits a decision's callback, as the decision itself would; answers the delivery's id.
    pub async fn decide(&self, tenant: &TenantId, subject: &str, url: &str) -> String {
        self.decide_at(self.clock.now(), tenant, &[subject.to_owned()], url).await
    }

    /// Likewise for several decisions of an instant; answers the last delivery's id.
    pub async fn decide_at(&self, at: Timestamp, tenant: &TenantId, subjects: &[String], url: &str) -> String {
        let mut tx = self.storage.begin_shared().await.unwrap();
        for subject in subjects {
            let new = NewDelivery {
                subject_id: subject.clone(),
                flow: Flow::SudoValidated,
                url: url.to_owned(),
                payload: format!(r#"{{"instruction_id":"{subject}","approved":true}}"#),
                created_at: at,
                give_up_at: backoff::give_up_at(at, None),
            };
            delivery::insert(&mut tx, tenant, &new).await.unwrap();
        }
        tx.commit().await.unwrap();
        delivery_id(tenant, subjects.last().unwrap(), Flow::SudoValidated)
    }

    /// Claims as a worker does.
    pub async fn claim_as(&self, lease: Lease, now: Timestamp, limits: ClaimLimits) -> Vec<Claimed> {
        let mut tx = self.storage.begin_shared().await.unwrap();
        claim::hold(&mut tx).await.unwrap();
        let claims = claim::claim(&mut tx, now, &lease, limits).await.unwrap();
        tx.commit().await.unwrap();
        claims.readable
    }

    /// Settles as a worker does; `false` if the lease was lost.
    pub async fn settle(&self, claimed: &Claimed, settlement: Settlement) -> bool {
        self.settle_all(&[(claimed, settlement)]).await == [true]
    }

    /// Settles several in one turn; tells of each whether its lease held.
    pub async fn settle_all(&self, ends: &[(&Claimed, Settlement)]) -> Vec<bool> {
        let end = |&(claimed, settlement)| End { claimed, settlement, met: Met::default() };
        let ends: Vec<_> = ends.iter().map(end).collect();
        let mut tx = self.storage.begin_shared().await.unwrap();
        let held = delivery::settle(&mut tx, &ends, self.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        ends.iter().map(|end| held.contains(&end.claim())).collect()
    }

    /// Hands back as a worker does; `false` if the lease was lost.
    pub async fn release(&self, claimed: &Claimed) -> bool {
        let mut tx = self.storage.begin_shared().await.unwrap();
        let held = delivery::release(&mut tx, claimed, self.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        held
    }

    /// Waits until the leases of a process that is no more are over: beside others nobody knows that it is no more, and
    /// a process that has the database for itself has no need to wait.
    pub fn lapse_leases(&self) {
        if self.storage.is_shared() {
            self.advance(OutboxLimits::default().lease);
        }
    }

    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

/// Waits for a condition that nothing announces, such as a row's state. A test that waits in vain is ended by the clock
/// on the wall, with a message.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let waiting = async {
        let mut tick = tokio::time::interval(Duration::from_millis(2));
        while !holds().await {
            tick.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"));
}
