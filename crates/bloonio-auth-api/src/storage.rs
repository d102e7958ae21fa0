//! The tables of this crate. They lie in the database of whoever mounts it, and count their migrations in a table of their
//! own, so that neither of the two has to know the other's.
//!
//! Rules of this room, as of the relay's: every statement starts with `-- function_name`; the tenant is the first argument
//! and part of every key; a change is one conditional statement whose affected rows are checked.

use sqlx::migrate::MigrateError;

use crate::db::{Pool, Step};

/// The steps of the schema.
pub const STEPS: &[Step] = &[Step {
    version: 1,
    name: "totp",
    sqlite: include_str!("../migrations/sqlite/0001_totp.sql"),
    postgres: include_str!("../migrations/postgres/0001_totp.sql"),
}];

/// Where the migrations that were run are counted. It must never change: they would be run again.
pub const MIGRATIONS_TABLE: &str = "_auth_api_migrations";

/// Brings the tables up to date.
///
/// # Errors
/// [`MigrateError`]; what was not migrated is as it was.
pub async fn migrate(writer: &Pool) -> Result<(), MigrateError> {
    writer.migrate(STEPS, MIGRATIONS_TABLE).await
}
