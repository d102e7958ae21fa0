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
async fn canonical_json_may_be_respelt_and_not_changed(#[values(Axum, Actix)] framework: Framework) {
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
