//! What trouble of the whole project, or of one platform, does to the messages after it (PUSH.md 1.5 to 1.7, F1 to F5).

use std::sync::Arc;
use std::time::Duration;

use bloonio_relay_server::push::fcm::{FcmClient, FcmSender, LaneLimits};
use bloonio_relay_server::push::{Held, Push, PushAddress, PushKind, PushOutcome, PushSender, Retry};
use bloonio_wire::clock::{Clock, ManualClock, Timestamp};
use bloonio_wire::device::Platform;
use bloonio_wire::id::TenantId;
use rstest::rstest;
use serde_json::{Value, json};

use crate::google::{Act, Google, http};

/// Friday, 15 January 2027, 08:00:00 GMT.
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// A relay's sender, ten messages a second, before a Google that does as it is told.
struct Scene {
    google: Google,
    sender: FcmSender,
    clock: Arc<ManualClock>,
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn error_of(outcome: &PushOutcome) -> &'static str {
    match outcome {
        PushOutcome::Accepted { .. } => "accepted",
        PushOutcome::Failed(failure) => failure.error,
        PushOutcome::Held(held) => held.error,
    }
}

fn held(outcome: &PushOutcome) -> Held {
    match outcome {
        PushOutcome::Held(held) => *held,
        other => panic!("not held: {other:?}"),
    }
}

impl Scene {
    async fn set() -> Self {
        Self::set_with(600).await
    }

    async fn set_with(per_min: u32) -> Self {
        let google = Google::start().await;
        let clock = Arc::new(ManualClock::new(NOW));
        let client = FcmClient::new(google.credentials(), &google.url(), http(), clock.clone()).unwrap();
        let limits = LaneLimits { per_min, patience: Duration::ZERO };
        Self { sender: FcmSender::with_limits(client, clock.clone(), limits), google, clock }
    }

    async fn push(&self, platform: Platform) -> PushOutcome {
        let push = Push {
            tenant_id: TenantId::parse("tnt_0123456789abcdef0123456789abcdef").unwrap(),
            kind: PushKind::AuthChallenge,
            subject_id: "instruction-1".to_owned(),
            expires_at: self.clock.now().plus(secs(600)),
            platform,
            address: PushAddress::Token("token-1".to_owned()),
        };
        self.sender.send(&push).await
    }

    async fn word(&self, platform: Platform) -> &'static str {
        error_of(&self.push(platform).await)
    }

    /// Ten messages that are all answered so.
    async fn ten(&self, platform: Platform, act: Act, word: &str) {
        self.google.sends_next(vec![act; 10]);
        for _ in 0..10 {
            assert_eq!(self.word(platform).await, word);
        }
    }

    fn requests(&self) -> usize {
        self.google.journal().sends.len()
    }
}

fn too_many(headers: Vec<(&'static str, &'static str)>, details: &[Value]) -> Act {
    let body = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": details}});
    Act::Answer(429, headers, body.to_string().into_bytes())
}

fn retry_info(delay: &str) -> Value {
    json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
}

fn quota_failure(violations: &[(&str, &str)]) -> Value {
    let violations: Vec<_> =
        violations.iter().map(|(subject, text)| json!({"subject": subject, "description": text})).collect();
    json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations})
}

#[rstest]
#[case::seconds(too_many(vec![("retry-after", "30")], &[]), 30)]
#[case::a_date_by_the_relays_clock(too_many(vec![("retry-after", "Fri, 15 Jan 2027 08:00:45 GMT")], &[]), 45)]
#[case::a_date_that_has_passed(too_many(vec![("retry-after", "Fri, 15 Jan 2027 07:00:00 GMT")], &[]), 1)]
#[case::absent(too_many(vec![], &[]), 60)]
#[case::zero(too_many(vec![("retry-after", "0")], &[]), 1)]
#[case::negative(too_many(vec![("retry-after", "-10")], &[]), 60)]
#[case::garbage(too_many(vec![("retry-after", "later")], &[]), 60)]
#[case::ten_years(too_many(vec![("retry-after", "315360000")], &[]), 3_600)]
#[case::retry_info(too_many(vec![], &[retry_info("17s")]), 17)]
#[case::both(too_many(vec![("retry-after", "5")], &[retry_info("17s")]), 17)]
#[case::quota_of_the_project(
    too_many(vec![("retry-after", "30")], &[quota_failure(&[("project:demo-project", "message rate")])]), 30
)]
#[case::quota_of_both(
    too_many(vec![("retry-after", "30")], &[quota_failure(&[("device:token-1", ""), ("project:demo-project", "")])]), 30
)]
#[tokio::test]
async fn f04_one_429_holds_every_message_of_the_project_for_as_long_as_it_says(#[case] act: Act, #[case] pause: u64) {
    let scene = Scene::set().await;
    scene.google.sends_next([act]);
    let refused = scene.push(Platform::Android).await;
    assert_eq!(error_of(&refused), "quota_exceeded");
    let end = NOW.plus(secs(pause));
    assert_eq!(scene.sender.closed_until(), Some(end));
    for at in [NOW, end.minus(Duration::from_millis(1))] {
        scene.clock.set(at);
        for platform in [Platform::Android, Platform::Ios, Platform::Web] {
            let held = held(&scene.push(platform).await);
            assert_eq!(held.error, "fcm_paused");
            assert!(held.until >= end, "{held:?}");
        }
    }
    assert_eq!(scene.requests(), 1);
    scene.clock.set(end);
    assert_eq!(scene.sender.closed_until(), None);
    assert_eq!(scene.word(Platform::Android).await, "accepted");
}

