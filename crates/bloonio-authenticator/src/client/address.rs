//! Which addresses a device talks to.

use url::{Host, Url};

use crate::error::SetupError;

/// Whether the address is this machine, so that nothing leaves it.
pub fn is_loopback(base: &Url) -> bool {
    match base.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The text that `/device/...` is appended to.
pub fn api_root(base: &Url, insecure_http: bool) -> Result<String, SetupError> {
    let plain = base.username().is_empty() && base.password().is_none();
    if !plain || base.query().is_some() || base.fragment().is_some() || base.host().is_none() {
        return Err(SetupError::BadAddress(without_credentials(base)));
    }
    match base.scheme() {
        "https" => {}
        "http" if insecure_http || is_loopback(base) => {}
        "http" => return Err(SetupError::InsecureAddress(base.to_string())),
        _ => return Err(SetupError::BadAddress(base.to_string())),
    }
    Ok(format!("{}/api/v1", base.as_str().trim_end_matches('/')))
}

/// For messages: they must not repeat what somebody put before an `@`, nor a query.
fn without_credentials(base: &Url) -> String {
    format!("{}://{}", base.scheme(), base.host_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("https://relay.example", "https://relay.example/api/v1")]
    #[case("https://relay.example:8443/", "https://relay.example:8443/api/v1")]
    #[case("https://relay.example/bloonio/", "https://relay.example/bloonio/api/v1")]
    #[case("http://127.0.0.1:8700", "http://127.0.0.1:8700/api/v1")]
    #[case("http://127.8.8.8:8700", "http://127.8.8.8:8700/api/v1")]
    #[case("http://localhost:1", "http://localhost:1/api/v1")]
    #[case("http://[::1]:1", "http://[::1]:1/api/v1")]
    fn relays_are_https_or_this_machine(#[case] base: &str, #[case] root: &str) {
        assert_eq!(api_root(&base.parse().unwrap(), false).unwrap(), root);
    }

    #[rstest]
    #[case("http://relay.example")]
    #[case("http://10.0.0.1:8700")]
    #[case("http://localhost.evil.example")]
    fn other_machines_over_http_need_the_insecure_option(#[case] base: &str) {
        let base = base.parse().unwrap();
        assert!(matches!(api_root(&base, false), Err(SetupError::InsecureAddress(_))));
        assert!(api_root(&base, true).is_ok());
    }

    #[rstest]
    #[case("ftp://relay.example")]
    #[case("https://user:hush@relay.example")]
    #[case("https://relay.example/?a=hush")]
    #[case("https://relay.example/#hush")]
    #[case("data:text/plain,x")]
    fn addresses_that_are_no_base_are_refused_without_repeating_secrets(#[case] base: &str) {
        let error = api_root(&base.parse().unwrap(), true).unwrap_err();
        assert!(matches!(error, SetupError::BadAddress(_)));
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}
