//! The tour: every answer that a protected route can give, one after the other, each checked.

use std::time::Duration;

use anyhow::{Context, ensure};
use bloonio_demo::process::Process;
use serde_json::{Value, json};

use crate::scene::{Pace, Scene};
use crate::show;

/// Longer than any step may take; reaching it means a defect.
const PATIENCE: Duration = Duration::from_secs(60);

/// Plays the tour.
///
/// # Errors
/// At the first step that does not do what it must.
pub async fn play() -> anyhow::Result<()> {
    let scene = Scene::set(Pace::Script).await?;
    let tour = Tour { scene: &scene, bank: &scene.axum };
    tour.approval().await?;
    tour.another_body().await?;
    tour.denial().await?;
    tour.golden_number().await?;
    tour.waiting_request().await?;
    tour.expiry().await?;
    tour.ledger(&["ACME Corp", "Honest Ltd", "Patience GmbH"]).await?;

    show::step("The same bank on actix-web");
    let tour = Tour { scene: &scene, bank: &scene.actix };
    tour.approval().await?;
    tour.ledger(&["ACME Corp"]).await?;
    scene.close().await?;
    println!("\nThe tour is over: every step did what it must.");
    Ok(())
}

struct Tour<'s> {
    scene: &'s Scene,
    bank: &'s Process,
}

fn order(recipient: &str) -> Value {
    json!({"amount": "1000.00", "recipient": recipient})
}