#[tokio::test]
async fn f04_a_device_that_gets_too_much_waits_alone() {
    let scene = Scene::set().await;
    let details = [quota_failure(&[("device", "Device message rate exceeded")])];
    scene.google.sends_next([too_many(vec![("retry-after", "90")], &details)]);
    match scene.push(Platform::Android).await {
        PushOutcome::Failed(failure) => {
            assert_eq!((failure.error, failure.retry), ("device_quota_exceeded", Retry::NotBefore(secs(90))));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(scene.word(Platform::Android).await, "accepted");
}

#[tokio::test]
async fn f05_after_a_pause_messages_leave_one_by_one_at_half_the_pace() {
    let scene = Scene::set().await;
    scene.google.sends_next([too_many(vec![("retry-after", "30")], &[])]);
    scene.word(Platform::Android).await;
    let mut waiting: Vec<Timestamp> = Vec::new();
    for _ in 0..40 {
        waiting.push(held(&scene.push(Platform::Android).await).until);
    }
    waiting.dedup();
    assert_eq!(waiting.len(), 40, "each one comes back at a time of its own");
    for (n, at) in waiting.iter().enumerate() {
        scene.clock.set(*at);
        assert_eq!(scene.word(Platform::Android).await, "accepted", "number {n}");
    }
    let took = waiting[39].since(waiting[0]);
    assert!(took >= secs(7), "39 messages at 5 a second: {took:?}");
}

#[tokio::test]
async fn f05_a_quota_that_is_refused_again_and_again_is_asked_ever_less_often() {
    let scene = Scene::set().await;
    scene.google.sends_next(vec![too_many(vec![], &[]); 4]);
    let mut waited = Vec::new();
    for _ in 0..4 {
        assert_eq!(scene.word(Platform::Android).await, "quota_exceeded");
        let until = scene.sender.closed_until().unwrap();
        waited.push(until.since(scene.clock.now()).as_secs());
        scene.clock.set(until);
    }
    assert_eq!(waited, [60, 120, 240, 480]);
    assert_eq!(scene.requests(), 4);
}

#[tokio::test]
async fn f05_no_more_messages_leave_than_the_lane_allows() {
    let scene = Scene::set().await;
    let mut accepted = 0;
    for _ in 0..100 {
        accepted += usize::from(scene.word(Platform::Android).await == "accepted");
    }
    assert_eq!((accepted, scene.requests()), (11, 11));
    assert_eq!(held(&scene.push(Platform::Android).await).error, "fcm_lane_full");
    scene.clock.advance(secs(1));
    assert_eq!(scene.word(Platform::Android).await, "accepted");
}

#[tokio::test]
async fn a_message_waits_for_a_turn_that_is_near() {
    let google = Google::start().await;
    let clock = Arc::new(ManualClock::new(NOW));
    let client = FcmClient::new(google.credentials(), &google.url(), http(), clock.clone()).unwrap();
    let limits = LaneLimits { per_min: 60_000, patience: Duration::from_millis(5) };
    let scene = Scene { sender: FcmSender::with_limits(client, clock.clone(), limits), google, clock };
    let pushes = futures_util::future::join_all((0..2_000).map(|_| scene.word(Platform::Android))).await;
    let accepted = pushes.iter().filter(|word| **word == "accepted").count();
    assert_eq!(accepted, 1_006, "a second's worth, and five milliseconds' worth");
}

#[tokio::test]
async fn f01_ten_third_party_refusals_stop_iphones_and_nobody_else() {
    let scene = Scene::set_with(6_000).await;
    scene.ten(Platform::Ios, Act::refusal(401, "THIRD_PARTY_AUTH_ERROR"), "third_party_auth").await;
    let held = held(&scene.push(Platform::Ios).await);
    assert_eq!(held.error, "fcm_breaker_open");
    assert!(held.until >= NOW.plus(secs(120)), "{held:?}");
    assert_eq!(scene.word(Platform::Android).await, "accepted");
    assert_eq!(scene.word(Platform::Web).await, "accepted");
    assert_eq!(scene.sender.closed_until(), None);
    assert_eq!((scene.requests(), scene.google.journal().tokens.len()), (12, 1));

    // The key is still bad: one message finds out. Then it is mended, and one message finds that out.
    scene.clock.set(NOW.plus(secs(120)));
    scene.google.sends_next([Act::refusal(401, "THIRD_PARTY_AUTH_ERROR")]);
    assert_eq!(scene.word(Platform::Ios).await, "third_party_auth");
    assert_eq!(scene.word(Platform::Ios).await, "fcm_breaker_open");
    scene.clock.set(NOW.plus(secs(240)));
    assert_eq!(scene.word(Platform::Ios).await, "accepted");
    assert_eq!(scene.word(Platform::Ios).await, "accepted");
    assert_eq!(scene.requests(), 15);
}

#[rstest]
#[case::role_missing(Act::answer(403, ""), "permission_denied")]
#[case::wrong_project(Act::answer(404, "<html></html>"), "not_found")]
#[tokio::test]
async fn f02_ten_refusals_that_blame_the_project_stop_all_messages(#[case] act: Act, #[case] word: &str) {
    let scene = Scene::set_with(6_000).await;
    scene.ten(Platform::Android, act.clone(), word).await;
    for platform in [Platform::Android, Platform::Ios, Platform::Web] {
        assert_eq!(scene.word(platform).await, "fcm_breaker_open");
    }
    assert_eq!(scene.sender.closed_until(), Some(NOW.plus(secs(120))));
    assert_eq!(scene.requests(), 10);
    scene.clock.set(NOW.plus(secs(120)));
    scene.google.sends_next([act]);
    assert_eq!(scene.word(Platform::Ios).await, word);
    assert_eq!(scene.word(Platform::Ios).await, "fcm_breaker_open");
    scene.clock.set(NOW.plus(secs(240)));
    // FCM looks into the device again, and so the project is in order, whatever has become of the device.
    scene.google.sends_next([Act::refusal(404, "UNREGISTERED")]);
    assert_eq!(scene.word(Platform::Android).await, "unregistered");
    assert_eq!(scene.word(Platform::Android).await, "accepted");
}

#[tokio::test]
async fn f02_a_success_in_between_keeps_the_breaker_shut() {
    let scene = Scene::set_with(6_000).await;
    for _ in 0..3 {
        scene.google.sends_next(vec![Act::answer(403, ""); 9]);
        for _ in 0..9 {
            assert_eq!(scene.word(Platform::Android).await, "permission_denied");
        }
        assert_eq!(scene.word(Platform::Android).await, "accepted");
    }
}

#[tokio::test]
async fn f01_tokens_that_are_all_refused_stop_all_messages() {
    let scene = Scene::set_with(6_000).await;
    scene.google.sends_next(vec![Act::answer(401, ""); 100]);
    let mut refused = 0;
    // A fresh token is asked for once in ten seconds; in between nobody can tell.
    while scene.sender.closed_until().is_none() {
        refused += usize::from(scene.word(Platform::Android).await == "access_token_rejected");
        scene.clock.advance(secs(10));
        assert!(refused <= 20, "it opens");
    }
    let requests = scene.requests();
    assert_eq!(scene.word(Platform::Android).await, "fcm_breaker_open");
    assert_eq!(scene.requests(), requests);
}

#[tokio::test]
async fn refused_credentials_stop_all_messages() {
    let scene = Scene::set_with(6_000).await;
    scene.google.tokens_next([Act::answer(400, r#"{"error": "invalid_grant"}"#)]);
    for _ in 0..10 {
        assert_eq!(scene.word(Platform::Android).await, "account_refused");
    }
    assert_eq!(scene.word(Platform::Ios).await, "fcm_breaker_open");
    assert_eq!((scene.requests(), scene.google.journal().tokens.len()), (0, 1));
}
