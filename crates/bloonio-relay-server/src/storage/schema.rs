//! The database as its operator sees it: which schema it has, whether what is committed is on disk, what its clock says.
//! Nothing here changes anything.

use bloonio_auth_api::storage as auth_api;
use bloonio_wire::clock::Timestamp;

use super::db::{Engine, Step, query, query_for};
use super::{MIGRATIONS_TABLE, STEPS, Storage, StorageError};

/// The schema of a database, against what this version knows (ATTACKS A98).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schema {
    /// None yet.
    Empty,
    /// It lacks these migrations.
    Behind(Vec<String>),
    /// Neither more nor less.
    Current,
    /// A newer version has been at work: it has this migration.
    Newer(i64),
}

/// Reads which migrations the database has.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn compare(storage: &Storage) -> Result<Schema, StorageError> {
    let mut missing = Vec::new();
    let mut newest_unknown = None;
    let mut any = false;
    for (part, steps, table) in
        [("relay", STEPS, MIGRATIONS_TABLE), ("auth API", auth_api::STEPS, auth_api::MIGRATIONS_TABLE)]
    {
        let applied = applied(storage, table).await?;
        any |= !applied.is_empty();
        let known = |version: &i64| steps.iter().any(|step| step.version == *version);
        newest_unknown = newest_unknown.max(applied.iter().copied().filter(|version| !known(version)).max());
        let lacking = steps.iter().filter(|step| !applied.contains(&step.version));
        missing.extend(lacking.map(|Step { version, name, .. }| format!("{part} {version} ({name})")));
    }
    Ok(match (newest_unknown, any) {
        (Some(version), _) => Schema::Newer(version),
        (None, false) => Schema::Empty,
        (None, true) if missing.is_empty() => Schema::Current,
        (None, true) => Schema::Behind(missing),
    })
}

async fn applied(storage: &Storage, table: &'static str) -> Result<Vec<i64>, StorageError> {
    let there = query_for(
        "-- migrations_are_counted\nSELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = $1",
        "-- migrations_are_counted
         SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = $1",
    );
    let there: Option<i64> = there.bind(table).fetch_value(storage.readers()).await?;
    if there.is_none_or(|count| count == 0) {
        return Ok(Vec::new());
    }
    let rows =
        query(format!("-- applied_migrations\nSELECT version FROM {table}")).fetch_all(storage.readers()).await?;
    rows.iter().map(|row| Ok(row.at(0)?)).collect()
}

/// Whether a commit is on disk when it returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durability {
    /// Whether it is.
    pub is_durable: bool,
    /// By which settings.
    pub text: String,
}

/// Reads the settings that a commit depends on.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn durability(storage: &Storage) -> Result<Durability, StorageError> {
    let writer = storage.writer();
    if writer.engine() == Engine::Postgres {
        let setting = async |name: &str| {
            let query = query("-- server_setting\nSELECT current_setting($1)").bind(name);
            Ok::<_, StorageError>(query.fetch_value::<String>(writer).await?.unwrap_or_default())
        };
        let (fsync, commit) = (setting("fsync").await?, setting("synchronous_commit").await?);
        let is_durable = fsync == "on" && commit != "off";
        return Ok(Durability { is_durable, text: format!("fsync {fsync}, synchronous_commit {commit}") });
    }
    let mode: Option<String> = query("-- journal_mode\nPRAGMA journal_mode").fetch_value(writer).await?;
    let synchronous: Option<i64> = query("-- synchronous\nPRAGMA synchronous").fetch_value(writer).await?;
    let (mode, full) = (mode.unwrap_or_default(), synchronous.is_some_and(|level| level >= 2));
    let text = format!("journal {mode}, synchronisation {}", if full { "full" } else { "not full" });
    Ok(Durability { is_durable: mode == "wal" && full, text })
}

/// What the server's clock says; `None` where the database has none of its own.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn clock(storage: &Storage) -> Result<Option<Timestamp>, StorageError> {
    if storage.readers().engine() == Engine::Sqlite {
        return Ok(None);
    }
    let now = query("-- server_clock\nSELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint");
    let now: Option<i64> = now.fetch_value(storage.readers()).await?;
    Ok(now.map(Timestamp::from_millis))
}
