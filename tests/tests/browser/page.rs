//! The banks' page: real relay, real bank, real phone, real browser; each test once on either web framework.

use bloonio_tests::bank::Framework::{self, Actix, Axum};
use bloonio_tests::browser::Browser;
use bloonio_tests::relay::RelaySetup;
use bloonio_tests::stage::Stage;
use rstest::rstest;

/// Jane at her bank, with her phone beside her.
struct Jane {
    stage: Stage,
    browser: Browser,
}

impl Jane {
    async fn at(framework: Framework) -> Self {
        let stage = Stage::set_on(framework, RelaySetup::default(), &[]).await;
        let browser = Browser::start().await;
        browser.open(&stage.bank.process.url("/")).await;
        browser.click("[data-token=demo-jane]").await;
        Self { stage, browser }
    }
}

#[rstest]
#[tokio::test]
async fn a_transfer_of_the_page_runs_once_when_the_phone_has_approved(#[values(Axum, Actix)] framework: Framework) {
    let Jane { stage, browser } = Jane::at(framework).await;
    browser.click("#transfer button").await;
    browser.expect_text("#status", "Waiting for your phone.").await;
    assert_eq!(stage.bank.ledger().await.len(), 0);
    let prompts = stage.phone.prompts().await;
    stage.phone.approve(prompts[0]["instruction_id"].as_str().unwrap()).await;
    browser.expect_text("#status", "Transferred 1000.00 to ACME Corp.").await;
    browser.expect_text("#ledger", "1 1000.00 ACME Corp").await;
    assert_eq!(stage.bank.ledger().await.len(), 1);
    browser.close().await;
}
