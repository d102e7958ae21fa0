//! Two processes of one application on one Redis, one on each framework.

use std::time::Duration;

use bloonio_tests::bank::Framework::{self, Actix, Axum};
use bloonio_tests::bank::{Bank, transfer};
use bloonio_tests::operator::Answer;
use bloonio_tests::redis::{RedisServer, TlsServer};
use bloonio_tests::relay::RelaySetup;
use bloonio_tests::stage::Stage;
use bloonio_tests::wait;
use futures_util::future::join_all;
use rstest::rstest;
use serde_json::json;

/// What both answer to: approvals are bound to it.
const HOST: &str = "bank.example";

/// Relay, phone, and two banks; callbacks go to the first.
pub struct Scene {
    pub stage: Stage,
    pub other: Bank,
    pub redis: RedisServer,
}

impl Scene {
    pub async fn set(first: Framework, second: Framework, more: &[(&str, &str)]) -> Self {
        let redis = RedisServer::start_durable().await;
        let url = redis.url();
        let own = [("BLOONIO_RELAY_STATE_BACKEND", "redis"), ("BLOONIO_RELAY_STATE_BACKEND_URL", url.as_str())];
        let variables = [&own[..], more].concat();
        let Stage { relay, tenant, bank, phone } = Stage::set_on(first, RelaySetup::default(), &variables).await;
        let other = Bank::start(second, relay.base_url(), &tenant, &variables).await.known_as(HOST);
        Self { stage: Stage { relay, tenant, bank: bank.known_as(HOST), phone }, other, redis }
    }

    pub fn banks(&self) -> [&Bank; 2] {
        [&self.stage.bank, &self.other]
    }

    /// How much was executed by both together.
    pub async fn executed(&self) -> Vec<serde_json::Value> {
        let [first, second] = self.banks();
        [first.ledger().await, second.ledger().await].concat()
    }
}

#[rstest]
#[case(Axum, Actix)]
#[case(Actix, Axum)]
#[tokio::test]
async fn the_first_call_goes_to_one_process_and_the_recall_to_the_other(
    #[case] first: Framework,
    #[case] second: Framework,
) {
    let scene = Scene::set(first, second, &[]).await;
    let instruction = scene.stage.ask().await;
    scene.other.transfer(Some(&instruction)).await.expect_error(403, "SUDO_ACTION_PENDING");
    let same = scene.other.transfer(None).await;
    assert_eq!(
        same.body["instruction_id"],
        instruction.as_str(),
        "the same request has one prompt, wherever it arrives"
    );
    scene.stage.phone.approve(&instruction).await;
    scene.stage.settled(&instruction).await;
    assert_eq!(scene.other.transfer(Some(&instruction)).await.status, 200);
    for bank in scene.banks() {
        bank.transfer(Some(&instruction)).await.expect_error(403, "SUDO_ACTION_EXPIRED");
    }
    assert_eq!(scene.executed().await.len(), 1);
}

