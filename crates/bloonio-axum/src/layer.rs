//! The application's handle on the engine, and the layer that it hands out.

use std::sync::Arc;

use axum::Router;
use bloonio_sudo::{BuildError, Caller, RelayClient, RequestView, SudoEngine, SudoRequirement};
use tower::Layer;

use crate::routes;
use crate::service::SudoService;

/// Step-up approval for one application. Cheap to clone.
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

    /// A layer that demands an approval of every request that passes it: for one method, a route, or a whole router.
    pub fn sudo_required(&self, requirement: SudoRequirement) -> SudoLayer {
        self.engine.report(&requirement);
        SudoLayer { engine: self.engine.clone(), requirement: Arc::new(requirement) }
    }

    /// The routes that relay, devices and pages call (PROTOCOL 9.4). Merge them at the root of the application.
    ///
    /// # Panics
    /// As [`Router::merge`], later, if the application has a route of its own at one of these paths.
    pub fn routes<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
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

    /// Ends every waiting request and stream, and withdraws their prompts. Call it when the server begins to stop.
    pub async fn shutdown(&self) {
        self.engine.shutdown().await;
    }
}

/// Demands an approval of every request. Made by [`BloonioAuth::sudo_required`].
#[derive(Debug, Clone)]
pub struct SudoLayer {
    engine: SudoEngine,
    requirement: Arc<SudoRequirement>,
}

impl<S> Layer<S> for SudoLayer {
    type Service = SudoService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SudoService { inner, engine: self.engine.clone(), requirement: Arc::clone(&self.requirement) }
    }
}
