//! Relay and receivers that fail: nothing is lost, nothing runs unapproved.

use bloonio_tests::bank::{Bank, Framework};
use bloonio_tests::operator::Operator;
use bloonio_tests::phone::Phone;
use bloonio_tests::receiver::{Received, Receiver};
use bloonio_tests::relay::{Relay, RelaySetup};
use bloonio_tests::stage::Stage;
use bloonio_tests::tenant::TenantBackend;
use bloonio_tests::wait;
use rstest::rstest;

const USER: &str = "jane-0123456789";

/// A relay with one tenant whose callbacks go to `callbacks`, and a paired phone.
async fn paired_relay(callbacks: &str) -> (Relay, TenantBackend, Phone) {
    let relay = Relay::start().await;
    let tenant = relay.operator().provision("Bank").await;
    let phone = Phone::paired(&tenant.offer_pairing(USER).await).await;
    relay.operator().set_callback_base(&tenant, callbacks).await;
    (relay, tenant, phone)
}

fn decisions(received: &[Received]) -> Vec<&Received> {
    received.iter().filter(|r| r.path == "/relay-callbacks/sudo-validated").collect()
}

async fn attempts(operator: &Operator, tenant: &TenantBackend) -> i64 {
    let answer = operator.get(&format!("/fetch/callbacks?tenant_id={}", tenant.tenant_id)).await;
    answer.data()["items"].as_array().unwrap().iter().filter_map(|d| d["attempts"].as_i64()).max().unwrap_or(0)
}

#[tokio::test]
async fn a_receiver_that_was_down_for_a_while_gets_the_decision() {
    let address = Receiver::free_address().await;
    let (relay, tenant, phone) = paired_relay(&format!("http://{address}")).await;
    assert_eq!(tenant.send_challenge(USER, "instruction-1").await.status, 200);
    phone.approve("instruction-1").await;
    // Tries come 0, 1, 2, 4, 8 and 15 s after the decision: after the sixth it has been down for 15 s, and the next comes at 30 s.
    wait::until("six tries in vain", || async { (attempts(&relay.operator(), &tenant).await >= 6).then_some(()) })
        .await;
    let receiver = Receiver::start_at(&address).await;
    receiver.expect_secret(&tenant.secret);
    let received = receiver.wait_for("the decision", |r| !decisions(r).is_empty()).await;
    let event = &decisions(&received)[0].body;
    assert_eq!(event["instruction_id"], "instruction-1");
    assert_eq!(event["approved"], true);
    assert_eq!(event["tenant_id"], tenant.tenant_id.as_str());
    assert_eq!(event["user_socket_hash"], USER);
}

#[tokio::test]
async fn kill_9_between_decision_and_callback_loses_nothing() {
    let address = Receiver::free_address().await;
    let (mut relay, tenant, phone) = paired_relay(&format!("http://{address}")).await;
    assert_eq!(tenant.send_challenge(USER, "instruction-1").await.status, 200);
    phone.approve("instruction-1").await;
    relay.process.kill().await.unwrap();
    let receiver = Receiver::start_at(&address).await;
    receiver.expect_secret(&tenant.secret);
    relay.restart().await;
    let received = receiver.wait_for("the decision", |r| !decisions(r).is_empty()).await;
    assert_eq!(decisions(&received)[0].body["instruction_id"], "instruction-1");
    let outcome = tenant.get("/relay/fetch/outcome?instruction_id=instruction-1").await;
    assert_eq!(outcome.data()["status"], "decided");
}

#[tokio::test]
async fn a_receiver_that_refuses_at_first_gets_the_same_id_again() {
    let receiver = Receiver::start().await;
    let (_relay, tenant, phone) = paired_relay(&receiver.base).await;
    receiver.expect_secret(&tenant.secret);
    receiver.answer_next(&[503, 302]);
    assert_eq!(tenant.send_challenge(USER, "instruction-1").await.status, 200);
    phone.approve("instruction-1").await;
    let received = receiver.wait_for("three tries", |r| decisions(r).len() >= 3).await;
    let tries = decisions(&received);
    assert_eq!(tries.iter().map(|r| r.status).collect::<Vec<_>>(), [503, 302, 200]);
    assert!(tries.iter().all(|r| r.webhook_id == tries[0].webhook_id && r.raw == tries[0].raw));
    let signatures: std::collections::BTreeSet<_> =
        tries.iter().map(|r| r.headers["x-bloonio-signature"].to_str().unwrap()).collect();
    assert_eq!(signatures.len(), 3, "each try is signed afresh");
}

