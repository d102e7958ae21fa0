//! The breaker of each endpoint (PUSH.md 3.3): after ten failures in a row it gets one attempt at a time instead of eight,
//! until one succeeds.
//!
//! The schedule of PROTOCOL 9.5 stays what it is: no try is put off, there are only fewer of them side by side. An endpoint
//! that hangs then holds one place of the outbox and not eight, so that a dozen of them do not hold all; and one that
//! drowns is not held under. What waits is never dropped: it is tried in turn, or kept as dead at the end of its schedule.

use std::collections::BTreeMap;

use bloonio_wire::clock::Timestamp;
use tracing::{error, info};

use super::callback::{UNSIGNED, Verdict};
use crate::storage::delivery::health::{self, TRIPS_AFTER};
use crate::storage::delivery::{self, Claimed};
use crate::storage::{StorageError, Tx};

/// What a lane's attempts have come to, in the order of their end.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Run {
    /// One has succeeded.
    succeeded: bool,
    /// So many have failed since.
    failed: i64,
}

/// What has changed, to be told once it is committed.
#[derive(Debug, Default)]
pub(super) struct Changes {
    opened: Vec<String>,
    closed: Vec<String>,
}

/// Takes in what has landed.
pub(super) async fn learn(tx: &mut Tx, landed: &[(Claimed, Verdict)], now: Timestamp) -> Result<Changes, StorageError> {
    let mut changes = Changes::default();
    // In the order of their names, as in every other process: two transactions that meet do not wait for each other.
    for (lane, run) in runs(landed) {
        let before = if run.succeeded { health::succeeded(tx, &lane).await? } else { 0 };
        let after = if run.failed > 0 { health::failed(tx, &lane, run.failed, now).await? } else { 0 };
        if before >= TRIPS_AFTER && after < TRIPS_AFTER {
            changes.closed.push(lane);
        } else if after >= TRIPS_AFTER && after - run.failed < TRIPS_AFTER && before < TRIPS_AFTER {
            changes.opened.push(lane);
        }
    }
    Ok(changes)
}

fn runs(landed: &[(Claimed, Verdict)]) -> BTreeMap<String, Run> {
    let mut runs: BTreeMap<String, Run> = BTreeMap::new();
    for (claimed, verdict) in landed {
        let run = runs.entry(delivery::lane(&claimed.tenant_id, &claimed.url)).or_default();
        match verdict {
            // 410 is an answer: the endpoint lives, and says what it wants.
            Verdict::Acknowledged(_) | Verdict::Gone => *run = Run { succeeded: true, failed: 0 },
            // Not even signed: that says nothing of the endpoint.
            Verdict::Failed(met) if met.error == Some(UNSIGNED) => (),
            Verdict::Failed(_) => run.failed += 1,
        }
    }
    runs
}

impl Changes {
    pub(super) fn report(&self) {
        for (tenant, origin) in self.opened.iter().filter_map(|lane| lane.split_once(' ')) {
            error!(
                alarm = "callback_breaker_open",
                tenant.id = tenant,
                origin,
                "an endpoint has failed ten times in a row; it gets one attempt at a time until one succeeds"
            );
        }
        for (tenant, origin) in self.closed.iter().filter_map(|lane| lane.split_once(' ')) {
            info!(alarm = "callback_breaker_closed", tenant.id = tenant, origin, "an endpoint takes callbacks again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::delivery::Met;
    use bloonio_wire::id::TenantId;

    const FAILED: Verdict = Verdict::Failed(Met { status: Some(500), error: Some("status") });

    fn landed(url: &str, verdict: Verdict) -> (Claimed, Verdict) {
        let claimed = Claimed {
            tenant_id: TenantId::parse("tnt_0123456789abcdef0123456789abcdef").unwrap(),
            delivery_id: "dlv_1".to_owned(),
            url: url.to_owned(),
            payload: "{}".to_owned(),
            attempts: 1,
            scheduled_from: Timestamp::from_secs(0),
            give_up_at: Timestamp::from_secs(600),
            lease_token: "lease".to_owned(),
        };
        (claimed, verdict)
    }

    #[test]
    fn the_order_of_outcomes_counts_and_origins_are_told_apart() {
        let (one, other) = ("https://one.test/a", "https://other.test/");
        let landed = [
            landed(one, FAILED),
            landed(other, FAILED),
            landed("https://one.test/b", Verdict::Acknowledged(204)),
            landed(one, FAILED),
            landed(one, FAILED),
            landed(other, Verdict::Failed(Met { status: None, error: Some(UNSIGNED) })),
            landed("https://gone.test/", Verdict::Gone),
        ];
        let runs: Vec<_> = runs(&landed).into_values().collect();
        assert_eq!(
            runs,
            [
                Run { succeeded: true, failed: 0 },
                Run { succeeded: true, failed: 2 },
                Run { succeeded: false, failed: 1 }
            ]
        );
    }
}
