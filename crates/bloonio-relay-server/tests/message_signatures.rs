//! HTTP message signatures beside HMAC #1, and no way back from the one to the other (PROTOCOL 2.2; SECURITY, "Signatures and
//! replay"; ATTACKS A60, A61, A101).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says where")]

mod support;

use std::time::Duration;

use bloonio_relay_server::storage::db::query;
use bloonio_wire::clock::Clock;
use bloonio_wire::header::{
    CONTENT_DIGEST, MESSAGE_SIGNATURE, MESSAGE_SIGNATURE_INPUT, SIGNATURE, TENANT_ID, TIMESTAMP,
};
use bloonio_wire::secret::Secret;
use rstest::rstest;
use serde_json::json;
use support::{Message, Signed, TestRelay, TestTenant};

/// A call that changes something and needs nothing but signatures: 201.
const CHANGE: &str = "/relay/prepare-pairing";
/// A call that only looks: 404 once it is let in, since there is no such prompt.
const LOOK: &str = "/relay/fetch/outcome?instruction_id=nobody-knows";

fn profile() -> Vec<u8> {
    json!({"user_socket_hash": "user-0001", "backend_user_id": "1", "display_name": "Jane", "user_email": "j@example.com"})
        .to_string()
        .into_bytes()
}

async fn remembered(relay: &TestRelay) -> i64 {
    query("SELECT COUNT(*) FROM replays").fetch_one(relay.app.storage.readers()).await.unwrap().at(0).unwrap()
}

/// A call that changes something, signed by the rules but for what `choose` does to the message signature.
fn signed_otherwise(bank: &TestTenant<'_>, choose: impl FnOnce(Message) -> Message) -> Signed {
    let call = bank.sign("POST", CHANGE, &profile());
    choose(Message::of(bank, &call)).put_on(bank, &call)
}

#[rstest]
#[case::that_may(false)]
#[case::that_must(true)]
#[tokio::test]
async fn calls_signed_in_both_ways_are_let_in_for_a_tenant(#[case] required: bool) {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    bank.update(json!({"require_message_signatures": required})).await.data();
    assert_eq!(relay.send(bank.sign_both("POST", CHANGE, &profile()).request()).await.status, 201);
    relay.send(bank.sign_both("GET", LOOK, b"").request()).await.expect_error(404, "NOT_FOUND");
    let escaped = bank.sign_both("GET", "/relay/fetch/outcome?instruction_id=nobody%2Dknows&wait_seconds=0", b"");
    relay.send(escaped.request()).await.expect_error(404, "NOT_FOUND");
    let no_query = bank.sign_both("GET", "/relay/fetch/outcome", b"");
    relay.send(no_query.request()).await.expect_error(422, "VALIDATION_FAILED");
}

#[tokio::test]
async fn parameters_may_come_in_any_order() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let turned = signed_otherwise(&bank, |mut message| {
        message.parameters.reverse();
        message
    });
    assert_eq!(relay.send(turned.request()).await.status, 201);
}

type Spoil = fn(Signed) -> Signed;

