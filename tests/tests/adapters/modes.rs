//! Demands at run time, canonical JSON, and approvals that are not used up before the handler.

use bloonio_sudo::ErrorCode;
use bloonio_tests::bank::Framework::{self, Actix, Axum};
use rstest::rstest;
use serde_json::Value;

use crate::client::{Ask, BODY};
use crate::server::Server;

#[rstest]
#[tokio::test]
async fn the_resolver_lets_through_what_needs_nothing_with_its_body(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    // Nobody is signed in: the identity closure is not even asked.
    let ran = server.hear(&Ask::bare("POST", "/resolved/open").body(BODY).chunked()).await;
    ran.assert_status(200);
    assert_eq!((&ran.body["body"], &ran.body["approved_by"]), (&Value::from(BODY), &Value::Null));
    assert!(server.stage.relay.challenges().is_empty());
}

#[rstest]
#[tokio::test]
async fn the_resolver_protects_what_it_says(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    server.hear(&Ask::bare("POST", "/resolved/vault")).await.assert_refused(ErrorCode::SudoUserRequired);
    let ask = Ask::transfer("/resolved/vault");
    let key = server.approved(&ask).await;
    let ran = server.hear(&ask.clone().key(&key)).await;
    ran.assert_status(200);
    assert_eq!(ran.body["approved_by"], "jane-0001");
    server.hear(&ask.key(&key)).await.assert_refused(ErrorCode::SudoActionExpired);
    assert_eq!(server.runs(), 1);
}

#[rstest]
#[tokio::test]
async fn a_resolver_that_fails_refuses(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    server.hear(&Ask::transfer("/resolved/broken")).await.assert_refused(ErrorCode::SudoMisconfigured);
    assert_eq!(server.runs(), 0);
}

#[rstest]
#[tokio::test]
async fn an_approval_of_a_resolved_route_is_none_of_a_declared_one(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let key = server.approved(&Ask::transfer("/resolved/vault")).await;
    server.hear(&Ask::transfer("/bank/vault").key(&key)).await.assert_refused(ErrorCode::SudoRequestMismatch);
    assert_eq!(server.runs(), 0);
}

