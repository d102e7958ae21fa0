//! The outbox's rows against a model of them: whatever claims, settles, hands back, dies and starts again in whatever
//! order, a row is never under two leases, never settled by a stale one, and never lost.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod rig;

use std::collections::BTreeMap;
use std::time::Duration;

use bloonio_relay_server::storage::delivery::claim::{self, ClaimLimits};
use bloonio_relay_server::storage::delivery::listing::{self, DeliveryState};
use bloonio_relay_server::storage::delivery::{Claimed, Lease, Settlement};
use bloonio_wire::clock::{Clock, Timestamp};
use proptest::prelude::*;
use rig::Rig;

const LEASE: Duration = Duration::from_secs(15);

/// What may happen to the outbox.
#[derive(Debug, Clone)]
enum Step {
    Decide(u8),
    Claim,
    /// By the claim of that number, be it the latest or long lost.
    Acknowledge(prop::sample::Index),
    Fail(prop::sample::Index, u8),
    GiveUp(prop::sample::Index),
    HandBack(prop::sample::Index),
    Redeliver(u8),
    Wait(u8),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let claim = any::<prop::sample::Index>;
    prop_oneof![
        2 => (0u8..4).prop_map(Step::Decide),
        4 => Just(Step::Claim),
        2 => claim().prop_map(Step::Acknowledge),
        3 => (claim(), 0u8..20).prop_map(|(claim, pause)| Step::Fail(claim, pause)),
        1 => claim().prop_map(Step::GiveUp),
        1 => claim().prop_map(Step::HandBack),
        1 => (0u8..4).prop_map(Step::Redeliver),
        // Never so long that a schedule runs out: that is another test.
        3 => (0u8..15).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

/// A row as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    state: DeliveryState,
    attempts: i64,
    next_at: Timestamp,
    lease: Option<(String, Timestamp)>,
}

impl Row {
    fn claimable_at(&self) -> Option<Timestamp> {
        match self.state {
            DeliveryState::Due => Some(self.next_at),
            DeliveryState::Sending => self.lease.as_ref().map(|(_, until)| *until),
            DeliveryState::Acknowledged | DeliveryState::Dead => None,
        }
    }

    fn ready(&self, now: Timestamp) -> bool {
        self.claimable_at().is_some_and(|at| at <= now)
    }

    fn holds(&self, claimed: &Claimed) -> bool {
        self.lease.as_ref().is_some_and(|(token, _)| *token == claimed.lease_token)
    }

    fn become_due(&mut self, at: Timestamp) {
        (self.state, self.next_at, self.lease) = (DeliveryState::Due, at, None);
    }
}

struct World {
    rig: Rig,
    tenant: rig::TestTenant,
    rows: BTreeMap<String, Row>,
    ids: BTreeMap<u8, String>,
    claims: Vec<Claimed>,
    tokens: u32,
}

impl World {
    async fn new() -> Self {
        let rig = Rig::new().await;
        let tenant = rig.tenant().await;
        Self { rig, tenant, rows: BTreeMap::new(), ids: BTreeMap::new(), claims: Vec::new(), tokens: 0 }
    }

