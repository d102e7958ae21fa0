//! The example bank as its customers' browsers see it.

use bloonio_demo::process::{Process, binary};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::operator::{Answer, http};
use crate::tenant::TenantBackend;

/// The web framework that a bank stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framework {
    /// `axum-transfer`
    Axum,
    /// `actix-transfer`
    Actix,
}

impl Framework {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Axum, Self::Actix];

    fn bank(self) -> &'static str {
        match self {
            Self::Axum => "axum-transfer",
            Self::Actix => "actix-transfer",
        }
    }
}

/// A running example bank.
#[derive(Debug)]
pub struct Bank {
    /// The process.
    pub process: Process,
    http: reqwest::Client,
    host: Option<&'static str>,
}

impl Bank {
    /// Starts the bank on `framework` as a backend of `tenant`, with more environment variables.
    pub async fn start(
        framework: Framework,
        relay_url: &str,
        tenant: &TenantBackend,
        variables: &[(&str, &str)],
    ) -> Self {
        Self::start_program(framework.bank(), relay_url, tenant, variables).await
    }

    /// Starts another program that is a bank.
    pub async fn start_program(
        program: &str,
        relay_url: &str,
        tenant: &TenantBackend,
        variables: &[(&str, &str)],
    ) -> Self {
        let mut command = Command::new(binary(program).expect("built"));
        command
            .env_clear()
            .env("APP_LISTEN", "127.0.0.1:0")
            .env("BLOONIO_RELAY_BASE_URL", relay_url)
            .env("BLOONIO_RELAY_TENANT_ID", &tenant.tenant_id)
            .env("BLOONIO_RELAY_TENANT_SECRET", tenant.secret.expose())
            .env("BLOONIO_RELAY_STATE_BACKEND", "memory")
            .env("RUST_LOG", "info,bloonio_sudo=debug")
            .envs(variables.iter().copied());
        let process = Process::start(program, command).await.expect("the bank starts");
        Self { process, http: http(), host: None }
    }

    /// The bank behind a name: what a load balancer's customers say in `Host`, whichever process they get.
    #[must_use]
    pub fn known_as(mut self, host: &'static str) -> Self {
        self.host = Some(host);
        self
    }

    /// A request of somebody with `token` (`demo-jane`, …).
    pub fn request(&self, method: reqwest::Method, path: &str, token: &str) -> reqwest::RequestBuilder {
        let mut request = self.http.request(method, self.process.url(path));
        if let Some(host) = self.host {
            request = request.header("host", host);
        }
        if token.is_empty() { request } else { request.bearer_auth(token) }
    }

    /// POST of a JSON body, with an instruction key if there is one.
    pub async fn post(&self, path: &str, token: &str, body: &Value, key: Option<&str>) -> Answer {
        let mut request = self.request(reqwest::Method::POST, path, token).json(body);
        if let Some(key) = key {
            request = request.header("x-sudo-instruction-key", key);
        }
        Answer::of(request.send().await.expect("bank answers")).await
    }

    /// GET.
    pub async fn get(&self, path: &str, token: &str) -> Answer {
        Answer::of(self.request(reqwest::Method::GET, path, token).send().await.expect("bank answers")).await
    }

    /// Jane's transfer, with an instruction key if there is one.
    pub async fn transfer(&self, key: Option<&str>) -> Answer {
        self.post("/transfer/execute", "demo-jane", &transfer(), key).await
    }

    /// What has been executed.
    pub async fn ledger(&self) -> Vec<Value> {
        let answer = self.get("/ledger", "demo-jane").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["items"].as_array().cloned().expect("items")
    }
}

/// The transfer that the tests make.
pub fn transfer() -> Value {
    json!({"amount": "1000.00", "recipient": "ACME Corp"})
}
