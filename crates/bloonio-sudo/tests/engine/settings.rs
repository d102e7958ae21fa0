//! Configuration: every name of PROTOCOL 10, and what is said of a wrong value.

use crate::support::{SECRET, TENANT};
use bloonio_sudo::settings::StateBackend;
use bloonio_sudo::{BuildError, ConfigError, RelaySettings, SudoEngine};
use rstest::rstest;

/// The environment that suffices, with some variables set otherwise.
fn read(changes: &[(&str, &str)]) -> Result<RelaySettings, ConfigError> {
    RelaySettings::from_lookup(|name| {
        let name = name.strip_prefix("BLOONIO_RELAY_").expect("every variable has the prefix");
        let changed = changes.iter().rev().find(|(changed, _)| *changed == name).map(|(_, value)| (*value).to_owned());
        changed.or_else(|| match name {
            "BASE_URL" => Some("https://relay.example".to_owned()),
            "TENANT_ID" => Some(TENANT.to_owned()),
            "TENANT_SECRET" => Some(SECRET.to_owned()),
            "STATE_BACKEND" => Some("memory".to_owned()),
            _ => None,
        })
    })
}

#[test]
fn four_variables_suffice() {
    let settings = read(&[]).unwrap();
    assert_eq!(settings.tenant_id().as_str(), TENANT);
    assert_eq!(settings.max_body_bytes(), 1_048_576);
}

#[rstest]
#[case("BASE_URL")]
#[case("TENANT_ID")]
#[case("TENANT_SECRET")]
fn a_missing_variable_is_named(#[case] name: &str) {
    let error = read(&[(name, " ")]).unwrap_err();
    assert_eq!(error.to_string(), format!("BLOONIO_RELAY_{name} is not set"));
}

#[rstest]
#[case("")]
#[case("redis")]
fn redis_is_the_default_and_needs_an_address(#[case] backend: &str) {
    let error = read(&[("STATE_BACKEND", backend)]).unwrap_err().to_string();
    for word in ["BLOONIO_RELAY_STATE_BACKEND_URL", "Redis", "memory"] {
        assert!(error.contains(word), "{error}");
    }
    let settings = read(&[("STATE_BACKEND", backend), ("STATE_BACKEND_URL", "redis://jane:hush@127.0.0.1")]).unwrap();
    assert!(matches!(settings.state_backend(), StateBackend::Redis { required_replicas: 0, .. }));
    assert!(!format!("{settings:?}").contains("hush"));
}

#[test]
fn an_engine_over_redis_is_connected_not_built() {
    let settings = read(&[("STATE_BACKEND", ""), ("STATE_BACKEND_URL", "redis://127.0.0.1")]).unwrap();
    let built = SudoEngine::builder(settings).with_identity(|_| None).build();
    assert!(matches!(built, Err(BuildError::NotConnected)), "{built:?}");
}

