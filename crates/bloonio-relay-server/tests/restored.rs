//! A database that comes back from a backup revives nothing, once it was treated (ATTACKS A99).
//!
//! Whatever happened after the backup is not in the database, so these tests leave it out: what is open here is what was
//! answered, used, revoked or replaced meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says where")]

mod support;

use std::time::Duration;

use bloonio_relay_server::audit::{Chain, trail};
use bloonio_relay_server::epoch::restore::{self, Devices};
use bloonio_relay_server::epoch::{EpochError, Memory};
use bloonio_relay_server::storage::db::query;
use bloonio_relay_server::storage::{audit, epoch};
use bloonio_wire::clock::Clock;
use rstest::rstest;
use serde_json::{Value, json};
use support::caller::bearer;
use support::codes::code_at;
use support::{TestDevice, TestRelay, TestTenant};

const JANE: &str = "jane-0123456789";
const JOHN: &str = "john-0123456789";

fn challenge(id: &str) -> Value {
    json!({
        "user_socket_hash": JANE, "instruction_id": id, "custom_type": "localAuth", "expected_action": "transfer_funds",
        "backend_url": "https://bank.example"
    })
}

fn approval(id: &str) -> Value {
    json!({"instruction_id": id, "approved": true, "custom_type": "localAuth"})
}

async fn treat(relay: &TestRelay, devices: Devices) -> restore::Begun {
    restore::treat(&relay.app.storage, relay.clock.as_ref(), devices).await.unwrap()
}

/// Until calls that were signed before the treatment are outside the window, and those from then on are good again.
fn pass_the_window(relay: &TestRelay) {
    relay.clock.advance(Duration::from_secs(31));
}

async fn code_of(bank: &TestTenant<'_>, device: &TestDevice<'_>) -> String {
    let uri = device.registration["totp"]["otpauth_uri"].as_str().unwrap();
    code_at(uri, bank.relay.clock.now().as_secs())
}

#[tokio::test]
async fn a99_open_prompts_are_withdrawn_and_no_phone_answers_them() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let phone = bank.pair(JANE).await;
    assert_eq!(bank.post("/relay/send/auth-challenge", challenge("prompt-0001")).await.status, 200);
    assert_eq!(bank.post("/relay/send/auth-challenge", challenge("prompt-0002")).await.status, 200);
    assert_eq!(phone.post("/device/submit-response", approval("prompt-0002")).await.status, 200);

    let begun = treat(&relay, Devices::Kept).await;
    assert_eq!((begun.epoch, begun.tenants[0].prompts), (1, 1));
    phone.post("/device/submit-response", approval("prompt-0001")).await.expect_error(410, "GONE");
    assert_eq!(phone.get("/device/challenges").await.data()["count"], 0);
    let outcome = bank.get("/relay/fetch/outcome?instruction_id=prompt-0001").await;
    assert_eq!(outcome.data()["status"], "cancelled");
    // A decision of before the backup was made, and stays.
    let outcome = bank.get("/relay/fetch/outcome?instruction_id=prompt-0002").await;
    assert_eq!(outcome.data()["status"], "decided");
}

#[tokio::test]
async fn a99_an_open_offer_to_pair_is_void() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let proof = bank.offer_pairing(JOHN).await;
    assert_eq!(treat(&relay, Devices::Kept).await.tenants[0].proofs, 1);
    let body = json!({"platform": "stream"}).to_string();
    let answer = relay.send(bearer("POST", "/device/register-token", &proof, body)).await;
    assert_eq!(answer.status, 401, "{answer:?}");
}

#[tokio::test]
async fn a99_no_session_of_before_is_good_and_people_pair_again_as_if_for_the_first_time() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let phone = bank.pair(JANE).await;
    let begun = treat(&relay, Devices::Removed).await;
    assert_eq!(begun.tenants[0].devices, 1);
    for _ in 0..2 {
        // An ordinary refusal: nobody is alerted of a theft.
        phone.get("/device/challenges").await.expect_error(401, "INVALID_DEVICE_TOKEN");
    }
    let left = query("SELECT count(*) FROM totp_seeds").fetch_one(relay.app.storage.readers()).await.unwrap();
    assert_eq!(left.at::<i64>(0).unwrap(), 0);
    pass_the_window(&relay);
    bank.post("/relay/send/auth-challenge", challenge("prompt-0001")).await.expect_error(404, "NO_DEVICE");
    let again = bank.pair(JANE).await;
    assert_eq!(again.id("relay_user_linked_id"), phone.id("relay_user_linked_id"), "the same pairing");
    assert!(again.registration["totp"]["otpauth_uri"].is_string(), "{:?}", again.registration);
    assert_eq!(again.get("/device/challenges").await.status, 200, "it may act at once");
}

#[tokio::test]
async fn a99_kept_phones_act_and_a_superseded_token_has_no_minute_left() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let phone = bank.pair(JANE).await;
    let fresh = phone.post("/device/refresh-token", json!({})).await;
    let fresh =
        TestDevice { token: fresh.data()["device_session_token"].as_str().unwrap().to_owned(), ..phone.clone() };
    assert_eq!(phone.get("/device/challenges").await.status, 200, "within its minute");
    treat(&relay, Devices::Kept).await;
    assert_eq!(fresh.get("/device/challenges").await.status, 200);
    phone.get("/device/challenges").await.expect_error(401, "INVALID_DEVICE_TOKEN");
}

