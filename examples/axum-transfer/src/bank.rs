//! The bank's handlers. Each takes [`Sudo`] or stands behind a layer: no protected route can forget its approval.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bloonio_axum::{BloonioAuth, MaybeSudo, Sudo};
use example_bank::ledger::{Entry, Ledger, NewPassword, Transfer};
use example_bank::page::{self, Asset};
use example_bank::sign_in::Session;
use example_bank::{Problem, ledger, pairing};
use serde_json::Value;

/// A [`Problem`] as axum answers it.
pub struct Refused(Problem);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<JsonRejection> for Refused {
    fn from(rejection: JsonRejection) -> Self {
        Self(Problem::invalid("", &rejection.body_text()))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(CACHE_CONTROL, "no-store")], Json(self.0.body)).into_response()
    }
}

/// A file of the page.
pub fn asset(asset: &Asset) -> impl IntoResponse + use<> {
    (page::HEADERS, [(CONTENT_TYPE, asset.content_type)], asset.body)
}

/// Moves money.
pub async fn transfer(
    State(ledger): State<Arc<Ledger>>,
    Sudo(grant): Sudo,
    order: Result<Json<Transfer>, JsonRejection>,
) -> Result<Json<Entry>, Refused> {
    let Json(order) = order?;
    Ok(Json(ledger.execute(&grant, order)))
}

/// Changes the password.
pub async fn change_password(
    Sudo(grant): Sudo,
    wanted: Result<Json<NewPassword>, JsonRejection>,
) -> Result<Json<Value>, Refused> {
    let Json(wanted) = wanted?;
    Ok(Json(ledger::change_password(&grant, &wanted)?))
}

/// What has been executed.
pub async fn ledger(State(ledger): State<Arc<Ledger>>) -> Json<Value> {
    Json(ledger.listed())
}

/// A fresh pairing code. The approval is none for who has never paired; without the layer there is not even that, and the
/// route fails.
pub async fn pair(
    _approval: MaybeSudo,
    State(auth): State<BloonioAuth>,
    Extension(session): Extension<Session>,
) -> Result<impl IntoResponse, Refused> {
    let offer = pairing::offer(auth.relay(), &session).await?;
    // Whoever has the code can pair: no cache may keep it.
    Ok(([(CACHE_CONTROL, "no-store")], Json(offer)))
}

/// Turns away whoever is not signed in, and hands the session to the handlers.
pub async fn sign_in(mut request: Request, next: Next) -> Response {
    let named = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(session) = named.and_then(Session::from_authorization) else {
        return Refused(Problem::sign_in_first()).into_response();
    };
    request.extensions_mut().insert(session);
    next.run(request).await
}
