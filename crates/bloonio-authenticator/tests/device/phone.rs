//! `bloonio-phone` from outside: pairing, showing, answering.

use bloonio_wire::challenge::{ChallengeStatus, CustomType};
use bloonio_wire::device::Platform;
use serde_json::json;

use crate::support::{FakeRelay, PhoneHome, tenant};

#[tokio::test]
async fn a_paired_phone_lists_shows_and_approves_with_a_signature_that_holds() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::default();
    let paired = phone.json(&["pair", &relay.offer(1, "user-jane"), "--name", "desk"]).await.ok();
    let device = relay.only_device();
    assert_eq!(paired["device_id"], json!(device.info.device_id));
    assert_eq!((&paired["paired"], &paired["device_status"]), (&json!(true), &json!("active")));
    assert_eq!(
        (device.registered.platform, device.registered.device_name.as_deref()),
        (Platform::Stream, Some("desk"))
    );

    relay.ask(1, "instruction-1");
    let list = phone.json(&["list"]).await.ok();
    assert_eq!(list["count"], 1);
    assert_eq!(list["items"][0], json!(crate::support::prompt(1, "instruction-1")));

    let shown = phone.json(&["show", "instruction-1"]).await.ok();
    assert_eq!(shown["display"]["fields"][0]["value"], "1000.00");
    assert!(shown["response_token"].as_str().unwrap().starts_with("token-"));

    let approved = phone.json(&["approve", "instruction-1"]).await.ok();
    assert_eq!(approved, json!({"instruction_id": "instruction-1", "approved": true, "recorded": true}));
    assert!(relay.world().decisions[0].approved);
    assert_eq!(relay.world().decisions[0].response_token, None);
    assert_eq!(phone.json(&["list"]).await.ok(), json!({"items": [], "count": 0}));
    let again = phone.json(&["approve", "instruction-1"]).await;
    assert_eq!((again.code, again.error()), (1, ("ALREADY_DECIDED".into(), 409)));
    let line: serde_json::Value = serde_json::from_str(&again.text).unwrap();
    assert_eq!(line, json!({"error": "ALREADY_DECIDED", "message": "This was decided before.", "status": 409}));
    let for_people = phone.run(&["approve", "instruction-1"]).await;
    assert!(for_people.text.is_empty());
    assert!(for_people.errors.starts_with("error: This was decided before. (ALREADY_DECIDED)\n"), "{for_people:?}");
}

#[tokio::test]
async fn numbers_codes_and_reasons_travel_with_the_decision() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    relay.ask_with(1, "instruction-1", |prompt| prompt.custom_type = CustomType::GoldenNumber);
    relay.ask_with(1, "instruction-2", |prompt| prompt.custom_type = CustomType::Totp);
    relay.ask(1, "instruction-3");

    let without = phone.json(&["approve", "instruction-1"]).await;
    assert_eq!(without.error(), ("VALIDATION_FAILED".into(), 422));
    assert!(without.text.contains(r#""field":"selected_number""#), "{without:?}");
    phone.json(&["approve", "instruction-1", "--number", "42"]).await.ok();
    phone.json(&["approve", "instruction-2", "--totp", "012345"]).await.ok();
    let denied = phone.json(&["deny", "instruction-3", "--reason", "not me"]).await.ok();
    assert_eq!(denied, json!({"instruction_id": "instruction-3", "approved": false, "recorded": true}));

    let world = relay.world();
    assert_eq!(world.decisions[0].selected_number, Some(42));
    assert_eq!(world.decisions[1].totp_code.as_deref(), Some("012345"));
    assert_eq!((world.decisions[2].approved, world.decisions[2].reason.as_deref()), (false, Some("not me")));
}

#[tokio::test]
async fn a_prompt_that_is_over_or_never_was_is_refused_with_the_relays_code() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    relay.ask_with(1, "instruction-1", |prompt| prompt.status = ChallengeStatus::Expired);
    assert_eq!(phone.json(&["approve", "instruction-1"]).await.error(), ("GONE".into(), 410));
    assert_eq!(phone.json(&["approve", "instruction-9"]).await.error(), ("NOT_FOUND".into(), 404));
    assert!(relay.world().decisions.is_empty());
}

#[tokio::test]
async fn prompts_of_all_pairings_are_listed_newest_first_and_answered_each_at_its_relay() {
    let (one, two) = (FakeRelay::start().await, FakeRelay::start().await);
    let phone = PhoneHome::paired(&one.offer(1, "user-jane")).await;
    phone.json(&["pair", &one.offer(2, "user-jane")]).await.ok();
    phone.json(&["pair", &two.offer(3, "user-jane")]).await.ok();
    one.ask(1, "of-tenant-1");
    one.ask(2, "of-tenant-2");
    two.ask_with(3, "of-tenant-3", |prompt| prompt.created_at = bloonio_wire::clock::Timestamp::from_secs(5000));

    let list = phone.json(&["list"]).await.ok();
    let ids: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| item["instruction_id"].clone()).collect();
    assert_eq!(ids, ["of-tenant-3", "of-tenant-2", "of-tenant-1"]);
    phone.json(&["approve", "of-tenant-2"]).await.ok();
    phone.json(&["deny", "of-tenant-3"]).await.ok();
    assert_eq!((one.world().decisions.len(), two.world().decisions.len()), (1, 1));
}

