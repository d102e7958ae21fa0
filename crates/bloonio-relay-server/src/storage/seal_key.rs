//! Rows of `seal_keys`: which master keys this database needs.

use bloonio_auth_api::seal::SealedBy;
use bloonio_wire::clock::Timestamp;

use super::db::query;
use super::{Storage, StorageError, Tx};

/// The keys that were used and not let go.
///
/// # Errors
/// [`StorageError`].
pub async fn needed(storage: &Storage) -> Result<Vec<SealedBy>, StorageError> {
    let sql = "-- needed_seal_keys\nSELECT head FROM seal_keys WHERE let_go_at IS NULL ORDER BY used_at, head";
    let rows = query(sql).fetch_all(storage.readers()).await?;
    rows.iter().map(|row| SealedBy::of(&row.at::<Vec<u8>>(0)?).ok_or(StorageError::Corrupt("seal key"))).collect()
}

/// Whether this key was used and not let go.
///
/// # Errors
/// [`StorageError`].
pub async fn is_needed(storage: &Storage, by: SealedBy) -> Result<bool, StorageError> {
    Ok(needed(storage).await?.contains(&by))
}

/// Records that this key is used; `false` if that was recorded before. One that was let go is needed again.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn record(tx: &mut Tx, by: SealedBy, now: Timestamp) -> Result<bool, StorageError> {
    let done = query(
        "-- record_seal_key
         INSERT INTO seal_keys (head, used_at) VALUES ($1, $2)
         ON CONFLICT (head) DO UPDATE SET let_go_at = NULL WHERE seal_keys.let_go_at IS NOT NULL",
    )
    .bind(by.head())
    .bind(now.as_millis())
    .execute(&mut *tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Lets a key go: nothing needs it any more.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn let_go(storage: &Storage, by: SealedBy, now: Timestamp) -> Result<(), StorageError> {
    query("-- let_seal_key_go\nUPDATE seal_keys SET let_go_at = $2 WHERE head = $1 AND let_go_at IS NULL")
        .bind(by.head())
        .bind(now.as_millis())
        .execute(storage.writer())
        .await?;
    Ok(())
}
