//! Writes down what became of attempts. Those that end at about the same time share one transaction, so that a prompt to
//! ten devices waits for one synchronisation of the disk and not for ten.
//!
//! There is no task behind it: whoever comes first writes for all that have come, and the others find it done.

use std::sync::{Mutex, PoisonError};

use bloonio_wire::clock::Timestamp;
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::Held;
use crate::storage::push::{self, Accepted, PushJob, Retirement, Settlement, hold};
use crate::storage::{Storage, StorageError, Tx};
use crate::telemetry::metrics::ADDRESSES_RETIRED;

/// An attempt's end.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) job: PushJob,
    pub(super) ending: Ending,
    pub(super) at: Timestamp,
}

impl Record {
    /// The record as a message that was accepted, if it was.
    fn accepted(&self) -> Option<Accepted<'_>> {
        match &self.ending {
            Ending::Accepted(message_id) => Some((&self.job, message_id, self.at)),
            _ => None,
        }
    }
}

/// How it ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// The push service took the message, and calls it so.
    Accepted(String),
    /// It did not.
    Failed {
        settlement: Settlement,
        /// A stable word for why.
        error: &'static str,
        /// What becomes of the address, with the reason.
        retirement: Option<(Retirement, &'static str)>,
    },
    /// Before it began.
    Held(Held),
}

impl Ending {
    /// Whether the push is to be looked at again.
    pub(super) fn comes_again(&self) -> bool {
        matches!(self, Self::Held(_) | Self::Failed { settlement: Settlement::Due(_), .. })
    }
}

#[derive(Debug)]
pub(super) struct Ledger {
    storage: Storage,
    waiting: Mutex<Vec<(Record, oneshot::Sender<()>)>>,
    writing: tokio::sync::Mutex<()>,
}

impl Ledger {
    pub(super) fn new(storage: Storage) -> Self {
        Self { storage, waiting: Mutex::default(), writing: tokio::sync::Mutex::default() }
    }

    /// Returns when the record is on disk, or has failed to get there: then its lease lapses and the push goes out again.
    pub(super) async fn record(&self, record: Record) {
        let (done, mut written) = oneshot::channel();
        self.waiting().push((record, done));
        let _turn = self.writing.lock().await;
        if written.try_recv().is_ok() {
            return;
        }
        let batch = std::mem::take(&mut *self.waiting());
        if let Err(failure) = self.write(&batch).await {
            error!(
                error = &failure as &dyn std::error::Error,
                pushes = batch.len(),
                "outcomes of pushes were not stored"
            );
        }
        for (_, done) in batch {
            // Whoever has gone does not wait for it.
            let _ = done.send(());
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<(Record, oneshot::Sender<()>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(&self, batch: &[(Record, oneshot::Sender<()>)]) -> Result<(), StorageError> {
        let mut tx = self.storage.begin_shared().await?;
        let accepted: Vec<_> = batch.iter().filter_map(|(record, _)| record.accepted()).collect();
        let mut written = push::settle_accepted(&mut tx, &accepted).await?;
        for (record, _) in batch {
            written += write_failed(&mut tx, record).await?;
        }
        tx.commit().await?;
        let lost = batch.len() as u64 - written;
        if lost > 0 {
            warn!(pushes = lost, "the leases of pushes were lost before their end");
        }
        Ok(())
    }
}

/// Whatever was not accepted; gives 1 if it was written, 0 if its lease was lost.
async fn write_failed(tx: &mut Tx, record: &Record) -> Result<u64, StorageError> {
    let Record { job, ending, at } = record;
    let written = match ending {
        Ending::Accepted(_) => false,
        Ending::Held(held) => hold::hold(tx, job, held.until, held.error).await?,
        Ending::Failed { settlement, error, retirement } => {
            if let (Some(to), Some(address)) = (*retirement, &job.address)
                && push::retire_address(tx, &job.tenant_id, &job.device_id, address, to, *at).await?
            {
                metrics::counter!(ADDRESSES_RETIRED, "verdict" => to.0.as_str()).increment(1);
            }
            push::settle(tx, job, *settlement, error).await?
        }
    };
    Ok(u64::from(written))
}