#[tokio::test]
async fn a99_a_code_that_was_used_since_the_backup_is_not_good_again() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let phone = bank.pair(JANE).await;
    let pairing = phone.id("relay_user_linked_id").to_owned();
    let mut codes = vec![code_of(&bank, &phone).await];
    relay.clock.advance(Duration::from_secs(30));
    codes.push(code_of(&bank, &phone).await);
    treat(&relay, Devices::Kept).await;
    pass_the_window(&relay);
    codes.push(code_of(&bank, &phone).await);
    for code in codes {
        let body = json!({"relay_user_linked_id": pairing, "totp": code});
        bank.post("/relay/sudo/verify-totp", body).await.expect_error(401, "INVALID_TOTP");
    }
    relay.clock.advance(Duration::from_secs(30));
    let body = json!({"relay_user_linked_id": pairing, "totp": code_of(&bank, &phone).await});
    assert_eq!(bank.post("/relay/sudo/verify-totp", body).await.status, 200);
}

#[rstest]
#[case::long_before(-20_000, true)]
#[case::at_the_restore(0, true)]
#[case::by_a_clock_that_is_ahead(30_000, true)]
#[case::after_the_window(30_001, false)]
#[tokio::test]
async fn a99_a_call_that_may_have_been_seen_before_the_restore_is_a_replay(
    #[case] after_ms: i64,
    #[case] is_replay: bool,
) {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let at = relay.clock.now().as_millis() + after_ms;
    treat(&relay, Devices::Kept).await;
    relay.clock.advance(Duration::from_secs(5));
    let body = json!({"instruction_id": "prompt-0001"}).to_string();
    let call = bank.sign_at("POST", "/relay/cancel/auth-challenge", body.as_bytes(), at);
    let answer = relay.send(call.request()).await;
    match is_replay {
        true => answer.expect_error(401, "REQUEST_REPLAYED"),
        false => answer.expect_error(404, "NOT_FOUND"),
    }
    // What changes nothing may be asked all the while.
    let call = bank.sign_at("GET", "/relay/fetch/outcome?instruction_id=prompt-0001", b"", at);
    relay.send(call.request()).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn a99_every_chain_of_the_audit_trail_tells_of_the_restore_and_holds() {
    let relay = TestRelay::new().await;
    let (bank, shop) = (relay.provision("Bank").await, relay.provision("Shop").await);
    bank.pair(JANE).await;
    treat(&relay, Devices::Removed).await;
    treat(&relay, Devices::Removed).await;
    for (chain, devices) in [(&bank.tenant_id, [1, 0]), (&shop.tenant_id, [0, 0])] {
        let chain: Chain = chain.parse().unwrap();
        let last = audit::last(&relay.app.storage, &chain, 2).await.unwrap();
        for (number, (entry, devices)) in last.iter().zip(devices).enumerate() {
            assert_eq!(entry.kind, "database.restored");
            let details: Value = serde_json::from_str(&entry.details).unwrap();
            let expected = json!({"epoch": number + 1, "prompts": 0, "proofs": 0, "devices": devices});
            assert_eq!(details, expected);
        }
    }
    let last = audit::last(&relay.app.storage, &Chain::Operator, 1).await.unwrap();
    assert_eq!((last[0].kind.as_str(), last[0].details.as_str()), ("database.restored", r#"{"epoch":2,"tenants":2}"#));
    for chain in audit::chains(&relay.app.storage).await.unwrap() {
        assert!(trail::verify(&relay.app.storage, &chain, &[]).await.unwrap().is_ok(), "{chain}");
    }
}

#[tokio::test]
async fn a99_a_data_folder_refuses_an_older_state_of_its_database_until_another_epoch_begins() {
    let relay = TestRelay::new().await;
    let storage = &relay.app.storage;
    relay.provision("Bank").await;
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let memories = folders.each_ref().map(|folder| Memory::of(folder.path()));
    for memory in &memories {
        memory.admit(storage).await.unwrap();
        memory.check(storage).await.unwrap();
    }
    // As if it had been seen with more.
    let entries = epoch::entries(storage.readers()).await.unwrap();
    for folder in &folders {
        std::fs::write(folder.path().join("database.seen"), format!("0 {}\n", entries + 3)).unwrap();
    }
    for memory in &memories {
        assert!(matches!(memory.check(storage).await, Err(EpochError::Older { missing: 3 })));
    }
    treat(&relay, Devices::Removed).await;
    // The data folders of the other relays, too, accept what was treated beside one of them.
    for memory in &memories {
        memory.admit(storage).await.unwrap();
    }
    // And notice if the treated one is exchanged for an untreated one.
    std::fs::write(folders[0].path().join("database.seen"), "2 0\n").unwrap();
    assert!(matches!(memories[0].check(storage).await, Err(EpochError::Earlier)));
}

#[tokio::test]
async fn a99_a_moved_database_keeps_everything() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let phone = bank.pair(JANE).await;
    assert_eq!(bank.post("/relay/send/auth-challenge", challenge("prompt-0001")).await.status, 200);
    epoch::mark_copy(&relay.app.storage).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let memory = Memory::of(folder.path());
    assert!(matches!(memory.check(&relay.app.storage).await, Err(EpochError::Copy)));
    assert_eq!(restore::accept(&relay.app.storage, relay.clock.as_ref()).await.unwrap(), 1);
    memory.admit(&relay.app.storage).await.unwrap();
    assert_eq!(phone.post("/device/submit-response", approval("prompt-0001")).await.status, 200);
    let call = json!({"instruction_id": "prompt-0002"});
    bank.post("/relay/cancel/auth-challenge", call).await.expect_error(404, "NOT_FOUND");
}
