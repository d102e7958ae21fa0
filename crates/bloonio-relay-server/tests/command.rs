//! The operator's tools, run as the operator runs them: the built binary, a data folder, and what it prints.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says where")]

mod support;

use std::path::Path;

use bloonio_relay_server::storage::db::{query, query_for};
use bloonio_relay_server::storage::schema::{self, Schema};
use bloonio_wire::clock::{Clock, SystemClock};
use rstest::rstest;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use support::ADMIN_KEY;
use support::database::TestDatabase;
use support::process::{command, complaint, printed, run};
use support::redis::RedisServer;
use tempfile::TempDir;

/// Runs a command on a data folder; gives what it printed.
fn text(folder: &Path, arguments: &[&str]) -> String {
    let output = run(&[arguments, &["--relay-data-dir", folder.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", complaint(&output));
    printed(&output)
}

fn answer(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&text(folder, arguments)).unwrap()
}

fn provisioned(folder: &Path) -> String {
    answer(folder, &["tenant", "provision", "Bank"])["tenant_id"].as_str().unwrap().to_owned()
}

#[test]
fn every_field_of_a_tenant_can_be_set_shown_changed_and_cleared() {
    let folder = TempDir::new().unwrap();
    let made = answer(
        folder.path(),
        &[
            "tenant",
            "provision",
            "Bank",
            "--rate-limit-per-min=100",
            "--callback-url-base=https://bank.example/hooks",
            "--extra-callback-origins=https://a.example,https://b.example",
            "--require-message-signatures=false",
            "--device-addition=open",
            "--branding-display-name=The Bank",
            "--branding-logo-url=https://bank.example/logo.png",
            "--qr-login-allowed-origins=https://bank.example",
            "--webauthn-rp-id=bank.example",
            "--webauthn-origins=https://bank.example",
            "--passkeys-enabled=false",
        ],
    );
    let id = made["tenant_id"].as_str().unwrap();
    let shown = answer(folder.path(), &["tenant", "show", id]);
    let expected = json!({
        "tenant_id": id, "tenant_name": "Bank", "rate_limit_per_min": 100, "status": "active",
        "callback_url_base": "https://bank.example/hooks",
        "extra_callback_origins": ["https://a.example", "https://b.example"],
        "require_message_signatures": false, "device_addition": "open", "branding_display_name": "The Bank",
        "branding_logo_url": "https://bank.example/logo.png", "qr_login_allowed_origins": ["https://bank.example"],
        "webauthn_rp_id": "bank.example", "webauthn_origins": ["https://bank.example"], "passkeys_enabled": false,
        "created_at": shown["created_at"],
    });
    assert_eq!(shown, expected);
    let update =
        ["tenant", "update", id, "--tenant-name=Bank 2", "--require-message-signatures", "--clear=callback_url_base"];
    let updated = answer(folder.path(), &update);
    assert_eq!((&updated["tenant_name"], &updated["callback_url_base"]), (&json!("Bank 2"), &Value::Null));
    assert_eq!((&updated["require_message_signatures"], &updated["rate_limit_per_min"]), (&json!(true), &json!(100)));
    assert_eq!(updated, answer(folder.path(), &["tenant", "show", id]));
}

#[rstest]
#[case::nothing(&[], "nothing to change")]
#[case::both(&["--rate-limit-per-min=5", "--clear=rate_limit_per_min"], "rate_limit_per_min is both set and cleared")]
#[case::rule(&["--rate-limit-per-min=0"], "rate_limit_per_min must be")]
#[case::unknown(&["--clear=colour"], "colour")]
#[case::word(&["--device-addition=maybe"], "[possible values: confirm, open]")]
fn a_change_that_makes_no_sense_is_explained_and_changes_nothing(#[case] change: &[&str], #[case] message: &str) {
    let folder = TempDir::new().unwrap();
    let id = provisioned(folder.path());
    let before = answer(folder.path(), &["tenant", "show", &id]);
    let data = ["--relay-data-dir", folder.path().to_str().unwrap()];
    let output = run(&[&["tenant", "update", &id], change, &data].concat());
    assert!(!output.status.success());
    assert!(complaint(&output).contains(message), "{}", complaint(&output));
    assert_eq!(answer(folder.path(), &["tenant", "show", &id]), before);
}

#[test]
fn a_secret_can_be_replaced_by_either_name() {
    let folder = TempDir::new().unwrap();
    let id = provisioned(folder.path());
    let secrets = ["rotate-secret", "rotate"].map(|name| answer(folder.path(), &["tenant", name, &id]));
    assert_ne!(secrets[0]["tenant_secret"], secrets[1]["tenant_secret"]);
    assert!(secrets[1]["tenant_secret"].as_str().unwrap().starts_with("sk_"));
}

#[test]
fn people_get_a_table_and_scripts_get_json() {
    let folder = TempDir::new().unwrap();
    let id = provisioned(folder.path());
    let table = text(folder.path(), &["tenant", "list", "--text"]);
    let mut lines = table.lines();
    assert!(lines.next().unwrap().starts_with("TENANT_ID "), "{table}");
    assert!(lines.next().unwrap().starts_with(&format!("{id}  Bank")), "{table}");
    assert_eq!(lines.next(), Some("1 of 1"));
    assert_eq!(answer(folder.path(), &["tenant", "list", "--json"])["total"], 1);
}

/// The database of a folder, looked at behind the relay's back.
async fn database(folder: &Path) -> SqlitePool {
    SqlitePool::connect_with(SqliteConnectOptions::new().filename(folder.join("relay.db"))).await.unwrap()
}

/// Puts callbacks into the outbox of a folder's database, in this state.
async fn add_callbacks(folder: &Path, tenant: &str, state: &str, ids: &[&str]) {
    let database = database(folder).await;
    for id in ids {
        let sql =
            "INSERT INTO deliveries (tenant_id, delivery_id, subject_id, flow, url, lane, payload, state, attempts,
                       next_at, created_at, scheduled_from, give_up_at, settled_at, last_status, last_error)
                   VALUES ($1, $2, $2, 'sudo-validated', 'https://bank.example/hook', 'lane', '{\"secret\":1}', $3, 9,
                       $4, $4, $4, $4, $4, 500, 'status')";
        let now = SystemClock.now().as_millis();
        sqlx::query(sql).bind(tenant).bind(id).bind(state).bind(now).execute(&database).await.unwrap();
    }
    database.close().await;
}

#[tokio::test]
async fn dead_callbacks_are_listed_and_sent_again_one_or_all_of_a_tenant() {
    let folder = TempDir::new().unwrap();
    let (bank, shop) = (provisioned(folder.path()), provisioned(folder.path()));
    add_callbacks(folder.path(), &bank, "dead", &["dlv_1", "dlv_2", "dlv_3"]).await;
    add_callbacks(folder.path(), &bank, "acknowledged", &["dlv_4"]).await;
    add_callbacks(folder.path(), &shop, "dead", &["dlv_5"]).await;
    let dead = |tenant: &str| answer(folder.path(), &["callbacks", "list", "--tenant", tenant, "--status", "dead"]);
    assert_eq!((&dead(&bank)["total"], &dead(&shop)["total"]), (&json!(3), &json!(1)));
    assert!(!dead(&bank).to_string().contains("secret"), "what a person answered is the tenant's alone");
    assert_eq!(answer(folder.path(), &["callbacks", "list"])["total"], 5);
    let again = answer(folder.path(), &["callbacks", "redeliver", "dlv_1"]);
    assert_eq!((&again["status"], &again["delivery_id"]), (&json!("due"), &json!("dlv_1")));
    let all = answer(folder.path(), &["callbacks", "redeliver", "--all-dead", "--tenant", &bank]);
    assert_eq!(all, json!({"tenant_id": bank, "redelivered": 2}));
    assert_eq!((&dead(&bank)["total"], &dead(&shop)["total"]), (&json!(0), &json!(1)));
    let acknowledged = ["callbacks", "list", "--tenant", &bank, "--status", "acknowledged", "--text"];
    assert!(text(folder.path(), &acknowledged).contains("dlv_4"));
}

#[rstest]
#[case(&["callbacks", "redeliver"], "<DELIVERY_ID>")]
#[case(&["callbacks", "redeliver", "--all-dead"], "--tenant <TENANT_ID>")]
#[case(&["callbacks", "redeliver", "dlv_1", "--all-dead", "--tenant", "tnt_00000000000000000000000000000000"], "cannot be used with")]
#[case(&["callbacks", "redeliver", "nobody-knows"], "there is no such callback (NOT_FOUND)")]
#[case(&["callbacks", "list", "--tenant", "tnt_00000000000000000000000000000000"], "there is no such tenant (NOT_FOUND)")]
#[case(&["callbacks", "list", "--status", "lost"], "must be due, sending, acknowledged or dead")]
fn what_callbacks_cannot_do_is_explained(#[case] arguments: &[&str], #[case] message: &str) {
    let folder = TempDir::new().unwrap();
    let output = run(&[arguments, &["--relay-data-dir", folder.path().to_str().unwrap()]].concat());
    assert!(!output.status.success());
    assert!(complaint(&output).contains(message), "{}", complaint(&output));
}

/// Puts a device of its own pairing into the database; `(address, address_state, reason, changed_at, status)`.
async fn add_device(pool: &SqlitePool, tenant: &str, device: (&str, &str, &str, i64, &str)) {
    let (address, state, reason, changed_at, status) = device;
    let pairing = "INSERT INTO pairings (tenant_id, user_socket_hash, relay_user_linked_id, created_at)
        VALUES ($1, 'user-' || $2, 'link-' || $2, 0)";
    sqlx::query(pairing).bind(tenant).bind(address).execute(pool).await.unwrap();
    let device = "INSERT INTO devices (tenant_id, device_id, relay_user_linked_id, platform, status, address_kind, address,
                                       address_state, address_reason, address_changed_at, generation, created_at, last_seen_at)
        VALUES ($1, 'device-' || $2, 'link-' || $2, 'android', $6, 'token', $2, $3, $4, $5, 1, 0, 0)";
    let device = sqlx::query(device).bind(tenant).bind(address).bind(state).bind(reason).bind(changed_at).bind(status);
    device.execute(pool).await.unwrap();
}

