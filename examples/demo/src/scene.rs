//! Relay, tenants, banks and phone, set up the way an operator and a developer would.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use bloonio_demo::process::{Process, binary};
use bloonio_wire::random::{SystemRandom, hex_token};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::show;

/// How long an approval may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Somebody types: the default of 180 s.
    Human,
    /// The script answers at once: 10 s, so that an expiry can be shown.
    Script,
}

/// Everything running.
#[derive(Debug)]
pub struct Scene {
    /// The relay.
    pub relay: Process,
    /// The bank on axum.
    pub axum: Process,
    /// The bank on actix-web.
    pub actix: Process,
    /// Where the phone keeps its memory.
    pub phone_home: PathBuf,
    /// For plain HTTP calls.
    pub http: reqwest::Client,
    folder: TempDir,
}

/// Who runs the relay.
struct Operator<'a> {
    relay: &'a Process,
    admin_key: &'a str,
    http: &'a reqwest::Client,
}

impl Operator<'_> {
    async fn call(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.http.post(self.relay.url(path)).header("x-admin-key", self.admin_key);
        let answer: Value = request.json(body).send().await?.json().await?;
        ensure!(answer["success"] == true, "the relay refuses {path}: {answer}");
        Ok(answer["data"].clone())
    }

    /// Provisions a tenant and starts the bank that is it.
    async fn start_bank(&self, name: &str, pace: Pace) -> anyhow::Result<Process> {
        show::step(&format!("Provision a tenant, and start its bank: {name}"));
        let tenant =
            self.call("/api/v1/provision/tenant", &json!({"tenant_name": format!("Demo Bank, {name}")})).await?;
        let field = |name: &str| tenant[name].as_str().context("the tenant was not made");
        let tenant_id = field("tenant_id")?;
        show::fact("tenant provisioned", tenant_id);
        let mut command = Command::new(binary(name)?);
        command
            .env("APP_LISTEN", "127.0.0.1:0")
            .env("BLOONIO_RELAY_BASE_URL", &self.relay.address)
            .env("BLOONIO_RELAY_TENANT_ID", tenant_id)
            .env("BLOONIO_RELAY_TENANT_SECRET", field("tenant_secret")?)
            .env("BLOONIO_RELAY_STATE_BACKEND", "memory")
            .env("BLOONIO_RELAY_INSTRUCTION_TTL_SECONDS", if pace == Pace::Script { "10" } else { "180" });
        let bank = Process::start(name, command).await?;
        let update = format!("/api/v1/update/tenant?tenant_id={tenant_id}");
        self.call(&update, &json!({"callback_url_base": bank.address})).await?;
        show::fact("bank", &bank.address);
        Ok(bank)
    }
}

impl Scene {
    /// Starts everything and pairs the phone with both banks.
    pub async fn set(pace: Pace) -> anyhow::Result<Self> {
        let folder = TempDir::new().context("no temporary folder")?;
        let admin_key = hex_token::<32>(&SystemRandom)?;
        let http = reqwest::Client::builder().no_proxy().build()?;

        show::step("Start the relay");
        let mut command = Command::new(binary("bloonio-relay-server")?);
        command
            .arg("serve")
            .env("RELAY_LISTEN", "127.0.0.1:0")
            .env("RELAY_DATA_DIR", folder.path().join("relay"))
            .env("RELAY_ADMIN_KEY", &admin_key)
            .env("RELAY_ALLOW_PRIVATE_CALLBACKS", "true");
        let relay = Process::start("relay", command).await?;
        show::fact("relay", &relay.address);

        let operator = Operator { relay: &relay, admin_key: &admin_key, http: &http };
        let axum = operator.start_bank("axum-transfer", pace).await?;
        let actix = operator.start_bank("actix-transfer", pace).await?;
        let phone_home = folder.path().join("phone");
        let scene = Self { relay, axum, actix, phone_home, http, folder };
        scene.pair().await?;
        Ok(scene)
    }

    async fn pair(&self) -> anyhow::Result<()> {
        show::step("Pair Jane's phone: her page shows a code, the phone reads it");
        for bank in [&self.axum, &self.actix] {
            let answer = self.http.get(bank.url("/pair")).bearer_auth("demo-jane").send().await?;
            let answer: Value = answer.json().await?;
            let uri = answer["pairing_uri"].as_str().with_context(|| format!("no pairing code: {answer}"))?;
            self.phone(&["pair", uri]).await?;
        }
        show::fact("phone paired", &self.phone_home.display().to_string());
        Ok(())
    }

    /// Runs a command of the phone; gives its first line.
    pub async fn phone(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let mut command = Command::new(binary("bloonio-phone")?);
        let output = command.arg("--home").arg(&self.phone_home).arg("--json").args(arguments).output().await?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().next().unwrap_or("null");
        ensure!(
            output.status.success(),
            "bloonio-phone {}: {line} {}",
            arguments[0],
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_str(line).with_context(|| format!("bloonio-phone said {line:?}"))
    }

    /// Ends banks and relay the polite way and removes the folder.
    pub async fn close(mut self) -> anyhow::Result<()> {
        for process in [&mut self.axum, &mut self.actix, &mut self.relay] {
            if process.is_running() {
                process.terminate().await?;
            }
        }
        self.folder.close().context("the temporary folder could not be removed")
    }
}
