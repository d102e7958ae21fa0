//! One SQL text, two engines: SQLite for one machine, PostgreSQL for several.
//!
//! sqlx types every statement by its engine. Here an enum stands for the two, so that each statement of the house is
//! written once: `$1` placeholders, whole numbers of 64 bits, texts and bytes. Where the engines need different words,
//! [`query_for`] takes both, and [`query_rows`] has them for many rows at once. Nothing else is hidden: what a statement
//! does, and in which transaction, is in its caller.
//!
//! | type | what it is |
//! | --- | --- |
//! | [`Pool`] | connections, for single statements |
//! | [`Tx`] | a transaction; rolled back when dropped |
//! | [`Query`] | a statement with its values |
//! | [`Row`] | what came back |

mod query;
mod row;
mod value;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{PgConnection, PgPool, Postgres, SqlSafeStr, Sqlite, SqliteConnection, SqlitePool, Transaction};

pub use self::query::{Done, Query, Rows, query, query_for, query_rows};
pub use self::row::{Column, Row};
pub use self::value::Value;

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// A file, written by one process.
    Sqlite,
    /// A server, shared by several.
    Postgres,
}

/// Connections to one database. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Pool {
    /// To a SQLite file.
    Sqlite(SqlitePool),
    /// To a PostgreSQL server.
    Postgres(PgPool),
}

/// A transaction: rolled back when dropped.
#[derive(Debug)]
pub enum Tx {
    /// In a SQLite file.
    Sqlite(Transaction<'static, Sqlite>),
    /// On a PostgreSQL server.
    Postgres(Transaction<'static, Postgres>),
}

/// Where a statement runs: on any connection of a pool, or in a transaction.
#[derive(Debug)]
pub enum On<'c> {
    /// On any connection.
    Pool(&'c Pool),
    /// In a transaction of SQLite.
    Sqlite(&'c mut SqliteConnection),
    /// In a transaction of PostgreSQL.
    Postgres(&'c mut PgConnection),
}

impl<'c> From<&'c Pool> for On<'c> {
    fn from(pool: &'c Pool) -> Self {
        Self::Pool(pool)
    }
}

impl<'c> From<&'c mut Tx> for On<'c> {
    fn from(tx: &'c mut Tx) -> Self {
        match tx {
            Tx::Sqlite(tx) => Self::Sqlite(tx),
            Tx::Postgres(tx) => Self::Postgres(tx),
        }
    }
}

/// A step of a schema: its number, its name, and its text for each engine.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Counted from 1, never reused.
    pub version: i64,
    /// For people.
    pub name: &'static str,
    /// The text for SQLite.
    pub sqlite: &'static str,
    /// The text for PostgreSQL.
    pub postgres: &'static str,
}

impl Pool {
    /// Which engine it speaks to.
    pub fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// Begins a transaction that writes. SQLite has one writer at a time: the transaction is that one from its beginning.
    ///
    /// # Errors
    /// [`sqlx::Error`].
    pub async fn begin(&self) -> Result<Tx, sqlx::Error> {
        match self {
            Self::Sqlite(pool) => pool.begin_with("BEGIN IMMEDIATE").await.map(Tx::Sqlite),
            Self::Postgres(pool) => {
                let pool = pool.clone();
                to_its_end(async move { pool.begin().await }).await.map(Tx::Postgres)
            }
        }
    }

    /// Begins a transaction that reads: all its statements see one moment.
    ///
    /// # Errors
    /// [`sqlx::Error`].
    pub async fn begin_read(&self) -> Result<Tx, sqlx::Error> {
        match self {
            Self::Sqlite(pool) => pool.begin().await.map(Tx::Sqlite),
            Self::Postgres(pool) => {
                let (pool, begin) = (pool.clone(), "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
                to_its_end(async move { pool.begin_with(begin).await }).await.map(Tx::Postgres)
            }
        }
    }

    /// Runs the steps that were not run yet, counted in `table`. Several processes may call it at the same time.
    ///
    /// # Errors
    /// [`MigrateError`], also for a database that a newer version has changed; what was not migrated is as it was.
    pub async fn migrate(&self, steps: &[Step], table: &'static str) -> Result<(), MigrateError> {
        let engine = self.engine();
        let migrations = steps.iter().map(|step| {
            let sql = match engine {
                Engine::Sqlite => step.sqlite,
                Engine::Postgres => step.postgres,
            };
            Migration::new(step.version, step.name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        });
        let mut migrator = Migrator::with_migrations(migrations.collect());
        migrator.dangerous_set_table_name(table);
        match self {
            Self::Sqlite(pool) => migrator.run(pool).await,
            Self::Postgres(pool) => migrator.run(pool).await,
        }
    }

    /// Closes every connection; what was committed stays.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// Begins a transaction whether or not somebody still waits for it: then it is rolled back. A `BEGIN` that is dropped while
/// it is under way would leave its connection in a transaction that nobody knows of, and whoever gets that connection for a
/// single statement would take for written what is rolled back later.
async fn to_its_end<T: Send + 'static>(
    begin: impl Future<Output = Result<T, sqlx::Error>> + Send + 'static,
) -> Result<T, sqlx::Error> {
    tokio::spawn(begin).await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

impl Tx {
    /// Which engine it speaks to.
    pub fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// Commits: what was written is on disk when this returns.
    ///
    /// # Errors
    /// [`sqlx::Error`].
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => tx.commit().await,
        }
    }

    /// Undoes what was written.
    ///
    /// # Errors
    /// [`sqlx::Error`].
    pub async fn rollback(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(tx) => tx.rollback().await,
            Self::Postgres(tx) => tx.rollback().await,
        }
    }

    /// Waits until no other transaction holds `name`, and holds it to this one's end: what is read after this stays true
    /// until the commit, as long as everybody who changes it holds the name. SQLite's one writer holds everything.
    ///
    /// # Errors
    /// [`sqlx::Error`].
    pub async fn hold(&mut self, name: i64) -> Result<(), sqlx::Error> {
        if self.engine() == Engine::Postgres {
            query("-- hold\nSELECT pg_advisory_xact_lock($1)").bind(name).execute(self).await?;
        }
        Ok(())
    }
}
