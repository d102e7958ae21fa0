//! Writes down what became of attempts. Those that end at about the same time share one transaction, so that a prompt to
//! ten devices waits for one synchronisation of the disk and not for ten.
//!
//! There is no task behind it: whoever comes first writes for all that have come, and the others find it done.

use std::sync::{Mutex, PoisonError};

use bloonio_wire::clock::Timestamp;
use tokio::sync::oneshot;
use tracing::{error, warn};

use crate::storage::push::{self, PushJob, Retirement, Settlement};
use crate::storage::{Storage, StorageError};

/// An attempt's end.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) job: PushJob,
    pub(super) settlement: Settlement,
    /// A stable word for what it failed of.
    pub(super) error: Option<&'static str>,
    /// What becomes of the address, with the reason.
    pub(super) retirement: Option<(Retirement, &'static str)>,
    pub(super) at: Timestamp,
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
        for (record, _) in batch {
            let job = &record.job;
            if let (Some(to), Some(address)) = (record.retirement, &job.address) {
                push::retire_address(&mut tx, &job.tenant_id, &job.device_id, address, to, record.at).await?;
            }
            if !push::settle(&mut tx, job, &record.settlement, record.error, record.at).await? {
                warn!("the lease of a push was lost before its end");
            }
        }
        Ok(tx.commit().await?)
    }
}
