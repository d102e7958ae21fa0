//! Reads the settings by their names, and says exactly which one is wrong.

use std::ops::RangeInclusive;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bloonio_wire::id::TenantId;
use bloonio_wire::secret::Secret;
use url::{Host, Url};

use super::{OutcomeDelivery, RelaySettings, StateBackend};

const PREFIX: &str = "BLOONIO_RELAY_";

/// A setting that is missing or wrong. Messages name the variable and, unless it is a secret, the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A required variable is not set.
    #[error("{name} is not set")]
    Missing {
        /// The variable.
        name: String,
    },
    /// A value that breaks its rule.
    #[error("{name} is {value:?}: it {rule}")]
    Invalid {
        /// The variable.
        name: String,
        /// What it holds.
        value: String,
        /// The rule.
        rule: String,
    },
    /// A secret that breaks its rule; the value is not shown.
    #[error("{name} {rule}")]
    InvalidSecret {
        /// The variable.
        name: String,
        /// The rule.
        rule: &'static str,
    },
    /// An address that may not be used.
    #[error("{name} is {value:?}: it {rule}")]
    NotAnAddress {
        /// The variable.
        name: String,
        /// What it holds, without user and password.
        value: String,
        /// The rule.
        rule: &'static str,
    },
    /// The state is to be kept in Redis, which is the default, and nobody says where that is.
    #[error(
        "BLOONIO_RELAY_STATE_BACKEND_URL is not set: give the address of Redis, or set BLOONIO_RELAY_STATE_BACKEND to memory (one process, nothing survives a restart)"
    )]
    NoRedisAddress,
}

type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

pub(super) fn read(lookup: Lookup<'_>) -> Result<RelaySettings, ConfigError> {
    let tenant_id = parsed(lookup, "TENANT_ID", |text| TenantId::parse(text).map_err(|error| error.to_string()))?
        .ok_or_else(|| missing("TENANT_ID"))?;
    let secret = secret(lookup)?;
    let base_url = value(lookup, "BASE_URL").ok_or_else(|| missing("BASE_URL"))?;
    let mut settings = RelaySettings::new(&base_url, tenant_id, secret)?;
    settings.state_backend = match value(lookup, "STATE_BACKEND").as_deref() {
        Some("memory") => StateBackend::Memory,
        None | Some("redis") => redis(lookup)?,
        Some(other) => return Err(invalid("STATE_BACKEND", other, "must be redis or memory")),
    };
    if let Some(path) = parsed(lookup, "CALLBACK_PATH", callback_path)? {
        settings.callback_path = path;
    }
    if let Some(url) = value(lookup, "PUBLIC_CALLBACK_BASE_URL") {
        settings = settings.with_public_callback_base_url(&url)?;
    }
    if let Some(delivery) = parsed(lookup, "OUTCOME_DELIVERY", outcome_delivery)? {
        settings.outcome_delivery = delivery;
    }
    numbers(lookup, &mut settings)?;
    reserved(lookup)?;
    Ok(settings)
}

fn redis(lookup: Lookup<'_>) -> Result<StateBackend, ConfigError> {
    let url = value(lookup, "STATE_BACKEND_URL").ok_or(ConfigError::NoRedisAddress)?;
    if !is_redis_address(&url) {
        // It may hold a password, whatever it looks like.
        let name = format!("{PREFIX}STATE_BACKEND_URL");
        return Err(ConfigError::InvalidSecret { name, rule: REDIS_ADDRESS });
    }
    let insecure_allow_eviction = parsed(lookup, "STATE_ALLOW_EVICTION", boolean)?.unwrap_or(false);
    let mut required = 0;
    count(lookup, "STATE_REQUIRED_REPLICAS", 0..=16, &mut required)?;
    let required_replicas = u32::try_from(required).unwrap_or(u32::MAX);
    Ok(StateBackend::Redis { url: Secret::new(url), insecure_allow_eviction, required_replicas })
}

const REDIS_ADDRESS: &str = "must be redis://, redis-cluster:// or redis-sentinel:// (rediss… with TLS), then a host";
const REDIS_SCHEMES: [&str; 6] =
    ["redis", "rediss", "redis-cluster", "rediss-cluster", "redis-sentinel", "rediss-sentinel"];

/// Whether `url` looks like an address of Redis.
pub(crate) fn is_redis_address(url: &str) -> bool {
    Url::parse(url)
        .is_ok_and(|url| REDIS_SCHEMES.contains(&url.scheme()) && url.host_str().is_some_and(|host| !host.is_empty()))
}

fn boolean(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "must be true or false".to_owned())
}

fn numbers(lookup: Lookup<'_>, settings: &mut RelaySettings) -> Result<(), ConfigError> {
    // The relay takes prompts of 10 to 600 seconds (PROTOCOL 5).
    seconds(lookup, "INSTRUCTION_TTL_SECONDS", 10..=600, &mut settings.instruction_ttl)?;
    seconds(lookup, "REQUEST_TIMEOUT_SECONDS", 1..=120, &mut settings.request_timeout)?;
    let mut block_timeout = Duration::ZERO;
    seconds(lookup, "BLOCK_TIMEOUT_SECONDS", 1..=600, &mut block_timeout)?;
    settings.block_timeout = (!block_timeout.is_zero()).then_some(block_timeout);
    seconds(lookup, "EXECUTION_WINDOW_SECONDS", 1..=86_400, &mut settings.execution_window)?;
    count(lookup, "REPLICAS", 1..=10_000, &mut settings.replicas)?;
    count(lookup, "MAX_BODY_BYTES", 1..=1 << 30, &mut settings.max_body_bytes)?;
    count(lookup, "MAX_PENDING_PER_USER", 1..=1_000, &mut settings.max_pending_per_user)?;
    count(lookup, "MAX_PENDING_PER_INITIATOR", 1..=1_000, &mut settings.max_pending_per_initiator)
}

