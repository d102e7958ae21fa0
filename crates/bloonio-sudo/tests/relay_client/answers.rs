//! Row by row: what is sent, and what is made of the answer.

use bloonio_sudo::{RelayClient, RelayError};
use rstest::rstest;
use serde_json::{Value, json};

use crate::caller::{Caller, Form, ask};
use crate::server::{Received, Server, Step, answer, success};
use crate::table::{INSTRUCTION, Row, instruction, profile, rows, user};

/// A client and its relay.
struct Line {
    server: Server,
    caller: Caller,
}

impl Line {
    fn new(form: Form) -> Self {
        let server = Server::scripted();
        let caller = Caller::of(form, &server);
        Self { server, caller }
    }

    /// One answer to one call: what the client makes of it, and what the relay heard.
    fn exchange(&self, row: &Row, step: Step) -> (Result<Value, RelayError>, Vec<Received>) {
        self.server.says([step]);
        ((row.call)(&self.caller), self.server.received())
    }
}

fn assert_unreadable(made: Result<Value, RelayError>, of: &str) {
    assert!(matches!(made, Err(RelayError::Unreadable(_))), "{of}: {made:?}");
}

#[rstest]
fn every_call_is_sent_as_the_protocol_says_and_its_answer_is_read(#[values(Form::Async, Form::Blocking)] form: Form) {
    let line = Line::new(form);
    let rows = rows();
    assert_eq!(rows.len(), 25);
    for row in rows {
        let (made, heard) = line.exchange(&row, success(row.status, &row.data));
        assert_eq!(made.unwrap_or_else(|error| panic!("{}: {error:?}", row.line)), row.gives, "{}", row.line);
        let [request] = heard.as_slice() else { panic!("{}: {heard:?}", row.line) };
        assert_eq!(request.line.replacen("/base/api/v1/relay", "", 1), row.line);
        request.assert_signed();
        if row.body.is_null() {
            assert_eq!((request.body.as_slice(), request.header("content-type")), (b"".as_slice(), None));
        } else {
            assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), row.body, "{}", row.line);
            assert_eq!(request.header("content-type"), Some("application/json"), "{}", row.line);
        }
        let token = request.header("x-qr-poll-token");
        assert_eq!(token, row.line.contains("/qr-login/poll").then_some("hush"), "{}", row.line);
    }
}

#[rstest]
fn what_a_newer_relay_adds_does_no_harm(#[values(Form::Async, Form::Blocking)] form: Form) {
    let line = Line::new(form);
    for row in rows() {
        let mut data = row.data.clone();
        data["from_the_future"] = json!({"a": [1]});
        let (made, _) = line.exchange(&row, success(row.status, &data));
        assert!(made.is_ok(), "{}: {made:?}", row.line);
    }
}

#[rstest]
fn an_answer_to_another_call_or_with_unknown_values_is_none(#[values(Form::Async, Form::Blocking)] form: Form) {
    let line = Line::new(form);
    for row in rows() {
        assert!(!row.spoiled.is_empty(), "{}", row.line);
        for (field, value) in &row.spoiled {
            let mut data = row.data.clone();
            data[*field] = value.clone();
            let (made, _) = line.exchange(&row, success(row.status, &data));
            assert_unreadable(made, &format!("{} with {field} {value}", row.line));
        }
    }
}

#[rstest]
#[case::not_json("<html>")]
#[case::nothing("")]
#[case::not_the_envelope("{}")]
#[case::no_success(r#"{"success": false, "status_code": 200, "message": "", "data": {"ok": true}}"#)]
#[case::perhaps_success(r#"{"success": "true", "status_code": 200, "message": "", "data": {"ok": true}}"#)]
#[case::success_twice(r#"{"success": true, "success": true, "status_code": 200, "message": "", "data": {"ok": true}}"#)]
#[case::cut_off(r#"{"success": true, "status_code": 200, "message": "", "data": {"ok""#)]
fn an_answer_that_is_not_the_relays_is_none(#[case] body: &str, #[values(Form::Async, Form::Blocking)] form: Form) {
    let line = Line::new(form);
    for row in rows() {
        let (made, _) = line.exchange(&row, answer(200, "", body));
        // An outcome is not even looked at: nothing signed it.
        assert_unreadable(made, row.line);
    }
}

#[rstest]
fn an_endless_answer_is_cut_off(#[values(Form::Async, Form::Blocking)] form: Form) {
    let line = Line::new(form);
    for row in rows() {
        let (made, _) = line.exchange(&row, answer(200, "", &" ".repeat(1_100_000)));
        assert!(matches!(made, Err(RelayError::Unreadable("it is too long"))), "{}: {made:?}", row.line);
    }
}

#[rstest]
fn redirects_are_not_followed(#[values(Form::Async, Form::Blocking)] form: Form) {
    let line = Line::new(form);
    for row in rows() {
        let (made, heard) = line.exchange(&row, answer(307, "location: /elsewhere\r\n", ""));
        assert!(matches!(made, Err(RelayError::Rejected { status: 307, .. })), "{}: {made:?}", row.line);
        assert_eq!(heard.len(), 1, "{}", row.line);
    }
}

#[rstest]
fn an_acknowledgement_need_not_say_of_what(#[values(Form::Async, Form::Blocking)] form: Form) {
    let server = Server::answering(|_| success(200, &Value::Null));
    let caller = Caller::of(form, &server);
    ask!(&caller, revoke_pairing(&user())).unwrap();
    ask!(&caller, cancel_auth_challenge(&instruction())).unwrap();
}

#[rstest]
fn an_expired_prompt_counts_as_withdrawn(#[values(Form::Async, Form::Blocking)] form: Form) {
    let server = Server::answering(|_| success(200, &json!({"instruction_id": INSTRUCTION, "status": "expired"})));
    ask!(&Caller::of(form, &server), cancel_auth_challenge(&instruction())).unwrap();
}

#[rstest]
fn an_offer_without_an_address_gets_one(#[values(Form::Async, Form::Blocking)] form: Form) {
    let server = Server::answering(|_| success(201, &json!({"pairing_proof": "p.r.f", "expires_in": 300})));
    let offer = ask!(&Caller::of(form, &server), prepare_pairing(&profile())).unwrap();
    let relay = format!("http%3A%2F%2F127.0.0.1%3A{}%2Fbase", server.address().port());
    assert_eq!(offer.pairing_uri, format!("bloonio://pair?relay={relay}&proof=p.r.f"));
}

#[rstest]
fn one_that_was_looked_up_may_come_as_a_list_of_one(#[values(Form::Async, Form::Blocking)] form: Form) {
    let line = Line::new(form);
    for row in rows().into_iter().filter(|row| row.line.contains("by-public-id")) {
        let (made, _) = line.exchange(&row, success(200, &json!({"items": [row.data], "count": 1})));
        assert_eq!(made.unwrap(), row.gives);
        for items in [json!([]), json!([row.data, row.data])] {
            let (made, _) = line.exchange(&row, success(200, &json!({"items": items, "count": 2})));
            assert_unreadable(made, row.line);
        }
    }
}
