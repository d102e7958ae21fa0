//! The mounted routes through the router.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bloonio_axum::ErrorCode;
use http_body_util::BodyExt;
use rstest::rstest;
use serde_json::json;
use tower::ServiceExt;

use crate::app::{App, BODY, jane, with_key};
use crate::support::{self, Call};

/// A call of the cast as a request.
fn request(call: &Call) -> Request {
    let mut request = Request::builder().method(call.method.as_str()).uri(&call.path);
    for (name, value) in &call.headers {
        request = request.header(name, value.as_slice());
    }
    request.body(Body::from(call.body.clone())).unwrap()
}

async fn asked(app: &App) -> String {
    let heard = app.send(jane("POST", "/bank/x").body(Body::from(BODY)).unwrap()).await;
    heard.body["instruction_id"].as_str().unwrap().to_owned()
}

#[rstest]
#[case("/api/sudo-callback")]
#[case("/relay-callbacks/sudo-validated")]
#[case("/api/v1/relay-callbacks/sudo-validated")]
#[tokio::test]
async fn a60_callbacks_decide_where_signed_and_nowhere_else(#[case] path: &str) {
    let app = App::new();
    let key = asked(&app).await;
    let event = app.stage.event(&key, true).to_string();
    let at = bloonio_sudo::Clock::now(&*app.stage.clock);
    let mut call = support::callback(&event, None, at, |_| {});
    call.path = path.to_owned();
    let mut forged = call.clone();
    forged.body.push(b'\n');
    app.send(request(&forged)).await.assert_error(ErrorCode::InvalidSignature);
    app.send(with_key(jane("POST", "/bank/x"), &key, BODY)).await.assert_error(ErrorCode::SudoActionPending);
    let heard = app.send(request(&call)).await;
    assert_eq!((heard.status.as_u16(), &heard.body), (200, &json!({"acknowledged": true})));
    assert_eq!(app.send(with_key(jane("POST", "/bank/x"), &key, BODY)).await.status, 200);
}

#[tokio::test]
async fn a61_a_callback_replayed_later_is_refused() {
    let app = App::new();
    let key = asked(&app).await;
    let event = app.stage.event(&key, true).to_string();
    let call = support::callback(&event, None, bloonio_sudo::Clock::now(&*app.stage.clock), |_| {});
    app.stage.clock.advance(Duration::from_secs(31));
    app.send(request(&call)).await.assert_error(ErrorCode::TimestampOutOfWindow);
    app.send(with_key(jane("POST", "/bank/x"), &key, BODY)).await.assert_error(ErrorCode::SudoActionPending);
}

#[tokio::test]
async fn a_callback_over_256_kib_is_413() {
    let app = App::new();
    for (length, expected) in [(256 * 1024, 401), (256 * 1024 + 1, 413)] {
        let heard = app.send(Request::post("/api/sudo-callback").body(Body::from(vec![b' '; length])).unwrap()).await;
        assert_eq!(heard.status.as_u16(), expected);
    }
}

#[tokio::test]
async fn a_device_may_answer_the_backend_itself() {
    let app = App::new();
    let key = asked(&app).await;
    let token = app.stage.relay.last().response_token.unwrap();
    let submit = |token: &str| {
        let body =
            json!({"instruction_id": key, "approved": true, "custom_type": "localAuth", "response_token": token});
        Request::post("/_bloonio/submit-response").body(Body::from(body.to_string())).unwrap()
    };
    app.send(submit("guessed")).await.assert_error(ErrorCode::InvalidResponseToken);
    assert_eq!(app.send(submit(&token)).await.status, 200);
    app.send(submit(&token)).await.assert_error(ErrorCode::AlreadyDecided);
    assert_eq!(app.send(with_key(jane("POST", "/bank/x"), &key, BODY)).await.status, 200);
}

#[tokio::test]
async fn a20_the_status_is_for_the_initiator_and_unknown_to_others() {
    let app = App::new();
    let key = asked(&app).await;
    let path = format!("/_bloonio/instructions/{key}");
    let own = app.send(jane("GET", &path).body(Body::empty()).unwrap()).await;
    assert_eq!((own.status.as_u16(), &own.body["status"]), (200, &json!("pending")));
    assert_eq!(own.headers["cache-control"], "no-store");
    let as_john = |path: &str| Request::get(path).header("x-user", "john-0001").body(Body::empty()).unwrap();
    let foreign = app.send(as_john(&path)).await;
    let unknown = app.send(as_john("/_bloonio/instructions/0123456789abcdef0123456789abcdef01234567")).await;
    foreign.assert_error(ErrorCode::NotFound);
    assert_eq!(foreign, unknown);
    let nobody = app.send(Request::get(&path).body(Body::empty()).unwrap()).await;
    nobody.assert_error(ErrorCode::SudoUserRequired);
    let posted = app.send(jane("POST", &path).body(Body::empty()).unwrap()).await;
    assert_eq!((posted.status.as_u16(), &posted.headers["allow"]), (405, &"GET".parse().unwrap()));
}

#[tokio::test]
async fn a_stream_follows_the_instruction_to_its_end() {
    let app = App::new();
    let key = asked(&app).await;
    let listen = jane("GET", &format!("/_bloonio/instructions/{key}")).header("accept", "text/event-stream");
    let response = app.router.clone().oneshot(listen.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let mut next = async || {
        let frame = body.frame().await?;
        Some(String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap())
    };
    assert!(next().await.unwrap().contains("\"pending\""));
    app.stage.tell(&app.stage.event(&key, false)).await.assert(200);
    assert!(next().await.unwrap().contains("\"denied\""));
    assert_eq!(next().await, None);
}
