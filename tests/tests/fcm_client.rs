//! The relay's FCM client against the strict emulator: real TLS, real HTTP/2, real signatures.

use std::sync::Arc;
use std::time::Duration;

use bloonio_relay_server::net::client::{ExtraRoots, push_client};
use bloonio_relay_server::push::fcm::{Cause, Credentials, FcmClient, FcmSender, Message, MessageName, SendError};
use bloonio_relay_server::push::{AddressVerdict, Push, PushAddress, PushKind, PushOutcome, PushSender, Retry};
use bloonio_tests::fcm::fault::{Answer, Ending, Fault, Gate};
use bloonio_tests::fcm::journal::{Seen, TokenVerdict};
use bloonio_tests::fcm::{FcmEmulator, FcmSetup, PROJECT};
use bloonio_tests::wait;
use bloonio_wire::clock::{Clock, ManualClock, SystemClock};
use bloonio_wire::device::Platform;
use bloonio_wire::id::TenantId;
use futures_util::future::join_all;
use http::Version;
use rstest::rstest;
use serde_json::json;

/// What the emulator's tokens live, and a little more.
const TOKEN_LIFE: Duration = Duration::from_secs(3_600);

struct Scene {
    emulator: FcmEmulator,
    client: FcmClient,
    clock: Arc<ManualClock>,
}

impl Scene {
    /// Emulator and client on one clock that stands still; three devices.
    async fn set() -> Self {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let emulator = FcmSetup::default().with_clock(clock.clone()).start().await;
        for (address, platform) in
            [("token-1", Platform::Android), ("token-2", Platform::Ios), ("token-3", Platform::Web)]
        {
            emulator.add_device(address, platform);
        }
        let client = client(&emulator, clock.clone());
        Self { emulator, client, clock }
    }

    async fn push(&self, address: &str, platform: Platform) -> Result<MessageName, SendError> {
        self.push_of(PushKind::AuthChallenge, PushAddress::Token(address.to_owned()), platform).await
    }

    async fn push_of(
        &self,
        kind: PushKind,
        address: PushAddress,
        platform: Platform,
    ) -> Result<MessageName, SendError> {
        let push = Push {
            tenant_id: TenantId::parse("tnt_0123456789abcdef0123456789abcdef").unwrap(),
            kind,
            subject_id: "instruction-1".to_owned(),
            expires_at: self.clock.now().plus(Duration::from_secs(180)),
            platform,
            address,
        };
        self.client.send(&Message::build(&push, self.clock.now()).unwrap()).await
    }

    /// One message to each of the three devices.
    async fn push_all(&self) -> [Result<MessageName, SendError>; 3] {
        [
            self.push("token-1", Platform::Android).await,
            self.push("token-2", Platform::Ios).await,
            self.push("token-3", Platform::Web).await,
        ]
    }

    fn issued(&self) -> usize {
        issued(&self.emulator.seen())
    }
}

fn client(emulator: &FcmEmulator, clock: Arc<dyn Clock>) -> FcmClient {
    let roots = ExtraRoots::from_file(Some(&emulator.ca_pem_path())).unwrap();
    let credentials = Credentials::from_file(&emulator.credentials_path()).unwrap();
    let endpoint = emulator.endpoint().parse().unwrap();
    FcmClient::new(credentials, &endpoint, push_client(&roots).unwrap(), clock).unwrap()
}

fn issued(seen: &Seen) -> usize {
    seen.tokens.iter().filter(|token| matches!(token.verdict, Some(TokenVerdict::Issued { .. }))).count()
}

fn causes(outcomes: &[Result<MessageName, SendError>]) -> Vec<Option<Cause>> {
    outcomes.iter().map(|outcome| outcome.as_ref().err().map(|error| error.cause)).collect()
}

#[tokio::test]
async fn three_devices_get_three_messages_over_one_connection() {
    let scene = Scene::set().await;
    for (outcome, address) in scene.push_all().await.into_iter().zip(["token-1", "token-2", "token-3"]) {
        assert!(outcome.unwrap().as_str().starts_with("projects/bank-of-tests/messages/"));
        let messages = scene.emulator.messages_for(address);
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0]["data"]["instruction_id"], "instruction-1");
    }
    let seen = scene.emulator.seen();
    assert!(seen.sends.iter().all(|send| send.version == Version::HTTP_2));
    assert_eq!((seen.connections, issued(&seen)), (1, 1));
    scene.emulator.assert_no_misuse();
}

