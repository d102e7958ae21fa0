//! The key: good once, for one session, on one route, and only where it belongs.

use bloonio_sudo::ErrorCode;
use bloonio_tests::bank::Framework::{self, Actix, Axum};
use futures_util::future::join_all;
use rstest::rstest;

use crate::client::Ask;
use crate::server::Server;

#[rstest]
#[tokio::test]
async fn a15_a_used_key_never_runs_again(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let key = server.approved(&Ask::transfer("/bank/x")).await;
    server.hear(&Ask::transfer("/bank/x").key(&key)).await.assert_status(200);
    for _ in 0..20 {
        server.hear(&Ask::transfer("/bank/x").key(&key)).await.assert_refused(ErrorCode::SudoActionExpired);
    }
    assert_eq!(server.runs(), 1);
}

#[rstest]
#[tokio::test]
async fn a16_of_many_concurrent_requests_one_runs(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let ask = Ask::transfer("/bank/x");
    let key = server.approved(&ask).await;
    let again = ask.key(&key);
    let heard = join_all((0..64).map(|_| server.hear(&again))).await;
    let (ran, refused): (Vec<_>, Vec<_>) = heard.iter().partition(|heard| heard.status == 200);
    refused.iter().for_each(|heard| heard.assert_refused(ErrorCode::SudoActionExpired));
    assert_eq!((ran.len(), server.runs()), (1, 1));
}

#[rstest]
#[case::other_action("/other/x")]
#[case::same_action_elsewhere("/nested/bank/x")]
#[case::other_type("/golden/x")]
#[case::post_only("/post-only")]
#[tokio::test]
async fn a17_a_key_used_on_another_route_is_refused(#[case] target: &str, #[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let key = server.approved(&Ask::transfer("/bank/x")).await;
    server.hear(&Ask::transfer(target).key(&key)).await.assert_refused(ErrorCode::SudoRequestMismatch);
    server.hear(&Ask::transfer("/bank/x").key(&key)).await.assert_status(200);
}

#[rstest]
#[case::other_user("john-0001", "one")]
#[case::other_session("jane-0001", "two")]
#[case::no_session("jane-0001", "")]
#[tokio::test]
async fn a18_anothers_key_is_answered_like_an_unknown_one(
    #[case] user: &str,
    #[case] session: &str,
    #[values(Axum, Actix)] framework: Framework,
) {
    let server = Server::start(framework).await;
    let key = server.approved(&Ask::transfer("/bank/x")).await;
    let other = Ask::transfer("/bank/x").without("x-user").without("x-session");
    let other = other.with("x-user", user).with("x-session", session);
    let foreign = server.hear(&other.clone().key(&key)).await;
    let unknown = server.hear(&other.key("0123456789abcdef0123456789abcdef")).await;
    foreign.assert_refused(ErrorCode::SudoActionExpired);
    assert_eq!(foreign.body, unknown.body);
    server.hear(&Ask::transfer("/bank/x").key(&key)).await.assert_status(200);
}

#[rstest]
#[case::empty(&[""])]
#[case::short(&["x"])]
#[case::blank(&["a b c d e f g h"])]
#[case::path(&["../../../../etc/passwd"])]
#[case::long(&["0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0"])]
#[case::not_ascii(&["schlüssel-schlüssel"])]
#[case::two(&["0123456789abcdef", "0123456789abcdef"])]
#[tokio::test]
async fn a20_a_malformed_key_is_answered_like_an_unknown_one(
    #[case] keys: &[&str],
    #[values(Axum, Actix)] framework: Framework,
) {
    let server = Server::start(framework).await;
    let unknown = server.hear(&Ask::transfer("/bank/x").key("0123456789abcdef0123456789abcdef")).await;
    let heard = server.hear(&keys.iter().fold(Ask::transfer("/bank/x"), |ask, key| ask.key(key))).await;
    heard.assert_refused(ErrorCode::SudoActionExpired);
    assert_eq!(heard.body, unknown.body);
    assert_eq!(server.stage.relay.challenges().len(), 0, "nobody is asked");
}

#[rstest]
#[tokio::test]
async fn a15_a_good_key_given_twice_is_refused_and_stays_good(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let key = server.approved(&Ask::transfer("/bank/x")).await;
    let twice = Ask::transfer("/bank/x").key(&key).key(&key);
    server.hear(&twice).await.assert_refused(ErrorCode::SudoActionExpired);
    server.hear(&Ask::transfer("/bank/x").key(&key)).await.assert_status(200);
}

#[rstest]
#[case::query("/bank/x?x-sudo-instruction-key={key}")]
#[case::other_name("/bank/x?instruction_id={key}")]
#[case::path("/bank/x/{key}")]
#[tokio::test]
async fn a21_a_key_in_the_address_is_no_key(#[case] target: &str, #[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let key = server.approved(&Ask::transfer("/bank/x")).await;
    let heard = server.hear(&Ask::transfer(&target.replace("{key}", &key))).await;
    heard.assert_refused(ErrorCode::SudoInstructionKeyRequired);
    assert_ne!(heard.body["instruction_id"], key.as_str());
    assert_eq!(server.runs(), 0);
}

#[rstest]
#[case::other_header("x-instruction-key")]
#[case::bearer("authorization")]
#[case::cookie("cookie")]
#[tokio::test]
async fn a21_a_key_in_another_header_is_no_key(#[case] name: &str, #[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let key = server.approved(&Ask::transfer("/bank/x")).await;
    let heard = server.hear(&Ask::transfer("/bank/x").with(name, &key)).await;
    assert_eq!((heard.status, server.runs()), (403, 0), "{heard:?}");
    assert!(heard.header("x-seen-code").is_some(), "{heard:?}");
}
