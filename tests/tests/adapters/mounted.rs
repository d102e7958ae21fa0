//! The mounted routes (PROTOCOL 9.4): callbacks, devices' answers, statuses.

use std::time::Duration;

use bloonio_sudo::{Clock, ErrorCode};
use bloonio_tests::bank::Framework::{self, Actix, Axum};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::client::{Ask, Heard};
use crate::server::Server;
use crate::support::{self, Call, OTHER_TENANT};

const PATH: &str = "/api/sudo-callback";

/// A call of the cast, as a request to `path`.
fn ask(call: &Call, path: &str) -> Ask {
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    let bare = Ask::bare(&call.method, path).body(call.body.clone());
    call.headers.iter().fold(bare, |ask, (name, value)| ask.with(name, &text(value)))
}

/// A callback about `key`, signed and then spoilt.
fn callback(server: &Server, key: &str, approved: bool, path: &str, spoil: impl FnOnce(&mut Call)) -> Ask {
    let event = server.stage.event(key, approved).to_string();
    ask(&support::callback(&event, None, server.stage.clock.now(), spoil), path)
}

#[rstest]
#[case(PATH, true)]
#[case(PATH, false)]
#[case("/relay-callbacks/sudo-validated", true)]
#[case("/relay-callbacks/sudo-rejected", false)]
#[case("/api/v1/relay-callbacks/sudo-validated", true)]
#[case("/api/v1/relay-callbacks/sudo-rejected", false)]
#[tokio::test]
async fn a60_a_callback_decides_where_it_is_signed_and_nowhere_else(
    #[case] path: &str,
    #[case] approved: bool,
    #[values(Axum, Actix)] framework: Framework,
) {
    let server = Server::start(framework).await;
    let key = server.key(&Ask::transfer("/bank/x")).await;
    let forged = callback(&server, &key, approved, path, |call| call.body.push(b'\n'));
    server.hear(&forged).await.assert_error(ErrorCode::InvalidSignature);
    server.hear(&Ask::transfer("/bank/x").key(&key)).await.assert_refused(ErrorCode::SudoActionPending);
    for _ in 0..2 {
        let heard = server.hear(&callback(&server, &key, approved, path, |_| {})).await;
        assert_eq!((heard.status, &heard.body), (200, &json!({"acknowledged": true})), "a repeat is acknowledged");
    }
    let heard = server.hear(&Ask::transfer("/bank/x").key(&key)).await;
    if approved { heard.assert_status(200) } else { heard.assert_refused(ErrorCode::SudoActionDenied) }
}

#[rstest]
#[case::contradiction("/relay-callbacks/sudo-rejected", ErrorCode::MalformedRequest)]
#[case::unknown_flow("/relay-callbacks/sudo-anything", ErrorCode::MalformedRequest)]
#[case::escaped_flow("/relay-callbacks/sudo%2Dvalidated", ErrorCode::MalformedRequest)]
#[case::unknown_flow_below_api("/api/v1/relay-callbacks/x", ErrorCode::MalformedRequest)]
#[tokio::test]
async fn a_callback_on_the_wrong_flow_decides_nothing(
    #[case] path: &str,
    #[case] code: ErrorCode,
    #[values(Axum, Actix)] framework: Framework,
) {
    let server = Server::start(framework).await;
    let key = server.key(&Ask::transfer("/bank/x")).await;
    server.hear(&callback(&server, &key, true, path, |_| {})).await.assert_error(code);
    server.hear(&Ask::transfer("/bank/x").key(&key)).await.assert_refused(ErrorCode::SudoActionPending);
}

type Spoil = fn(Call) -> Call;

#[rstest]
#[case::unsigned(|call: Call| call.without("x-bloonio-signature"), ErrorCode::InvalidSignature)]
#[case::signed_twice(|call: Call| call.header("x-bloonio-signature", &"0".repeat(64)), ErrorCode::InvalidSignature)]
#[case::half_a_webhook(|call: Call| call.without("webhook-id"), ErrorCode::InvalidSignature)]
#[case::other_tenant(|call: Call| call.with("x-bloonio-tenant-id", OTHER_TENANT), ErrorCode::Forbidden)]
#[tokio::test]
async fn a66_a_callback_that_is_not_ours_decides_nothing(
    #[case] spoil: Spoil,
    #[case] code: ErrorCode,
    #[values(Axum, Actix)] framework: Framework,
) {
    let server = Server::start(framework).await;
    let key = server.key(&Ask::transfer("/bank/x")).await;
    let spoilt = callback(&server, &key, true, PATH, |call| *call = spoil(call.clone()));
    server.hear(&spoilt).await.assert_error(code);
    server.hear(&Ask::transfer("/bank/x").key(&key)).await.assert_refused(ErrorCode::SudoActionPending);
}

