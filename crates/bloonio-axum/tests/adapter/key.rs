//! The key: good once, for one session, on one route.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use bloonio_axum::{BloonioAuth, ErrorCode, SudoRequirement};
use rstest::rstest;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::app::{App, BODY, Ran, execute, jane, with_key};
use crate::support::{Stage, transfer};

#[tokio::test]
async fn a15_a_used_key_never_runs_again() {
    let app = App::new();
    let key = app.approved(|| jane("POST", "/bank/x"), BODY).await;
    assert_eq!(app.send(with_key(jane("POST", "/bank/x"), &key, BODY)).await.status, 200);
    for _ in 0..1_000 {
        app.send(with_key(jane("POST", "/bank/x"), &key, BODY)).await.assert_error(ErrorCode::SudoActionExpired);
    }
    assert_eq!(app.runs(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a16_of_a_thousand_concurrent_requests_one_runs() {
    const TASKS: usize = 1_000;
    let app = App::new();
    let key = app.approved(|| jane("POST", "/bank/x"), BODY).await;
    let barrier = Arc::new(Barrier::new(TASKS));
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (router, barrier) = (app.router.clone(), Arc::clone(&barrier));
        let request = with_key(jane("POST", "/bank/x"), &key, BODY);
        tasks.spawn(async move {
            barrier.wait().await;
            let response = router.oneshot(request).await.unwrap();
            (response.status().as_u16(), response.extensions().get::<ErrorCode>().copied())
        });
    }
    let answers = tasks.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.0 == 200).count(), 1);
    let refused = (403, Some(ErrorCode::SudoActionExpired));
    assert_eq!(answers.iter().filter(|answer| **answer == refused).count(), TASKS - 1);
    assert_eq!(app.runs(), 1);
}

#[tokio::test]
async fn a17_key_used_on_another_route_is_refused() {
    const ROUTES: [(&str, &str); 4] =
        [("/a", "transfer_funds"), ("/b", "transfer_funds"), ("/c", "close_account"), ("/nested/a", "transfer_funds")];
    for (n, (given_for, _)) in ROUTES.iter().enumerate() {
        let stage = Stage::new();
        let (auth, ran) = (BloonioAuth::from(stage.engine.clone()), Ran::default());
        let route = |action: &str| post(execute).layer(auth.sudo_required(SudoRequirement::new(action)));
        let router = Router::new()
            .route("/a", route("transfer_funds"))
            .route("/b", route("transfer_funds"))
            .route("/c", route("close_account"))
            .nest("/nested", Router::new().route("/a", route("transfer_funds")))
            .with_state(ran.clone());
        let app = App { stage, auth: auth.clone(), ran, router };
        let key = app.approved(|| jane("POST", given_for), BODY).await;
        for (m, (elsewhere, _)) in ROUTES.iter().enumerate() {
            if n != m {
                let heard = app.send(with_key(jane("POST", elsewhere), &key, BODY)).await;
                heard.assert_error(ErrorCode::SudoRequestMismatch);
            }
        }
        assert_eq!(app.runs(), 0);
        assert_eq!(app.send(with_key(jane("POST", given_for), &key, BODY)).await.status, 200, "{given_for}");
        assert_eq!(app.ran.lock().unwrap()[0].1, *given_for, "a nested route is bound to the whole path");
    }
}

#[rstest]
#[case::another_user("john-0001", "one")]
#[case::another_session("jane-0001", "two")]
#[tokio::test]
async fn a18_anothers_key_is_refused_like_an_unknown_one(#[case] user: &str, #[case] session: &str) {
    let app = App::new();
    let key = app.approved(|| jane("POST", "/bank/x"), BODY).await;
    let thief = || {
        let request = http::Request::post("/bank/x").header("host", "bank.example");
        request.header("x-user", user).header("x-session", session).header("content-type", "application/json")
    };
    let stolen = app.send(with_key(thief(), &key, BODY)).await;
    let unknown = app.send(with_key(thief(), "0123456789abcdef0123456789abcdef01234567", BODY)).await;
    stolen.assert_error(ErrorCode::SudoActionExpired);
    assert_eq!(stolen, unknown);
    assert_eq!(app.runs(), 0);
    assert_eq!(app.send(with_key(jane("POST", "/bank/x"), &key, BODY)).await.status, 200);
}

#[rstest]
#[case::in_time(179_999, true)]
#[case::at_the_end(180_000, false)]
#[tokio::test]
async fn a24_an_approval_is_executed_in_time_or_not_at_all(#[case] after_ms: u64, #[case] runs: bool) {
    let app = App::new();
    let key = app.approved(|| jane("POST", "/bank/x"), BODY).await;
    app.stage.clock.advance(Duration::from_millis(after_ms));
    let heard = app.send(with_key(jane("POST", "/bank/x"), &key, BODY)).await;
    if runs {
        assert_eq!(heard.status, 200)
    } else {
        heard.assert_error(ErrorCode::SudoActionExpired)
    }
    assert_eq!(app.runs(), usize::from(runs));
}

#[tokio::test]
async fn a31_a_denied_key_is_refused_for_good_and_the_request_not_asked_again_at_once() {
    let app = App::new();
    let ask = || jane("POST", "/bank/x").body(axum::body::Body::from(BODY)).unwrap();
    let first = app.send(ask()).await;
    let key = first.body["instruction_id"].as_str().unwrap().to_owned();
    app.stage.tell(&app.stage.event(&key, false)).await.assert(200);
    app.send(with_key(jane("POST", "/bank/x"), &key, BODY)).await.assert_error(ErrorCode::SudoActionDenied);
    let again = app.send(ask()).await;
    again.assert_error(ErrorCode::SudoTooManyPending);
    assert_eq!(again.headers["retry-after"], "30");
    assert_eq!(app.stage.relay.challenges().len(), 1);
    assert_eq!(app.runs(), 0);
}

#[tokio::test]
async fn a25_an_approval_after_a_cancelled_wait_is_worthless() {
    let app = App::with(transfer().with_blocking());
    let router = app.router.clone();
    let waiting = tokio::spawn(async move {
        router.oneshot(jane("POST", "/bank/x").body(axum::body::Body::from(BODY)).unwrap()).await
    });
    app.stage.relay.until(|relay| !relay.challenges().is_empty()).await;
    let key = app.stage.relay.last().instruction_id.to_string();
    waiting.abort();
    app.stage.relay.until(|relay| !relay.cancelled().is_empty()).await;
    app.stage.tell(&app.stage.event(&key, true)).await.assert(200);
    app.send(with_key(jane("POST", "/bank/x"), &key, BODY)).await.assert_error(ErrorCode::SudoActionExpired);
    assert_eq!(app.runs(), 0);
}