#[rstest]
#[tokio::test]
async fn every_kind_of_push_is_a_valid_message_on_every_platform(
    #[values(PushKind::AuthChallenge, PushKind::SecurityAlert, PushKind::ChallengeCancelled)] kind: PushKind,
    #[values(Platform::Android, Platform::Ios, Platform::Web)] platform: Platform,
    #[values(false, true)] by_installation: bool,
) {
    let scene = Scene::set().await;
    let address = if by_installation {
        scene.emulator.add_fid_device("device-x", platform);
        PushAddress::Fid("device-x".to_owned())
    } else {
        scene.emulator.add_device("device-x", platform);
        PushAddress::Token("device-x".to_owned())
    };
    scene.push_of(kind, address, platform).await.unwrap();
    let messages = scene.emulator.messages_for("device-x");
    assert_eq!(messages[0]["data"]["type"], kind.as_str());
    scene.emulator.assert_no_misuse();
}

#[tokio::test]
async fn plain_http_to_this_machine_does_as_well() {
    let emulator = FcmSetup::default().without_tls().start().await;
    emulator.add_device("token-1", Platform::Android);
    let credentials = Credentials::from_file(&emulator.credentials_path()).unwrap();
    let http = push_client(&ExtraRoots::default()).unwrap();
    let endpoint = emulator.endpoint().parse().unwrap();
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let client = FcmClient::new(credentials, &endpoint, http, clock.clone()).unwrap();
    let scene = Scene { emulator, client, clock };
    scene.push("token-1", Platform::Android).await.unwrap();
}

#[tokio::test]
async fn unregistered_retires_one_address() {
    let scene = Scene::set().await;
    scene.emulator.mark_unregistered("token-2");
    let outcomes = scene.push_all().await;
    assert_eq!(causes(&outcomes), [None, Some(Cause::Unregistered), None]);
    let error = outcomes[1].as_ref().unwrap_err();
    assert_eq!((error.address_verdict(), error.retry()), (AddressVerdict::Dead, Retry::Never));
}

#[tokio::test]
async fn a_bare_404_retires_none() {
    let scene = Scene::set().await;
    for answer in [Answer::refusal(404, "NOT_FOUND", &[]), Answer::html(404), Answer::new(404, "")] {
        scene.emulator.fault_next(vec![Fault::Answer(answer); 3]);
        let outcomes = scene.push_all().await;
        assert_eq!(causes(&outcomes), [Some(Cause::NotFoundBare); 3]);
        assert!(outcomes.iter().flat_map(|outcome| outcome.as_ref().err()).all(keeps));
    }
}

fn keeps(error: &SendError) -> bool {
    error.address_verdict() == AddressVerdict::Keep
}

#[tokio::test]
async fn a_malformed_address_is_dead_and_a_foreign_one_is_set_aside() {
    let scene = Scene::set().await;
    let malformed = scene.push("never-given", Platform::Android).await.unwrap_err();
    assert_eq!((malformed.cause, malformed.address_verdict()), (Cause::MalformedAddress, AddressVerdict::Dead));
    scene.emulator.mark_foreign("token-1");
    let foreign = scene.push("token-1", Platform::Android).await.unwrap_err();
    assert_eq!((foreign.cause, foreign.address_verdict()), (Cause::SenderIdMismatch, AddressVerdict::Quarantine));
}

/// The real service words an oversized payload like this: no details, and the address must live on.
#[tokio::test]
async fn a_bare_400_keeps_the_address() {
    let scene = Scene::set().await;
    scene.emulator.fault_next([Fault::Answer(Answer::refusal(400, "INVALID_ARGUMENT", &[]))]);
    let error = scene.push("token-1", Platform::Android).await.unwrap_err();
    assert_eq!((error.cause, error.retry()), (Cause::OurBug, Retry::Never));
    assert!(keeps(&error));
}

#[tokio::test]
async fn a_hundred_senders_at_expiry_make_one_token_request() {
    let scene = Scene::set().await;
    scene.push("token-1", Platform::Android).await.unwrap();
    scene.clock.advance(TOKEN_LIFE);
    let gate = Gate::default();
    scene.emulator.fault_next_token([Fault::Hold(gate.clone())]);
    let senders = join_all((0..100).map(|_| scene.push("token-1", Platform::Android)));
    let opening = async {
        // With this one, all of them are under way: none can go on without it.
        scene.emulator.wait_for("the token request", |seen| seen.tokens.len() == 2).await;
        assert_eq!(scene.emulator.sends().len(), 1);
        gate.open();
    };
    let (outcomes, ()) = tokio::join!(senders, opening);
    assert_eq!(causes(&outcomes), [None; 100]);
    assert_eq!(scene.emulator.token_requests().len(), 2);
    assert_eq!(scene.emulator.messages_for("token-1").len(), 101);
    scene.emulator.assert_no_misuse();
}

#[tokio::test]
async fn a_hundred_refused_senders_drop_the_token_once() {
    let scene = Scene::set().await;
    scene.push("token-1", Platform::Android).await.unwrap();
    scene.emulator.revoke_tokens();
    let outcomes = join_all((0..100).map(|_| scene.push("token-1", Platform::Android))).await;
    assert_eq!(causes(&outcomes), [None; 100]);
    assert_eq!(scene.emulator.token_requests().len(), 2);
}

