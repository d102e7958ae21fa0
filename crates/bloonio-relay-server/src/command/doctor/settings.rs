//! What the settings alone tell.

use std::collections::BTreeSet;

use bloonio_wire::secret::Secret;
use url::Url;

use super::finding::Finding;
use crate::config::Config;
use crate::service::tenant::config::is_local;

/// Fewer different characters than this were typed, not drawn.
const FEWEST_CHARACTERS: usize = 12;

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    vec![public_url(config), admin_key(config), proxies(config), callbacks(config)]
}

fn public_url(config: &Config) -> Finding {
    let check = "public address";
    let advice = "set RELAY_PUBLIC_URL to the https address by which phones and backends reach this relay";
    let Ok(url) = Url::parse(&config.public_url) else {
        return Finding::warn(check, "not set: pairing codes name the address that the relay listens on", advice);
    };
    match (url.scheme(), is_local(&url)) {
        ("https", _) => Finding::ok(check, config.public_url.as_str()),
        (_, true) => Finding::warn(check, format!("{}: good for this machine alone", config.public_url), advice),
        _ => Finding::fail(check, format!("{}: session tokens would travel in the clear", config.public_url), advice),
    }
}

fn admin_key(config: &Config) -> Finding {
    let check = "admin key";
    let draw = "draw one: head -c 32 /dev/urandom | base64";
    let looks_typed = |key: &Secret| key.as_bytes().iter().collect::<BTreeSet<_>>().len() < FEWEST_CHARACTERS;
    match config.admin_keys.len() {
        0 => Finding::warn(check, "not set: operator calls answer 401", format!("set RELAY_ADMIN_KEY; {draw}")),
        _ if config.admin_keys.iter().any(looks_typed) => {
            Finding::fail(check, "one of them is long, but easily guessed", draw)
        }
        1 => Finding::ok(check, "set"),
        _ => Finding::warn(check, "two are accepted", "unset the old one once nobody uses it any more"),
    }
}

fn proxies(config: &Config) -> Finding {
    let check = "trusted proxies";
    let all = config.trusted_proxies.iter().any(|net| net.prefix_len() == 0);
    let behind_tls = config.public_url.starts_with("https://");
    match config.trusted_proxies.len() {
        _ if all => Finding::fail(
            check,
            "everybody is believed: callers choose the address that limits and audit trail see",
            "list the proxies alone in RELAY_TRUSTED_PROXIES",
        ),
        0 if behind_tls => Finding::warn(
            check,
            "none, though something else terminates TLS: to the relay all strangers are one address",
            "list the proxies in RELAY_TRUSTED_PROXIES",
        ),
        0 => Finding::ok(check, "none"),
        count => Finding::ok(check, format!("{count} listed")),
    }
}

fn callbacks(config: &Config) -> Finding {
    let check = "callback guard";
    let ports = &config.guard.extra_ports;
    match (config.guard.allow_private, ports.is_empty()) {
        (true, _) => Finding::warn(
            check,
            "callbacks may reach private addresses, http and any port",
            "unset RELAY_ALLOW_PRIVATE_CALLBACKS where tenants are not all your own",
        ),
        (false, true) => Finding::ok(check, "https on port 443, public addresses alone"),
        (false, false) => Finding::ok(check, format!("https on ports 443 and {ports:?}, public addresses alone")),
    }
}
