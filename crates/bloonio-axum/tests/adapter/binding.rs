//! An approval runs the very request that it was given for, and stays good for it whatever else is tried.

use bloonio_axum::ErrorCode;
use rstest::rstest;

use crate::app::{App, BODY, jane, with_key};

const TARGET: &str = "/bank/accounts/7/transfer?dry=0&limit=5";

/// Tries `other` with a good key, and then shows that the key still runs what it was given for.
async fn refuses_and_keeps_good(other: http::request::Builder, body: &[u8]) {
    let app = App::new();
    let key = app.approved(|| jane("POST", TARGET), BODY).await;
    app.send(with_key(other, &key, body.to_vec())).await.assert_error(ErrorCode::SudoRequestMismatch);
    assert_eq!(app.runs(), 0);
    assert_eq!(app.send(with_key(jane("POST", TARGET), &key, BODY)).await.status, 200);
    assert_eq!(app.runs(), 1);
}

#[tokio::test]
async fn a01_any_flipped_bit_of_the_body_is_refused_and_the_approval_stays_good() {
    let app = App::new();
    let key = app.approved(|| jane("POST", TARGET), BODY).await;
    for at in 0..BODY.len() {
        for bit in 0..8 {
            let mut flipped = BODY.to_vec();
            flipped[at] ^= 1 << bit;
            let heard = app.send(with_key(jane("POST", TARGET), &key, flipped)).await;
            heard.assert_error(ErrorCode::SudoRequestMismatch);
        }
    }
    assert_eq!(app.runs(), 0);
    assert_eq!(app.send(with_key(jane("POST", TARGET), &key, BODY)).await.status, 200);
    assert_eq!(app.ran.lock().unwrap()[0].2, BODY, "the handler reads what was approved");
}

#[rstest]
#[case::empty(b"")]
#[case::shorter(&BODY[..BODY.len() - 1])]
#[case::longer(br#"{"amount": "1000.00", "recipient": "ACME Corp"} "#)]
#[case::reordered(br#"{"recipient": "ACME Corp", "amount": "1000.00"}"#)]
#[case::respaced(br#"{"amount":"1000.00","recipient":"ACME Corp"}"#)]
#[case::number_for_text(br#"{"amount": 1000.00, "recipient": "ACME Corp"}"#)]
#[case::doubled_key(br#"{"amount": "1000.00", "recipient": "ACME Corp", "amount": "9"}"#)]
#[case::marked(b"\xef\xbb\xbf{\"amount\": \"1000.00\", \"recipient\": \"ACME Corp\"}")]
#[tokio::test]
async fn a01_another_body_is_refused_and_the_approval_stays_good(#[case] body: &[u8]) {
    refuses_and_keeps_good(jane("POST", TARGET), body).await;
}

#[rstest]
#[case::other_account("/bank/accounts/8/transfer?dry=0&limit=5")]
#[case::other_verb("/bank/accounts/7/payout?dry=0&limit=5")]
#[case::longer_path("/bank/accounts/7/transfer/now?dry=0&limit=5")]
#[case::trailing_slash("/bank/accounts/7/transfer/?dry=0&limit=5")]
#[case::doubled_slash("/bank/accounts//7/transfer?dry=0&limit=5")]
#[case::dots("/bank/accounts/./7/transfer?dry=0&limit=5")]
#[case::escaped("/bank/accounts/%37/transfer?dry=0&limit=5")]
#[case::escaped_slash("/bank/accounts%2F7/transfer?dry=0&limit=5")]
#[case::upper_case("/bank/Accounts/7/transfer?dry=0&limit=5")]
#[case::path_parameter("/bank/accounts/7;x=1/transfer?dry=0&limit=5")]
#[case::no_query("/bank/accounts/7/transfer")]
#[case::empty_query("/bank/accounts/7/transfer?")]
#[case::other_value("/bank/accounts/7/transfer?dry=1&limit=5")]
#[case::other_order("/bank/accounts/7/transfer?limit=5&dry=0")]
#[case::one_more("/bank/accounts/7/transfer?dry=0&limit=5&limit=9")]
#[case::one_less("/bank/accounts/7/transfer?dry=0")]
#[case::trailing_ampersand("/bank/accounts/7/transfer?dry=0&limit=5&")]
#[case::escaped_query("/bank/accounts/7/transfer?dry=%30&limit=5")]
#[case::query_in_the_path("/bank/accounts/7/transfer%3Fdry=0&limit=5")]
#[case::other_authority("http://other.example/bank/accounts/7/transfer?dry=0&limit=5")]
#[tokio::test]
async fn a02_another_target_is_refused_and_the_approval_stays_good(#[case] target: &str) {
    refuses_and_keeps_good(jane("POST", target), BODY).await;
}