#[tokio::test]
async fn an_id_that_two_tenants_use_is_never_guessed() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    phone.json(&["pair", &relay.offer(2, "user-jane")]).await.ok();
    relay.ask(1, "instruction-1");
    relay.ask(2, "instruction-1");
    assert_eq!(phone.json(&["approve", "instruction-1"]).await.error(), ("AMBIGUOUS_PROMPT".into(), 0));
    assert!(relay.world().decisions.is_empty());
    phone.json(&["approve", "instruction-1", "--tenant", tenant(2).as_str()]).await.ok();
    let world = relay.world();
    let answered: Vec<_> = world.prompts.iter().map(|(prompt, _)| prompt.status).collect();
    assert_eq!(answered, [ChallengeStatus::Pending, ChallengeStatus::Answered]);
}

#[tokio::test]
async fn a_relay_that_is_away_hides_nothing_but_makes_an_id_unsure() {
    let (one, two) = (FakeRelay::start().await, FakeRelay::start().await);
    let phone = PhoneHome::paired(&one.offer(1, "user-jane")).await;
    phone.json(&["pair", &two.offer(2, "user-jane")]).await.ok();
    one.ask(1, "instruction-1");
    drop(two);

    let list = phone.json(&["list"]).await.ok();
    assert_eq!(list["count"], 1);
    assert_eq!(list["failures"][0]["error"], "RELAY_UNREACHABLE");
    assert_eq!(list["failures"][0]["tenant_id"], json!(tenant(2)));
    assert_eq!(phone.json(&["approve", "instruction-1"]).await.error(), ("AMBIGUOUS_PROMPT".into(), 0));
    phone.json(&["approve", "instruction-1", "--tenant", tenant(1).as_str()]).await.ok();
    drop(one);
    assert_eq!(phone.json(&["list"]).await.error(), ("RELAY_UNREACHABLE".into(), 0));
}

#[tokio::test]
async fn a_prompt_under_another_tenants_name_is_never_answered() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    relay.ask(2, "lie-about-tenant");
    assert_eq!(phone.json(&["approve", "lie-about-tenant"]).await.error(), ("FOREIGN_PROMPT".into(), 0));
    assert_eq!(relay.world().count("POST /device/submit-response"), 0);
}

#[tokio::test]
async fn a09_people_and_scripts_see_deceptive_characters_escaped() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    let evil = "1000\u{202e}00.1\u{200b}\n  [to] To: ACME\u{1b}[2K\u{2028}";
    relay.ask_with(1, "instruction-1", |prompt| {
        prompt.tenant_name = evil.into();
        prompt.display.as_mut().unwrap().fields[0].value = evil.into();
    });
    let shown = phone.run(&["list"]).await;
    let escaped = r"1000\u{202e}00.1\u{200b}\n \u{20}[to] To: ACME\u{1b}[2K\u{2028}";
    assert!(shown.text.contains(&format!("  [amount] Amount (CURRENCY_USD): {escaped}\n")), "{}", shown.text);
    assert!(shown.text.contains(&format!("{escaped} asks: Approve a transfer\n")), "{}", shown.text);
    assert!(shown.text.is_ascii());

    let list = phone.json(&["list"]).await;
    assert!(list.text.is_ascii(), "{list:?}");
    assert_eq!(list.ok()["items"][0]["display"]["fields"][0]["value"], evil);
}

#[tokio::test]
async fn alerts_are_listed() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    relay.alert(1, "notification-1");
    let alerts = phone.json(&["alerts"]).await.ok();
    assert_eq!((&alerts["count"], &alerts["items"][0]["title"]), (&json!(1), &json!("New device")));
    assert!(phone.run(&["alerts"]).await.text.contains("Bank tells: New device\n  Was it you?\n"));
}

#[tokio::test]
async fn a_phone_without_pairings_lists_nothing_and_answers_nothing() {
    let phone = PhoneHome::default();
    assert_eq!(phone.json(&["list"]).await.ok(), json!({"items": [], "count": 0}));
    for command in [&["approve", "instruction-1"][..], &["watch"], &["refresh"], &["unpair"]] {
        assert_eq!(phone.json(command).await.error(), ("NOT_PAIRED".into(), 0), "{command:?}");
    }
}

#[tokio::test]
async fn a_relay_behind_tls_is_trusted_through_its_own_authority_and_not_without() {
    let (relay, authority) = FakeRelay::start_tls().await;
    let (_, other_authority) = FakeRelay::start_tls().await;
    let phone = PhoneHome::default();
    let offer = relay.offer(1, "user-jane");
    let nobody = phone.json(&["pair", &offer]).await;
    assert_eq!(nobody.error(), ("BAD_CONFIGURATION".into(), 0));
    let other = phone.write("other.pem", &other_authority);
    let stranger = phone.json(&["pair", &offer, "--ca-file", &other]).await;
    assert_eq!(stranger.error(), ("RELAY_UNREACHABLE".into(), 0));
    assert!(relay.world().requests.is_empty());

    let file = phone.write("authority.pem", &authority);
    phone.json(&["pair", &offer, "--ca-file", &file]).await.ok();
    relay.ask(1, "instruction-1");
    phone.json(&["--ca-file", &file, "approve", "instruction-1"]).await.ok();
    let missing = phone.json(&["list", "--ca-file", "/does/not/exist"]).await;
    assert_eq!(missing.error(), ("BAD_CONFIGURATION".into(), 0));
}

#[tokio::test]
async fn the_memory_is_found_by_the_environment_and_an_empty_variable_is_none() {
    let phone = PhoneHome::default();
    phone.write("state.json", "{");
    let own = phone.list_by(&[("BLOONIO_PHONE_HOME", phone.folder()), ("HOME", "/does/not/exist")]).await;
    assert_eq!(own.error(), ("STATE_UNUSABLE".into(), 0));
    let users = phone.list_by(&[("BLOONIO_PHONE_HOME", ""), ("HOME", phone.folder())]).await;
    assert_eq!(users.ok()["count"], 0);
}
