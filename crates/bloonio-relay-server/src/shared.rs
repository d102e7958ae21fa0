//! What the instances of a relay share over Redis (`RELAY_REDIS_URL`), so that they behave as one.
//!
//! | part | what it does |
//! | --- | --- |
//! | [`Shared`] | first look at replays, and rate limits: one script each |
//! | [`wake`] | what instances tell each other, and how it is written |
//! | [`herald`] | tells the others, together and after the fact |
//! | [`listener`] | hears them, and notices when it may have missed something |
//! | [`reach`] | tells whoever waits how far he can rely on being woken |
//! | `link` | the connection, and how long nobody waits for it |
//!
//! The truth is in the database. Redis spares it work and makes limits exact across instances: without it, from the start
//! or for a while, replays are found in the database, limits are counted by each instance for itself, and whoever waits
//! looks into the database every second. No decision depends on it.

pub mod herald;
mod link;
pub mod listener;
pub mod reach;
mod script;
pub mod wake;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bloonio_wire::clock::Clock;
use bloonio_wire::id::{DeviceId, TenantId};
use bloonio_wire::random::{Random, RandomError, hex_token};
use bloonio_wire::secret::Secret;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::herald::Herald;
use self::link::Link;
use self::listener::Ears;
use self::reach::Reach;
use self::script::Scripts;
use crate::telemetry::metrics::REDIS_FALLBACKS;

/// Redis did not answer in time, or is not there: do without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Away;

/// Redis cannot be used at all. No message holds the address, which may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum SharedError {
    /// The address is none.
    #[error(
        "the address of Redis must be redis://, redis-cluster:// or redis-sentinel:// (rediss… with TLS) and a host"
    )]
    Address,
    /// A client cannot be made.
    #[error("a Redis client cannot be made: {0}")]
    Client(String),
    /// This instance cannot be given a name.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// How long nobody waits for Redis.
#[derive(Debug, Clone, Copy)]
pub struct SharedLimits {
    /// A command; then its request does without.
    pub timeout: Duration,
    /// After a command that was not answered, no other waits for so long.
    pub rest: Duration,
    /// How often an instance says something that it then must hear itself.
    pub beat: Duration,
}

impl Default for SharedLimits {
    fn default() -> Self {
        Self { timeout: Duration::from_millis(250), rest: Duration::from_secs(1), beat: Duration::from_secs(3) }
    }
}

/// Whether Redis is used, and there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisState {
    /// It is not configured.
    Unused,
    /// It answers.
    Up,
    /// It does not: everything works, see [the module](self).
    Away,
}

/// A rate limit's key; all of it that instances must agree on.
#[derive(Debug, Clone, Copy)]
pub enum LimitKey<'a> {
    /// A tenant's lane.
    Tenant(&'a TenantId, &'static str),
    /// A device.
    Device(&'a TenantId, &'a DeviceId),
    /// Calls of an address that were not verified.
    Stranger(IpAddr),
    /// Wrong admin keys of an address.
    Guesses(IpAddr),
}

impl LimitKey<'_> {
    /// The braces are literal: in a cluster, whatever is a tenant's lies in one place.
    fn name(&self) -> String {
        match self {
            Self::Tenant(tenant, lane) => format!("bloonio:relay:{{{tenant}}}:calls:{lane}"),
            Self::Device(tenant, device) => format!("bloonio:relay:{{{tenant}}}:device:{device}"),
            Self::Stranger(address) => format!("bloonio:relay:address:{{{address}}}:refused"),
            Self::Guesses(address) => format!("bloonio:relay:address:{{{address}}}:guesses"),
        }
    }
}

#[derive(Debug)]
struct Inner {
    link: Link,
    scripts: Scripts,
    /// Names this instance's calls, with a number for each.
    instance: String,
    /// In place of the server's own clock, for tests.
    clock: Option<Arc<dyn Clock>>,
}

/// What this instance shares with others. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shared {
    inner: Option<Arc<Inner>>,
    herald: Herald,
    reach: Reach,
}

/// A claim of replay keys that can be taken back by whoever made it, and by nobody else.
#[derive(Debug)]
pub struct Claim {
    keys: Vec<String>,
    call: String,
}

impl Shared {
    /// One instance with a database of its own: nothing is shared, and a wake-up in the process reaches everybody.
    pub fn alone() -> Self {
        Self { inner: None, herald: Herald::default(), reach: Reach::whole() }
    }

    /// Several instances on one database, without Redis: whoever waits looks for himself.
    pub fn by_database() -> Self {
        Self { inner: None, herald: Herald::default(), reach: Reach::doubtful() }
    }

    /// Over the Redis at `url`. Does not connect: that is [`Shared::run`]'s, for as long as the relay runs.
    ///
    /// # Errors
    /// [`SharedError`], for an address that is none; never because nobody is there.
    pub fn over_redis(url: &Secret, limits: SharedLimits, random: &dyn Random) -> Result<Self, SharedError> {
        let instance = hex_token::<8>(random)?;
        let inner = Inner { link: Link::new(url, limits)?, scripts: Scripts::new(), instance, clock: None };
        Ok(Self { inner: Some(Arc::new(inner)), herald: Herald::speaking(), reach: Reach::doubtful() })
    }