#[rstest]
#[tokio::test]
async fn a61_a_callback_is_good_for_its_window_and_its_instruction(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let key = server.key(&Ask::transfer("/bank/x")).await;
    let late = callback(&server, &key, true, PATH, |_| {});
    server.stage.clock.advance(Duration::from_secs(31));
    server.hear(&late).await.assert_error(ErrorCode::TimestampOutOfWindow);
    let unknown = server.stage.event(&key, true).to_string().replace(&key, "0123456789abcdef0123456789abcdef");
    let unknown = support::callback(&unknown, None, server.stage.clock.now(), |_| {});
    server.hear(&ask(&unknown, PATH)).await.assert_error(ErrorCode::NotFound);
    let noise = support::callback("[]", None, server.stage.clock.now(), |_| {});
    server.hear(&ask(&noise, PATH)).await.assert_error(ErrorCode::MalformedRequest);
}

#[rstest]
#[tokio::test]
async fn a91_a_callback_is_sent_again_when_the_store_is_away(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let key = server.key(&Ask::transfer("/bank/x")).await;
    server.stage.store.set_broken(true);
    let heard = server.hear(&callback(&server, &key, true, PATH, |_| {})).await;
    heard.assert_error(ErrorCode::SudoStateUnavailable);
    server.stage.store.set_broken(false);
    server.hear(&callback(&server, &key, true, PATH, |_| {})).await.assert_status(200);
    server.hear(&Ask::transfer("/bank/x").key(&key)).await.assert_status(200);
}

#[rstest]
#[case(256 * 1024, ErrorCode::InvalidSignature)]
#[case(256 * 1024 + 1, ErrorCode::BodyTooLarge)]
#[tokio::test]
async fn a_callback_may_have_256_kib(
    #[case] length: usize,
    #[case] code: ErrorCode,
    #[values(Axum, Actix)] framework: Framework,
) {
    let server = Server::start(framework).await;
    let large = Ask::bare("POST", PATH).body(vec![b' '; length]);
    server.hear(&large).await.assert_error(code);
    server.hear(&large.chunked()).await.assert_error(code);
}

#[rstest]
#[case("GET", PATH, "POST")]
#[case("PUT", "/relay-callbacks/sudo-validated", "POST")]
#[case("GET", "/_bloonio/submit-response", "POST")]
#[case("DELETE", "/_bloonio/submit-response", "POST")]
#[case("POST", "/_bloonio/instructions/0123456789abcdef", "GET")]
#[case("POST", "/_bloonio/bloonio.js", "GET, HEAD")]
#[case("OPTIONS", "/_bloonio/bloonio.js", "GET, HEAD")]
#[tokio::test]
async fn another_method_of_a_mounted_route_is_405(
    #[case] method: &str,
    #[case] path: &str,
    #[case] allowed: &str,
    #[values(Axum, Actix)] framework: Framework,
) {
    let server = Server::start(framework).await;
    let heard = server.hear(&Ask::jane(method, path)).await;
    heard.assert_error(ErrorCode::MethodNotAllowed);
    assert_eq!(heard.header("allow"), Some(allowed));
}

fn submission(server: &Server, key: &str, changes: &Value) -> Ask {
    let token = server.stage.relay.last().response_token.unwrap();
    let mut body =
        json!({"instruction_id": key, "approved": true, "custom_type": "localAuth", "response_token": token});
    body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    Ask::bare("POST", "/_bloonio/submit-response").body(body.to_string())
}

#[rstest]
#[case::guessed(json!({"response_token": "guessed"}), ErrorCode::InvalidResponseToken)]
#[case::absent(json!({"response_token": null}), ErrorCode::InvalidResponseToken)]
#[case::unknown(json!({"instruction_id": "0123456789abcdef"}), ErrorCode::InvalidResponseToken)]
#[case::shape(json!({"approved": "yes"}), ErrorCode::ValidationFailed)]
#[case::other_type(json!({"custom_type": "goldenNumber"}), ErrorCode::ValidationFailed)]
#[tokio::test]
async fn a_devices_answer_without_proof_or_shape_decides_nothing(
    #[case] changes: Value,
    #[case] code: ErrorCode,
    #[values(Axum, Actix)] framework: Framework,
) {
    let server = Server::start(framework).await;
    let key = server.key(&Ask::transfer("/bank/x")).await;
    server.hear(&submission(&server, &key, &changes)).await.assert_error(code);
    server.hear(&Ask::transfer("/bank/x").key(&key)).await.assert_refused(ErrorCode::SudoActionPending);
}