#[rstest]
#[tokio::test]
async fn a04_canonical_json_may_be_respelt_and_not_changed(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let ask = |body: &str| Ask::jane("POST", "/canonical/x").with("content-type", "application/json").body(body);
    let key = server.approved(&ask(r#"{"amount": 10.0, "to": "ACME"}"#)).await;
    let changed = ask(r#"{"amount": 11, "to": "ACME"}"#).key(&key);
    server.hear(&changed).await.assert_refused(ErrorCode::SudoRequestMismatch);
    let ambiguous = ask(r#"{"amount": 10, "to": "ACME", "to": "ACME"}"#).key(&key);
    server.hear(&ambiguous).await.assert_refused(ErrorCode::MalformedRequest);
    let respelt = ask(r#"{"to":"\u0041CME","amount":1e1}"#).key(&key);
    let ran = server.hear(&respelt).await;
    ran.assert_status(200);
    assert_eq!(ran.body["body"], r#"{"to":"\u0041CME","amount":1e1}"#, "the handler gets what was sent");
    assert_eq!(server.runs(), 1);
}

#[rstest]
#[case::server_error("500", 2)]
#[case::server_error_too("599", 2)]
#[case::the_clients_fault("422", 1)]
#[case::done("201", 1)]
#[tokio::test]
async fn an_approval_is_released_by_a_server_error_alone(
    #[values(Axum, Actix)] framework: Framework,
    #[case] status: &str,
    #[case] runs: usize,
) {
    let server = Server::start(framework).await;
    let ask = Ask::transfer("/released/x");
    let key = server.approved(&ask).await;
    server.hear(&ask.clone().key(&key).with("x-answer", status)).await.assert_status(status.parse().unwrap());
    let again = server.hear(&ask.clone().key(&key)).await;
    if runs == 2 {
        again.assert_status(200);
        server.hear(&ask.key(&key)).await.assert_refused(ErrorCode::SudoActionExpired);
    } else {
        again.assert_refused(ErrorCode::SudoActionExpired);
    }
    assert_eq!(server.runs(), runs);
}

#[rstest]
#[tokio::test]
async fn a_handler_that_forgets_its_transaction_is_answered_for(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let ask = Ask::transfer("/forgetful/x");
    let key = server.approved(&ask).await;
    server.hear(&ask.clone().key(&key).with("x-answer", "422")).await.assert_status(422);
    server.hear(&ask.clone().key(&key)).await.assert_refused(ErrorCode::SudoMisconfigured);
    server.hear(&ask.key(&key)).await.assert_refused(ErrorCode::SudoActionExpired);
    assert_eq!(server.runs(), 2);
}

#[rstest]
#[tokio::test]
async fn a06_a_compressed_body_is_bound_as_it_travels(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    // What a decompressing reader would make of it is of no interest: the bytes and their declared encoding count.
    let ask = |encoding: Option<&str>| {
        let ask = Ask::jane("POST", "/bank/x").body([0x1f, 0x8b, 0x08, 0x00].as_slice());
        encoding.into_iter().fold(ask, |ask, encoding| ask.with("content-encoding", encoding))
    };
    let key = server.approved(&ask(Some("gzip"))).await;
    for other in [None, Some("identity"), Some("br"), Some("gzip, gzip")] {
        server.hear(&ask(other).key(&key)).await.assert_refused(ErrorCode::SudoRequestMismatch);
    }
    server.hear(&ask(Some("gzip")).key(&key)).await.assert_status(200);
    assert_eq!(server.runs(), 1);
}

#[rstest]
#[tokio::test]
async fn a08_what_the_phone_shows_is_read_from_what_runs(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let ask = Ask::transfer("/shown/x").with("x-display", "amount: 1.00");
    let key = server.approved(&ask).await;
    let shown = serde_json::to_value(server.stage.relay.last().display).unwrap();
    assert_eq!(shown["fields"][0]["value"], "1000.00");
    let ran = server.hear(&ask.key(&key)).await;
    ran.assert_status(200);
    let run: Value = serde_json::from_str(ran.body["body"].as_str().unwrap()).unwrap();
    assert_eq!(run["amount"], shown["fields"][0]["value"]);
}

#[rstest]
#[tokio::test]
async fn a80_a_body_above_the_limit_is_refused_and_kept_nowhere(#[values(Axum, Actix)] framework: Framework) {
    let settings = crate::support::settings().with_max_body_bytes(64);
    let server = Server::with(framework, settings).await;
    let large = Ask::transfer("/bank/x").body(vec![b' '; 65]);
    server.hear(&large).await.assert_refused(ErrorCode::SudoBodyTooLarge);
    server.hear(&large.chunked()).await.assert_refused(ErrorCode::SudoBodyTooLarge);
    assert!(server.stage.relay.challenges().is_empty(), "nobody was asked");
    let key = server.key(&Ask::transfer("/bank/x")).await;
    // What is kept of a request is its digest: a record is as small for the largest body.
    let record = format!("{:?}", server.stage.instruction(&key).await);
    assert!(!record.contains("ACME"), "{record}");
}

#[rstest]
#[case::socket("GET", "websocket")]
#[case::written_otherwise("GET", "h2c, WebSocket")]
#[case::with_a_body("POST", "websocket")]
#[tokio::test]
async fn a81_what_would_come_on_a_socket_nobody_has_approved(
    #[values(Axum, Actix)] framework: Framework,
    #[case] method: &str,
    #[case] upgrade: &str,
) {
    let server = Server::start(framework).await;
    let plain = Ask::jane(method, "/bank/socket");
    let open = plain.clone().with("connection", "upgrade").with("upgrade", upgrade);
    server.hear(&open).await.assert_error(ErrorCode::MalformedRequest);
    assert!(server.stage.relay.challenges().is_empty(), "nobody was asked");
    let key = server.approved(&plain).await;
    server.hear(&open.key(&key)).await.assert_error(ErrorCode::MalformedRequest);
    assert_eq!(server.runs(), 0);
    server.hear(&plain.key(&key)).await.assert_status(200);
}

#[rstest]
#[case("/%72esolved/open")]
#[case("/resolved/%6Fpen")]
#[case("/resolved/%2e/open")]
#[tokio::test]
async fn a73_a_disguised_path_is_refused_before_the_resolver_is_asked(
    #[values(Axum, Actix)] framework: Framework,
    #[case] path: &str,
) {
    let server = Server::start(framework).await;
    let heard = server.hear(&Ask::jane("POST", path)).await;
    // A router that does not decode it has no such route.
    assert!([400, 404].contains(&heard.status), "{heard:?}");
    assert_eq!(server.runs(), 0);
}
