//! An approval runs the very request that it was given for, and stays good for it whatever else is tried.

use bloonio_sudo::ErrorCode;
use bloonio_tests::bank::Framework::{self, Actix, Axum};
use rstest::rstest;

use crate::client::{Ask, BODY};
use crate::server::Server;

const TARGET: &str = "/bank/accounts/7/transfer?dry=0&limit=5";

/// Tries `other` with a good key, and then shows that the key still runs what it was given for.
async fn refuses_and_keeps_good(framework: Framework, other: Ask) {
    let server = Server::start(framework).await;
    let key = server.approved(&Ask::transfer(TARGET)).await;
    server.hear(&other.key(&key)).await.assert_refused(ErrorCode::SudoRequestMismatch);
    assert_eq!(server.runs(), 0);
    let ran = server.hear(&Ask::transfer(TARGET).key(&key)).await;
    ran.assert_status(200);
    let seen = (&ran.body["method"], &ran.body["target"], &ran.body["body"], &ran.body["approved_by"]);
    assert_eq!(seen, (&"POST".into(), &TARGET.into(), &BODY.into(), &"jane-0001".into()));
    assert_eq!(server.runs(), 1);
}

#[rstest]
#[case::empty("")]
#[case::one_digit(r#"{"amount": "1000.01", "recipient": "ACME Corp"}"#)]
#[case::shorter(r#"{"amount": "1000.00", "recipient": "ACME Corp""#)]
#[case::longer(r#"{"amount": "1000.00", "recipient": "ACME Corp"} "#)]
#[case::reordered(r#"{"recipient": "ACME Corp", "amount": "1000.00"}"#)]
#[case::number_for_text(r#"{"amount": 1000.00, "recipient": "ACME Corp"}"#)]
#[case::doubled_key(r#"{"amount": "1000.00", "recipient": "ACME Corp", "amount": "9"}"#)]
#[case::marked("\u{feff}{\"amount\": \"1000.00\", \"recipient\": \"ACME Corp\"}")]
#[tokio::test]
async fn a01_another_body(#[case] body: &str, #[values(Axum, Actix)] framework: Framework) {
    refuses_and_keeps_good(framework, Ask::transfer(TARGET).body(body)).await;
}

#[rstest]
#[case::other_account("/bank/accounts/8/transfer?dry=0&limit=5")]
#[case::longer_path("/bank/accounts/7/transfer/now?dry=0&limit=5")]
#[case::trailing_slash("/bank/accounts/7/transfer/?dry=0&limit=5")]
#[case::doubled_slash("/bank/accounts//7/transfer?dry=0&limit=5")]
#[case::dot("/bank/accounts/./7/transfer?dry=0&limit=5")]
#[case::dots("/bank/accounts/8/../7/transfer?dry=0&limit=5")]
#[case::escaped_dots("/bank/accounts/8/%2e%2e/7/transfer?dry=0&limit=5")]
#[case::escaped_letter("/bank/accounts/%37/transfer?dry=0&limit=5")]
#[case::escaped_slash("/bank/accounts%2F7/transfer?dry=0&limit=5")]
#[case::upper_case("/bank/Accounts/7/transfer?dry=0&limit=5")]
#[case::path_parameter("/bank/accounts/7;x=1/transfer?dry=0&limit=5")]
#[case::no_query("/bank/accounts/7/transfer")]
#[case::empty_query("/bank/accounts/7/transfer?")]
#[case::other_value("/bank/accounts/7/transfer?dry=1&limit=5")]
#[case::other_order("/bank/accounts/7/transfer?limit=5&dry=0")]
#[case::one_more("/bank/accounts/7/transfer?dry=0&limit=5&limit=9")]
#[case::trailing_ampersand("/bank/accounts/7/transfer?dry=0&limit=5&")]
#[case::escaped_query("/bank/accounts/7/transfer?dry=%30&limit=5")]
#[case::query_in_the_path("/bank/accounts/7/transfer%3Fdry=0&limit=5")]
#[case::other_authority("http://other.example/bank/accounts/7/transfer?dry=0&limit=5")]
#[tokio::test]
async fn a02_another_target(#[case] target: &str, #[values(Axum, Actix)] framework: Framework) {
    refuses_and_keeps_good(framework, Ask::transfer(target)).await;
}

#[rstest]
#[tokio::test]
async fn a02_another_host(#[values(Axum, Actix)] framework: Framework) {
    let other = Ask::transfer(TARGET).without("host").with("host", "other.example");
    refuses_and_keeps_good(framework, other).await;
}

#[rstest]
#[tokio::test]
async fn a02_a_nested_route_is_bound_to_the_whole_target(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let key = server.approved(&Ask::transfer("/nested/bank/x?y=1")).await;
    server.hear(&Ask::transfer("/bank/x?y=1").key(&key)).await.assert_refused(ErrorCode::SudoRequestMismatch);
    let ran = server.hear(&Ask::transfer("/nested/bank/x?y=1").key(&key)).await;
    ran.assert_status(200);
    assert_eq!(ran.body["target"], "/nested/bank/x?y=1");
}

#[rstest]
#[case::absent(&[])]
#[case::form(&["application/x-www-form-urlencoded"])]
#[case::multipart(&["multipart/form-data; boundary=x"])]
#[case::charset(&["application/json; charset=utf-16"])]
#[case::upper_case(&["Application/JSON"])]
#[case::twice(&["application/json", "application/json"])]
#[case::second_type(&["application/json", "text/plain"])]
#[tokio::test]
async fn a05_another_content_type(#[case] types: &[&str], #[values(Axum, Actix)] framework: Framework) {
    let bare = Ask::transfer(TARGET).without("content-type");
    let other = types.iter().fold(bare, |ask, value| ask.with("content-type", value));
    refuses_and_keeps_good(framework, other).await;
}

#[rstest]
#[case::identity("identity")]
#[case::gzip("gzip")]
#[tokio::test]
async fn a05_another_content_encoding(#[case] encoding: &str, #[values(Axum, Actix)] framework: Framework) {
    refuses_and_keeps_good(framework, Ask::transfer(TARGET).with("content-encoding", encoding)).await;
}

#[rstest]
#[case::absent(&[])]
#[case::empty(&[""])]
#[case::other(&["two"])]
#[case::repeated(&["one", "one"])]
#[tokio::test]
async fn a07_another_bound_header(#[case] values: &[&str], #[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let asked = Ask::transfer("/bound/x").with("idempotency-key", "one");
    let key = server.approved(&asked).await;
    let other = values.iter().fold(Ask::transfer("/bound/x"), |ask, value| ask.with("idempotency-key", value));
    server.hear(&other.key(&key)).await.assert_refused(ErrorCode::SudoRequestMismatch);
    server.hear(&asked.key(&key)).await.assert_status(200);
}

#[rstest]
#[tokio::test]
async fn a04_the_same_bytes_in_chunks_are_the_same_request(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let key = server.approved(&Ask::transfer(TARGET)).await;
    assert_eq!(server.key(&Ask::transfer("/bank/y").chunked()).await, server.key(&Ask::transfer("/bank/y")).await);
    let ran = server.hear(&Ask::transfer(TARGET).chunked().key(&key)).await;
    ran.assert_status(200);
    assert_eq!(ran.body["body"], BODY);
}
