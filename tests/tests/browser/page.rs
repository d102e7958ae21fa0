//! The banks' page: real relay, real bank, real phone, real browser; each test once on either web framework.

use bloonio_tests::bank::Framework::{self, Actix, Axum};
use bloonio_tests::phone::Phone;
use bloonio_tests::wait;
use rstest::rstest;
use serde_json::{Value, json};

use crate::customer::Customer;

#[rstest]
#[tokio::test]
async fn a_transfer_of_the_page_runs_once_when_the_phone_has_approved(#[values(Axum, Actix)] framework: Framework) {
    let jane = Customer::at(framework).await;
    jane.browser.click("#transfer button").await;
    let prompt = jane.prompt().await;
    let shown = prompt["display"]["fields"].as_array().unwrap();
    assert_eq!((&shown[0]["value"], &shown[1]["value"]), (&json!("1000.00"), &json!("ACME Corp")));
    assert_eq!(jane.executed().await, Vec::<String>::new());
    assert_eq!(jane.status().await, "Waiting for your phone.");

    jane.approve(&prompt, &[]).await;
    jane.browser.expect_text("#status", "Transferred 1000.00 to ACME Corp.").await;
    jane.browser.expect_text("#ledger", "1 1000.00 ACME Corp").await;
    assert_eq!(jane.executed().await, ["ACME Corp"]);
    assert_eq!(jane.browser.text("#approval").await, "");
    jane.leave().await;
}

#[rstest]
#[tokio::test]
async fn what_somebody_types_is_shown_as_text_and_never_as_markup(#[values(Axum, Actix)] framework: Framework) {
    let jane = Customer::at(framework).await;
    let recipient = r#"<img src=x onerror="window.pwned=1"> & "Söhne""#;
    jane.browser.type_into("#transfer-recipient", recipient).await;
    jane.browser.type_into("#transfer-amount", "<b>1</b>").await;
    jane.browser.click("#transfer button").await;
    jane.approve(&jane.prompt().await, &[]).await;
    jane.browser.expect_text("#ledger", &format!("1 <b>1</b> {recipient}")).await;
    assert_eq!(jane.status().await, format!("Transferred <b>1</b> to {recipient}."));
    assert_eq!(jane.browser.run("return window.pwned ?? 'no';", Value::Null).await, "no");
    jane.leave().await;
}

#[rstest]
#[tokio::test]
async fn a_denial_is_told_and_nothing_runs(#[values(Axum, Actix)] framework: Framework) {
    let jane = Customer::at(framework).await;
    jane.browser.click("#transfer button").await;
    jane.stage.phone.deny(jane.prompt().await["instruction_id"].as_str().unwrap()).await;
    jane.browser.expect_text("#status", "Denied. Nothing was executed.").await;
    assert_eq!(jane.executed().await, Vec::<String>::new());
    assert_eq!(jane.stage.phone.prompts().await, Vec::<Value>::new(), "nobody is asked again");
    jane.leave().await;
}

#[rstest]
#[case::right(0, "The password is changed.")]
#[case::wrong(1, "Denied. Nothing was executed.")]
#[tokio::test]
async fn a33_the_number_of_the_page_must_be_typed_on_the_phone(
    #[case] off_by: i64,
    #[case] told: &str,
    #[values(Axum, Actix)] framework: Framework,
) {
    let jane = Customer::at(framework).await;
    jane.browser.type_into("#new-password", "correct horse").await;
    jane.browser.click("#password button").await;
    let shown = jane.browser.text_when("#number", |text| !text.is_empty()).await;
    let shown: i64 = shown.parse().unwrap();
    let typed = if shown + off_by > 99 { 10 } else { shown + off_by };
    jane.approve(&jane.prompt().await, &["--number", &typed.to_string()]).await;
    jane.browser.expect_text("#status", told).await;
    assert_eq!(jane.browser.text("#number").await, "", "the number goes away with the prompt");
    jane.leave().await;
}

#[rstest]
#[tokio::test]
async fn a_payout_runs_while_the_page_waits(#[values(Axum, Actix)] framework: Framework) {
    let jane = Customer::at(framework).await;
    jane.browser.click("#payout button").await;
    jane.browser.expect_text("#status", "Waiting for your phone.").await;
    jane.approve(&jane.prompt().await, &[]).await;
    jane.browser.expect_text("#status", "Paid out 250.00 to Jane Doe.").await;
    assert_eq!(jane.executed().await, ["Jane Doe"]);
    jane.leave().await;
}

/// Chromium sends a request again by itself that was answered 408 on a connection that had been used before.
#[rstest]
#[tokio::test]
async fn a31_a_payout_that_nobody_answers_asks_once_whatever_the_browser_repeats(
    #[values(Axum, Actix)] framework: Framework,
) {
    let jane = Customer::with(framework, &[("BLOONIO_RELAY_BLOCK_TIMEOUT_SECONDS", "2")]).await;
    jane.browser.click("#payout button").await;
    let told = jane.browser.text_when("#status", |text| !text.contains("phone")).await;
    assert!(told.starts_with("Nobody answered in time.") || told.starts_with("Too many approvals"), "{told}");
    wait::until("the prompt to go away", || async { jane.stage.phone.prompts().await.is_empty().then_some(()) }).await;
    assert_eq!(jane.asked(), 1);
    assert_eq!(jane.executed().await, Vec::<String>::new());
    jane.leave().await;
}