#[tokio::test]
async fn a_service_that_refuses_every_token_is_not_flooded_with_token_requests() {
    let scene = Scene::set().await;
    scene.emulator.fault_always(Some(Fault::Answer(Answer::refusal(401, "UNAUTHENTICATED", &[]))));
    let outcomes = join_all((0..20).map(|_| scene.push("token-1", Platform::Android))).await;
    assert_eq!(causes(&outcomes), [Some(Cause::AccessTokenRejected); 20]);
    assert!(outcomes.iter().flat_map(|outcome| outcome.as_ref().err()).all(keeps));
    assert_eq!(scene.emulator.token_requests().len(), 2);
}

/// Apple's key of the project is bad: our token is not to blame.
#[tokio::test]
async fn a_third_party_refusal_costs_no_token() {
    let scene = Scene::set().await;
    let answer = Answer::fcm_error(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR");
    scene.emulator.fault_next([Fault::Answer(answer)]);
    assert_eq!(scene.push("token-2", Platform::Ios).await.unwrap_err().cause, Cause::ThirdPartyAuth);
    assert_eq!(scene.issued(), 1);
    scene.push("token-2", Platform::Ios).await.unwrap();
    assert_eq!(scene.issued(), 1);
}

#[tokio::test]
async fn a_push_that_waited_for_its_token_does_not_claim_the_life_that_it_has_lost() {
    let Scene { emulator, client, clock } = Scene::set().await;
    let gate = Gate::default();
    emulator.fault_next_token([Fault::Hold(gate.clone())]);
    let sender = FcmSender::new(client, clock.clone());
    let push = Push {
        tenant_id: TenantId::parse("tnt_0123456789abcdef0123456789abcdef").unwrap(),
        kind: PushKind::AuthChallenge,
        subject_id: "instruction-1".to_owned(),
        expires_at: clock.now().plus(Duration::from_secs(180)),
        platform: Platform::Android,
        address: PushAddress::Token("token-1".to_owned()),
    };
    let opening = async {
        emulator.wait_for("the token request", |seen| !seen.tokens.is_empty()).await;
        clock.advance(Duration::from_secs(9));
        gate.open();
    };
    let (outcome, ()) = tokio::join!(sender.send(&push), opening);
    assert!(matches!(outcome, PushOutcome::Accepted { .. }), "{outcome:?}");
    assert_eq!(emulator.messages_for("token-1")[0]["android"]["ttl"], "171s");
}

#[tokio::test]
async fn a_hanging_token_endpoint_ends_in_an_answer_and_nothing_is_sent() {
    let scene = Scene::set().await;
    scene.emulator.fault_tokens(Some(Fault::Hang));
    let sending = join_all((0..20).map(|_| scene.push("token-1", Platform::Android)));
    let outcomes = tokio::time::timeout(wait::DEADLINE, sending).await.expect("nobody hangs");
    assert_eq!(causes(&outcomes), [Some(Cause::TokenUnavailable); 20]);
    assert!(scene.emulator.sends().is_empty());
}

#[tokio::test]
async fn a_hanging_token_endpoint_delays_nobody_while_the_old_token_lives() {
    let scene = Scene::set().await;
    scene.emulator.set_token_life(Duration::from_secs(2));
    scene.push("token-1", Platform::Android).await.unwrap();
    scene.emulator.fault_tokens(Some(Fault::Hang));
    // The renewal is under way, and stays so; the clock of client and emulator stands still, so the token lives.
    scene.emulator.wait_for("the renewal", |seen| seen.tokens.len() == 2).await;
    for _ in 0..3 {
        scene.push("token-1", Platform::Android).await.unwrap();
    }
    assert_eq!(scene.emulator.token_requests().len(), 2);
}

/// Trouble at the token endpoint: what it means, and that no message is tried without a token.
#[rstest]
#[case::refused(Fault::Answer(Answer::json(400, &json!({"error": "invalid_grant"}))), Cause::AccountRefused)]
#[case::html(Fault::Answer(Answer::html(200)), Cause::TokenUnavailable)]
#[case::empty(Fault::Answer(Answer::new(200, "")), Cause::TokenUnavailable)]
#[case::no_life(Fault::Answer(Answer::json(200, &json!({"access_token": "x", "token_type": "Bearer"}))), Cause::TokenUnavailable)]
#[case::other_type(
    Fault::Answer(Answer::json(200, &json!({"access_token": "x", "expires_in": 60, "token_type": "MAC"}))),
    Cause::TokenUnavailable
)]
#[case::endless(Fault::Answer(Answer::new(200, "{").ending(Ending::Endless)), Cause::TokenUnavailable)]
#[case::broken(Fault::Answer(Answer::new(200, "{").ending(Ending::BreaksOff)), Cause::TokenUnavailable)]
#[case::cut(Fault::Cut, Cause::TokenUnavailable)]
#[case::server_error(Fault::Answer(Answer::new(500, "")), Cause::TokenUnavailable)]
#[case::told_to_wait(Fault::Answer(Answer::new(503, "").with_header("retry-after", "3600")), Cause::TokenUnavailable)]
#[tokio::test]
async fn trouble_at_the_token_endpoint_is_no_verdict_on_a_device(#[case] fault: Fault, #[case] cause: Cause) {
    let scene = Scene::set().await;
    scene.emulator.fault_tokens(Some(fault));
    let error = scene.push("token-1", Platform::Android).await.unwrap_err();
    assert_eq!(error.cause, cause);
    assert!(keeps(&error) && scene.emulator.sends().is_empty());
}

