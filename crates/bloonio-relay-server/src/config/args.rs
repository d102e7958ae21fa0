//! The flags and environment variables, as clap reads them. Flags have the variables' names in kebab-case (PROTOCOL 10).

use std::path::PathBuf;

use bloonio_wire::secret::Secret;
use clap::builder::{OsStringValueParser, RangedU64ValueParser, TypedValueParser};
use clap::{ArgAction, Args, ValueEnum};

use super::ConfigError;

/// Form of the log on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Settings of whatever opens the database.
#[derive(Debug, Clone, Args)]
pub struct StoreArgs {
    /// Folder of the database and the master key; created if missing.
    #[arg(long, env = "RELAY_DATA_DIR", default_value = "./relay-data", value_name = "DIR")]
    pub relay_data_dir: PathBuf,

    /// Database: sqlite:// and a path, for one relay, or postgres:// and a server, for several [default: relay.db in the data
    /// folder].
    #[arg(long, env = "RELAY_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub relay_database_url: Option<Secret>,

    /// Master key, 32 bytes in base64 [default: master.key in the data folder, made at the first start].
    #[arg(long, env = "RELAY_MASTER_KEY", hide_env_values = true, value_name = "BASE64")]
    pub relay_master_key: Option<Secret>,

    /// Master keys that open and verify, but neither seal nor sign, separated by commas: while a key is replaced.
    #[arg(
        long,
        env = "RELAY_MASTER_KEY_PREVIOUS",
        hide_env_values = true,
        value_delimiter = ',',
        value_name = "BASE64"
    )]
    pub relay_master_key_previous: Vec<Secret>,

    /// Folder of secrets as files, such as those of a container or of systemd: relay_database_url, relay_master_key,
    /// relay_master_key_previous, relay_admin_key, relay_admin_key_next, relay_redis_url, each where it is wanted.
    #[arg(long, env = "RELAY_SECRETS_DIR", value_parser = OsStringValueParser::new().map(PathBuf::from), value_name = "DIR")]
    pub relay_secrets_dir: Option<PathBuf>,

    /// Form of the log.
    #[arg(long, env = "RELAY_LOG_FORMAT", value_enum, default_value_t, value_name = "FORMAT")]
    pub relay_log_format: LogFormat,
}

/// What tenants may be told to use as an address.
#[derive(Debug, Clone, Args)]
pub struct CallbackArgs {
    /// Let callbacks reach private addresses, http and any port.
    #[arg(
        long,
        env = "RELAY_ALLOW_PRIVATE_CALLBACKS",
        action = ArgAction::Set,
        value_parser = truth,
        default_value = "false",
        default_missing_value = "true",
        num_args = 0..=1,
        value_name = "BOOL"
    )]
    pub relay_allow_private_callbacks: bool,
}

/// Settings of the relay.
#[derive(Debug, Clone, Args)]
pub struct RelayArgs {
    /// Address to listen on; port 0 picks a free one.
    #[arg(long, env = "RELAY_LISTEN", default_value = "127.0.0.1:8700", value_name = "ADDR")]
    pub relay_listen: String,

    /// Base address by which devices and backends reach this relay [default: http:// and the bound address].
    #[arg(long, env = "RELAY_PUBLIC_URL", value_name = "URL")]
    pub relay_public_url: Option<String>,

    #[command(flatten)]
    pub store: StoreArgs,

    /// Key of the operator calls, at least 32 bytes; without it they answer 401. Prefer the variable: flags are visible to
    /// every user of the machine.
    #[arg(long, env = "RELAY_ADMIN_KEY", hide_env_values = true, value_name = "KEY")]
    pub relay_admin_key: Option<Secret>,

    /// A second key that is accepted too, while one replaces the other.
    #[arg(long, env = "RELAY_ADMIN_KEY_NEXT", hide_env_values = true, value_name = "KEY")]
    pub relay_admin_key_next: Option<Secret>,