#[tokio::test]
async fn addresses_of_a_wrong_wave_are_counted_and_revived_and_no_others() {
    let folder = TempDir::new().unwrap();
    let (bank, shop) = (provisioned(folder.path()), provisioned(folder.path()));
    let pool = database(folder.path()).await;
    let wave = 1_764_036_000_000; // 2025-11-25T02:00:00Z
    for device in [
        ("wrongly-dead", "dead", "unregistered", wave, "active"),
        ("awaiting", "dead", "unregistered", wave + 1, "awaiting_confirmation"),
        ("dead-before", "dead", "unregistered", wave - 1, "active"),
        ("other-reason", "dead", "invalid_token", wave, "active"),
        ("other-verdict", "quarantined", "unregistered", wave, "active"),
        ("removed", "dead", "unregistered", wave, "removed"),
        ("back-again", "dead", "unregistered", wave, "active"),
    ] {
        add_device(&pool, &bank, device).await;
    }
    add_device(&pool, &shop, ("of-the-shop", "dead", "unregistered", wave, "active")).await;
    // The phone has registered anew with the same address.
    let again =
        "INSERT INTO devices (tenant_id, device_id, relay_user_linked_id, platform, status, address_kind, address,
                                      address_state, address_changed_at, generation, created_at, last_seen_at)
        SELECT tenant_id, 'device-anew', relay_user_linked_id, platform, status, address_kind, address, 'live',
               address_changed_at, generation, created_at, last_seen_at
        FROM devices WHERE address = 'back-again'";
    sqlx::query(again).execute(&pool).await.unwrap();

    let revive = ["addresses", "revive", "--verdict=dead", "--reason=unregistered", "--since=2025-11-25T02:00:00Z"];
    let of_bank = [&revive[..], &["--tenant", &bank]].concat();
    let counted = answer(folder.path(), &[&of_bank[..], &["--dry-run"]].concat());
    assert_eq!(counted["would_be_revived"], 2);
    assert_eq!(answer(folder.path(), &of_bank)["revived"], 2);
    assert_eq!(answer(folder.path(), &of_bank)["revived"], 0);
    let live = "SELECT address FROM devices WHERE address_state = 'live' AND address_reason IS NULL ORDER BY address";
    let live: Vec<String> = sqlx::query_scalar(live).fetch_all(&pool).await.unwrap();
    assert_eq!(live, ["awaiting", "back-again", "wrongly-dead"]);
    assert_eq!(answer(folder.path(), &revive)["revived"], 1, "the shop's");

    let entries = |chain: &str| {
        let listed = text(folder.path(), &["audit", "list", "--tenant", chain, "--json"]);
        listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let told = entries(&bank).into_iter().find(|entry| entry["kind"] == "addresses.revived").unwrap();
    assert_eq!(told["subject"], "dead");
    assert_eq!(told["details"], json!({"reason": "unregistered", "revived": 2, "since": wave}));
}

