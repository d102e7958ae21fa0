//! Callbacks as they arrive from a relay, verified by the libraries of Standard Webhooks (PROTOCOL 2.5; ATTACKS A60, A61).

use bloonio_tests::peers::Peer;
use bloonio_tests::phone::Phone;
use bloonio_tests::receiver::{Received, Receiver};
use bloonio_tests::relay::Relay;
use bloonio_tests::tenant::TenantBackend;
use rstest::rstest;
use serde_json::{Map, Value, json};

/// A decision whose callback is refused once, and then taken; and the pairing's before it.
async fn callbacks(tenant: &TenantBackend, receiver: &Receiver) -> Vec<Received> {
    let phone = Phone::paired(&tenant.offer_pairing("user-0001").await).await;
    receiver.wait_for("the pairing's callback", |received| received.len() == 1).await;
    receiver.answer_next(&[503]);
    assert_eq!(tenant.send_challenge("user-0001", "instruction-1").await.status, 200);
    phone.approve("instruction-1").await;
    receiver.wait_for("both tries of the decision's callback", |received| received.len() == 3).await
}

fn as_arrived(received: &Received, secret: &str) -> Value {
    let text = |value: &axum::http::HeaderValue| Value::from(value.to_str().expect("text"));
    let headers: Map<_, _> = received.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    json!({"headers": headers, "body": String::from_utf8(received.raw.clone()).expect("text"), "secret": secret})
}

#[rstest]
#[tokio::test]
async fn a60_the_libraries_of_standard_webhooks_verify_callbacks(#[values(Peer::Node, Peer::Python)] peer: Peer) {
    let relay = Relay::start().await;
    let tenant = relay.operator().provision("Bank").await;
    let receiver = Receiver::start().await;
    relay.operator().set_callback_base(&tenant, &receiver.base).await;
    let arrived = callbacks(&tenant, &receiver).await;
    for received in &arrived {
        let verdict = peer.run("verify-webhook", &as_arrived(received, tenant.secret.expose())).await;
        assert_eq!(verdict["verified"], true, "{verdict} {received:?}");
    }
    let [pairing, first, second] = &arrived[..] else { panic!("{arrived:?}") };
    assert_eq!((first.status, second.status), (503, 200));
    assert_eq!(first.webhook_id, second.webhook_id, "the id is the decision's, whatever the try");
    assert_ne!(pairing.webhook_id, first.webhook_id);
    assert_eq!(first.raw, second.raw);
    let at = |received: &Received| received.headers["webhook-timestamp"].to_str().unwrap().parse::<i64>().unwrap();
    assert!(at(second) > at(first), "signed anew at each try");

    let good = as_arrived(second, tenant.secret.expose());
    let id_of_another = json!(pairing.webhook_id);
    let spoil = |path: [&str; 2], value: Value| {
        let mut spoiled = good.clone();
        match path {
            [field, ""] => spoiled[field] = value,
            [field, header] => spoiled[field][header] = value,
        }
        spoiled
    };
    for spoiled in [
        spoil(["body", ""], json!(good["body"].as_str().unwrap().replace("true", "false"))),
        spoil(["secret", ""], json!(format!("sk_{}", "0".repeat(64)))),
        spoil(["headers", "webhook-id"], id_of_another),
        spoil(["headers", "webhook-timestamp"], json!(at(first).to_string())),
        spoil(["headers", "webhook-signature"], first.headers["webhook-signature"].to_str().unwrap().into()),
    ] {
        let verdict = peer.run("verify-webhook", &spoiled).await;
        assert_eq!(verdict["verified"], false, "{spoiled}");
    }
}
