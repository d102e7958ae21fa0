//! The relay client over real sockets: how it signs, what it makes of each answer, and when it gives up.

use std::sync::Arc;
use std::time::Duration;

use bloonio_sudo::client::Outcome;
use bloonio_sudo::client::http::HttpRelayClient;
use bloonio_sudo::wire::clock::SystemClock;
use bloonio_sudo::wire::{sign, webhook};
use bloonio_sudo::{
    Clock, ErrorCode, InstructionId, RelayClient, RelayError, RelaySettings, Secret, TenantId, UserSocketHash,
};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::support::{SECRET, TENANT};

/// A request as it came over the wire.
#[derive(Debug)]
struct Received {
    head: String,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")));
        line.unwrap_or_else(|| panic!("no {name} in {}", self.head)).split_once(':').unwrap().1.trim()
    }

    fn is_well_signed(&self) -> bool {
        let at = sign::parse_timestamp(self.header("x-bloonio-timestamp")).unwrap();
        let tag = sign::Signature::from_hex(self.header("x-bloonio-signature")).unwrap();
        self.header("x-bloonio-tenant-id") == TENANT
            && sign::check_window(at, SystemClock.now()).is_ok()
            && sign::verify(&Secret::new(SECRET), at, self.body.as_bytes(), &tag).is_ok()
    }
}

/// A relay that answers each connection with the next of these texts, and then hangs.
async fn relay(answers: Vec<String>) -> (HttpRelayClient, mpsc::UnboundedReceiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/base/", listener.local_addr().unwrap());
    let (note, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut answers = answers.into_iter();
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut bytes = Vec::new();
            let request = loop {
                let mut chunk = [0; 4096];
                let n = socket.read(&mut chunk).await.unwrap();
                bytes.extend_from_slice(&chunk[..n]);
                let text = String::from_utf8_lossy(&bytes);
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head
                    .to_ascii_lowercase()
                    .split("content-length: ")
                    .nth(1)
                    .map_or(0, |rest| rest.lines().next().unwrap().trim().parse::<usize>().unwrap());
                if body.len() >= length {
                    break Received { head: head.to_owned(), body: body.to_owned() };
                }
            };
            let _ = note.send(request);
            match answers.next() {
                Some(answer) => socket.write_all(answer.as_bytes()).await.unwrap(),
                None => std::future::pending().await,
            }
        }
    });
    let settings = RelaySettings::new(&url, TenantId::parse(TENANT).unwrap(), Secret::new(SECRET)).unwrap();
    (HttpRelayClient::new(&settings, Arc::new(SystemClock)).unwrap(), received)
}

fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len())
}

fn refusal(status: u16, code: &str) -> String {
    let body = json!({"success": false, "status_code": status, "message": "", "error": code, "data": null});
    answer(status, "retry-after: 7\r\n", &body.to_string())
}

fn success(data: &Value) -> String {
    json!({"success": true, "status_code": 200, "message": "", "data": data}).to_string()
}

fn user() -> UserSocketHash {
    UserSocketHash::parse("jane-0001").unwrap()
}

fn instruction() -> InstructionId {
    InstructionId::parse("instruction-1").unwrap()
}

#[tokio::test]
async fn calls_are_signed_and_go_under_the_base_address() {
    let ok = answer(200, "", &success(&json!({})));
    let (client, mut received) = relay(vec![ok.clone(), ok]).await;
    client.revoke_pairing(&user()).await.unwrap();
    client.cancel_auth_challenge(&instruction()).await.unwrap();
    let (first, second) = (received.recv().await.unwrap(), received.recv().await.unwrap());
    assert!(first.head.starts_with("POST /base/api/v1/relay/revoke-pairing HTTP/1.1"), "{}", first.head);
    assert_eq!(first.body, r#"{"user_socket_hash":"jane-0001"}"#);
    assert!(second.head.starts_with("POST /base/api/v1/relay/cancel/auth-challenge "), "{}", second.head);
    assert!(first.is_well_signed() && second.is_well_signed());
    assert_ne!(first.header("x-bloonio-timestamp"), second.header("x-bloonio-timestamp"));
}

#[tokio::test]
async fn a_supposed_replay_is_signed_anew_and_sent_once_more() {
    let (client, mut received) =
        relay(vec![refusal(401, "REQUEST_REPLAYED"), answer(200, "", &success(&json!({})))]).await;
    client.revoke_pairing(&user()).await.unwrap();
    let (first, second) = (received.recv().await.unwrap(), received.recv().await.unwrap());
    assert!(first.is_well_signed() && second.is_well_signed());
    assert_ne!(first.header("x-bloonio-signature"), second.header("x-bloonio-signature"));

    let (client, mut received) = relay(vec![refusal(401, "REQUEST_REPLAYED"), refusal(401, "REQUEST_REPLAYED")]).await;
    let error = client.revoke_pairing(&user()).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::RequestReplayed));
    received.recv().await.unwrap();
    received.recv().await.unwrap();
    assert!(received.try_recv().is_err(), "once more, and no more");
}

#[rstest]
#[case(404, "PAIRING_NOT_FOUND", Some(ErrorCode::PairingNotFound))]
#[case(429, "RATE_LIMITED", Some(ErrorCode::RateLimited))]
#[case(503, "STORAGE_UNAVAILABLE", Some(ErrorCode::StorageUnavailable))]
#[case(418, "FROM_THE_FUTURE", None)]
#[tokio::test]
async fn a_refusal_keeps_its_status_code_and_time(
    #[case] status: u16,
    #[case] name: &str,
    #[case] expected: Option<ErrorCode>,
) {
    let (client, _received) = relay(vec![refusal(status, name)]).await;
    match client.revoke_pairing(&user()).await.unwrap_err() {
        RelayError::Rejected { status: heard, code, retry_after } => {
            assert_eq!((heard, code, retry_after), (status, expected, Some(Duration::from_secs(7))));
        }
        other => panic!("{other:?}"),
    }
}

