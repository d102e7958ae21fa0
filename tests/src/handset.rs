//! A phone that is reached through the push service: its part of the protocol in plain HTTP.

use serde_json::{Value, json};
use url::Url;

use crate::operator::{Answer, http};

/// A paired device.
#[derive(Debug, Clone)]
pub struct Handset {
    base: String,
    session: String,
    /// As the relay named it.
    pub device_id: String,
    /// The answer to its registration.
    pub registration: Value,
    http: reqwest::Client,
}

impl Handset {
    /// Pairs a device of this platform that has this registration token.
    pub async fn paired(pairing_uri: &str, platform: &str, fcm_token: &str) -> Self {
        Self::paired_with(pairing_uri, json!({"platform": platform, "fcm_token": fcm_token})).await
    }

    /// Pairs a device with this registration.
    pub async fn paired_with(pairing_uri: &str, registration: Value) -> Self {
        let uri = Url::parse(pairing_uri).expect("a pairing address");
        let part = |name| uri.query_pairs().find(|(key, _)| key == name).expect("is in the address").1.into_owned();
        let base = part("relay").trim_end_matches('/').to_owned();
        let http = http();
        let request = http.post(format!("{base}/api/v1/device/register-token")).bearer_auth(part("proof"));
        let answer = Answer::of(request.json(&registration).send().await.expect("relay answers")).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let session = answer.data()["device_session_token"].as_str().expect("a session").to_owned();
        let device_id = answer.data()["pairing"]["device_id"].as_str().expect("an id").to_owned();
        Self { base, session, device_id, registration: answer.data().clone(), http }
    }

    /// GET under /api/v1.
    pub async fn get(&self, path: &str) -> Answer {
        let request = self.http.get(format!("{}/api/v1{path}", self.base)).bearer_auth(&self.session);
        Answer::of(request.send().await.expect("relay answers")).await
    }

    /// POST under /api/v1.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        let request = self.http.post(format!("{}/api/v1{path}", self.base)).bearer_auth(&self.session);
        Answer::of(request.json(&body).send().await.expect("relay answers")).await
    }

    /// The ids of the open prompts.
    pub async fn prompts(&self) -> Vec<String> {
        let answer = self.get("/device/challenges").await;
        let items = answer.data()["items"].as_array().cloned().unwrap_or_default();
        items.iter().filter_map(|prompt| Some(prompt["instruction_id"].as_str()?.to_owned())).collect()
    }

    /// Gets a new address from the push service, and tells the relay.
    pub async fn change_address(&mut self, fcm_token: &str) {
        let answer = self.post("/device/refresh-token", json!({"fcm_token": fcm_token})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        self.session = answer.data()["device_session_token"].as_str().expect("a session").to_owned();
    }
}
