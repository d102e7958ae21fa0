//! What cannot be decided does not run: each way of failing, with its code.

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use bloonio_axum::{BloonioAuth, DataType, ErrorCode, FieldError, Sudo, SudoRequirement};
use rstest::rstest;

use crate::app::{App, BODY, Ran, execute, jane, with_key};
use crate::support::{Mood, Stage, settings, transfer};

fn ask() -> http::Request<Body> {
    jane("POST", "/bank/x").body(Body::from(BODY)).unwrap()
}

#[rstest]
#[case::relay_down(Mood::Away, ErrorCode::SudoRelayUnavailable)]
#[case::relay_failing(Mood::Refuses(503, ErrorCode::StorageUnavailable), ErrorCode::SudoRelayUnavailable)]
#[case::relay_busy(Mood::Refuses(429, ErrorCode::RateLimited), ErrorCode::SudoTooManyPending)]
#[case::no_phone(Mood::Refuses(404, ErrorCode::PairingNotFound), ErrorCode::SudoInstructionKeyRequired)]
#[tokio::test]
async fn a_route_is_never_reached_when_the_relay_is_down(#[case] mood: Mood, #[case] code: ErrorCode) {
    for requirement in [transfer(), transfer().with_blocking()] {
        let app = App::with(requirement.clone());
        app.stage.relay.set(mood);
        let heard = app.send(ask()).await;
        match (format!("{requirement:?}").contains("blocking: true"), mood) {
            (true, Mood::Refuses(404, _)) => heard.assert_error(ErrorCode::SudoActionTimeout),
            _ => heard.assert_error(code),
        }
        assert_eq!(heard.kind, ErrorCode::from_name(heard.body["error"].as_str().unwrap()));
        assert_eq!(app.runs(), 0);
    }
}

#[tokio::test]
async fn a91_a_route_is_never_reached_when_the_store_fails() {
    let app = App::new();
    let key = app.approved(|| jane("POST", "/bank/x"), BODY).await;
    app.stage.store.set_broken(true);
    for request in [ask(), with_key(jane("POST", "/bank/x"), &key, BODY)] {
        let heard = app.send(request).await;
        heard.assert_error(ErrorCode::SudoStateUnavailable);
        assert!(heard.headers.contains_key("retry-after"));
    }
    assert_eq!(app.runs(), 0);
}

#[tokio::test]
async fn a_route_is_never_reached_when_nobody_is_signed_in() {
    let app = App::new();
    let key = app.approved(|| jane("POST", "/bank/x"), BODY).await;
    let nobody = || http::Request::post("/bank/x").header("host", "bank.example").header("x-session", "one");
    app.send(nobody().body(Body::from(BODY)).unwrap()).await.assert_error(ErrorCode::SudoUserRequired);
    app.send(with_key(nobody(), &key, BODY)).await.assert_error(ErrorCode::SudoUserRequired);
    assert_eq!(app.runs(), 0);
}

#[tokio::test]
async fn a_route_is_never_reached_when_the_identity_closure_fails() {
    let stage = Stage::with(settings(), |builder| builder.with_try_identity(|_| Err("sessions are away".into())));
    let app = App::over(stage, transfer());
    let heard = app.send(ask()).await;
    heard.assert_error(ErrorCode::SudoMisconfigured);
    assert!(!heard.body.to_string().contains("sessions"), "the cause is for the log");
    assert_eq!(app.runs(), 0);
}

#[rstest]
#[case::application(|| FieldError::application("database away"), ErrorCode::SudoMisconfigured)]
#[case::client(|| FieldError::invalid("is odd"), ErrorCode::ValidationFailed)]
#[case::not_json(|| FieldError::NotJson, ErrorCode::MalformedRequest)]
#[tokio::test]
async fn a_route_is_never_reached_when_a_field_closure_errors(
    #[case] error: fn() -> FieldError,
    #[case] code: ErrorCode,
) {
    let app = App::with(transfer().with_field("x", "X", DataType::RawText, move |_| Err(error())));
    let heard = app.send(ask()).await;
    heard.assert_error(code);
    assert!(!heard.body.to_string().contains("database"), "the cause is for the log");
    assert_eq!((app.runs(), app.stage.relay.challenges().len()), (0, 0));
}

