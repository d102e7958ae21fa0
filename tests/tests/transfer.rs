//! One approval, end to end: real relay, real bank, real phone, each a process of its own; each test once on either web
//! framework.

use bloonio_tests::bank::Framework::{self, Actix, Axum};
use bloonio_tests::bank::transfer;
use bloonio_tests::operator::Answer;
use bloonio_tests::phone::Phone;
use bloonio_tests::relay::RelaySetup;
use bloonio_tests::stage::Stage;
use bloonio_tests::wait;
use rstest::rstest;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

#[rstest]
#[tokio::test]
async fn an_approved_transfer_runs_once(#[values(Axum, Actix)] framework: Framework) {
    let stage = Stage::set_on(framework, RelaySetup::default(), &[]).await;
    let instruction = stage.ask().await;
    let prompt = stage.phone.prompt(&instruction).await;
    assert_eq!(prompt["tenant_name"], "Demo Bank");
    let fields = prompt["display"]["fields"].as_array().unwrap();
    let shown: Vec<_> = fields.iter().map(|f| (f["key"].as_str().unwrap(), f["value"].as_str().unwrap())).collect();
    assert_eq!(shown, [("amount", "1000.00"), ("recipient", "ACME Corp")]);

    stage.bank.transfer(Some(&instruction)).await.expect_error(403, "SUDO_ACTION_PENDING");
    assert_eq!(stage.bank.ledger().await, Vec::<serde_json::Value>::new());
    stage.phone.approve(&instruction).await;
    assert_eq!(stage.settled(&instruction).await, "validated");

    let done = stage.bank.transfer(Some(&instruction)).await;
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(done.body["amount"], "1000.00");
    assert_eq!(done.body["recipient"], "ACME Corp");
    assert_eq!(done.body["approved_by"], jane());
    assert_eq!(stage.bank.ledger().await.len(), 1);

    stage.bank.transfer(Some(&instruction)).await.expect_error(403, "SUDO_ACTION_EXPIRED");
    assert_eq!(stage.bank.ledger().await.len(), 1);
}

fn jane() -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest("bloonio-demo:jane"))[..32].to_owned()
}

#[rstest]
#[tokio::test]
async fn the_first_refusal_tells_what_the_protocol_says(#[values(Axum, Actix)] framework: Framework) {
    let stage = Stage::set_on(framework, RelaySetup::default(), &[]).await;
    let refused = stage.bank.transfer(None).await;
    refused.expect_error(403, "SUDO_INSTRUCTION_KEY_REQUIRED");
    let body = &refused.body;
    let id = body["instruction_id"].as_str().unwrap();
    assert_eq!(body["success"], false);
    assert_eq!(body["status_code"], 403);
    assert_eq!(body["custom_type"], "localAuth");
    assert_eq!(body["expected_action"], "transfer_funds");
    assert_eq!(body["is_sudo_required"], true);
    assert_eq!(body["is_sudo_action"], true);
    assert_eq!(body["status_url"], format!("/_bloonio/instructions/{id}"));
    assert!(body["message"].is_string() && body["expires_at"].is_string(), "{body}");
    assert_eq!(body.get("golden_number"), None);
    let again = stage.bank.transfer(None).await;
    assert_eq!(again.body["instruction_id"], id, "the same request has one open prompt");
    assert_eq!(stage.phone.prompts().await.len(), 1);
}

#[rstest]
#[tokio::test]
async fn a01_another_body_is_refused_and_the_approval_stays_good(#[values(Axum, Actix)] framework: Framework) {
    let stage = Stage::set_on(framework, RelaySetup::default(), &[]).await;
    let instruction = stage.ask().await;
    stage.phone.approve(&instruction).await;
    stage.settled(&instruction).await;
    for other in [
        r#"{"amount":"1000.01","recipient":"ACME Corp"}"#,
        r#"{"amount":"1000.00","recipient":"Mallory"}"#,
        r#"{"recipient":"ACME Corp","amount":"1000.00"}"#,
        r#"{"amount": "1000.00","recipient":"ACME Corp"}"#,
    ] {
        let request = stage.bank.request(reqwest::Method::POST, "/transfer/execute", "demo-jane");
        let request = request.header("content-type", "application/json").header("x-sudo-instruction-key", &instruction);
        let refused = Answer::of(request.body(other).send().await.unwrap()).await;
        refused.expect_error(403, "SUDO_REQUEST_MISMATCH");
    }
    assert_eq!(stage.bank.transfer(Some(&instruction)).await.status, 200);
}

