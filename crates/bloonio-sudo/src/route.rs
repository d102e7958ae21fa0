//! The routes that an adapter mounts (PROTOCOL 9.4). Adapters register paths; everything is decided here.

mod callback;
pub(crate) mod pairing;
mod script;
mod status;
pub(crate) mod submit;
pub(crate) mod waiters;

use bloonio_wire::code::ErrorCode;
use bloonio_wire::envelope::{Failure, FieldProblem};

use crate::engine::SudoEngine;
use crate::reply::{Answer, Reply};
use crate::request::{BodyError, RequestView};

/// The largest body of a mounted route, in bytes.
pub const MOUNTED_BODY_LIMIT: usize = 256 * 1024;

/// A route that an adapter mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MountedRoute {
    /// The configured callback path.
    Callback,
    /// `/relay-callbacks/{flow}`, and the same under `/api/v1`.
    FlowCallback,
    /// A device's answer.
    SubmitResponse,
    /// Where an instruction stands.
    InstructionStatus,
    /// `bloonio.js`, for web pages.
    Script,
}

impl MountedRoute {
    /// The methods that it has, as `Allow` lists them.
    const fn methods(self) -> &'static str {
        match self {
            Self::InstructionStatus => "GET",
            Self::Script => "GET, HEAD",
            _ => "POST",
        }
    }
}

impl SudoEngine {
    /// Every route and its path, with parameters in braces. They belong at the root of the application.
    pub fn mounted_routes(&self) -> Vec<(MountedRoute, String)> {
        vec![
            (MountedRoute::Callback, self.settings().callback_path.clone()),
            (MountedRoute::FlowCallback, "/relay-callbacks/{flow}".to_owned()),
            (MountedRoute::FlowCallback, "/api/v1/relay-callbacks/{flow}".to_owned()),
            (MountedRoute::SubmitResponse, "/_bloonio/submit-response".to_owned()),
            (MountedRoute::InstructionStatus, "/_bloonio/instructions/{id}".to_owned()),
            (MountedRoute::Script, "/_bloonio/bloonio.js".to_owned()),
        ]
    }

    /// Serves a request of a mounted route; `view` holds the whole body.
    pub async fn serve(&self, route: MountedRoute, view: &RequestView<'_>) -> Answer {
        if !route.methods().split(", ").any(|method| method == view.method()) {
            let mut reply = Reply::error(ErrorCode::MethodNotAllowed);
            reply.headers.push(("allow", route.methods().to_owned()));
            return reply.into();
        }
        match route {
            MountedRoute::Callback => self.take_callback(view, None).await.into(),
            MountedRoute::FlowCallback => self.take_callback(view, Some(last_segment(view))).await.into(),
            MountedRoute::SubmitResponse => self.take_response(view).await.into(),
            MountedRoute::InstructionStatus => self.tell_status(view, last_segment(view)).await,
            MountedRoute::Script => script::script(view).into(),
        }
    }

    /// The answer of a mounted route to a request that has no body to read.
    pub fn mounted_body_refused(&self, why: BodyError) -> Answer {
        Reply::error(match why {
            BodyError::TooLarge => ErrorCode::BodyTooLarge,
            BodyError::Broken => ErrorCode::MalformedRequest,
        })
        .into()
    }
}

/// The parameter of a mounted route: neither flows nor ids hold anything that would need decoding.
fn last_segment<'v>(view: &RequestView<'v>) -> &'v str {
    view.path().rsplit('/').next().unwrap_or_default()
}

fn invalid(details: Vec<FieldProblem>) -> Reply {
    Reply::failure(&Failure::invalid(details))
}
