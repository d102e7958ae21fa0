//! One message, one answer: what is sent, what is repeated, and when it comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bloonio_relay_server::push::fcm::{Cause, EndpointError, FcmClient, FcmSender, Message, MessageName, SendError};
use bloonio_relay_server::push::{
    AddressVerdict, Push, PushAddress, PushFailure, PushKind, PushOutcome, PushSender, Retry,
};
use bloonio_wire::clock::{Clock, ManualClock, Timestamp};
use bloonio_wire::device::Platform;
use bloonio_wire::id::TenantId;
use rstest::rstest;
use tokio::net::TcpListener;
use url::Url;

use crate::google::{Act, Google, http};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::new(NOW))
}

fn push() -> Push {
    Push {
        tenant_id: TenantId::parse("tnt_0123456789abcdef0123456789abcdef").unwrap(),
        kind: PushKind::AuthChallenge,
        subject_id: "instruction-1".to_owned(),
        expires_at: NOW.plus(Duration::from_secs(120)),
        platform: Platform::Android,
        address: PushAddress::Token("token-1".to_owned()),
    }
}

fn message() -> Message {
    Message::build(&push(), NOW).unwrap()
}

fn client(google: &Google, endpoint: &Url) -> FcmClient {
    FcmClient::new(google.credentials(), endpoint, http(), clock()).unwrap()
}

async fn send(google: &Google) -> Result<MessageName, SendError> {
    client(google, &google.url()).send(&message()).await
}

#[rstest]
#[case("")]
#[case("/")]
#[case("/base")]
#[case("/base/")]
#[tokio::test]
async fn a_message_goes_to_the_project_with_the_token_as_it_was_granted(#[case] base: &str) {
    let google = Google::start().await;
    let endpoint = google.url().join(base).unwrap();
    let name = client(&google, &endpoint).send(&message()).await.unwrap();
    assert_eq!(name.as_str(), "projects/demo-project/messages/0:1");
    let sent = google.journal().sends.remove(0);
    assert_eq!(sent.path, format!("{}/v1/projects/demo-project/messages:send", base.trim_end_matches('/')));
    assert_eq!(sent.header("authorization"), "Bearer ya29.token-1");
    assert_eq!(sent.header("content-type"), "application/json");
    assert_eq!(sent.body, message().as_bytes());
    assert_eq!(sent.json()["message"]["token"], "token-1");
}