#[rstest]
#[case::not_json(answer(200, "", "<html>"))]
#[case::not_the_envelope(answer(200, "", "{}"))]
#[case::too_long(answer(200, "", &" ".repeat(1_100_000)))]
#[tokio::test]
async fn an_answer_that_is_not_the_relays_is_none(#[case] text: String) {
    let (client, _received) = relay(vec![text]).await;
    let error = client.revoke_pairing(&user()).await.unwrap_err();
    assert!(matches!(error, RelayError::Unreadable(_)), "{error:?}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (client, mut received) = relay(vec![answer(307, "location: /elsewhere\r\n", "")]).await;
    let error = client.revoke_pairing(&user()).await.unwrap_err();
    assert!(matches!(error, RelayError::Rejected { status: 307, .. }), "{error:?}");
    received.recv().await.unwrap();
    assert!(received.try_recv().is_err());
}

#[tokio::test]
async fn a_closed_port_is_unreachable_and_no_address_is_shown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let settings =
        RelaySettings::new(&format!("http://{address}"), TenantId::parse(TENANT).unwrap(), Secret::new(SECRET))
            .unwrap();
    let client = HttpRelayClient::new(&settings, Arc::new(SystemClock)).unwrap();
    let error = client.revoke_pairing(&user()).await.unwrap_err();
    assert!(matches!(error, RelayError::Unreachable(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains(&address.port().to_string()));
}

#[tokio::test]
async fn a_relay_that_hangs_is_given_up() {
    let (hanging, mut received) = relay(Vec::new()).await;
    let shown = format!("{hanging:?}");
    let url = shown.split('"').nth(1).unwrap();
    let settings = RelaySettings::from_lookup(|name| match name {
        "BLOONIO_RELAY_BASE_URL" => Some(url.to_owned()),
        "BLOONIO_RELAY_TENANT_ID" => Some(TENANT.to_owned()),
        "BLOONIO_RELAY_TENANT_SECRET" => Some(SECRET.to_owned()),
        "BLOONIO_RELAY_STATE_BACKEND" => Some("memory".to_owned()),
        "BLOONIO_RELAY_REQUEST_TIMEOUT_SECONDS" => Some("1".to_owned()),
        _ => None,
    });
    let client = HttpRelayClient::new(&settings.unwrap(), Arc::new(SystemClock)).unwrap();
    let error = client.revoke_pairing(&user()).await.unwrap_err();
    assert!(matches!(error, RelayError::Unreachable("no answer in time")), "{error:?}");
    received.recv().await.unwrap();
}

fn outcome(data: &Value, spoil: impl FnOnce(&mut String)) -> String {
    let body = success(data);
    let at = SystemClock.now().as_secs();
    let mut headers = format!(
        "webhook-id: out_1\r\nwebhook-timestamp: {at}\r\nwebhook-signature: {}\r\n",
        webhook::sign(&Secret::new(SECRET), "out_1", at, body.as_bytes())
    );
    spoil(&mut headers);
    answer(200, &headers, &body)
}

fn event() -> Value {
    json!({
        "instruction_id": "instruction-1", "user_socket_hash": "jane-0001", "tenant_id": TENANT, "approved": true,
        "response_data": {}, "timestamp": "2027-01-15T08:00:00Z", "status": "decided",
    })
}

fn also(mut data: Value, field: &str, value: &str) -> Value {
    data[field] = json!(value);
    data
}

#[tokio::test]
async fn outcomes_are_asked_with_the_time_to_wait_and_read() {
    let pending = json!({"instruction_id": "instruction-1", "status": "pending"});
    let (client, mut received) = relay(vec![outcome(&pending, |_| {}), outcome(&event(), |_| {})]).await;
    let wait = Duration::from_secs(25);
    assert_eq!(client.fetch_outcome(&instruction(), wait).await.unwrap(), Outcome::Pending);
    let decided = client.fetch_outcome(&instruction(), wait).await.unwrap();
    assert!(matches!(decided, Outcome::Decided(event) if event.approved));
    let asked = received.recv().await.unwrap();
    let line = "GET /base/api/v1/relay/fetch/outcome?instruction_id=instruction-1&wait_seconds=25 HTTP/1.1";
    assert!(asked.head.starts_with(line), "{}", asked.head);
    assert!(asked.is_well_signed());
}

#[rstest]
#[case::unsigned(outcome(&event(), String::clear))]
#[case::wrongly_signed(outcome(&event(), |headers| *headers = headers.replace("out_1", "out_2")))]
#[case::another_instruction(outcome(&json!({"instruction_id": "instruction-2", "status": "pending"}), |_| {}))]
#[case::unknown_status(outcome(&json!({"instruction_id": "instruction-1", "status": "maybe"}), |_| {}))]
#[case::contradictory(outcome(&also(event(), "outcome", "rejected"), |_| {}))]
#[case::another_event(outcome(&also(event(), "event_id", "0123456789abcdef01234567"), |_| {}))]
#[case::half_an_event(outcome(&json!({"instruction_id": "instruction-1", "status": "decided"}), |_| {}))]
#[tokio::test]
async fn a_doubtful_outcome_is_none(#[case] text: String) {
    let (client, _received) = relay(vec![text]).await;
    let error = client.fetch_outcome(&instruction(), Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, RelayError::Unreadable(_)), "{error:?}");
}
