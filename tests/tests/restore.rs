//! Backup and restore as the guide has them (docs/src/backup.md), with the built programs (ATTACKS A99).

use std::path::{Path, PathBuf};
use std::process::Output;

use bloonio_demo::process::binary;
use bloonio_tests::handset::Handset;
use bloonio_tests::operator::{Answer, http};
use bloonio_tests::postgres::PostgresServer;
use bloonio_tests::relay::{ADMIN_KEY, Relay, RelaySetup};
use bloonio_tests::tenant::TenantBackend;
use bloonio_tests::wait;
use serde_json::{Value, json};
use tokio::process::Command;
use url::Url;

const JANE: &str = "jane-0123456789";
const JOHN: &str = "john-0123456789";

/// Runs a command of the relay's with the settings of `relay`.
async fn run(relay: &Relay, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binary("bloonio-relay-server").expect("built"));
    command.env_clear().env("RELAY_DATA_DIR", relay.data_dir()).env("RELAY_LISTEN", "127.0.0.1:0");
    command.env("RELAY_ADMIN_KEY", ADMIN_KEY).envs(variables.iter().copied()).args(arguments).kill_on_drop(true);
    command.output().await.expect("the relay's binary runs")
}

/// What a command printed, as JSON.
async fn answer(relay: &Relay, arguments: &[&str], variables: &[(&str, &str)]) -> Value {
    let done = run(relay, arguments, variables).await;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

/// `serve` must end by itself, and say this.
async fn refuses_to_serve(relay: &Relay, variables: &[(&str, &str)], reason: &str) {
    let done = run(relay, &["serve"], variables).await;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && done.stdout.is_empty(), "it must not serve");
    assert!(said.contains(reason) && said.contains("bloonio-relay-server restored"), "{said}");
}

async fn phone(bank: &TenantBackend, user: &str) -> Handset {
    Handset::paired_with(&bank.offer_pairing(user).await, json!({"platform": "stream"})).await
}

async fn ask(bank: &TenantBackend, instruction: &str) {
    let asked = bank.send_challenge(JANE, instruction).await;
    assert_eq!(asked.status, 200, "{asked:?}");
}

async fn decide(phone: &Handset, instruction: &str, approved: bool) -> Answer {
    let body = json!({"instruction_id": instruction, "approved": approved, "custom_type": "localAuth"});
    phone.post("/device/submit-response", body).await
}

/// Uses an offer to pair, whatever comes of it.
async fn register(pairing_uri: &str) -> Answer {
    let uri = Url::parse(pairing_uri).expect("a pairing address");
    let part = |name| uri.query_pairs().find(|(key, _)| key == name).expect("is in the address").1.into_owned();
    let request = http().post(format!("{}/api/v1/device/register-token", part("relay"))).bearer_auth(part("proof"));
    Answer::of(request.json(&json!({"platform": "stream"})).send().await.expect("relay answers")).await
}

fn put_back(copy: &Path, database: &Path) {
    for suffix in ["-wal", "-shm"] {
        let mut journal = database.as_os_str().to_owned();
        journal.push(suffix);
        let journal = PathBuf::from(journal);
        if journal.exists() {
            std::fs::remove_file(journal).unwrap();
        }
    }
    std::fs::copy(copy, database).unwrap();
}

