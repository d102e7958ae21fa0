//! What a middleware demands of the requests that pass it: the same of each, or what the resolver says.

use std::sync::Arc;

use bloonio_wire::code::ErrorCode;

use super::guard::{is_disguised, misconfigured};
use super::{Guarded, SudoEngine};
use crate::decision::Refusal;
use crate::policy::{RequirementError, SudoRequirement};
use crate::request::RequestView;

/// What a middleware demands, and the engine that judges it. Made by [`SudoEngine::demand`] and
/// [`SudoEngine::demand_resolved`], for adapters.
#[derive(Debug, Clone)]
pub struct Demand {
    engine: SudoEngine,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Always(Arc<SudoRequirement>),
    /// Its every request is refused; looked at once, when the route is made.
    Misconfigured(Arc<SudoRequirement>, RequirementError),
    Resolved,
}

impl SudoEngine {
    /// Demands the same of every request. Says in the log what will refuse each of them, if anything will.
    pub fn demand(&self, requirement: SudoRequirement) -> Demand {
        let (checked, requirement) = (requirement.check(), Arc::new(requirement));
        self.inner.demands.add(Some(Arc::clone(&requirement)));
        let kind = match checked {
            Ok(()) => Kind::Always(requirement),
            Err(error) => {
                tracing::error!(action = requirement.action(), %error, "this route will answer 500: it is misconfigured");
                Kind::Misconfigured(requirement, error)
            }
        };
        Demand { engine: self.clone(), kind }
    }

    /// Demands of each request what the resolver says of it.
    pub fn demand_resolved(&self) -> Demand {
        self.inner.demands.add(None);
        Demand { engine: self.clone(), kind: Kind::Resolved }
    }

    async fn resolve(&self, view: &RequestView<'_>) -> Result<Option<SudoRequirement>, Refusal> {
        let resolved = match &self.inner.resolver {
            Some(resolver) => resolver.resolve(view).await,
            None => Err("no resolver was given".into()),
        };
        resolved.map_err(|error| {
            tracing::error!(%error, "the resolver failed, so the request is refused");
            Refusal::new(ErrorCode::SudoMisconfigured)
        })
    }
}

impl Demand {
    /// The engine that judges.
    pub fn engine(&self) -> &SudoEngine {
        &self.engine
    }

    /// Finds out whether a request is protected, and then who makes it. The body is not needed yet: of an unprotected
    /// request it is never read, and nobody who is not signed in can make the application read one.
    ///
    /// # Errors
    /// The [`Refusal`] to answer with: `SUDO_USER_REQUIRED` for nobody, `SUDO_MISCONFIGURED` where the application failed.
    pub async fn route(&self, view: &RequestView<'_>) -> Result<Option<Guarded<'_>>, Refusal> {
        let requirement = match &self.kind {
            Kind::Always(requirement) => Arc::clone(requirement),
            Kind::Misconfigured(requirement, error) => return Err(misconfigured(requirement, error)),
            // The resolver would judge it as what it says it is not, and the router find something else.
            Kind::Resolved if is_disguised(view.path()) => return Err(Refusal::malformed()),
            Kind::Resolved => match self.engine.resolve(view).await? {
                Some(requirement) => {
                    requirement.check().map_err(|error| misconfigured(&requirement, &error))?;
                    Arc::new(requirement)
                }
                None => return Ok(None),
            },
        };
        self.engine.guard(requirement, view).await.map(Some)
    }
}
