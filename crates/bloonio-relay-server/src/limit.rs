//! Rate limits: token buckets, shared by all instances over Redis where there is one.
//!
//! | limit | key | who is charged |
//! | --- | --- | --- |
//! | [`Limits::charge_tenant`] | tenant and [`Lane`] | verified calls only, so nobody spends a limit without the secret |
//! | [`Limits::charge_device`] | device | verified device calls, 120 a minute (PROTOCOL 3) |
//! | [`Limits::charge_stranger`] | client address | calls that were not verified |
//! | [`Limits::guess`] | client address | wrong admin keys: after 10 in a minute, none is looked at (SECURITY) |
//!
//! The instance's own buckets are charged too, and have a say: they are all there is while Redis is away, and know then
//! what this instance has let through. Both count in the same whole numbers ([`bucket`]), which is why they are ours: a
//! limit may change at any call with what was spent staying spent, and both must answer alike.

pub mod bucket;

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bloonio_wire::clock::{Clock, Timestamp};
use bloonio_wire::id::{DeviceId, TenantId};
use http::Method;

use self::bucket::Bucket;
use crate::shared::{LimitKey, Shared};

/// Calls a minute of one device.
pub const DEVICE_PER_MIN: u32 = 120;
/// Refused calls a minute of one address that are still told why.
pub const STRANGER_PER_MIN: u32 = 1_200;
/// Wrong admin keys a minute of one address.
pub const ADMIN_FAILURES: usize = 10;
const ADMIN_WINDOW: Duration = Duration::from_secs(60);

/// Withdrawing is never starved by sending, nor either by reading: each has a bucket of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Whatever changes something.
    Send,
    /// Whatever only looks.
    Read,
    /// Whatever takes back.
    Withdraw,
}

/// Calls that take back; every other POST sends, every GET reads.
const WITHDRAWALS: &[&str] = &["/api/v1/relay/cancel/auth-challenge", "/api/v1/relay/revoke-pairing"];

impl Lane {
    /// The lane of a tenant call.
    pub fn of(method: &Method, path: &str) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Read,
            _ if WITHDRAWALS.contains(&path) => Self::Withdraw,
            _ => Self::Send,
        }
    }
}

impl Lane {
    /// Its name in the keys of Redis.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Read => "read",
            Self::Withdraw => "withdraw",
        }
    }
}

/// Refused for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// Whole seconds until it is worth trying again, at least one.
    pub retry_after: Duration,
}

impl From<TooMany> for crate::service::error::ServiceError {
    fn from(TooMany { retry_after }: TooMany) -> Self {
        Self::RateLimited { retry_after }
    }
}

impl TooMany {
    fn millis(millis: i64) -> Self {
        let seconds = u64::try_from(millis).unwrap_or(0).div_ceil(1000).max(1);
        Self { retry_after: Duration::from_secs(seconds) }
    }
}

type Buckets<K> = Mutex<HashMap<K, Bucket>>;

/// All buckets of this process, and the way to those that are shared.
#[derive(Debug)]
pub struct Limits {
    clock: Arc<dyn Clock>,
    shared: Shared,
    tenants: Buckets<(TenantId, Lane)>,
    devices: Buckets<(TenantId, DeviceId)>,
    strangers: Buckets<IpAddr>,
    guesses: Mutex<HashMap<IpAddr, VecDeque<Timestamp>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One customer of an IPv6 provider has 2^64 addresses at least: they count as one.
pub(crate) fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

impl Limits {
    /// Limits that are all unused.
    pub fn new(clock: Arc<dyn Clock>, shared: Shared) -> Self {
        Self {
            clock,
            shared,
            tenants: Mutex::default(),
            devices: Mutex::default(),
            strangers: Mutex::default(),
            guesses: Mutex::default(),
        }
    }

    /// Charges the shared bucket, and then our own; refused by either is refused.
    async fn charge<K: Eq + Hash>(
        &self,
        shared: LimitKey<'_>,
        buckets: &Buckets<K>,
        key: K,
        per_min: u32,
    ) -> Result<(), TooMany> {
        if let Ok(Err(wait)) = self.shared.charge(shared, per_min).await {
            return Err(TooMany::millis(wait));
        }
        let now = self.clock.now();
        lock(buckets)
            .entry(key)
            .or_insert_with(|| Bucket::full(per_min, now))
            .take(per_min, now)
            .map_err(TooMany::millis)
    }

    /// Charges a verified call of a tenant.
    ///
    /// # Errors
    /// [`TooMany`].
    pub async fn charge_tenant(&self, tenant: &TenantId, lane: Lane, per_min: u32) -> Result<(), TooMany> {
        let shared = LimitKey::Tenant(tenant, lane.as_str());
        self.charge(shared, &self.tenants, (tenant.clone(), lane), per_min).await
    }

    /// Charges a verified call of a device.
    ///
    /// # Errors
    /// [`TooMany`].
    pub async fn charge_device(&self, tenant: &TenantId, device: &DeviceId) -> Result<(), TooMany> {
        let shared = LimitKey::Device(tenant, device);
        self.charge(shared, &self.devices, (tenant.clone(), device.clone()), DEVICE_PER_MIN).await
    }

    /// Charges a call that could not be verified. Verified calls from the same address are not held up by it: a relay
    /// behind an undeclared proxy sees one address only.
    ///
    /// # Errors
    /// [`TooMany`].
    pub async fn charge_stranger(&self, address: IpAddr) -> Result<(), TooMany> {
        let address = origin(address);
        self.charge(LimitKey::Stranger(address), &self.strangers, address, STRANGER_PER_MIN).await
    }

    /// Looks at a presented admin key with `is_right`, unless this address has shown too many wrong ones, here or to
    /// another instance. Looking and counting are one step, so that guesses made at the same time are counted too; where
    /// the other instances' count refuses, what was seen changes nothing and is told to nobody.
    ///
    /// # Errors
    /// [`TooMany`].
    pub async fn guess(&self, address: IpAddr, is_right: impl FnOnce() -> bool) -> Result<bool, TooMany> {
        let address = origin(address);
        let right = self.guess_here(address, is_right)?;
        match self.shared.guess(LimitKey::Guesses(address), right, ADMIN_FAILURES, ADMIN_WINDOW).await {
            Ok(Err(wait)) => Err(TooMany::millis(wait)),
            _ => Ok(right),
        }
    }

    fn guess_here(&self, address: IpAddr, is_right: impl FnOnce() -> bool) -> Result<bool, TooMany> {
        let now = self.clock.now();
        let mut guesses = lock(&self.guesses);
        let recent = guesses.entry(address).or_default();
        recent.retain(|&at| now < at.plus(ADMIN_WINDOW));
        if let Some(oldest) = recent.front().filter(|_| recent.len() >= ADMIN_FAILURES) {
            return Err(TooMany::millis(oldest.plus(ADMIN_WINDOW).as_millis() - now.as_millis()));
        }
        let right = is_right();
        if right {
            guesses.remove(&address);
        } else {
            recent.push_back(now);
        }
        Ok(right)
    }

    /// Forgets whatever is as good as unused. To be called now and then.
    pub fn sweep(&self) {
        let now = self.clock.now();
        lock(&self.tenants).retain(|_, bucket| !bucket.is_full(now));
        lock(&self.devices).retain(|_, bucket| !bucket.is_full(now));
        lock(&self.strangers).retain(|_, bucket| !bucket.is_full(now));
        lock(&self.guesses).retain(|_, recent| recent.back().is_some_and(|&at| now < at.plus(ADMIN_WINDOW)));
    }
}

#[cfg(test)]
mod tests;
