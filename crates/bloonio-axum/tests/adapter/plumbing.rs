//! The adapter as a part of an axum application: where the layer can stand, and what closures can see.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::routing::{get, post};
use axum::{Extension, Router};
use bloonio_axum::{BloonioAuth, Caller, ErrorCode, Sudo, SudoRequirement, UserSocketHash};

use crate::app::{App, BODY, jane, with_key};
use crate::support::{Stage, settings, transfer};

#[tokio::test]
async fn one_layer_can_guard_a_whole_router() {
    let stage = Stage::new();
    let auth = BloonioAuth::from(stage.engine.clone());
    let who = |Sudo(grant): Sudo| async move { grant.action().to_owned() };
    let router = Router::new()
        .route("/a", post(who))
        .route("/b", get(who))
        .layer(auth.sudo_required(SudoRequirement::new("admin")))
        .route("/open", get(|| async { "open" }));
    let app = App { auth, ran: Default::default(), stage, router };
    for (method, path) in [("POST", "/a"), ("GET", "/b")] {
        let key = app.approved(|| jane(method, path), b"").await;
        assert_eq!(app.send(with_key(jane(method, path), &key, Body::empty())).await.body, "admin");
    }
    let open = app.send(Request::get("/open").body(Body::empty()).unwrap()).await;
    assert_eq!(open.body, "open");
}

#[derive(Clone)]
struct Session(&'static str);

#[tokio::test]
async fn the_identity_closure_sees_what_the_sign_in_middleware_left() {
    let stage = Stage::with(settings(), |builder| {
        builder.with_identity(|view| {
            let session: &Session = view.native::<http::request::Parts>()?.extensions.get()?;
            Some(Caller::new(UserSocketHash::parse("jane-0001").ok()?, session.0))
        })
    });
    let auth = BloonioAuth::from(stage.engine.clone());
    let sign_in = |mut request: Request, next: Next| async move {
        if request.headers().contains_key("cookie") {
            request.extensions_mut().insert(Session("cookie-1"));
        }
        next.run(request).await
    };
    let who = |Extension(session): Extension<Session>, Sudo(_grant): Sudo| async move { session.0 };
    let router = Router::new().route("/a", post(who).layer(auth.sudo_required(transfer()))).layer(from_fn(sign_in));
    let app = App { auth, ran: Default::default(), stage, router };
    let stranger = app.send(Request::post("/a").body(Body::empty()).unwrap()).await;
    stranger.assert_error(ErrorCode::SudoUserRequired);
    let signed_in = || Request::post("/a").header("cookie", "s=1");
    let key = app.approved(signed_in, b"").await;
    assert_eq!(app.send(with_key(signed_in(), &key, Body::empty())).await.body, "cookie-1");
}

#[tokio::test]
async fn a_waiting_request_runs_with_its_body_when_the_phone_approves() {
    let app = App::with(transfer().with_blocking());
    let approve = async {
        app.stage.relay.until(|relay| !relay.challenges().is_empty()).await;
        let key = app.stage.relay.last().instruction_id.to_string();
        app.stage.tell(&app.stage.event(&key, true)).await.assert(200);
    };
    let request = jane("POST", "/bank/x").body(Body::from(BODY)).unwrap();
    let (heard, ()) = tokio::join!(app.send(request), approve);
    assert_eq!((heard.status.as_u16(), heard.body.as_str()), (200, Some("jane-0001")));
    assert_eq!(app.ran.lock().unwrap()[0].2, BODY);
}

#[tokio::test]
async fn from_env_names_what_is_missing() {
    // The variables are not set where tests run; setting them here would reach into other tests.
    let error = BloonioAuth::from_env(|_| None).await.unwrap_err().to_string();
    assert!(error.starts_with("BLOONIO_RELAY_"), "{error}");
}
