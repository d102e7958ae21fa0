//! Every code of PROTOCOL 9.1, with its status, its envelope and its headers. `SUDO_BODY_TOO_LARGE` is in `bodies`,
//! `SUDO_ACTION_TIMEOUT` in `blocking`.

use std::time::Duration;

use bloonio_sudo::ErrorCode;
use bloonio_tests::bank::Framework::{self, Actix, Axum};
use rstest::rstest;
use serde_json::{Value, json};

use crate::client::Ask;
use crate::server::Server;
use crate::support::{Mood, Stage, settings};

#[rstest]
#[tokio::test]
async fn a_first_call_is_told_what_the_protocol_says(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let heard = server.hear(&Ask::transfer("/bank/x")).await;
    heard.assert_refused(ErrorCode::SudoInstructionKeyRequired);
    let id = heard.body["instruction_id"].as_str().unwrap();
    let told = |name: &str| heard.body[name].clone();
    assert_eq!((told("custom_type"), told("expected_action")), (json!("localAuth"), json!("transfer_funds")));
    assert_eq!((told("is_sudo_required"), told("is_sudo_action")), (json!(true), json!(true)));
    assert_eq!(told("status_url"), format!("/_bloonio/instructions/{id}"));
    assert_eq!((told("golden_number"), told("expires_at").is_string()), (Value::Null, true));
    assert_eq!(server.key(&Ask::transfer("/bank/x")).await, id, "the same request has one open prompt");
    assert_eq!((server.runs(), server.stage.relay.challenges().len()), (0, 1));
}

#[rstest]
#[tokio::test]
async fn a_golden_number_is_shown_on_the_page_and_nowhere_else(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let heard = server.hear(&Ask::transfer("/golden/x")).await;
    heard.assert_refused(ErrorCode::SudoInstructionKeyRequired);
    let number = heard.body["golden_number"].as_u64().unwrap();
    assert!((10..=99).contains(&number));
    assert_eq!(server.stage.relay.last().numbers, None);
}

#[rstest]
#[tokio::test]
async fn a_key_that_nobody_has_answered_is_pending(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let key = server.key(&Ask::transfer("/bank/x")).await;
    let heard = server.hear(&Ask::transfer("/bank/x").key(&key)).await;
    heard.assert_refused(ErrorCode::SudoActionPending);
    assert_eq!((heard.body["instruction_id"].as_str(), server.runs()), (Some(key.as_str()), 0));
}

