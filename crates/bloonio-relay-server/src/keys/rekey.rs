//! `rekey`: seals again, under the key of today, what older keys have sealed, while relays run.
//!
//! Values are taken in small batches, each a short transaction, and each value is replaced by one statement that still finds
//! the old one: whoever changes the row meanwhile wins. Ended at any moment it leaves nothing half-done, and another run goes
//! on with what is left.

use bloonio_wire::clock::Clock;
use bloonio_wire::random::Random;

use crate::audit::{Chain, Event, Kind};
use crate::seal::{SealError, SealedBy, SealedColumn, Sealer};
use crate::storage::sealed::{self, SEALED, SealedRow};
use crate::storage::{Storage, StorageError, audit};

/// Values of one transaction: a few milliseconds of a writer that decisions wait for.
pub const BATCH: i64 = 200;

/// It cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RekeyError {
    /// The database fails.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is no randomness, or nothing can be sealed.
    #[error(transparent)]
    Seal(SealError),
}

/// What was done so far, and in the end altogether.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Values that were sealed again.
    pub resealed: u64,
    /// Values that somebody else replaced meanwhile.
    pub overtaken: u64,
    /// Values that no key at hand opens; they were left as they are.
    pub unopenable: u64,
}

/// Whoever does it.
#[derive(Debug, Clone, Copy)]
pub struct Rekey<'a> {
    /// The rows.
    pub storage: &'a Storage,
    /// Opens with the old keys and seals with the new one.
    pub sealer: &'a Sealer,
    /// Dates the end.
    pub clock: &'a dyn Clock,
    /// Draws nonces.
    pub random: &'a dyn Random,
}

impl Rekey<'_> {
    /// Seals everything again that needs another key than today's; tells `report` after each batch which table it is at.
    /// Afterwards nothing needs an older key, if [`Progress::unopenable`] is zero and no relay seals with one any more.
    ///
    /// # Errors
    /// [`RekeyError`]; what was sealed again stays so.
    pub async fn run(&self, mut report: impl FnMut(&SealedColumn, Progress)) -> Result<Progress, RekeyError> {
        let head = SealedBy::Key(self.sealer.current()).head();
        let mut done = Progress::default();
        for at in SEALED {
            let mut after: Option<SealedRow> = None;
            loop {
                let rows = sealed::others(self.storage, at, &head, after.as_ref(), BATCH).await?;
                let Some(last) = rows.last().cloned() else { break };
                self.batch(at, &rows, &mut done).await?;
                report(at, done);
                after = Some(last);
            }
        }
        self.record(done).await?;
        Ok(done)
    }

    async fn batch(&self, at: &SealedColumn, rows: &[SealedRow], done: &mut Progress) -> Result<(), RekeyError> {
        // Sealed before the transaction: others wait for the writer.
        let mut fresh = Vec::with_capacity(rows.len());
        for row in rows {
            match self.sealer.reseal(self.random, &at.context(&row.tenant_id, &row.key), &row.sealed) {
                Ok(Some(sealed)) => fresh.push((row, sealed)),
                Ok(None) => (),
                Err(SealError::Unopenable) => done.unopenable += 1,
                Err(error) => return Err(RekeyError::Seal(error)),
            }
        }
        let mut tx = self.storage.begin_shared().await?;
        let mut replaced = 0;
        for (row, sealed) in &fresh {
            replaced += u64::from(sealed::replace(&mut tx, at, row, sealed).await?);
        }
        self.storage.commit(tx).await?;
        done.resealed += replaced;
        done.overtaken += u64::try_from(fresh.len()).unwrap_or(u64::MAX).saturating_sub(replaced);
        Ok(())
    }

    async fn record(&self, done: Progress) -> Result<(), StorageError> {
        let key = SealedBy::Key(self.sealer.current()).to_string();
        let event = Event::new(Kind::KeyRekeyed, key)
            .with("resealed", done.resealed)
            .with("overtaken", done.overtaken)
            .with("unopenable", done.unopenable);
        let mut tx = self.storage.begin_shared().await?;
        audit::append(&mut tx, Chain::Operator, event, self.clock.now()).await?;
        self.storage.commit(tx).await
    }
}
