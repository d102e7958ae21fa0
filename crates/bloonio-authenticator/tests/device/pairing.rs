//! `bloonio-phone` from outside: pairings and their keys.

use bloonio_wire::code::ErrorCode;
use bloonio_wire::device::{DeviceStatus, Platform};
use bloonio_wire::envelope::Failure;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{FakeRelay, PhoneHome, tenant};

#[tokio::test]
async fn a_second_phone_may_do_nothing_until_the_first_confirms_it() {
    let relay = FakeRelay::start().await;
    let first = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    let second = PhoneHome::default();
    let paired = second.json(&["pair", &relay.offer(1, "user-jane")]).await.ok();
    assert_eq!(paired["device_status"], "awaiting_confirmation");
    assert_eq!(second.json(&["list"]).await.error(), ("DEVICE_NOT_CONFIRMED".into(), 403));
    let id = paired["device_id"].as_str().unwrap();
    let confirmed = first.json(&["confirm-device", id]).await.ok();
    assert_eq!(confirmed, json!({"device_id": id, "approved": true, "recorded": true}));
    second.json(&["list"]).await.ok();
}

#[tokio::test]
async fn a_phone_that_is_rejected_stays_out() {
    let relay = FakeRelay::start().await;
    let first = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    first.json(&["pair", &relay.offer(2, "user-jane")]).await.ok();
    let second = PhoneHome::default();
    let paired = second.json(&["pair", &relay.offer(2, "user-jane")]).await.ok();
    first.json(&["confirm-device", paired["device_id"].as_str().unwrap(), "--reject"]).await.ok();
    assert_eq!(relay.world().devices[2].status, DeviceStatus::Removed);
    let unknown = first.json(&["confirm-device", &"f".repeat(24)]).await;
    assert_eq!(unknown.error(), ("NOT_FOUND".into(), 404));
}

#[tokio::test]
async fn pairing_again_replaces_the_former_key_which_confirms_its_successor() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    let former = relay.only_device();
    let again = phone.json(&["pair", &relay.offer(1, "user-jane")]).await.ok();
    assert_eq!(again["device_status"], "active");
    let device = relay.only_device();
    assert_ne!(device.info.device_id, former.info.device_id);
    assert_ne!(device.registered.device_public_key, former.registered.device_public_key);
    assert_eq!(phone.state()["pairings"].as_array().unwrap().len(), 1);
    relay.ask(1, "instruction-1");
    phone.json(&["approve", "instruction-1"]).await.ok();
}

#[tokio::test]
async fn pairing_again_while_the_relay_stumbles_keeps_the_former_key() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    relay.refuse("/device/confirm-device", Failure::new(ErrorCode::StorageUnavailable));
    let again = phone.json(&["pair", &relay.offer(1, "user-jane")]).await;
    assert_eq!(again.error(), ("STORAGE_UNAVAILABLE".into(), 503));
    let device = relay.only_device();
    assert_eq!(phone.state()["pairings"][0]["info"]["device_id"], json!(device.info.device_id));
    phone.json(&["list"]).await.ok();
}

#[tokio::test]
async fn a_spent_proof_is_refused_and_changes_nothing() {
    let relay = FakeRelay::start().await;
    let offer = relay.offer(1, "user-jane");
    let phone = PhoneHome::paired(&offer).await;
    let before = phone.state();
    assert_eq!(phone.json(&["pair", &offer]).await.error(), ("PAIRING_PROOF_USED".into(), 409));
    assert_eq!(phone.state(), before);
}

#[rstest]
#[case::scheme("https://relay.example/?proof=hush", 2)]
#[case::no_proof("bloonio://pair?relay=http%3A%2F%2F127.0.0.1%3A9", 2)]
#[case::in_the_clear("bloonio://pair?relay=http%3A%2F%2Frelay.example&proof=hush", 1)]
#[case::no_base("bloonio://pair?relay=https%3A%2F%2Frelay.example%2F%3Fa%3Db&proof=hush", 1)]
#[tokio::test]
async fn pairing_addresses_that_will_not_do_are_refused_without_repeating_the_proof(
    #[case] uri: &str,
    #[case] code: i32,
) {
    let outcome = PhoneHome::default().json(&["pair", uri]).await;
    assert_eq!(outcome.code, code, "{outcome:?}");
    assert_eq!(outcome.error().1, 0);
    assert!(!outcome.text.contains("hush") && !outcome.errors.contains("hush"), "{outcome:?}");
}

#[tokio::test]
async fn a_damaged_memory_is_left_alone_and_costs_no_proof() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    std::fs::write(phone.state_file(), "{").unwrap();
    for command in [&["list"][..], &["pair", &relay.offer(1, "user-jane")], &["unpair"]] {
        assert_eq!(phone.json(command).await.error(), ("STATE_UNUSABLE".into(), 0), "{command:?}");
    }
    assert_eq!(std::fs::read_to_string(phone.state_file()).unwrap(), "{");
    assert_eq!(relay.world().count("POST /device/register-token"), 1);
}

