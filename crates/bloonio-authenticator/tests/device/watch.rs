//! `bloonio-phone watch` from outside.

use bloonio_wire::code::ErrorCode;
use bloonio_wire::envelope::Failure;

use crate::support::{FakeRelay, PhoneHome, hint};

#[tokio::test]
async fn prompts_are_printed_as_they_arrive_however_the_stream_is_cut() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    relay.ask(1, "instruction-1");
    let hints = format!(": hello\r\n\r\nevent: something_new\ndata: 1\n\n{}", hint("challenge", 1, "instruction-2"));
    relay.script(&hints, false);
    let split = hint("challenge", 1, "instruction-3").replace("\n", "\r\n").replace(",", ",\r\ndata:");
    relay.script(&split, true);

    // Open before anybody watched.
    let mut watch = phone.watch(&[]);
    let first = watch.next().await.unwrap();
    assert_eq!((first["event"].as_str(), first["instruction_id"].as_str()), (Some("challenge"), Some("instruction-1")));
    assert_eq!(first["display"]["title"], "Approve a transfer");
    assert_eq!(first["response_token"], serde_json::Value::Null);
    // Hinted, or found in the list when the stream is opened anew; printed once either way.
    relay.ask(1, "instruction-2");
    relay.ask(1, "instruction-3");
    let mut more = [watch.next().await.unwrap(), watch.next().await.unwrap()];
    more.sort_by_key(|line| line["instruction_id"].to_string());
    let ids: Vec<_> = more.iter().map(|line| line["instruction_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["instruction-2", "instruction-3"]);
    watch.interrupt().await;
    assert_eq!(watch.ended().await, 0);
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn once_ends_after_the_first_prompt() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    relay.ask(1, "instruction-1");
    relay.ask(1, "instruction-2");
    let mut watch = phone.watch(&["--once"]);
    assert_eq!(watch.next().await.unwrap()["instruction_id"], "instruction-1");
    assert!(watch.next().await.is_none());
    assert_eq!(watch.ended().await, 0);
}

#[tokio::test]
async fn alerts_and_withdrawn_prompts_are_told_but_old_alerts_are_not() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    relay.alert(1, "notification-old");
    relay.ask(1, "instruction-1");
    relay.script(&hint("challenge_cancelled", 1, "instruction-9"), false);
    let mut watch = phone.watch(&[]);
    assert_eq!(watch.next().await.unwrap()["instruction_id"], "instruction-1");
    let cancelled = watch.next().await.unwrap();
    assert_eq!(cancelled["event"], "challenge_cancelled");
    assert_eq!(cancelled["instruction_id"], "instruction-9");
    relay.alert(1, "notification-new");
    relay.script(&hint("alert", 1, "notification-new"), true);
    let alert = watch.next().await.unwrap();
    assert_eq!((&alert["event"], &alert["notification_id"]), (&"alert".into(), &"notification-new".into()));
}

#[tokio::test]
async fn one_ended_pairing_does_not_end_the_others() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    phone.json(&["pair", &relay.offer(2, "user-jane")]).await.ok();
    relay.world().devices.remove(0);
    relay.ask(2, "instruction-1");
    let mut watch = phone.watch(&["--once"]);
    assert_eq!(watch.next().await.unwrap()["instruction_id"], "instruction-1");
    assert_eq!(watch.ended().await, 0);
}

#[tokio::test]
async fn a_device_that_was_removed_stops_watching_with_the_relays_code() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    relay.refuse("/device/stream", Failure::new(ErrorCode::InvalidDeviceToken));
    let ended = phone.json(&["watch"]).await;
    assert_eq!((ended.code, ended.error()), (1, ("INVALID_DEVICE_TOKEN".into(), 401)));
}
