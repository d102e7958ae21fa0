//! How long is waited, and what becomes of a prompt whose push service is slower than that.

use std::time::Duration;

use bloonio_sudo::{RelayClient, RelayError};
use rstest::rstest;
use serde_json::Value;

use crate::caller::{Caller, Form, ask, settings};
use crate::server::{Server, Step, refusal, success};
use crate::table::{alert, challenge, delivery_status, instruction, rows};

/// A client that waits for one second.
fn hasty(form: Form, server: &Server) -> Caller {
    Caller::new(form, &settings(&server.url(), 1))
}

/// A relay that has the prompt and does not say so in time, but knows `status` when it is asked.
fn slow(status: impl Fn() -> Step + Send + Sync + 'static) -> Server {
    Server::answering(move |request| match request.line.contains("/fetch/delivery-status") {
        true => status(),
        false => Step::Hang,
    })
}

#[rstest]
fn a_relay_that_hangs_is_given_up(#[values(Form::Async, Form::Blocking)] form: Form) {
    let server = Server::answering(|_| Step::Hang);
    let caller = hasty(form, &server);
    for name in ["/revoke-pairing", "/sudo/groups", "/sudo/verify-totp"] {
        let row = rows().into_iter().find(|row| row.line.ends_with(name)).unwrap();
        let error = (row.call)(&caller).unwrap_err();
        assert!(matches!(error, RelayError::Unreachable("no answer in time")), "{name}: {error:?}");
    }
    assert_eq!(server.received().len(), 3, "none is repeated: the time is over");
}

#[rstest]
#[case("pending")]
#[case("delivered")]
#[case("partial")]
#[case("answered")]
fn a_prompt_that_a_slow_relay_has_is_sent(
    #[case] status: &'static str,
    #[values(Form::Async, Form::Blocking)] form: Form,
) {
    let server = slow(move || success(200, &delivery_status(status)));
    let receipt = ask!(&hasty(form, &server), send_auth_challenge(&challenge())).unwrap();
    assert_eq!((receipt.instruction_id.as_str(), receipt.delivered_count), (instruction().as_str(), 1));
    assert_eq!(receipt.fcm_message_ids, ["projects/x/1"]);
    assert_eq!(server.received().len(), 2);
}

#[rstest]
#[case::unknown(|| refusal(404, "NOT_FOUND", Value::Null))]
#[case::another(|| success(200, &serde_json::json!({
    "instruction_id": "instruction-2", "status": "delivered", "delivered_count": 1, "failed_count": 0,
})))]
#[case::failed(|| success(200, &delivery_status("failed")))]
#[case::cancelled(|| success(200, &delivery_status("cancelled")))]
#[case::expired(|| success(200, &delivery_status("expired")))]
#[case::mute(|| Step::Hang)]
fn a_prompt_that_a_slow_relay_does_not_have_is_not(
    #[case] status: fn() -> Step,
    #[values(Form::Async, Form::Blocking)] form: Form,
) {
    let server = slow(status);
    let error = ask!(&hasty(form, &server), send_auth_challenge(&challenge())).unwrap_err();
    assert!(matches!(error, RelayError::Unreachable("no answer in time")), "{error:?}");
    assert_eq!(server.received().len(), 2);
}

#[rstest]
fn an_alert_without_a_name_cannot_be_asked_after(#[values(Form::Async, Form::Blocking)] form: Form) {
    let server = slow(|| success(200, &delivery_status("delivered")));
    let error = ask!(&hasty(form, &server), send_security_alert(&alert())).unwrap_err();
    assert!(matches!(error, RelayError::Unreachable("no answer in time")), "{error:?}");
    assert_eq!(server.received().len(), 1);
}

#[rstest]
fn a_held_question_has_its_time_on_top(#[values(Form::Async, Form::Blocking)] form: Form) {
    let pending = serde_json::json!({"instruction_id": "instruction-1", "status": "pending"});
    // Held for longer than the timeout of one second, and far shorter than the time that was asked for on top.
    let server = Server::answering(move |_| {
        std::thread::park_timeout(Duration::from_millis(1500));
        success(200, &pending)
    });
    ask!(&hasty(form, &server), fetch_outcome(&instruction(), Duration::from_secs(30))).unwrap();
}