#[tokio::test]
async fn a16_of_a_thousand_concurrent_recalls_over_both_processes_one_runs() {
    let scene = Scene::set(Axum, Actix, &[]).await;
    let instruction = scene.stage.ask().await;
    scene.stage.phone.approve(&instruction).await;
    scene.stage.settled(&instruction).await;
    let banks = scene.banks();
    let answers = join_all((0..1_000).map(|n| banks[n % 2].transfer(Some(&instruction)))).await;
    let (ran, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(ran.len(), 1);
    assert!(refused.iter().all(|answer| answer.error() == "SUDO_ACTION_EXPIRED"));
    assert_eq!(scene.executed().await.len(), 1);
}

/// The callback comes to the first process, the request waits in the second.
#[rstest]
#[case(Axum, Actix)]
#[case(Actix, Axum)]
#[tokio::test]
async fn a_request_that_waits_in_one_process_runs_when_the_other_is_told(
    #[case] first: Framework,
    #[case] second: Framework,
) {
    let scene = Scene::set(first, second, &[]).await;
    let body = transfer();
    let waiting = scene.other.post("/payout/execute", "demo-jane", &body, None);
    let approving = async {
        let prompt = wait::until("the prompt", || async { scene.stage.phone.prompts().await.pop() }).await;
        scene.stage.phone.approve(prompt["instruction_id"].as_str().unwrap()).await;
    };
    let (answer, ()) = tokio::join!(waiting, approving);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(scene.other.ledger().await.len(), 1);
}

#[rstest]
#[tokio::test]
async fn a_request_that_nobody_answers_is_408_and_its_prompt_goes_away(#[values(Axum, Actix)] framework: Framework) {
    let scene = Scene::set(framework, framework, &[("BLOONIO_RELAY_BLOCK_TIMEOUT_SECONDS", "1")]).await;
    let answer = scene.other.post("/payout/execute", "demo-jane", &transfer(), None).await;
    answer.expect_error(408, "SUDO_ACTION_TIMEOUT");
    wait::until("the prompt to be withdrawn", || async { scene.stage.phone.prompts().await.is_empty().then_some(()) })
        .await;
    assert_eq!(scene.executed().await.len(), 0);
}

#[rstest]
#[tokio::test]
async fn a_client_that_goes_away_takes_its_prompt_along(#[values(Axum, Actix)] framework: Framework) {
    let scene = Scene::set(framework, framework, &[]).await;
    let request = scene.other.request(reqwest::Method::POST, "/payout/execute", "demo-jane").json(&transfer());
    let waiting = tokio::spawn(request.send());
    let prompt = wait::until("the prompt", || async { scene.stage.phone.prompts().await.pop() }).await;
    waiting.abort();
    wait::until("the prompt to be withdrawn", || async { scene.stage.phone.prompts().await.is_empty().then_some(()) })
        .await;
    let id = prompt["instruction_id"].as_str().unwrap();
    assert_ne!(scene.stage.phone.run(&["approve", id]).await.code, 0);
    assert_eq!(scene.executed().await.len(), 0);
}

/// A user of Redis with a password, over TLS by an authority of one's own: all of it in the address and `SSL_CERT_FILE`.
#[rstest]
#[tokio::test]
async fn a_bank_keeps_its_approvals_behind_tls_and_a_password(#[values(Axum, Actix)] framework: Framework) {
    let redis = TlsServer::start_with(&[
        "--user",
        "default",
        "off",
        "--user",
        "bank",
        "on",
        ">hush-hush",
        "~bloonio:auth:*",
        "&bloonio:auth:*",
        "+@all",
    ])
    .await;
    let (url, authority) = (redis.url("bank", "hush-hush"), redis.authority());
    let variables = [
        ("BLOONIO_RELAY_STATE_BACKEND", "redis"),
        ("BLOONIO_RELAY_STATE_BACKEND_URL", url.as_str()),
        ("SSL_CERT_FILE", authority.to_str().unwrap()),
    ];
    let stage = Stage::set_on(framework, RelaySetup::default(), &variables).await;
    let instruction = stage.ask().await;
    stage.phone.approve(&instruction).await;
    stage.settled(&instruction).await;
    assert_eq!(stage.bank.transfer(Some(&instruction)).await.status, 200);
    assert!(!stage.bank.process.log().contains("hush"), "{}", stage.bank.process.log());
}

#[tokio::test]
async fn a_bank_whose_redis_is_away_does_not_start_and_says_why() {
    let redis = RedisServer::start().await;
    let url = format!("redis://bank:hush@127.0.0.1:{}", redis.port);
    drop(redis);
    let mut command = tokio::process::Command::new(bloonio_demo::process::binary("axum-transfer").unwrap());
    command
        .env_clear()
        .env("APP_LISTEN", "127.0.0.1:0")
        .env("BLOONIO_RELAY_BASE_URL", "http://127.0.0.1:9")
        .env("BLOONIO_RELAY_TENANT_ID", "tnt_0123456789abcdef0123456789abcdef")
        .env("BLOONIO_RELAY_TENANT_SECRET", "sk_0000000000000000000000000000000000000000000000000000000000000000")
        .env("BLOONIO_RELAY_STATE_BACKEND_URL", url);
    let output = tokio::time::timeout(wait::DEADLINE, command.output()).await.expect("it ends").unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("redis cannot be reached") && !said.contains("hush"), "{said}");
}

/// Jane's `n`th transfer.
pub fn nth(n: usize) -> serde_json::Value {
    json!({"amount": format!("{n}.00"), "recipient": "ACME Corp"})
}

/// The answer of a bank to a re-call, whatever it is; `None` where the connection itself failed.
pub async fn recall(bank: &Bank, n: usize, key: &str) -> Option<Answer> {
    let request = bank.request(reqwest::Method::POST, "/transfer/execute", "demo-jane").json(&nth(n));
    let response = request.timeout(Duration::from_secs(30)).header("x-sudo-instruction-key", key).send().await.ok()?;
    Some(Answer::of(response).await)
}
