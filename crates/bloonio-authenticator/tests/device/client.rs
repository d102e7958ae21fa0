//! The library: what a client makes of answers that are not what they should be, and of streams that break.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use bloonio_authenticator::answer::{Answer, DeviceIdentity};
use bloonio_authenticator::client::{MAX_ANSWER_BYTES, PushAddress, Relay, RelayDevice, RelayOptions};
use bloonio_authenticator::error::{Advice, ClientError, SetupError};
use bloonio_authenticator::stream::{Backoff, Hint, Hints};
use bloonio_wire::clock::{ManualClock, Timestamp};
use bloonio_wire::code::ErrorCode;
use bloonio_wire::envelope::Failure;
use bloonio_wire::qr::PairingUri;
use bloonio_wire::random::{SeededRandom, SystemRandom};
use bloonio_wire::secret::Secret;
use rstest::rstest;

use crate::support::{FakeRelay, hint};

/// A device of `user-jane` with tenant 1, and who it is.
async fn registered(relay: &FakeRelay) -> (RelayDevice, DeviceIdentity) {
    let uri = PairingUri::parse(&relay.offer(1, "user-jane")).unwrap();
    let client = Relay::new(&uri.relay, &RelayOptions::default()).unwrap();
    let (key, _) = DeviceIdentity::draw_key(&SystemRandom).unwrap();
    let done = client.register(&uri.proof, &PushAddress::Stream.registration(None, &key)).await.unwrap();
    assert_eq!(done.session.lifetime, Duration::from_secs(2_592_000));
    (client.device(Arc::new(done.session.token)), DeviceIdentity::new(done.pairing, key))
}

#[tokio::test]
async fn a_response_is_signed_over_the_prompt_as_fetched_and_at_the_clocks_time() {
    let relay = FakeRelay::start().await;
    let (device, identity) = registered(&relay).await;
    let id = relay.ask(1, "instruction-1");
    let prompt = device.challenge(&id).await.unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(1_234));
    let response = identity.respond(&prompt, &Answer::approve(), &clock).unwrap();
    assert_eq!(response.decided_at, Some(1_234));

    // The relay changes what it showed: the decision no longer holds.
    relay.world().prompts[0].0.display.as_mut().unwrap().fields[0].value = "9000.00".into();
    let error = device.submit(&response).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused(refusal) if refusal.code == "INVALID_DEVICE_SIGNATURE"));
    relay.world().prompts[0].0.display.as_mut().unwrap().fields[0].value = "1000.00".into();
    device.submit(&response).await.unwrap();
}

#[tokio::test]
async fn a_refusal_carries_code_status_and_when_to_come_back() {
    let relay = FakeRelay::start().await;
    let (device, _) = registered(&relay).await;
    relay.refuse("/device/challenges", Failure::new(ErrorCode::RateLimited));
    let ClientError::Refused(refusal) = device.challenges().await.unwrap_err() else { panic!("refused") };
    assert_eq!((refusal.status, refusal.code.as_str()), (429, "RATE_LIMITED"));
    assert_eq!(refusal.advice(), Advice::Retry(Duration::from_secs(7)));
}

/// A server with one answer to GET /device/challenges, and a device that asks it.
async fn answering<R: IntoResponse + Clone + Send + Sync + 'static>(answer: R) -> RelayDevice {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let app = Router::new().route("/api/v1/device/challenges", get(move || std::future::ready(answer.clone()))).route(
        "/elsewhere",
        get(|| async { r#"{"success":true,"status_code":200,"message":"","data":{"items":[]}}"# }),
    );
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    Relay::new(&base, &RelayOptions::default()).unwrap().device(Arc::new(Secret::new("s")))
}

