//! The one row of `epoch`: whether this database is the one that the relays worked on last.

use bloonio_wire::clock::Timestamp;

use super::db::{On, query, query_for};
use super::{Storage, StorageError, Tx};

/// What the database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// How often it was restored.
    pub number: i64,
    /// Whether it is a copy that nobody has treated yet.
    pub is_copy: bool,
    /// The server and database that it was first served from; see [`place`].
    pub home: Option<String>,
}

/// Reads it.
///
/// # Errors
/// [`StorageError`].
pub async fn get(db: impl Into<On<'_>>) -> Result<Epoch, StorageError> {
    let row = query("-- epoch\nSELECT number, is_copy, home FROM epoch").fetch_optional(db).await?;
    let row = row.ok_or(StorageError::Corrupt("epoch"))?;
    Ok(Epoch { number: row.get("number")?, is_copy: row.get::<i64>("is_copy")? != 0, home: row.get("home")? })
}

/// How many entries the audit trail has, all chains together. Every change of the database adds some, and none is ever
/// removed: of two states of one database the one with fewer is the older one.
///
/// # Errors
/// [`StorageError`].
pub async fn entries(db: impl Into<On<'_>>) -> Result<i64, StorageError> {
    let sql = "-- audit_entries\nSELECT CAST(coalesce(sum(seq), 0) AS BIGINT) FROM audit_heads";
    Ok(query(sql).fetch_one(db).await?.at(0)?)
}

/// Which server and database this is: a dump that is read in elsewhere is elsewhere. `None` for a file, and where the
/// server does not say.
///
/// # Errors
/// [`StorageError`].
pub async fn place(storage: &Storage) -> Result<Option<String>, StorageError> {
    if !storage.is_shared() {
        return Ok(None);
    }
    let sql = "-- place
        SELECT s.system_identifier::text || '/' || d.oid::text
        FROM pg_control_system() s, pg_database d WHERE d.datname = current_database()";
    match query(sql).fetch_value(storage.readers()).await {
        Ok(place) => Ok(place),
        // Some hosts let nobody ask.
        Err(sqlx::Error::Database(refused)) if refused.code().as_deref() == Some("42501") => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Keeps where the database is served from first.
///
/// # Errors
/// [`StorageError`].
pub async fn settle(storage: &Storage, place: &str) -> Result<(), StorageError> {
    query("-- settle_epoch\nUPDATE epoch SET home = $1 WHERE home IS NULL")
        .bind(place)
        .execute(storage.writer())
        .await?;
    Ok(())
}

/// Begins the next epoch, at `place`. Calls signed up to `signed_after` are refused in it.
///
/// # Errors
/// [`StorageError`].
pub async fn begin(tx: &mut Tx, place: Option<&str>, signed_after: Timestamp) -> Result<i64, StorageError> {
    let number: Option<i64> = query(
        "-- begin_epoch
         UPDATE epoch SET number = number + 1, is_copy = 0, home = $1,
                          signed_after = CASE WHEN signed_after < $2 THEN $2 ELSE signed_after END
         RETURNING number",
    )
    .bind(place.map(str::to_owned))
    .bind(signed_after.as_millis())
    .fetch_value(&mut *tx)
    .await?;
    number.ok_or(StorageError::Corrupt("epoch"))
}

/// Marks a fresh copy as one.
///
/// # Errors
/// [`StorageError`].
pub async fn mark_copy(copy: &Storage) -> Result<(), StorageError> {
    query("-- mark_copy\nUPDATE epoch SET is_copy = 1").execute(copy.writer()).await?;
    Ok(())
}

/// Writes a copy of a SQLite file, as it is at one moment, to `path`, which must be there and empty.
///
/// # Errors
/// [`StorageError`].
pub async fn copy_to(storage: &Storage, path: &str) -> Result<(), StorageError> {
    query("-- copy_to\nVACUUM INTO $1").bind(path).execute(storage.readers()).await?;
    Ok(())
}

/// What SQLite finds wrong in a file; `None` for nothing.
///
/// # Errors
/// [`StorageError`].
pub async fn damage(storage: &Storage) -> Result<Option<String>, StorageError> {
    let found = query_for("-- quick_check\nPRAGMA quick_check(1)", "-- quick_check\nSELECT 'ok'");
    let found: Option<String> = found.fetch_value(storage.readers()).await?;
    Ok(found.filter(|found| found != "ok"))
}