#[rstest]
#[tokio::test]
async fn a_denied_key_is_denied_and_silences_the_session(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let key = server.key(&Ask::transfer("/bank/x")).await;
    server.stage.tell(&server.stage.event(&key, false)).await.assert(200);
    server.hear(&Ask::transfer("/bank/x").key(&key)).await.assert_refused(ErrorCode::SudoActionDenied);
    let quiet = server.hear(&Ask::transfer("/bank/x")).await;
    quiet.assert_refused(ErrorCode::SudoTooManyPending);
    assert!(quiet.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(server.runs(), 0);
}

#[rstest]
#[case::never_answered(false, 181)]
#[case::approved_and_left(true, 181)]
#[tokio::test]
async fn an_old_key_is_expired(
    #[case] is_approved: bool,
    #[case] seconds: u64,
    #[values(Axum, Actix)] framework: Framework,
) {
    let server = Server::start(framework).await;
    let ask = Ask::transfer("/bank/x");
    let key = if is_approved { server.approved(&ask).await } else { server.key(&ask).await };
    server.stage.clock.advance(Duration::from_secs(seconds));
    server.hear(&ask.key(&key)).await.assert_refused(ErrorCode::SudoActionExpired);
    assert_eq!(server.runs(), 0);
}

#[rstest]
#[tokio::test]
async fn a30_the_third_prompt_of_a_session_is_refused(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    for target in ["/bank/1", "/bank/2"] {
        server.key(&Ask::transfer(target)).await;
    }
    let heard = server.hear(&Ask::transfer("/bank/3")).await;
    heard.assert_refused(ErrorCode::SudoTooManyPending);
    assert!(heard.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
}

#[rstest]
#[case::nobody("/bank/x", false, ErrorCode::SudoUserRequired)]
#[case::nobody_to_approve("/nobody/x", true, ErrorCode::SudoUserRequired)]
#[case::failing_field("/failing/x", true, ErrorCode::SudoMisconfigured)]
#[case::impossible_requirement("/misconfigured/x", true, ErrorCode::SudoMisconfigured)]
#[tokio::test]
async fn what_cannot_be_decided_does_not_run(
    #[case] target: &str,
    #[case] is_signed_in: bool,
    #[case] code: ErrorCode,
    #[values(Axum, Actix)] framework: Framework,
) {
    let server = Server::start(framework).await;
    let ask = Ask::transfer(target);
    let ask = if is_signed_in { ask } else { ask.without("x-user") };
    for ask in [ask.clone(), ask.key("0123456789abcdef")] {
        let heard = server.hear(&ask).await;
        assert!(!heard.body.to_string().contains("disk full"), "the cause is for the log");
        // With a key nothing is computed for the phone, so there the unknown key is what is wrong.
        if target != "/failing/x" || !ask.headers.iter().any(|(name, _)| name == "x-sudo-instruction-key") {
            heard.assert_refused(code);
        }
    }
    assert_eq!((server.runs(), server.stage.relay.challenges().len()), (0, 0));
}

#[rstest]
#[case::not_json("{", ErrorCode::MalformedRequest)]
#[case::missing("{}", ErrorCode::ValidationFailed)]
#[case::null(r#"{"amount": null}"#, ErrorCode::ValidationFailed)]
#[tokio::test]
async fn a_body_that_cannot_be_shown_is_refused_before_anybody_is_asked(
    #[case] body: &str,
    #[case] code: ErrorCode,
    #[values(Axum, Actix)] framework: Framework,
) {
    let server = Server::start(framework).await;
    let heard = server.hear(&Ask::transfer("/shown/x").body(body)).await;
    heard.assert_refused(code);
    assert_eq!(server.stage.relay.challenges().len(), 0);
}

#[rstest]
#[tokio::test]
async fn an_identity_closure_that_fails_is_a_mistake_of_the_application(#[values(Axum, Actix)] framework: Framework) {
    let stage = Stage::with(settings(), |builder| builder.with_try_identity(|_| Err("sessions are away".into())));
    let server = Server::over(framework, stage).await;
    let heard = server.hear(&Ask::transfer("/bank/x")).await;
    heard.assert_refused(ErrorCode::SudoMisconfigured);
    assert!(!heard.body.to_string().contains("sessions"), "the cause is for the log");
}

#[rstest]
#[case::away(Mood::Away, ErrorCode::SudoRelayUnavailable)]
#[case::failing(Mood::Refuses(503, ErrorCode::StorageUnavailable), ErrorCode::SudoRelayUnavailable)]
#[case::busy(Mood::Refuses(429, ErrorCode::RateLimited), ErrorCode::SudoTooManyPending)]
#[tokio::test]
async fn a_relay_that_takes_no_prompt_keeps_the_route_shut(
    #[case] mood: Mood,
    #[case] code: ErrorCode,
    #[values(Axum, Actix)] framework: Framework,
) {
    let server = Server::start(framework).await;
    server.stage.relay.set(mood);
    for target in ["/bank/x", "/waiting/x"] {
        let heard = server.hear(&Ask::transfer(target)).await;
        heard.assert_refused(code);
        assert!(heard.header("retry-after").is_some(), "{heard:?}");
    }
    assert_eq!(server.runs(), 0);
}

#[rstest]
#[tokio::test]
async fn a91_a_store_that_is_away_keeps_the_route_shut(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let key = server.approved(&Ask::transfer("/bank/x")).await;
    server.stage.store.set_broken(true);
    for ask in [Ask::transfer("/bank/y"), Ask::transfer("/bank/x").key(&key), Ask::transfer("/waiting/x")] {
        let heard = server.hear(&ask).await;
        heard.assert_refused(ErrorCode::SudoStateUnavailable);
        assert!(heard.header("retry-after").is_some(), "{heard:?}");
    }
    assert_eq!(server.runs(), 0);
    server.stage.store.set_broken(false);
    server.hear(&Ask::transfer("/bank/x").key(&key)).await.assert_status(200);
}

#[rstest]
#[case("/bare")]
#[case("/bare-either")]
#[tokio::test]
async fn a_handler_whose_guard_is_missing_does_not_run(
    #[case] target: &str,
    #[values(Axum, Actix)] framework: Framework,
) {
    let server = Server::start(framework).await;
    server.hear(&Ask::transfer(target)).await.assert_error(ErrorCode::SudoMisconfigured);
    server.hear(&Ask::transfer(target).key("0123456789abcdef")).await.assert_error(ErrorCode::SudoMisconfigured);
    assert_eq!(server.runs(), 0);
}

#[rstest]
#[tokio::test]
async fn an_exempted_request_runs_without_a_grant(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let exempt = server.hear(&Ask::transfer("/partly").body("{}")).await;
    assert_eq!((exempt.status, &exempt.body["approved_by"], &exempt.body["body"]), (200, &Value::Null, &json!("{}")));
    let key = server.approved(&Ask::transfer("/partly")).await;
    let granted = server.hear(&Ask::transfer("/partly").key(&key)).await;
    assert_eq!((granted.status, &granted.body["approved_by"]), (200, &json!("jane-0001")));
}
