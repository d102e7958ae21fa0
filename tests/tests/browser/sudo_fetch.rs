//! `sudoFetch` against a backend that answers by a script: the odd answers, and what exactly is sent.

use bloonio_tests::browser::Browser;
use bloonio_tests::wait;
use rstest::rstest;
use serde_json::{Value, json};

use crate::server::{KEY, Says, Server};

/// Loads the module; makes pauses last no time, but remembers how long they were to last.
const PRELUDE: &str = r#"
    const { sudoFetch, SudoError } = await import("/_bloonio/bloonio.js");
    const pauses = [];
    const { setTimeout } = window;
    window.setTimeout = (run, ms) => (pauses.push(ms), setTimeout(run, 0));
    const tell = async (calling) => {
      try {
        const response = await calling;
        return { status: response.status, text: await response.text(), pauses };
      } catch (error) {
        const known = error instanceof SudoError;
        return { error: error.name, code: error.code, text: known ? await error.response.text() : "", pauses };
      } finally {
        window.setTimeout = setTimeout;
      }
    };
"#;

/// The request of the tests.
const PAY: &str = r#"{ method: "POST", headers: { Authorization: "Bearer demo-jane" }, body: "all of it" }"#;

/// A page that has the module, and its backend. Where a table is long its rows share one browser: to start one takes longer
/// than all of them.
struct Page {
    server: Server,
    browser: Browser,
}

impl Page {
    async fn open() -> Self {
        let (server, browser) = (Server::start().await, Browser::start().await);
        browser.open(&server.base).await;
        Self { server, browser }
    }

    /// Evaluates a call of `sudoFetch` to its end.
    async fn call(&self, call: &str, argument: Value) -> Value {
        self.browser.run(&format!("{PRELUDE} return tell({call});"), argument).await
    }

