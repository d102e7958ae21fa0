//! The guard on every URL that a tenant can name (SECURITY, "Outbound and operators"; ATTACKS A65).
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail the test")]

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bloonio_relay_server::net::address::{Reach, embedded, reach};
use bloonio_relay_server::net::client::{CallbackClient, ExtraRoots};
use bloonio_relay_server::net::guard::{Guard, GuardError, GuardPolicy, Lookup, Refused};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use proptest::prelude::*;
use rstest::rstest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn strict() -> Guard {
    Guard::new(GuardPolicy::default())
}

fn lenient() -> Guard {
    Guard::new(GuardPolicy { allow_private: true, extra_ports: vec![] })
}

#[rstest]
#[case::plain("https://example.com/callback")]
#[case::query("https://example.com/callback?a=b")]
#[case::explicit_port("https://example.com:443/")]
#[case::public_v4("https://93.184.216.34/")]
#[case::public_v6("https://[2606:2800:220:1:248:1893:25c8:1946]/")]
#[case::public_v4_mapped("https://[::ffff:93.184.216.34]/")]
fn public_https_urls_pass(#[case] url: &str) {
    assert!(strict().check_url(url).is_ok());
}

#[rstest]
#[case::not_a_url("callback", GuardError::NotAUrl)]
#[case::relative("/callback", GuardError::NotAUrl)]
#[case::no_host("https://", GuardError::NotAUrl)]
#[case::zone_id("https://[fe80::1%25eth0]/", GuardError::NotAUrl)]
#[case::zone_id_unescaped("https://[fe80::1%eth0]/", GuardError::NotAUrl)]
#[case::five_parts("https://127.0.0.0.1/", GuardError::NotAUrl)]
#[case::part_too_large("https://127.0.0.256/", GuardError::NotAUrl)]
#[case::http("http://example.com/", GuardError::Scheme)]
#[case::ftp("ftp://example.com/", GuardError::Scheme)]
#[case::file("file:///etc/passwd", GuardError::Scheme)]
#[case::data("data:text/plain,x", GuardError::Scheme)]
#[case::other_port("https://example.com:8443/", GuardError::Port)]
#[case::port_22("https://example.com:22/", GuardError::Port)]
#[case::user("https://user@example.com/", GuardError::UserInfo)]
#[case::user_and_password("https://example.com:x@10.0.0.1/", GuardError::UserInfo)]
#[case::address_as_user("https://127.0.0.1@example.com/", GuardError::UserInfo)]
#[case::address_after_user("https://example.com@127.0.0.1/", GuardError::UserInfo)]
#[case::password_only("https://:x@example.com/", GuardError::UserInfo)]
#[case::fragment("https://example.com/#x", GuardError::Fragment)]
fn urls_of_another_form_are_refused(#[case] url: &str, #[case] why: GuardError) {
    assert_eq!(strict().check_url(url), Err(why));
}

