//! Rows of `tenants` (PROTOCOL 3). The secret is sealed, bound to its row.

use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::TenantId;
use bloonio_wire::random::Random;
use bloonio_wire::secret::Secret;

use super::{Storage, StorageError, Tx};
use crate::seal::{SealError, Sealer};
use crate::service::tenant::{Tenant, TenantConfig, TenantStatus, TenantView};
use crate::storage::db::{On, Row, query};

/// A secret as the database holds it.
#[derive(Debug, Clone)]
pub struct SealedSecret(Vec<u8>);

impl SealedSecret {
    /// Seals `secret` for the row of `tenant`.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(sealer: &Sealer, random: &dyn Random, tenant: &TenantId, secret: &Secret) -> Result<Self, SealError> {
        sealer.seal(random, &["tenant-secret", tenant.as_str()], secret.as_bytes()).map(Self)
    }

    /// Opens it.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] under another master key, or in another row.
    pub fn open(&self, sealer: &Sealer, tenant: &TenantId) -> Result<Secret, StorageError> {
        let corrupt = || StorageError::Corrupt("tenant secret");
        let plain = sealer.open(&["tenant-secret", tenant.as_str()], &self.0).map_err(|_| corrupt())?;
        std::str::from_utf8(&plain).map(Secret::new).map_err(|_| corrupt())
    }
}

const COLUMNS: &str = "tenant_id, tenant_name, secret_sealed, status, rate_limit_per_min, config, created_at";

fn view(row: &Row) -> Result<TenantView, StorageError> {
    let corrupt = || StorageError::Corrupt("tenant");
    let config: String = row.get("config")?;
    let mut config: TenantConfig = serde_json::from_str(&config).map_err(|_| corrupt())?;
    config.rate_limit_per_min = u32::try_from(row.get::<i64>("rate_limit_per_min")?).map_err(|_| corrupt())?;
    Ok(TenantView {
        tenant_id: TenantId::parse(row.get::<String>("tenant_id")?).map_err(|_| corrupt())?,
        tenant_name: row.get("tenant_name")?,
        rate_limit_per_min: config.rate_limit_per_min,
        status: TenantStatus::from_name(&row.get::<String>("status")?).ok_or_else(corrupt)?,
        created_at: Timestamp::from_millis(row.get("created_at")?),
        config,
    })
}

fn stored(config: &TenantConfig) -> Result<String, StorageError> {
    serde_json::to_string(config).map_err(|_| StorageError::Corrupt("tenant"))
}

/// The tenant with its secret, read over the connection at hand: a transaction must not wait for another connection.
///
/// # Errors
/// [`StorageError`].
pub async fn tenant(db: impl Into<On<'_>>, sealer: &Sealer, id: &TenantId) -> Result<Option<Tenant>, StorageError> {
    let sql = format!("-- tenant\nSELECT {COLUMNS} FROM tenants WHERE tenant_id = $1");
    let row = query(sql).bind(id.as_str()).fetch_optional(db).await?;
    row.map(|row| {
        let secret = SealedSecret(row.get("secret_sealed")?).open(sealer, id)?;
        Ok(Tenant::new(view(&row)?, secret))
    })
    .transpose()
}

impl Storage {
    /// The tenant with its secret.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn tenant(&self, sealer: &Sealer, id: &TenantId) -> Result<Option<Tenant>, StorageError> {
        tenant(self.readers(), sealer, id).await
    }

    /// The tenant without its secret.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn tenant_view(&self, id: &TenantId) -> Result<Option<TenantView>, StorageError> {
        let sql = format!("-- tenant_view\nSELECT {COLUMNS} FROM tenants WHERE tenant_id = $1");
        let row = query(sql).bind(id.as_str()).fetch_optional(self.readers()).await?;
        row.as_ref().map(view).transpose()
    }

    /// A page of tenants, oldest first, and how many there are.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn tenant_page(&self, limit: i64, offset: i64) -> Result<(Vec<TenantView>, i64), StorageError> {
        // One snapshot for both statements.
        let mut tx = self.begin_read().await?;
        let total = query("-- tenant_count\nSELECT COUNT(*) FROM tenants").fetch_one(&mut tx).await?.at(0)?;
        let sql =
            format!("-- tenant_page\nSELECT {COLUMNS} FROM tenants ORDER BY created_at, tenant_id LIMIT $1 OFFSET $2");
        let rows = query(sql).bind(limit).bind(offset).fetch_all(&mut tx).await?;
        let items = rows.iter().map(view).collect::<Result<_, _>>()?;
        Ok((items, total))
    }
}

/// Adds a tenant, active.
///
/// # Errors
/// [`StorageError`].
pub async fn insert(tx: &mut Tx, tenant: &TenantView, secret: &SealedSecret) -> Result<(), StorageError> {
    let sql = "-- insert_tenant
        INSERT INTO tenants (tenant_id, tenant_name, secret_sealed, status, rate_limit_per_min, config, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    query(sql)
        .bind(tenant.tenant_id.as_str())
        .bind(&tenant.tenant_name)
        .bind(&secret.0)
        .bind(tenant.status.as_str())
        .bind(tenant.rate_limit_per_min)
        .bind(stored(&tenant.config)?)
        .bind(tenant.created_at.as_millis())
        .execute(&mut *tx)
        .await?;
    Ok(())
}

/// The tenant as the transaction sees it, to be changed by [`update`].
///
/// # Errors
/// [`StorageError`].
pub async fn for_update(tx: &mut Tx, id: &TenantId) -> Result<Option<TenantView>, StorageError> {
    let sql = format!("-- tenant_for_update\nSELECT {COLUMNS} FROM tenants WHERE tenant_id = $1");
    let row = query(sql).bind(id.as_str()).fetch_optional(&mut *tx).await?;
    row.as_ref().map(view).transpose()
}

/// Writes name and configuration, neither secret nor status; `false` if there is no such tenant.
///
/// # Errors
/// [`StorageError`].
pub async fn update(tx: &mut Tx, tenant: &TenantView) -> Result<bool, StorageError> {
    let sql = "-- update_tenant
        UPDATE tenants SET tenant_name = $2, rate_limit_per_min = $3, config = $4 WHERE tenant_id = $1";
    let done = query(sql)
        .bind(tenant.tenant_id.as_str())
        .bind(&tenant.tenant_name)
        .bind(tenant.config.rate_limit_per_min)
        .bind(stored(&tenant.config)?)
        .execute(&mut *tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Replaces the secret; from the commit on, the old one is dead everywhere. `false` if there is no such tenant.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn rotate(tx: &mut Tx, id: &TenantId, secret: &SealedSecret, now: Timestamp) -> Result<bool, StorageError> {
    let sql = "-- rotate_tenant_secret\nUPDATE tenants SET secret_sealed = $2, rotated_at = $3 WHERE tenant_id = $1";
    let done = query(sql).bind(id.as_str()).bind(&secret.0).bind(now.as_millis()).execute(&mut *tx).await?;
    Ok(done.rows_affected() == 1)
}

/// Sets the status; `false` if there is no such tenant.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn set_status(tx: &mut Tx, id: &TenantId, status: TenantStatus) -> Result<bool, StorageError> {
    let sql = "-- set_tenant_status\nUPDATE tenants SET status = $2 WHERE tenant_id = $1";
    let done = query(sql).bind(id.as_str()).bind(status.as_str()).execute(&mut *tx).await?;
    Ok(done.rows_affected() == 1)
}