#[tokio::test]
async fn two_processes_that_pair_at_once_lose_nothing() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::default();
    let offers: Vec<_> = (1..=4).map(|n| relay.offer(n, "user-jane")).collect();
    let pairing = offers.iter().map(|offer| async { phone.json(&["pair", offer]).await.ok() });
    futures_util::future::join_all(pairing).await;
    assert_eq!(phone.state()["pairings"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn fcm_devices_register_and_refresh_their_address() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::default();
    let offer = relay.offer(1, "user-jane");
    for wrong in
        [&["--platform", "android"][..], &["--fcm-token", "T1"], &["--platform", "stream", "--fcm-token", "T1"]]
    {
        let outcome = phone.json(&[&["pair", &offer][..], wrong].concat()).await;
        assert_eq!((outcome.code, outcome.error().0.as_str()), (2, "USAGE"), "{wrong:?}");
    }
    phone.json(&["pair", &offer, "--platform", "android", "--fcm-token", "T1"]).await.ok();
    let device = relay.only_device();
    assert_eq!((device.registered.platform, device.registered.fcm_token.as_deref()), (Platform::Android, Some("T1")));

    phone.json(&["refresh"]).await.ok();
    assert_eq!(relay.only_device().registered.fcm_token.as_deref(), Some("T1"));
    phone.json(&["refresh", "--fcm-token", "T2"]).await.ok();
    assert_eq!(relay.only_device().registered.fcm_token.as_deref(), Some("T2"));
    assert_ne!(relay.only_device().session, device.session);
    phone.json(&["list"]).await.ok();
}

#[tokio::test]
async fn a_session_near_its_end_is_renewed_by_whatever_command_comes() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    let mut state = phone.state();
    state["pairings"][0]["session_since"] = json!("2001-01-01T00:00:00Z");
    std::fs::write(phone.state_file(), state.to_string()).unwrap();
    phone.json(&["list"]).await.ok();
    phone.json(&["list"]).await.ok();
    assert_eq!(relay.world().count("POST /device/refresh-token"), 1);
    assert_eq!(phone.state()["pairings"][0]["session_token"], json!(relay.only_device().session));
}

#[tokio::test]
async fn a_lost_answer_does_not_leave_the_phone_with_a_replaced_session() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    relay.world().losses.insert("/device/refresh-token".into(), 2);
    phone.json(&["refresh"]).await.ok();
    assert_eq!(relay.world().count("POST /device/refresh-token"), 3);
    assert_eq!(phone.state()["pairings"][0]["session_token"], json!(relay.only_device().session));

    relay.world().losses.insert("/device/refresh-token".into(), 9);
    assert_eq!(phone.json(&["refresh"]).await.error(), ("RELAY_UNREACHABLE".into(), 0));
    assert_eq!(relay.world().count("POST /device/refresh-token"), 6);
}

#[tokio::test]
async fn unpairing_ends_all_pairings_or_the_one_named() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    phone.json(&["pair", &relay.offer(2, "user-jane")]).await.ok();
    phone.json(&["pair", &relay.offer(3, "user-jane")]).await.ok();
    let one = phone.json(&["unpair", "--tenant", tenant(2).as_str()]).await.ok();
    assert_eq!((&one["unpaired"], &one["items"][0]["tenant_id"]), (&json!(true), &json!(tenant(2))));
    assert_eq!(relay.world().devices.len(), 2);
    assert_eq!(phone.json(&["unpair"]).await.ok()["count"], 2);
    assert!(relay.world().devices.is_empty());
    assert_eq!(phone.state()["pairings"], json!([]));
}

#[tokio::test]
async fn a_pairing_that_the_relay_has_ended_can_be_unpaired() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    relay.world().devices.clear();
    assert_eq!(phone.json(&["list"]).await.error(), ("INVALID_DEVICE_TOKEN".into(), 401));
    phone.json(&["unpair"]).await.ok();
    assert_eq!(phone.state()["pairings"], json!([]));
}

#[tokio::test]
async fn an_unreachable_relay_keeps_its_pairing_unless_forced() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    drop(relay);
    assert_eq!(phone.json(&["unpair"]).await.error(), ("RELAY_UNREACHABLE".into(), 0));
    assert_eq!(phone.state()["pairings"].as_array().map(Vec::len), Some(1));
    phone.json(&["unpair", "--force"]).await.ok();
    assert_eq!(phone.state()["pairings"], json!([]));
}

#[tokio::test]
async fn usage_errors_are_exit_code_2_and_one_object_for_scripts() {
    let phone = PhoneHome::default();
    for wrong in [&["approve"][..], &["approve", "no id!"], &["nonsense"], &[], &["confirm-device", "x"]] {
        let outcome = phone.json(wrong).await;
        assert_eq!((outcome.code, outcome.error()), (2, ("USAGE".into(), 0)), "{wrong:?}");
        assert_eq!(phone.run(wrong).await.code, 2, "{wrong:?}");
    }
}

#[tokio::test]
async fn help_has_examples_and_succeeds() {
    let phone = PhoneHome::default();
    for command in [&["--help"][..], &["pair", "--help"], &["approve", "--help"]] {
        let outcome = phone.run(command).await;
        assert_eq!(outcome.code, 0);
        assert!(outcome.text.contains("Examples:\n  bloonio-phone "), "{}", outcome.text);
    }
    let as_json = phone.json(&["--help"]).await;
    assert!(serde_json::from_str::<Value>(&as_json.text).is_err());
}