#[tokio::test]
async fn a02_no_query_and_an_empty_one_are_two_requests() {
    let app = App::new();
    let key = app.approved(|| jane("POST", "/bank/x"), BODY).await;
    app.send(with_key(jane("POST", "/bank/x?"), &key, BODY)).await.assert_error(ErrorCode::SudoRequestMismatch);
}

#[tokio::test]
async fn a02_another_host_is_refused() {
    let other = jane("POST", TARGET);
    let mut parts = other.body(()).unwrap().into_parts().0;
    parts.headers.insert("host", "other.example".parse().unwrap());
    let app = App::new();
    let key = app.approved(|| jane("POST", TARGET), BODY).await;
    let mut request = http::Request::from_parts(parts, axum::body::Body::from(BODY));
    request.headers_mut().insert("x-sudo-instruction-key", key.parse().unwrap());
    app.send(request).await.assert_error(ErrorCode::SudoRequestMismatch);
}

#[rstest]
#[case("PUT")]
#[case("DELETE")]
#[case("PATCH")]
#[case("GET")]
#[case("HEAD")]
#[case("OPTIONS")]
#[case("post")]
#[tokio::test]
async fn a03_another_method_is_refused_and_the_approval_stays_good(#[case] method: &str) {
    let app = App::new();
    let key = app.approved(|| jane("POST", TARGET), BODY).await;
    let heard = app.send(with_key(jane(method, TARGET), &key, BODY)).await;
    assert_eq!((heard.status.as_u16(), heard.kind), (403, Some(ErrorCode::SudoRequestMismatch)));
    assert_eq!(app.runs(), 0);
    assert_eq!(app.send(with_key(jane("POST", TARGET), &key, BODY)).await.status, 200);
}

#[rstest]
#[case::header(jane("POST", TARGET).header("X-HTTP-Method-Override", "DELETE"), BODY)]
#[case::header_of_the_same_method(jane("POST", TARGET).header("X-HTTP-Method-Override", "POST"), BODY)]
#[case::other_header(jane("POST", TARGET).header("X-Method-Override", "DELETE"), BODY)]
#[case::third_header(jane("POST", TARGET).header("X-HTTP-Method", "DELETE"), BODY)]
#[case::query(jane("POST", "/bank/accounts/7/transfer?_method=DELETE"), BODY)]
#[case::escaped_query(jane("POST", "/bank/accounts/7/transfer?%5Fmethod=DELETE"), BODY)]
#[tokio::test]
async fn a03_a_request_to_be_taken_for_another_method_is_refused_with_and_without_a_key(
    #[case] request: http::request::Builder,
    #[case] body: &'static [u8],
) {
    let app = App::new();
    let key = app.approved(|| jane("POST", TARGET), BODY).await;
    let (parts, ()) = request.body(()).unwrap().into_parts();
    for key in [None, Some(key)] {
        let mut again = http::Request::new(axum::body::Body::from(body));
        (*again.method_mut(), *again.uri_mut(), *again.headers_mut()) =
            (parts.method.clone(), parts.uri.clone(), parts.headers.clone());
        if let Some(key) = key {
            again.headers_mut().insert("x-sudo-instruction-key", key.parse().unwrap());
        }
        app.send(again).await.assert_error(ErrorCode::MalformedRequest);
    }
    assert_eq!(app.stage.relay.challenges().len(), 1, "nobody is asked for it");
    assert_eq!(app.runs(), 0);
}

#[tokio::test]
async fn a03_a_form_that_names_another_method_is_refused() {
    let app = App::new();
    let request = http::Request::post("/bank/x")
        .header("x-user", "jane-0001")
        .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
        .body(axum::body::Body::from("amount=5&_method=DELETE"));
    app.send(request.unwrap()).await.assert_error(ErrorCode::MalformedRequest);
}

#[rstest]
#[case::absent(&[])]
#[case::empty(&[("content-type", "")])]
#[case::form(&[("content-type", "application/x-www-form-urlencoded")])]
#[case::multipart(&[("content-type", "multipart/form-data; boundary=x")])]
#[case::text(&[("content-type", "text/plain")])]
#[case::charset(&[("content-type", "application/json; charset=utf-16")])]
#[case::case(&[("content-type", "Application/JSON")])]
#[case::twice(&[("content-type", "application/json"), ("content-type", "application/json")])]
#[case::second_type(&[("content-type", "application/json"), ("content-type", "text/plain")])]
#[case::encoded(&[("content-type", "application/json"), ("content-encoding", "gzip")])]
#[case::encoding_identity(&[("content-type", "application/json"), ("content-encoding", "identity")])]
#[tokio::test]
async fn a05_another_content_type_or_encoding_is_refused(#[case] headers: &[(&str, &str)]) {
    let mut other = http::Request::post(TARGET)
        .header("host", "bank.example")
        .header("x-user", "jane-0001")
        .header("x-session", "one");
    for (name, value) in headers {
        other = other.header(*name, *value);
    }
    refuses_and_keeps_good(other, BODY).await;
}