    /// Service-account JSON file of Firebase Cloud Messaging; without it only stream devices can be paired.
    #[arg(long, env = "RELAY_FCM_CREDENTIALS", value_parser = OsStringValueParser::new().map(PathBuf::from), value_name = "FILE")]
    pub relay_fcm_credentials: Option<PathBuf>,

    /// Base address of Firebase Cloud Messaging; http only on a loopback host.
    #[arg(long, env = "RELAY_FCM_ENDPOINT", default_value = "https://fcm.googleapis.com", value_name = "URL")]
    pub relay_fcm_endpoint: String,

    /// Messages that this relay sends to Firebase Cloud Messaging in a minute at most; several relays of one project share
    /// its quota of 600,000.
    #[arg(
        long,
        env = "RELAY_FCM_MESSAGES_PER_MIN",
        default_value_t = 300_000,
        value_parser = clap::value_parser!(u32).range(60..=600_000),
        value_name = "COUNT"
    )]
    pub relay_fcm_messages_per_min: u32,

    /// PEM file with one more trust root for outgoing TLS.
    #[arg(long, env = "RELAY_EXTRA_CA_FILE", value_parser = OsStringValueParser::new().map(PathBuf::from), value_name = "FILE")]
    pub relay_extra_ca_file: Option<PathBuf>,

    #[command(flatten)]
    pub callbacks: CallbackArgs,

    /// Ports besides 443 that callbacks may use, separated by commas.
    #[arg(long, env = "RELAY_EXTRA_CALLBACK_PORTS", value_delimiter = ',', value_name = "PORTS")]
    pub relay_extra_callback_ports: Vec<String>,

    /// Addresses or networks of the proxies whose X-Forwarded-For is believed, separated by commas.
    #[arg(long, env = "RELAY_TRUSTED_PROXIES", value_delimiter = ',', value_name = "NETS")]
    pub relay_trusted_proxies: Vec<String>,

    /// Connections at once, in all; one more is closed. The system's limit of open files must be above it.
    #[arg(
        long,
        env = "RELAY_MAX_CONNECTIONS",
        default_value_t = 20_000,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000),
        value_name = "NUMBER"
    )]
    pub relay_max_connections: usize,

    /// Connections at once from one address, trusted proxies and this machine excepted.
    #[arg(
        long,
        env = "RELAY_MAX_CONNECTIONS_PER_ADDRESS",
        default_value_t = 1_000,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000),
        value_name = "NUMBER"
    )]
    pub relay_max_connections_per_address: usize,

    /// Address of a listener of its own for /metrics and /health, where the metrics need no key.
    #[arg(long, env = "RELAY_ADMIN_LISTEN", value_name = "ADDR")]
    pub relay_admin_listen: Option<String>,

    /// Life of a pairing proof in seconds.
    #[arg(
        long,
        env = "PAIRING_PROOF_TTL_SECONDS",
        default_value_t = 300,
        value_parser = clap::value_parser!(u64).range(1..=86_400),
        value_name = "SECONDS"
    )]
    pub pairing_proof_ttl_seconds: u64,

    /// Redis by which several instances act as one: redis://, redis-cluster:// or redis-sentinel:// (rediss… with TLS).
    #[arg(long, env = "RELAY_REDIS_URL", hide_env_values = true, value_name = "URL")]
    pub relay_redis_url: Option<Secret>,

    /// Reserved.
    #[arg(long, env = "RELAY_AUTH_API_URL", hide = true)]
    pub relay_auth_api_url: Option<String>,
}

/// Yes or no; nothing at all, as compose files tend to set it, is no.
pub(crate) fn truth(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "" | "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("must be true or false"),
    }
}

impl RelayArgs {
    /// A relay that was told to share its memory with others, and does not, would be weaker than its operator believes.
    pub(super) fn refuse_what_is_not_there_yet(&self) -> Result<(), ConfigError> {
        let set = |value: &Option<String>| value.as_ref().is_some_and(|value| !value.is_empty());
        if set(&self.relay_auth_api_url) {
            return Err(ConfigError::NotYet { name: "RELAY_AUTH_API_URL", what: "a remote auth API" });
        }
        Ok(())
    }
}
