//! Bodies: taken whole up to the limit, refused above it, given back byte for byte.

use bloonio_sudo::ErrorCode;
use bloonio_tests::bank::Framework::{self, Actix, Axum};
use rstest::rstest;
use tokio::io::AsyncWriteExt;

use crate::client::{Ask, Framing, Heard};
use crate::server::Server;
use crate::support::settings;

const LIMIT: usize = 64 * 1024;

fn sized(length: usize, framing: Framing) -> Ask {
    Ask { framing, ..Ask::transfer("/bank/x").body(vec![b'x'; length]) }
}

#[rstest]
#[case::declared(LIMIT, Framing::Length)]
#[case::chunked(LIMIT, Framing::Chunked)]
#[case::empty(0, Framing::Length)]
#[case::empty_chunked(0, Framing::Chunked)]
#[tokio::test]
async fn a_body_within_the_limit_reaches_the_handler_whole(
    #[case] length: usize,
    #[case] framing: Framing,
    #[values(Axum, Actix)] framework: Framework,
) {
    let server = Server::with(framework, settings().with_max_body_bytes(LIMIT)).await;
    let ask = sized(length, framing);
    let key = server.approved(&ask).await;
    let ran = server.hear(&ask.key(&key)).await;
    ran.assert_status(200);
    assert_eq!(ran.body["body"], "x".repeat(length));
}

#[rstest]
#[case::declared(LIMIT + 1, Framing::Length)]
#[case::chunked(LIMIT + 1, Framing::Chunked)]
#[case::much_larger(40 * LIMIT, Framing::Length)]
#[case::much_larger_chunked(40 * LIMIT, Framing::Chunked)]
#[tokio::test]
async fn a_body_over_the_limit_is_413(
    #[case] length: usize,
    #[case] framing: Framing,
    #[values(Axum, Actix)] framework: Framework,
) {
    let server = Server::with(framework, settings().with_max_body_bytes(LIMIT)).await;
    for ask in [sized(length, framing), sized(length, framing).key("0123456789abcdef")] {
        server.hear(&ask).await.assert_refused(ErrorCode::SudoBodyTooLarge);
    }
    assert_eq!((server.runs(), server.stage.relay.challenges().len()), (0, 0));
}

#[rstest]
#[tokio::test]
async fn a_huge_body_is_refused_by_its_own_word(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    // Nothing of it needs to be there.
    let announced = Ask::transfer("/bank/x").with("content-length", "68719476736").body("");
    server.hear(&announced).await.assert_refused(ErrorCode::SudoBodyTooLarge);
}

#[rstest]
#[tokio::test]
async fn nobody_who_is_not_signed_in_makes_the_application_read_a_body(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    // It is announced and never sent: an application that reads it waits in vain.
    let announced = Ask::transfer("/bank/x").without("x-user").with("content-length", "1000").body("");
    server.hear(&announced).await.assert_refused(ErrorCode::SudoUserRequired);
}

#[rstest]
#[case::short(Ask::transfer("/bank/x").with("content-length", "1000"))]
#[tokio::test]
async fn a_body_that_breaks_off_runs_nothing(#[case] ask: Ask, #[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let mut stream = server.open(&ask).await;
    stream.shutdown().await.unwrap();
    // Whoever hangs up may be told, or may not.
    if let Some(heard) = Heard::from(&mut stream).await {
        assert_eq!(heard.status, 400, "{heard:?}");
    }
    assert_eq!((server.runs(), server.stage.relay.challenges().len()), (0, 0));
}

#[rstest]
#[case::two_lengths(Ask::transfer("/bank/x").with("content-length", "5").with("content-length", "47"))]
#[case::length_and_chunks(Ask::transfer("/bank/x").with("content-length", "5").chunked())]
#[case::signed_length(Ask::transfer("/bank/x").with("content-length", "+47"))]
#[tokio::test]
async fn a79_a_request_that_can_be_read_in_two_ways_is_never_read_as_a_shorter_one(
    #[case] ask: Ask,
    #[values(Axum, Actix)] framework: Framework,
) {
    let server = Server::start(framework).await;
    let key = server.approved(&Ask::transfer("/bank/x")).await;
    let heard = server.hear(&ask.key(&key)).await;
    match heard.status {
        400 => assert_eq!(server.runs(), 0),
        _ => assert_eq!((heard.status, heard.body["body"].as_str()), (200, Some(crate::client::BODY)), "{heard:?}"),
    }
}
