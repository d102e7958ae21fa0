//! Approvals used up in the application's own database: all that an application must write for it.

use async_trait::async_trait;
use bloonio_axum::{UsedApproval, UsedApprovals};
use sqlx::SqliteConnection;

/// The table, inside the transaction that is open on this connection.
pub struct UsedInTransaction<'c>(pub &'c mut SqliteConnection);

#[async_trait]
impl UsedApprovals for UsedInTransaction<'_> {
    type Error = sqlx::Error;

    async fn insert(&mut self, used: &UsedApproval) -> Result<bool, sqlx::Error> {
        let inserted = sqlx::query(
            "-- use_approval
             INSERT INTO used_approvals (tenant_id, instruction_id, good_until_ms) VALUES ($1, $2, $3)
             ON CONFLICT DO NOTHING",
        )
        .bind(used.tenant_id.as_str())
        .bind(used.instruction_id.as_str())
        .bind(used.good_until.as_millis())
        .execute(&mut *self.0)
        .await?;
        Ok(inserted.rows_affected() == 1)
    }
}