#[tokio::test]
async fn a99_a_backup_of_a_running_relay_is_not_served_untreated_and_revives_nothing() {
    let mut relay = Relay::start().await;
    let bank = relay.operator().provision("Bank").await;
    let (jane, offer) = (phone(&bank, JANE).await, bank.offer_pairing(JOHN).await);
    ask(&bank, "prompt-0001").await;
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    let made = run(&relay, &["backup", copy.to_str().unwrap()], &[]).await;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let again = run(&relay, &["backup", copy.to_str().unwrap()], &[]).await;
    assert!(!again.status.success(), "a backup replaces none");

    // What the backup does not know: the answer, the use of the offer, a call, and that the phone was lost.
    assert_eq!(decide(&jane, "prompt-0001", false).await.status, 200);
    assert_eq!(register(&offer).await.status, 201);
    let call = json!({"instruction_id": "prompt-0009"}).to_string();
    let call = bank.request(reqwest::Method::POST, "/relay/cancel/auth-challenge", call.as_bytes()).build().unwrap();
    let captured = call.try_clone().unwrap();
    Answer::of(http().execute(call).await.unwrap()).await.expect_error(404, "NOT_FOUND");
    assert_eq!(bank.post("/relay/revoke-pairing", json!({"user_socket_hash": JANE})).await.status, 200);

    assert!(relay.process.terminate().await.unwrap().success());
    put_back(&copy, &relay.data_dir().join("relay.db"));
    refuses_to_serve(&relay, &[], "is a copy made by `backup`").await;
    let treated = answer(&relay, &["restored"], &[]).await;
    let bank_of = &treated["tenants"][0];
    assert_eq!(bank_of["tenant_id"], bank.tenant_id.as_str());
    let counts = ["prompts_withdrawn", "proofs_voided", "devices_removed"].map(|name| bank_of[name].as_u64());
    assert_eq!(counts, [Some(1), Some(1), Some(1)], "{treated}");

    relay.restart().await;
    let replayed = Answer::of(http().execute(captured).await.unwrap()).await;
    assert_eq!(replayed.status, 401, "{replayed:?}");
    decide(&jane, "prompt-0001", true).await.expect_error(401, "INVALID_DEVICE_TOKEN");
    register(&offer).await.expect_error(401, "INVALID_DEVICE_TOKEN");
    let outcome = bank.get("/relay/fetch/outcome?instruction_id=prompt-0001").await;
    assert_eq!(outcome.data()["status"], "cancelled");
    // Half a minute later backends are heard again, and people pair.
    let offer = wait::until("calls to be taken again", || async {
        let profile = json!({
            "user_socket_hash": JANE, "backend_user_id": "7", "display_name": "Jane", "user_email": "jane@example.com"
        });
        let answer = bank.post("/relay/prepare-pairing", profile).await;
        assert!(answer.status == 201 || answer.error() == "REQUEST_REPLAYED", "{answer:?}");
        (answer.status == 201).then(|| answer.data()["pairing_uri"].as_str().unwrap().to_owned())
    })
    .await;
    let jane = Handset::paired_with(&offer, json!({"platform": "stream"})).await;
    ask(&bank, "prompt-0002").await;
    assert_eq!(decide(&jane, "prompt-0002", true).await.status, 200);
    let verified = run(&relay, &["audit", "verify"], &[]).await;
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

#[tokio::test]
async fn a99_a_database_file_that_was_set_back_in_its_place_is_noticed() {
    let mut relay = Relay::start().await;
    let bank = relay.operator().provision("Bank").await;
    let jane = phone(&bank, JANE).await;
    assert!(relay.process.terminate().await.unwrap().success());
    // A copy of a stopped relay's file is whole, and bears no mark.
    let folder = tempfile::tempdir().unwrap();
    let (copy, database) = (folder.path().join("copy.db"), relay.data_dir().join("relay.db"));
    std::fs::copy(&database, &copy).unwrap();
    relay.restart().await;
    ask(&bank, "prompt-0001").await;
    assert!(relay.process.terminate().await.unwrap().success());
    // Served again as it was left, it is no restore, and is not treated by mistake.
    let refused = run(&relay, &["restored"], &[]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--anyway"), "{refused:?}");
    relay.restart().await;
    assert!(relay.process.terminate().await.unwrap().success());

    put_back(&copy, &database);
    refuses_to_serve(&relay, &[], "older than the one that was served from here").await;
    answer(&relay, &["restored", "--insecure-keep-devices"], &[]).await;
    relay.restart().await;
    assert_eq!(jane.get("/device/challenges").await.data()["count"], 0);
}

#[tokio::test]
async fn a99_a_copy_that_was_moved_with_nothing_lost_keeps_its_phones() {
    let mut relay = Relay::start().await;
    let bank = relay.operator().provision("Bank").await;
    let jane = phone(&bank, JANE).await;
    ask(&bank, "prompt-0001").await;
    assert!(relay.process.terminate().await.unwrap().success());
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    let made = run(&relay, &["backup", copy.to_str().unwrap()], &[]).await;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    put_back(&copy, &relay.data_dir().join("relay.db"));
    assert_eq!(answer(&relay, &["restored", "--moved"], &[]).await, json!({"epoch": 1}));
    relay.restart().await;
    assert_eq!(decide(&jane, "prompt-0001", true).await.status, 200);
}

#[tokio::test]
async fn a99_a_dump_that_was_read_into_another_database_is_not_served_untreated() {
    let server = PostgresServer::start_hasty().await;
    server.sql("postgres", "CREATE DATABASE relay").await;
    let url = server.url_of("relay");
    let mut relay = RelaySetup::default().with("RELAY_DATABASE_URL", url.as_str()).start().await;
    let variables = [("RELAY_DATABASE_URL", url.as_str())];
    let bank = relay.operator().provision("Bank").await;
    let jane = phone(&bank, JANE).await;
    ask(&bank, "prompt-0001").await;
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("relay.dump");
    let mut dumping = Command::new("pg_dump");
    dumping.args(["--format=custom", "--file"]).arg(&dump).arg(&url);
    assert!(dumping.status().await.expect("pg_dump").success());
    let refused = run(&relay, &["backup", "copy.db"], &variables).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("pg_dump"), "{refused:?}");
    assert_eq!(decide(&jane, "prompt-0001", false).await.status, 200);
    assert!(relay.process.terminate().await.unwrap().success());

    server.sql("postgres", "ALTER DATABASE relay RENAME TO lost; CREATE DATABASE relay").await;
    let mut reading = Command::new("pg_restore");
    reading.args(["--exit-on-error", "--dbname", &url]).arg(&dump);
    assert!(reading.status().await.expect("pg_restore").success());
    refuses_to_serve(&relay, &variables, "from another server before, or under another name").await;
    let treated = answer(&relay, &["restored"], &variables).await;
    assert_eq!(treated["tenants"][0]["prompts_withdrawn"], 1, "{treated}");
    relay.restart().await;
    decide(&jane, "prompt-0001", true).await.expect_error(401, "INVALID_DEVICE_TOKEN");
    let outcome = bank.get("/relay/fetch/outcome?instruction_id=prompt-0001").await;
    assert_eq!(outcome.data()["status"], "cancelled");
}
