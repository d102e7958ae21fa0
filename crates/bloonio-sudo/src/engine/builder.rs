//! Puts an engine together; every part can be replaced.

use std::sync::Arc;

use bloonio_wire::clock::{Clock, SystemClock};
use bloonio_wire::random::{Random, SystemRandom};
use bloonio_wire::secret::Secret;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Inner, PairingHook, SudoEngine};
use crate::client::RelayClient;
use crate::device_keys::DeviceKeys;
use crate::doctor::Demands;
use crate::error::BuildError;
use crate::identity::{Caller, Closure, Identify, IdentifyError};
use crate::policy::is_header_name;
use crate::request::RequestView;
use crate::resolver::{Resolve, Resolver};
use crate::route::pairing::PairingEvent;
use crate::route::submit::DeviceCheck;
use crate::route::waiters::Waiters;
use crate::settings::{RelaySettings, StateBackend};
use crate::store::InstructionStore;
#[cfg(feature = "redis")]
use crate::store::redis::{RedisOptions, RedisStore};

/// An engine in the making. Begun by [`SudoEngine::builder`].
pub struct SudoEngineBuilder {
    settings: RelaySettings,
    identify: Option<Arc<dyn Identify>>,
    store: Option<Arc<dyn InstructionStore>>,
    relay: Option<Arc<dyn RelayClient>>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    bound_headers: Vec<String>,
    require_challenge_digest: bool,
    on_pairing: Option<PairingHook>,
    resolver: Option<Resolver>,
    device_keys: Option<Arc<dyn DeviceKeys>>,
    require_device_signature: bool,
    device_check: Option<Arc<dyn DeviceCheck>>,
}

impl std::fmt::Debug for SudoEngineBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SudoEngineBuilder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl SudoEngineBuilder {
    pub(super) fn new(settings: RelaySettings) -> Self {
        Self {
            settings,
            identify: None,
            store: None,
            relay: None,
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            bound_headers: Vec::new(),
            require_challenge_digest: false,
            on_pairing: None,
            resolver: None,
            device_keys: None,
            require_device_signature: false,
            device_check: None,
        }
    }