    async fn pay(&self, options: &str) -> Value {
        self.call(&format!(r#"sudoFetch("/run?to=acme", {PAY}, {options})"#), Value::Null).await
    }

    /// Asserts that a first answer with `changes` is thrown, and that nothing more is asked.
    async fn refused_to_wait(&self, changes: &Value) {
        self.server.will_say(&[Says::asks(changes)], &[]);
        let told = self.pay("{}").await;
        let code = "SUDO_INSTRUCTION_KEY_REQUIRED";
        assert_eq!((&told["error"], &told["code"]), (&json!("SudoError"), &json!(code)), "{changes}: {told}");
        assert_eq!((self.server.came("/run").len(), self.server.came("/status").len()), (1, 0), "{changes}");
    }

    async fn close(self) {
        let log = self.browser.log().await;
        assert!(!log.iter().any(|line| line.contains("Content Security Policy")), "{log:#?}");
        self.browser.close().await;
    }
}

fn asks() -> Says {
    Says::asks(&json!({}))
}

#[tokio::test]
async fn an_answer_that_is_not_the_guards_is_returned_untouched() {
    let page = Page::open().await;
    let rows = [
        (Says::text(200, "done"), 200, "done"),
        // A proxy's own page, whatever it says.
        (Says::text(403, "SUDO_INSTRUCTION_KEY_REQUIRED"), 403, "SUDO_INSTRUCTION_KEY_REQUIRED"),
        (Says::error(403, "NOT_YOURS"), 403, "NOT_YOURS"),
        (Says::json(403, &json!("SUDO_ACTION_DENIED")), 403, "SUDO_ACTION_DENIED"),
        (Says::json(403, &Value::Null), 403, "null"),
        (Says::text(403, "{").typed("application/json"), 403, "{"),
        (Says::error(200, "SUDO_ACTION_DENIED"), 200, "SUDO_ACTION_DENIED"),
    ];
    for (says, status, text) in rows {
        page.server.will_say(std::slice::from_ref(&says), &[]);
        let told = page.pay("{}").await;
        assert_eq!(told["status"], status, "{says:?}: {told}");
        assert!(told["text"].as_str().unwrap().contains(text), "{says:?}: {told}");
        assert_eq!((page.server.came("/run").len(), page.server.came("/status").len()), (1, 0), "{says:?}");
    }
    page.close().await;
}

#[tokio::test]
async fn an_approved_request_is_sent_again_with_its_key() {
    let page = Page::open().await;
    let busy = |retry_after: &str| Says::text(503, "busy").with("retry-after", retry_after);
    let rows = [
        (vec![], vec![]),
        // A server that does not hold the question is not asked in a tight loop.
        (vec![Says::stands("pending")], vec![1000]),
        (vec![Says::error(429, "RATE_LIMITED").with("retry-after", "7")], vec![7000]),
        (vec![Says::error(503, "SUDO_STATE_UNAVAILABLE").with("retry-after", "3")], vec![3000]),
        (vec![Says::text(503, "busy")], vec![1000]),
        (vec![busy("Wed, 21 Oct 2099 07:28:00 GMT")], vec![1000]),
        (vec![busy("99999"), busy("-5"), busy("2")], vec![60_000, 1000, 2000]),
    ];
    for (before, pauses) in rows {
        let status = [before, vec![Says::stands("validated")]].concat();
        page.server.will_say(&[asks(), Says::text(200, "done")], &status);
        let told = page.pay("{}").await;
        assert_eq!(told, json!({"status": 200, "text": "done", "pauses": pauses}), "{status:?}");
        assert_eq!(page.server.unsaid(), 0, "{status:?}");

        let [first, second] = page.server.came("/run").try_into().unwrap();
        assert_eq!(
            (first.header("x-sudo-instruction-key"), second.header("x-sudo-instruction-key")),
            (None, Some(KEY))
        );
        for asked in page.server.came("/status") {
            assert_eq!(asked.target, format!("/status/{KEY}?wait_seconds=25"));
            assert_eq!(asked.header("authorization"), Some("Bearer demo-jane"));
            assert_eq!(asked.header("accept"), Some("application/json"));
            assert_eq!((asked.header("content-type"), asked.header("x-sudo-instruction-key")), (None, None));
            assert_eq!(asked.header("referer"), None);
        }
    }
    page.close().await;
}

#[tokio::test]
async fn a_refusal_is_thrown_and_nobody_is_asked_again() {
    let page = Page::open().await;
    let later = |status, code| Says::error(status, code).with("retry-after", "1");
    let validated = || vec![Says::stands("validated")];
    let rows = [
        (vec![asks()], vec![Says::stands("denied")], "SUDO_ACTION_DENIED"),
        (vec![asks()], vec![Says::stands("expired")], "SUDO_ACTION_EXPIRED"),
        (vec![asks()], vec![Says::stands("consumed")], "SUDO_ACTION_EXPIRED"),
        (vec![asks()], vec![Says::error(404, "NOT_FOUND")], "SUDO_ACTION_EXPIRED"),
        (vec![asks()], vec![Says::error(401, "SUDO_USER_REQUIRED")], "SUDO_USER_REQUIRED"),
        (vec![asks()], vec![Says::text(200, "<p>welcome")], "SUDO_ACTION_EXPIRED"),
        (vec![asks()], vec![Says::text(500, "oops")], "SUDO_STATE_UNAVAILABLE"),
        (vec![asks()], vec![Says::text(302, "").with("location", "/status/elsewhere")], "SUDO_STATE_UNAVAILABLE"),
        // The second call: used up meanwhile, rewritten on the way, its key taken off by a proxy.
        (vec![asks(), Says::error(403, "SUDO_ACTION_EXPIRED")], validated(), "SUDO_ACTION_EXPIRED"),
        (vec![asks(), Says::error(403, "SUDO_REQUEST_MISMATCH")], validated(), "SUDO_REQUEST_MISMATCH"),
        (vec![asks(), asks()], validated(), "SUDO_INSTRUCTION_KEY_REQUIRED"),
        // The first call.
        (vec![Says::error(403, "SUDO_ACTION_DENIED")], vec![], "SUDO_ACTION_DENIED"),
        (vec![later(429, "SUDO_TOO_MANY_PENDING")], vec![], "SUDO_TOO_MANY_PENDING"),
        (vec![later(503, "SUDO_RELAY_UNAVAILABLE")], vec![], "SUDO_RELAY_UNAVAILABLE"),
    ];
    for (run, status, code) in rows {
        page.server.will_say(&run, &status);
        let told = page.pay("{}").await;
        assert_eq!((&told["error"], &told["code"]), (&json!("SudoError"), &json!(code)), "{run:?} {status:?}: {told}");
        assert_eq!((page.server.came("/run").len(), page.server.came("/status").len()), (run.len(), status.len()));
        assert_eq!(told["pauses"], json!([]), "nothing is tried again");
    }
    page.close().await;
}

#[tokio::test]
async fn a_refusal_brings_its_answer() {
    let page = Page::open().await;
    // Chromium itself sends again what was answered 408 on a connection that it had at hand: as often as it likes.
    let timeout = Says::error(408, "SUDO_ACTION_TIMEOUT");
    for says in [Says::error(429, "SUDO_TOO_MANY_PENDING"), timeout] {
        page.server.will_say(&vec![says.clone(); 9], &[]);
        let told = page.pay("{}").await;
        let answer: Value = serde_json::from_str(told["text"].as_str().unwrap()).unwrap();
        assert_eq!(answer["error"], told["code"], "{says:?}: {told}");
        assert_eq!(page.server.came("/status"), [], "{says:?}");
    }
    page.close().await;
}

#[tokio::test]
async fn what_another_origin_says_after_a_redirect_asks_for_nothing() {
    let (page, other) = (Page::open().await, Server::start().await);
    // A page without the policy that would stop this before.
    page.server.will_say(&[], &[Says::text(200, "<!doctype html>").typed("text/html")]);
    page.browser.open(&format!("{}/lenient", page.server.base)).await;
    let elsewhere = format!("{}/run", other.base);
    page.server.will_say(&[Says::text(302, "").with("location", elsewhere)], &[]);
    other.will_say(&[asks().with("access-control-allow-origin", "*")], &[]);
    let told = page.call(r#"sudoFetch("/run")"#, Value::Null).await;
    assert_eq!(told["status"], 403, "{told}");
    assert_eq!((page.server.came("/run").len(), page.server.came("/status").len(), other.came("/").len()), (1, 0, 1));
    page.close().await;
}

#[tokio::test]
async fn a_process_that_has_not_heard_of_the_decision_yet_is_asked_again() {
    let page = Page::open().await;
    let pending = || Says::error(403, "SUDO_ACTION_PENDING");
    let validated = || Says::stands("validated");
    page.server
        .will_say(&[asks(), pending(), pending(), Says::text(200, "done")], &[validated(), validated(), validated()]);
    assert_eq!(page.pay("{}").await, json!({"status": 200, "text": "done", "pauses": [1000, 1000]}));
    page.close().await;
}

#[tokio::test]
async fn a_lost_connection_does_not_end_the_wait_before_its_time() {
    let page = Page::open().await;
    let losing = r#"(() => {
        const { fetch } = window;
        let lost = 0;
        window.fetch = (url, how) =>
          String(url).includes("/status") && lost++ < argument ? Promise.reject(new TypeError("lost")) : fetch(url, how);
        return sudoFetch("/run", PAY, OPTIONS).finally(() => (window.fetch = fetch));
      })()"#
        .replace("PAY", PAY);
    page.server.will_say(&[asks(), Says::text(200, "done")], &[Says::stands("validated")]);
    let told = page.call(&losing.replace("OPTIONS", "{}"), json!(3)).await;
    assert_eq!(told, json!({"status": 200, "text": "done", "pauses": [1000, 1000, 1000]}));

    page.server.will_say(&[asks()], &[]);
    let told = page.call(&losing.replace("OPTIONS", "{ patienceMs: 1 }"), json!(1_000_000)).await;
    assert_eq!(told["error"], "TypeError", "{told}");
    assert_eq!(page.server.came("/run").len(), 1, "what was not approved is not sent again");
    page.close().await;
}

#[tokio::test]
async fn the_status_is_asked_of_the_requests_own_origin_alone() {
    let (page, other) = (Page::open().await, Server::start().await);
    other.will_say(&[], &[Says::stands("validated").with("access-control-allow-origin", "*")]);
    let elsewhere = format!("{}/status/x", other.base);
    let without_scheme = elsewhere.trim_start_matches("http:");
    let other_scheme = page.server.base.replace("http:", "https:");
    for status_url in [&elsewhere, without_scheme, &other_scheme, "data:application/json,{}", "blob:null/x", "http://"]
    {
        page.refused_to_wait(&json!({"status_url": status_url})).await;
    }
    assert_eq!(other.came("/"), [], "the caller's credentials went to another origin");
    page.close().await;
}

#[tokio::test]
async fn an_answer_that_names_no_instruction_is_thrown() {
    let page = Page::open().await;
    let ids = [Value::Null, json!("a/b/c/d/e/f"), json!("short"), json!(12_345_678), json!("x".repeat(65))];
    for id in ids {
        page.refused_to_wait(&json!({"instruction_id": id})).await;
    }
    page.refused_to_wait(&json!({"status_url": null})).await;
    page.refused_to_wait(&json!({"status_url": 7})).await;
    page.close().await;
}

#[tokio::test]
async fn both_calls_are_the_same_request_whatever_the_body_is() {
    let page = Page::open().await;
    let form = r#"(() => { const form = new FormData(); form.set("a", "ä\r\nb"); form.set("f", new Blob(["x"]), "f.txt"); return form; })()"#;
    let all_bytes = "Uint8Array.from({ length: 256 }, (_, n) => n)";
    let calls = [
        r#"sudoFetch("/run", { method: "POST", body: "{\"a\": \"\u{1F600}\"}", headers: { "Content-Type": "application/json" } })"#.to_owned(),
        r#"sudoFetch("/run", { method: "POST", body: "text", headers: [["x-more", "1"], ["x-more", "2"]] })"#.to_owned(),
        format!(r#"sudoFetch("/run", {{ method: "PUT", body: {all_bytes} }})"#),
        format!(r#"sudoFetch("/run", {{ method: "PATCH", body: {all_bytes}.buffer }})"#),
        format!(r#"sudoFetch("/run", {{ method: "POST", body: new Blob([{all_bytes}], {{ type: "image/x-odd" }}) }})"#),
        r#"sudoFetch("/run", { method: "POST", body: new URLSearchParams([["a", "1 2"], ["a", "ä"]]) })"#.to_owned(),
        format!(r#"sudoFetch("/run", {{ method: "POST", body: {form} }})"#),
        r#"sudoFetch(new Request("/run?q=%2F", { method: "POST", body: "of a request", headers: { "X-Own": "1" } }))"#.to_owned(),
        r#"sudoFetch(new Request("/run", { method: "POST", body: "old" }), { body: "new", method: "PUT" })"#.to_owned(),
        r#"sudoFetch(new URL("/run//a/./b?x=1&y", location), { method: "DELETE" })"#.to_owned(),
        r#"sudoFetch("/run", { method: "POST" })"#.to_owned(),
        r#"sudoFetch("/run", { headers: { "If-None-Match": "\"x\"" }, cache: "no-store", referrerPolicy: "no-referrer" })"#.to_owned(),
        r#"sudoFetch("/run")"#.to_owned(),
    ];
    for call in calls {
        page.server.will_say(&[asks(), Says::text(200, "done")], &[Says::stands("validated")]);
        let told = page.call(&call, Value::Null).await;
        assert_eq!(told["text"], "done", "{call}: {told}");
        let [first, mut second] = page.server.came("/run").try_into().unwrap();
        assert_eq!(second.headers.remove("x-sudo-instruction-key").unwrap(), KEY);
        assert_eq!(first, second, "{call}");
        let [asked] = page.server.came("/status").try_into().unwrap();
        assert_eq!((asked.header("content-type"), asked.header("if-none-match")), (None, None), "{call}");
    }
    page.close().await;
}

#[tokio::test]
async fn a_stream_cannot_be_sent_twice_and_is_not_sent_once() {
    let page = Page::open().await;
    let call = r#"sudoFetch("/run", { method: "POST", duplex: "half", body: new Blob(["x"]).stream() })"#;
    let told = page.call(call, Value::Null).await;
    assert_eq!(told["error"], "TypeError", "{told}");
    assert_eq!(page.server.came("/run"), []);
    page.close().await;
}

#[rstest]
#[case::by_default("same-origin", Some("session=of-the-page"))]
#[case::left_out("omit", None)]
#[tokio::test]
async fn cookies_go_with_each_call_or_with_none(#[case] credentials: &str, #[case] cookie: Option<&str>) {
    let page = Page::open().await;
    page.server.will_say(&[asks(), Says::text(200, "done")], &[Says::stands("validated")]);
    let call = format!(r#"sudoFetch("/run", {{ method: "POST", credentials: "{credentials}" }})"#);
    assert_eq!(page.call(&call, Value::Null).await["status"], 200);
    let came = [page.server.came("/run"), page.server.came("/status")].concat();
    assert_eq!(came.len(), 3);
    assert!(came.iter().all(|request| request.header("cookie") == cookie), "{came:?}");
    page.close().await;
}

#[tokio::test]
async fn the_page_learns_what_the_phone_was_asked() {
    let page = Page::open().await;
    page.server.will_say(
        &[Says::asks(&json!({"numbers": [17, 42, 93]})), Says::text(200, "done")],
        &[Says::stands("validated")],
    );
    let call = format!(
        r#"(async () => {{
            const prompts = [];
            await sudoFetch("/run", {PAY}, {{ onPrompt: (prompt) => prompts.push(prompt) }});
            return new Response(JSON.stringify(prompts.map(({{ cancel, ...rest }}) => ({{ cancel: typeof cancel, ...rest }}))));
        }})()"#
    );
    let told = page.call(&call, Value::Null).await;
    let prompts: Value = serde_json::from_str(told["text"].as_str().unwrap()).unwrap();
    let prompt = json!({
        "instructionId": KEY, "customType": "goldenNumber", "goldenNumber": 42, "numbers": [17, 42, 93],
        "expectedAction": "pay", "expiresAt": "2100-01-01T00:00:00.000Z", "cancel": "function",
    });
    assert_eq!(prompts, json!([prompt]));
    page.close().await;
}

#[rstest]
#[case::in_the_first_call("/run", "controller.abort()", "AbortError")]
#[case::while_the_phone_is_asked("/status", "controller.abort()", "AbortError")]
#[case::with_a_reason("/status", "controller.abort(new RangeError('mine'))", "RangeError")]
#[case::by_the_prompt("/status", "prompt.cancel()", "AbortError")]
#[case::in_the_second_call("/run?", "controller.abort()", "AbortError")]
#[case::in_the_second_call_by_the_prompt("/run?", "prompt.cancel()", "AbortError")]
#[tokio::test]
async fn a_wait_can_be_ended_at_any_time(#[case] held: &str, #[case] end: &str, #[case] error: &str) {
    let page = Page::open().await;
    let (run, status) = match held {
        "/run" => (vec![Says::Nothing], vec![]),
        "/status" => (vec![asks()], vec![Says::Nothing]),
        _ => (vec![asks(), Says::Nothing], vec![Says::stands("validated")]),
    };
    page.server.will_say(&run, &status);
    let start = format!(
        "{PRELUDE}
        window.controller = new AbortController();
        const calling = sudoFetch('/run?', {{ ...{PAY}, signal: controller.signal }}, {{ onPrompt: (p) => (window.prompt = p) }});
        window.told = tell(calling);"
    );
    page.browser.run(&start, Value::Null).await;
    let last = || async { (page.server.unsaid() == 0).then_some(()) };
    wait::until("the call that is held", last).await;
    let told = page.browser.run(&format!("{end}; return window.told;"), Value::Null).await;
    assert_eq!(told["error"], error, "{told}");
    assert_eq!((page.server.came("/run").len(), page.server.came("/status").len()), (run.len(), status.len()));
    page.close().await;
}

#[tokio::test]
async fn the_dialog_shows_the_number_and_texts_as_they_are_and_goes_away() {
    let page = Page::open().await;
    let call = |texts: &str| format!("{PRELUDE} window.told = tell(sudoFetch('/run', {PAY}, {{ dialog: {texts} }}));");
    page.server.will_say(&[asks()], &[Says::Nothing]);
    page.browser.run(&call("true"), Value::Null).await;
    page.browser.expect_text(".bloonio-number", "42").await;
    page.browser.expect_text(".bloonio-title", "Confirm on your phone").await;
    page.browser.click(".bloonio-cancel").await;
    let told = page.browser.run("return window.told;", Value::Null).await;
    assert_eq!(told["error"], "AbortError", "{told}");

    let left = "return document.querySelectorAll('dialog').length;";
    assert_eq!(page.browser.run(left, Value::Null).await, 0);
    page.server.will_say(&[Says::asks(&json!({"golden_number": null}))], &[Says::Nothing]);
    page.browser.run(&call(r#"{ title: "<b>Bestätigen</b>" }"#), Value::Null).await;
    page.browser.expect_text(".bloonio-title", "<b>Bestätigen</b>").await;
    let numbers = page.browser.run("return document.querySelectorAll('.bloonio-number').length;", Value::Null).await;
    assert_eq!(numbers, 0, "there is no number to show");
    page.browser.press_escape().await;
    assert_eq!(page.browser.run("return window.told;", Value::Null).await["error"], "AbortError");
    assert_eq!(page.browser.run(left, Value::Null).await, 0);
    page.close().await;
}

#[tokio::test]
async fn the_example_of_the_guide_runs() {
    let page = Page::open().await;
    let call = "const { transfer } = await import('/example.js'); await transfer({ amount: '1.00' }, 'demo-jane');";
    let rows = [
        (vec![asks(), Says::text(200, "done")], "validated", "Done."),
        (vec![asks(), Says::text(409, "no money")], "validated", "The bank answers 409."),
        (vec![asks()], "denied", "Denied."),
    ];
    for (run, status, shown) in rows {
        page.server.will_say(&run, &[Says::stands(status)]);
        page.browser.run(call, Value::Null).await;
        page.browser.expect_text("#status", shown).await;
        let came = page.server.came("/transfer/execute");
        assert_eq!(came.len(), run.len());
        assert!(came.iter().all(|call| &call.body[..] == br#"{"amount":"1.00"}"#), "{came:?}");
    }
    page.close().await;
}
