//! A backend that no callback can reach asks for the answers itself (`OUTCOME_DELIVERY=poll`).

use std::sync::Arc;

use bloonio_sudo::request::Headers;
use bloonio_sudo::store::memory::MemoryStore;
use bloonio_sudo::wire::clock::SystemClock;
use bloonio_sudo::{
    Caller, CustomType, Decision, ErrorCode, Grant, OutcomeDelivery, RelaySettings, RequestView, Secret, SudoEngine,
    SudoRequirement,
};
use bloonio_tests::bank::{Bank, Framework};
use bloonio_tests::phone::Phone;
use bloonio_tests::relay::Relay;
use bloonio_tests::tenant::TenantBackend;
use bloonio_tests::wait;
use rstest::rstest;
use serde_json::json;

/// A relay that knows of no address to call back.
async fn unreachable() -> (Relay, TenantBackend) {
    let relay = Relay::start().await;
    let tenant = relay.operator().provision("Laptop Bank").await;
    (relay, tenant)
}

async fn status(bank: &Bank, instruction: &str) -> String {
    wait::until("the answer at the bank", || async {
        let told = bank.get(&format!("/_bloonio/instructions/{instruction}"), "demo-jane").await;
        let status = told.body["status"].as_str().unwrap_or_default().to_owned();
        (status != "pending").then_some(status)
    })
    .await
}

#[rstest]
#[tokio::test]
async fn everything_works_without_a_callback(#[values(Framework::Axum, Framework::Actix)] framework: Framework) {
    let (relay, tenant) = unreachable().await;
    let bank = Bank::start(framework, relay.base_url(), &tenant, &[("BLOONIO_RELAY_OUTCOME_DELIVERY", "poll")]).await;
    let offer = bank.get("/pair", "demo-jane").await;
    let phone = Phone::paired(offer.body["pairing_uri"].as_str().expect("pairing_uri")).await;

    let ask = async |amount: &str| {
        let body = json!({"amount": amount, "recipient": "ACME Corp"});
        let asked = bank.post("/transfer/execute", "demo-jane", &body, None).await;
        (asked.body["instruction_id"].as_str().expect("a key").to_owned(), body)
    };
    let (approved, order) = ask("1.00").await;
    phone.approve(&approved).await;
    assert_eq!(status(&bank, &approved).await, "validated");
    assert_eq!(bank.post("/transfer/execute", "demo-jane", &order, Some(&approved)).await.status, 200);
    let (denied, order) = ask("2.00").await;
    phone.deny(&denied).await;
    assert_eq!(status(&bank, &denied).await, "denied");
    let refused = bank.post("/transfer/execute", "demo-jane", &order, Some(&denied)).await;
    refused.expect_error(403, "SUDO_ACTION_DENIED");

    let order = json!({"amount": "3.00", "recipient": "ACME Corp"});
    let waiting = bank.post("/payout/execute", "demo-jane", &order, None);
    let approving = async {
        let prompt = wait::until("the prompt", || async { phone.prompts().await.pop() }).await;
        phone.approve(prompt["instruction_id"].as_str().expect("a prompt has a name")).await;
    };
    let (ran, ()) = tokio::join!(waiting, approving);
    assert_eq!(ran.status, 200, "{ran:?}");

    assert_eq!(bank.ledger().await.len(), 2);
    let told = relay.operator().get(&format!("/fetch/callbacks?tenant_id={}", tenant.tenant_id)).await;
    assert_eq!(told.data()["total"], 0, "no callback was ever made: {told:?}");
}

const JANE: &str = "jane-0123456789";

struct SignedIn;

impl Headers for SignedIn {
    fn values(&self, name: &str) -> Vec<&[u8]> {
        if name == "x-session" { vec![b"one"] } else { Vec::new() }
    }
}

/// The same request with a key.
struct WithKey(String);

impl Headers for WithKey {
    fn values(&self, name: &str) -> Vec<&[u8]> {
        if name == "x-sudo-instruction-key" { vec![self.0.as_bytes()] } else { SignedIn.values(name) }
    }
}

async fn decided(engine: &SudoEngine, requirement: &SudoRequirement, headers: &dyn Headers) -> Decision {
    let view = RequestView::new("POST", "/vault/open", None, headers).with_body(b"");
    let demand = engine.demand(requirement.clone());
    match demand.route(&view).await {
        Ok(Some(guarded)) => guarded.check(&view).await,
        Ok(None) => panic!("it is protected"),
        Err(refusal) => Decision::Refuse(refusal),
    }
}

#[tokio::test]
async fn a_code_of_the_phone_approves_a_route_that_asks_for_one() {
    let (relay, tenant) = unreachable().await;
    let phone = Phone::paired(&tenant.offer_pairing(JANE).await).await;
    let settings = RelaySettings::new(
        relay.base_url(),
        tenant.tenant_id.parse().expect("a tenant"),
        Secret::new(tenant.secret.expose()),
    );
    let engine = SudoEngine::builder(settings.expect("settings").with_outcome_delivery(OutcomeDelivery::Poll))
        .with_identity(|view| Some(Caller::new(JANE.parse().ok()?, view.header("x-session")?)))
        .with_store(Arc::new(MemoryStore::new(Arc::new(SystemClock))))
        .build()
        .expect("an engine");
    let vault = SudoRequirement::new("open_vault").with_custom_type(CustomType::Totp);
    let Decision::Refuse(refusal) = decided(&engine, &vault, &SignedIn).await else { panic!("nothing runs unasked") };
    assert_eq!(refusal.kind(), ErrorCode::SudoInstructionKeyRequired);
    let prompt = wait::until("the prompt", || async { phone.prompts().await.pop() }).await;
    let key = WithKey(prompt["instruction_id"].as_str().expect("a name").to_owned());
    assert_eq!(prompt["custom_type"], "totp");
    phone.approve(&key.0).await;
    let grant: Grant = wait::until("the approval", || async {
        match decided(&engine, &vault, &key).await {
            Decision::Pass(grant) => Some(grant),
            _ => None,
        }
    })
    .await;
    assert_eq!(grant.action(), "open_vault");
    engine.shutdown().await;
}