/// Settings of later versions: checked, so that a mistake shows today.
fn reserved(lookup: Lookup<'_>) -> Result<(), ConfigError> {
    seconds(lookup, "PENDING_OP_TTL_SECONDS", 1..=86_400, &mut Duration::default())?;
    seconds(lookup, "GROUP_ACTION_TTL_SECONDS", 1..=12_960_000, &mut Duration::default())?;
    match value(lookup, "PENDING_OP_KEY") {
        Some(key) if STANDARD.decode(&key).map(|key| key.len()) != Ok(32) => Err(ConfigError::InvalidSecret {
            name: format!("{PREFIX}PENDING_OP_KEY"),
            rule: "must be 32 bytes in base64",
        }),
        _ => Ok(()),
    }
}

/// A variable's value without blanks around it; empty counts as unset.
fn value(lookup: Lookup<'_>, name: &str) -> Option<String> {
    let value = lookup(&format!("{PREFIX}{name}"))?;
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

fn missing(name: &str) -> ConfigError {
    ConfigError::Missing { name: format!("{PREFIX}{name}") }
}

fn invalid(name: &str, value: &str, rule: impl Into<String>) -> ConfigError {
    ConfigError::Invalid { name: format!("{PREFIX}{name}"), value: value.to_owned(), rule: rule.into() }
}

fn parsed<T>(
    lookup: Lookup<'_>,
    name: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, ConfigError> {
    let Some(value) = value(lookup, name) else { return Ok(None) };
    parse(&value).map(Some).map_err(|rule| invalid(name, &value, rule))
}

fn count(lookup: Lookup<'_>, name: &str, range: RangeInclusive<usize>, into: &mut usize) -> Result<(), ConfigError> {
    let read = |text: &str| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
    };
    if let Some(number) = parsed(lookup, name, read)? {
        *into = number;
    }
    Ok(())
}

fn seconds(
    lookup: Lookup<'_>,
    name: &str,
    range: RangeInclusive<usize>,
    into: &mut Duration,
) -> Result<(), ConfigError> {
    let mut number = 0;
    count(lookup, name, range, &mut number)?;
    // Zero is in no range, so it means that the variable is not set.
    if number > 0 {
        *into = Duration::from_secs(number as u64);
    }
    Ok(())
}

fn secret(lookup: Lookup<'_>) -> Result<Secret, ConfigError> {
    value(lookup, "TENANT_SECRET").map(Secret::new).ok_or_else(|| missing("TENANT_SECRET"))
}

/// An empty or short key would sign, and verify, whatever an attacker likes to guess.
pub(super) fn check_secret(secret: &Secret) -> Result<(), ConfigError> {
    if secret.as_bytes().len() >= 32 {
        return Ok(());
    }
    let name = format!("{PREFIX}TENANT_SECRET");
    Err(ConfigError::InvalidSecret { name, rule: "must have at least 32 characters" })
}

fn outcome_delivery(text: &str) -> Result<OutcomeDelivery, String> {
    match text {
        "callback" => Ok(OutcomeDelivery::Callback),
        "poll" => Ok(OutcomeDelivery::Poll),
        "both" => Ok(OutcomeDelivery::Both),
        _ => Err("must be callback, poll or both".into()),
    }
}

/// A path that can be mounted beside the fixed ones of PROTOCOL 9.4.
fn callback_path(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.~".contains(&b);
    if !text.starts_with('/') || text.len() < 2 || text.ends_with('/') || text.contains("//") {
        return Err("must begin with a slash and not end with one".into());
    }
    if !text.bytes().all(plain) {
        return Err("must have no characters but letters, digits, and /-_.~".into());
    }
    if text.split('/').any(|segment| segment == "." || segment == "..") {
        return Err("must have no . or .. between its slashes".into());
    }
    if ["/_bloonio/", "/relay-callbacks/", "/api/v1/relay-callbacks/"].iter().any(|taken| text.starts_with(taken)) {
        return Err("must not be one of the paths that are mounted anyway".into());
    }
    Ok(text.to_owned())
}

fn address(name: &str, text: &str, secure: bool) -> Result<Url, ConfigError> {
    let wrong = |shown: &str, rule| ConfigError::NotAnAddress {
        name: format!("{PREFIX}{name}"),
        value: shown.to_owned(),
        rule,
    };
    // What cannot be read may still hold a password: it is shown only where there can be none.
    let shown = if text.contains('@') { "" } else { text };
    let mut url = Url::parse(text).map_err(|_| wrong(shown, "must be an absolute URL"))?;
    let has_user = !url.username().is_empty() || url.password().is_some();
    let _ = url.set_password(None);
    let _ = url.set_username("");
    if has_user {
        return Err(wrong(url.as_str(), "must not hold a user or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong(shown, "must have neither query nor fragment"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if !secure || is_loopback(&url) => Ok(url),
        "http" => Err(wrong(shown, "must be https, or http to a loopback address")),
        _ => Err(wrong(shown, "must be an https URL")),
    }
}

/// The relay's address: https, or this very machine (SECURITY, "What counts as approved").
pub(super) fn relay_address(text: &str) -> Result<Url, ConfigError> {
    address("BASE_URL", text, true)
}

/// Where the relay reaches this backend; the relay itself judges whether it may.
pub(super) fn callback_base(text: &str) -> Result<Url, ConfigError> {
    address("PUBLIC_CALLBACK_BASE_URL", text, false)
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
