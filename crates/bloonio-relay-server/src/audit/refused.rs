//! Wrong admin keys, summed up: a caller without a key must not be able to make the trail grow as fast as it can call.

use std::sync::atomic::{AtomicU64, Ordering};

use bloonio_wire::clock::Timestamp;

use super::{Chain, Event, Kind};
use crate::storage::{Storage, StorageError, audit};

/// What entries of refused operator calls tell of.
pub const SUBJECT: &str = "admin-key";

/// Wrong admin keys since the last entry.
#[derive(Debug, Default)]
pub struct Refused(AtomicU64);

impl Refused {
    /// One more.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes an entry if there were any; at most one a sweep. Addresses are in the log, which is not kept for ever.
    ///
    /// # Errors
    /// [`StorageError`]; what was counted is written the next time.
    pub async fn record(&self, storage: &Storage, now: Timestamp) -> Result<(), StorageError> {
        let calls = self.0.swap(0, Ordering::Relaxed);
        if calls == 0 {
            return Ok(());
        }
        let written = write(storage, calls, now).await;
        if written.is_err() {
            self.0.fetch_add(calls, Ordering::Relaxed);
        }
        written
    }
}

async fn write(storage: &Storage, calls: u64, now: Timestamp) -> Result<(), StorageError> {
    let mut tx = storage.begin_shared().await?;
    let event = Event::new(Kind::OperatorRefused, SUBJECT).with("calls", calls);
    audit::append(&mut tx, Chain::Operator, event, now).await?;
    storage.commit(tx).await
}
