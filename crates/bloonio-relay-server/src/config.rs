//! How a relay is set up (PROTOCOL 10): flags and environment on one side, checked values on the other.
//!
//! [`args::RelayArgs`] is what clap reads. [`Config::from_args`] checks all of it before anything is opened, so that a
//! relay with a mistake in its settings ends at once and says which setting it is.

pub mod args;
pub mod master_key;
mod secret_file;

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bloonio_wire::secret::Secret;
use ipnet::IpNet;
use sqlx::sqlite::SqliteConnectOptions;
use url::Url;

use crate::http::listener::places::ConnectionLimits;
use crate::net::guard::GuardPolicy;
use crate::shared::{Shared, SharedError};
pub use args::{CallbackArgs, LogFormat, RelayArgs, StoreArgs};

/// An admin key shorter than this refuses to start (SECURITY, "Outbound and operators").
pub const MIN_ADMIN_KEY_BYTES: usize = 32;

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The value breaks the rule of its setting.
    #[error("{name}: {problem}")]
    Invalid {
        /// Name of the environment variable.
        name: &'static str,
        /// What is wrong, without the value where that is secret.
        problem: String,
    },
    /// The setting belongs to a part that this version does not have; ignoring it would be a silent weakening.
    #[error("{name} is set, but this version does not have {what} yet; unset it")]
    NotYet {
        /// Name of the environment variable.
        name: &'static str,
        /// The missing part.
        what: &'static str,
    },
    /// A file or folder cannot be used.
    #[error("{what} {path}")]
    File {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The master key's file holds something else.
    #[error(
        "line {line} of {path} does not hold 32 bytes in base64; restore the file from its backup, nothing sealed opens \
         without it"
    )]
    BadMasterKey {
        /// The file.
        path: String,
        /// Which line, from 1.
        line: usize,
    },
    /// No randomness for a fresh master key.
    #[error(transparent)]
    Seal(#[from] crate::seal::SealError),
}

impl ConfigError {
    fn invalid(name: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid { name, problem: problem.into() }
    }
}

/// Settings of whatever opens the database, checked.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Folder of the database and the master key.
    pub data_dir: PathBuf,
    /// Database, if it is not `relay.db` in the data folder.
    pub database_url: Option<Secret>,
    /// Master key in base64, if it is not kept in the data folder.
    pub master_key: Option<Secret>,
    /// Master keys in base64 that open only.
    pub master_key_previous: Vec<Secret>,
    /// Form of the log.
    pub log_format: LogFormat,
}

impl StoreConfig {
    /// Checks what the command line and the environment gave.
    ///
    /// # Errors
    /// [`ConfigError`] naming the first setting that cannot be used.
    pub fn from_args(mut args: StoreArgs) -> Result<Self, ConfigError> {
        secret_file::fill_store(&mut args)?;
        Ok(Self {
            data_dir: args.relay_data_dir,
            database_url: args
                .relay_database_url
                .filter(|url| !url.expose().is_empty())
                .map(database_url)
                .transpose()?,
            master_key: args.relay_master_key.filter(|key| !key.expose().is_empty()),
            master_key_previous: args
                .relay_master_key_previous
                .into_iter()
                .filter(|key| !key.expose().trim().is_empty())
                .collect(),
            log_format: args.relay_log_format,
        })
    }

    /// The database's file, unless a URL names another.
    pub fn default_database(&self) -> PathBuf {
        self.data_dir.join("relay.db")
    }

    /// The file of the database, if it is SQLite's, and whether or not it is there.
    pub fn sqlite_file(&self) -> Option<PathBuf> {
        let Some(url) = &self.database_url else { return Some(self.default_database()) };
        let url = url.expose();
        let options = url.starts_with("sqlite:").then(|| SqliteConnectOptions::from_str(url).ok()).flatten();
        options.map(|options| options.get_filename().to_owned())
    }

    /// Whether other instances may work on the same database.
    pub fn is_shared(&self) -> bool {
        self.database_url.as_ref().is_some_and(|url| !url.expose().starts_with("sqlite:"))
    }
}

/// The relay's settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 picks one.
    pub listen: String,
    /// Base address that devices and backends use, without trailing slash. Empty until [`Config::bound_to`], unless given.
    pub public_url: String,
    /// Where its truth and the key to it are.
    pub store: StoreConfig,
    /// Keys that open the operator calls; empty: nobody may.
    pub admin_keys: Vec<Secret>,
    /// Service account of the push service.
    pub fcm_credentials: Option<PathBuf>,
    /// Base address of the push service.
    pub fcm_endpoint: Url,
    /// Messages to it in a minute at most.
    pub fcm_messages_per_min: u32,
    /// One more trust root.
    pub extra_ca_file: Option<PathBuf>,
    /// What callbacks may reach.
    pub guard: GuardPolicy,
    /// Whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// How many connections there may be.
    pub connections: ConnectionLimits,
    /// Own listener for the metrics, which needs no key there.
    pub admin_listen: Option<String>,
    /// The Redis by which several instances act as one.
    pub redis_url: Option<Secret>,
    /// Life of a pairing proof.
    pub pairing_proof_ttl: Duration,
}