#[rstest]
#[case(&["--verdict=gone", "--since=2025-11-25T02:00:00Z"], "must be dead or quarantined")]
#[case(&["--verdict=dead", "--since=yesterday"], "--since")]
#[case(&["--verdict=dead"], "--since")]
fn what_cannot_be_revived_is_explained(#[case] arguments: &[&str], #[case] message: &str) {
    let folder = TempDir::new().unwrap();
    let place = ["--relay-data-dir", folder.path().to_str().unwrap()];
    let refused = run(&[&["addresses", "revive"], arguments, &place].concat());
    assert!(!refused.status.success());
    assert!(complaint(&refused).contains(message), "{}", complaint(&refused));
}

#[tokio::test]
async fn a98_a_database_of_a_newer_relay_is_left_alone() {
    let folder = TempDir::new().unwrap();
    provisioned(folder.path());
    let database = database(folder.path()).await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9000, 'of the future', true, x'00', 1)";
    sqlx::query(newer).execute(&database).await.unwrap();
    database.close().await;
    let data = ["--relay-data-dir", folder.path().to_str().unwrap()];
    for command in [&["serve", "--relay-listen", "127.0.0.1:0"][..], &["migrate"], &["tenant", "list"]] {
        let output = run(&[command, &data].concat());
        assert!(!output.status.success());
        let complaint = complaint(&output);
        assert!(complaint.contains("written by a newer relay (it has migration 9000"), "{complaint}");
        assert!(!complaint.contains("the database failed"), "{complaint}");
        assert_eq!(printed(&output), "");
    }
}

