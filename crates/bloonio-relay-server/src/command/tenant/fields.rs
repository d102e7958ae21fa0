//! A tenant's configuration as flags: every field of PROTOCOL 3, absent unless given.

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::args::truth;

/// The configuration fields. Their rules are the relay's own, checked when the command runs.
#[derive(Debug, Clone, Default, Serialize, Args)]
#[command(next_help_heading = "Configuration of the tenant")]
pub struct ConfigArgs {
    /// Calls a minute, 1 to 10000 [default: 60].
    #[arg(long, value_name = "N")]
    pub rate_limit_per_min: Option<u32>,

    /// Where callbacks go: https, no query.
    #[arg(long, value_name = "URL")]
    pub callback_url_base: Option<String>,

    /// Further origins that callback addresses may have, separated by commas.
    #[arg(long, value_name = "ORIGINS", value_delimiter = ',')]
    pub extra_callback_origins: Option<Vec<String>>,

    /// Refuse calls that carry HMAC #1 alone, without an HTTP message signature [default of a tenant added here: true].
    #[arg(long, value_name = "BOOL", value_parser = truth, num_args = 0..=1, default_missing_value = "true")]
    pub require_message_signatures: Option<bool>,

    /// What a further device of a user needs: the confirmation of an existing one, or nothing [default: confirm].
    #[arg(long, value_name = "RULE", value_parser = ["confirm", "open"])]
    pub device_addition: Option<String>,

    /// Name that people see on their devices [default: the tenant's name].
    #[arg(long, value_name = "NAME")]
    pub branding_display_name: Option<String>,

    /// Picture that people see on their devices: https.
    #[arg(long, value_name = "URL")]
    pub branding_logo_url: Option<String>,

    /// Web origins that may start a QR login, separated by commas; none: QR login is off.
    #[arg(long, value_name = "ORIGINS", value_delimiter = ',')]
    pub qr_login_allowed_origins: Option<Vec<String>>,

    /// Relying party of passkeys: a domain.
    #[arg(long, value_name = "DOMAIN")]
    pub webauthn_rp_id: Option<String>,

    /// Web origins that may use passkeys, separated by commas; none: passkeys are off.
    #[arg(long, value_name = "ORIGINS", value_delimiter = ',')]
    pub webauthn_origins: Option<Vec<String>>,

    /// Switch passkeys off (false), or leave it to the origins (true).
    #[arg(long, value_name = "BOOL", value_parser = truth)]
    pub passkeys_enabled: Option<bool>,
}

impl ConfigArgs {
    /// The fields that were given, as a call's body names them.
    ///
    /// # Errors
    /// That of the serialisation.
    pub fn fields(&self) -> serde_json::Result<Map<String, Value>> {
        let fields = match serde_json::to_value(self)? {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        Ok(fields.into_iter().filter(|(_, value)| !value.is_null()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use serde_json::json;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        config: ConfigArgs,
    }

    #[test]
    fn only_what_was_given_is_there() {
        let line = Line::parse_from(["x", "--webauthn-origins", "https://a.example,https://b.example"]);
        let fields = Value::Object(line.config.fields().unwrap());
        assert_eq!(fields, json!({"webauthn_origins": ["https://a.example", "https://b.example"]}));
    }

    #[test]
    fn every_field_of_the_configuration_has_a_flag() {
        let known = serde_json::to_value(crate::service::tenant::TenantConfig::default()).unwrap();
        let flags = serde_json::to_value(ConfigArgs::default()).unwrap();
        let names = |object: &Value| object.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let mut known = names(&known);
        known.push("rate_limit_per_min".to_owned());
        known.sort();
        let mut flags = names(&flags);
        flags.sort();
        assert_eq!(flags, known);
    }
}
