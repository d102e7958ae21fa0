//! Which master keys this database needs: looked at before a relay starts, and kept while it runs.
//!
//! Every key that seals is recorded first ([`record`]). A relay that lacks one of them counts what it could not open: if that
//! is nothing the key is let go, else the relay does not start ([`check`]). So a start looks at one small table and counts
//! only in the step that takes a key away.

pub mod rekey;

use bloonio_wire::clock::{Clock, Timestamp};

use crate::audit::{Chain, Event, Kind};
use crate::seal::{SealedBy, Sealer};
use crate::storage::sealed::{self, SEALED};
use crate::storage::{Storage, StorageError, audit, seal_key};

/// The keys at hand do not open this database.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Some of what it holds needs a key that is not there.
    #[error(
        "no master key at hand opens {values} values of this database ({by}); put that key back among those that open \
         only, then run `rekey` before it is taken away, or restore the master key from its backup"
    )]
    Missing {
        /// How many.
        values: i64,
        /// Which key: its id, or that the values name none.
        by: Missing,
    },
    /// The database fails.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A key that is not there, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing(SealedBy);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            SealedBy::Key(id) => write!(f, "sealed under key {id}"),
            SealedBy::Unnamed => f.write_str("sealed before keys had names"),
        }
    }
}

/// Makes sure that everything sealed in this database can be opened, and lets go the keys that nothing needs any more.
///
/// # Errors
/// [`KeysError`].
pub async fn check(storage: &Storage, sealer: &Sealer, now: Timestamp) -> Result<(), KeysError> {
    for (by, values) in unknown(storage, sealer).await? {
        if values > 0 {
            return Err(KeysError::Missing { values, by: Missing(by) });
        }
        seal_key::let_go(storage, by, now).await?;
    }
    Ok(())
}

/// The keys that this database was sealed with and `sealer` does not have, each with how many values still need it.
///
/// # Errors
/// [`StorageError`].
pub async fn unknown(storage: &Storage, sealer: &Sealer) -> Result<Vec<(SealedBy, i64)>, StorageError> {
    let mut unknown = Vec::new();
    for by in seal_key::needed(storage).await? {
        let opens = match by {
            SealedBy::Key(id) => sealer.knows(id),
            SealedBy::Unnamed => opens_unnamed(storage, sealer).await?,
        };
        if !opens {
            unknown.push((by, count(storage, by).await?));
        }
    }
    Ok(unknown)
}

/// How many values of all tables need this key.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn count(storage: &Storage, by: SealedBy) -> Result<i64, StorageError> {
    let mut values = 0;
    for at in SEALED {
        values += sealed::count(storage, at, by).await?;
    }
    Ok(values)
}

/// Whether a value that names no key opens. One stands for all: when they were sealed there was no second key. `false` if
/// there is none.
async fn opens_unnamed(storage: &Storage, sealer: &Sealer) -> Result<bool, StorageError> {
    for at in SEALED {
        if let Some(row) = sealed::any(storage, at, SealedBy::Unnamed).await? {
            return Ok(sealer.open(&at.context(&row.tenant_id, &row.key), &row.sealed).is_ok());
        }
    }
    Ok(false)
}

/// Records that this sealer's key seals in this database, and in the operator's chain if it is another one than before.
/// Before the first value is sealed, and in every sweep.
///
/// # Errors
/// [`StorageError`].
pub async fn record(storage: &Storage, sealer: &Sealer, clock: &dyn Clock) -> Result<(), StorageError> {
    let by = SealedBy::Key(sealer.current());
    if seal_key::is_needed(storage, by).await? {
        // Most calls: nothing to write, and no turn at the writer.
        return Ok(());
    }
    let mut tx = storage.begin_shared().await?;
    let now = clock.now();
    if seal_key::record(&mut tx, by, now).await? {
        audit::append(&mut tx, Chain::Operator, Event::new(Kind::KeyUsed, by.to_string()), now).await?;
    }
    storage.commit(tx).await
}