/// Runs the doctor on a folder with these variables besides good ones; gives whether it was content, and its findings.
fn doctor(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (bool, Vec<Value>) {
    let mut command = command(&[&["doctor", "--json"], arguments].concat());
    command
        .env("RELAY_DATA_DIR", folder)
        .env("RELAY_ADMIN_KEY", ADMIN_KEY)
        .env("RELAY_PUBLIC_URL", "https://relay.example")
        .env("RELAY_TRUSTED_PROXIES", "10.0.0.1")
        .envs(variables.iter().copied());
    let output = command.output().unwrap();
    let findings = serde_json::from_str(&printed(&output)).unwrap_or_else(|_| panic!("{}", complaint(&output)));
    assert!(!printed(&output).contains(ADMIN_KEY));
    (output.status.success(), findings)
}

/// The level of a check.
fn level<'a>(findings: &'a [Value], check: &str) -> &'a str {
    let found = findings.iter().find(|finding| finding["check"] == check);
    found.unwrap_or_else(|| panic!("{check} was not looked at: {findings:?}"))["level"].as_str().unwrap()
}

#[test]
fn a_relay_that_can_run_is_found_well() {
    let folder = TempDir::new().unwrap();
    provisioned(folder.path());
    let (content, findings) = doctor(folder.path(), &[], &[]);
    assert!(content, "{findings:?}");
    for check in ["public address", "admin key", "trusted proxies", "callback guard", "data folder", "master key"] {
        assert_eq!(level(&findings, check), "ok", "{findings:?}");
    }
    for check in
        ["database", "schema", "durability", "master key and database", "restored database", "outbox", "dead callbacks"]
    {
        assert_eq!(level(&findings, check), "ok", "{findings:?}");
    }
    for finding in &findings {
        let needs_advice = finding["level"] != "ok";
        assert_eq!(finding["advice"].is_string(), needs_advice, "{finding}");
    }
}

