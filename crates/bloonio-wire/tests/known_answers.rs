//! The signatures of this crate against known answers (`vectors/hmac1.json`, `vectors/message.json`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::TenantId;
use bloonio_wire::message::{self, MessageClaim, Nonce, SignedRequest};
use bloonio_wire::random::{Random, RandomError};
use bloonio_wire::secret::Secret;
use bloonio_wire::{sign, webhook};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    secret: String,
    body_base64: String,
    timestamp_ms: i64,
    signature: String,
    webhook_id: String,
    webhook_timestamp: i64,
    webhook_signature: String,
}

#[test]
fn every_known_answer_is_met() {
    let vectors: Vectors = serde_json::from_str(include_str!("vectors/hmac1.json")).unwrap();
    assert!(vectors.cases.len() >= 6);
    for case in vectors.cases {
        let secret = Secret::new(case.secret);
        let body = STANDARD.decode(&case.body_base64).unwrap();
        let tag = sign::sign(&secret, Timestamp::from_millis(case.timestamp_ms), &body);
        assert_eq!(tag.to_hex(), case.signature, "{}", case.name);
        let received = sign::Signature::from_hex(&case.signature).unwrap();
        assert_eq!(sign::verify(&secret, case.timestamp_ms, &body, &received), Ok(()), "{}", case.name);
        let (id, at) = (&case.webhook_id, case.webhook_timestamp);
        assert_eq!(webhook::sign(&secret, id, at, &body), case.webhook_signature, "{}", case.name);
        assert_eq!(webhook::verify(&secret, id, at, &body, &case.webhook_signature), Ok(()), "{}", case.name);
    }
}

#[derive(Deserialize)]
struct MessageVectors {
    cases: Vec<MessageCase>,
}

#[derive(Deserialize)]
struct MessageCase {
    name: String,
    secret: String,
    tenant_id: String,
    method: String,
    path: String,
    query: Option<String>,
    body_base64: String,
    created: i64,
    nonce: String,
    signature_input: String,
    signature: String,
    content_digest: Option<String>,
}

/// Draws what the test says.
#[derive(Debug)]
struct Told(Vec<u8>);

impl Random for Told {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError> {
        buffer.copy_from_slice(&self.0);
        Ok(())
    }
}

#[test]
fn every_known_message_signature_is_met() {
    let vectors: MessageVectors = serde_json::from_str(include_str!("vectors/message.json")).unwrap();
    assert!(vectors.cases.len() >= 5);
    for case in vectors.cases {
        let (secret, tenant_id) = (Secret::new(case.secret), TenantId::parse(case.tenant_id).unwrap());
        let body = STANDARD.decode(&case.body_base64).unwrap();
        let request = SignedRequest {
            method: &case.method,
            path: &case.path,
            query: case.query.as_deref(),
            tenant_id: &tenant_id,
            body: &body,
        };
        let nonce = Nonce::draw(&Told(hex::decode(&case.nonce).unwrap())).unwrap();
        let signed = message::sign(&secret, &request, Timestamp::from_millis(case.created * 1000), &nonce);
        assert_eq!(signed.signature_input, case.signature_input, "{}", case.name);
        assert_eq!(signed.signature, case.signature, "{}", case.name);
        assert_eq!(signed.content_digest, case.content_digest, "{}", case.name);
        let digest = case.content_digest.as_deref();
        let claim = MessageClaim::read(&case.signature_input, &case.signature, digest, !body.is_empty()).unwrap();
        assert_eq!(claim.verify(&secret, &request), Ok(()), "{}", case.name);
    }
}
