//! Who calls: tenants that sign, devices that bear a token.

use axum::body::Body;
use bloonio_wire::clock::Timestamp;
use bloonio_wire::secret::Secret;
use bloonio_wire::{header, sign};
use http::Request;
use serde_json::{Value, json};

use super::{TestAnswer, TestRelay};

/// A tenant's backend.
#[derive(Clone)]
pub struct TestTenant<'a> {
    /// Whom it calls.
    pub relay: &'a TestRelay,
    /// `tnt_…`
    pub tenant_id: String,
    /// Its secret.
    pub secret: Secret,
}

/// A signed call, ready to be sent, sent again, or spoiled.
#[derive(Clone)]
pub struct Signed {
    /// HTTP method.
    pub method: &'static str,
    /// Path and query from the root.
    pub path: String,
    /// Headers, in order.
    pub headers: Vec<(&'static str, String)>,
    /// Raw body.
    pub body: Vec<u8>,
}

impl Signed {
    /// As an HTTP request.
    pub fn request(&self) -> Request<Body> {
        let mut builder = Request::builder().method(self.method).uri(&self.path);
        for (name, value) in &self.headers {
            builder = builder.header(*name, value);
        }
        builder.body(Body::from(self.body.clone())).expect("request")
    }

    /// Replaces a header's value.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        let found = self.headers.iter_mut().find(|(header, _)| *header == name).expect("header");
        found.1 = value.into();
        self
    }

    /// Leaves a header out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(header, _)| *header != name);
        self
    }

    /// Gives a header a second time.
    #[must_use]
    pub fn twice(mut self, name: &str) -> Self {
        let found = self.headers.iter().find(|(header, _)| *header == name).expect("header").clone();
        self.headers.push(found);
        self
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> &str {
        &self.headers.iter().find(|(header, _)| *header == name).expect("header").1
    }
}

impl TestTenant<'_> {
    /// Signs a call under /api/v1 as of a fresh millisecond.
    pub fn sign(&self, method: &'static str, path: &str, body: &[u8]) -> Signed {
        self.sign_at(method, path, body, self.relay.fresh_millis())
    }

    /// Signs a call under /api/v1 as of a given millisecond.
    pub fn sign_at(&self, method: &'static str, path: &str, body: &[u8], at: i64) -> Signed {
        let tag = sign::sign(&self.secret, Timestamp::from_millis(at), body);
        Signed {
            method,
            path: format!("/api/v1{path}"),
            headers: vec![
                (header::TENANT_ID, self.tenant_id.clone()),
                (header::TIMESTAMP, at.to_string()),
                (header::SIGNATURE, tag.to_hex()),
                ("content-type", "application/json".to_owned()),
            ],
            body: body.to_vec(),
        }
    }

    /// Sends a signed POST under /api/v1.
    pub async fn post(&self, path: &str, body: Value) -> TestAnswer {
        self.relay.send(self.sign("POST", path, body.to_string().as_bytes()).request()).await
    }

    /// Sends a signed GET under /api/v1.
    pub async fn get(&self, path: &str) -> TestAnswer {
        self.relay.send(self.sign("GET", path, b"").request()).await
    }

    /// An operator's update of this tenant.
    pub async fn update(&self, fields: Value) -> TestAnswer {
        self.relay.operator_post(&format!("/update/tenant?tenant_id={}", self.tenant_id), fields).await
    }

    /// Offers `user` a pairing; gives the proof.
    pub async fn offer_pairing(&self, user: &str) -> String {
        let profile = json!({
            "user_socket_hash": user, "backend_user_id": format!("id-of-{user}"),
            "display_name": format!("User {user}"), "user_email": "user@example.com"
        });
        let answer = self.post("/relay/prepare-pairing", profile).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.data()["pairing_proof"].as_str().expect("proof").to_owned()
    }

    /// Pairs a `stream` device for `user`.
    pub async fn pair(&self, user: &str) -> TestDevice<'_> {
        self.pair_with(user, json!({"platform": "stream"})).await
    }

    /// Pairs a device that registers with `body`.
    pub async fn pair_with(&self, user: &str, body: Value) -> TestDevice<'_> {
        let proof = self.offer_pairing(user).await;
        let answer = self.relay.send(bearer("POST", "/device/register-token", &proof, body.to_string())).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        TestDevice::registered(self.relay, answer.data().clone())
    }
}

/// A paired device.
#[derive(Clone)]
pub struct TestDevice<'a> {
    /// Whom it calls.
    pub relay: &'a TestRelay,
    /// Its session token.
    pub token: String,
    /// The answer to its registration.
    pub registration: Value,
}

impl<'a> TestDevice<'a> {
    /// A device as the relay has registered it.
    pub fn registered(relay: &'a TestRelay, registration: Value) -> Self {
        let token = registration["device_session_token"].as_str().expect("token").to_owned();
        Self { relay, token, registration }
    }

    /// `device_id` or `relay_user_linked_id` of its pairing.
    pub fn id(&self, name: &str) -> &str {
        self.registration["pairing"][name].as_str().expect("id")
    }

    /// POST under /api/v1 with the session token.
    pub async fn post(&self, path: &str, body: Value) -> TestAnswer {
        self.relay.send(bearer("POST", path, &self.token, body.to_string())).await
    }

    /// GET under /api/v1 with the session token.
    pub async fn get(&self, path: &str) -> TestAnswer {
        self.relay.send(bearer("GET", path, &self.token, "")).await
    }
}

/// A request under /api/v1 with a bearer token, ready to be spoiled.
pub fn bearer(method: &str, path: &str, token: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(format!("/api/v1{path}"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(body.into())
        .expect("request")
}