    async fn step(&mut self, step: Step) {
        let now = self.rig.clock.now();
        match step {
            Step::Decide(n) => {
                let id = self.rig.decide(&self.tenant.id, &format!("instruction-{n}"), "https://backend.test/").await;
                self.ids.insert(n, id.clone());
                let fresh = Row { state: DeliveryState::Due, attempts: 0, next_at: now, lease: None };
                self.rows.entry(id).or_insert(fresh);
            }
            Step::Claim => self.claim(now).await,
            Step::Acknowledge(claim) => self.settle(claim, Settlement::Acknowledged).await,
            Step::Fail(claim, pause) => {
                let next = now.plus(Duration::from_secs(pause.into()));
                self.settle(claim, Settlement::Due(next)).await;
            }
            Step::GiveUp(claim) => self.settle(claim, Settlement::Dead).await,
            Step::HandBack(claim) => {
                let Some(claimed) = self.pick(claim) else { return };
                let done = self.rig.release(&claimed).await;
                let row = self.rows.get_mut(&claimed.delivery_id).unwrap();
                assert_eq!(done, row.holds(&claimed));
                if done {
                    row.become_due(now);
                }
            }
            Step::Redeliver(n) => {
                let Some(id) = self.ids.get(&n) else { return };
                listing::redeliver(&self.rig.storage, id, now, now).await.unwrap().unwrap();
                let row = self.rows.get_mut(id).unwrap();
                if row.state != DeliveryState::Sending {
                    row.become_due(now);
                }
            }
            Step::Wait(secs) => self.rig.advance(Duration::from_secs(secs.into())),
            Step::Restart => {
                claim::resume(&self.rig.storage, now, now.plus(Duration::from_secs(86_400))).await.unwrap();
                // Beside other processes, what is being sent is left to them.
                let alone = !self.rig.storage.is_shared();
                let open =
                    |row: &&mut Row| row.state == DeliveryState::Due || (alone && row.state == DeliveryState::Sending);
                self.rows.values_mut().filter(open).for_each(|row| row.become_due(now));
            }
        }
    }

    fn pick(&self, claim: prop::sample::Index) -> Option<Claimed> {
        (!self.claims.is_empty()).then(|| claim.get(&self.claims).clone())
    }

    async fn claim(&mut self, now: Timestamp) {
        self.tokens += 1;
        let lease = Lease { token: format!("token-{}", self.tokens), until: now.plus(LEASE) };
        let limits = ClaimLimits { per_lane: 100, total: 100, retries: 100 };
        let mut claimed = self.rig.claim_as(lease.clone(), now, limits).await;
        claimed.sort_by(|a, b| a.delivery_id.cmp(&b.delivery_id));
        let ready: Vec<_> = self.rows.iter().filter(|(_, row)| row.ready(now)).map(|(id, _)| id.clone()).collect();
        assert_eq!(claimed.iter().map(|claimed| claimed.delivery_id.clone()).collect::<Vec<_>>(), ready);
        for claimed in claimed {
            let row = self.rows.get_mut(&claimed.delivery_id).unwrap();
            row.attempts += 1;
            row.state = DeliveryState::Sending;
            row.lease = Some((lease.token.clone(), lease.until));
            assert_eq!((claimed.attempts, &claimed.lease_token), (row.attempts, &lease.token));
            self.claims.push(claimed);
        }
    }

    async fn settle(&mut self, claim: prop::sample::Index, settlement: Settlement) {
        let Some(claimed) = self.pick(claim) else { return };
        let done = self.rig.settle(&claimed, settlement).await;
        let row = self.rows.get_mut(&claimed.delivery_id).unwrap();
        assert_eq!(done, row.holds(&claimed));
        if done {
            row.lease = None;
            match settlement {
                Settlement::Acknowledged => row.state = DeliveryState::Acknowledged,
                Settlement::Dead => row.state = DeliveryState::Dead,
                Settlement::Due(at) => row.become_due(at),
            }
        }
    }

    async fn compare(&self) {
        for (id, row) in &self.rows {
            let found = listing::find(&self.rig.storage, id).await.unwrap().unwrap();
            assert_eq!((found.state, found.attempts), (row.state, row.attempts), "{id}");
            if row.state == DeliveryState::Due {
                assert_eq!(found.next_at, row.next_at, "{id}");
            }
        }
        let (waiting, _) = listing::waiting(&self.rig.storage).await.unwrap();
        let open = |row: &&Row| matches!(row.state, DeliveryState::Due | DeliveryState::Sending);
        assert_eq!(usize::try_from(waiting).unwrap(), self.rows.values().filter(open).count());
        let now = self.rig.clock.now();
        let (ready, next_at) = claim::outlook(&self.rig.storage, now).await.unwrap();
        assert_eq!(ready, self.rows.values().any(|row| row.ready(now)));
        assert_eq!(next_at, self.rows.values().filter_map(Row::claimable_at).filter(|at| *at > now).min());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn rows_do_as_the_model_does(steps in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in steps {
                world.step(step).await;
                world.compare().await;
            }
        });
    }
}
