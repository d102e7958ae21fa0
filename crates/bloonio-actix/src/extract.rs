//! The proof, in the handler.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, ResponseError};
use bloonio_sudo::Grant;

use crate::convert;

/// What the middleware says of a request that it let through.
#[derive(Debug, Clone)]
pub(crate) struct Passed(pub(crate) Option<Grant>);

/// The [`Grant`] of the approval that this request runs on.
///
/// A handler that takes it cannot run unapproved: without the middleware, or where the request was exempted, it is answered
/// with 500 `SUDO_MISCONFIGURED`. Where requests may be exempted, take [`MaybeSudo`].
#[derive(Debug, Clone)]
pub struct Sudo(pub Grant);

/// The [`Grant`], or `None` for a request that a condition or the resolver exempted. Fails without the middleware, as [`Sudo`] does.
///
/// Do not take `Option<Sudo>` instead: actix makes `None` of every extractor that fails, so of a missing middleware too.
#[derive(Debug, Clone)]
pub struct MaybeSudo(pub Option<Grant>);

/// There is no approval to extract. Answered with 500 `SUDO_MISCONFIGURED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no approval to extract")]
pub struct SudoMissing;

impl ResponseError for SudoMissing {
    fn status_code(&self) -> StatusCode {
        StatusCode::INTERNAL_SERVER_ERROR
    }

    fn error_response(&self) -> HttpResponse {
        convert::reply(bloonio_sudo::missing_layer("BloonioAuth::sudo_required"))
    }
}

impl FromRequest for MaybeSudo {
    type Error = SudoMissing;
    type Future = Ready<Result<Self, SudoMissing>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(request.extensions().get().map(|Passed(grant)| Self(grant.clone())).ok_or(SudoMissing))
    }
}

impl FromRequest for Sudo {
    type Error = SudoMissing;
    type Future = Ready<Result<Self, SudoMissing>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let found = MaybeSudo::from_request(request, payload).into_inner();
        ready(found.and_then(|MaybeSudo(grant)| grant.map(Self).ok_or(SudoMissing)))
    }
}