#[rstest]
#[case::transfer("#transfer button")]
#[case::payout("#payout button")]
#[tokio::test]
async fn whoever_cancels_runs_nothing_even_if_the_phone_then_approves(
    #[case] button: &str,
    #[values(Axum, Actix)] framework: Framework,
) {
    let jane = Customer::at(framework).await;
    jane.browser.click(button).await;
    let prompt = jane.prompt().await;
    jane.browser.click("#cancel").await;
    jane.browser.expect_text("#status", "Cancelled. Nothing was executed.").await;
    // A request that waited takes its prompt with it; the other kind's can still be answered, and nobody comes for it.
    let id = prompt["instruction_id"].as_str().unwrap();
    let _ = jane.stage.phone.run(&["approve", id]).await;

    jane.browser.type_into("#transfer-recipient", "Somebody Else").await;
    jane.browser.click("#transfer button").await;
    let next = wait::until("the next prompt", || async {
        jane.stage.phone.prompts().await.into_iter().find(|prompt| prompt["instruction_id"] != id)
    });
    jane.approve(&next.await, &[]).await;
    jane.browser.expect_text("#status", "Transferred 1000.00 to Somebody Else.").await;
    assert_eq!(jane.executed().await, ["Somebody Else"]);
    jane.leave().await;
}

#[rstest]
#[tokio::test]
async fn a_first_phone_is_paired_at_once_and_another_one_through_the_first(
    #[values(Axum, Actix)] framework: Framework,
) {
    let john = Customer::at(framework).await;
    john.browser.click("[data-token=demo-john]").await;
    john.browser.expect_text("#session", "Signed in as demo-john.").await;
    john.browser.click("#pair button").await;
    john.browser.expect_text("#status", "Scan the code with your phone.").await;
    let picture = "const image = document.querySelector('#picture'); await image.decode(); return image.naturalWidth;";
    assert!(john.browser.run(picture, Value::Null).await.as_u64().unwrap() > 100);
    let uri = john.browser.run("return document.querySelector('#uri').value;", Value::Null).await;
    let phone = Phone::paired(uri.as_str().unwrap()).await;

    john.browser.click("#pair button").await;
    john.browser.expect_text(".bloonio-title", "Confirm on your phone").await;
    let prompt = wait::until("the prompt", || async { phone.prompts().await.into_iter().next() }).await;
    phone.approve(prompt["instruction_id"].as_str().unwrap()).await;
    let fresh = "return document.querySelector('#uri').value !== argument;";
    wait::until("another code", || async { (john.browser.run(fresh, uri.clone()).await == true).then_some(()) }).await;
    assert_eq!(john.browser.run("return document.querySelectorAll('dialog').length;", Value::Null).await, 0);
    john.leave().await;
}

/// Everything that a page can leave behind.
const LEFT: &str = r#"
    const caches = await window.caches?.keys() ?? [];
    const databases = await indexedDB.databases();
    const visited = performance.getEntries().map((entry) => entry.name);
    return JSON.stringify([
      { ...localStorage }, { ...sessionStorage }, document.cookie, location.href, history.state, history.length,
      document.referrer, window.name, caches, databases, visited, document.documentElement.outerHTML,
    ]);
"#;

#[rstest]
#[tokio::test]
async fn a21_a_page_leaves_neither_key_nor_session_behind(#[values(Axum, Actix)] framework: Framework) {
    let jane = Customer::at(framework).await;
    let home = jane.stage.bank.process.url("/");
    jane.browser.click("#transfer button").await;
    let first = jane.prompt().await;
    jane.approve(&first, &[]).await;
    jane.browser.expect_text("#status", "Transferred 1000.00 to ACME Corp.").await;
    jane.browser.type_into("#transfer-amount", "7.00").await;
    jane.browser.click("#transfer button").await;
    let open = jane.prompt().await;

    let stored = "return JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]);";
    let kept = jane.browser.run(stored, Value::Null).await;
    assert_eq!(kept, json!([{}, {}, "", home]).to_string(), "while it waits");

    jane.browser.reload().await;
    jane.browser.expect_text("#session", "Nobody is signed in.").await;
    let left = jane.browser.run(LEFT, Value::Null).await;
    for secret in [&first["instruction_id"], &open["instruction_id"], &json!("Bearer")] {
        let secret = secret.as_str().unwrap();
        assert!(!left.as_str().unwrap().contains(secret), "{secret} is left in {left}");
    }
    assert!(left.as_str().unwrap().contains(&home), "the scan sees addresses: {left}");
    jane.leave().await;
}

#[rstest]
#[tokio::test]
async fn every_control_has_a_name_and_changes_are_announced(#[values(Axum, Actix)] framework: Framework) {
    let jane = Customer::at(framework).await;
    let nameless = r#"
        const named = (element) =>
          element.matches("input") ? element.labels.length > 0 && element.labels[0].textContent.trim() !== "" :
          element.matches("img") ? element.alt !== "" : element.textContent.trim() !== "";
        return [...document.querySelectorAll("input, button, img, caption, th")]
          .filter((element) => !named(element)).map((element) => element.outerHTML);
    "#;
    assert_eq!(jane.browser.run(nameless, Value::Null).await, json!([]));
    let announced = "return document.querySelector('#status').ariaLive + document.documentElement.lang;";
    assert_eq!(jane.browser.run(announced, Value::Null).await, "politeen");
    jane.leave().await;
}