#[rstest]
#[tokio::test]
async fn a18_another_session_or_user_meets_an_unknown_key(#[values(Axum, Actix)] framework: Framework) {
    let stage = Stage::set_on(framework, RelaySetup::default(), &[]).await;
    let instruction = stage.ask().await;
    stage.phone.approve(&instruction).await;
    stage.settled(&instruction).await;
    let path = format!("/_bloonio/instructions/{instruction}");
    for stranger in ["demo-john", "demo-jane.2"] {
        let refused = stage.bank.post("/transfer/execute", stranger, &transfer(), Some(&instruction)).await;
        let unknown = stage.bank.post("/transfer/execute", stranger, &transfer(), Some("unknown-instruction")).await;
        refused.expect_error(403, "SUDO_ACTION_EXPIRED");
        assert_eq!(refused.body, unknown.body);
        assert_eq!(stage.bank.get(&path, stranger).await.status, 404);
    }
    assert_eq!(stage.bank.get(&path, "").await.status, 401);
    assert_eq!(stage.bank.transfer(Some(&instruction)).await.status, 200);
}

#[rstest]
#[tokio::test]
async fn a16_of_many_concurrent_repeats_one_runs(#[values(Axum, Actix)] framework: Framework) {
    let stage = Stage::set_on(framework, RelaySetup::default(), &[]).await;
    let instruction = stage.ask().await;
    stage.phone.approve(&instruction).await;
    stage.settled(&instruction).await;
    let calls = (0..50).map(|_| stage.bank.transfer(Some(&instruction)));
    let answers = futures_util::future::join_all(calls).await;
    let ran = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(ran, 1);
    assert!(answers.iter().filter(|a| a.status != 200).all(|a| a.error() == "SUDO_ACTION_EXPIRED"));
    assert_eq!(stage.bank.ledger().await.len(), 1);
}

#[rstest]
#[tokio::test]
async fn a_denial_is_final(#[values(Axum, Actix)] framework: Framework) {
    let stage = Stage::set_on(framework, RelaySetup::default(), &[]).await;
    let instruction = stage.ask().await;
    stage.phone.deny(&instruction).await;
    assert_eq!(stage.settled(&instruction).await, "denied");
    stage.bank.transfer(Some(&instruction)).await.expect_error(403, "SUDO_ACTION_DENIED");
    let late = stage.phone.run(&["approve", &instruction]).await;
    assert_eq!((late.code, late.error()), (1, "ALREADY_DECIDED"), "{late:?}");
    let quiet = stage.bank.transfer(None).await;
    quiet.expect_error(429, "SUDO_TOO_MANY_PENDING");
    assert!(quiet.retry_after.is_some());
}

#[rstest]
#[tokio::test]
async fn a_prompt_that_nobody_answers_expires(#[values(Axum, Actix)] framework: Framework) {
    let stage =
        Stage::set_on(framework, RelaySetup::default(), &[("BLOONIO_RELAY_INSTRUCTION_TTL_SECONDS", "10")]).await;
    let instruction = stage.ask().await;
    assert_eq!(stage.settled(&instruction).await, "expired");
    stage.bank.transfer(Some(&instruction)).await.expect_error(403, "SUDO_ACTION_EXPIRED");
    // The relay got the prompt a moment after the bank wrote it down, and counts from there.
    wait::until("the prompt's end on the phone", || async { stage.phone.prompts().await.is_empty().then_some(()) })
        .await;
    let late = stage.phone.run(&["approve", &instruction]).await;
    assert_eq!((late.code, late.error()), (1, "GONE"), "{late:?}");
}