#[rstest]
#[case::this_network("0.0.0.0")]
#[case::this_network_end("0.255.255.255")]
#[case::ten("10.1.2.3")]
#[case::carrier_nat("100.64.0.1")]
#[case::carrier_nat_end("100.127.255.255")]
#[case::loopback("127.0.0.1")]
#[case::loopback_elsewhere("127.8.9.1")]
#[case::metadata("169.254.169.254")]
#[case::azure_wire_server("168.63.129.16")]
#[case::private_172("172.16.0.1")]
#[case::private_172_end("172.31.255.255")]
#[case::protocol_assignments("192.0.0.192")]
#[case::documentation_1("192.0.2.1")]
#[case::sixtofour_relay("192.88.99.1")]
#[case::private_192("192.168.1.1")]
#[case::benchmark("198.18.0.1")]
#[case::benchmark_end("198.19.255.255")]
#[case::documentation_2("198.51.100.1")]
#[case::documentation_3("203.0.113.1")]
#[case::multicast("224.0.0.1")]
#[case::reserved("240.0.0.1")]
#[case::broadcast("255.255.255.255")]
#[case::decimal("2130706433")]
#[case::hexadecimal("0x7f000001")]
#[case::octal("0177.0.0.1")]
#[case::octal_in_every_part("0177.0000.0000.0001")]
#[case::octal_whole("017700000001")]
#[case::hexadecimal_parts("0x7f.0x0.0x0.0x1")]
#[case::mixed("0x7f.0.01")]
#[case::decimal_metadata("2852039166")]
#[case::hexadecimal_metadata("0xa9fea9fe")]
#[case::octal_metadata("0251.0376.0251.0376")]
#[case::short("127.1")]
#[case::full_width("１２７.０.０.１")]
#[case::circled("①②⑦.⓪.⓪.①")]
#[case::trailing_dot("127.0.0.1.")]
#[case::percent_encoded("%31%32%37.0.0.1")]
#[case::unspecified_v6("[::]")]
#[case::loopback_v6("[::1]")]
#[case::compatible("[::127.0.0.1]")]
#[case::compatible_public("[::93.184.216.34]")]
#[case::mapped("[::ffff:127.0.0.1]")]
#[case::mapped_metadata("[::ffff:a9fe:a9fe]")]
#[case::mapped_in_hexadecimal("[::ffff:7f00:1]")]
#[case::mapped_long("[0:0:0:0:0:ffff:0a00:0001]")]
#[case::nat64("[64:ff9b::10.0.0.1]")]
#[case::nat64_metadata("[64:ff9b::a9fe:a9fe]")]
#[case::nat64_public("[64:ff9b::93.184.216.34]")]
#[case::nat64_local("[64:ff9b:1::1]")]
#[case::discard("[100::1]")]
#[case::teredo("[2001:0:4136:e378:8000:63bf:3fff:fdd2]")]
#[case::benchmark_v6("[2001:2::1]")]
#[case::orchid("[2001:10::1]")]
#[case::orchid_2("[2001:20::1]")]
#[case::documentation_v6("[2001:db8::1]")]
#[case::documentation_v6_new("[3fff::1]")]
#[case::sixtofour("[2002:7f00:1::]")]
#[case::segment_routing("[5f00::1]")]
#[case::unassigned("[4000::1]")]
#[case::unique_local("[fc00::1]")]
#[case::unique_local_fd("[fd12:3456::1]")]
#[case::link_local_v6("[fe80::1]")]
#[case::site_local("[fec0::1]")]
#[case::multicast_v6("[ff02::1]")]
fn a65_literal_addresses_inside_are_refused_however_they_are_written(#[case] host: &str) {
    assert_eq!(strict().check_url(&format!("https://{host}/")), Err(GuardError::Address));
}

#[rstest]
#[case::http("http://127.0.0.1:9000/callback")]
#[case::loopback_v6("http://[::1]:9000/")]
#[case::ten("https://10.1.2.3/")]
#[case::private_192("http://192.168.1.1:8080/")]
#[case::unique_local("http://[fd12:3456::1]/")]
#[case::localhost("http://localhost:3000/")]
fn private_callbacks_open_private_addresses_http_and_ports(#[case] url: &str) {
    assert!(lenient().check_url(url).is_ok());
    assert!(strict().check_url(url).is_err());
}

#[rstest]
#[case("169.254.169.254")]
#[case("169.254.0.1")]
#[case("2852039166")]
#[case("[::ffff:169.254.169.254]")]
#[case("[::169.254.169.254]")]
#[case("[64:ff9b::169.254.169.254]")]
#[case("[2002:a9fe:a9fe::1]")]
#[case("[2001:0:0:0:0:0:5601:5601]")]
#[case("[fe80::1]")]
#[case("[fe80::a9fe:a9fe]")]
#[case("[fd00:ec2::254]")]
#[case("[fd20:ce::254]")]
#[case("100.100.100.200")]
#[case("168.63.129.16")]
#[case("0.0.0.0")]
#[case("[::]")]
#[case("224.0.0.1")]
fn a65_metadata_and_link_local_stay_closed_whatever_the_operator_allows(#[case] host: &str) {
    assert_eq!(lenient().check_url(&format!("http://{host}/")), Err(GuardError::Address));
}

#[test]
fn private_callbacks_open_no_other_schemes_and_no_user_information() {
    assert_eq!(lenient().check_url("ftp://127.0.0.1/"), Err(GuardError::Scheme));
    assert_eq!(lenient().check_url("http://a:b@127.0.0.1/"), Err(GuardError::UserInfo));
}

