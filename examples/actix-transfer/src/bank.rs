//! The bank's handlers. Each takes [`Sudo`] or stands behind a middleware: no protected route can forget its approval.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL};
use actix_web::middleware::Next;
use actix_web::web::{Data, Json, ReqData};
use actix_web::{Error, HttpMessage, HttpResponse};
use bloonio_actix::{BloonioAuth, MaybeSudo, Sudo};
use example_bank::ledger::{self, Ledger, NewPassword, Transfer};
use example_bank::page::{self, Asset};
use example_bank::sign_in::Session;
use example_bank::{Problem, pairing};

fn refused(problem: &Problem) -> HttpResponse {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(status).insert_header((CACHE_CONTROL, "no-store")).json(&problem.body)
}

fn unreadable(error: &Error) -> HttpResponse {
    refused(&Problem::invalid("", &error.to_string()))
}

/// A file of the page.
pub fn asset(asset: &Asset) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    for header in page::HEADERS {
        response.insert_header(header);
    }
    response.content_type(asset.content_type).body(asset.body)
}

/// Moves money.
pub async fn transfer(ledger: Data<Ledger>, Sudo(grant): Sudo, order: Result<Json<Transfer>, Error>) -> HttpResponse {
    match order {
        Ok(Json(order)) => HttpResponse::Ok().json(ledger.execute(&grant, order)),
        Err(error) => unreadable(&error),
    }
}

/// Changes the password.
pub async fn change_password(Sudo(grant): Sudo, wanted: Result<Json<NewPassword>, Error>) -> HttpResponse {
    match wanted {
        Ok(Json(wanted)) => match ledger::change_password(&grant, &wanted) {
            Ok(changed) => HttpResponse::Ok().json(changed),
            Err(problem) => refused(&problem),
        },
        Err(error) => unreadable(&error),
    }
}

/// What has been executed.
pub async fn ledger(ledger: Data<Ledger>) -> HttpResponse {
    HttpResponse::Ok().json(ledger.listed())
}

/// A fresh pairing code. The approval is none for who has never paired; without the middleware there is not even that, and
/// the route fails.
pub async fn pair(_approval: MaybeSudo, auth: Data<BloonioAuth>, session: ReqData<Session>) -> HttpResponse {
    match pairing::offer(auth.relay(), &session).await {
        // Whoever has the code can pair: no cache may keep it.
        Ok(offer) => HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(offer),
        Err(problem) => refused(&problem),
    }
}

/// Turns away whoever is not signed in, and hands the session to the handlers.
pub async fn sign_in<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let named = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(session) = named.and_then(Session::from_authorization) else {
        return Ok(request.into_response(refused(&Problem::sign_in_first())).map_into_right_body());
    };
    request.extensions_mut().insert(session);
    next.call(request).await.map(ServiceResponse::map_into_left_body)
}
