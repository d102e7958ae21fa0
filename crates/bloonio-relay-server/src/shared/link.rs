//! The connection to Redis, made anew for ever, and never waited for.
//!
//! 1. Not connected: no command is made at all.
//! 2. Connected, and no answer in time: that one call does without, and so do all others for a rest; then one tries again.
//! 3. No command is sent twice: whoever called has done without by then.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bloonio_wire::secret::Secret;
use fred::clients::{Client, SubscriberClient};
use fred::error::Error;
use fred::interfaces::{ClientLike, ConfigInterface, LuaInterface, PubsubInterface};
use fred::types::Builder;
use fred::types::config::{
    Config, ConnectionConfig, PerformanceConfig, ReconnectError, ReconnectPolicy, UnresponsiveConfig,
};
use fred::types::scripts::Script;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Away, SharedError, SharedLimits};

/// A connection, and each step of greeting the server, is given so long.
const GREETING: Duration = Duration::from_secs(2);
/// A connection that is silent for so long while an answer is due is given up and made anew.
const UNRESPONSIVE_AFTER: Duration = Duration::from_secs(3);
/// After a failure it is tried again so soon, and then ever later…
const SHORTEST_PAUSE_MS: u32 = 50;
/// …up to this.
const LONGEST_PAUSE_MS: u32 = 1_000;
/// So many messages may wait to be passed on; more, and everybody is woken.
const MESSAGES: usize = 4_096;
/// After the client has given up by itself, as it does when Redis refuses the credentials.
const AGAIN: Duration = Duration::from_secs(1);

/// The kinds of addresses.
const SCHEMES: &[&str] =
    &["redis://", "rediss://", "redis-cluster://", "rediss-cluster://", "redis-sentinel://", "rediss-sentinel://"];

/// The connection. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) limits: SharedLimits,
    pub(super) subscriber: SubscriberClient,
    client: Client,
    calls: Arc<AtomicU64>,
    /// While it lasts, Redis is not asked.
    rest: Arc<Mutex<Option<Instant>>>,
}

impl Link {
    pub(super) fn new(url: &Secret, limits: SharedLimits) -> Result<Self, SharedError> {
        let mut config = address(url).ok_or(SharedError::Address)?;
        // The first connection is made like every other: again, until there is one.
        config.fail_fast = false;
        let mut builder = Builder::from_config(config);
        builder
            .set_policy(ReconnectPolicy::new_exponential(0, SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS, 2))
            .set_connection_config(connection())
            .set_performance_config(performance(GREETING));
        let failed = |error: Error| SharedError::Client(error.to_string());
        let subscriber = builder.build_subscriber_client().map_err(failed)?;
        builder.set_performance_config(performance(limits.timeout));
        let client = builder.build().map_err(failed)?;
        Ok(Self { limits, subscriber, client, calls: Arc::default(), rest: Arc::default() })
    }

    /// Keeps both connections until `stopping`.
    pub(super) async fn keep(self, stopping: CancellationToken) {
        let kept = async { tokio::join!(connected(&self.client), connected(&self.subscriber)) };
        tokio::select! {
            () = stopping.cancelled() => (),
            _ = kept => (),
        }
        // The server sees a connection less either way.
        let _ = tokio::join!(self.client.quit(), self.subscriber.quit());
    }

    /// A name for a call: no other has it.
    pub(super) fn name_call(&self, instance: &str) -> String {
        format!("{instance}-{}", self.calls.fetch_add(1, Ordering::Relaxed))
    }

    /// Runs a script in one round trip, or in two where the server does not know it yet.
    pub(super) async fn call(&self, script: &Script, keys: Vec<String>, arguments: Vec<String>) -> Result<i64, Away> {
        self.ask(async {
            let client = &self.client;
            let said = script.evalsha(client, keys.clone(), arguments.clone()).await;
            match (said, script.lua()) {
                (Err(error), Some(lua)) if error.details().starts_with("NOSCRIPT") => {
                    client.eval(lua.clone(), keys, arguments).await
                }
                (said, _) => said,
            }
        })
        .await
    }

    /// Says `message` on `channel`.
    pub(super) async fn publish(&self, channel: &'static str, message: String) -> Result<(), Away> {
        self.ask(async { self.client.publish(channel, message).await }).await
    }

    /// Whether it answers.
    pub(super) async fn ping(&self) -> Result<(), Away> {
        self.ask(async { self.client.ping::<String>(None).await }).await.map(|_| ())
    }

    /// Its `maxmemory-policy`.
    pub(super) async fn eviction(&self) -> Result<String, Away> {
        let asked = async { self.client.config_get::<HashMap<String, String>, _>("maxmemory-policy").await };
        self.ask(asked).await?.remove("maxmemory-policy").ok_or(Away)
    }

    async fn ask<T>(&self, command: impl Future<Output = Result<T, Error>>) -> Result<T, Away> {
        if !self.client.is_connected() || self.is_resting() {
            return Err(Away);
        }
        // The client's own timeout begins anew with each of its steps; this one is the caller's.
        match tokio::time::timeout(self.limits.timeout, command).await {
            Ok(Ok(said)) => {
                self.rest_until(None);
                Ok(said)
            }
            Ok(Err(error)) => {
                // Its words are for the operator: they hold neither keys nor passwords.
                tracing::warn!(%error, "redis did not answer as it should");
                self.rest_until(Some(self.limits.rest));
                Err(Away)
            }
            Err(_) => {
                tracing::warn!("redis did not answer in time");
                self.rest_until(Some(self.limits.rest));
                Err(Away)
            }
        }
    }

    /// When a rest is over, the first to ask tries, and the others rest on until he knows.
    fn is_resting(&self) -> bool {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match *rest {
            None => false,
            Some(until) if now < until => true,
            Some(_) => {
                *rest = Some(now + self.limits.timeout);
                false
            }
        }
    }

    fn rest_until(&self, rest: Option<Duration>) {
        *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = rest.map(|rest| Instant::now() + rest);
    }
}

/// What `url` says, if it may name a Redis.
pub(super) fn address(url: &Secret) -> Option<Config> {
    let url = url.expose();
    SCHEMES.iter().find(|scheme| url.strip_prefix(**scheme).is_some_and(|host| !host.is_empty()))?;
    Config::from_url(url).ok()
}

/// Connects for ever.
async fn connected(client: &impl ClientLike) {
    loop {
        match client.connect().await {
            Ok(Err(error)) => tracing::warn!(%error, "redis cannot be used"),
            Ok(Ok(())) => tracing::warn!("the connection to redis was given up"),
            Err(lost) => tracing::error!(error = %lost, "the connection to redis ended abnormally"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn performance(timeout: Duration) -> PerformanceConfig {
    PerformanceConfig {
        default_command_timeout: timeout,
        broadcast_channel_capacity: MESSAGES,
        ..PerformanceConfig::default()
    }
}

fn connection() -> ConnectionConfig {
    ConnectionConfig {
        connection_timeout: GREETING,
        internal_command_timeout: GREETING,
        max_command_attempts: 1,
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
