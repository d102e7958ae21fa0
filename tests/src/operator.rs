//! Who runs the relay: holds the admin key, provisions tenants.

use serde_json::{Value, json};

use crate::tenant::TenantBackend;

/// A status and a JSON body.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body; `null` if it is not JSON.
    pub body: Value,
    /// `Retry-After`, if given.
    pub retry_after: Option<String>,
}

impl Answer {
    /// Reads a response to its end.
    pub async fn of(response: reqwest::Response) -> Self {
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let bytes = response.bytes().await.expect("body");
        Self { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null), retry_after }
    }

    /// The stable code of a refusal.
    pub fn error(&self) -> &str {
        self.body["error"].as_str().unwrap_or_default()
    }

    /// `data` of a success.
    ///
    /// # Panics
    /// If it is none.
    pub fn data(&self) -> &Value {
        assert_eq!(self.body["success"], true, "{self:?}");
        &self.body["data"]
    }

    /// Asserts status and code of a refusal.
    pub fn expect_error(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.error()), (status, code), "{self:?}");
    }
}

/// An HTTP client that follows no redirects and trusts no proxy.
pub fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(crate::wait::DEADLINE)
        .build()
        .expect("client")
}

/// An operator.
#[derive(Debug, Clone)]
pub struct Operator {
    base: String,
    key: String,
    http: reqwest::Client,
}

impl Operator {
    /// An operator of the relay at `base`.
    pub fn new(base: &str, key: &str) -> Self {
        Self { base: base.to_owned(), key: key.to_owned(), http: http() }
    }

    /// POST under /api/v1.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        let request = self.http.post(format!("{}/api/v1{path}", self.base)).header("x-admin-key", &self.key);
        Answer::of(request.json(&body).send().await.expect("relay answers")).await
    }

    /// GET under /api/v1.
    pub async fn get(&self, path: &str) -> Answer {
        let request = self.http.get(format!("{}/api/v1{path}", self.base)).header("x-admin-key", &self.key);
        Answer::of(request.send().await.expect("relay answers")).await
    }

    /// Provisions a tenant with generous limits.
    pub async fn provision(&self, name: &str) -> TenantBackend {
        self.provision_with(json!({"tenant_name": name, "rate_limit_per_min": 10_000})).await
    }

    /// Provisions a tenant with these fields.
    pub async fn provision_with(&self, fields: Value) -> TenantBackend {
        let answer = self.post("/provision/tenant", fields).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let text = |name: &str| answer.data()[name].as_str().expect("text").to_owned();
        TenantBackend::new(&self.base, &text("tenant_id"), &text("tenant_secret"))
    }

    /// Sets where the tenant's callbacks go.
    pub async fn set_callback_base(&self, tenant: &TenantBackend, base: &str) {
        let path = format!("/update/tenant?tenant_id={}", tenant.tenant_id);
        let answer = self.post(&path, json!({"callback_url_base": base})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}
