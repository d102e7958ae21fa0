//! A customer's web browser: headless Chromium, driven through chromedriver. Both are Debian packages that
//! `cargo xtask test` installs where they are missing.

use std::fmt::Debug;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::{By, Capabilities, Key, WebDriver, WebElement};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::operator::http;
use crate::wait;

/// No window, nothing fetched or sent of its own accord. Through the pipe Chromium ends with its driver, whatever becomes
/// of the test.
const FLAGS: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
];

/// A fresh browser with an empty profile. Dropping it kills it.
#[derive(Debug)]
pub struct Browser {
    driver: WebDriver,
    _chromedriver: Child,
    _profile: TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Else the driver is told good-bye here, over a connection that this very thread would have to serve.
        let _ = self.driver.clone().leak();
    }
}

/// An answer of the driver.
///
/// # Panics
/// If it is an error.
#[track_caller]
fn done<T, E: Debug>(answer: Result<T, E>) -> T {
    answer.unwrap_or_else(|error| panic!("the browser does not do it: {error:?}"))
}

impl Browser {
    /// Starts one.
    pub async fn start() -> Self {
        let profile = TempDir::new().expect("temporary folder");
        let (chromedriver, port) = start_driver(profile.path()).await;
        let mut arguments: Vec<_> = FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        let mut wanted = Capabilities::new();
        done(wanted.set("browserName", "chrome"));
        done(wanted.set("goog:loggingPrefs", json!({"browser": "ALL"})));
        done(wanted.set("goog:chromeOptions", json!({"args": arguments})));
        done(wanted.set("timeouts", json!({"script": wait::DEADLINE.as_millis() as u64})));
        let driver = WebDriver::builder(format!("http://127.0.0.1:{port}"), wanted).client(http());
        Self { driver: done(driver.await), _chromedriver: chromedriver, _profile: profile }
    }

    /// Opens a page and waits until it is there.
    pub async fn open(&self, url: &str) {
        done(self.driver.goto(url).await);
    }

    /// Loads the page anew.
    pub async fn reload(&self) {
        done(self.driver.refresh().await);
    }

    async fn element(&self, selector: &str) -> WebElement {
        let found = self.driver.find(By::Css(selector)).await;
        found.unwrap_or_else(|error| panic!("{selector}: {error:?}"))
    }

    /// Clicks what the selector names.
    pub async fn click(&self, selector: &str) {
        done(self.element(selector).await.click().await);
    }

    /// Replaces the text of an input.
    pub async fn type_into(&self, selector: &str, text: &str) {
        let input = self.element(selector).await;
        done(input.clear().await);
        done(input.send_keys(text).await);
    }

    /// Presses the escape key.
    pub async fn press_escape(&self) {
        done(self.driver.action_chain().send_keys(Key::Escape).perform().await);
    }

    /// What somebody sees of an element: nothing where it is hidden.
    pub async fn text(&self, selector: &str) -> String {
        done(self.element(selector).await.text().await)
    }

    /// The same of an element that may not be there, or no longer.
    async fn text_if_any(&self, selector: &str) -> Option<String> {
        match self.driver.find(By::Css(selector)).await {
            Ok(element) => element.text().await.ok(),
            Err(_) => None,
        }
    }

    /// Waits until an element shows a text that `wanted` likes, and gives it.
    pub async fn text_when(&self, selector: &str, wanted: impl Fn(&str) -> bool) -> String {
        let what = format!("the text of {selector}");
        wait::until(&what, || async { self.text_if_any(selector).await.filter(|text| wanted(text)) }).await
    }

    /// Waits until an element shows this text.
    ///
    /// # Panics
    /// After the deadline, with the text that is there instead.
    pub async fn expect_text(&self, selector: &str, text: &str) {
        let waiting = self.text_when(selector, |shown| shown == text);
        if tokio::time::timeout(wait::DEADLINE / 2, waiting).await.is_err() {
            panic!("{selector} shows {:?} and never {text:?}", self.text_if_any(selector).await);
        }
    }

    /// Runs the body of an async function in the page, with `argument`; gives what it returns.
    ///
    /// # Panics
    /// If it throws.
    pub async fn run(&self, script: &str, argument: Value) -> Value {
        let whole = format!(
            "const [argument, tell] = arguments; \
             (async () => {{ {script} }})().then((value) => tell({{ value }}), (error) => tell({{ error: `${{error}}` }}))"
        );
        let told = done(self.driver.execute_async(whole, vec![argument]).await).json().clone();
        assert_eq!(told.get("error"), None, "the script throws");
        told["value"].clone()
    }

    /// What the browser has logged since it was last asked: the page's console, refused loads, broken policies.
    pub async fn log(&self) -> Vec<String> {
        let entries = done(self.driver.browser_log().await);
        entries.into_iter().map(|entry| format!("{:?} {}", entry.level, entry.message)).collect()
    }

    /// Ends it the polite way.
    pub async fn close(self) {
        done(self.driver.clone().quit().await);
    }
}

/// Starts chromedriver, which picks a free port and announces it. Whatever it or the browser leaves lies in `folder`.
async fn start_driver(folder: &Path) -> (Child, u16) {
    let mut command = Command::new("chromedriver");
    command
        .env("TMPDIR", folder)
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut child = command.spawn().expect("chromedriver is missing: `cargo xtask test` installs it as root");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let announced = async {
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some((_, port)) = line.split_once("on port ").filter(|_| line.contains("successfully")) {
                return port.trim_end_matches('.').parse().expect("a port");
            }
        }
        panic!("chromedriver ends before it announces its port");
    };
    let port = tokio::time::timeout(wait::DEADLINE, announced).await.expect("chromedriver starts");
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, port)
}
