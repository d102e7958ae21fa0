//! The application's handle on the engine, and what it hands out.

use std::sync::Arc;

use actix_web::dev::HttpServiceFactory;
use bloonio_sudo::{BuildError, Caller, RelayClient, RequestView, SudoEngine, SudoRequirement};

use crate::middleware::SudoMiddleware;
use crate::routes;

/// Step-up approval for one application. Make it once, before `HttpServer::new`, and clone it into every worker: all
/// clones are one engine.
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

impl BloonioAuth {
    /// Reads the settings from the environment (`BLOONIO_RELAY_…`). `identify` says who asks: the user, and what names his
    /// session.
    ///
    /// # Errors
    /// [`BuildError`] naming the variable that is missing or wrong.
    pub fn from_env(
        identify: impl Fn(&RequestView<'_>) -> Option<Caller> + Send + Sync + 'static,
    ) -> Result<Self, BuildError> {
        SudoEngine::from_env(identify).map(Self::from)
    }

    /// A middleware that demands an approval of every request that passes it: for a resource, a scope, or the whole app.
    pub fn sudo_required(&self, requirement: SudoRequirement) -> SudoMiddleware {
        self.engine.report(&requirement);
        SudoMiddleware { engine: self.engine.clone(), requirement: Arc::new(requirement) }
    }

    /// The routes that relay, devices and pages call (PROTOCOL 9.4). Give them to `App::service` at the root of the
    /// application, before any scope that takes every path; inside `App::configure`, to `ServiceConfig::service`.
    pub fn routes(&self) -> impl HttpServiceFactory + 'static {
        routes::mounted(&self.engine)
    }

    /// The relay, for what an application asks of it itself, such as pairing a phone.
    pub fn relay(&self) -> &dyn RelayClient {
        self.engine.relay()
    }

    /// The engine below.
    pub fn engine(&self) -> &SudoEngine {
        &self.engine
    }

    /// Ends every waiting request and stream, and withdraws their prompts. Call it when the server begins to stop, before
    /// `ServerHandle::stop`: what remains to be told to the relay is told by the workers.
    pub async fn shutdown(&self) {
        self.engine.shutdown().await;
    }
}
