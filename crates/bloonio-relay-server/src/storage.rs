//! The relay's truth, in a SQLite file or on a PostgreSQL server.
//!
//! | | SQLite | PostgreSQL |
//! | --- | --- | --- |
//! | relays on one database | one | several |
//! | a decision answered with 200 | is on disk: WAL, full synchronisation | is on disk: `synchronous_commit` is the server's default, on |
//! | transactions of one tenant | one after the other: the file has one writer | one after the other: [`Storage::begin`] holds the tenant's name |
//!
//! Rules of this room: every statement starts with `-- function_name`; the tenant is the first argument; a change is one
//! conditional statement whose affected rows are checked, or one [`Storage::begin`] transaction that also writes the
//! outbox rows. The statements are in words that both engines know; see [`db`].
//!
//! That a tenant's transactions follow one another costs nothing that can be felt: no tenant may make more than 10,000
//! calls a minute. It makes what a transaction has read stay true until its commit, on both engines alike.

pub mod alert;
pub mod audit;
pub mod delivery;
pub mod device;
pub mod epoch;
pub mod pairing;
pub mod prompt;
pub mod push;
pub mod replay;
pub mod restore;
pub mod retention;
pub mod schema;
pub mod seal_key;
pub mod sealed;
pub mod tenant;

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

pub use bloonio_auth_api::db;
use bloonio_wire::digest::Framed;
use bloonio_wire::id::TenantId;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, PgConnection};

use self::db::{Engine, Pool, Step, query};

/// A write transaction: rolled back when dropped.
pub type Tx = db::Tx;

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
    /// A URL of neither engine.
    #[error("a database is sqlite:// and a path, or postgres:// and a server")]
    UnknownEngine,
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
    readers: Pool,
    writer: Pool,
}

macro_rules! step {
    ($version:literal, $name:literal, $file:literal) => {
        Step {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../migrations/sqlite/", $file)),
            postgres: include_str!(concat!("../migrations/postgres/", $file)),
        }
    };
}

const STEPS: &[Step] = &[
    step!(1, "relay", "0001_relay.sql"),
    step!(2, "retention", "0002_retention.sql"),
    step!(3, "audit", "0003_audit.sql"),
    step!(4, "failing lanes", "0004_failing_lanes.sql"),
    step!(6, "sealed", "0006_sealed.sql"),
    step!(10, "epoch", "0010_epoch.sql"),
    step!(11, "overdue", "0011_overdue.sql"),
    step!(12, "audit heads", "0012_audit_heads.sql"),
];

/// Where the migrations that were run are counted. It must never change: they would be run again.
const MIGRATIONS_TABLE: &str = "_sqlx_migrations";

/// How long a health check waits for the writer: whatever holds it longer holds up decisions, too.
const WRITER_ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// How long a call waits for a connection.
const CONNECTION_WITHIN: Duration = Duration::from_secs(5);

/// Connections to a PostgreSQL server, of each process at most.
const POSTGRES_CONNECTIONS: u32 = 24;

/// How long a connection to a PostgreSQL server may lie unused before it is asked whether it still stands. A server that
/// was started again costs each of those that were not asked a call: 503, to be repeated.
const TESTED_WHEN_IDLE_FOR: Duration = Duration::from_secs(1);

/// What a PostgreSQL server shall do with a connection whose relay hangs: give up its statement, its wait for a lock and
/// its open transaction, in milliseconds, before others wait for their deadlines.
const POSTGRES_LIMITS: [(&str, &str); 3] =
    [("statement_timeout", "10000"), ("lock_timeout", "5000"), ("idle_in_transaction_session_timeout", "10000")];

impl Storage {
    /// Opens the database of a `sqlite://` URL, which is created, or of a `postgres://` one. Does not migrate.
    ///
    /// # Errors
    /// [`StorageError::UnknownEngine`], or [`StorageError::Database`] for an unreadable URL or file, or a server that does
    /// not answer.
    pub async fn open(url: &str) -> Result<Self, StorageError> {
        match url.split_once(':') {
            Some(("sqlite", _)) => Self::connect_sqlite(SqliteConnectOptions::from_str(url)?).await,
            Some(("postgres" | "postgresql", _)) => Self::connect_postgres(PgConnectOptions::from_str(url)?).await,
            _ => Err(StorageError::UnknownEngine),
        }
    }

    /// Opens (and creates) the SQLite file at `path`, whatever characters are in it. Does not migrate.
    ///
    /// # Errors
    /// Those of [`Storage::open`].
    pub async fn open_file(path: &Path) -> Result<Self, StorageError> {
        Self::connect_sqlite(SqliteConnectOptions::new().filename(path)).await
    }

