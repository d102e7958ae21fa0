//! The operator's tools, run as the operator runs them: the built binary, a data folder, and what it prints.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says where")]

mod support;

use std::path::Path;

use bloonio_wire::clock::{Clock, SystemClock};
use rstest::rstest;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use support::process::{complaint, printed, run};
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
