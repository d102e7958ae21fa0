//! The configuration fields of a tenant, and the rules of each (PROTOCOL 3).

use std::str::FromStr;

use bloonio_wire::field::Reader;
use serde::{Deserialize, Serialize};
use url::{Host, Url};
use utoipa::ToSchema;

/// Calls a minute, unless an operator says otherwise.
pub const DEFAULT_RATE_LIMIT: u32 = 60;
const MAX_URL: usize = 2048;
const MAX_ORIGINS: usize = 50;

/// What a further device of a pairing needs (SECURITY, "Devices").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeviceAddition {
    /// An existing device's confirmation.
    #[default]
    Confirm,
    /// Nothing.
    Open,
}

impl FromStr for DeviceAddition {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "confirm" => Ok(Self::Confirm),
            "open" => Ok(Self::Open),
            _ => Err("must be confirm or open"),
        }
    }
}

/// What an operator has set; addresses as they were given. A stored field that this version does not know is refused:
/// it may be one that restricts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantConfig {
    /// Calls a minute and lane.
    #[serde(skip)]
    pub rate_limit_per_min: u32,
    /// Web origins that may start a QR login; none: QR login is off.
    pub qr_login_allowed_origins: Vec<String>,
    /// Where callbacks go that name no address of their own.
    pub callback_url_base: Option<String>,
    /// Shown on devices instead of `tenant_name`.
    pub branding_display_name: Option<String>,
    /// Picture for devices, https.
    pub branding_logo_url: Option<String>,
    /// Relying party of passkeys.
    pub webauthn_rp_id: Option<String>,
    /// Web origins that may use passkeys; none: passkeys are off.
    pub webauthn_origins: Vec<String>,
    /// Only `false` switches passkeys off.
    pub passkeys_enabled: Option<bool>,
    /// Refuses calls signed with HMAC #1 alone.
    pub require_message_signatures: bool,
    /// What a further device of a pairing needs.
    pub device_addition: DeviceAddition,
    /// Origins besides that of `callback_url_base` which callback addresses may have.
    pub extra_callback_origins: Vec<String>,
}

impl Default for TenantConfig {
    fn default() -> Self {
        Self {
            rate_limit_per_min: DEFAULT_RATE_LIMIT,
            qr_login_allowed_origins: Vec::new(),
            callback_url_base: None,
            branding_display_name: None,
            branding_logo_url: None,
            webauthn_rp_id: None,
            webauthn_origins: Vec::new(),
            passkeys_enabled: None,
            require_message_signatures: false,
            device_addition: DeviceAddition::Confirm,
            extra_callback_origins: Vec::new(),
        }
    }
}

/// Body of POST /provision/tenant and POST /update/tenant, as the OpenAPI document shows it. Read field by field, so that
/// all broken rules are named and `null` differs from absent.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"tenant_name": "Bank", "callback_url_base": "https://bank.example/api"}))]
#[expect(dead_code, reason = "a description: requests are read by TenantConfig::apply")]
pub struct TenantFields {
    /// 1 to 128 characters; required to provision, never cleared.
    #[schema(min_length = 1, max_length = 128)]
    tenant_name: Option<String>,
    /// 1 to 10,000 calls a minute; default 60.
    #[schema(minimum = 1, maximum = 10_000)]
    rate_limit_per_min: Option<u32>,
    #[serde(flatten)]
    config: TenantConfig,
}

/// Reads the required `tenant_name`.
pub fn tenant_name(reader: &mut Reader<'_>) -> String {
    let name = reader.text("tenant_name", 1..=128);
    check_shown(reader, "tenant_name", &name);
    name
}

