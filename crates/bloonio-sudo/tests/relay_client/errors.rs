//! What is made of refusals, and what to do about each.

use std::time::Duration;

use bloonio_sudo::{ErrorCode, NextStep, RelayClient, RelayError};
use rstest::rstest;
use serde_json::{Value, json};

use crate::caller::{Caller, Form, ask, settings};
use crate::server::{Server, answer, refusal};
use crate::table::{challenge, receipt, rows, user};

const WAIT: NextStep = NextStep::RetryAfter(Duration::from_secs(7));

#[rstest]
#[case(400, "MALFORMED_REQUEST", NextStep::FixCall)]
#[case(401, "INVALID_SIGNATURE", NextStep::AskOperator)]
#[case(401, "TIMESTAMP_OUT_OF_WINDOW", NextStep::AskOperator)]
#[case(403, "TENANT_SUSPENDED", NextStep::AskOperator)]
#[case(403, "ORIGIN_NOT_ALLOWED", NextStep::AskOperator)]
#[case(403, "PASSKEYS_DISABLED", NextStep::AskOperator)]
#[case(403, "QR_LOGIN_DISABLED", NextStep::AskOperator)]
#[case(403, "FORBIDDEN", NextStep::AskUser)]
#[case(404, "NOT_FOUND", NextStep::StartOver)]
#[case(404, "PAIRING_NOT_FOUND", NextStep::PairDevice)]
#[case(404, "NO_DEVICE", NextStep::PairDevice)]
#[case(405, "METHOD_NOT_ALLOWED", NextStep::FixCall)]
#[case(409, "IDEMPOTENCY_CONFLICT", NextStep::FixCall)]
#[case(409, "ALREADY_DECIDED", NextStep::Watch)]
#[case(409, "PAIRING_PROOF_USED", NextStep::StartOver)]
#[case(410, "GONE", NextStep::StartOver)]
#[case(413, "BODY_TOO_LARGE", NextStep::FixCall)]
#[case(429, "RATE_LIMITED", WAIT)]
#[case(500, "INTERNAL_ERROR", NextStep::Retry)]
#[case(502, "AUTH_API_UNREACHABLE", NextStep::Retry)]
#[case(502, "PUSH_NOT_DELIVERED", NextStep::Watch)]
#[case(503, "STORAGE_UNAVAILABLE", WAIT)]
fn every_call_keeps_a_refusals_status_code_and_time(
    #[case] status: u16,
    #[case] name: &str,
    #[case] next: NextStep,
    #[values(Form::Async, Form::Blocking)] form: Form,
) {
    let server = {
        let name = name.to_owned();
        Server::answering(move |_| refusal(status, &name, Value::Null))
    };
    let caller = Caller::of(form, &server);
    for row in rows() {
        let error = (row.call)(&caller).unwrap_err();
        let RelayError::Rejected { status: heard, code, retry_after } = &error else { panic!("{error:?}") };
        let expected = (status, ErrorCode::from_name(name), Some(Duration::from_secs(7)));
        assert_eq!((*heard, *code, *retry_after), expected, "{}", row.line);
        assert_eq!((error.next_step(), error.code()), (next, *code), "{}", row.line);
        assert!(code.is_some());
    }
}

#[rstest]
#[case(302, NextStep::AskOperator)]
#[case(401, NextStep::AskOperator)]
#[case(403, NextStep::AskOperator)]
#[case(404, NextStep::AskOperator)]
#[case(410, NextStep::StartOver)]
#[case(418, NextStep::FixCall)]
#[case(429, WAIT)]
#[case(503, WAIT)]
#[case(504, NextStep::Retry)]
fn an_unknown_code_is_judged_by_its_status(
    #[case] status: u16,
    #[case] next: NextStep,
    #[values(Form::Async, Form::Blocking)] form: Form,
) {
    let server = Server::answering(move |_| refusal(status, "FROM_THE_FUTURE", Value::Null));
    let error = ask!(&Caller::of(form, &server), revoke_pairing(&user())).unwrap_err();
    assert_eq!((error.code(), error.next_step()), (None, next));
    assert_eq!(error.is_retryable(), next == WAIT || next == NextStep::Retry);
}

