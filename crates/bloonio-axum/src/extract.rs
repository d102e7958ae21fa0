//! The proof, in the handler.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use bloonio_sudo::Grant;
use http::request::Parts;

use crate::convert;

/// What the layer says of a request that it let through.
#[derive(Debug, Clone)]
pub(crate) enum Passed {
    Granted(Grant),
    Exempt,
}

/// The [`Grant`] of the approval that this request runs on.
///
/// A handler that takes it cannot run unapproved: without the layer, or where a condition exempted the request, it is
/// answered with 500 `SUDO_MISCONFIGURED`. `Option<Sudo>` is `None` for an exempted request, and fails without the layer too.
#[derive(Debug, Clone)]
pub struct Sudo(pub Grant);

/// There is no approval to extract. Answered with 500 `SUDO_MISCONFIGURED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SudoMissing;

impl IntoResponse for SudoMissing {
    fn into_response(self) -> Response {
        convert::reply(bloonio_sudo::missing_layer("BloonioAuth::sudo_required"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Sudo {
    type Rejection = SudoMissing;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, SudoMissing> {
        match parts.extensions.get() {
            Some(Passed::Granted(grant)) => Ok(Self(grant.clone())),
            Some(Passed::Exempt) | None => Err(SudoMissing),
        }
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Sudo {
    type Rejection = SudoMissing;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, SudoMissing> {
        match parts.extensions.get() {
            Some(Passed::Granted(grant)) => Ok(Some(Self(grant.clone()))),
            Some(Passed::Exempt) => Ok(None),
            None => Err(SudoMissing),
        }
    }
}
