//! The relay's HTTP clients. None follows a redirect, uses a proxy of the environment, keeps cookies or unpacks bodies.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, redirect};

use super::guard::Guard;
use crate::push::fcm::Connections;

/// Time for name, connection and handshake together is bounded by the caller; this bounds the TCP connection alone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// FCM ends idle connections after about four minutes; ours end first (PUSH.md 1.8).
const PUSH_IDLE: Duration = Duration::from_secs(120);
/// A ping after this much silence, and the time to answer it, while messages are under way: all of them share one
/// connection, and one that has died without a word would otherwise swallow every message until TCP notices, minutes later.
const PUSH_PING: Duration = Duration::from_secs(5);
/// Connections to the push service at most.
const PUSH_CONNECTIONS: usize = 4;
const CALLBACK_IDLE: Duration = Duration::from_secs(30);

/// A client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file named by `RELAY_EXTRA_CA_FILE` cannot be read.
    #[error("cannot read the certificates in {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It holds no certificate.
    #[error("no PEM certificate in {path}")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The TLS library refused.
    #[error("the HTTP client cannot be built")]
    Build(#[from] reqwest::Error),
}

/// Trust roots besides the system's own.
#[derive(Debug, Clone, Default)]
pub struct ExtraRoots(Vec<Certificate>);

impl ExtraRoots {
    /// Reads `RELAY_EXTRA_CA_FILE`, if there is one.
    ///
    /// # Errors
    /// [`ClientError::Unreadable`], [`ClientError::NoCertificate`].
    pub fn from_file(path: Option<&Path>) -> Result<Self, ClientError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let pem = std::fs::read(path).map_err(|source| ClientError::Unreadable { path: path.into(), source })?;
        match Certificate::from_pem_bundle(&pem) {
            Ok(certificates) if !certificates.is_empty() => Ok(Self(certificates)),
            _ => Err(ClientError::NoCertificate { path: path.into() }),
        }
    }
}

fn build(roots: &ExtraRoots, configure: impl Fn(ClientBuilder) -> ClientBuilder) -> Result<Client, ClientError> {
    let base = || {
        let builder = Client::builder()
            .user_agent(concat!("bloonio-relay/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT);
        configure(builder)
    };
    match base().tls_certs_merge(roots.0.iter().cloned()).build() {
        Ok(client) => Ok(client),
        // A machine without any CA certificates can still serve; it only trusts nobody but the extra roots.
        Err(error) => {
            tracing::warn!(error = %error, "the system has no usable CA certificates; https needs RELAY_EXTRA_CA_FILE");
            Ok(base().tls_certs_only(roots.0.iter().cloned()).build()?)
        }
    }
}

/// The clients for URLs that tenants name, behind the guard.
#[derive(Debug, Clone)]
pub struct CallbackClient {
    guard: Guard,
    usual: Client,
    own_port: Client,
}

impl CallbackClient {
    /// Builds them.
    ///
    /// # Errors
    /// [`ClientError::Build`].
    pub fn new(guard: Guard, roots: &ExtraRoots) -> Result<Self, ClientError> {
        let https_only = !guard.policy().allow_private;
        let configure = |builder: ClientBuilder| {
            builder.https_only(https_only).pool_idle_timeout(CALLBACK_IDLE).pool_max_idle_per_host(8)
        };
        let usual = build(roots, |builder| configure(builder).dns_resolver(guard.resolver()))?;
        let own_port = build(roots, |builder| configure(builder).dns_resolver(guard.own_port_resolver()))?;
        Ok(Self { guard, usual, own_port })
    }

    /// The guard in front.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// The client for a URL that [`Guard::check_url`] has passed.
    pub fn for_url(&self, url: &url::Url) -> &Client {
        match url.port_or_known_default() {
            Some(port) if self.guard.is_own_port(port) => &self.own_port,
            _ => &self.usual,
        }
    }
}

/// The clients for the push service, with a connection each.
///
/// # Errors
/// [`ClientError::Build`].
pub fn push_connections(roots: &ExtraRoots) -> Result<Connections, ClientError> {
    let others: Result<Vec<_>, _> = (1..PUSH_CONNECTIONS).map(|_| push_client(roots)).collect();
    Ok(Connections::new(push_client(roots)?, others?))
}

/// A client for the push service: HTTP/2 by ALPN, no pings while idle (FCM answers them with GOAWAY), no overall timeout
/// (its user sets one a request).
///
/// # Errors
/// [`ClientError::Build`].
pub fn push_client(roots: &ExtraRoots) -> Result<Client, ClientError> {
    build(roots, |builder| {
        builder
            .pool_idle_timeout(PUSH_IDLE)
            .http2_keep_alive_interval(PUSH_PING)
            .http2_keep_alive_timeout(PUSH_PING)
            .http2_keep_alive_while_idle(false)
    })
}
