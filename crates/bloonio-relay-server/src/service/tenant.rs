//! Tenants: what an operator may do to them (PROTOCOL 3).

pub mod config;

use bloonio_wire::clock::{Clock, Timestamp};
use bloonio_wire::code::ErrorCode;
use bloonio_wire::field::Reader;
use bloonio_wire::id::TenantId;
use bloonio_wire::random::Random;
use bloonio_wire::secret::Secret;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub use self::config::{DeviceAddition, TenantConfig};
use super::error::ServiceError;
use crate::audit::{Event, Kind};
use crate::outbox::backoff::give_up_at;
use crate::seal::Sealer;
use crate::storage::tenant::SealedSecret;
use crate::storage::{Storage, StorageError, audit, delivery, tenant as rows};

/// Whether a tenant may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TenantStatus {
    /// It may.
    Active,
    /// It may not, and its devices and callbacks are held; nothing of it is deleted.
    Suspended,
}

impl TenantStatus {
    /// The status as it travels and as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }

    /// The status of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Active, Self::Suspended].into_iter().find(|status| status.as_str() == name)
    }
}

/// A backend known to the relay, with its secret.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its name in calls.
    pub tenant_id: TenantId,
    /// Its name for operators.
    pub tenant_name: String,
    /// Whether it may call.
    pub status: TenantStatus,
    /// The key of its signatures, both ways.
    pub secret: Secret,
    /// What an operator has set.
    pub config: TenantConfig,
    /// When it was provisioned.
    pub created_at: Timestamp,
}

impl Tenant {
    /// A tenant and its secret.
    pub fn new(view: TenantView, secret: Secret) -> Self {
        let TenantView { tenant_id, tenant_name, status, config, created_at, .. } = view;
        Self { tenant_id, tenant_name, status, secret, config, created_at }
    }

    /// The name that people see on their devices.
    pub fn display_name(&self) -> &str {
        self.config.branding_display_name.as_deref().unwrap_or(&self.tenant_name)
    }

    /// Whether it may call.
    pub fn is_active(&self) -> bool {
        self.status == TenantStatus::Active
    }
}

/// A tenant as an operator sees it: never with its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TenantView {
    /// Its name in calls.
    pub tenant_id: TenantId,
    /// Its name for operators.
    pub tenant_name: String,
    /// Calls a minute.
    pub rate_limit_per_min: u32,
    /// The other configuration fields.
    #[serde(flatten)]
    pub config: TenantConfig,
    /// Whether it may call.
    pub status: TenantStatus,
    /// When it was provisioned.
    pub created_at: Timestamp,
}

/// Answer to POST /provision/tenant.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Provisioned {
    /// Its name in calls.
    pub tenant_id: TenantId,
    /// Shown this once.
    pub tenant_secret: String,
    /// Its name for operators.
    pub tenant_name: String,
    /// Calls a minute.
    pub rate_limit_per_min: u32,
    /// Now.
    pub created_at: Timestamp,
}

/// Answer to POST /rotate/tenant-secret.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Rotated {
    /// Whose.
    pub tenant_id: TenantId,
    /// Shown this once.
    pub tenant_secret: String,
    /// Now.
    pub rotated_at: Timestamp,
}

/// Answer to POST /suspend/tenant and /reactivate/tenant.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StatusChanged {
    /// Whose.
    pub tenant_id: TenantId,
    /// What it is now.
    pub status: TenantStatus,
}

/// Answer to GET /fetch/tenants.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TenantPage {
    /// Tenants, oldest first.
    pub items: Vec<TenantView>,
    /// How many there are.
    pub total: i64,
    /// Of this page.
    pub limit: i64,
    /// Of this page.
    pub offset: i64,
}

/// Operator calls on tenants; the relay's routes and its command line share them.
#[derive(Debug, Clone, Copy)]
pub struct Registry<'a> {
    /// The rows.
    pub storage: &'a Storage,
    /// Seals the secrets.
    pub sealer: &'a Sealer,
    /// Dates the changes.
    pub clock: &'a dyn Clock,
    /// Draws ids and secrets.
    pub random: &'a dyn Random,
    /// Whether http addresses may be configured (`RELAY_ALLOW_PRIVATE_CALLBACKS`).
    pub allow_http: bool,
}