#[tokio::test]
async fn a61_a_callback_never_comes_back_as_a_call() {
    let receiver = Receiver::start().await;
    let (relay, tenant, phone) = paired_relay(&receiver.base).await;
    assert_eq!(tenant.send_challenge(USER, "instruction-1").await.status, 200);
    phone.approve("instruction-1").await;
    let received = receiver.wait_for("the decision", |r| !decisions(r).is_empty()).await;
    let callback = decisions(&received)[0];
    let url = format!("{}/api/v1/relay/cancel/auth-challenge", relay.base_url());
    let mut reflected = bloonio_tests::operator::http().post(url).body(callback.raw.clone());
    for name in ["x-bloonio-tenant-id", "x-bloonio-timestamp", "x-bloonio-signature"] {
        reflected = reflected.header(name, callback.headers[name].clone());
    }
    let answer = bloonio_tests::operator::Answer::of(reflected.send().await.unwrap()).await;
    answer.expect_error(401, "REQUEST_REPLAYED");
}

#[tokio::test]
async fn with_the_relay_away_nothing_runs() {
    let mut stage = Stage::set().await;
    let instruction = stage.ask().await;
    stage.relay.process.kill().await.unwrap();
    let body = serde_json::json!({"amount": "5.00", "recipient": "Other"});
    let refused = stage.bank.post("/transfer/execute", "demo-jane", &body, None).await;
    refused.expect_error(503, "SUDO_RELAY_UNAVAILABLE");
    let waiting = stage.bank.post("/payout/execute", "demo-jane", &body, None).await;
    waiting.expect_error(503, "SUDO_RELAY_UNAVAILABLE");
    stage.bank.get("/pair", "demo-jane").await.expect_error(503, "SUDO_RELAY_UNAVAILABLE");
    stage.bank.transfer(Some(&instruction)).await.expect_error(403, "SUDO_ACTION_PENDING");
    assert_eq!(stage.bank.ledger().await.len(), 0);

    stage.relay.restart().await;
    stage.phone.approve(&instruction).await;
    assert_eq!(stage.settled(&instruction).await, "validated");
    assert_eq!(stage.bank.transfer(Some(&instruction)).await.status, 200);
}

#[tokio::test]
async fn sigterm_drains_and_exits_with_0_even_while_somebody_waits() {
    let (mut relay, tenant, phone) = paired_relay("http://127.0.0.1:9").await;
    assert_eq!(tenant.send_challenge(USER, "instruction-1").await.status, 200);
    let poll = tenant.get("/relay/fetch/outcome?instruction_id=instruction-1&wait_seconds=30");
    let stop = async {
        // The poll is under way once the prompt has been seen by the phone, which asks after it.
        phone.prompt("instruction-1").await;
        relay.process.terminate().await.unwrap().code()
    };
    let (_answer, code) = tokio::join!(poll, stop);
    assert_eq!(code, Some(0));
}

#[rstest]
#[tokio::test]
async fn a97_a_bank_on_memory_that_restarts_forgets_its_approvals_and_refuses_them(
    #[values(Framework::Axum, Framework::Actix)] framework: Framework,
) {
    let mut stage = Stage::set_on(framework, RelaySetup::default(), &[]).await;
    let instruction = stage.ask().await;
    stage.phone.approve(&instruction).await;
    assert_eq!(stage.settled(&instruction).await, "validated");
    stage.bank.process.kill().await.unwrap();
    stage.bank = Bank::start(framework, stage.relay.base_url(), &stage.tenant, &[]).await;
    // The relay may tell the new process what the old one knew: to it the instruction is unknown.
    stage.bank.transfer(Some(&instruction)).await.expect_error(403, "SUDO_ACTION_EXPIRED");
    assert!(stage.bank.ledger().await.is_empty());
}