#[rstest]
#[case::a_proxys_page(StatusCode::BAD_GATEWAY, "<html>", 502, true)]
#[case::not_json(StatusCode::OK, "hello", 200, false)]
#[case::no_data(StatusCode::OK, r#"{"success": true}"#, 200, false)]
#[case::empty(StatusCode::OK, "", 200, false)]
#[case::another_service(StatusCode::NOT_FOUND, r#"{"detail": "nope"}"#, 404, false)]
#[tokio::test]
async fn answers_that_are_no_relays_are_told_apart(
    #[case] status: StatusCode,
    #[case] body: &'static str,
    #[case] seen: u16,
    #[case] again: bool,
) {
    let error = answering((status, body)).await.challenges().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreadable { status } if status == seen), "{error:?}");
    assert_eq!(matches!(error.advice(), Advice::Retry(_)), again);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let device = answering((StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/elsewhere")])).await;
    let error = device.challenges().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreadable { status: 307 }), "{error:?}");
}

#[tokio::test]
async fn answers_beyond_the_limit_are_not_read_to_their_end() {
    let device = answering("x".repeat(MAX_ANSWER_BYTES + 1)).await;
    let error = device.challenges().await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { limit: MAX_ANSWER_BYTES }), "{error:?}");
}

#[test]
fn a_certificate_file_that_is_none_is_refused() {
    let options = RelayOptions {
        extra_ca_pem: Some(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n".to_vec()),
        ..RelayOptions::default()
    };
    let error = Relay::new(&"https://relay.example".parse().unwrap(), &options).unwrap_err();
    assert!(matches!(error, SetupError::BadCertificate(_) | SetupError::NoClient(_)), "{error:?}");
}

const QUICK: Backoff =
    Backoff { first: Duration::from_millis(1), most: Duration::from_millis(4), idle: Duration::from_secs(60) };

/// The next hint that is not about the stream itself.
async fn next(hints: &mut Hints) -> Result<Hint, ClientError> {
    loop {
        match hints.next().await? {
            Hint::FetchAll | Hint::Waiting(_) => {}
            hint => return Ok(hint),
        }
    }
}

#[tokio::test]
async fn a_broken_stream_is_opened_again_and_says_so() {
    let relay = FakeRelay::start().await;
    let (device, _) = registered(&relay).await;
    relay.script(&hint("challenge", 1, "instruction-1"), false);
    relay.script(&hint("alert", 1, "notification-1"), false);
    let mut hints = Hints::new(device, QUICK, Arc::new(SeededRandom::new(1)));
    assert_eq!(hints.next().await.unwrap(), Hint::FetchAll);
    assert!(
        matches!(hints.next().await.unwrap(), Hint::Challenge(subject) if subject.instruction_id == "instruction-1")
    );
    assert!(matches!(hints.next().await.unwrap(), Hint::Waiting(_)));
    assert_eq!(hints.next().await.unwrap(), Hint::FetchAll);
    assert!(matches!(next(&mut hints).await.unwrap(), Hint::Alert(_)));
}

#[tokio::test]
async fn a_relay_that_stumbles_is_asked_again_and_one_that_refuses_is_not() {
    let relay = FakeRelay::start().await;
    let (device, _) = registered(&relay).await;
    let mut hints = Hints::new(device, QUICK, Arc::new(SeededRandom::new(1)));
    relay.refuse("/device/stream", Failure::new(ErrorCode::StorageUnavailable));
    // Not before the relay's Retry-After.
    assert_eq!(hints.next().await.unwrap(), Hint::Waiting(Duration::from_secs(7)));
    relay.refuse("/device/stream", Failure::new(ErrorCode::InvalidDeviceToken));
    let (device, _) = registered_again(&relay).await;
    let mut hints = Hints::new(device, QUICK, Arc::new(SeededRandom::new(1)));
    let error = next(&mut hints).await.unwrap_err();
    assert_eq!(error.advice(), Advice::PairAgain);
}

async fn registered_again(relay: &FakeRelay) -> (RelayDevice, DeviceIdentity) {
    relay.world().devices.clear();
    registered(relay).await
}

#[tokio::test]
async fn a_silent_stream_is_taken_for_dead() {
    let relay = FakeRelay::start().await;
    let (device, _) = registered(&relay).await;
    relay.script("", true);
    relay.script(&hint("challenge", 1, "instruction-1"), true);
    let quick = Backoff { idle: Duration::from_millis(50), ..QUICK };
    let mut hints = Hints::new(device, quick, Arc::new(SeededRandom::new(1)));
    assert!(matches!(next(&mut hints).await.unwrap(), Hint::Challenge(_)));
}
