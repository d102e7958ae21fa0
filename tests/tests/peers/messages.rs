//! HTTP message signatures between this suite and other people's libraries (PROTOCOL 2.2; ATTACKS A60).

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use bloonio_sudo::client::http::HttpRelayClient;
use bloonio_sudo::wire::clock::SystemClock;
use bloonio_sudo::wire::random::{SystemRandom, hex_token};
use bloonio_sudo::{ErrorCode, InstructionId, PreparePairing, RelayClient, RelaySettings, TenantId, UserSocketHash};
use bloonio_tests::operator::{Answer, http};
use bloonio_tests::peers::Peer;
use bloonio_tests::relay::Relay;
use bloonio_tests::tenant::TenantBackend;
use rstest::rstest;
use serde_json::{Map, Value, json};

const CHANGE: &str = "/relay/prepare-pairing";
const LOOK: &str = "/relay/fetch/outcome?instruction_id=nobody%2Dknows&wait_seconds=0";

/// A relay, and a tenant that must sign its calls as messages.
async fn strict() -> (Relay, TenantBackend) {
    let relay = Relay::start().await;
    let fields = json!({"tenant_name": "Bank", "rate_limit_per_min": 10_000, "require_message_signatures": true});
    let tenant = relay.operator().provision_with(fields).await;
    (relay, tenant)
}

fn profile() -> String {
    json!({"user_socket_hash": "user-0001", "backend_user_id": "1", "display_name": "Jane", "user_email": "j@example.com"})
        .to_string()
}

/// What a backend in another language is asked to sign.
fn request(relay: &Relay, tenant: &TenantBackend, method: &str, path: &str, body: &str) -> Value {
    json!({
        "method": method, "url": format!("{}/api/v1{path}", relay.base_url()), "body": body,
        "tenant_id": tenant.tenant_id, "secret": tenant.secret.expose(), "nonce": hex_token::<16>(&SystemRandom).unwrap(),
    })
}

#[rstest]
#[tokio::test]
async fn a_backend_in_another_language_calls_the_relay(#[values(Peer::Node, Peer::Python)] peer: Peer) {
    let (relay, tenant) = strict().await;
    let made = peer.run("call", &request(&relay, &tenant, "POST", CHANGE, &profile())).await;
    assert_eq!(made["status"], 201, "{made}");
    assert!(made["body"].as_str().unwrap().contains("pairing_proof"), "{made}");
    let looked = peer.run("call", &request(&relay, &tenant, "GET", LOOK, "")).await;
    assert_eq!(looked["status"], 404, "{looked}");
    assert!(looked["body"].as_str().unwrap().contains("NOT_FOUND"), "{looked}");
}

/// A signed call, ready to be spoiled.
#[derive(Clone)]
struct Call {
    method: &'static str,
    url: String,
    body: String,
    headers: Map<String, Value>,
}

impl Call {
    async fn send(&self) -> Answer {
        let mut request = http().request(self.method.parse().unwrap(), &self.url).body(self.body.clone());
        // The client counts the bytes itself.
        for (name, value) in self.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("content-length")) {
            request = request.header(name, value.as_str().unwrap());
        }
        Answer::of(request.send().await.expect("the relay answers")).await
    }

    fn replace(&mut self, header: &str, part: &str, instead: &str) {
        let found = self.headers.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case(header)).expect("header");
        let changed = found.1.as_str().unwrap().replace(part, instead);
        assert_ne!(*found.1, changed, "{part} is not in {header}");
        *found.1 = Value::from(changed);
    }
}

type Spoil = fn(&mut Call);

/// Each of the covered components, each of the parameters, and the tag.
const SPOILS: &[(&str, Spoil)] = &[
    ("@method", |call| call.method = "PUT"),
    ("@path", |call| call.url = call.url.replace("prepare-pairing", "revoke-pairing")),
    ("@query", |call| call.url.push_str("?again=1")),
    ("x-bloonio-tenant-id", |call| call.replace("x-bloonio-tenant-id", "tnt_", "tnt_0")),
    ("content-digest", |call| call.replace("content-digest", "sha-256=:", "sha-256=:A")),
    ("the body", |call| call.body.push(' ')),
    ("created", |call| call.replace("signature-input", "created=", "created=1")),
    ("nonce", |call| call.replace("signature-input", "nonce=\"", "nonce=\"0")),
    ("keyid", |call| call.replace("signature-input", "keyid=\"tnt_", "keyid=\"tnt_0")),
    ("alg", |call| call.replace("signature-input", "hmac-sha256", "hmac-sha512")),
    ("tag", |call| call.replace("signature-input", "bloonio-relay", "bloonio-other")),
    ("the label", |call| call.replace("signature-input", "bloonio=", "other=")),
    ("the list", |call| call.replace("signature-input", "\"@path\" ", "")),
    ("the signature", |call| call.replace("signature", "bloonio=:", "bloonio=:AAAA")),
];

#[rstest]
#[tokio::test]
async fn a60_spoiled_in_any_part_another_languages_signature_is_refused(
    #[values(Peer::Node, Peer::Python)] peer: Peer,
) {
    let (relay, tenant) = strict().await;
    let body = profile();
    let wanted = request(&relay, &tenant, "POST", CHANGE, &body);
    let signed = peer.run("sign", &wanted).await;
    let url = wanted["url"].as_str().unwrap().to_owned();
    let good = Call { method: "POST", url, body, headers: signed["headers"].as_object().unwrap().clone() };
    for (part, spoil) in SPOILS {
        let mut spoiled = good.clone();
        spoil(&mut spoiled);
        let refused = spoiled.send().await;
        // No PUT exists, so it is refused before anybody asks who calls.
        let expected = if *part == "@method" { (405, "METHOD_NOT_ALLOWED") } else { (401, "INVALID_SIGNATURE") };
        let out_of_window = *part == "created" && refused.error() == "TIMESTAMP_OUT_OF_WINDOW";
        assert!(out_of_window || (refused.status, refused.error()) == expected, "{part}: {refused:?}");
    }
    assert_eq!(good.send().await.status, 201, "what was refused has not burnt the call");
}