#[test]
fn listed_ports_are_open() {
    let guard = Guard::new(GuardPolicy { allow_private: false, extra_ports: vec![8443] });
    assert!(guard.check_url("https://example.com:8443/").is_ok());
    assert_eq!(guard.check_url("https://example.com:8444/"), Err(GuardError::Port));
}

#[rstest]
#[case::its_address("127.0.0.1:8700", "http://127.0.0.1:8700/", false)]
#[case::another_port("127.0.0.1:8700", "http://127.0.0.1:8701/", true)]
#[case::another_address("127.0.0.1:8700", "http://127.0.0.2:8700/", true)]
#[case::mapped("127.0.0.1:8700", "http://[::ffff:127.0.0.1]:8700/", false)]
#[case::all_addresses("0.0.0.0:8700", "http://127.0.0.1:8700/", false)]
#[case::all_addresses_v6("[::]:8700", "http://127.0.0.1:8700/", false)]
#[case::all_addresses_loopback_v6("[::]:8700", "http://[::1]:8700/", false)]
#[case::all_addresses_of_this_machine_only("0.0.0.0:8700", "http://10.255.255.254:8700/", true)]
#[case::default_port("127.0.0.1:80", "http://127.0.0.1/", false)]
fn the_relays_own_listener_is_refused(#[case] listener: &str, #[case] url: &str, #[case] passes: bool) {
    let guard = lenient();
    guard.refuse_listener(listener.parse().unwrap());
    assert_eq!(guard.check_url(url).is_ok(), passes);
}

proptest! {
    #[test]
    fn global_v4_addresses_are_nothing_else_that_the_standard_library_knows(bits: u32) {
        let ip = Ipv4Addr::from(bits);
        let special = ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_broadcast()
            || ip.is_documentation() || ip.is_multicast() || ip.is_unspecified();
        prop_assert!(!special || reach(IpAddr::V4(ip)) != Reach::Global);
    }

    #[test]
    fn an_address_inside_another_never_reaches_further(bits: u32, teredo_server: u32) {
        let ip = Ipv4Addr::from(bits);
        let [a, b, c, d] = ip.octets();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let server = teredo_server.to_be_bytes();
        let carriers = [
            ip.to_ipv6_mapped(),
            Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            Ipv6Addr::new(
                0x2001, 0, u16::from_be_bytes([server[0], server[1]]), u16::from_be_bytes([server[2], server[3]]), 0, 0,
                !high, !low,
            ),
        ];
        for carrier in carriers {
            prop_assert!(reach(IpAddr::V6(carrier)) >= reach(IpAddr::V4(ip)), "{carrier}");
            if bits > 1 {
                prop_assert_eq!(embedded(carrier), Some(ip));
            }
        }
        prop_assert_eq!(reach(IpAddr::V6(carriers[0])), reach(IpAddr::V4(ip)));
    }

    #[test]
    fn global_v6_addresses_are_global_unicast(bits: u128) {
        let ip = Ipv6Addr::from(bits);
        prop_assert!(ip.segments()[0] & 0xe000 == 0x2000 || reach(IpAddr::V6(ip)) != Reach::Global);
    }

    #[test]
    fn any_text_is_judged_without_a_crash(text in "\\PC{0,60}") {
        let _ = strict().check_url(&text);
        let _ = lenient().check_url(&format!("http://{text}/"));
    }
}

/// A name server under the control of whoever owns the name.
struct Names(fn(&str) -> Vec<IpAddr>);

impl Lookup for Names {
    fn addresses(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let found = (self.0)(&name);
        Box::pin(async move { Ok(found) })
    }
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn names(name: &str) -> Vec<IpAddr> {
    match name {
        "inside.test" => vec![LOOPBACK],
        "mixed.test" => vec![IpAddr::V4(Ipv4Addr::new(93, 184, 216, 34)), LOOPBACK],
        "metadata.test" => vec![IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254))],
        // What a resolver makes of an alias that leads inside.
        "alias.test" => vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7))],
        "nat64.test" => vec!["64:ff9b::a9fe:a9fe".parse().unwrap()],
        "mapped.test" => vec![IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped())],
        _ => vec![],
    }
}

