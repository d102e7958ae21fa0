//! Addresses of devices that have fallen silent (PUSH.md 1.10): after 30 days they count as stale, which is measured; after
//! 270 days they are given up.

use std::time::Duration;

use bloonio_wire::clock::Timestamp;
use tracing::{info, warn};

use crate::storage::device::silence::{self, AddressCounts};
use crate::storage::{Storage, StorageError};
use crate::telemetry::metrics::{ADDRESSES, ADDRESSES_RETIRED};

/// How often: it reads every device.
const EVERY: Duration = Duration::from_secs(3_600);

/// What rounds remember of one another.
#[derive(Debug, Default)]
pub struct Hygiene {
    looked_at: Option<Timestamp>,
    stale: i64,
}

impl Hygiene {
    /// Looks at all addresses, if an hour has passed since the last time.
    ///
    /// # Errors
    /// [`StorageError`]; the next call tries again.
    pub async fn look(&mut self, storage: &Storage, now: Timestamp) -> Result<(), StorageError> {
        if self.looked_at.is_some_and(|at| now.since(at) < EVERY) {
            return Ok(());
        }
        let given_up = silence::give_up(storage, now).await?;
        let counts = silence::count(storage, now).await?;
        self.looked_at = Some(now);
        measure(counts);
        if given_up > 0 {
            metrics::counter!(ADDRESSES_RETIRED, "verdict" => "silent").increment(given_up);
            info!(addresses = given_up, "push addresses of devices that were silent for 270 days were given up");
        }
        if counts.stale > self.stale {
            warn!(
                stale = counts.stale,
                live = counts.live,
                "devices have not been heard of for 30 days; they are not pushed until their app registers again"
            );
        }
        self.stale = counts.stale;
        Ok(())
    }
}

fn measure(counts: AddressCounts) {
    let AddressCounts { live, stale, dead, quarantined } = counts;
    for (state, count) in [("live", live), ("stale", stale), ("dead", dead), ("quarantined", quarantined)] {
        metrics::gauge!(ADDRESSES, "state" => state).set(count as f64);
    }
}