#[rstest]
#[case::no_input(|call: Signed| call.without(MESSAGE_SIGNATURE_INPUT))]
#[case::no_signature(|call: Signed| call.without(MESSAGE_SIGNATURE))]
#[case::no_digest(|call: Signed| call.without(CONTENT_DIGEST))]
#[case::input_twice(|call: Signed| call.twice(MESSAGE_SIGNATURE_INPUT))]
#[case::signature_twice(|call: Signed| call.twice(MESSAGE_SIGNATURE))]
#[case::digest_twice(|call: Signed| call.twice(CONTENT_DIGEST))]
#[case::no_hmac(|call: Signed| call.without(SIGNATURE))]
#[case::another_hmac(|call: Signed| call.with(SIGNATURE, "0".repeat(64)))]
#[case::no_timestamp(|call: Signed| call.without(TIMESTAMP))]
#[case::no_tenant(|call: Signed| call.without(TENANT_ID))]
#[case::another_path(|call: Signed| Signed { path: "/api/v1/relay/revoke-pairing".to_owned(), ..call })]
#[case::another_query(|call: Signed| Signed { path: format!("{}?again=1", call.path), ..call })]
#[case::empty_input(|call: Signed| call.with(MESSAGE_SIGNATURE_INPUT, ""))]
#[case::empty_signature(|call: Signed| call.with(MESSAGE_SIGNATURE, ""))]
#[case::zeros(|call: Signed| call.with(MESSAGE_SIGNATURE, format!("bloonio=:{}=:", "A".repeat(43))))]
#[case::a_digest_of_nothing(|call: Signed| call.with(CONTENT_DIGEST, "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"))]
#[case::a_second_label(|call: Signed| { let input = format!("{}, proxy=(\"@method\");created=1", call.header(MESSAGE_SIGNATURE_INPUT)); call.with(MESSAGE_SIGNATURE_INPUT, input) })]
#[case::a_second_label_with_its_signature(|call: Signed| {
    let input = format!("{}, proxy=()", call.header(MESSAGE_SIGNATURE_INPUT));
    let signature = format!("{}, proxy=:AAAA:", call.header(MESSAGE_SIGNATURE));
    call.with(MESSAGE_SIGNATURE_INPUT, input).with(MESSAGE_SIGNATURE, signature)
})]
#[case::a_second_label_before_ours(|call: Signed| {
    let input = format!("proxy=(), {}", call.header(MESSAGE_SIGNATURE_INPUT));
    let signature = format!("proxy=:AAAA:, {}", call.header(MESSAGE_SIGNATURE));
    call.with(MESSAGE_SIGNATURE_INPUT, input).with(MESSAGE_SIGNATURE, signature)
})]
#[case::a_covered_component_struck_out(|call: Signed| { let input = call.header(MESSAGE_SIGNATURE_INPUT).replace("\"@path\" ", ""); call.with(MESSAGE_SIGNATURE_INPUT, input) })]
#[case::components_turned(|call: Signed| { let input = call.header(MESSAGE_SIGNATURE_INPUT).replace("\"@method\" \"@path\"", "\"@path\" \"@method\""); call.with(MESSAGE_SIGNATURE_INPUT, input) })]
#[case::a_later_creation(|call: Signed| { let input = call.header(MESSAGE_SIGNATURE_INPUT).replace(";created=18000000", ";created=18000001"); call.with(MESSAGE_SIGNATURE_INPUT, input) })]
#[case::another_nonce(|call: Signed| { let input = call.header(MESSAGE_SIGNATURE_INPUT).replace(";nonce=\"0", ";nonce=\"1"); call.with(MESSAGE_SIGNATURE_INPUT, input) })]
#[tokio::test]
async fn a60_a_call_whose_message_signature_is_spoiled_is_refused_and_changes_nothing(#[case] spoil: Spoil) {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let call = bank.sign_both("POST", CHANGE, &profile());
    let spoiled = relay.send(spoil(call.clone()).request()).await;
    assert!(matches!(spoiled.error(), "INVALID_SIGNATURE" | "TIMESTAMP_OUT_OF_WINDOW"), "{spoiled:?}");
    assert_eq!((spoiled.status, remembered(&relay).await), (401, 0));
    // The good call was not burnt by the bad one.
    assert_eq!(relay.send(call.request()).await.status, 201);
}

type Choose = fn(Message) -> Message;

#[rstest]
#[case::another_label(|m: Message| Message { label: "sig1", ..m })]
#[case::less_is_covered(|m: Message| m.over(&["@method", "@path", "@query", TENANT_ID]))]
#[case::the_digest_alone_is_covered(|m: Message| m.over(&[CONTENT_DIGEST]))]
#[case::nothing_is_covered(|m: Message| m.over(&[]))]
#[case::more_is_covered(|m: Message| m.over(&["@method", "@path", "@query", TENANT_ID, CONTENT_DIGEST, TIMESTAMP]))]
#[case::another_order(|m: Message| m.over(&["@path", "@method", "@query", TENANT_ID, CONTENT_DIGEST]))]
#[case::another_algorithm(|m: Message| m.with("alg", "\"hmac-sha512\""))]
#[case::a_foreign_algorithm(|m: Message| m.with("alg", "\"ed25519\""))]
#[case::no_algorithm(|m: Message| m.without("alg"))]
#[case::another_tag(|m: Message| m.with("tag", "\"bloonio-callback\""))]
#[case::no_tag(|m: Message| m.without("tag"))]
#[case::another_key(|m: Message| m.with("keyid", "\"tnt_00000000000000000000000000000000\""))]
#[case::no_key(|m: Message| m.without("keyid"))]
#[case::no_creation(|m: Message| m.without("created"))]
#[case::no_nonce(|m: Message| m.without("nonce"))]
#[case::a_short_nonce(|m: Message| m.with("nonce", "\"000102030405060708090a0b0c0d0e\""))]
#[case::a_nonce_in_bytes(|m: Message| m.with("nonce", ":AAECAwQFBgcICQoLDA0ODw==:"))]
#[tokio::test]
async fn a60_a_signature_that_verifies_and_is_not_the_protocols_is_refused(#[case] choose: Choose) {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let call = signed_otherwise(&bank, choose);
    relay.send(call.request()).await.expect_error(401, "INVALID_SIGNATURE");
    assert_eq!(remembered(&relay).await, 0);
}

