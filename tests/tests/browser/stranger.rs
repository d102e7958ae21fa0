//! A page of somebody else in the same browser: what it can make the bank do, and show.

use bloonio_tests::bank::Framework::{self, Actix, Axum};
use rstest::rstest;
use serde_json::{Value, json};

use crate::customer::Customer;
use crate::server::{Says, Server};

/// A page of another origin, with no policy of its own.
async fn stranger(html: &str) -> Server {
    let server = Server::start().await;
    let page = Says::text(200, html).typed("text/html; charset=utf-8");
    server.will_say(&[], &[page.clone(), page]);
    server
}

#[rstest]
#[tokio::test]
async fn a78_no_other_page_can_frame_the_banks(#[values(Axum, Actix)] framework: Framework) {
    let jane = Customer::at(framework).await;
    let bank = jane.stage.bank.process.url("/");
    for path in ["", "page.js", "page.css"] {
        let asset = jane.stage.bank.request(reqwest::Method::GET, &format!("/{path}"), "").send().await.unwrap();
        assert_eq!(asset.headers()["x-frame-options"], "DENY", "{path}");
        assert_eq!(asset.headers()["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(asset.headers()["referrer-policy"], "no-referrer", "{path}");
        let policy = asset.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; ") && policy.contains("frame-ancestors 'none'"), "{policy}");
    }
    let other = stranger(&format!("<!doctype html><iframe src=\"{bank}\"></iframe>")).await;
    jane.browser.log().await;
    jane.browser.open(&format!("{}/frame", other.base)).await;
    let log = jane.browser.log().await;
    assert!(log.iter().any(|line| line.contains("frame-ancestors 'none'")), "the frame is there: {log:#?}");
    jane.browser.close().await;
}

/// Each tries the bank's routes the way a page of another origin can; `argument` is the bank's address.
const TRIES: &[(&str, &str)] = &[
    (
        "a request as the bank's own page makes it",
        r#"fetch(`${argument}/transfer/execute`, { ...order, headers: { Authorization: "Bearer demo-jane", "Content-Type": "application/json" } })"#,
    ),
    (
        "one with the browser's credentials",
        r#"fetch(`${argument}/transfer/execute`, { ...order, credentials: "include" })"#,
    ),
    (
        "one whose answer it does not want to see",
        r#"fetch(`${argument}/transfer/execute`, { ...order, mode: "no-cors", credentials: "include" })"#,
    ),
    (
        "a beacon",
        r#"Promise.resolve(navigator.sendBeacon(`${argument}/payout/execute`, order.body)).then(() => fetch(`${argument}/ledger`))"#,
    ),
    ("the ledger", r#"fetch(`${argument}/ledger`, { headers: { Authorization: "Bearer demo-jane" } })"#),
    ("the status of her approval", r#"fetch(`${argument}/_bloonio/instructions/ID`, { credentials: "include" })"#),
    (
        "her approval's key",
        r#"fetch(`${argument}/transfer/execute`, { ...order, headers: { "X-Sudo-Instruction-Key": "ID" } })"#,
    ),
    ("the module", r#"import(`${argument}/_bloonio/bloonio.js`)"#),
];

#[rstest]
#[tokio::test]
async fn a78_a90_another_page_can_ask_the_bank_for_nothing(#[values(Axum, Actix)] framework: Framework) {
    let jane = Customer::at(framework).await;
    let open = jane.stage.ask().await;
    let other = stranger("<!doctype html><p>A stranger's page.</p>").await;
    jane.browser.open(&format!("{}/stranger", other.base)).await;
    let bank = json!(jane.stage.bank.process.address);
    for (what, attempt) in TRIES {
        let script = format!(
            r#"const order = {{ method: "POST", body: JSON.stringify({{ amount: "9.00", recipient: "Mallory" }}) }};
               try {{ const got = await ({}); return got.type; }} catch (error) {{ return error.name; }}"#,
            attempt.replace("ID", &open)
        );
        let seen = jane.browser.run(&script, bank.clone()).await;
        assert!(seen == "TypeError" || seen == "opaque", "{what}: {seen}");
    }
    assert_eq!(jane.asked(), 1, "the phone was asked for her own transfer alone");
    assert_eq!(jane.executed().await, Vec::<String>::new());
    jane.browser.close().await;
}

#[rstest]
#[tokio::test]
async fn a78_a_form_of_another_page_is_nobody_signed_in(#[values(Axum, Actix)] framework: Framework) {
    let jane = Customer::at(framework).await;
    let action = jane.stage.bank.process.url("/transfer/execute");
    for encoding in ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data"] {
        let form = format!(
            r#"<!doctype html><form method="post" enctype="{encoding}" action="{action}">
               <input name='{{"amount":"9.00","recipient":"Mallory","x":"' value='"}}'><button>Win</button></form>"#
        );
        let other = stranger(&form).await;
        jane.browser.open(&format!("{}/win", other.base)).await;
        jane.browser.click("button").await;
        let answer = jane.browser.text_when("body", |text| text.contains("\"error\"")).await;
        assert!(answer.contains("SUDO_USER_REQUIRED"), "{encoding}: {answer}");
    }
    assert_eq!(jane.asked(), 0);
    jane.browser.close().await;
}

#[rstest]
#[tokio::test]
async fn the_policy_lets_nothing_run_or_load_that_is_not_the_banks_own(#[values(Axum, Actix)] framework: Framework) {
    let jane = Customer::at(framework).await;
    let other = Server::start().await;
    let script = include_str!("break_in.js");
    let seen = jane.browser.run(script, Value::String(other.base.clone())).await;
    assert_eq!(
        (&seen["pwned"], &seen["names"]),
        (&Value::Null, &json!(["TypeError", "TypeError", "EvalError"])),
        "{seen}"
    );
    let broken: Vec<_> = seen["broken"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for directive in
        ["base-uri", "connect-src", "form-action", "frame-src", "img-src", "script-src-elem", "style-src-elem"]
    {
        assert!(broken.contains(&directive), "{directive} lets something through: {seen}");
    }
    assert_eq!(other.came("/"), [], "nothing left the page");
    jane.browser.close().await;
}
