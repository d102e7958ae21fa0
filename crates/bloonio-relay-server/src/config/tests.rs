use super::*;
use crate::seal::{KeyId, KeyRing, MasterKey};
use bloonio_wire::random::{SeededRandom, SystemRandom};
use clap::Parser;
use rstest::rstest;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    relay: RelayArgs,
}

fn config(flags: &[&str]) -> Result<Config, ConfigError> {
    let line = std::iter::once("relay").chain(flags.iter().copied());
    Config::from_args(Line::try_parse_from(line).unwrap().relay)
}

#[test]
fn the_defaults_are_those_of_the_protocol() {
    let config = config(&[]).unwrap();
    assert_eq!(config.listen, "127.0.0.1:8700");
    assert_eq!(config.store.data_dir, PathBuf::from("./relay-data"));
    assert_eq!(config.pairing_proof_ttl, Duration::from_secs(300));
    assert_eq!(config.fcm_endpoint.as_str(), "https://fcm.googleapis.com/");
    assert!(!config.guard.allow_private && config.admin_keys.is_empty() && config.fcm_credentials.is_none());
    assert_eq!(config.bound_to("127.0.0.1:4711".parse().unwrap()).public_url, "http://127.0.0.1:4711");
}

#[rstest]
#[case(&["--relay-admin-key", "31-bytes-are-one-too-few-012345"], "RELAY_ADMIN_KEY: must have at least 32 bytes")]
#[case(&["--relay-admin-key", ""], "RELAY_ADMIN_KEY: must have at least 32 bytes")]
#[case(&["--relay-admin-key-next", "short"], "RELAY_ADMIN_KEY_NEXT: must have at least 32 bytes")]
#[case(&["--relay-admin-key", "a key with blanks that is long enough"], "RELAY_ADMIN_KEY: must be printable")]
#[case(&["--relay-public-url", "relay.example"], "RELAY_PUBLIC_URL")]
#[case(&["--relay-public-url", "https://relay.example/?x=1"], "RELAY_PUBLIC_URL")]
#[case(&["--relay-database-url", "mysql://db/relay"], "RELAY_DATABASE_URL")]
#[case(&["--relay-database-url", "sqlite::memory:"], "RELAY_DATABASE_URL")]
#[case(&["--relay-fcm-endpoint", "http://fcm.example"], "RELAY_FCM_ENDPOINT")]
#[case(&["--relay-trusted-proxies", "10.0.0.0/8,proxy"], "RELAY_TRUSTED_PROXIES: \"proxy\"")]
#[case(&["--relay-extra-callback-ports", "8443,https"], "RELAY_EXTRA_CALLBACK_PORTS: \"https\"")]
#[case(&["--relay-redis-url", "http://localhost"], "RELAY_REDIS_URL")]
#[case(&["--relay-redis-url", "redis://"], "RELAY_REDIS_URL")]
#[case(&["--relay-auth-api-url", "https://auth.example"], "RELAY_AUTH_API_URL")]
fn a_setting_that_cannot_be_used_is_named(#[case] flags: &[&str], #[case] message: &str) {
    let error = config(flags).unwrap_err().to_string();
    assert!(error.starts_with(message), "{error}");
}

#[rstest]
#[case("sqlite:///var/lib/bloonio/relay.db", false)]
#[case("postgres://relay@db.example/relay", true)]
#[case("postgresql://relay@db.example/relay?sslmode=verify-full", true)]
fn a_database_of_either_engine_is_taken(#[case] url: &str, #[case] shared: bool) {
    let store = config(&["--relay-database-url", url]).unwrap().store;
    assert_eq!((store.database_url.as_ref().map(Secret::expose), store.is_shared()), (Some(url), shared));
}

#[rstest]
fn secrets_come_from_files_too_and_a_line_end_is_no_part_of_them(#[values("", "\n")] end: &str) {
    let folder = tempfile::tempdir().unwrap();
    let admin = "a".repeat(32);
    for (name, value) in [
        ("relay_admin_key", admin.as_str()),
        ("relay_database_url", "postgres://relay:secret@db/relay"),
        ("relay_redis_url", "redis://:secret@redis"),
        ("relay_master_key", "of the file"),
        ("relay_master_key_previous", "one,two"),
        ("something_else", "is not looked at"),
    ] {
        std::fs::write(folder.path().join(name), format!("{value}{end}")).unwrap();
    }
    let config = config(&["--relay-secrets-dir", folder.path().to_str().unwrap()]).unwrap();
    let admin_keys: Vec<_> = config.admin_keys.iter().map(Secret::expose).collect();
    assert_eq!(admin_keys, [&admin]);
    assert_eq!(config.store.database_url.as_ref().map(Secret::expose), Some("postgres://relay:secret@db/relay"));
    assert_eq!(config.redis_url.unwrap().expose(), "redis://:secret@redis");
    assert_eq!(config.store.master_key.unwrap().expose(), "of the file");
    let previous: Vec<_> = config.store.master_key_previous.iter().map(Secret::expose).collect();
    assert_eq!(previous, ["one", "two"]);
}

