//! Connects to Redis, and makes sure at the start of what later would only show in an accident.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bloonio_wire::clock::Clock;
use bloonio_wire::random::{Random, RandomError, SystemRandom, hex_token};
use bloonio_wire::secret::Secret;
use fred::clients::{Client, SubscriberClient};
use fred::error::Error;
use fred::interfaces::{ClientLike, PubsubInterface};
use fred::types::Builder;
use fred::types::config::{
    Config, ConnectionConfig, PerformanceConfig, ReconnectError, ReconnectPolicy, UnresponsiveConfig,
};

use super::script::Scripts;
use super::wakeup;
use super::{RedisStore, attention, eviction};
use crate::settings::is_redis_address;

/// No command takes longer: Redis is away then, and its request refused.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection that is silent for so long while an answer is due is given up and made anew.
const UNRESPONSIVE_AFTER: Duration = Duration::from_secs(3);
/// After a failure it is tried again so soon, and then ever later…
const SHORTEST_PAUSE_MS: u32 = 50;
/// …up to this.
const LONGEST_PAUSE_MS: u32 = 1_000;
/// So many messages may wait to be passed on; more, and everybody is woken.
const MESSAGES: usize = 4_096;

/// Why Redis cannot be used. No message holds the address or the password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is none.
    #[error(
        "the address of Redis must be redis://, redis-cluster:// or redis-sentinel:// (rediss… with TLS) and a host"
    )]
    Address,
    /// It cannot be reached, or does not let us in.
    #[error("redis cannot be reached, or refuses the credentials: {0}")]
    Unreachable(String),
    /// It may drop records when memory runs out: an approval that was used could be used again.
    #[error(
        "redis at {server} may evict records (maxmemory-policy is {policy}): set it to noeviction, or use a server of its own"
    )]
    MayEvict {
        /// Host and port.
        server: String,
        /// What it is set to.
        policy: String,
    },
    /// It does not say whether it may.
    #[error("redis at {server} does not say its maxmemory-policy: let this user run INFO or CONFIG GET")]
    PolicyUnknown {
        /// Host and port.
        server: String,
    },
    /// The names of this process's calls cannot be drawn.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl From<Error> for ConnectError {
    fn from(error: Error) -> Self {
        Self::Unreachable(error.to_string())
    }
}

/// How Redis is used.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    allow_eviction: bool,
    required_replicas: u32,
    clock: Option<Arc<dyn Clock>>,
    space: String,
}

impl RedisOptions {
    /// Accepts a server that may drop records when its memory runs out. Then an approval can vanish, which is refused and
    /// asked for again, and so can the memory of denials and limits.
    #[must_use]
    pub fn insecure_allow_eviction(mut self) -> Self {
        self.allow_eviction = true;
        self
    }

    /// After each use of an approval, waits until so many replicas have it, half a second at most; with fewer the request is
    /// refused and its approval spent. Costs a round trip, and holds this process's other commands up meanwhile. It makes
    /// the loss of a consumption by a failover unlikely and not impossible: see the [module](super).
    #[must_use]
    pub fn with_required_replicas(mut self, replicas: u32) -> Self {
        self.required_replicas = replicas;
        self
    }

    /// For tests: a clock in place of the server's, and what goes before every key and channel, so that several can share a
    /// server.
    #[cfg(feature = "store-suite")]
    #[doc(hidden)]
    #[must_use]
    pub fn with_clock_and_space(mut self, clock: Arc<dyn Clock>, space: &str) -> Self {
        (self.clock, self.space) = (Some(clock), space.to_owned());
        self
    }
}

impl RedisStore {
    /// Connects, with two connections (in a cluster, one to each primary and one for messages).
    ///
    /// The address is one of
    /// - `redis://USER:PASSWORD@HOST:PORT/DATABASE`,
    /// - `redis-cluster://USER:PASSWORD@HOST:PORT?node=HOST:PORT&node=…`,
    /// - `redis-sentinel://USER:PASSWORD@HOST:PORT/DATABASE?sentinelServiceName=NAME&node=HOST:PORT&…`, with
    ///   `sentinelUsername` and `sentinelPassword` where the sentinels ask for them,
    ///
    /// all of it but the host optional, and `rediss…` for TLS by the system's trust roots (`SSL_CERT_FILE` names others).
    ///
    /// Afterwards connections are made anew whenever they break, for ever. A command that gets no answer within two seconds
    /// fails with [`StoreError::Unavailable`](crate::store::StoreError::Unavailable).
    ///
    /// # Errors
    /// [`ConnectError`]: also where a server may evict records, see [`RedisOptions::insecure_allow_eviction`].
    pub async fn connect(url: &Secret, options: RedisOptions) -> Result<Self, ConnectError> {
        if !is_redis_address(url.expose()) {
            return Err(ConnectError::Address);
        }
        let config = Config::from_url(url.expose()).map_err(|_| ConnectError::Address)?;
        let mut builder = Builder::from_config(config);
        builder
            .set_policy(ReconnectPolicy::new_exponential(0, SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS, 2))
            .set_connection_config(connection())
            .set_performance_config(performance());
        let allow_eviction = options.allow_eviction;
        let mut store = Self::over(builder.build()?, options)?;
        store.tasks.push(store.client.init().await?.abort_handle());
        if !allow_eviction {
            eviction::refuse(&store.client).await?;
        }
        store.listen(builder.build_subscriber_client()?).await?;
        Ok(store)
    }

    fn over(client: Client, options: RedisOptions) -> Result<Self, ConnectError> {
        let random: &dyn Random = &SystemRandom;
        Ok(Self {
            client,
            waiting: Arc::default(),
            scripts: Scripts::new(),
            rules: attention::rules(),
            caller: hex_token::<16>(random)?,
            calls: AtomicU64::new(0),
            required_replicas: options.required_replicas,
            clock: options.clock,
            space: options.space,
            tasks: Vec::new(),
        })
    }

    async fn listen(&mut self, subscriber: SubscriberClient) -> Result<(), ConnectError> {
        self.tasks.push(subscriber.init().await?.abort_handle());
        subscriber.subscribe(self.channel()).await?;
        let listening = tokio::spawn(wakeup::listen(subscriber, Arc::clone(&self.waiting)));
        self.tasks.push(listening.abort_handle());
        Ok(())
    }
}

fn connection() -> ConnectionConfig {
    ConnectionConfig {
        connection_timeout: COMMAND_TIMEOUT,
        internal_command_timeout: COMMAND_TIMEOUT,
        unresponsive: UnresponsiveConfig {
            max_timeout: Some(UNRESPONSIVE_AFTER),
            interval: Duration::from_millis(500),
        },
        // A server that was a primary, or is none yet: look for the one that is.
        reconnect_errors: vec![
            ReconnectError::ClusterDown,
            ReconnectError::Loading,
            ReconnectError::MasterDown,
            ReconnectError::ReadOnly,
        ],
        ..ConnectionConfig::default()
    }
}

fn performance() -> PerformanceConfig {
    PerformanceConfig {
        default_command_timeout: COMMAND_TIMEOUT,
        broadcast_channel_capacity: MESSAGES,
        ..PerformanceConfig::default()
    }
}
