//! GET /relay/fetch/outcome: polling for a decision, waiting for it, and its signature (PROTOCOL 5 and 2.5).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets a surprise shall fail at once")]

mod support;

use bloonio_relay_server::storage::db::query;
use std::time::Duration;

use bloonio_wire::webhook;
use rstest::rstest;
use serde_json::json;
use tokio::time::timeout;

use support::{TestAnswer, TestDevice, TestRelay, TestTenant};

const JANE: &str = "jane-0123456789";
/// Far below the 30 s that the calls would wait, far above what an answer takes.
const SOON: Duration = Duration::from_secs(20);

async fn ask(bank: &TestTenant<'_>) {
    let body = json!({
        "user_socket_hash": JANE, "instruction_id": "instruction-1", "custom_type": "localAuth", "expected_action": "pay",
        "backend_url": "https://bank.example"
    });
    assert_eq!(bank.post("/relay/send/auth-challenge", body).await.status, 200);
}

async fn fetch(bank: &TestTenant<'_>, wait: u32) -> TestAnswer {
    let path = format!("/relay/fetch/outcome?instruction_id=instruction-1&wait_seconds={wait}");
    timeout(SOON, bank.get(&path)).await.expect("it ends early")
}

async fn approve(device: &TestDevice<'_>) {
    let body = json!({"instruction_id": "instruction-1", "approved": true, "custom_type": "localAuth"});
    assert_eq!(device.post("/device/submit-response", body).await.status, 200);
}

/// Waits until somebody waits for the prompt.
async fn somebody_waits(relay: &TestRelay, bank: &TestTenant<'_>) {
    let key = (bank.tenant_id.parse().unwrap(), "instruction-1".parse().unwrap());
    while relay.app.prompts.subscribers(&key) == 0 {
        tokio::task::yield_now().await;
    }
}

fn verify(bank: &TestTenant<'_>, answer: &TestAnswer) {
    let at: i64 = answer.header("webhook-timestamp").parse().unwrap();
    assert_eq!(at, support::START.as_secs());
    let (id, signature) = (answer.header("webhook-id"), answer.header("webhook-signature"));
    webhook::verify(&bank.secret, id, at, answer.text.as_bytes(), signature).unwrap();
}

#[rstest]
#[case("", 422)]
#[case("?wait_seconds=1", 422)]
#[case("?instruction_id=instruction-1&wait_seconds=31", 422)]
#[case("?instruction_id=instruction-1&wait_seconds=-1", 422)]
#[case("?instruction_id=instruction-1&wait_seconds=soon", 422)]
#[case("?instruction_id=instruction-1&instruction_id=instruction-1", 422)]
#[case("?instruction_id=%zz", 400)]
#[case("?instruction_id=instruction-2", 404)]
#[case("?instruction_id=x", 404)]
#[tokio::test]
async fn a_question_that_names_no_prompt_is_refused(#[case] query: &str, #[case] status: u16) {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    bank.pair(JANE).await;
    ask(&bank).await;
    let answer = timeout(SOON, bank.get(&format!("/relay/fetch/outcome{query}"))).await.unwrap();
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(answer.header("webhook-signature").is_empty());
}

#[tokio::test]
async fn an_open_prompt_is_pending_and_the_answer_is_signed() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    bank.pair(JANE).await;
    ask(&bank).await;
    let answer = fetch(&bank, 0).await;
    assert_eq!(answer.data(), &json!({"instruction_id": "instruction-1", "status": "pending"}));
    verify(&bank, &answer);
    let other = relay.provision("Shop").await;
    let at = support::START.as_secs();
    let (id, signature) = (answer.header("webhook-id"), answer.header("webhook-signature"));
    assert!(webhook::verify(&other.secret, id, at, answer.text.as_bytes(), signature).is_err());
    assert!(
        webhook::verify(&bank.secret, id, at, answer.text.replace("pending", "decided").as_bytes(), signature).is_err()
    );
}