#[rstest]
#[case::stripped(|call: Signed| call.without(MESSAGE_SIGNATURE_INPUT).without(MESSAGE_SIGNATURE).without(CONTENT_DIGEST))]
#[case::stripped_to_the_digest(|call: Signed| call.without(MESSAGE_SIGNATURE_INPUT).without(MESSAGE_SIGNATURE))]
#[case::under_another_name(|call: Signed| { let label = |name: &str| call.header(name).replace("bloonio=", "other="); let (a, b) = (label(MESSAGE_SIGNATURE_INPUT), label(MESSAGE_SIGNATURE)); call.with(MESSAGE_SIGNATURE_INPUT, a).with(MESSAGE_SIGNATURE, b) })]
#[tokio::test]
async fn a60_there_is_no_downgrade_for_a_tenant_that_requires_message_signatures(#[case] strip: Spoil) {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    bank.update(json!({"require_message_signatures": true})).await.data();
    let call = bank.sign_both("POST", CHANGE, &profile());
    relay.send(strip(call.clone()).request()).await.expect_error(401, "INVALID_SIGNATURE");
    bank.get(LOOK).await.expect_error(401, "INVALID_SIGNATURE");
    assert_eq!(remembered(&relay).await, 0);
    assert_eq!(relay.send(call.request()).await.status, 201);
}

#[tokio::test]
async fn a_look_is_signed_for_its_method_alone() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let look = bank.sign_both("GET", LOOK, b"");
    let head = Signed { method: "HEAD", ..look.clone() };
    assert_eq!(relay.send(head.request()).await.status, 401);
    relay.send(look.request()).await.expect_error(404, "NOT_FOUND");
    assert_eq!(relay.send(bank.sign_both("HEAD", LOOK, b"").request()).await.status, 404);
}

#[tokio::test]
async fn a_captured_look_reads_nothing_else_once_it_is_signed_as_a_message() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let look = bank.sign_both("GET", LOOK, b"");
    relay.send(look.request()).await.expect_error(404, "NOT_FOUND");
    for path in [
        "/relay/fetch/outcome?instruction_id=somebody-else",
        "/relay/fetch/delivery-status?instruction_id=nobody-knows",
    ] {
        let other = Signed { path: format!("/api/v1{path}"), ..look.clone() };
        relay.send(other.request()).await.expect_error(401, "INVALID_SIGNATURE");
    }
}

#[rstest]
#[case(0, true)]
#[case(30, true)]
#[case(-30, true)]
#[case(31, false)]
#[case(-31, false)]
#[case(86_400, false)]
#[tokio::test]
async fn created_lies_within_30_seconds_either_way(#[case] offset: i64, #[case] accepted: bool) {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let created = relay.clock.now().as_secs() + offset;
    let answer = relay.send(signed_otherwise(&bank, |m| m.with("created", created.to_string())).request()).await;
    if accepted {
        assert_eq!(answer.status, 201, "{answer:?}");
    } else {
        answer.expect_error(401, "TIMESTAMP_OUT_OF_WINDOW");
    }
}

#[rstest]
#[case::the_same_call(true, true)]
#[case::the_nonce_under_another_hmac(false, true)]
#[case::the_hmac_under_another_nonce(true, false)]
#[tokio::test]
async fn a61_a_call_is_a_replay_if_either_signature_was_seen(#[case] same_hmac: bool, #[case] same_nonce: bool) {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let first = bank.sign("POST", CHANGE, &profile());
    let message = Message::of(&bank, &first);
    assert_eq!(relay.send(message.put_on(&bank, &first).request()).await.status, 201);
    assert_eq!(remembered(&relay).await, 2);
    let again = if same_hmac { first } else { bank.sign("POST", CHANGE, &profile()) };
    let message = if same_nonce { message } else { Message::of(&bank, &again) };
    let again = message.put_on(&bank, &again);
    relay.send(again.request()).await.expect_error(401, "REQUEST_REPLAYED");
    relay.clock.advance(Duration::from_secs(29));
    relay.send(again.request()).await.expect_error(401, "REQUEST_REPLAYED");
}