impl Config {
    /// Checks what the command line and the environment gave.
    ///
    /// # Errors
    /// [`ConfigError`] naming the first setting that cannot be used.
    pub fn from_args(mut args: RelayArgs) -> Result<Self, ConfigError> {
        secret_file::fill(&mut args)?;
        args.refuse_what_is_not_there_yet()?;
        let mut admin_keys = Vec::new();
        for (name, key) in
            [("RELAY_ADMIN_KEY", args.relay_admin_key), ("RELAY_ADMIN_KEY_NEXT", args.relay_admin_key_next)]
        {
            admin_keys.extend(key.map(|key| admin_key(name, key)).transpose()?);
        }
        let trusted_proxies = listed(&args.relay_trusted_proxies, network)?;
        Ok(Self {
            listen: args.relay_listen,
            public_url: args
                .relay_public_url
                .filter(|url| !url.is_empty())
                .map_or(Ok(String::new()), |url| base_url(&url))?,
            store: StoreConfig::from_args(args.store)?,
            admin_keys,
            fcm_credentials: args.relay_fcm_credentials.filter(|path| !path.as_os_str().is_empty()),
            fcm_endpoint: endpoint("RELAY_FCM_ENDPOINT", &args.relay_fcm_endpoint)?,
            fcm_messages_per_min: args.relay_fcm_messages_per_min,
            extra_ca_file: args.relay_extra_ca_file.filter(|path| !path.as_os_str().is_empty()),
            guard: GuardPolicy {
                allow_private: args.callbacks.relay_allow_private_callbacks,
                extra_ports: listed(&args.relay_extra_callback_ports, port)?,
            },
            connections: ConnectionLimits {
                total: args.relay_max_connections,
                per_address: args.relay_max_connections_per_address,
                proxies: trusted_proxies.clone(),
            },
            trusted_proxies,
            admin_listen: args.relay_admin_listen.filter(|listen| !listen.is_empty()),
            redis_url: args.relay_redis_url.filter(|url| !url.expose().is_empty()).map(redis_url).transpose()?,
            pairing_proof_ttl: Duration::from_secs(args.pairing_proof_ttl_seconds),
        })
    }

    /// Completes the settings with the address that was really bound: the default of `RELAY_PUBLIC_URL`.
    #[must_use]
    pub fn bound_to(mut self, address: std::net::SocketAddr) -> Self {
        if self.public_url.is_empty() {
            self.public_url = format!("http://{address}");
        }
        self
    }
}

fn admin_key(name: &'static str, key: Secret) -> Result<Secret, ConfigError> {
    if key.as_bytes().len() < MIN_ADMIN_KEY_BYTES {
        return Err(ConfigError::invalid(name, format!("must have at least {MIN_ADMIN_KEY_BYTES} bytes")));
    }
    if !key.as_bytes().iter().all(|byte| (0x21..=0x7e).contains(byte)) {
        return Err(ConfigError::invalid(name, "must be printable ASCII without blanks, since it travels in a header"));
    }
    Ok(key)
}

fn redis_url(url: Secret) -> Result<Secret, ConfigError> {
    match Shared::is_address(&url) {
        true => Ok(url),
        false => Err(ConfigError::invalid("RELAY_REDIS_URL", SharedError::Address.to_string())),
    }
}

fn base_url(text: &str) -> Result<String, ConfigError> {
    let name = "RELAY_PUBLIC_URL";
    let url = Url::parse(text).map_err(|_| ConfigError::invalid(name, format!("{text:?} is not an absolute URL")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(ConfigError::invalid(name, format!("{text:?} must be an http or https URL")));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(ConfigError::invalid(name, "must not contain user information, query or fragment"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// It may hold the password of the server's user.
fn database_url(url: Secret) -> Result<Secret, ConfigError> {
    let (name, text) = ("RELAY_DATABASE_URL", url.expose());
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Ok(url);
    }
    if !text.starts_with("sqlite://") {
        return Err(ConfigError::invalid(name, "must begin with sqlite:// or postgres://"));
    }
    if text.contains(":memory:") || text.contains("mode=memory") {
        return Err(ConfigError::invalid(name, "must name a file: what was promised must outlive the process"));
    }
    Ok(url)
}

/// https, or http to this machine alone.
fn endpoint(name: &'static str, text: &str) -> Result<Url, ConfigError> {
    let url = Url::parse(text).map_err(|_| ConfigError::invalid(name, format!("{text:?} is not an absolute URL")))?;
    let loopback = match url.host() {
        Some(url::Host::Domain(host)) => host == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        _ => Err(ConfigError::invalid(name, "must be an https URL, or http on a loopback host")),
    }
}

/// Reads every item of a list; items of nothing, as in an empty variable, are left out.
fn listed<T>(items: &[String], read: fn(&str) -> Result<T, ConfigError>) -> Result<Vec<T>, ConfigError> {
    items.iter().map(|item| item.trim()).filter(|item| !item.is_empty()).map(read).collect()
}

fn port(text: &str) -> Result<u16, ConfigError> {
    let read = text.parse().ok().filter(|port| *port != 0);
    read.ok_or_else(|| ConfigError::invalid("RELAY_EXTRA_CALLBACK_PORTS", format!("{text:?} is no port")))
}

fn network(text: &str) -> Result<IpNet, ConfigError> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| ConfigError::invalid("RELAY_TRUSTED_PROXIES", format!("{text:?} is no address and no network")))
}

#[cfg(test)]
mod tests;
