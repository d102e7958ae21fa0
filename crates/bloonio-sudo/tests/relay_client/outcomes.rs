//! Outcomes: signed, about the prompt that was asked for, and of this tenant.

use std::time::Duration;

use bloonio_sudo::client::Outcome;
use bloonio_sudo::{RelayClient, RelayError};
use rstest::rstest;
use serde_json::{Value, json};

use crate::caller::{Caller, Form, ask};
use crate::server::{Server, Step, answer, now_ms, success, webhook_headers};
use crate::table::{event, instruction};

fn fetch(form: Form, step: Step) -> Result<Outcome, RelayError> {
    let server = Server::answering(move |_| step.clone());
    ask!(&Caller::of(form, &server), fetch_outcome(&instruction(), Duration::ZERO))
}

fn with(field: &str, value: Value) -> Step {
    let mut data = event();
    data[field] = value;
    success(200, &data)
}

/// An outcome that was signed so many seconds from now, and whose headers were tampered with.
fn signed(seconds: i64, spoil: impl FnOnce(&mut String)) -> Step {
    let body = json!({"success": true, "status_code": 200, "message": "", "data": event()}).to_string();
    let mut headers = webhook_headers("out_1", now_ms() / 1000 + seconds, &body);
    spoil(&mut headers);
    answer(200, &headers, &body)
}

#[rstest]
fn a_decision_is_handed_on(#[values(Form::Async, Form::Blocking)] form: Form) {
    for step in [success(200, &event()), signed(0, |_| {})] {
        let outcome = fetch(form, step).unwrap();
        assert!(matches!(outcome, Outcome::Decided(event) if event.approved && event.instruction_id == instruction()));
    }
}

#[rstest]
#[case("pending", Outcome::Pending)]
#[case("expired", Outcome::Expired)]
#[case("cancelled", Outcome::Cancelled)]
fn a_prompt_without_a_decision_says_why(
    #[case] status: &str,
    #[case] expected: Outcome,
    #[values(Form::Async, Form::Blocking)] form: Form,
) {
    let data = json!({"instruction_id": "instruction-1", "status": status});
    assert_eq!(fetch(form, success(200, &data)).unwrap(), expected);
}

#[rstest]
#[case::unsigned(signed(0, String::clear))]
#[case::wrongly_signed(signed(0, |headers| *headers = headers.replace("out_1", "out_2")))]
#[case::signed_twice(signed(0, |headers| headers.push_str("webhook-id: out_1\r\n")))]
#[case::signed_long_ago(signed(-60, |_| {}))]
#[case::signed_in_time_to_come(signed(60, |_| {}))]
#[case::another_instruction(with("instruction_id", json!("instruction-2")))]
#[case::another_tenant(with("tenant_id", json!("tnt_fedcba9876543210fedcba9876543210")))]
#[case::unknown_status(with("status", json!("maybe")))]
#[case::unclear(with("approved", json!("true")))]
#[case::contradictory(with("outcome", json!("rejected")))]
#[case::another_event(with("event_id", json!("0123456789abcdef01234567")))]
#[case::half_an_event(success(200, &json!({"instruction_id": "instruction-1", "status": "decided"})))]
fn a_doubtful_outcome_is_none(#[case] step: Step, #[values(Form::Async, Form::Blocking)] form: Form) {
    let error = fetch(form, step).unwrap_err();
    assert!(matches!(error, RelayError::Unreadable(_)), "{error:?}");
}

#[rstest]
fn nobody_waits_for_longer_than_the_relay_would(#[values(Form::Async, Form::Blocking)] form: Form) {
    let pending = json!({"instruction_id": "instruction-1", "status": "pending"});
    let server = Server::answering(move |_| success(200, &pending));
    ask!(&Caller::of(form, &server), fetch_outcome(&instruction(), Duration::from_secs(3600))).unwrap();
    assert!(server.received()[0].line.ends_with("&wait_seconds=30"), "{:?}", server.received());
}