#[test]
fn looking_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let (content, findings) = doctor(&folder.path().join("none"), &[], &[]);
    assert!(content, "{findings:?}");
    assert_eq!((level(&findings, "data folder"), level(&findings, "database")), ("warn", "warn"));
    assert!(!doctor(&folder.path().join("none"), &["--strict"], &[]).0, "warnings count");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let check = run(&["migrate", "--check", "--relay-data-dir", folder.path().to_str().unwrap()]);
    assert!(!check.status.success());
    assert!(complaint(&check).contains("there is no database yet"), "{}", complaint(&check));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[rstest]
#[case::no_address(&[("RELAY_PUBLIC_URL", "")], "public address", "warn")]
#[case::this_machine(&[("RELAY_PUBLIC_URL", "http://127.0.0.1:8700")], "public address", "warn")]
#[case::in_the_clear(&[("RELAY_PUBLIC_URL", "http://relay.example")], "public address", "fail")]
#[case::no_key(&[("RELAY_ADMIN_KEY", "")], "settings", "fail")]
#[case::short_key(&[("RELAY_ADMIN_KEY", "short")], "settings", "fail")]
#[case::typed_key(&[("RELAY_ADMIN_KEY", "abcabcabcabcabcabcabcabcabcabcabcabc")], "admin key", "fail")]
#[case::two_keys(&[("RELAY_ADMIN_KEY_NEXT", "next-key-of-the-tests-9876543210zyxwv")], "admin key", "warn")]
#[case::everybody(&[("RELAY_TRUSTED_PROXIES", "0.0.0.0/0")], "trusted proxies", "fail")]
#[case::nobody(&[("RELAY_TRUSTED_PROXIES", "")], "trusted proxies", "warn")]
#[case::private(&[("RELAY_ALLOW_PRIVATE_CALLBACKS", "true")], "callback guard", "warn")]
#[case::roots(&[("RELAY_EXTRA_CA_FILE", "/nowhere/ca.pem")], "trust roots", "fail")]
#[case::push(&[("RELAY_FCM_CREDENTIALS", "/nowhere/key.json")], "FCM key file", "fail")]
#[case::foreign_key(&[("RELAY_MASTER_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")], "master key and database", "fail")]
#[case::broken_key(&[("RELAY_MASTER_KEY", "c2hvcnQ=")], "master key", "fail")]
fn what_is_wrong_is_named(#[case] variables: &[(&str, &str)], #[case] check: &str, #[case] expected: &str) {
    let folder = TempDir::new().unwrap();
    provisioned(folder.path());
    let (content, findings) = doctor(folder.path(), &[], variables);
    assert_eq!(level(&findings, check), expected, "{findings:?}");
    assert_eq!(content, expected == "warn", "{findings:?}");
}

#[cfg(unix)]
#[test]
fn files_that_others_may_read_are_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    provisioned(folder.path());
    let open = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    open(folder.path(), 0o700);
    open(&folder.path().join("master.key"), 0o644);
    let protected = doctor(folder.path(), &[], &[]).1;
    assert_eq!(level(&protected, "data folder"), "ok", "its folder protects it");
    open(folder.path(), 0o755);
    let (content, findings) = doctor(folder.path(), &[], &[]);
    assert!(!content && level(&findings, "data folder") == "fail", "{findings:?}");
    assert!(findings.iter().any(|finding| finding["found"].as_str().unwrap().contains("master.key")), "{findings:?}");
}

#[tokio::test]
async fn what_waits_and_what_was_given_up_is_counted() {
    let folder = TempDir::new().unwrap();
    let bank = provisioned(folder.path());
    add_callbacks(folder.path(), &bank, "dead", &["dlv_1", "dlv_2"]).await;
    add_callbacks(folder.path(), &bank, "due", &["dlv_3"]).await;
    let database = database(folder.path()).await;
    let age = "UPDATE deliveries SET created_at = created_at - 3600000 WHERE state = 'due'";
    sqlx::query(age).execute(&database).await.unwrap();
    database.close().await;
    let (content, findings) = doctor(folder.path(), &[], &[]);
    assert!(content);
    assert_eq!((level(&findings, "outbox"), level(&findings, "dead callbacks")), ("warn", "warn"));
    let found = |check: &str| findings.iter().find(|finding| finding["check"] == check).unwrap()["found"].clone();
    assert_eq!(found("outbox"), "1 callbacks wait, the oldest for 60 minutes");
    assert_eq!(found("dead callbacks"), "2 were given up");
}

