//! The signatures of this crate against known answers (`vectors/hmac1.json`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bloonio_wire::clock::Timestamp;
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
