//! Why an engine could not be built.

use crate::settings::ConfigError;

/// Why an engine could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting is missing or wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Nothing says who asks.
    #[error("no identity closure was given")]
    NoIdentity,
    /// A name that no header can have would bind nothing.
    #[error("{0:?} is not the name of a header")]
    BoundHeader(String),
    /// Neither a store was given nor one built in.
    #[error("no instruction store was given, and this build has none")]
    NoStore,
    /// The settings name a store that must be connected first.
    #[error("the settings keep instructions in redis: `connect` the engine, or give it a store")]
    NotConnected,
    /// Redis cannot be used.
    #[cfg(feature = "redis")]
    #[error(transparent)]
    Redis(#[from] crate::store::redis::ConnectError),
    /// Neither a relay client was given nor one built in.
    #[error("no relay client was given, and this build has none")]
    NoRelay,
    /// The HTTP client could not be made, for example for want of trust roots.
    #[error("the HTTP client cannot be made")]
    HttpClient(#[source] Box<dyn std::error::Error + Send + Sync>),
}
