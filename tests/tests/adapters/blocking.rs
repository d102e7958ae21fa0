//! Blocking mode: the request waits for the answer, and nobody else can use it.

use std::time::Duration;

use bloonio_sudo::ErrorCode;
use bloonio_tests::bank::Framework::{self, Actix, Axum};
use rstest::rstest;

use crate::client::{Ask, Heard};
use crate::server::Server;
use crate::support::settings;

/// Waits until the prompt of a waiting request is with the relay, and gives its key.
async fn prompted(server: &Server) -> String {
    server.stage.relay.until(|relay| !relay.challenges().is_empty()).await;
    server.stage.relay.last().instruction_id.to_string()
}

#[rstest]
#[tokio::test]
async fn a_waiting_request_runs_when_the_phone_approves(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let ask = Ask::transfer("/waiting/x");
    let mut waiting = server.open(&ask).await;
    let key = prompted(&server).await;
    server.hear(&ask.clone().key(&key)).await.assert_refused(ErrorCode::SudoActionExpired);
    server.stage.tell(&server.stage.event(&key, true)).await.assert(200);
    let ran = Heard::from(&mut waiting).await.unwrap();
    ran.assert_status(200);
    assert_eq!(ran.body["approved_by"], "jane-0001");
    server.hear(&ask.key(&key)).await.assert_refused(ErrorCode::SudoActionExpired);
    assert_eq!(server.runs(), 1);
}

#[rstest]
#[tokio::test]
async fn a_waiting_request_is_refused_when_the_phone_denies(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let mut waiting = server.open(&Ask::transfer("/waiting/x")).await;
    let key = prompted(&server).await;
    server.stage.tell(&server.stage.event(&key, false)).await.assert(200);
    Heard::from(&mut waiting).await.unwrap().assert_refused(ErrorCode::SudoActionDenied);
    assert_eq!(server.runs(), 0);
}

#[rstest]
#[tokio::test]
async fn a_waiting_request_that_nobody_answers_is_408_and_takes_its_prompt_away(
    #[values(Axum, Actix)] framework: Framework,
) {
    let server = Server::with(framework, settings().with_block_timeout(Duration::from_millis(50))).await;
    server.hear(&Ask::transfer("/waiting/x")).await.assert_refused(ErrorCode::SudoActionTimeout);
    server.stage.relay.until(|relay| relay.cancelled().len() == 1).await;
    assert_eq!(server.runs(), 0);
}

#[rstest]
#[tokio::test]
async fn a_client_that_goes_away_takes_its_prompt_along(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let waiting = server.open(&Ask::transfer("/waiting/x")).await;
    let key = prompted(&server).await;
    drop(waiting);
    server.stage.relay.until(|relay| relay.cancelled().len() == 1).await;
    server.stage.tell(&server.stage.event(&key, true)).await.assert(200);
    assert_eq!(server.runs(), 0, "a late approval runs nothing");
}

#[rstest]
#[tokio::test]
async fn a_server_that_stops_answers_those_who_wait(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let mut waiting = server.open(&Ask::transfer("/waiting/x")).await;
    prompted(&server).await;
    server.stage.engine.shutdown().await;
    Heard::from(&mut waiting).await.unwrap().assert_refused(ErrorCode::SudoStateUnavailable);
    assert_eq!((server.runs(), server.stage.relay.cancelled().len()), (0, 1));
}
