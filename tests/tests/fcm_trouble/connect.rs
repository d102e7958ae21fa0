//! F10: trouble on the way there and back.

use bloonio_tests::fcm::road::{Play, Stretch};
use bloonio_tests::fcm::{FcmEmulator, FcmSetup};
use rstest::rstest;

use crate::scene::{Scene, Setup};

#[rstest]
#[case::reset(Stretch::Reset)]
#[case::no_tls(Stretch::NotTls)]
#[tokio::test]
async fn f10_a_connection_that_cannot_be_made_is_made_anew_at_once(#[case] stretch: Stretch) {
    let scene = Scene::set(vec![stretch]).await;
    assert_eq!(scene.push().await, "accepted");
    assert_eq!((scene.road.traffic().connections, scene.delivered()), (2, 1));
}

#[tokio::test]
async fn f10_one_that_cannot_be_made_twice_is_left_to_the_schedule() {
    let scene = Scene::set(vec![Stretch::Reset, Stretch::NotTls]).await;
    assert_eq!(scene.push().await, "unreachable");
    assert_eq!(scene.push().await, "accepted");
    assert_eq!((scene.road.traffic().connections, scene.delivered()), (3, 1));
}

#[rstest]
#[case::in_the_request(Play::Reset)]
#[case::in_the_answer(Play::ResetInAnswer)]
#[tokio::test]
async fn f10_a_connection_that_breaks_leaves_it_open_whether_the_message_came(#[case] play: Play) {
    let scene = Scene::set(vec![Stretch::Http2(Vec::new(), vec![play])]).await;
    assert_eq!(scene.push().await, "no_answer");
    assert_eq!(scene.delivered(), 0, "it is not repeated at once");
    assert_eq!(scene.push().await, "accepted");
}

/// The token endpoint has the same certificate, and so there is not even a token to lose.
#[tokio::test]
async fn f10_an_expired_certificate_is_not_believed() {
    let scene = Setup { emulator: FcmSetup::default().with_expired_certificate(), ..Setup::default() }.set().await;
    assert_eq!(scene.push().await, "token_unavailable");
    assert!(scene.emulator.sends().is_empty() && scene.emulator.token_requests().is_empty());
}

#[tokio::test]
async fn f10_a_certificate_of_somebody_else_is_not_believed() {
    let stranger = FcmEmulator::start().await;
    let endpoint = Some(stranger.endpoint().to_owned());
    let scene = Setup { endpoint, ..Setup::default() }.set().await;
    assert_eq!(scene.push().await, "unreachable");
    assert!(stranger.sends().is_empty(), "no token was shown to it");
}

#[tokio::test]
async fn f10_a_name_that_does_not_exist_is_unreachable() {
    let endpoint = Some("https://fcm.invalid".to_owned());
    let scene = Setup { endpoint, ..Setup::default() }.set().await;
    assert_eq!(scene.push().await, "unreachable");
}

#[tokio::test]
async fn f10_nobody_there_is_unreachable() {
    // Bound and not listening: a connection is refused, and nobody else can have the port.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = Some(format!("https://{}", socket.local_addr().unwrap()));
    let scene = Setup { endpoint, ..Setup::default() }.set().await;
    assert_eq!(scene.push().await, "unreachable");
}
