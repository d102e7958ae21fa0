//! A customer at the bank's page, with the phone beside the keyboard.

use bloonio_tests::bank::Framework;
use bloonio_tests::browser::Browser;
use bloonio_tests::relay::RelaySetup;
use bloonio_tests::stage::Stage;
use bloonio_tests::wait;
use serde_json::Value;

/// Jane, signed in.
pub struct Customer {
    pub stage: Stage,
    pub browser: Browser,
}

impl Customer {
    pub async fn at(framework: Framework) -> Self {
        Self::with(framework, &[]).await
    }

    /// With more environment variables for the bank.
    pub async fn with(framework: Framework, variables: &[(&str, &str)]) -> Self {
        let stage = Stage::set_on(framework, RelaySetup::default(), variables).await;
        let browser = Browser::start().await;
        browser.open(&stage.bank.process.url("/")).await;
        browser.click("[data-token=demo-jane]").await;
        browser.expect_text("#session", "Signed in as demo-jane.").await;
        Self { stage, browser }
    }

    /// What the page says.
    pub async fn status(&self) -> String {
        self.browser.text("#status").await
    }

    /// Waits for a prompt on the phone.
    pub async fn prompt(&self) -> Value {
        wait::until("a prompt", || async { self.stage.phone.prompts().await.into_iter().next() }).await
    }

    pub async fn approve(&self, prompt: &Value, more: &[&str]) {
        let id = prompt["instruction_id"].as_str().unwrap();
        self.stage.phone.run(&[&["approve", id], more].concat()).await.ok();
    }

    /// How often the phone was asked.
    pub fn asked(&self) -> usize {
        self.stage.bank.process.log().matches("a prompt was sent").count()
    }

    /// Who has got money.
    pub async fn executed(&self) -> Vec<String> {
        let ledger = self.stage.bank.ledger().await;
        ledger.iter().map(|entry| entry["recipient"].as_str().unwrap().to_owned()).collect()
    }

    /// Leaves, and asserts that the page has kept to its policy: all that the browser complains of is refusals, which are
    /// part of the game.
    pub async fn leave(self) {
        let complaints = self.browser.log().await;
        let complaints = complaints.iter().filter(|line| !line.contains("the server responded with a status of 4"));
        assert_eq!(complaints.collect::<Vec<_>>(), Vec::<&String>::new());
        self.browser.close().await;
    }
}
