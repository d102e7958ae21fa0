//! What an application configures (PROTOCOL 10).

mod environment;

use std::time::Duration;

use bloonio_wire::id::TenantId;
use bloonio_wire::secret::Secret;
use url::Url;

pub use environment::ConfigError;
pub(crate) use environment::is_loopback;
#[cfg(feature = "redis")]
pub(crate) use environment::is_redis_address;

/// How long a blocking request waits where nothing else was said.
const LONGEST_UNASKED_BLOCK: Duration = Duration::from_secs(60);

/// Where instructions are kept.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StateBackend {
    /// In this process: one process only, and nothing survives it.
    Memory,
    /// In Redis.
    Redis {
        /// Its address, with user and password (see `RedisStore::connect`).
        url: Secret,
        /// Whether a server is accepted that may drop records when its memory runs out.
        insecure_allow_eviction: bool,
        /// How many replicas must have a consumption before a request runs on it.
        required_replicas: u32,
    },
}

impl StateBackend {
    /// Redis at `url`, with everything else as it should be.
    pub fn redis(url: impl Into<String>) -> Self {
        Self::Redis { url: Secret::new(url), insecure_allow_eviction: false, required_replicas: 0 }
    }
}

/// How a decision reaches this backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutcomeDelivery {
    /// The relay calls back.
    #[default]
    Callback,
    /// This backend asks the relay, for those that no callback can reach.
    Poll,
    /// Both; whichever is first counts.
    Both,
}

impl OutcomeDelivery {
    /// Whether the relay is asked.
    pub const fn polls(self) -> bool {
        matches!(self, Self::Poll | Self::Both)
    }
}

/// Everything that an application configures. Made by [`RelaySettings::from_env`], or by [`RelaySettings::new`] and `with_*`.
#[derive(Debug, Clone)]
pub struct RelaySettings {
    pub(crate) base_url: Url,
    pub(crate) tenant_id: TenantId,
    pub(crate) tenant_secret: Secret,
    pub(crate) state_backend: StateBackend,
    pub(crate) callback_path: String,
    pub(crate) public_callback_base_url: Option<Url>,
    pub(crate) outcome_delivery: OutcomeDelivery,
    pub(crate) instruction_ttl: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) block_timeout: Option<Duration>,
    pub(crate) replicas: usize,
    pub(crate) max_body_bytes: usize,
    pub(crate) max_pending_per_user: usize,
    pub(crate) max_pending_per_initiator: usize,
    pub(crate) execution_window: Duration,
}

impl RelaySettings {
    /// The defaults, for this relay and tenant, with the memory store.
    ///
    /// # Errors
    /// [`ConfigError::NotAnAddress`] for a `base_url` that is neither https nor loopback, [`ConfigError::InvalidSecret`] for
    /// a secret of less than 32 characters.
    pub fn new(base_url: &str, tenant_id: TenantId, tenant_secret: Secret) -> Result<Self, ConfigError> {
        environment::check_secret(&tenant_secret)?;
        Ok(Self {
            base_url: environment::relay_address(base_url)?,
            tenant_id,
            tenant_secret,
            state_backend: StateBackend::Memory,
            callback_path: "/api/sudo-callback".to_owned(),
            public_callback_base_url: None,
            outcome_delivery: OutcomeDelivery::default(),
            instruction_ttl: Duration::from_secs(180),
            request_timeout: Duration::from_secs(10),
            block_timeout: None,
            replicas: 1,
            max_body_bytes: 1_048_576,
            max_pending_per_user: 3,
            max_pending_per_initiator: 2,
            execution_window: Duration::from_secs(600),
        })
    }

    /// Reads the process's environment: `BLOONIO_RELAY_` and the names of PROTOCOL 10.
    ///
    /// # Errors
    /// [`ConfigError`] naming the variable, and its value where that is no secret.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Reads the same names from wherever `lookup` finds them.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        environment::read(&lookup)
    }

    /// Where the relay can reach this backend; `callback_url` is this and the callback path.
    ///
    /// # Errors
    /// [`ConfigError::NotAnAddress`].
    pub fn with_public_callback_base_url(mut self, url: &str) -> Result<Self, ConfigError> {
        self.public_callback_base_url = Some(environment::callback_base(url)?);
        Ok(self)
    }

    /// Where instructions are kept.
    #[must_use]
    pub fn with_state_backend(mut self, backend: StateBackend) -> Self {
        self.state_backend = backend;
        self
    }

    /// How decisions come back.
    #[must_use]
    pub fn with_outcome_delivery(mut self, delivery: OutcomeDelivery) -> Self {
        self.outcome_delivery = delivery;
        self
    }

    /// How long a blocking request waits: 60 s unless prompts live shorter.
    #[must_use]
    pub fn with_block_timeout(mut self, timeout: Duration) -> Self {
        self.block_timeout = Some(timeout);
        self
    }

    /// How many processes serve this application: more than one cannot share the memory store.
    #[must_use]
    pub fn with_replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// How large the body of a protected request may be, in bytes.
    #[must_use]
    pub fn with_max_body_bytes(mut self, most: usize) -> Self {
        self.max_body_bytes = most;
        self
    }

    /// The tenant.
    pub fn tenant_id(&self) -> &TenantId {
        &self.tenant_id
    }

    /// The relay's address; its API stands below, under `/api/v1`.
    pub fn base_url(&self) -> &Url {
        &self.base_url
    }

    /// How long one call of the relay may take, from its beginning to its end.
    pub fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// The store that was asked for.
    pub fn state_backend(&self) -> &StateBackend {
        &self.state_backend
    }

    /// How large the body of a protected request may be, in bytes.
    pub fn max_body_bytes(&self) -> usize {
        self.max_body_bytes
    }

    /// How long a blocking request waits.
    pub fn block_timeout(&self) -> Duration {
        self.block_timeout.unwrap_or_else(|| LONGEST_UNASKED_BLOCK.min(self.instruction_ttl))
    }

    pub(crate) fn callback_url(&self) -> Option<String> {
        let base = self.public_callback_base_url.as_ref()?;
        Some(format!("{}{}", base.as_str().trim_end_matches('/'), self.callback_path))
    }

    /// What the relay is told of this backend's address. RFC 2606 reserves `.invalid`, so that "none" cannot be mistaken
    /// for somebody's host.
    pub(crate) fn backend_url(&self) -> String {
        match &self.public_callback_base_url {
            Some(base) => base.as_str().trim_end_matches('/').to_owned(),
            None => "https://backend.invalid".to_owned(),
        }
    }
}