#[rstest]
#[tokio::test]
async fn a60_signed_in_another_language_for_one_method_a_call_is_refused_under_another(
    #[values(Peer::Node, Peer::Python)] peer: Peer,
) {
    let (relay, tenant) = strict().await;
    let wanted = request(&relay, &tenant, "GET", "/relay/fetch/outcome?instruction_id=nobody-knows", "");
    let signed = peer.run("sign", &wanted).await;
    let url = wanted["url"].as_str().unwrap().to_owned();
    let look =
        Call { method: "GET", url, body: String::new(), headers: signed["headers"].as_object().unwrap().clone() };
    // The relay answers a HEAD as it would a GET, without the body.
    assert_eq!(Call { method: "HEAD", ..look.clone() }.send().await.status, 401);
    assert_eq!(look.send().await.status, 404);
}

/// A call as it arrived.
#[derive(Debug, Clone)]
struct Arrived {
    method: String,
    target: String,
    headers: Map<String, Value>,
    body: String,
}

/// Something that listens and understands nothing; gives its address and what it has heard.
async fn listener() -> (String, Arc<Mutex<Vec<Arrived>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let take = async |State(heard): State<Arc<Mutex<Vec<Arrived>>>>, request: axum::extract::Request| {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.expect("body");
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.to_string(), Value::from(value.to_str().expect("text")))
        };
        heard.lock().expect("heard").push(Arrived {
            method: parts.method.to_string(),
            target: parts.uri.to_string(),
            headers: parts.headers.iter().map(header).collect(),
            body: String::from_utf8(body.to_vec()).expect("text"),
        });
    };
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("http://{}", socket.local_addr().expect("bound"));
    let app = Router::new().fallback(take).with_state(Arc::clone(&heard));
    tokio::spawn(async move { axum::serve(socket, app).await.expect("serves") });
    (address, heard)
}

fn client(base: &str, tenant: &TenantBackend) -> HttpRelayClient {
    let id = TenantId::parse(tenant.tenant_id.as_str()).unwrap();
    let settings = RelaySettings::new(base, id, tenant.secret.clone()).unwrap();
    HttpRelayClient::new(&settings, Arc::new(SystemClock)).unwrap()
}

fn jane() -> PreparePairing {
    PreparePairing {
        user_socket_hash: UserSocketHash::parse("user-0001").unwrap(),
        backend_user_id: "1".into(),
        display_name: "Jane".into(),
        user_email: Some("j@example.com".into()),
        user_phone: None,
        first_name: None,
        last_name: None,
        display_logo_url: None,
    }
}

fn nobody_knows() -> InstructionId {
    InstructionId::parse("nobody-knows").unwrap()
}

#[rstest]
#[tokio::test]
async fn what_our_client_sends_another_language_verifies(#[values(Peer::Node, Peer::Python)] peer: Peer) {
    let (base, heard) = listener().await;
    let tenant =
        TenantBackend::new(&base, "tnt_0123456789abcdef0123456789abcdef", "sk_0123456789abcdef0123456789abcdef");
    let client = client(&base, &tenant);
    client.prepare_pairing(&jane()).await.expect_err("no relay");
    client.fetch_outcome(&nobody_knows(), std::time::Duration::ZERO).await.expect_err("no relay");
    let arrived = heard.lock().expect("heard").clone();
    let methods: Vec<_> = arrived.iter().map(|call| call.method.as_str()).collect();
    assert_eq!(methods, ["POST", "GET"]);
    for call in arrived {
        let as_sent = json!({
            "method": call.method, "url": format!("{base}{}", call.target), "headers": call.headers, "body": call.body,
            "tenant_id": tenant.tenant_id, "secret": tenant.secret.expose(),
        });
        let verdict = peer.run("verify-message", &as_sent).await;
        assert_eq!(verdict["verified"], true, "{verdict} {call:?}");
        let glue = if call.target.contains('?') { '&' } else { '?' };
        let elsewhere = Value::from(format!("{base}{}{glue}again=1", call.target));
        for (field, instead) in [("url", elsewhere), ("body", Value::from("{}")), ("secret", Value::from("sk_0"))] {
            let mut spoiled = as_sent.clone();
            spoiled[field] = instead;
            let verdict = peer.run("verify-message", &spoiled).await;
            assert_eq!(verdict["verified"], false, "{field}: {verdict}");
        }
    }
}

#[tokio::test]
async fn our_client_serves_a_tenant_that_requires_message_signatures() {
    let (relay, tenant) = strict().await;
    let client = client(relay.base_url(), &tenant);
    assert!(client.prepare_pairing(&jane()).await.is_ok());
    let unknown = client.fetch_outcome(&nobody_knows(), std::time::Duration::ZERO).await.unwrap_err();
    assert_eq!(unknown.code(), Some(ErrorCode::NotFound));
    tenant.post(CHANGE, serde_json::from_str(&profile()).unwrap()).await.expect_error(401, "INVALID_SIGNATURE");
}
