//! Methods: the approval is for one, every one is guarded, and none is disguised.

use bloonio_sudo::ErrorCode;
use bloonio_tests::bank::Framework::{self, Actix, Axum};
use rstest::rstest;

use crate::client::Ask;
use crate::server::Server;

fn put_as(method: &str, ask: Ask) -> Ask {
    Ask { method: method.to_owned(), ..ask }
}

#[rstest]
#[case("PUT")]
#[case("DELETE")]
#[case("PATCH")]
#[case("GET")]
#[case("HEAD")]
#[case("OPTIONS")]
#[case("PROPFIND")]
#[case("post")]
#[tokio::test]
async fn a03_another_method_is_refused_and_the_approval_stays_good(
    #[case] method: &str,
    #[values(Axum, Actix)] framework: Framework,
) {
    let server = Server::start(framework).await;
    let key = server.approved(&Ask::transfer("/bank/x")).await;
    let heard = server.hear(&put_as(method, Ask::transfer("/bank/x")).key(&key)).await;
    assert_eq!((heard.status, heard.header("x-seen-code")), (403, Some("SUDO_REQUEST_MISMATCH")), "{heard:?}");
    assert_eq!(server.runs(), 0);
    server.hear(&Ask::transfer("/bank/x").key(&key)).await.assert_status(200);
}

#[rstest]
#[case("GET")]
#[case("HEAD")]
#[case("OPTIONS")]
#[case("PUT")]
#[case("DELETE")]
#[case("TRACE")]
#[tokio::test]
async fn a74_every_method_of_a_guarded_resource_is_guarded(
    #[case] method: &str,
    #[values(Axum, Actix)] framework: Framework,
) {
    let server = Server::start(framework).await;
    for target in ["/bank/x", "/post-only"] {
        let heard = server.hear(&Ask::jane(method, target)).await;
        let seen = (heard.status, heard.header("x-seen-code"));
        assert_eq!(seen, (403, Some("SUDO_INSTRUCTION_KEY_REQUIRED")), "{target}: {heard:?}");
    }
    let nobody = server.hear(&Ask::bare(method, "/bank/x")).await;
    assert_eq!((nobody.status, nobody.header("x-seen-code")), (401, Some("SUDO_USER_REQUIRED")), "{nobody:?}");
    assert_eq!(server.runs(), 0);
}

#[rstest]
#[tokio::test]
async fn a74_an_approved_method_that_the_route_does_not_have_is_405(#[values(Axum, Actix)] framework: Framework) {
    let server = Server::start(framework).await;
    let key = server.approved(&Ask::jane("DELETE", "/post-only")).await;
    server.hear(&Ask::jane("DELETE", "/post-only").key(&key)).await.assert_status(405);
    assert_eq!(server.runs(), 0);
}

#[rstest]
#[case::header(Ask::transfer("/bank/x").with("X-HTTP-Method-Override", "DELETE"))]
#[case::header_of_the_same_method(Ask::transfer("/bank/x").with("X-HTTP-Method-Override", "POST"))]
#[case::other_header(Ask::transfer("/bank/x").with("X-Method-Override", "DELETE"))]
#[case::third_header(Ask::transfer("/bank/x").with("X-HTTP-Method", "DELETE"))]
#[case::query(Ask::transfer("/bank/x?_method=DELETE"))]
#[case::escaped_query(Ask::transfer("/bank/x?%5Fmethod=DELETE"))]
#[case::form(Ask::jane("POST", "/bank/x").with("content-type", "application/x-www-form-urlencoded").body("a=5&_method=DELETE"))]
#[tokio::test]
async fn a03_a_request_to_be_taken_for_another_method_is_refused(
    #[case] ask: Ask,
    #[values(Axum, Actix)] framework: Framework,
) {
    let server = Server::start(framework).await;
    let key = server.approved(&Ask::transfer("/bank/x")).await;
    server.hear(&ask).await.assert_refused(ErrorCode::MalformedRequest);
    server.hear(&ask.key(&key)).await.assert_refused(ErrorCode::MalformedRequest);
    assert_eq!((server.runs(), server.stage.relay.challenges().len()), (0, 1));
}

#[rstest]
#[case::doubled_slash("//bank/x")]
#[case::doubled_inside("/bank//x")]
#[case::trailing_slash("/bank/x/")]
#[case::escaped_letter("/%62ank/x")]
#[case::escaped_slash("/bank%2fx")]
#[case::dots("/open/../bank/x")]
#[case::escaped_dots("/open/%2e%2e/bank/x")]
#[case::escaped_dots_and_slash("/open/..%2fbank/x")]
#[case::path_parameter("/bank;a=b/x")]
#[case::upper_case("/BANK/x")]
#[case::null("/bank/x%00")]
#[case::absolute("http://bank.example/bank/x")]
#[tokio::test]
async fn a73_no_spelling_of_a_guarded_path_reaches_the_handler(
    #[case] target: &str,
    #[values(Axum, Actix)] framework: Framework,
) {
    let server = Server::start(framework).await;
    let heard = server.hear(&Ask::transfer(target)).await;
    assert!([400, 403, 404].contains(&heard.status), "either it is another route, or it is guarded: {heard:?}");
    assert_eq!(server.runs(), 0);
}

#[rstest]
#[case("x-sudo-grant", "jane-0001")]
#[case("x-sudo-approved", "true")]
#[case("x-sudo-exempt", "1")]
#[case("x-sudo-required", "false")]
#[case("x-bloonio-approved", "true")]
#[case("x-bloonio-tenant-id", "tnt_0123456789abcdef0123456789abcdef")]
#[case("x-middleware-subrequest", "sudo:sudo:sudo")]
#[case("x-original-url", "/bare-either")]
#[case("x-forwarded-for", "127.0.0.1")]
#[tokio::test]
async fn a75_no_header_of_the_client_counts_as_an_approval(
    #[case] name: &str,
    #[case] value: &str,
    #[values(Axum, Actix)] framework: Framework,
) {
    let server = Server::start(framework).await;
    let heard = server.hear(&Ask::transfer("/bank/x").with(name, value)).await;
    heard.assert_refused(ErrorCode::SudoInstructionKeyRequired);
    assert_eq!(server.runs(), 0);
}