#[rstest]
#[case("BASE_URL", "relay.example")]
#[case("BASE_URL", "http://relay.example")]
#[case("BASE_URL", "http://127.0.0.1.evil.example")]
#[case("BASE_URL", "http://localhost.evil.example")]
#[case("BASE_URL", "ftp://relay.example")]
#[case("BASE_URL", "https://relay.example/?x=1")]
#[case("BASE_URL", "https://relay.example/#x")]
#[case("TENANT_ID", "tnt_1")]
#[case("STATE_BACKEND", "postgres")]
#[case("STATE_ALLOW_EVICTION", "perhaps")]
#[case("STATE_REQUIRED_REPLICAS", "17")]
#[case("CALLBACK_PATH", "api/callback")]
#[case("CALLBACK_PATH", "/")]
#[case("CALLBACK_PATH", "/api/{id}")]
#[case("CALLBACK_PATH", "/api//x")]
#[case("CALLBACK_PATH", "/api/../x")]
#[case("CALLBACK_PATH", "/_bloonio/submit-response")]
#[case("CALLBACK_PATH", "/relay-callbacks/mine")]
#[case("PUBLIC_CALLBACK_BASE_URL", "bank.example")]
#[case("PUBLIC_CALLBACK_BASE_URL", "https://bank.example/?x=1")]
#[case("OUTCOME_DELIVERY", "pigeon")]
#[case("INSTRUCTION_TTL_SECONDS", "9")]
#[case("INSTRUCTION_TTL_SECONDS", "601")]
#[case("REQUEST_TIMEOUT_SECONDS", "0")]
#[case("BLOCK_TIMEOUT_SECONDS", "soon")]
#[case("MAX_BODY_BYTES", "-1")]
#[case("MAX_PENDING_PER_USER", "0")]
#[case("MAX_PENDING_PER_INITIATOR", "1001")]
#[case("EXECUTION_WINDOW_SECONDS", "1.5")]
#[case("PENDING_OP_TTL_SECONDS", "x")]
#[case("GROUP_ACTION_TTL_SECONDS", "12960001")]
fn a_wrong_value_is_named_and_shown(#[case] name: &str, #[case] value: &str) {
    let redis = [("STATE_BACKEND", "redis"), ("STATE_BACKEND_URL", "redis://127.0.0.1")];
    let error = read(&[&redis[..], &[(name, value)]].concat()).unwrap_err().to_string();
    assert!(error.contains(&format!("BLOONIO_RELAY_{name}")) && error.contains(value), "{error}");
}

#[rstest]
#[case("TENANT_SECRET", "hush")]
#[case("STATE_BACKEND_URL", "http://jane:hush@127.0.0.1")]
#[case("STATE_BACKEND_URL", "jane:hush@127.0.0.1")]
#[case("STATE_BACKEND_URL", "redis://")]
#[case("PENDING_OP_KEY", "aHVzaA==")]
#[case("BASE_URL", "https://jane:hush@relay.example")]
#[case("BASE_URL", "jane:hush@relay.example")]
fn a_wrong_secret_is_named_and_not_shown(#[case] name: &str, #[case] value: &str) {
    let backend = if name == "STATE_BACKEND_URL" { "redis" } else { "memory" };
    let error = read(&[("STATE_BACKEND", backend), (name, value)]).unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(shown.contains(&format!("BLOONIO_RELAY_{name}")), "{shown}");
    assert!(!shown.contains("hush") && !shown.contains("aHVzaA"), "{shown}");
}

#[rstest]
#[case("https://relay.example/base/")]
#[case("http://127.0.0.1:8700")]
#[case("http://[::1]:8700")]
#[case("http://localhost:8700")]
fn https_and_loopback_are_good_addresses(#[case] url: &str) {
    read(&[("BASE_URL", url)]).unwrap();
}

#[test]
fn settings_show_no_secret() {
    let settings = read(&[]).unwrap();
    assert!(!format!("{settings:?}").contains(SECRET));
}

#[test]
fn a_secret_that_could_be_guessed_is_refused_however_it_comes() {
    for secret in ["", "short"] {
        let tenant = "tnt_0123456789abcdef0123456789abcdef".parse().unwrap();
        let refused =
            bloonio_sudo::RelaySettings::new("https://relay.example", tenant, bloonio_sudo::Secret::new(secret));
        assert!(matches!(refused, Err(bloonio_sudo::ConfigError::InvalidSecret { .. })), "{secret:?}");
    }
}

#[test]
fn requirements_that_would_bind_nothing_or_exempt_the_wrong_user_are_refused() {
    use bloonio_sudo::{RequirementError, SudoRequirement};
    for name in ["", "x tenant", "idempotency-key ", "naïve"] {
        let refused = SudoRequirement::new("pay").with_bound_header(name).check();
        assert!(matches!(refused, Err(RequirementError::BoundHeader(_))), "{name:?}");
    }
    let another = SudoRequirement::new("pair").with_user(|_| None).with_enrolment_exception();
    assert_eq!(another.check(), Err(RequirementError::EnrolmentOfAnother));
}
