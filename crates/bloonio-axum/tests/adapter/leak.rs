//! What never reaches a log or an answer.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use bloonio_axum::{CustomType, DataType, ErrorCode};
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::app::{App, BODY, jane, with_key};
use crate::support::{Mood, SECRET, transfer};

/// Keeps what is logged.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a21_no_key_token_number_or_body_is_logged() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let requirement = transfer().with_custom_type(CustomType::GoldenNumber).with_json_field(
        "amount",
        "Amount",
        DataType::CurrencyUsd,
        "/amount",
    );
    let app = App::with(requirement);
    let ask = || jane("POST", "/bank/x?token=query-hush").body(Body::from(BODY)).unwrap();
    let redeem = |key: &str| with_key(jane("POST", "/bank/x?token=query-hush"), key, BODY);
    let first = app.send(ask()).await;
    let key = first.body["instruction_id"].as_str().unwrap().to_owned();
    let number = first.body["golden_number"].as_i64().unwrap();
    app.send(redeem(&key)).await.assert_error(ErrorCode::SudoActionPending);
    app.send(with_key(jane("POST", "/bank/y"), &key, BODY)).await.assert_error(ErrorCode::SudoRequestMismatch);
    let mut event = app.stage.event(&key, true);
    app.stage.callback(&event.to_string(), None, |call| call.body.push(b' ')).await.assert(401);
    event["response_data"]["selected_number"] = json!(number);
    app.stage.tell(&event).await.assert(200);
    event["approved"] = json!(false);
    app.stage.tell(&event).await.assert(200);
    assert_eq!(app.send(redeem(&key)).await.status, 200);
    app.send(redeem(&key)).await.assert_error(ErrorCode::SudoActionExpired);
    app.stage.relay.set(Mood::Away);
    app.send(ask()).await.assert_error(ErrorCode::SudoRelayUnavailable);
    app.stage.store.set_broken(true);
    app.send(redeem(&key)).await.assert_error(ErrorCode::SudoStateUnavailable);

    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("a prompt was sent") && logged.contains("an approval was used"), "{logged}");
    assert!(logged.lines().count() >= 8, "{logged}");
    for sent in app.stage.relay.challenges() {
        for secret in [sent.instruction_id.as_str(), &sent.response_token.unwrap(), &sent.challenge_digest.unwrap()] {
            assert!(!logged.contains(secret), "{secret} in\n{logged}");
        }
    }
    for secret in ["1000.00", "ACME", "query-hush", SECRET, "golden_number", "msg_1", "x-session"] {
        assert!(!logged.contains(secret), "{secret} in\n{logged}");
    }
}

#[tokio::test]
async fn a21_the_handler_sees_the_key_marked_as_sensitive() {
    let app = App::new();
    let key = app.approved(|| jane("POST", "/bank/x"), BODY).await;
    let show = |headers: http::HeaderMap| async move { format!("{headers:?}") };
    let router =
        axum::Router::new().route("/bank/x", axum::routing::post(show).layer(app.auth.sudo_required(transfer())));
    let app = App { router, ..app };
    let shown = app.send(with_key(jane("POST", "/bank/x"), &key, BODY)).await;
    assert_eq!(shown.status, 200);
    let shown = shown.body.as_str().unwrap();
    assert!(shown.contains("x-sudo-instruction-key") && !shown.contains(&key), "{shown}");
}
