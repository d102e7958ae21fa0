//! One-time codes on the phone: its own seed, each code once.

use bloonio_authenticator::totp::CodeMaker;
use bloonio_wire::challenge::CustomType;
use bloonio_wire::clock::{Clock, SystemClock, Timestamp};
use bloonio_wire::secret::Secret;

use crate::support::{FakeRelay, OTPAUTH_URI, PhoneHome};

fn ask(relay: &FakeRelay, id: &str) {
    relay.ask_with(1, id, |prompt| prompt.custom_type = CustomType::Totp);
}

/// The codes that may have been current at some moment since `began`, and the one after them.
fn possible(began: Timestamp) -> Vec<String> {
    let maker = CodeMaker::from_otpauth_uri(&Secret::new(OTPAUTH_URI)).unwrap();
    let (first, last) = (began.as_secs() / 30, SystemClock.now().as_secs() / 30 + 1);
    (first..=last).map(|step| maker.code_at(Timestamp::from_secs(step * 30)).code.expose().to_owned()).collect()
}

#[tokio::test]
async fn a_code_of_the_phones_own_goes_with_the_approval() {
    let (relay, began) = (FakeRelay::start().await, SystemClock.now());
    let phone = PhoneHome::default();
    assert_eq!(phone.json(&["pair", &relay.offer(1, "user-jane")]).await.ok()["one_time_codes"], true);
    ask(&relay, "instruction-1");
    phone.json(&["approve", "instruction-1"]).await.ok();
    let sent = relay.world().decisions[0].totp_code.clone().unwrap();
    assert!(possible(began).contains(&sent), "{sent}");
}

#[tokio::test]
async fn a83_no_code_is_sent_twice() {
    let (relay, began) = (FakeRelay::start().await, SystemClock.now());
    let phone = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    let mut refused = 0;
    for round in 0..4 {
        ask(&relay, &format!("instruction-{round}"));
        let outcome = phone.json(&["approve", &format!("instruction-{round}")]).await;
        if outcome.code != 0 {
            assert_eq!(outcome.error(), ("TOTP_CODE_USED".into(), 0));
            refused += 1;
        }
    }
    let mut sent: Vec<_> = relay.world().decisions.iter().map(|answer| answer.totp_code.clone().unwrap()).collect();
    assert_eq!(sent.len() + refused, 4);
    assert!(sent.len() >= 2, "the current one and the next one pass");
    assert!(sent.iter().all(|code| possible(began).contains(code)), "{sent:?}");
    sent.sort();
    sent.dedup();
    assert_eq!(sent.len() + refused, 4, "each once");
}

#[tokio::test]
async fn a_person_can_read_the_code_and_whether_it_is_still_good() {
    let (relay, began) = (FakeRelay::start().await, SystemClock.now());
    let phone = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    let shown = phone.json(&["totp"]).await.ok();
    assert!(possible(began).iter().any(|code| shown["code"] == **code), "{shown}");
    assert!((1..=30).contains(&shown["seconds_left"].as_u64().unwrap()), "{shown}");
    assert_eq!((&shown["used"], &shown["tenant_id"]), (&false.into(), &crate::support::tenant(1).as_str().into()));

    let mut state = phone.state();
    state["pairings"][0]["last_totp_step"] = 1_000_000_000_u64.into();
    phone.write("state.json", &state.to_string());
    assert_eq!(phone.json(&["totp"]).await.ok()["used"], true);
    let for_people = phone.run(&["totp"]).await;
    assert!(for_people.text.contains("(used: wait for the next one)"), "{for_people:?}");
    ask(&relay, "instruction-1");
    assert_eq!(phone.json(&["approve", "instruction-1"]).await.error(), ("TOTP_CODE_USED".into(), 0));
}

#[tokio::test]
async fn a_phone_without_the_seed_needs_to_be_told_the_code() {
    let relay = FakeRelay::start().await;
    let _first = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    let second = PhoneHome::default();
    assert_eq!(second.json(&["pair", &relay.offer(1, "user-jane")]).await.ok()["one_time_codes"], false);
    for device in &mut relay.world().devices {
        device.status = bloonio_wire::device::DeviceStatus::Active;
    }
    ask(&relay, "instruction-1");
    assert_eq!(second.json(&["totp"]).await.error(), ("NO_TOTP_SEED".into(), 0));
    assert_eq!(second.json(&["approve", "instruction-1"]).await.error(), ("NO_TOTP_SEED".into(), 0));
    second.json(&["approve", "instruction-1", "--totp", "287082"]).await.ok();
    assert_eq!(relay.world().decisions[0].totp_code.as_deref(), Some("287082"));
}

#[tokio::test]
async fn denying_spends_no_code() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    ask(&relay, "instruction-1");
    phone.json(&["deny", "instruction-1"]).await.ok();
    assert_eq!(relay.world().decisions[0].totp_code, None);
    assert_eq!(phone.json(&["totp"]).await.ok()["used"], false);
}

#[tokio::test]
async fn a_phone_that_pairs_again_keeps_its_seed() {
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::paired(&relay.offer(1, "user-jane")).await;
    assert_eq!(phone.json(&["pair", &relay.offer(1, "user-jane")]).await.ok()["one_time_codes"], true);
    assert_eq!(relay.world().devices.len(), 1);
    ask(&relay, "instruction-1");
    phone.json(&["approve", "instruction-1"]).await.ok();
    assert!(relay.world().decisions[0].totp_code.is_some());
}

#[tokio::test]
async fn the_seed_lies_in_the_private_file_alone() {
    use std::os::unix::fs::PermissionsExt;
    let relay = FakeRelay::start().await;
    let phone = PhoneHome::default();
    let paired = phone.json(&["pair", &relay.offer(1, "user-jane")]).await;
    assert!(!format!("{paired:?}").contains("GEZD"), "{paired:?}");
    assert_eq!(phone.state()["pairings"][0]["otpauth_uri"], OTPAUTH_URI);
    assert_eq!(std::fs::metadata(phone.state_file()).unwrap().permissions().mode() & 0o777, 0o600);
}
