//! The whole scene: relay, tenant, bank, and Jane's paired phone.

use crate::bank::{Bank, Framework};
use crate::phone::Phone;
use crate::relay::{Relay, RelaySetup};
use crate::tenant::TenantBackend;

/// Everything running and paired.
#[derive(Debug)]
pub struct Stage {
    /// The relay.
    pub relay: Relay,
    /// The bank's credentials.
    pub tenant: TenantBackend,
    /// The bank.
    pub bank: Bank,
    /// Jane's phone.
    pub phone: Phone,
}

impl Stage {
    /// Sets the scene with default settings and the axum bank.
    pub async fn set() -> Self {
        Self::set_with(RelaySetup::default(), &[]).await
    }

    /// Sets the scene with settings for the relay and variables for the axum bank.
    pub async fn set_with(setup: RelaySetup, variables: &[(&str, &str)]) -> Self {
        Self::set_on(Framework::Axum, setup, variables).await
    }

    /// Sets the scene with the bank on `framework`.
    pub async fn set_on(framework: Framework, setup: RelaySetup, variables: &[(&str, &str)]) -> Self {
        let relay = setup.start().await;
        let tenant = relay.operator().provision("Demo Bank").await;
        let bank = Bank::start(framework, relay.base_url(), &tenant, variables).await;
        relay.operator().set_callback_base(&tenant, &bank.process.address).await;
        let offer = bank.get("/pair", "demo-jane").await;
        assert_eq!(offer.status, 200, "{offer:?}");
        let phone = Phone::paired(offer.body["pairing_uri"].as_str().expect("pairing_uri")).await;
        Self { relay, tenant, bank, phone }
    }

    /// Jane asks for a transfer; gives the instruction that the bank waits for.
    pub async fn ask(&self) -> String {
        let refused = self.bank.transfer(None).await;
        refused.expect_error(403, "SUDO_INSTRUCTION_KEY_REQUIRED");
        refused.body["instruction_id"].as_str().expect("instruction_id").to_owned()
    }

    /// Waits until the bank knows how Jane answered.
    pub async fn settled(&self, instruction: &str) -> String {
        crate::wait::until("the decision at the bank", || async {
            let answer = self.bank.get(&format!("/_bloonio/instructions/{instruction}"), "demo-jane").await;
            let status = answer.body["status"].as_str().unwrap_or_default().to_owned();
            (answer.status == 200 && status != "pending").then_some(status)
        })
        .await
    }
}