impl Registry<'_> {
    /// Adds a tenant; only `tenant_name` is required.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` with all broken rules; [`ServiceError::Storage`].
    pub async fn provision(&self, body: &Value) -> Result<Provisioned, ServiceError> {
        let mut reader = Reader::object(body);
        let tenant_name = config::tenant_name(&mut reader);
        let mut config = TenantConfig::default();
        config.apply(&mut reader, self.allow_http);
        reader.refuse_unknown();
        reader.finish().map_err(ServiceError::Invalid)?;
        let tenant = TenantView {
            tenant_id: TenantId::draw(self.random)?,
            tenant_name,
            rate_limit_per_min: config.rate_limit_per_min,
            config,
            status: TenantStatus::Active,
            created_at: self.clock.now(),
        };
        let (secret, sealed) = self.draw_secret(&tenant.tenant_id)?;
        let mut tx = self.storage.begin(&tenant.tenant_id).await?;
        rows::insert(&mut tx, &tenant, &sealed).await?;
        let event = Event::new(Kind::TenantProvisioned, tenant.tenant_id.as_str())
            .with("tenant_name", tenant.tenant_name.as_str())
            .with("config", serde_json::to_value(&tenant.config)?);
        audit::append(&mut tx, &tenant.tenant_id, event, tenant.created_at).await?;
        self.storage.commit(tx).await?;
        let TenantView { tenant_id, tenant_name, rate_limit_per_min, created_at, .. } = tenant;
        let tenant_secret = secret.expose().to_owned();
        Ok(Provisioned { tenant_id, tenant_secret, tenant_name, rate_limit_per_min, created_at })
    }

    /// Changes the fields that are there: absent is untouched, `null` is cleared.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` with all broken rules, `NOT_FOUND`; [`ServiceError::Storage`].
    pub async fn update(&self, id: &TenantId, body: &Value) -> Result<TenantView, ServiceError> {
        let mut tx = self.storage.begin(id).await?;
        let mut tenant = rows::for_update(&mut tx, id).await?.ok_or(ErrorCode::NotFound)?;
        let mut reader = Reader::object(body);
        if reader.has("tenant_name") {
            tenant.tenant_name = config::tenant_name(&mut reader);
        }
        tenant.config.apply(&mut reader, self.allow_http);
        tenant.rate_limit_per_min = tenant.config.rate_limit_per_min;
        reader.refuse_unknown();
        reader.finish().map_err(ServiceError::Invalid)?;
        if !rows::update(&mut tx, &tenant).await? {
            return Err(ErrorCode::NotFound.into());
        }
        // What was given is what was understood, here: everything else was refused. It holds no secret.
        let event = Event::new(Kind::TenantUpdated, id.as_str()).with("fields", body.clone());
        audit::append(&mut tx, id, event, self.clock.now()).await?;
        tx.commit().await.map_err(StorageError::from)?;
        Ok(tenant)
    }

    /// Replaces the secret; the old one is dead at once.
    ///
    /// # Errors
    /// `NOT_FOUND`; [`ServiceError::Storage`].
    pub async fn rotate(&self, id: &TenantId) -> Result<Rotated, ServiceError> {
        let (secret, sealed) = self.draw_secret(id)?;
        let mut tx = self.storage.begin(id).await?;
        let rotated_at = self.clock.now();
        if !rows::rotate(&mut tx, id, &sealed, rotated_at).await? {
            return Err(ErrorCode::NotFound.into());
        }
        audit::append(&mut tx, id, Event::new(Kind::SecretRotated, id.as_str()), rotated_at).await?;
        self.storage.commit(tx).await?;
        Ok(Rotated { tenant_id: id.clone(), tenant_secret: secret.expose().to_owned(), rotated_at })
    }

    /// Suspends or reactivates.
    ///
    /// # Errors
    /// `NOT_FOUND`; [`ServiceError::Storage`].
    pub async fn set_status(&self, id: &TenantId, status: TenantStatus) -> Result<StatusChanged, ServiceError> {
        let mut tx = self.storage.begin(id).await?;
        if !rows::set_status(&mut tx, id, status).await? {
            return Err(ErrorCode::NotFound.into());
        }
        let now = self.clock.now();
        if status == TenantStatus::Active {
            // Time spent held is not the receiver's silence: the schedules of held callbacks start anew.
            delivery::resume_tenant(&mut tx, id, now, give_up_at(now, None)).await?;
        }
        let kind = match status {
            TenantStatus::Active => Kind::TenantReactivated,
            TenantStatus::Suspended => Kind::TenantSuspended,
        };
        audit::append(&mut tx, id, Event::new(kind, id.as_str()), now).await?;
        tx.commit().await.map_err(StorageError::from)?;
        Ok(StatusChanged { tenant_id: id.clone(), status })
    }

    /// One tenant, without its secret.
    ///
    /// # Errors
    /// `NOT_FOUND`; [`ServiceError::Storage`].
    pub async fn fetch(&self, id: &TenantId) -> Result<TenantView, ServiceError> {
        Ok(self.storage.tenant_view(id).await?.ok_or(ErrorCode::NotFound)?)
    }

    /// A page of tenants, without their secrets.
    ///
    /// # Errors
    /// [`ServiceError::Storage`].
    pub async fn page(&self, limit: i64, offset: i64) -> Result<TenantPage, ServiceError> {
        let (items, total) = self.storage.tenant_page(limit, offset).await?;
        Ok(TenantPage { items, total, limit, offset })
    }

    fn draw_secret(&self, id: &TenantId) -> Result<(Secret, SealedSecret), ServiceError> {
        let secret = Secret::draw_tenant_secret(self.random)?;
        let sealed = SealedSecret::seal(self.sealer, self.random, id, &secret)?;
        Ok((secret, sealed))
    }
}