#[rstest]
#[tokio::test]
async fn a_device_answers_once(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let key = server.key(&Ask::transfer("/bank/x")).await;
    let noise = Ask::bare("POST", "/_bloonio/submit-response").body("{");
    server.hear(&noise).await.assert_error(ErrorCode::MalformedRequest);
    let answer = submission(&server, &key, &json!({}));
    server.hear(&answer).await.assert_status(200);
    server.hear(&answer).await.assert_error(ErrorCode::AlreadyDecided);
    server.hear(&Ask::transfer("/bank/x").key(&key)).await.assert_status(200);
}

#[rstest]
#[tokio::test]
async fn a20_a_status_is_for_the_initiator_and_unknown_to_others(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let key = server.key(&Ask::transfer("/bank/x")).await;
    let path = format!("/_bloonio/instructions/{key}");
    let own = server.hear(&Ask::jane("GET", &path)).await;
    assert_eq!((own.status, &own.body["status"]), (200, &json!("pending")));
    assert!(own.body["expires_at"].is_string());
    assert_eq!(own.header("cache-control"), Some("no-store"));
    let unknown = server.hear(&Ask::jane("GET", "/_bloonio/instructions/0123456789abcdef")).await;
    unknown.assert_error(ErrorCode::NotFound);
    for (user, session) in [("john-0001", "one"), ("jane-0001", "two")] {
        let other = Ask::bare("GET", &path).with("x-user", user).with("x-session", session);
        assert_eq!(server.hear(&other).await.body, unknown.body);
    }
    server.hear(&Ask::bare("GET", &path)).await.assert_error(ErrorCode::SudoUserRequired);
    let odd = server.hear(&Ask::jane("GET", &format!("{path}?wait_seconds=31"))).await;
    odd.assert_error(ErrorCode::ValidationFailed);
}

#[rstest]
#[tokio::test]
async fn a_long_poll_ends_with_the_decision(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let key = server.key(&Ask::transfer("/bank/x")).await;
    let mut polling = server.open(&Ask::jane("GET", &format!("/_bloonio/instructions/{key}?wait_seconds=30"))).await;
    server.stage.tell(&server.stage.event(&key, true)).await.assert(200);
    assert_eq!(Heard::from(&mut polling).await.unwrap().body["status"], "validated");
}

#[rstest]
#[tokio::test]
async fn a_stream_follows_the_instruction_to_its_end(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let key = server.key(&Ask::transfer("/bank/x")).await;
    let listen = Ask::jane("GET", &format!("/_bloonio/instructions/{key}")).with("accept", "text/event-stream");
    let mut stream = server.open(&listen).await;
    let mut heard = String::new();
    while !heard.contains("\"pending\"") {
        let mut piece = [0; 1024];
        let read = stream.read(&mut piece).await.unwrap();
        assert_ne!(read, 0, "the stream ended early: {heard}");
        heard.push_str(std::str::from_utf8(&piece[..read]).unwrap());
    }
    assert!(heard.to_ascii_lowercase().contains("content-type: text/event-stream"), "{heard}");
    server.stage.tell(&server.stage.event(&key, false)).await.assert(200);
    stream.read_to_string(&mut heard).await.unwrap();
    assert!(heard.contains("\"denied\""), "{heard}");
}

#[rstest]
#[case::whole("GET", true)]
#[case::head("HEAD", false)]
#[tokio::test]
async fn the_module_for_pages_is_served_to_anybody_and_revalidated(
    #[case] method: &str,
    #[case] has_body: bool,
    #[values(Axum, Actix)] framework: Framework,
) {
    let server = Server::start(framework).await;
    let heard = server.hear(&Ask::bare(method, "/_bloonio/bloonio.js")).await;
    heard.assert_status(200);
    let body = heard.body.as_str().unwrap();
    assert_eq!((body.is_empty(), body.contains("export async function sudoFetch(")), (!has_body, has_body));
    assert_eq!(heard.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(heard.header("cache-control"), Some("no-cache"));
    assert_eq!(heard.header("x-content-type-options"), Some("nosniff"));
    let etag = heard.header("etag").unwrap();
    let again = server.hear(&Ask::bare(method, "/_bloonio/bloonio.js").with("if-none-match", etag)).await;
    again.assert_status(304);
    assert_eq!(again.header("etag"), Some(etag));
}
