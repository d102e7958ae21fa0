//! Operator calls on tenants (PROTOCOL 3).

use axum::extract::State;
use bloonio_wire::envelope::Success;
use bloonio_wire::id::TenantId;

use crate::app::SharedApp;
use crate::http::auth::admin::AdminCaller;
use crate::http::error::{Answer, ApiError};
use crate::http::openapi::{OperatorRefusals, OperatorRefusalsFor};
use crate::http::query::Query;
use crate::service::error::ServiceError;
use crate::service::tenant::config::TenantFields;
use crate::service::tenant::{Provisioned, Rotated, StatusChanged, TenantPage, TenantStatus, TenantView};

fn tenant_id(query: &Query) -> Result<TenantId, ServiceError> {
    let mut reader = query.reader()?;
    let id = reader.id("tenant_id");
    reader.finish()?;
    id.ok_or(ServiceError::invalid("tenant_id", "is required"))?.found()
}

/// Calls without parameters take no body, or an empty object.
pub(super) fn no_fields(caller: &AdminCaller) -> Result<(), ServiceError> {
    let body = caller.json()?;
    let mut reader = bloonio_wire::field::Reader::object(&body);
    reader.refuse_unknown();
    reader.finish().map_err(ServiceError::Invalid)
}

/// Adds a tenant. Its secret is shown this once.
#[utoipa::path(post, path = "/api/v1/provision/tenant", tag = "tenants", security(("admin_key" = [])),
    request_body = TenantFields, responses(
    (status = 201, description = "Provisioned", body = Success<Provisioned>),
    OperatorRefusals,
))]
pub async fn provision_tenant(
    State(app): State<SharedApp>,
    caller: AdminCaller,
) -> Result<Answer<Provisioned>, ApiError> {
    let provisioned = app.registry().provision(&caller.json()?).await?;
    Ok(Answer::created("The tenant is provisioned. Its secret is shown this once.", provisioned))
}

/// Changes the configuration fields that are given; `null` clears one.
#[utoipa::path(post, path = "/api/v1/update/tenant", tag = "tenants", security(("admin_key" = [])),
    request_body = TenantFields,
    params(("tenant_id" = TenantId, Query, description = "Which tenant")), responses(
    (status = 200, description = "Done", body = Success<TenantView>),
    OperatorRefusalsFor,
))]
pub async fn update_tenant(
    State(app): State<SharedApp>,
    query: Query,
    caller: AdminCaller,
) -> Result<Answer<TenantView>, ApiError> {
    let id = tenant_id(&query)?;
    Ok(Answer::ok("The tenant is updated.", app.registry().update(&id, &caller.json()?).await?))
}

/// Replaces the secret. The old one is dead at once.
#[utoipa::path(post, path = "/api/v1/rotate/tenant-secret", tag = "tenants", security(("admin_key" = [])),
    params(("tenant_id" = TenantId, Query, description = "Which tenant")), responses(
    (status = 200, description = "Done", body = Success<Rotated>),
    OperatorRefusalsFor,
))]
pub async fn rotate_secret(
    State(app): State<SharedApp>,
    query: Query,
    caller: AdminCaller,
) -> Result<Answer<Rotated>, ApiError> {
    let id = tenant_id(&query)?;
    no_fields(&caller)?;
    Ok(Answer::ok("The secret is rotated. The new one is shown this once.", app.registry().rotate(&id).await?))
}

/// Suspends a tenant: it, its devices and its callbacks are held.
#[utoipa::path(post, path = "/api/v1/suspend/tenant", tag = "tenants", security(("admin_key" = [])),
    params(("tenant_id" = TenantId, Query, description = "Which tenant")), responses(
    (status = 200, description = "Done", body = Success<StatusChanged>),
    OperatorRefusalsFor,
))]
pub async fn suspend_tenant(
    State(app): State<SharedApp>,
    query: Query,
    caller: AdminCaller,
) -> Result<Answer<StatusChanged>, ApiError> {
    let id = tenant_id(&query)?;
    no_fields(&caller)?;
    let changed = app.registry().set_status(&id, TenantStatus::Suspended).await?;
    app.recheck_streams_of(&id);
    Ok(Answer::ok("The tenant is suspended.", changed))
}

/// Lets a suspended tenant work again.
#[utoipa::path(post, path = "/api/v1/reactivate/tenant", tag = "tenants", security(("admin_key" = [])),
    params(("tenant_id" = TenantId, Query, description = "Which tenant")), responses(
    (status = 200, description = "Done", body = Success<StatusChanged>),
    OperatorRefusalsFor,
))]
pub async fn reactivate_tenant(
    State(app): State<SharedApp>,
    query: Query,
    caller: AdminCaller,
) -> Result<Answer<StatusChanged>, ApiError> {
    let id = tenant_id(&query)?;
    no_fields(&caller)?;
    let changed = app.registry().set_status(&id, TenantStatus::Active).await?;
    app.outbox.wake();
    Ok(Answer::ok("The tenant is active.", changed))
}

/// One tenant, without its secret.
#[utoipa::path(get, path = "/api/v1/fetch/tenant", tag = "tenants", security(("admin_key" = [])),
    params(("tenant_id" = TenantId, Query, description = "Which tenant")), responses(
    (status = 200, description = "Done", body = Success<TenantView>),
    OperatorRefusalsFor,
))]
pub async fn fetch_tenant(
    State(app): State<SharedApp>,
    query: Query,
    _caller: AdminCaller,
) -> Result<Answer<TenantView>, ApiError> {
    let id = tenant_id(&query)?;
    Ok(Answer::ok("The tenant.", app.registry().fetch(&id).await?))
}

/// A page of tenants, without their secrets.
#[utoipa::path(get, path = "/api/v1/fetch/tenants", tag = "tenants", security(("admin_key" = [])),
    params(
    ("limit" = Option<i64>, Query, description = "1 to 200, default 50"),
    ("offset" = Option<i64>, Query, description = "Default 0"),
), responses(
    (status = 200, description = "Done", body = Success<TenantPage>),
    OperatorRefusals,
))]
pub async fn fetch_tenants(
    State(app): State<SharedApp>,
    query: Query,
    _caller: AdminCaller,
) -> Result<Answer<TenantPage>, ApiError> {
    let mut reader = query.reader()?;
    let limit = reader.optional_integer("limit", 1..=200).unwrap_or(50);
    let offset = reader.optional_integer("offset", 0..=i64::MAX).unwrap_or(0);
    reader.finish()?;
    Ok(Answer::ok("The tenants.", app.registry().page(limit, offset).await?))
}