impl TenantConfig {
    /// Takes over the fields that are there; `null` brings a field back to its default. Broken rules are the reader's.
    pub fn apply(&mut self, reader: &mut Reader<'_>, allow_http: bool) {
        if reader.has("rate_limit_per_min") {
            let given = reader.optional_integer("rate_limit_per_min", 1..=10_000);
            self.rate_limit_per_min = given.and_then(|rate| u32::try_from(rate).ok()).unwrap_or(DEFAULT_RATE_LIMIT);
        }
        if reader.has("callback_url_base") {
            self.callback_url_base = checked(reader, "callback_url_base", |text| callback_base(text, allow_http));
        }
        if reader.has("branding_display_name") {
            self.branding_display_name = reader.optional_text("branding_display_name", 1..=128);
            if let Some(name) = &self.branding_display_name {
                check_shown(reader, "branding_display_name", name);
            }
        }
        if reader.has("branding_logo_url") {
            self.branding_logo_url = checked(reader, "branding_logo_url", logo_url);
        }
        if reader.has("webauthn_rp_id") {
            self.webauthn_rp_id = checked(reader, "webauthn_rp_id", relying_party);
        }
        if reader.has("passkeys_enabled") {
            self.passkeys_enabled = reader.optional_bool("passkeys_enabled");
        }
        if reader.has("require_message_signatures") {
            self.require_message_signatures = reader.optional_bool("require_message_signatures").unwrap_or(false);
        }
        if reader.has("device_addition") {
            self.device_addition = reader.optional_parsed("device_addition").unwrap_or_default();
        }
        for (name, field) in [
            ("qr_login_allowed_origins", &mut self.qr_login_allowed_origins),
            ("webauthn_origins", &mut self.webauthn_origins),
            ("extra_callback_origins", &mut self.extra_callback_origins),
        ] {
            if reader.has(name) {
                *field = origins(reader, name, allow_http);
            }
        }
    }
}

fn check_shown(reader: &mut Reader<'_>, name: &str, text: &str) {
    // An empty text has its problem already.
    if !text.is_empty() && (text.trim().is_empty() || text.chars().any(char::is_control)) {
        reader.problem(name, "must not be blank or contain control characters");
    }
}

fn checked<'a>(
    reader: &mut Reader<'a>,
    name: &'a str,
    rule: impl Fn(&str) -> Result<(), &'static str>,
) -> Option<String> {
    let text = reader.optional_text(name, 1..=MAX_URL)?;
    match rule(&text) {
        Ok(()) => Some(text),
        Err(problem) => {
            reader.problem(name, problem);
            None
        }
    }
}

/// Parses an address without white space, which `Url` would drop silently.
fn address(text: &str) -> Result<Url, &'static str> {
    let clean = !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\');
    let url = Url::parse(text).ok().filter(|url| clean && url.has_host()).ok_or("must be an absolute URL")?;
    if !url.username().is_empty() || url.password().is_some() || text.contains('@') {
        return Err("must not contain user information");
    }
    Ok(url)
}

fn callback_base(text: &str, allow_http: bool) -> Result<(), &'static str> {
    let url = address(text)?;
    match url.scheme() {
        "https" => (),
        "http" if allow_http => (),
        _ => return Err("must be an https URL"),
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not contain a query or a fragment");
    }
    Ok(())
}

fn logo_url(text: &str) -> Result<(), &'static str> {
    if address(text)?.scheme() == "https" { Ok(()) } else { Err("must be an https URL") }
}

/// A registrable domain or `localhost`, as WebAuthn wants it: no scheme, no port, no address.
fn relying_party(text: &str) -> Result<(), &'static str> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let domain = matches!(Host::parse(text), Ok(Host::Domain(_)));
    if domain && text.len() <= 253 && text.split('.').all(label) { Ok(()) } else { Err("must be a lower-case domain") }
}

/// Scheme, host and port, and nothing behind them.
fn origin(text: &str, allow_http: bool) -> Result<(), &'static str> {
    let problem = "must be an origin such as https://app.example.com";
    let url = address(text).map_err(|_| problem)?;
    match url.scheme() {
        "https" => (),
        "http" if allow_http || is_local(&url) => (),
        _ => return Err("must be an https origin"),
    }
    // A browser sends an origin in exactly one form, the one that is compared later.
    if url.origin().ascii_serialization() == text { Ok(()) } else { Err(problem) }
}

/// Whether a URL names this machine.
pub(crate) fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

fn origins<'a>(reader: &mut Reader<'a>, name: &'a str, allow_http: bool) -> Vec<String> {
    let items = reader.optional_list(name, 0..=MAX_ORIGINS).unwrap_or_default();
    let mut origins = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        let path = format!("{name}[{i}]");
        match item.as_str().map(|text| (text, origin(text, allow_http))) {
            None => reader.problem(&path, "must be a string"),
            Some((_, Err(problem))) => reader.problem(&path, problem),
            Some((text, Ok(()))) => origins.push(text.to_owned()),
        }
    }
    origins
}
