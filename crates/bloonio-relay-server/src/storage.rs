//! The relay's truth: SQLite in WAL mode with full synchronisation, so that a decision answered with 200 is on disk.
//!
//! Rules of this room: every statement starts with `-- function_name`; the tenant is the first argument; a change is one
//! conditional statement whose affected rows are checked, or one [`Storage::begin`] transaction that also writes the
//! outbox rows. Placeholders are `$1`, so that the same text serves other engines.

pub mod alert;
pub mod delivery;
pub mod device;
pub mod pairing;
pub mod prompt;
pub mod push;
pub mod replay;
pub mod retention;
pub mod tenant;

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{SqlSafeStr, Sqlite};

/// A write transaction: taken with BEGIN IMMEDIATE, rolled back when dropped.
pub type Tx = sqlx::Transaction<'static, Sqlite>;

/// The storage does not do what it must.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// It does not answer, or refuses.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// A row that this version does not understand: refused, never guessed.
    #[error("a stored {0} cannot be read")]
    Corrupt(&'static str),
    /// The schema, or the auth API's, could not be brought up to date.
    #[error("the migration failed")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

/// Makes a new database file readable by its owner alone; SQLite gives its journals the same mode. What is there already
/// keeps the mode that the operator gave it, and a file that cannot be made is SQLite's to complain about.
fn create_private(path: &Path) {
    use std::os::unix::fs::OpenOptionsExt;
    let _ = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
}

/// The open database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Storage {
    readers: SqlitePool,
    writer: SqlitePool,
}

const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "relay", include_str!("../migrations/sqlite/0001_relay.sql")),
    (2, "retention", include_str!("../migrations/sqlite/0002_retention.sql")),
];

/// How long a health check waits for the writer: whatever holds it longer holds up decisions, too.
const WRITER_ANSWERS_WITHIN: Duration = Duration::from_secs(2);

impl Storage {
    /// Opens (and creates) the database of a `sqlite://` URL. Does not migrate.
    ///
    /// # Errors
    /// [`StorageError::Database`] for an unreadable URL or file.
    pub async fn open(url: &str) -> Result<Self, StorageError> {
        Self::connect(SqliteConnectOptions::from_str(url)?).await
    }

    /// Opens (and creates) the database file at `path`, whatever characters are in it. Does not migrate.
    ///
    /// # Errors
    /// Those of [`Storage::open`].
    pub async fn open_file(path: &Path) -> Result<Self, StorageError> {
        Self::connect(SqliteConnectOptions::new().filename(path)).await
    }

    async fn connect(options: SqliteConnectOptions) -> Result<Self, StorageError> {
        create_private(options.get_filename());
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5));
        // One writer: SQLite has one anyway, and a queue in the process is fairer than its busy handler.
        let pool = |size| SqlitePoolOptions::new().max_connections(size).acquire_timeout(Duration::from_secs(5));
        let writer = pool(1).connect_with(options.clone()).await?;
        let readers = pool(8).connect_with(options.read_only(true)).await?;
        Ok(Self { readers, writer })
    }

    /// Brings the schema up to date, and that of the auth API, whose tables lie in the same database.
    ///
    /// # Errors
    /// [`StorageError::Migration`].
    pub async fn migrate(&self) -> Result<(), StorageError> {
        let migrations = MIGRATIONS.iter().map(|&(version, name, sql)| {
            Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        });
        Migrator::with_migrations(migrations.collect()).run(&self.writer).await?;
        bloonio_auth_api::storage::migrate(&self.writer).await?;
        Ok(())
    }

    /// For statements that only read.
    pub fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// For single statements that write.
    pub fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    /// Begins a write transaction.
    ///
    /// # Errors
    /// [`StorageError::Database`].
    pub async fn begin(&self) -> Result<Tx, StorageError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Commits a write transaction: what it wrote is on disk when this returns.
    ///
    /// # Errors
    /// [`StorageError::Database`].
    pub async fn commit(&self, tx: Tx) -> Result<(), StorageError> {
        Ok(tx.commit().await?)
    }

    /// Whether the database answers, and can be written to: without its writer the relay takes no decision. Nothing is
    /// changed.
    ///
    /// # Errors
    /// [`StorageError::Database`].
    pub async fn ping(&self) -> Result<(), StorageError> {
        sqlx::query("-- ping\nSELECT 1").execute(&self.readers).await?;
        let writer = async { Ok(self.begin().await?.rollback().await?) };
        match tokio::time::timeout(WRITER_ANSWERS_WITHIN, writer).await {
            Ok(answer) => answer,
            Err(_) => Err(sqlx::Error::PoolTimedOut.into()),
        }
    }

    /// Closes the database; what was committed is on disk.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn the_database_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::open_file(&folder.path().join("relay.db")).await.unwrap();
        storage.migrate().await.unwrap();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
        }
    }
}
