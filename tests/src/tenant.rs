//! A tenant's backend, signing its calls by the protocol's recipe and nothing else.

use std::sync::atomic::{AtomicI64, Ordering};

use bloonio_wire::clock::{Clock, SystemClock, Timestamp};
use bloonio_wire::secret::Secret;
use bloonio_wire::{header, sign};
use serde_json::{Value, json};

use crate::operator::{Answer, http};

/// No two requests of this process that change something carry the same millisecond.
static LAST_MILLIS: AtomicI64 = AtomicI64::new(0);

fn fresh_millis() -> i64 {
    let now = SystemClock.now().as_millis();
    let bump = |last: i64| Some(now.max(last + 1));
    LAST_MILLIS.fetch_update(Ordering::SeqCst, Ordering::SeqCst, bump).map_or(now, |last| now.max(last + 1))
}

/// A backend known to the relay.
#[derive(Debug, Clone)]
pub struct TenantBackend {
    base: String,
    /// `tnt_…`
    pub tenant_id: String,
    /// Its secret, as the operator handed it over.
    pub secret: Secret,
    http: reqwest::Client,
}

impl TenantBackend {
    /// A backend with these credentials.
    pub fn new(base: &str, tenant_id: &str, secret: &str) -> Self {
        Self { base: base.to_owned(), tenant_id: tenant_id.to_owned(), secret: Secret::new(secret), http: http() }
    }

    /// A signed request, ready to be sent or spoiled.
    pub fn request(&self, method: reqwest::Method, path: &str, body: &[u8]) -> reqwest::RequestBuilder {
        // What only looks is not remembered, and may look alike.
        let at = if method == reqwest::Method::GET { SystemClock.now().as_millis() } else { fresh_millis() };
        let tag = sign::sign(&self.secret, Timestamp::from_millis(at), body);
        self.http
            .request(method, format!("{}/api/v1{path}", self.base))
            .header(header::TENANT_ID, &self.tenant_id)
            .header(header::TIMESTAMP, at.to_string())
            .header(header::SIGNATURE, tag.to_hex())
            .body(body.to_vec())
    }

    /// Signed POST under /api/v1.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        let bytes = body.to_string().into_bytes();
        let request = self.request(reqwest::Method::POST, path, &bytes).header("content-type", "application/json");
        Answer::of(request.send().await.expect("relay answers")).await
    }

    /// Signed GET under /api/v1.
    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(reqwest::Method::GET, path, b"").send().await.expect("relay answers")).await
    }

    /// Offers a pairing to `user`; gives the pairing address.
    pub async fn offer_pairing(&self, user: &str) -> String {
        let body = json!({
            "user_socket_hash": user, "backend_user_id": format!("id-of-{user}"),
            "display_name": format!("User {user}"), "user_email": "user@example.com"
        });
        let answer = self.post("/relay/prepare-pairing", body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.data()["pairing_uri"].as_str().expect("pairing_uri").to_owned()
    }

    /// The body of a prompt for `user`.
    pub fn challenge(&self, user: &str, instruction: &str) -> Value {
        json!({
            "user_socket_hash": user, "instruction_id": instruction, "custom_type": "localAuth",
            "expected_action": "transfer_funds", "backend_url": "https://bank.example",
            "display": {"title": "Transfer", "fields": [
                {"key": "amount", "title": "Amount", "value": "1000.00", "data_type": "CURRENCY_USD"}
            ]}
        })
    }

    /// Sends a prompt.
    pub async fn send_challenge(&self, user: &str, instruction: &str) -> Answer {
        self.post("/relay/send/auth-challenge", self.challenge(user, instruction)).await
    }
}