#[rstest]
fn a_refusal_without_a_body_is_one_all_the_same(#[values(Form::Async, Form::Blocking)] form: Form) {
    let server = Server::answering(|_| answer(429, "", ""));
    let error = ask!(&Caller::of(form, &server), revoke_pairing(&user())).unwrap_err();
    assert_eq!(error.next_step(), NextStep::RetryAfter(Duration::from_secs(1)));
}

#[rstest]
fn broken_rules_are_named(#[values(Form::Async, Form::Blocking)] form: Form) {
    let details = json!([{"field": "ttl_seconds", "problem": "must be between 10 and 600"}]);
    let server = Server::answering(move |_| refusal(422, "VALIDATION_FAILED", json!({"details": details})));
    let caller = Caller::of(form, &server);
    for row in rows() {
        let error = (row.call)(&caller).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::ValidationFailed), "{}", row.line);
        assert_eq!(error.next_step(), NextStep::FixCall);
        let RelayError::Invalid(details) = error else { panic!("{error:?}") };
        assert_eq!((details[0].field.as_str(), details.len()), ("ttl_seconds", 1));
    }
}

#[rstest]
fn a_prompt_that_no_device_got_keeps_its_counts(#[values(Form::Async, Form::Blocking)] form: Form) {
    let server = Server::answering(|_| refusal(502, "PUSH_NOT_DELIVERED", json!({"data": receipt()})));
    let error = ask!(&Caller::of(form, &server), send_auth_challenge(&challenge())).unwrap_err();
    assert_eq!((error.code(), error.next_step()), (Some(ErrorCode::PushNotDelivered), NextStep::Watch));
    assert!(matches!(error, RelayError::Undelivered(receipt) if receipt.failed_count == 1));
}

#[rstest]
fn a_wrong_code_is_an_answer_and_no_error(#[values(Form::Async, Form::Blocking)] form: Form) {
    let row = rows().into_iter().find(|row| row.line.contains("verify-totp")).unwrap();
    let with = |status, code: &'static str| {
        let server = Server::answering(move |_| refusal(status, code, Value::Null));
        (row.call)(&Caller::of(form, &server))
    };
    assert_eq!(with(401, "INVALID_TOTP").unwrap(), json!(false));
    // Only these two together are that answer.
    assert!(with(403, "INVALID_TOTP").is_err());
    assert_eq!(with(401, "INVALID_SIGNATURE").unwrap_err().next_step(), NextStep::AskOperator);
    assert_eq!(with(429, "RATE_LIMITED").unwrap_err().next_step(), WAIT);
}

#[rstest]
fn errors_show_no_address_and_no_secret(#[values(Form::Async, Form::Blocking)] form: Form) {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let caller = Caller::new(form, &settings(&format!("http://{closed}"), 20));
    for row in rows() {
        let error = (row.call)(&caller).unwrap_err();
        assert!(matches!(error, RelayError::Unreachable("no connection")), "{}: {error:?}", row.line);
        assert_eq!(error.next_step(), NextStep::Retry);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(&closed.port().to_string()) && !shown.contains("hush"), "{shown}");
    }
}

#[test]
fn in_a_thread_of_an_async_runtime_the_blocking_client_refuses_and_drops_quietly() {
    let server = Server::answering(|_| refusal(404, "NOT_FOUND", Value::Null));
    let Caller::Blocking(client) = Caller::of(Form::Blocking, &server) else { panic!() };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(async {
        let error = client.groups().unwrap_err();
        drop(client);
        error
    });
    assert!(matches!(error, RelayError::Unsendable(_)), "{error:?}");
    assert_eq!((error.next_step(), server.received().len()), (NextStep::FixCall, 0));
}