#[test]
fn a_secret_in_two_places_is_refused_and_so_is_a_folder_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("relay_admin_key"), "f".repeat(32)).unwrap();
    let path = folder.path().to_str().unwrap();
    let twice = config(&["--relay-secrets-dir", path, "--relay-admin-key", &"g".repeat(32)]).unwrap_err().to_string();
    assert!(twice.starts_with("RELAY_ADMIN_KEY: is given twice") && !twice.contains("ffff"), "{twice}");
    let missing = folder.path().join("missing");
    let missing = config(&["--relay-secrets-dir", missing.to_str().unwrap()]).unwrap_err().to_string();
    assert!(missing.starts_with("cannot read the folder of secrets"), "{missing}");
}

#[test]
fn an_admin_key_is_never_shown() {
    let error = config(&["--relay-admin-key", "hush-hush"]).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hush"));
    let config = config(&["--relay-admin-key", "hush-hush-hush-hush-hush-hush-hush"]).unwrap();
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn the_master_key_is_made_once_and_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("a/b");
    master_key::create_data_dir(&data_dir).unwrap();
    let config = StoreConfig { data_dir: data_dir.clone(), ..config(&[]).unwrap().store };
    assert!(master_key::load(&config).unwrap().is_none());
    let fresh = || MasterKey::draw(&SystemRandom).unwrap();
    let first = master_key::keep(&config, fresh(), &SystemRandom).unwrap();
    let later = master_key::keep(&config, fresh(), &SystemRandom).unwrap();
    let again = master_key::load(&config).unwrap().unwrap();
    assert_eq!((only(&later), only(&again)), (only(&first), only(&first)));
    assert_eq!(std::fs::read_dir(&data_dir).unwrap().count(), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        assert_eq!(std::fs::metadata(data_dir.join("master.key")).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(&data_dir).unwrap().mode() & 0o777, 0o700);
    }
}

/// The ring's only key.
fn only(ring: &KeyRing) -> zeroize::Zeroizing<String> {
    assert_eq!(ring.keys().count(), 1);
    ring.current().to_base64()
}

fn keys(count: u64) -> Vec<MasterKey> {
    (1..=count).map(|seed| MasterKey::draw(&SeededRandom::new(seed)).unwrap()).collect()
}

fn ids(ring: &KeyRing) -> Vec<KeyId> {
    ring.keys().map(MasterKey::id).collect()
}

#[test]
fn a64_the_first_line_of_the_master_keys_file_seals_and_the_others_open() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(3);
    let text: Vec<_> = keys.iter().map(|key| format!("{}\n\n", *key.to_base64())).collect();
    std::fs::write(folder.path().join("master.key"), text.concat()).unwrap();
    let config = StoreConfig { data_dir: folder.path().into(), ..config(&[]).unwrap().store };
    let ring = master_key::load(&config).unwrap().unwrap();
    assert_eq!(ids(&ring), keys.iter().map(MasterKey::id).collect::<Vec<_>>());
}

#[test]
fn a64_previous_keys_of_the_settings_stand_behind_the_one_that_seals() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(3);
    let text = |key: &MasterKey| key.to_base64().to_string();
    let previous = format!("{},{}, ", text(&keys[1]), text(&keys[2]));
    let flags = ["--relay-master-key", &text(&keys[0]), "--relay-master-key-previous", &previous];
    let given = StoreConfig { data_dir: folder.path().into(), ..config(&flags).unwrap().store };
    let all: Vec<_> = keys.iter().map(MasterKey::id).collect();
    assert_eq!(ids(&master_key::load(&given).unwrap().unwrap()), all);
    // Beside a file likewise, also beside one that is made just now.
    let beside = StoreConfig { master_key: None, ..given };
    assert!(master_key::load(&beside).unwrap().is_none());
    assert_eq!(ids(&master_key::keep(&beside, keys[0].clone(), &SystemRandom).unwrap()), all);
    assert_eq!(ids(&master_key::load(&beside).unwrap().unwrap()), all);
}

#[test]
fn a_previous_key_that_cannot_be_read_is_named_and_not_shown() {
    let flags = ["--relay-master-key", &*keys(1)[0].to_base64(), "--relay-master-key-previous", "hush-hush"];
    let error = master_key::load(&config(&flags).unwrap().store).unwrap_err();
    assert!(error.to_string().starts_with("RELAY_MASTER_KEY_PREVIOUS: "), "{error}");
    assert!(!format!("{error} {error:?}").contains("hush"));
}

#[rstest]
#[case::empty("")]
#[case::short("AAAA")]
#[case::noise("not a key")]
#[case::a_second_line_of_noise("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\nnot a key\n")]
fn a_broken_master_key_is_never_replaced(#[case] content: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    std::fs::write(&path, content).unwrap();
    let config = StoreConfig { data_dir: folder.path().into(), ..config(&[]).unwrap().store };
    assert!(matches!(master_key::load(&config), Err(ConfigError::BadMasterKey { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
}