#[rstest]
#[case("http://fcm.googleapis.com")]
#[case("http://127.0.0.1.nip.io")]
#[case("ftp://127.0.0.1")]
#[case("https://user:secret@fcm.googleapis.com")]
#[case("https://fcm.googleapis.com/?x=y")]
#[case("https://fcm.googleapis.com/#x")]
#[case("data:text/plain,x")]
#[tokio::test]
async fn access_tokens_are_not_sent_to(#[case] endpoint: Url) {
    let google = Google::start().await;
    let refused = FcmClient::new(google.credentials(), &endpoint, http(), clock());
    assert_eq!(refused.unwrap_err(), EndpointError);
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_and_the_message_repeated_once() {
    let google = Google::start().await;
    google.sends_next([Act::answer(401, "")]);
    assert!(send(&google).await.is_ok());
    let journal = google.journal();
    let tokens: Vec<_> = journal.sends.iter().map(|sent| sent.header("authorization")).collect();
    assert_eq!(tokens, ["Bearer ya29.token-1", "Bearer ya29.token-2"]);
}

#[tokio::test]
async fn a_service_that_refuses_every_token_is_asked_twice_and_no_more() {
    let google = Google::start().await;
    google.sends_next(vec![Act::answer(401, ""); 10]);
    assert_eq!(send(&google).await.unwrap_err().cause, Cause::AccessTokenRejected);
    let journal = google.journal();
    assert_eq!((journal.sends.len(), journal.tokens.len()), (2, 2));
}

#[tokio::test]
async fn a_token_refused_soon_after_another_is_kept_for_now_and_the_message_comes_again() {
    let google = Google::start().await;
    let client = client(&google, &google.url());
    google.sends_next(vec![Act::answer(401, ""); 2]);
    assert_eq!(client.send(&message()).await.unwrap_err().retry(), Retry::Never);
    google.sends_next([Act::answer(401, "")]);
    let error = client.send(&message()).await.unwrap_err();
    assert_eq!((error.cause, error.retry()), (Cause::AccessTokenRejected, Retry::NotBefore(Duration::from_secs(10))));
    assert_eq!(google.journal().tokens.len(), 2);
}

#[rstest]
#[case(401, "THIRD_PARTY_AUTH_ERROR", Cause::ThirdPartyAuth)]
#[case(403, "SENDER_ID_MISMATCH", Cause::SenderIdMismatch)]
#[case(404, "UNREGISTERED", Cause::Unregistered)]
#[case(503, "UNAVAILABLE", Cause::Unavailable)]
#[tokio::test]
async fn other_refusals_are_reported_and_not_repeated(#[case] status: u16, #[case] code: &str, #[case] cause: Cause) {
    let google = Google::start().await;
    google.sends_next([Act::refusal(status, code)]);
    assert_eq!(send(&google).await.unwrap_err(), SendError { cause, retry_after: None });
    let journal = google.journal();
    assert_eq!((journal.sends.len(), journal.tokens.len()), (1, 1));
}

#[tokio::test]
async fn the_wish_to_wait_is_passed_on() {
    let google = Google::start().await;
    google.sends_next([Act::Answer(503, vec![("retry-after", "42")], Vec::new())]);
    assert_eq!(send(&google).await.unwrap_err().retry(), Retry::NotBefore(Duration::from_secs(42)));
}

#[rstest]
#[case::html("<html></html>")]
#[case::nothing("")]
#[case::no_name("{}")]
#[case::name_of_another_kind(r#"{"name": 7}"#)]
#[case::a_strange_name(r#"{"name": "projects/p/topics/t"}"#)]
#[case::half_a_name(r#"{"name": "projects//messages/"}"#)]
#[case::cut_off(r#"{"name": "projects/p/mess"#)]
#[tokio::test]
async fn a_200_counts_only_with_a_message_name(#[case] body: &str) {
    let google = Google::start().await;
    google.sends_next([Act::answer(200, body)]);
    assert_eq!(send(&google).await.unwrap_err(), SendError { cause: Cause::BadAnswer, retry_after: None });
    assert_eq!(google.journal().sends.len(), 1);
}

#[tokio::test]
async fn an_acceptance_without_end_is_not_read() {
    let google = Google::start().await;
    let mut body = br#"{"name": "projects/p/messages/1"}"#.to_vec();
    body.resize(20_000, b' ');
    google.sends_next([Act::answer(200, body)]);
    assert_eq!(send(&google).await.unwrap_err().cause, Cause::BadAnswer);
}

#[tokio::test]
async fn a_refusal_without_end_costs_no_address() {
    let google = Google::start().await;
    let Act::Answer(status, headers, mut body) = Act::refusal(404, "UNREGISTERED") else { unreachable!() };
    body.resize(20_000, b' ');
    google.sends_next([Act::Answer(status, headers, body)]);
    let error = send(&google).await.unwrap_err();
    assert_eq!((error.cause, error.address_verdict()), (Cause::NotFoundBare, AddressVerdict::Keep));
}

#[tokio::test]
async fn an_answer_that_breaks_off_may_have_been_an_acceptance() {
    let google = Google::start().await;
    google.sends_next([Act::BreakOff(200)]);
    assert_eq!(send(&google).await.unwrap_err().cause, Cause::Network { sent: true });
    assert_eq!(google.journal().sends.len(), 1, "what may have arrived is not repeated at once");
}

#[tokio::test]
async fn a_refusal_that_breaks_off_is_still_one() {
    let google = Google::start().await;
    google.sends_next([Act::BreakOff(503)]);
    assert_eq!(send(&google).await.unwrap_err().cause, Cause::Unavailable);
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_is_tried_once_more_at_once() {
    let google = Google::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    // Takes connections and hangs up before the handshake.
    let server = tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            drop(connection);
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    let error = client(&google, &endpoint).send(&message()).await.unwrap_err();
    server.abort();
    assert_eq!((error.cause, error.retry()), (Cause::Network { sent: false }, Retry::Backoff));
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_service_that_never_answers_is_left_in_time() {
    let google = Google::start().await;
    google.sends_next([Act::Hang]);
    assert_eq!(send(&google).await.unwrap_err().cause, Cause::Network { sent: true });
    google.wait_for(|journal| journal.given_up == 1).await;
    assert_eq!(google.journal().sends.len(), 1);
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_the_sender_is_told_in_time() {
    let google = Google::start().await;
    google.tokens_next(vec![Act::Hang; 10]);
    let error = send(&google).await.unwrap_err();
    assert_eq!((error.cause, error.address_verdict()), (Cause::TokenUnavailable, AddressVerdict::Keep));
    assert_eq!(google.journal().sends.len(), 0);
}

#[tokio::test]
async fn a_refused_account_sends_nothing_and_is_not_tried_again() {
    let google = Google::start().await;
    google.tokens_next([Act::answer(400, r#"{"error": "invalid_grant"}"#)]);
    let error = send(&google).await.unwrap_err();
    assert_eq!((error.cause, error.retry()), (Cause::AccountRefused, Retry::Never));
    assert_eq!(google.journal().sends.len(), 0);
}

#[tokio::test]
async fn the_relays_sender_reports_acceptance_by_name() {
    let google = Google::start().await;
    let sender = FcmSender::new(client(&google, &google.url()), clock());
    let message_id = "projects/demo-project/messages/0:1".to_owned();
    assert_eq!(sender.send(&push()).await, PushOutcome::Accepted { message_id });
}

#[rstest]
#[case(push(), Act::refusal(404, "UNREGISTERED"), "unregistered", AddressVerdict::Dead, Retry::Never)]
#[case(push(), Act::refusal(403, "SENDER_ID_MISMATCH"), "sender_id_mismatch", AddressVerdict::Quarantine, Retry::Never)]
#[case(push(), Act::refusal(500, "INTERNAL"), "internal", AddressVerdict::Keep, Retry::Backoff)]
#[case(Push { expires_at: NOW, ..push() }, Act::Hang, "expired", AddressVerdict::Keep, Retry::Never)]
#[case(Push { platform: Platform::Stream, ..push() }, Act::Hang, "no_address", AddressVerdict::Keep, Retry::Never)]
#[tokio::test]
async fn the_relays_sender_reports_refusals_by_a_word(
    #[case] push: Push,
    #[case] act: Act,
    #[case] error: &'static str,
    #[case] address: AddressVerdict,
    #[case] retry: Retry,
) {
    let google = Google::start().await;
    google.sends_next([act]);
    let sender = FcmSender::new(client(&google, &google.url()), clock());
    assert_eq!(sender.send(&push).await, PushOutcome::Failed(PushFailure { error, address, retry }));
}