#[rstest]
#[tokio::test]
async fn the_golden_number_must_be_typed_on_the_phone(#[values(Axum, Actix)] framework: Framework) {
    let stage = Stage::set_on(framework, RelaySetup::default(), &[]).await;
    let body = json!({"new_password": "correct horse"});
    let refused = stage.bank.post("/password/change", "demo-jane", &body, None).await;
    refused.expect_error(403, "SUDO_INSTRUCTION_KEY_REQUIRED");
    assert_eq!(refused.body["custom_type"], "goldenNumber");
    let number = refused.body["golden_number"].as_i64().unwrap();
    assert!((10..=99).contains(&number));
    let instruction = refused.body["instruction_id"].as_str().unwrap();

    let prompt = stage.phone.prompt(instruction).await;
    assert!(!prompt.to_string().contains("correct horse"), "the password is nobody's business");
    let without = stage.phone.run(&["approve", instruction]).await;
    assert_ne!(without.code, 0, "an approval without the number: {without:?}");
    stage.phone.run(&["approve", instruction, "--number", &number.to_string()]).await.ok();
    assert_eq!(stage.settled(instruction).await, "validated");
    let done = stage.bank.post("/password/change", "demo-jane", &body, Some(instruction)).await;
    assert_eq!((done.status, &done.body), (200, &json!({"changed": true})));
}

#[rstest]
#[tokio::test]
async fn a33_one_wrong_golden_number_ends_the_instruction(#[values(Axum, Actix)] framework: Framework) {
    let stage = Stage::set_on(framework, RelaySetup::default(), &[]).await;
    let body = json!({"new_password": "correct horse"});
    let refused = stage.bank.post("/password/change", "demo-jane", &body, None).await;
    let number = refused.body["golden_number"].as_i64().unwrap();
    let instruction = refused.body["instruction_id"].as_str().unwrap();
    let wrong = if number == 99 { 10 } else { number + 1 };
    stage.phone.run(&["approve", instruction, "--number", &wrong.to_string()]).await.ok();
    assert_eq!(stage.settled(instruction).await, "denied");
    let done = stage.bank.post("/password/change", "demo-jane", &body, Some(instruction)).await;
    done.expect_error(403, "SUDO_ACTION_DENIED");
}

#[rstest]
#[tokio::test]
async fn a_waiting_request_runs_as_soon_as_the_phone_approves(#[values(Axum, Actix)] framework: Framework) {
    let stage = Stage::set_on(framework, RelaySetup::default(), &[]).await;
    let order = transfer();
    let approving = async {
        let id = wait::until("a prompt", || async {
            let prompts = stage.phone.prompts().await;
            prompts.first().and_then(|p| p["instruction_id"].as_str().map(str::to_owned))
        })
        .await;
        stage.phone.approve(&id).await;
        id
    };
    let (answer, id) = tokio::join!(stage.bank.post("/payout/execute", "demo-jane", &order, None), approving);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(stage.bank.ledger().await.len(), 1);
    let redeemed = stage.bank.post("/payout/execute", "demo-jane", &order, Some(&id)).await;
    redeemed.expect_error(403, "SUDO_ACTION_EXPIRED");
}

#[rstest]
#[tokio::test]
async fn a_waiting_request_that_nobody_answers_times_out_and_takes_its_prompt_away(
    #[values(Axum, Actix)] framework: Framework,
) {
    let stage = Stage::set_on(framework, RelaySetup::default(), &[("BLOONIO_RELAY_BLOCK_TIMEOUT_SECONDS", "2")]).await;
    let answer = stage.bank.post("/payout/execute", "demo-jane", &transfer(), None).await;
    answer.expect_error(408, "SUDO_ACTION_TIMEOUT");
    wait::until("the prompt to go away", || async { stage.phone.prompts().await.is_empty().then_some(()) }).await;
    assert_eq!(stage.bank.ledger().await.len(), 0);
}

#[rstest]
#[tokio::test]
async fn whoever_is_not_signed_in_gets_nowhere(#[values(Axum, Actix)] framework: Framework) {
    let stage = Stage::set_on(framework, RelaySetup::default(), &[]).await;
    for path in ["/transfer/execute", "/payout/execute", "/password/change"] {
        assert_eq!(stage.bank.post(path, "", &transfer(), None).await.status, 401, "{path}");
        assert_eq!(stage.bank.post(path, "demo-eve", &transfer(), None).await.status, 401, "{path}");
    }
    for path in ["/ledger", "/pair"] {
        assert_eq!(stage.bank.get(path, "").await.status, 401, "{path}");
    }
    assert_eq!(stage.phone.prompts().await.len(), 0);
}