#[tokio::test]
async fn a98_the_schema_is_compared_and_never_guessed() {
    let folder = TempDir::new().unwrap();
    provisioned(folder.path());
    let check = || run(&["migrate", "--check", "--relay-data-dir", folder.path().to_str().unwrap()]);
    assert_eq!(printed(&check()), "the database is up to date\n");
    let database = database(folder.path()).await;
    let older = "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)";
    sqlx::query(older).execute(&database).await.unwrap();
    let output = check();
    assert!(!output.status.success() && complaint(&output).contains("the database lacks relay "), "{output:?}");
    assert_eq!(level(&doctor(folder.path(), &[], &[]).1, "schema"), "warn");
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9000, 'of the future', true, x'00', 1)";
    sqlx::query(newer).execute(&database).await.unwrap();
    let output = check();
    assert!(!output.status.success() && complaint(&output).contains("has migration 9000"), "{output:?}");
    let (content, findings) = doctor(folder.path(), &[], &[]);
    assert!(!content && level(&findings, "schema") == "fail", "{findings:?}");
    database.close().await;
}

#[test]
fn the_doctor_speaks_to_people_line_by_line() {
    let folder = TempDir::new().unwrap();
    let printed = printed(&run(&["doctor", "--relay-data-dir", folder.path().to_str().unwrap()]));
    let lines: Vec<_> = printed.lines().collect();
    assert!(lines.len() > 6, "{printed}");
    for line in &lines {
        assert!(["ok    ", "warn  ", "fail  ", "      "].iter().any(|start| line.starts_with(start)), "{line:?}");
    }
    assert!(lines.iter().any(|line| line.starts_with("warn  admin key")), "{printed}");
    assert!(lines.iter().any(|line| line.contains("-> set RELAY_ADMIN_KEY")), "{printed}");
}

#[tokio::test]
async fn a_database_of_either_engine_tells_its_schema_and_its_durability() {
    let database = TestDatabase::new().await;
    let storage = database.open().await;
    assert_eq!(schema::compare(&storage).await.unwrap(), Schema::Current);
    let durability = schema::durability(&storage).await.unwrap();
    // The server of the tests may be one that does not wait for the disk: then that must be told.
    let waits = "SELECT current_setting('fsync') = 'on' AND current_setting('synchronous_commit') <> 'off'";
    let durable = query_for("SELECT TRUE", waits).fetch_value::<bool>(storage.readers()).await.unwrap().unwrap();
    assert_eq!(durability.is_durable, durable, "{durability:?}");
    assert_eq!(schema::clock(&storage).await.unwrap().is_some(), database.is_postgres());
    let table = "DELETE FROM _auth_api_migrations WHERE version = 1";
    query(table).execute(storage.writer()).await.unwrap();
    assert_eq!(schema::compare(&storage).await.unwrap(), Schema::Behind(vec!["auth API 1 (totp)".to_owned()]));
    for table in ["_auth_api_migrations", "_sqlx_migrations"] {
        query(format!("DROP TABLE {table}")).execute(storage.writer()).await.unwrap();
    }
    assert_eq!(schema::compare(&storage).await.unwrap(), Schema::Empty);
    storage.close().await;
}

#[tokio::test]
async fn redis_is_asked_whether_it_is_there() {
    let folder = TempDir::new().unwrap();
    provisioned(folder.path());
    let redis = RedisServer::start().await;
    let url = redis.url();
    let (content, findings) = doctor(folder.path(), &[], &[("RELAY_REDIS_URL", url.expose())]);
    assert!(content && level(&findings, "Redis") == "ok", "{findings:?}");
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let (content, findings) = doctor(folder.path(), &[], &[("RELAY_REDIS_URL", url.expose())]);
    assert!(content && level(&findings, "Redis") == "warn", "{findings:?}");
    redis.kill();
    let (content, findings) = doctor(folder.path(), &[], &[("RELAY_REDIS_URL", url.expose())]);
    assert!(!content && level(&findings, "Redis") == "fail", "{findings:?}");
}
