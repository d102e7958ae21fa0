//! Sealed values of all tables, whatever they say: which key they need, and how they get another.

use bloonio_auth_api::seal::{SealedBy, SealedColumn};

use super::db::{Row, query};
use super::{Storage, StorageError, Tx};

/// Every column that holds sealed values. What is sealed and not listed here is lost when its key is.
pub const SEALED: &[SealedColumn] = &[
    SealedColumn { table: "tenants", label: "tenant-secret", key: None, column: "secret_sealed" },
    bloonio_auth_api::totp::SEALED,
    SealedColumn {
        table: "pairings",
        label: "pairing-profile",
        key: Some("relay_user_linked_id"),
        column: "profile_sealed",
    },
    SealedColumn { table: "pairing_proofs", label: "pairing-proof", key: Some("jti"), column: "profile_sealed" },
    SealedColumn { table: "devices", label: "device-name", key: Some("device_id"), column: "name_sealed" },
    SealedColumn { table: "prompts", label: "prompt", key: Some("instruction_id"), column: "content_sealed" },
    SealedColumn { table: "alerts", label: "alert", key: Some("notification_id"), column: "content_sealed" },
];

/// A sealed value and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedRow {
    /// First part of the row's key.
    pub tenant_id: String,
    /// Second part; the first again in the table of tenants.
    pub key: String,
    /// The value.
    pub sealed: Vec<u8>,
}

fn sealed_row(row: &Row) -> Result<SealedRow, StorageError> {
    Ok(SealedRow { tenant_id: row.get("tenant_id")?, key: row.get("row_key")?, sealed: row.get("sealed")? })
}

/// The next values, in the order of their keys behind `after`, that do not begin with `head`.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn others(
    storage: &Storage,
    at: &SealedColumn,
    head: &[u8],
    after: Option<&SealedRow>,
    limit: i64,
) -> Result<Vec<SealedRow>, StorageError> {
    let (table, key, column) = (at.table, at.key_column(), at.column);
    let statement = format!(
        "-- sealed_under_other_keys
         SELECT tenant_id, {key} AS row_key, {column} AS sealed FROM {table}
         WHERE (tenant_id, {key}) > ($1, $2) AND substr({column}, 1, CAST($3 AS INTEGER)) <> $4
         ORDER BY tenant_id, {key} LIMIT $5"
    );
    let rows = query(statement)
        .bind(after.map_or("", |row| row.tenant_id.as_str()))
        .bind(after.map_or("", |row| row.key.as_str()))
        .bind(length(head))
        .bind(head)
        .bind(limit)
        .fetch_all(storage.readers())
        .await?;
    rows.iter().map(sealed_row).collect()
}

/// Any one value that needs this key.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn any(storage: &Storage, at: &SealedColumn, by: SealedBy) -> Result<Option<SealedRow>, StorageError> {
    let (table, key, column) = (at.table, at.key_column(), at.column);
    let statement = format!(
        "-- any_sealed_under
         SELECT tenant_id, {key} AS row_key, {column} AS sealed FROM {table} WHERE substr({column}, 1, CAST($1 AS INTEGER)) = $2 LIMIT 1"
    );
    let head = by.head();
    let row = query(statement).bind(length(&head)).bind(head).fetch_optional(storage.readers()).await?;
    row.as_ref().map(sealed_row).transpose()
}

/// How many values begin with this head.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn count(storage: &Storage, at: &SealedColumn, by: SealedBy) -> Result<i64, StorageError> {
    let (table, column) = (at.table, at.column);
    let statement = format!(
        "-- count_sealed_under\nSELECT count(*) FROM {table} WHERE substr({column}, 1, CAST($1 AS INTEGER)) = $2"
    );
    let head = by.head();
    Ok(query(statement).bind(length(&head)).bind(head).fetch_one(storage.readers()).await?.at(0)?)
}

/// Puts the same value, sealed again, in the place of `row`'s; `false` if another stands there by now.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn replace(tx: &mut Tx, at: &SealedColumn, row: &SealedRow, fresh: &[u8]) -> Result<bool, StorageError> {
    let (table, key, column) = (at.table, at.key_column(), at.column);
    let statement = format!(
        "-- seal_again
         UPDATE {table} SET {column} = $4 WHERE tenant_id = $1 AND {key} = $2 AND {column} = $3"
    );
    let done =
        query(statement).bind(&row.tenant_id).bind(&row.key).bind(&row.sealed).bind(fresh).execute(&mut *tx).await?;
    Ok(done.rows_affected() == 1)
}

fn length(head: &[u8]) -> i64 {
    i64::try_from(head.len()).unwrap_or(i64::MAX)
}
