//! Operator calls on the outbox of callbacks (PROTOCOL 9.5).

use axum::extract::State;
use bloonio_wire::code::ErrorCode;
use bloonio_wire::envelope::Success;
use bloonio_wire::id::TenantId;

use super::provision::no_fields;
use crate::app::SharedApp;
use crate::http::auth::admin::AdminCaller;
use crate::http::error::{Answer, ApiError};
use crate::http::openapi::OperatorRefusalsFor;
use crate::http::query::Query;
use crate::service::callback::{self, DeliveryPage, DeliveryView};
use crate::storage::delivery::listing::Filter;

/// Lists callbacks, newest first.
#[utoipa::path(get, path = "/api/v1/fetch/callbacks", tag = "callbacks", security(("admin_key" = [])),
    params(
        ("tenant_id" = Option<TenantId>, Query, description = "Of this tenant; absent: of all"),
        ("status" = Option<String>, Query, description = "due, sending, acknowledged or dead; absent: any"),
        ("limit" = Option<i64>, Query, description = "1 to 200, default 50"),
        ("offset" = Option<i64>, Query, description = "Default 0"),
    ), responses(
    (status = 200, description = "A page of callbacks", body = Success<DeliveryPage>),
    OperatorRefusalsFor,
))]
pub async fn fetch_callbacks(
    State(app): State<SharedApp>,
    query: Query,
    _caller: AdminCaller,
) -> Result<Answer<DeliveryPage>, ApiError> {
    let mut reader = query.reader()?;
    let tenant = reader.optional_text("tenant_id").filter(|text| !text.is_empty());
    let state = reader.optional_parsed("status");
    let limit = reader.optional_integer("limit", 1..=200).unwrap_or(50);
    let offset = reader.optional_integer("offset", 0..=i64::MAX).unwrap_or(0);
    reader.finish()?;
    // What cannot be an id names nobody.
    let tenant_id = tenant.map(TenantId::parse).transpose().map_err(|_| ErrorCode::NotFound)?;
    let page = callback::page(&app.storage, &Filter { tenant_id, state }, limit, offset).await?;
    Ok(Answer::ok("Callbacks, newest first.", page))
}

/// Sends a callback again, whatever became of it.
#[utoipa::path(post, path = "/api/v1/redeliver/callback", tag = "callbacks", security(("admin_key" = [])),
    params(("delivery_id" = String, Query, description = "Which callback")), responses(
    (status = 200, description = "It is due now", body = Success<DeliveryView>),
    OperatorRefusalsFor,
))]
pub async fn redeliver_callback(
    State(app): State<SharedApp>,
    query: Query,
    caller: AdminCaller,
) -> Result<Answer<DeliveryView>, ApiError> {
    let mut reader = query.reader()?;
    let delivery = reader.id::<String>("delivery_id");
    reader.finish()?;
    no_fields(&caller)?;
    let delivery = delivery.ok_or(ErrorCode::NotFound)?.found()?;
    Ok(Answer::ok("The callback is due.", callback::redeliver(&app, &delivery).await?))
}