#[tokio::test]
async fn a_decision_is_signed_under_the_id_of_its_callback() {
    let relay = TestRelay::new().await;
    let fields = json!({"tenant_name": "Bank", "callback_url_base": "https://bank.example"});
    let bank = relay.provision_with(fields).await;
    let device = bank.pair(JANE).await;
    ask(&bank).await;
    approve(&device).await;
    let answer = fetch(&bank, 30).await;
    verify(&bank, &answer);
    let id: String = query("SELECT delivery_id FROM deliveries WHERE flow = 'sudo-validated'")
        .fetch_one(relay.app.storage.readers())
        .await
        .unwrap()
        .at(0)
        .unwrap();
    assert_eq!(answer.header("webhook-id"), id);
    assert_eq!((&answer.data()["status"], &answer.data()["approved"]), (&json!("decided"), &json!(true)));
    assert_eq!(answer.data()["tenant_id"], bank.tenant_id);
    assert_eq!(fetch(&bank, 0).await.text, answer.text, "it can be asked for again");
}

#[tokio::test]
async fn whoever_waits_learns_the_decision_as_it_falls() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let device = bank.pair(JANE).await;
    ask(&bank).await;
    let decide = async {
        somebody_waits(&relay, &bank).await;
        approve(&device).await;
    };
    let (first, second, ()) = tokio::join!(fetch(&bank, 30), fetch(&bank, 30), decide);
    for answer in [first, second] {
        assert_eq!(answer.data()["status"], "decided");
        verify(&bank, &answer);
    }
}

#[rstest]
#[case::withdrawn("cancelled")]
#[case::over("expired")]
#[tokio::test]
async fn whoever_waits_learns_that_there_will_be_no_decision(#[case] status: &str) {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    bank.pair(JANE).await;
    ask(&bank).await;
    let end = async {
        somebody_waits(&relay, &bank).await;
        if status == "cancelled" {
            bank.post("/relay/cancel/auth-challenge", json!({"instruction_id": "instruction-1"})).await;
        } else {
            relay.clock.advance(Duration::from_secs(180));
            let key = (bank.tenant_id.parse().unwrap(), "instruction-1".parse().unwrap());
            relay.app.prompts.wake(&key, ());
        }
    };
    let (answer, ()) = tokio::join!(fetch(&bank, 30), end);
    assert_eq!(answer.data(), &json!({"instruction_id": "instruction-1", "status": status}));
}

#[rstest]
#[case::suspended("suspend/tenant", 403, "TENANT_SUSPENDED")]
#[case::rotated("rotate/tenant-secret", 401, "INVALID_SIGNATURE")]
#[tokio::test]
async fn whoever_loses_his_right_while_he_waits_learns_nothing(
    #[case] call: &str,
    #[case] status: u16,
    #[case] code: &str,
) {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let device = bank.pair(JANE).await;
    ask(&bank).await;
    let lose = async {
        somebody_waits(&relay, &bank).await;
        if status == 401 {
            // Rotation leaves the devices alone: the decision falls, but to nobody.
            relay.operator_post(&format!("/{call}?tenant_id={}", bank.tenant_id), json!({})).await;
            approve(&device).await;
        } else {
            relay.operator_post(&format!("/{call}?tenant_id={}", bank.tenant_id), json!({})).await;
            relay.clock.advance(Duration::from_secs(180));
            let key = (bank.tenant_id.parse().unwrap(), "instruction-1".parse().unwrap());
            relay.app.prompts.wake(&key, ());
        }
    };
    let (answer, ()) = tokio::join!(fetch(&bank, 30), lose);
    answer.expect_error(status, code);
}

#[tokio::test]
async fn whoever_waits_is_let_go_when_the_relay_stops() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    bank.pair(JANE).await;
    ask(&bank).await;
    let stop = async {
        somebody_waits(&relay, &bank).await;
        relay.app.stopping.cancel();
    };
    let (answer, ()) = tokio::join!(fetch(&bank, 30), stop);
    assert_eq!(answer.data()["status"], "pending");
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_wait_ends_with_its_seconds() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    bank.pair(JANE).await;
    ask(&bank).await;
    assert_eq!(fetch(&bank, 1).await.data()["status"], "pending");
}