impl Tour<'_> {
    async fn post(&self, path: &str, body: &Value, key: Option<&str>) -> anyhow::Result<(u16, Value)> {
        let mut request = self.scene.http.post(self.bank.url(path)).bearer_auth("demo-jane").json(body);
        if let Some(key) = key {
            request = request.header("x-sudo-instruction-key", key);
        }
        let answer = request.timeout(PATIENCE).send().await?;
        let status = answer.status().as_u16();
        let answer: Value = answer.json().await?;
        let with = key.map(|key| format!(" with key {key}")).unwrap_or_default();
        show::exchange(&format!("POST {path} {body}{with}"), status, &answer);
        Ok((status, answer))
    }

    async fn expect(&self, path: &str, body: &Value, key: Option<&str>, want: (u16, &str)) -> anyhow::Result<Value> {
        let (status, answer) = self.post(path, body, key).await?;
        let code = answer["error"].as_str().unwrap_or("-");
        ensure!((status, code) == want, "expected {want:?}, got {status} {code}");
        Ok(answer)
    }

    /// The first call: refused, with the id of the approval that it needs.
    async fn ask(&self, path: &str, body: &Value) -> anyhow::Result<(String, Value)> {
        let refused = self.expect(path, body, None, (403, "SUDO_INSTRUCTION_KEY_REQUIRED")).await?;
        let id = refused["instruction_id"].as_str().context("no instruction_id")?.to_owned();
        Ok((id, refused))
    }

    /// Waits until the bank knows the answer, and gives it.
    async fn settled(&self, id: &str) -> anyhow::Result<String> {
        let url = self.bank.url(&format!("/_bloonio/instructions/{id}?wait_seconds=25"));
        let waiting = async {
            loop {
                let answer = self.scene.http.get(&url).bearer_auth("demo-jane").send().await?;
                let answer: Value = answer.error_for_status()?.json().await?;
                match answer["status"].as_str() {
                    Some("pending") => {}
                    Some(status) => return anyhow::Ok(status.to_owned()),
                    None => anyhow::bail!("no status in {answer}"),
                }
            }
        };
        let status = tokio::time::timeout(PATIENCE, waiting).await.context("nobody told the bank")??;
        show::fact("the bank knows", &status);
        Ok(status)
    }

    /// What the phone shows.
    async fn prompt(&self, id: &str) -> anyhow::Result<()> {
        let list = self.scene.phone(&["list"]).await?;
        let prompts = list["items"].as_array().context("the phone lists nothing")?;
        let prompt = prompts.iter().find(|p| p["instruction_id"] == id).context("the prompt is not on the phone")?;
        show::fact("prompt on the phone", &prompt["display"]["title"].to_string());
        for field in prompt["display"]["fields"].as_array().into_iter().flatten() {
            show::fact(&format!("  {}", field["title"]), &field["value"].to_string());
        }
        Ok(())
    }

    async fn answer(&self, id: &str, arguments: &[&str], want: &str) -> anyhow::Result<()> {
        let answer = self.scene.phone(arguments).await?;
        show::fact(&format!("phone: {}", arguments[0]), &answer.to_string());
        let status = self.settled(id).await?;
        ensure!(status == want, "expected the bank to know {want}");
        Ok(())
    }

    async fn approval(&self) -> anyhow::Result<()> {
        show::step("A transfer is refused until the phone approves");
        let body = order("ACME Corp");
        let (id, _) = self.ask("/transfer/execute", &body).await?;
        self.prompt(&id).await?;
        self.expect("/transfer/execute", &body, Some(&id), (403, "SUDO_ACTION_PENDING")).await?;
        self.answer(&id, &["approve", &id], "validated").await?;
        self.expect("/transfer/execute", &body, Some(&id), (200, "-")).await?;
        show::step("The same key a second time");
        self.expect("/transfer/execute", &body, Some(&id), (403, "SUDO_ACTION_EXPIRED")).await?;
        Ok(())
    }

    async fn another_body(&self) -> anyhow::Result<()> {
        show::step("An approval is good for the very request that was shown");
        let body = order("Honest Ltd");
        let (id, _) = self.ask("/transfer/execute", &body).await?;
        self.answer(&id, &["approve", &id], "validated").await?;
        self.expect("/transfer/execute", &order("Mallory"), Some(&id), (403, "SUDO_REQUEST_MISMATCH")).await?;
        self.expect("/transfer/execute", &body, Some(&id), (200, "-")).await?;
        Ok(())
    }

    async fn denial(&self) -> anyhow::Result<()> {
        show::step("A denial");
        let body = order("Nobody Inc");
        let (id, _) = self.ask("/transfer/execute", &body).await?;
        self.answer(&id, &["deny", &id], "denied").await?;
        self.expect("/transfer/execute", &body, Some(&id), (403, "SUDO_ACTION_DENIED")).await?;
        Ok(())
    }

    async fn golden_number(&self) -> anyhow::Result<()> {
        show::step("A golden number: the page shows it, the phone must type it");
        let body = json!({"new_password": "correct horse battery staple"});
        let (id, refused) = self.ask("/password/change", &body).await?;
        let number = refused["golden_number"].as_i64().context("no golden_number")?.to_string();
        self.answer(&id, &["approve", &id, "--number", &number], "validated").await?;
        self.expect("/password/change", &body, Some(&id), (200, "-")).await?;
        Ok(())
    }

    async fn waiting_request(&self) -> anyhow::Result<()> {
        show::step("A request that waits for the phone");
        let body = order("Patience GmbH");
        let approving = async {
            let id = self.first_prompt().await?;
            self.scene.phone(&["approve", &id]).await
        };
        let (done, approved) = tokio::join!(self.expect("/payout/execute", &body, None, (200, "-")), approving);
        approved?;
        done?;
        Ok(())
    }

    async fn first_prompt(&self) -> anyhow::Result<String> {
        let mut pause = tokio::time::interval(Duration::from_millis(100));
        let looking = async {
            loop {
                pause.tick().await;
                let list = self.scene.phone(&["list"]).await?;
                if let Some(id) = list["items"][0]["instruction_id"].as_str() {
                    return anyhow::Ok(id.to_owned());
                }
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.context("no prompt came")?
    }

    async fn expiry(&self) -> anyhow::Result<()> {
        show::step("Nobody answers: the prompt expires after its 10 seconds");
        let body = order("Too Late Ltd");
        let (id, _) = self.ask("/transfer/execute", &body).await?;
        let status = self.settled(&id).await?;
        ensure!(status == "expired", "expected the prompt to expire");
        self.expect("/transfer/execute", &body, Some(&id), (403, "SUDO_ACTION_EXPIRED")).await?;
        Ok(())
    }

    async fn ledger(&self, expected: &[&str]) -> anyhow::Result<()> {
        show::step("What has been executed");
        let answer = self.scene.http.get(self.bank.url("/ledger")).bearer_auth("demo-jane").send().await?;
        let answer: Value = answer.json().await?;
        let items = answer["items"].as_array().context("no ledger")?;
        let recipients: Vec<_> = items.iter().filter_map(|item| item["recipient"].as_str()).collect();
        show::fact("executed", &recipients.join(", "));
        ensure!(recipients == expected, "something else was executed");
        Ok(())
    }
}