    /// Says who asks; `None` for nobody. Nothing else in the suite guesses that.
    #[must_use]
    pub fn with_identity(self, identify: impl Fn(&RequestView<'_>) -> Option<Caller> + Send + Sync + 'static) -> Self {
        self.with_identify(Closure(move |view: &RequestView<'_>| Ok(identify(view))))
    }

    /// As [`with_identity`](Self::with_identity), for closures that can fail: 500 `SUDO_MISCONFIGURED` then.
    #[must_use]
    pub fn with_try_identity(
        self,
        identify: impl Fn(&RequestView<'_>) -> Result<Option<Caller>, IdentifyError> + Send + Sync + 'static,
    ) -> Self {
        self.with_identify(Closure(identify))
    }

    /// As [`with_identity`](Self::with_identity), where the answer must be awaited.
    #[must_use]
    pub fn with_identify(mut self, identify: impl Identify + 'static) -> Self {
        self.identify = Some(Arc::new(identify));
        self
    }

    /// Another store than the settings name.
    #[must_use]
    pub fn with_store(mut self, store: Arc<dyn InstructionStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Another relay client than the one over HTTP.
    #[must_use]
    pub fn with_relay(mut self, relay: Arc<dyn RelayClient>) -> Self {
        self.relay = Some(relay);
        self
    }

    /// Another clock than the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Another source of randomness than the system's.
    #[must_use]
    pub fn with_random(mut self, random: Arc<dyn Random>) -> Self {
        self.random = random;
        self
    }

    /// A header that every approval of this application is bound to (see
    /// [`SudoRequirement::with_bound_header`](crate::SudoRequirement::with_bound_header)).
    #[must_use]
    pub fn with_bound_header(mut self, name: &str) -> Self {
        self.bound_headers.push(name.to_ascii_lowercase());
        self
    }

    /// Refuses callbacks that do not echo the challenge digest. Our relay echoes it, the hosted one does not.
    #[must_use]
    pub fn with_required_challenge_digest(mut self) -> Self {
        self.require_challenge_digest = true;
        self
    }

    /// Says at run time what a request needs, for the middleware that ask (`sudo_resolved`): `None` lets it through, an error
    /// refuses it with 500 `SUDO_MISCONFIGURED`. The body has not been read; of a request that is let through it never is.
    /// Compare routes with [`RequestView::decoded_path`]. A path that encodes what needs no encoding is refused with 400
    /// before the resolver is asked: the router might see something else. Put what changes a request's method outside this
    /// layer.
    ///
    /// ```
    /// # use bloonio_sudo::{RelaySettings, RequestView, SudoEngine, SudoEngineBuilder, SudoInfo, SudoRequirement, resolver::Resolved};
    /// async fn is_sensitive(path: &str) -> Result<bool, std::io::Error> {
    ///     Ok(path.starts_with("/admin/")) // looked up somewhere
    /// }
    /// fn with_resolver(builder: SudoEngineBuilder) -> SudoEngineBuilder {
    ///     builder.sudo_resolver(async |view: &RequestView<'_>| -> Resolved {
    ///         let sensitive = is_sensitive(&view.decoded_path().ok_or("no path")?).await?;
    ///         Ok(sensitive.then(|| SudoInfo::new("administer")))
    ///     })
    /// }
    /// # let _ = with_resolver;
    /// ```
    #[must_use]
    pub fn sudo_resolver<F: for<'v> Resolve<'v> + 'static>(mut self, resolver: F) -> Self {
        self.resolver = Some(Resolver::new(resolver));
        self
    }

    /// Another place for the keys of users' devices than beside the instructions.
    #[must_use]
    pub fn with_device_keys(mut self, keys: Arc<dyn DeviceKeys>) -> Self {
        self.device_keys = Some(keys);
        self
    }

    /// Refuses every decision that is not signed by a device whose key was pinned at pairing (SECURITY, "Devices"): a relay
    /// that was taken over can then approve nothing. Users who paired before, or with a phone that signs nothing, must pair
    /// anew. The hosted relay passes no signatures on.
    #[must_use]
    pub fn require_device_signature(mut self) -> Self {
        self.require_device_signature = true;
        self
    }

    /// Lets devices answer that have neither the prompt's response token nor a pinned key, where the application knows them
    /// (PROTOCOL 9.4).
    #[must_use]
    pub fn with_device_check(mut self, check: impl DeviceCheck + 'static) -> Self {
        self.device_check = Some(Arc::new(check));
        self
    }

    /// Told when a user has paired his first phone, or another one.
    #[must_use]
    pub fn on_pairing_event(mut self, told: impl Fn(PairingEvent) + Send + Sync + 'static) -> Self {
        self.on_pairing = Some(Box::new(told));
        self
    }

    /// The engine, after its store was connected: the one that the settings name, unless another was given. Redis then keeps
    /// the keys of devices too.
    ///
    /// # Errors
    /// [`BuildError`]; `BuildError::Redis` where the store cannot be reached, or must not be trusted.
    pub async fn connect(self) -> Result<SudoEngine, BuildError> {
        match self.settings.state_backend.clone() {
            StateBackend::Redis { url, insecure_allow_eviction, required_replicas } if self.store.is_none() => {
                self.over_redis(&url, insecure_allow_eviction, required_replicas).await?.build()
            }
            _ => self.build(),
        }
    }

    #[cfg(feature = "redis")]
    async fn over_redis(mut self, url: &Secret, allow_eviction: bool, replicas: u32) -> Result<Self, BuildError> {
        let options = RedisOptions::default().with_required_replicas(replicas);
        let options = if allow_eviction { options.insecure_allow_eviction() } else { options };
        let store = Arc::new(RedisStore::connect(url, options).await?);
        self.device_keys.get_or_insert_with(|| Arc::clone(&store) as _);
        self.store = Some(store);
        Ok(self)
    }

    #[cfg(not(feature = "redis"))]
    async fn over_redis(self, _url: &Secret, _allow_eviction: bool, _replicas: u32) -> Result<Self, BuildError> {
        Err(BuildError::NoStore)
    }

    /// The engine, with the store that was given, or else the memory store.
    ///
    /// # Errors
    /// [`BuildError`]; [`BuildError::NotConnected`] where the settings name Redis and no store was given.
    pub fn build(self) -> Result<SudoEngine, BuildError> {
        let identify = self.identify.ok_or(BuildError::NoIdentity)?;
        if let Some(name) = self.bound_headers.iter().find(|name| !is_header_name(name)) {
            return Err(BuildError::BoundHeader(name.clone()));
        }
        let (own_store, own_device_keys) = (self.store.is_some(), self.device_keys.is_some());
        let device_keys = match self.device_keys {
            Some(keys) => keys,
            None => default_device_keys()?,
        };
        let store = match self.store {
            Some(store) => store,
            None if !matches!(self.settings.state_backend, StateBackend::Memory) => {
                return Err(BuildError::NotConnected);
            }
            None => default_store(&self.clock)?,
        };
        let relay = match self.relay {
            Some(relay) => relay,
            None => default_relay(&self.settings, &self.clock)?,
        };
        let inner = Inner {
            settings: self.settings,
            store,
            relay,
            identify,
            clock: self.clock,
            random: self.random,
            bound_headers: self.bound_headers,
            require_challenge_digest: self.require_challenge_digest,
            on_pairing: self.on_pairing,
            resolver: self.resolver,
            device_keys,
            require_device_signature: self.require_device_signature,
            device_check: self.device_check,
            own_store,
            own_device_keys,
            demands: Demands::default(),
            waiters: Waiters::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        };
        Ok(SudoEngine { inner: Arc::new(inner) })
    }
}

#[cfg(feature = "memory")]
fn default_store(clock: &Arc<dyn Clock>) -> Result<Arc<dyn InstructionStore>, BuildError> {
    Ok(Arc::new(crate::store::memory::MemoryStore::new(Arc::clone(clock))))
}

#[cfg(not(feature = "memory"))]
fn default_store(_clock: &Arc<dyn Clock>) -> Result<Arc<dyn InstructionStore>, BuildError> {
    Err(BuildError::NoStore)
}

#[cfg(feature = "memory")]
fn default_device_keys() -> Result<Arc<dyn DeviceKeys>, BuildError> {
    Ok(Arc::new(crate::device_keys::MemoryDeviceKeys::default()))
}

#[cfg(not(feature = "memory"))]
fn default_device_keys() -> Result<Arc<dyn DeviceKeys>, BuildError> {
    Err(BuildError::NoStore)
}

#[cfg(feature = "http-client")]
fn default_relay(settings: &RelaySettings, clock: &Arc<dyn Clock>) -> Result<Arc<dyn RelayClient>, BuildError> {
    Ok(Arc::new(crate::client::http::HttpRelayClient::new(settings, Arc::clone(clock))?))
}

#[cfg(not(feature = "http-client"))]
fn default_relay(_settings: &RelaySettings, _clock: &Arc<dyn Clock>) -> Result<Arc<dyn RelayClient>, BuildError> {
    Err(BuildError::NoRelay)
}
