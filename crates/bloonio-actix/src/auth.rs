//! The application's handle on the engine, and what it hands out.

use std::ops::Deref;

use actix_web::dev::HttpServiceFactory;
use bloonio_sudo::{BuildError, Caller, RelaySettings, RequestView, SudoEngine, SudoEngineBuilder, SudoRequirement};

use crate::middleware::SudoMiddleware;
use crate::routes;

/// Step-up approval for one application. Make it once, before `HttpServer::new`, and clone it into every worker: all
/// clones are one engine. It is that engine, with actix's types around it: [`SudoEngine::relay`], [`SudoEngine::doctor`] and
/// [`SudoEngine::shutdown`] are called on it.
#[derive(Debug, Clone)]
pub struct BloonioAuth {
    engine: SudoEngine,
}

impl From<SudoEngine> for BloonioAuth {
    /// Over an engine whose parts you chose yourself; see [`SudoEngine::builder`].
    fn from(engine: SudoEngine) -> Self {
        Self { engine }
    }
}

impl Deref for BloonioAuth {
    type Target = SudoEngine;

    fn deref(&self) -> &SudoEngine {
        &self.engine
    }
}

impl BloonioAuth {
    /// Begins with these settings; what comes of it converts [into](From) this type.
    pub fn builder(settings: RelaySettings) -> SudoEngineBuilder {
        SudoEngine::builder(settings)
    }

    /// Reads the settings from the environment (`BLOONIO_RELAY_…`). `identify` says who asks: the user, and his session.
    ///
    /// # Errors
    /// [`BuildError`] naming the variable that is missing or wrong.
    pub async fn from_env(
        identify: impl Fn(&RequestView<'_>) -> Option<Caller> + Send + Sync + 'static,
    ) -> Result<Self, BuildError> {
        SudoEngine::from_env(identify).await.map(Self::from)
    }

    /// A middleware that demands an approval of every request that passes it: for a resource, a scope, or the whole app.
    pub fn sudo_required(&self, requirement: SudoRequirement) -> SudoMiddleware {
        SudoMiddleware(self.engine.demand(requirement))
    }

    /// A middleware that demands of each request what the resolver says ([`sudo_resolver`](SudoEngineBuilder::sudo_resolver)).
    pub fn sudo_resolved(&self) -> SudoMiddleware {
        SudoMiddleware(self.engine.demand_resolved())
    }

    /// The routes that relay, devices and pages call (PROTOCOL 9.4). Give them to `App::service` at the root of the
    /// application, before any scope that takes every path; inside `App::configure`, to `ServiceConfig::service`.
    pub fn routes(&self) -> impl HttpServiceFactory + 'static {
        routes::mounted(&self.engine)
    }
}
