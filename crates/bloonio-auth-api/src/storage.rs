//! The tables of this crate. They lie in the database of whoever mounts it, and count their migrations in a table of their
//! own, so that neither of the two has to know the other's.
//!
//! Rules of this room, as of the relay's: every statement starts with `-- function_name`; the tenant is the first argument
//! and part of every key; a change is one conditional statement whose affected rows are checked.

use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::SqlitePool;

const MIGRATIONS: &[(i64, &str, &str)] = &[(1, "totp", include_str!("../migrations/sqlite/0001_totp.sql"))];

/// Where the migrations that were run are counted. It must never change: they would be run again.
const MIGRATIONS_TABLE: &str = "_auth_api_migrations";

/// Brings the tables up to date.
///
/// # Errors
/// [`MigrateError`]; what was not migrated is as it was.
pub async fn migrate(writer: &SqlitePool) -> Result<(), MigrateError> {
    let migrations = MIGRATIONS.iter().map(|&(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    migrator.run(writer).await
}