#[tokio::test]
async fn a61_stripping_the_message_signature_does_not_make_it_another_call() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let call = bank.sign_both("POST", CHANGE, &profile());
    assert_eq!(relay.send(call.request()).await.status, 201);
    let stripped = call.without(MESSAGE_SIGNATURE_INPUT).without(MESSAGE_SIGNATURE);
    relay.send(stripped.request()).await.expect_error(401, "REQUEST_REPLAYED");
}

#[tokio::test]
async fn a61_of_many_calls_with_one_nonce_at_once_one_is_accepted() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let message = Message::of(&bank, &bank.sign("POST", CHANGE, &profile()));
    let calls: Vec<_> = (0..32).map(|_| message.put_on(&bank, &bank.sign("POST", CHANGE, &profile()))).collect();
    let answers = futures_util::future::join_all(calls.iter().map(|call| relay.send(call.request()))).await;
    let accepted = answers.iter().filter(|answer| answer.status == 201).count();
    let replayed = answers.iter().filter(|answer| answer.error() == "REQUEST_REPLAYED").count();
    assert_eq!((accepted, replayed), (1, 31));
}

#[tokio::test]
async fn two_tenants_may_draw_one_nonce() {
    let relay = TestRelay::new().await;
    let (bank, shop) = (relay.provision("Bank").await, relay.provision("Shop").await);
    for tenant in [&bank, &shop] {
        let call = signed_otherwise(tenant, |m| m.with("nonce", "\"000102030405060708090a0b0c0d0e0f\""));
        assert_eq!(relay.send(call.request()).await.status, 201);
    }
}

#[tokio::test]
async fn looking_twice_with_one_nonce_is_no_replay() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let call = bank.sign_both("GET", LOOK, b"");
    for _ in 0..2 {
        relay.send(call.request()).await.expect_error(404, "NOT_FOUND");
    }
    assert_eq!(remembered(&relay).await, 0);
}

#[tokio::test]
async fn a64_a_message_signed_with_the_old_secret_is_refused_as_soon_as_a_new_one_is_drawn() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let call = bank.sign_both("GET", LOOK, b"");
    let path = format!("/rotate/tenant-secret?tenant_id={}", bank.tenant_id);
    let rotated = relay.operator_post(&path, json!({})).await;
    let renewed = TestTenant { secret: Secret::new(rotated.data()["tenant_secret"].as_str().unwrap()), ..bank.clone() };
    relay.send(call.request()).await.expect_error(401, "INVALID_SIGNATURE");
    // One signature with each secret is no signature.
    let mixed = Message::of(&bank, &renewed.sign("GET", LOOK, b""));
    let hmac = renewed.sign("GET", LOOK, b"");
    relay.send(mixed.put_on(&bank, &hmac).request()).await.expect_error(401, "INVALID_SIGNATURE");
    relay.send(mixed.put_on(&renewed, &hmac).request()).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn a101_an_unknown_tenant_a_wrong_secret_and_a_missing_signature_get_the_very_same_answer() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    bank.update(json!({"require_message_signatures": true})).await.data();
    let wrong = TestTenant { secret: Secret::new(format!("sk_{}", "0".repeat(64))), ..bank.clone() };
    let nobody = TestTenant { tenant_id: format!("tnt_{}", "0".repeat(32)), ..bank.clone() };
    let wrong = relay.send(wrong.sign_both("GET", LOOK, b"").request()).await;
    let nobody = relay.send(nobody.sign_both("GET", LOOK, b"").request()).await;
    let alone = bank.get(LOOK).await;
    wrong.expect_error(401, "INVALID_SIGNATURE");
    let names =
        |answer: &support::TestAnswer| -> Vec<String> { answer.headers.keys().map(ToString::to_string).collect() };
    for other in [nobody, alone] {
        assert_eq!((wrong.status, &wrong.text), (other.status, &other.text));
        assert_eq!(names(&wrong), names(&other));
    }
}
