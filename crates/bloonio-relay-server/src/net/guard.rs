//! The guard on every URL that a tenant can name (SECURITY, "Outbound and operators").
//!
//! 1. [`Guard::check_url`] judges the text: scheme, port, user information, fragment, literal addresses.
//! 2. The guard is also the resolver of the client that connects: a name is resolved once, every address that it resolves
//!    to must pass, and the connection goes to those very addresses. A name that changes its mind between a check and the
//!    connection finds no gap.
//! 3. The client follows no redirect and uses no proxy ([`super::client`]).

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::address::{Reach, reach};

/// What an operator allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuardPolicy {
    /// `RELAY_ALLOW_PRIVATE_CALLBACKS`: private addresses, http and any port.
    pub allow_private: bool,
    /// Ports besides 443.
    pub extra_ports: Vec<u16>,
}

/// Why a target is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// Not an absolute URL with a host.
    #[error("must be an absolute URL")]
    NotAUrl,
    /// Another scheme.
    #[error("must be an https URL")]
    Scheme,
    /// A port that is not open.
    #[error("must use port 443")]
    Port,
    /// `user:password@`.
    #[error("must not contain user information")]
    UserInfo,
    /// `#fragment`.
    #[error("must not contain a fragment")]
    Fragment,
    /// An address that is not globally routable, or the relay's own.
    #[error("must not lead to a private or reserved address")]
    Address,
}

/// Resolves a name; production asks the system, tests play a name server that lies.
pub trait Lookup: Send + Sync {
    /// Every address of `name`.
    fn addresses(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn addresses(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

struct Inner {
    policy: GuardPolicy,
    lookup: Box<dyn Lookup>,
    listeners: RwLock<Vec<SocketAddr>>,
}

/// Judges targets. Cheap to clone.
#[derive(Clone)]
pub struct Guard {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("policy", &self.inner.policy).finish_non_exhaustive()
    }
}

impl Guard {
    /// A guard that asks the system's resolver.
    pub fn new(policy: GuardPolicy) -> Self {
        Self::with_lookup(policy, SystemLookup)
    }

    /// A guard that asks `lookup`.
    pub fn with_lookup(policy: GuardPolicy, lookup: impl Lookup + 'static) -> Self {
        let inner = Inner { policy, lookup: Box::new(lookup), listeners: RwLock::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Tells the guard an address on which this relay itself accepts connections: no callback may ever go there. To be
    /// called once the listener is bound.
    pub fn refuse_listener(&self, listener: SocketAddr) {
        self.inner.listeners.write().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    /// What the operator allows.
    pub fn policy(&self) -> &GuardPolicy {
        &self.inner.policy
    }

    /// Judges a URL before anything is sent; the only check that a literal address meets, since nothing resolves it.
    ///
    /// # Errors
    /// [`GuardError`], whose text fits a `details` entry.
    pub fn check_url(&self, text: &str) -> Result<Url, GuardError> {
        let url = Url::parse(text).map_err(|_| GuardError::NotAUrl)?;
        let private = self.inner.policy.allow_private;
        let port = match url.scheme() {
            "https" => url.port().unwrap_or(443),
            "http" if private => url.port().unwrap_or(80),
            _ => return Err(GuardError::Scheme),
        };
        if !private && port != 443 && !self.inner.policy.extra_ports.contains(&port) {
            return Err(GuardError::Port);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(GuardError::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(GuardError::Fragment);
        }
        match url.host() {
            Some(Host::Ipv4(ip)) => self.check_address(IpAddr::V4(ip), port)?,
            Some(Host::Ipv6(ip)) => self.check_address(IpAddr::V6(ip), port)?,
            Some(Host::Domain(name)) if !name.is_empty() => (),
            _ => return Err(GuardError::NotAUrl),
        }
        Ok(url)
    }

    /// Judges an address and port about to be connected to.
    ///
    /// # Errors
    /// [`GuardError::Address`].
    pub fn check_address(&self, ip: IpAddr, port: u16) -> Result<(), GuardError> {
        self.check_reach(ip)?;
        let listeners = self.inner.listeners.read().unwrap_or_else(PoisonError::into_inner);
        match listeners.iter().any(|own| own.port() == port && leads_to(own.ip(), ip)) {
            true => Err(GuardError::Address),
            false => Ok(()),
        }
    }

    /// Whether the relay itself listens on that port, on whatever address.
    pub fn is_own_port(&self, port: u16) -> bool {
        self.inner.listeners.read().unwrap_or_else(PoisonError::into_inner).iter().any(|own| own.port() == port)
    }

    fn check_reach(&self, ip: IpAddr) -> Result<(), GuardError> {
        let worst = if self.inner.policy.allow_private { Reach::Private } else { Reach::Global };
        if reach(ip) <= worst { Ok(()) } else { Err(GuardError::Address) }
    }

    /// The resolver for a client that connects to any port but the relay's own ones.
    pub fn resolver(&self) -> GuardedResolver {
        GuardedResolver { guard: self.clone(), own_port: false }
    }

    /// The resolver for a client that connects to a port which the relay itself listens on: it refuses every address of
    /// a listener too. (A resolver learns the name and never the port, so there are two of them.)
    pub fn own_port_resolver(&self) -> GuardedResolver {
        GuardedResolver { guard: self.clone(), own_port: true }
    }

    async fn resolve(&self, name: String, own_port: bool) -> Result<Vec<SocketAddr>, Refused> {
        let found = self.inner.lookup.addresses(name).await.map_err(Refused::Lookup)?;
        let listeners = self.inner.listeners.read().unwrap_or_else(PoisonError::into_inner).clone();
        let is_own = |ip| own_port && listeners.iter().any(|own| leads_to(own.ip(), ip));
        if found.iter().any(|&ip| self.check_reach(ip).is_err() || is_own(ip)) {
            return Err(Refused::Guard(GuardError::Address));
        }
        Ok(found.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect())
    }
}

/// Why a name led nowhere.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The name has no address.
    #[error("the name could not be resolved")]
    Lookup(#[source] io::Error),
    /// One of its addresses is refused, and so the whole name.
    #[error(transparent)]
    Guard(GuardError),
}

/// A [`Guard`] as the resolver of an HTTP client.
#[derive(Debug, Clone)]
pub struct GuardedResolver {
    guard: Guard,
    own_port: bool,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, own_port) = (self.guard.clone(), self.own_port);
        let name = name.as_str().to_owned();
        Box::pin(async move {
            let found = guard.resolve(name, own_port).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Whether connecting to `ip` reaches a listener bound to `own`.
fn leads_to(own: IpAddr, ip: IpAddr) -> bool {
    let (own, ip) = (own.to_canonical(), ip.to_canonical());
    // A listener on all addresses is reached by each address of this machine; which those are, only a bind can tell.
    own == ip || (own.is_unspecified() && (ip.is_loopback() || is_of_this_machine(ip)))
}

fn is_of_this_machine(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}
