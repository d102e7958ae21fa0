//! Who is at the other end: the peer, or what a trusted proxy says (`RELAY_TRUSTED_PROXIES`).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::ConnectInfo;
use http::request::Parts;
use ipnet::IpNet;

/// The client's address. `X-Forwarded-For` is read from its end, for only what a trusted proxy appended is known: the
/// first address that is no trusted proxy is the client.
pub fn client_address(parts: &Parts, trusted: &[IpNet]) -> IpAddr {
    let peer =
        parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip().to_canonical());
    // Without a peer, as over a pipe, all callers are one.
    let mut client = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let is_trusted = |ip: IpAddr| trusted.iter().any(|network| network.contains(&ip));
    let values: Vec<_> = parts.headers.get_all("x-forwarded-for").iter().collect();
    let mut hops = values.iter().rev().flat_map(|value| value.as_bytes().rsplit(|&b| b == b','));
    while is_trusted(client) {
        match hops.next().and_then(hop) {
            Some(ip) => client = ip,
            None => break,
        }
    }
    client
}

fn hop(bytes: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let ip = text.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    ip.ok().map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::direct("192.0.2.1", &[], "192.0.2.1")]
    #[case::forged_by_the_client("192.0.2.1", &["203.0.113.9"], "192.0.2.1")]
    #[case::one_proxy("10.0.0.1", &["203.0.113.9"], "203.0.113.9")]
    #[case::client_prepends("10.0.0.1", &["1.1.1.1, 203.0.113.9"], "203.0.113.9")]
    #[case::two_proxies("10.0.0.1", &["203.0.113.9, 10.0.0.2"], "203.0.113.9")]
    #[case::two_headers("10.0.0.1", &["1.1.1.1", "203.0.113.9,10.0.0.2"], "203.0.113.9")]
    #[case::with_port("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9")]
    #[case::noise("10.0.0.1", &["unknown"], "10.0.0.1")]
    #[case::noise_behind_a_proxy("10.0.0.1", &["1.1.1.1, unknown, 10.0.0.2"], "10.0.0.2")]
    #[case::proxies_alone("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3")]
    #[case::mapped("::ffff:10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9")]
    fn only_what_trusted_proxies_appended_is_believed(
        #[case] peer: IpAddr,
        #[case] forwarded: &[&str],
        #[case] client: IpAddr,
    ) {
        let mut request = http::Request::builder();
        for value in forwarded {
            request = request.header("x-forwarded-for", *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        parts.extensions.insert(ConnectInfo(SocketAddr::new(peer, 1)));
        assert_eq!(client_address(&parts, &["10.0.0.0/8".parse().unwrap()]), client);
    }
}
