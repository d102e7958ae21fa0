//! The proof, in the handler.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use bloonio_sudo::Grant;
use http::request::Parts;

use crate::convert;

/// What the layer says of a request that it let through.
#[derive(Debug, Clone)]
pub(crate) struct Passed(pub(crate) Option<Grant>);

/// The [`Grant`] of the approval that this request runs on.
///
/// A handler that takes it cannot run unapproved: without the layer, or where the request was exempted, it is answered
/// with 500 `SUDO_MISCONFIGURED`. Where requests may be exempted, take `Option<Sudo>` or [`MaybeSudo`].
#[derive(Debug, Clone)]
pub struct Sudo(pub Grant);

/// The [`Grant`], or `None` for an exempted request; fails without the layer, as [`Sudo`] does. In axum the same as
/// `Option<Sudo>`; handlers that are to read alike in both frameworks take this.
#[derive(Debug, Clone)]
pub struct MaybeSudo(pub Option<Grant>);

/// There is no approval to extract. Answered with 500 `SUDO_MISCONFIGURED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SudoMissing;

impl IntoResponse for SudoMissing {
    fn into_response(self) -> Response {
        convert::reply(bloonio_sudo::missing_layer("BloonioAuth::sudo_required"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for MaybeSudo {
    type Rejection = SudoMissing;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, SudoMissing> {
        let passed: Option<&Passed> = parts.extensions.get();
        passed.map(|Passed(grant)| Self(grant.clone())).ok_or(SudoMissing)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Sudo {
    type Rejection = SudoMissing;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, SudoMissing> {
        MaybeSudo::from_request_parts(parts, state).await?.0.map(Self).ok_or(SudoMissing)
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Sudo {
    type Rejection = SudoMissing;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, SudoMissing> {
        Ok(MaybeSudo::from_request_parts(parts, state).await?.0.map(Self))
    }
}
