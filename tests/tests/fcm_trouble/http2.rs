//! F11: what HTTP/2 lets a service do.

use bloonio_tests::fcm::road::{ENHANCE_YOUR_CALM, NO_ERROR, Play, Setting, Stretch};
use futures_util::future::join_all;
use rstest::rstest;

use crate::scene::Scene;

fn http2(plays: impl Into<Vec<Play>>) -> Stretch {
    Stretch::Http2(Vec::new(), plays.into())
}

#[tokio::test]
async fn f11_a_refused_stream_is_sent_again_at_once() {
    let scene = Scene::set(vec![http2([Play::Refuse, Play::Accept])]).await;
    assert_eq!(scene.push().await, "accepted");
    let traffic = scene.road.traffic();
    assert_eq!((traffic.connections, traffic.requests), (1, 2));
}

#[tokio::test]
async fn f11_a_request_beyond_a_goodbye_is_sent_again_at_once_on_another_connection() {
    let scene = Scene::set(vec![http2([Play::Accept, Play::GoAwayBefore(NO_ERROR)])]).await;
    assert_eq!(scene.push().await, "accepted");
    assert_eq!(scene.push().await, "accepted");
    assert_eq!((scene.road.traffic().connections, scene.delivered()), (2, 1));
    scene.emulator.assert_no_misuse();
}

#[rstest]
#[case::a_goodbye(NO_ERROR)]
#[case::a_reproach(ENHANCE_YOUR_CALM)]
#[tokio::test]
async fn f11_a_request_within_a_goodbye_is_answered_and_not_repeated(#[case] code: u32) {
    let scene = Scene::set(vec![http2([Play::GoAwayAfter(code)])]).await;
    assert_eq!(scene.push().await, "accepted");
    assert_eq!(scene.delivered(), 0);
    assert_eq!(scene.push().await, "accepted");
    assert_eq!((scene.road.traffic().connections, scene.delivered()), (2, 1));
}

#[tokio::test]
async fn f11_of_two_requests_a_goodbye_costs_neither_and_repeats_one() {
    let scene = Scene::set(vec![http2([Play::AcceptAtTheEnd, Play::GoAwayBefore(NO_ERROR)])]).await;
    assert_eq!(join_all([scene.push(), scene.push()]).await, ["accepted"; 2]);
    assert_eq!((scene.road.traffic().requests, scene.delivered()), (2, 1));
}

/// Whether FCM has seen it is not certain, and so it is not sent twice in one breath.
#[tokio::test]
async fn f11_a_request_beyond_a_reproach_comes_again_by_the_schedule() {
    let scene = Scene::set(vec![http2([Play::Accept, Play::GoAwayBefore(ENHANCE_YOUR_CALM)])]).await;
    assert_eq!(scene.push().await, "accepted");
    assert_eq!(scene.push().await, "no_answer");
    assert_eq!(scene.push().await, "accepted");
    assert_eq!(scene.delivered(), 1);
}

#[tokio::test]
async fn f11_an_answer_in_pieces_with_a_ping_after_it_is_one_answer() {
    let scene = Scene::set(vec![http2([Play::AcceptInPieces; 3])]).await;
    for _ in 0..3 {
        assert_eq!(scene.push().await, "accepted");
    }
    assert_eq!(scene.road.traffic().connections, 1);
}

#[tokio::test]
async fn f11_a_connection_for_one_message_at_a_time_carries_one_at_a_time() {
    let settings = vec![Setting::MaxConcurrentStreams(1)];
    let scene = Scene::set(vec![Stretch::Http2(settings, vec![Play::Accept; 11])]).await;
    // The first one learns the setting.
    assert_eq!(scene.push().await, "accepted");
    assert_eq!(join_all((0..10).map(|_| scene.push())).await, ["accepted"; 10]);
    let traffic = scene.road.traffic();
    assert_eq!((traffic.connections, traffic.most_open), (1, 1));
}

#[tokio::test]
async fn f11_a_limit_that_falls_in_the_middle_is_kept() {
    let mut plays = vec![Play::AcceptThen(Setting::MaxConcurrentStreams(2)), Play::Accept];
    plays.extend([Play::Accept; 10]);
    let scene = Scene::set(vec![http2(plays)]).await;
    for _ in 0..2 {
        assert_eq!(scene.push().await, "accepted");
    }
    assert_eq!(join_all((0..10).map(|_| scene.push())).await, ["accepted"; 10]);
    let traffic = scene.road.traffic();
    assert!(traffic.connections == 1 && traffic.most_open <= 2, "{traffic:?}");
}

#[tokio::test]
async fn f06_an_answer_of_another_length_than_it_says_is_no_acceptance() {
    let scene = Scene::set(vec![http2([Play::AcceptWithWrongLength])]).await;
    assert_eq!(scene.push().await, "no_answer");
}
