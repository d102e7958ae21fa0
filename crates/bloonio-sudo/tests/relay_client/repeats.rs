//! When a call is made once more.

use bloonio_sudo::client::Repeat;
use bloonio_sudo::{ErrorCode, NextStep, RelayError};
use rstest::rstest;
use serde_json::Value;

use crate::caller::{Caller, Form, settings};
use crate::server::{Received, Server, Step, refusal, success};
use crate::table::rows;

fn assert_signed_anew(heard: &[Received]) {
    let [first, second] = heard else { panic!("{heard:?}") };
    first.assert_signed();
    second.assert_signed();
    assert_eq!((&first.line, &first.body), (&second.line, &second.body));
    assert_ne!(first.header("x-bloonio-timestamp"), second.header("x-bloonio-timestamp"));
    assert_ne!(first.header("x-bloonio-signature"), second.header("x-bloonio-signature"));
    assert_ne!(first.nonce(), second.nonce());
}

#[rstest]
fn a_supposed_replay_is_signed_anew_and_sent_once_more(#[values(Form::Async, Form::Blocking)] form: Form) {
    let server = Server::scripted();
    let caller = Caller::of(form, &server);
    for row in rows() {
        let replayed = || refusal(401, "REQUEST_REPLAYED", Value::Null);
        server.says([replayed(), success(row.status, &row.data)]);
        assert_eq!((row.call)(&caller).unwrap(), row.gives, "{}", row.line);
        assert_signed_anew(&server.received());

        server.says([replayed(), replayed(), success(row.status, &row.data)]);
        let error = (row.call)(&caller).unwrap_err();
        assert_eq!((error.code(), error.next_step()), (Some(ErrorCode::RequestReplayed), NextStep::Retry));
        assert_eq!(server.received().len(), 2, "{}: once more, and no more", row.line);
    }
}

#[rstest]
fn a_call_that_may_have_arrived_is_repeated_only_where_twice_is_as_good_as_once(
    #[values(Form::Async, Form::Blocking)] form: Form,
) {
    let server = Server::scripted();
    let caller = Caller::of(form, &server);
    for row in rows() {
        server.says([Step::BreakOff, success(row.status, &row.data)]);
        let made = (row.call)(&caller);
        if row.repeat == Repeat::Safe {
            assert_eq!(made.unwrap(), row.gives, "{}", row.line);
            assert_signed_anew(&server.received());
        } else {
            assert!(matches!(made, Err(RelayError::Unreachable(_))), "{}: {made:?}", row.line);
            assert_eq!(server.received().len(), 1, "{}", row.line);
        }
    }
}

#[rstest]
fn a_call_that_breaks_off_twice_is_given_up(#[values(Form::Async, Form::Blocking)] form: Form) {
    let server = Server::scripted();
    let caller = Caller::of(form, &server);
    for row in rows().into_iter().filter(|row| row.repeat == Repeat::Safe) {
        server.says([Step::BreakOff, Step::BreakOff, success(row.status, &row.data)]);
        let error = (row.call)(&caller).unwrap_err();
        assert!(matches!(error, RelayError::Unreachable("the exchange broke off")), "{}: {error:?}", row.line);
        assert_eq!(server.received().len(), 2, "{}", row.line);
    }
}

#[rstest]
fn a_call_that_never_left_is_repeated_unless_it_is_one_of_a_kind(#[values(Form::Async, Form::Blocking)] form: Form) {
    // The greeting of TLS is cut short, so that nothing of the call goes out.
    let server = Server::refusing();
    let caller = Caller::new(form, &settings(&format!("https://{}", server.address()), 20));
    for row in rows() {
        server.says([]);
        let error = (row.call)(&caller).unwrap_err();
        assert!(matches!(error, RelayError::Unreachable("no connection")), "{}: {error:?}", row.line);
        let tries = if row.repeat == Repeat::Never { 1 } else { 2 };
        assert_eq!(server.connections(), tries, "{}", row.line);
    }
}

#[rstest]
fn a_refusal_is_never_repeated(#[values(Form::Async, Form::Blocking)] form: Form) {
    let server = Server::scripted();
    let caller = Caller::of(form, &server);
    for row in rows() {
        server.says([refusal(503, "STORAGE_UNAVAILABLE", Value::Null)]);
        (row.call)(&caller).unwrap_err();
        assert_eq!(server.received().len(), 1, "{}", row.line);
    }
}