#[tokio::test]
async fn a_handler_without_the_layer_does_not_run() {
    let ran = Ran::default();
    let router = Router::new().route("/bank/x", post(execute)).with_state(ran.clone());
    let stage = Stage::new();
    let app = App { auth: BloonioAuth::from(stage.engine.clone()), stage, ran, router };
    app.send(ask()).await.assert_error(ErrorCode::SudoMisconfigured);
    app.send(with_key(jane("POST", "/bank/x"), "0123456789abcdef", BODY))
        .await
        .assert_error(ErrorCode::SudoMisconfigured);
    assert_eq!(app.runs(), 0);
}

async fn optional(sudo: Option<Sudo>) -> &'static str {
    if sudo.is_some() { "approved" } else { "exempt" }
}

#[tokio::test]
async fn an_exempted_request_has_no_grant_to_extract() {
    let small = || SudoRequirement::new("transfer_funds").with_condition(|view| view.body().len() > 10);
    let app = App::with(small());
    let request = jane("POST", "/bank/x").body(Body::from("{}")).unwrap();
    app.send(request).await.assert_error(ErrorCode::SudoMisconfigured);
    assert_eq!(app.runs(), 0);

    let router = Router::new()
        .route("/bank/x", post(optional).layer(app.auth.sudo_required(small())))
        .route("/bare", post(optional));
    let app = App { router, ..app };
    let exempt = app.send(jane("POST", "/bank/x").body(Body::from("{}")).unwrap()).await;
    assert_eq!((exempt.status.as_u16(), exempt.body.as_str()), (200, Some("exempt")));
    let key = app.approved(|| jane("POST", "/bank/x"), BODY).await;
    assert_eq!(app.send(with_key(jane("POST", "/bank/x"), &key, BODY)).await.body, "approved");
    let bare = app.send(jane("POST", "/bare").body(Body::empty()).unwrap()).await;
    bare.assert_error(ErrorCode::SudoMisconfigured);
}

#[rstest]
#[case::declared(true, 1_048_577)]
#[case::streamed(false, 1_048_577)]
#[case::huge(true, 64 << 20)]
#[tokio::test]
async fn a_body_over_the_limit_is_413(#[case] declared: bool, #[case] length: usize) {
    let app = App::new();
    let mut request = jane("POST", "/bank/x");
    if declared {
        request = request.header("content-length", length);
    }
    // A huge one is refused by its own word: nothing of it needs to be there.
    let sent = vec![b' '; length.min(2 << 20)];
    app.send(request.body(Body::from(sent)).unwrap()).await.assert_error(ErrorCode::SudoBodyTooLarge);
    assert_eq!((app.runs(), app.stage.relay.challenges().len()), (0, 0));
}

#[tokio::test]
async fn the_largest_body_is_taken_whole() {
    let app = App::new();
    let body = vec![b' '; 1_048_576];
    let key = app.approved(|| jane("POST", "/bank/x"), &body).await;
    assert_eq!(app.send(with_key(jane("POST", "/bank/x"), &key, body.clone())).await.status, 200);
    assert_eq!(app.ran.lock().unwrap()[0].2, body);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_400() {
    let app = App::new();
    let broken = futures_util::stream::iter([Ok("{"), Err(std::io::Error::other("gone"))]);
    let request = jane("POST", "/bank/x").body(Body::from_stream(broken)).unwrap();
    app.send(request).await.assert_error(ErrorCode::MalformedRequest);
    assert_eq!(app.runs(), 0);
}

#[tokio::test]
async fn nobody_who_is_not_signed_in_makes_the_application_read_a_body() {
    let app = App::new();
    let unread = futures_util::stream::poll_fn(|_| -> std::task::Poll<Option<Result<&str, std::io::Error>>> {
        panic!("the body was read")
    });
    let request = http::Request::post("/bank/x").body(Body::from_stream(unread)).unwrap();
    app.send(request).await.assert_error(ErrorCode::SudoUserRequired);
}