#[rstest]
#[tokio::test]
async fn bad_input_is_named_before_anybody_is_asked(#[values(Axum, Actix)] framework: Framework) {
    let stage = Stage::set_on(framework, RelaySetup::default(), &[]).await;
    let wrong = stage.bank.post("/transfer/execute", "demo-jane", &json!({"amount": null}), None).await;
    wrong.expect_error(422, "VALIDATION_FAILED");
    let fields: Vec<_> = wrong.body["details"].as_array().unwrap().iter().map(|d| d["field"].clone()).collect();
    assert_eq!(fields, ["amount", "recipient"], "{wrong:?}");
    let noise =
        stage.bank.request(reqwest::Method::POST, "/transfer/execute", "demo-jane").body("{").send().await.unwrap();
    assert_eq!(noise.status(), 400);
    let large = stage.bank.request(reqwest::Method::POST, "/transfer/execute", "demo-jane").body(vec![b' '; 1_100_000]);
    let large = Answer::of(large.send().await.unwrap()).await;
    large.expect_error(413, "SUDO_BODY_TOO_LARGE");
    assert_eq!(stage.phone.prompts().await.len(), 0);
}

#[rstest]
#[tokio::test]
async fn a_body_that_is_declared_too_large_is_refused_before_it_comes(#[values(Axum, Actix)] framework: Framework) {
    let stage = Stage::set_on(framework, RelaySetup::default(), &[]).await;
    let address = stage.bank.process.url("");
    let mut connection = TcpStream::connect(address.strip_prefix("http://").unwrap()).await.unwrap();
    let head = "POST /transfer/execute HTTP/1.1\r\nHost: bank\r\nAuthorization: Bearer demo-jane\r\n\
                Content-Type: application/json\r\nContent-Length: 1048577\r\n\r\n{";
    connection.write_all(head.as_bytes()).await.unwrap();
    // Nothing more is sent: a server that waits for the rest never answers.
    let mut line = String::new();
    BufReader::new(connection).read_line(&mut line).await.unwrap();
    assert!(line.starts_with("HTTP/1.1 413 "), "{line}");
}

#[rstest]
#[tokio::test]
async fn a30_one_session_may_not_flood_the_phone(#[values(Axum, Actix)] framework: Framework) {
    let stage = Stage::set_on(framework, RelaySetup::default(), &[]).await;
    let order = |n: u32| json!({"amount": format!("{n}.00"), "recipient": "ACME Corp"});
    let ask = async |token: &str, n| stage.bank.post("/transfer/execute", token, &order(n), None).await;
    for n in 1..=2 {
        ask("demo-jane", n).await.expect_error(403, "SUDO_INSTRUCTION_KEY_REQUIRED");
    }
    let refused = ask("demo-jane", 3).await;
    refused.expect_error(429, "SUDO_TOO_MANY_PENDING");
    assert!(refused.retry_after.is_some_and(|seconds| seconds.parse::<u64>().unwrap() >= 1));
    ask("demo-jane.phone", 4).await.expect_error(403, "SUDO_INSTRUCTION_KEY_REQUIRED");
    ask("demo-jane.3", 5).await.expect_error(429, "SUDO_TOO_MANY_PENDING");
    assert_eq!(stage.phone.prompts().await.len(), 3);
}

#[rstest]
#[tokio::test]
async fn a40_a_second_phone_needs_an_approval_of_the_first(#[values(Axum, Actix)] framework: Framework) {
    let stage = Stage::set_on(framework, RelaySetup::default(), &[]).await;
    let refused = stage.bank.get("/pair", "demo-jane").await;
    refused.expect_error(403, "SUDO_INSTRUCTION_KEY_REQUIRED");
    let instruction = refused.body["instruction_id"].as_str().unwrap();
    stage.phone.approve(instruction).await;
    stage.settled(instruction).await;
    let request = stage.bank.request(reqwest::Method::GET, "/pair", "demo-jane");
    let offer = request.header("x-sudo-instruction-key", instruction).send().await.unwrap();
    assert_eq!(offer.headers()["cache-control"], "no-store", "whoever has the code can pair");
    let offer = Answer::of(offer).await;
    assert_eq!(offer.status, 200, "{offer:?}");
    let second = Phone::paired(offer.body["pairing_uri"].as_str().unwrap()).await;

    let instruction = stage.ask().await;
    stage.phone.prompt(&instruction).await;
    let unconfirmed = second.run(&["list"]).await;
    let seen = unconfirmed.lines.first().and_then(|l| l["count"].as_i64()).unwrap_or(0);
    assert_eq!(seen, 0, "an unconfirmed device sees nothing: {unconfirmed:?}");
    assert_ne!(second.run(&["approve", &instruction]).await.code, 0);
}