    async fn connect_sqlite(options: SqliteConnectOptions) -> Result<Self, StorageError> {
        create_private(options.get_filename());
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5));
        // One writer: SQLite has one anyway, and a queue in the process is fairer than its busy handler.
        // A file in this process: there is no other end that could be gone.
        let pool = |size| {
            SqlitePoolOptions::new().max_connections(size).acquire_timeout(CONNECTION_WITHIN).test_before_acquire(false)
        };
        let writer = Pool::Sqlite(pool(1).connect_with(options.clone()).await?);
        let readers = Pool::Sqlite(pool(8).connect_with(options.read_only(true)).await?);
        Ok(Self { readers, writer })
    }

    async fn connect_postgres(options: PgConnectOptions) -> Result<Self, StorageError> {
        let options = options.application_name("bloonio-relay").options(POSTGRES_LIMITS);
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS)
            .acquire_timeout(CONNECTION_WITHIN)
            .test_before_acquire(false)
            .before_acquire(|connection, seen| Box::pin(answers(connection, seen.idle_for)));
        let pool = Pool::Postgres(pool.connect_with(options).await?);
        Ok(Self { readers: pool.clone(), writer: pool })
    }

    /// Brings the schema up to date, and that of the auth API, whose tables lie in the same database. Several relays may
    /// do so at the same time.
    ///
    /// # Errors
    /// [`StorageError::Migration`].
    pub async fn migrate(&self) -> Result<(), StorageError> {
        self.writer.migrate(STEPS, MIGRATIONS_TABLE).await?;
        bloonio_auth_api::storage::migrate(&self.writer).await?;
        Ok(())
    }

    /// Whether other processes may work on the same database.
    pub fn is_shared(&self) -> bool {
        self.writer.engine() == Engine::Postgres
    }

    /// For statements that only read.
    pub fn readers(&self) -> &Pool {
        &self.readers
    }

    /// For single statements that write.
    pub fn writer(&self) -> &Pool {
        &self.writer
    }

    /// Begins a write transaction of one tenant. Until its end no other one of that tenant begins, in whatever process.
    ///
    /// # Errors
    /// [`StorageError::Database`].
    pub async fn begin(&self, tenant: &TenantId) -> Result<Tx, StorageError> {
        let mut tx = self.writer.begin().await?;
        hold(&mut tx, tenant).await?;
        Ok(tx)
    }

    /// Begins a write transaction of no tenant, for workers that serve all of them. On PostgreSQL several run side by
    /// side: each row that they change is claimed by its own condition.
    ///
    /// # Errors
    /// [`StorageError::Database`].
    pub async fn begin_shared(&self) -> Result<Tx, StorageError> {
        Ok(self.writer.begin().await?)
    }

    /// Begins a transaction whose statements read one moment.
    ///
    /// # Errors
    /// [`StorageError::Database`].
    pub async fn begin_read(&self) -> Result<Tx, StorageError> {
        Ok(self.readers.begin_read().await?)
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
        query("-- ping\nSELECT 1").execute(&self.readers).await?;
        let writer = async { Ok(self.begin_shared().await?.rollback().await?) };
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

/// Whether a connection may be handed out: one that was used a moment ago is not asked, which is a round trip less for
/// every call of a busy relay.
async fn answers(connection: &mut PgConnection, idle_for: Duration) -> Result<bool, sqlx::Error> {
    Ok(idle_for < TESTED_WHEN_IDLE_FOR || connection.ping().await.is_ok())
}

/// Makes the rest of a transaction one of `tenant`; see [`Storage::begin`]. Whoever holds several takes them in the order
/// of their ids, so that no two wait for each other.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn hold(tx: &mut Tx, tenant: &TenantId) -> Result<(), StorageError> {
    Ok(tx.hold(name_of("bloonio-tenant-transaction", tenant.as_str())).await?)
}

/// Makes the rest of a transaction the only one that claims from `queue`, after what it holds of tenants.
///
/// # Errors
/// [`StorageError::Database`].
pub(crate) async fn hold_queue(tx: &mut Tx, queue: &str) -> Result<(), StorageError> {
    Ok(tx.hold(name_of("bloonio-queue-transaction", queue)).await?)
}

/// A name as PostgreSQL's advisory locks know them: numbers. Two texts of the same number would only wait for each other.
fn name_of(domain: &str, text: &str) -> i64 {
    let mut framed = Framed::new(domain);
    framed.text(text);
    let [a, b, c, d, e, f, g, h, ..] = framed.digest();
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
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