#[tokio::test]
async fn a_disabled_account_and_a_clock_that_is_off_are_told_apart_from_trouble() {
    let scene = Scene::set().await;
    scene.emulator.disable_account(PROJECT);
    assert_eq!(scene.push("token-1", Platform::Android).await.unwrap_err().cause, Cause::AccountRefused);

    let scene = Scene::set().await;
    let early = Arc::new(ManualClock::new(scene.clock.now().plus(Duration::from_secs(600))));
    let client = client(&scene.emulator, early);
    let scene = Scene { client, ..scene };
    assert_eq!(scene.push("token-1", Platform::Android).await.unwrap_err().cause, Cause::AccountRefused);
}

/// Answers to a message: what they mean, and whether the message may have been delivered all the same.
#[rstest]
#[case::throttled(Fault::Answer(Answer::fcm_error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")), Cause::QuotaExceeded)]
#[case::front_end(Fault::Answer(Answer::html(502)), Cause::Unavailable)]
#[case::overloaded(Fault::Answer(Answer::fcm_error(503, "UNAVAILABLE", "UNAVAILABLE")), Cause::Unavailable)]
#[case::inner(Fault::Answer(Answer::fcm_error(500, "INTERNAL", "INTERNAL")), Cause::Internal)]
#[case::role_missing(Fault::Answer(Answer::refusal(403, "PERMISSION_DENIED", &[])), Cause::PermissionDenied)]
#[case::page(Fault::DoneButAnswer(Answer::html(200)), Cause::BadAnswer)]
#[case::empty(Fault::DoneButAnswer(Answer::new(200, "")), Cause::BadAnswer)]
#[case::nameless(Fault::DoneButAnswer(Answer::json(200, &json!({}))), Cause::BadAnswer)]
#[case::endless(Fault::DoneButAnswer(Answer::new(200, "{").ending(Ending::Endless)), Cause::BadAnswer)]
#[case::broken(Fault::DoneButAnswer(Answer::new(200, "{").ending(Ending::BreaksOff)), Cause::Network { sent: true })]
#[case::moved(Fault::Answer(Answer::new(307, "").with_header("location", "https://evil.example/")), Cause::BadAnswer)]
#[case::cut_after_delivery(Fault::DoneButCut, Cause::Network { sent: true })]
#[tokio::test]
async fn trouble_at_the_send_endpoint_keeps_the_address(#[case] fault: Fault, #[case] cause: Cause) {
    let scene = Scene::set().await;
    let done = fault.is_done();
    scene.emulator.fault_next([fault]);
    let error = scene.push("token-1", Platform::Android).await.unwrap_err();
    assert_eq!(error.cause, cause);
    assert!(keeps(&error));
    assert_eq!(scene.emulator.messages_for("token-1").len(), usize::from(done));
    // Whatever it was, the next one is treated on its own.
    scene.push("token-1", Platform::Android).await.unwrap();
    scene.emulator.assert_no_misuse();
}

#[tokio::test]
async fn a_goodbye_of_the_service_costs_no_message() {
    let scene = Scene::set().await;
    for _ in 0..3 {
        scene.push("token-1", Platform::Android).await.unwrap();
        scene.emulator.go_away();
    }
    scene.push("token-1", Platform::Android).await.unwrap();
    assert_eq!(scene.emulator.messages_for("token-1").len(), 4);
}

#[tokio::test]
async fn a_service_that_is_not_there_is_told_apart_from_one_that_says_nothing() {
    let scene = Scene::set().await;
    scene.push("token-1", Platform::Android).await.unwrap();
    let Scene { emulator, client, clock } = scene;
    drop(emulator);
    let scene = Scene { emulator: FcmEmulator::start().await, client, clock };
    let error = scene.push("token-1", Platform::Android).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Network { .. }), "{error:?}");
    let error = scene.push("token-1", Platform::Android).await.unwrap_err();
    assert_eq!((error.cause, error.retry()), (Cause::Network { sent: false }, Retry::Backoff));
}
