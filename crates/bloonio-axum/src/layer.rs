//! The application's handle on the engine, and the layer that it hands out.

use std::ops::Deref;

use axum::Router;
use bloonio_sudo::{
    BuildError, Caller, Demand, RelaySettings, RequestView, SudoEngine, SudoEngineBuilder, SudoRequirement,
};
use tower::Layer;

use crate::routes;
use crate::service::SudoService;

/// Step-up approval for one application. Cheap to clone. It is its engine, with axum's types around it: [`SudoEngine::relay`],
/// [`SudoEngine::doctor`] and [`SudoEngine::shutdown`] are called on it.
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

    /// A layer that demands an approval of every request that passes it: for one method, a route, or a whole router.
    pub fn sudo_required(&self, requirement: SudoRequirement) -> SudoLayer {
        SudoLayer { demand: self.engine.demand(requirement) }
    }

    /// A layer that demands of each request what the resolver says ([`sudo_resolver`](SudoEngineBuilder::sudo_resolver)).
    pub fn sudo_resolved(&self) -> SudoLayer {
        SudoLayer { demand: self.engine.demand_resolved() }
    }

    /// The routes that relay, devices and pages call (PROTOCOL 9.4). Merge them at the root of the application.
    ///
    /// # Panics
    /// As [`Router::merge`], later, if the application has a route of its own at one of these paths.
    pub fn routes<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        routes::mounted(&self.engine)
    }
}

/// Demands approvals. Made by [`BloonioAuth::sudo_required`] and [`BloonioAuth::sudo_resolved`].
#[derive(Debug, Clone)]
pub struct SudoLayer {
    demand: Demand,
}

impl<S> Layer<S> for SudoLayer {
    type Service = SudoService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SudoService { inner, demand: self.demand.clone() }
    }
}