/// A listener that nobody may reach, and a client with a guard in front of it.
async fn trap(policy: impl Fn(u16) -> GuardPolicy) -> (TcpListener, SocketAddr, CallbackClient) {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let guard = Guard::with_lookup(policy(address.port()), Names(names));
    (listener, address, CallbackClient::new(guard, &ExtraRoots::default()).unwrap())
}

fn refused(error: &reqwest::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if let Some(Refused::Guard(_)) = error.downcast_ref::<Refused>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[rstest]
#[case::private("inside.test")]
#[case::one_of_several("mixed.test")]
#[case::metadata("metadata.test")]
#[case::mapped("mapped.test")]
#[case::alias("alias.test")]
#[case::nat64("nat64.test")]
#[tokio::test]
async fn a65_a_name_is_judged_by_the_addresses_it_has_when_the_connection_is_made(#[case] name: &str) {
    let (listener, address, client) = trap(|port| GuardPolicy { allow_private: false, extra_ports: vec![port] }).await;
    // The text is beyond reproach: only the connection can tell.
    let url = client.guard().check_url(&format!("https://{name}:{}/", address.port())).unwrap();
    let error = tokio::select! {
        sent = client.for_url(&url).post(url).send() => sent.unwrap_err(),
        _ = listener.accept() => panic!("reached"),
    };
    assert!(refused(&error), "{error:?}");
    assert!(listener.accept().now_or_never().is_none());
}

/// A name server that says something else at each question.
struct Flipping {
    answers: Mutex<VecDeque<IpAddr>>,
    asked: Arc<AtomicUsize>,
}

impl Lookup for Flipping {
    fn addresses(&self, _name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers.lock().unwrap().pop_front();
        Box::pin(async move { Ok(answer.into_iter().collect()) })
    }
}

#[tokio::test]
async fn a65_a_name_that_changes_its_mind_is_judged_anew_for_each_connection_and_asked_once() {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let metadata = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
    let asked = Arc::new(AtomicUsize::new(0));
    let answers = Mutex::new(VecDeque::from([LOOPBACK, metadata, LOOPBACK]));
    let lookup = Flipping { answers, asked: Arc::clone(&asked) };
    let guard = Guard::with_lookup(GuardPolicy { allow_private: true, extra_ports: vec![] }, lookup);
    let client = CallbackClient::new(guard, &ExtraRoots::default()).unwrap();
    let url = client.guard().check_url(&format!("http://rebinding.test:{port}/")).unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 0, "a check of the text asks nobody, so there is no answer to go stale");

    let sending = client.for_url(&url).post(url.clone()).send();
    let answering = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        assert!(connection.read(&mut request).await.unwrap() > 0);
        connection.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await.unwrap();
        connection
    };
    let (sent, connection) = tokio::join!(sending, answering);
    assert_eq!(sent.unwrap().status(), 204);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "what was judged is what was connected to");
    drop(connection);

    let again = client.for_url(&url).post(url.clone()).send().await.unwrap_err();
    assert!(refused(&again), "{again:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_name_cannot_lead_back_to_the_relay_itself() {
    let (listener, address, client) = trap(|_| GuardPolicy { allow_private: true, extra_ports: vec![] }).await;
    client.guard().refuse_listener(address);
    let url = client.guard().check_url(&format!("http://inside.test:{}/", address.port())).unwrap();
    let error = tokio::select! {
        sent = client.for_url(&url).post(url).send() => sent.unwrap_err(),
        _ = listener.accept() => panic!("reached"),
    };
    assert!(refused(&error), "{error:?}");
    assert!(listener.accept().now_or_never().is_none());
}

#[tokio::test]
async fn a_private_name_on_another_port_is_reached_where_private_callbacks_are_allowed() {
    let (listener, address, client) = trap(|_| GuardPolicy { allow_private: true, extra_ports: vec![] }).await;
    client.guard().refuse_listener(SocketAddr::new(LOOPBACK, 1));
    let url = client.guard().check_url(&format!("http://inside.test:{}/", address.port())).unwrap();
    let sending = tokio::spawn(client.for_url(&url).post(url).send());
    let (_connection, _) = listener.accept().await.unwrap();
    sending.abort();
}
