//! The memory on disk.

use std::fs;
use std::sync::mpsc;

use bloonio_wire::clock::Timestamp;
use rstest::rstest;
use tempfile::TempDir;

use super::*;

pub fn pairing(relay: &str, tenant: char, user: &str, device: char) -> Pairing {
    let repeat = |c: char, n: usize| String::from(c).repeat(n);
    Pairing {
        relay: relay.parse().unwrap(),
        info: PairingInfo {
            tenant_id: format!("tnt_{}", repeat(tenant, 32)).parse().unwrap(),
            tenant_name: "Bank".into(),
            user_socket_hash: user.parse().unwrap(),
            relay_user_linked_id: repeat('0', 24).parse().unwrap(),
            device_id: repeat(device, 24).parse().unwrap(),
            display_name: "Jane".into(),
            display_logo_url: None,
        },
        platform: Platform::Stream,
        fcm_token: None,
        device_key: Secret::new("11".repeat(32)),
        session_token: Secret::new("hush-session"),
        session_since: Timestamp::from_secs(0),
        session_until: Timestamp::from_secs(100),
        otpauth_uri: None,
        last_totp_step: None,
    }
}

const RELAY: &str = "https://relay.example";

fn home(folder: &TempDir) -> Home {
    Home::new(folder.path().join("phone"))
}

fn saved(folder: &TempDir) -> Home {
    let home = home(folder);
    let mut locked = home.lock().unwrap();
    locked.state.put(pairing(RELAY, 'a', "user-one", '1'));
    locked.save().unwrap();
    home
}

#[test]
fn what_was_saved_is_read_again() {
    let folder = TempDir::new().unwrap();
    let state = saved(&folder).read().unwrap();
    assert_eq!(state.pairings.len(), 1);
    assert_eq!(state.pairings[0].session_token.expose(), "hush-session");
    assert!(state.pairings[0].identity().is_ok());
}

#[test]
fn a_home_that_does_not_exist_is_an_empty_memory_and_is_not_made_by_reading() {
    let folder = TempDir::new().unwrap();
    assert!(home(&folder).read().unwrap().pairings.is_empty());
    assert!(!folder.path().join("phone").exists());
}

#[test]
fn pairing_again_replaces_and_other_users_tenants_and_relays_are_kept_apart() {
    let mut state = State::default();
    for (i, (relay, tenant, user)) in [
        (RELAY, 'a', "user-one"),
        (RELAY, 'a', "user-two"),
        (RELAY, 'b', "user-one"),
        ("https://b.example", 'a', "user-one"),
    ]
    .into_iter()
    .enumerate()
    {
        let device = char::from_digit(u32::try_from(i).unwrap(), 10).unwrap();
        assert!(state.put(pairing(relay, tenant, user, device)).is_none());
    }
    let former = state.put(pairing(RELAY, 'a', "user-one", '9')).unwrap();
    assert_eq!(former.info.device_id.as_str(), "0".repeat(24));
    assert_eq!(state.pairings.len(), 4);
}

#[cfg(unix)]
#[test]
fn folder_and_files_are_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    saved(&folder);
    let mode = |path: &str| fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("phone"), mode("phone/state.json"), mode("phone/state.lock")), (0o700, 0o600, 0o600));
}

#[cfg(unix)]
#[test]
fn an_open_folder_is_closed_unless_it_holds_other_things() {
    use std::os::unix::fs::PermissionsExt;
    for (other_things, mode) in [(false, 0o700), (true, 0o755)] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("phone");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        if other_things {
            fs::write(path.join("letter.txt"), "").unwrap();
        }
        saved(&folder);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        assert_eq!(fs::metadata(path.join("state.json")).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[rstest]
#[case::empty("")]
#[case::noise("\u{1}\u{2}")]
#[case::cut_off(r#"{"version": 1, "pairings": ["#)]
#[case::no_version("{}")]
#[case::other_json("[1]")]
#[case::unknown_field(r#"{"version": 1, "pairings": [], "more": 1}"#)]
#[case::half_a_pairing(r#"{"version": 1, "pairings": [{"relay": "https://relay.example"}]}"#)]
#[case::newer(r#"{"version": 2, "pairings": {"new": "shape"}}"#)]
fn a_memory_that_cannot_be_read_is_refused_and_left_as_it_is(#[case] content: &str) {
    let folder = TempDir::new().unwrap();
    let home = saved(&folder);
    let file = folder.path().join("phone/state.json");
    fs::write(&file, content).unwrap();
    assert!(matches!(home.read(), Err(StateError::Corrupt { .. } | StateError::Version { .. })));
    assert!(home.lock().is_err());
    assert_eq!(fs::read_to_string(&file).unwrap(), content);
}

#[test]
fn messages_about_a_damaged_memory_do_not_repeat_it() {
    let folder = TempDir::new().unwrap();
    let home = saved(&folder);
    let file = folder.path().join("phone/state.json");
    let damaged = fs::read_to_string(&file).unwrap().replace("\"stream\"", "\"hush-platform\"");
    fs::write(&file, damaged).unwrap();
    let error = home.read().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
}

#[test]
fn a_left_over_of_an_interrupted_save_does_no_harm() {
    let folder = TempDir::new().unwrap();
    let home = saved(&folder);
    fs::write(folder.path().join("phone/state.json.new"), "half wri").unwrap();
    home.lock().unwrap().save().unwrap();
    assert_eq!(home.read().unwrap().pairings.len(), 1);
    assert!(!folder.path().join("phone/state.json.new").exists());
}

#[test]
fn two_writers_wait_for_each_other_and_lose_nothing() {
    let folder = TempDir::new().unwrap();
    let home = home(&folder);
    let mut first = home.lock().unwrap();
    let (started, starting) = mpsc::channel();
    let second = {
        let home = home.clone();
        std::thread::spawn(move || {
            started.send(()).unwrap();
            let mut second = home.lock().unwrap();
            second.state.put(pairing(RELAY, 'b', "user-two", '2'));
            second.save().unwrap();
        })
    };
    starting.recv().unwrap();
    first.state.put(pairing(RELAY, 'a', "user-one", '1'));
    first.save().unwrap();
    drop(first);
    second.join().unwrap();
    assert_eq!(home.read().unwrap().pairings.len(), 2);
}

#[test]
fn debug_shows_no_secret() {
    let pairing = Pairing { fcm_token: Some(Secret::new("hush-fcm")), ..pairing(RELAY, 'a', "user-one", '1') };
    let shown = format!("{pairing:?}");
    assert!(!shown.contains("hush") && !shown.contains("1111111111111111111111111111111"), "{shown}");
}

#[rstest]
#[case(0, false)]
#[case(75, false)]
#[case(76, true)]
#[case(100, true)]
#[case(500, true)]
fn sessions_are_renewed_in_their_last_quarter(#[case] now: i64, #[case] due: bool) {
    assert_eq!(pairing(RELAY, 'a', "user-one", '1').wants_refresh(Timestamp::from_secs(now)), due);
}

#[test]
fn a_damaged_key_is_an_error() {
    let pairing = Pairing { device_key: Secret::new("00".repeat(32)), ..pairing(RELAY, 'a', "user-one", '1') };
    assert_eq!(pairing.identity().err(), Some(KeyError));
}