    /// Whether `url` may name a Redis.
    pub fn is_address(url: &Secret) -> bool {
        link::address(url).is_some()
    }

    /// For tests: a clock in place of the server's own.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        if let Some(inner) = self.inner.as_mut().and_then(Arc::get_mut) {
            inner.clock = Some(clock);
        }
        self
    }

    /// Tells the other instances.
    pub fn herald(&self) -> &Herald {
        &self.herald
    }

    /// How far wake-ups can be relied on.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Connects, tells the others what [`Herald::tell`] is told, and passes on to `ears` what they tell, until `stopping`.
    /// Whatever happens to Redis, it goes on.
    pub fn run(&self, ears: impl Ears, tracker: &TaskTracker, stopping: &CancellationToken) {
        let Some(inner) = &self.inner else { return };
        let listener = listener::Listener {
            instance: inner.instance.clone(),
            reach: self.reach.clone(),
            beat: inner.link.limits.beat,
            stopping: stopping.clone(),
        };
        tracker.spawn(inner.link.clone().keep(stopping.clone()));
        tracker.spawn(listener.run(inner.link.clone(), ears));
        tracker.spawn(herald::run(self.herald.clone(), inner.link.clone(), inner.instance.clone(), stopping.clone()));
    }

    /// Asks Redis how it is, if it is used.
    pub async fn state(&self) -> RedisState {
        match &self.inner {
            None => RedisState::Unused,
            Some(inner) if inner.link.ping().await.is_ok() => RedisState::Up,
            Some(_) => RedisState::Away,
        }
    }

    /// What Redis does when its memory is full: its `maxmemory-policy`.
    ///
    /// # Errors
    /// [`Away`], also if it is not used, or does not say.
    pub async fn eviction(&self) -> Result<String, Away> {
        self.inner.as_deref().ok_or(Away)?.link.eviction().await
    }

    /// Claims `keys` of `tenant` for `remembered`, all or none: `Ok(None)` if one of them was seen before. Whoever gets
    /// them asks the database as well, which alone outlives Redis.
    ///
    /// # Errors
    /// [`Away`]; the keys may be claimed or not.
    pub async fn claim(
        &self,
        tenant: &TenantId,
        keys: &[[u8; 32]],
        remembered: Duration,
    ) -> Result<Option<Claim>, Away> {
        let inner = self.inner.as_deref().ok_or(Away)?;
        let keys: Vec<_> =
            keys.iter().map(|key| format!("bloonio:relay:{{{tenant}}}:seen:{}", hex::encode(key))).collect();
        let call = inner.link.name_call(&inner.instance);
        let arguments = vec![call.clone(), remembered.as_millis().to_string()];
        match inner.link.call(&inner.scripts.seen, keys.clone(), arguments).await {
            Ok(first) => Ok((first == 1).then_some(Claim { keys, call })),
            Err(Away) => Err(fallback("replay")),
        }
    }

    /// Takes a claim back, as well as it can be done: the request was not let in after all.
    pub async fn unclaim(&self, claim: Claim) {
        if let Some(inner) = &self.inner {
            // What cannot be taken back lapses.
            let _ = inner.link.call(&inner.scripts.unclaim, claim.keys, vec![claim.call]).await;
        }
    }

    /// Takes a token from a bucket that all instances share; `Ok(Err(…))` are the milliseconds to the next one.
    ///
    /// # Errors
    /// [`Away`]; a token may have been taken.
    pub async fn charge(&self, key: LimitKey<'_>, per_min: u32) -> Result<Result<(), i64>, Away> {
        let inner = self.inner.as_deref().ok_or(Away)?;
        let arguments = vec![inner.time(), per_min.max(1).to_string()];
        match inner.link.call(&inner.scripts.bucket, vec![key.name()], arguments).await {
            Ok(wait) => Ok(if wait > 0 { Err(wait) } else { Ok(()) }),
            Err(Away) => Err(fallback("limit")),
        }
    }

    /// Counts a guess among those of all instances: a wrong one is one more of `allowed` in `window`, a right one forgets
    /// them. `Ok(Err(…))` are the milliseconds until guesses are looked at again; this one was not.
    ///
    /// # Errors
    /// [`Away`]; the guess may have been counted.
    pub async fn guess(
        &self,
        key: LimitKey<'_>,
        right: bool,
        allowed: usize,
        window: Duration,
    ) -> Result<Result<(), i64>, Away> {
        let inner = self.inner.as_deref().ok_or(Away)?;
        let right = if right { "1" } else { "0" };
        let arguments = vec![inner.time(), right.to_owned(), allowed.to_string(), window.as_millis().to_string()];
        match inner.link.call(&inner.scripts.guess, vec![key.name()], arguments).await {
            Ok(wait) => Ok(if wait > 0 { Err(wait) } else { Ok(()) }),
            Err(Away) => Err(fallback("limit")),
        }
    }
}

impl Inner {
    /// The time that scripts are given: nothing, so that they take their server's own. Instances whose clocks differ would
    /// fill each other's buckets.
    fn time(&self) -> String {
        self.clock.as_ref().map(|clock| clock.now().as_millis().to_string()).unwrap_or_default()
    }
}

fn fallback(what: &'static str) -> Away {
    metrics::counter!(REDIS_FALLBACKS, "use" => what).increment(1);
    Away
}
