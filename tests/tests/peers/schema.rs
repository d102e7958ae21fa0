//! The relay held against its own OpenAPI document: whatever is sent, no 5xx, no undocumented status, and no answer of
//! another shape than the document's.

use std::process::Stdio;
use std::time::Duration;

use bloonio_tests::peers::installed;
use bloonio_tests::postgres::PostgresServer;
use bloonio_tests::relay::{ADMIN_KEY, Relay, RelaySetup};
use tokio::process::Command;

/// Calls an operation for each way of making them up.
const EXAMPLES: &str = "12";
/// What every answer must hold to.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";

/// Far above what it takes; reaching it means that an answer never came.
const DEADLINE: Duration = Duration::from_secs(340);

fn schemathesis(relay: &Relay) -> Command {
    let hooks = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/python");
    let mut command = Command::new(installed("python").join("bin/schemathesis"));
    command
        .args(["run", &format!("{}/openapi.json", relay.base_url()), "--checks", CHECKS])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES])
        .args(["--seed", "1", "--generation-deterministic"])
        // It never ends, and takes no parameters.
        .args(["--exclude-path", "/api/v1/device/stream"])
        .args(["--request-timeout", "10", "--continue-on-failure", "--no-color", "--suppress-health-check", "all"])
        .env("SCHEMATHESIS_HOOKS", "fuzz_hooks")
        .env("PYTHONPATH", hooks)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("FUZZ_RELAY", relay.base_url())
        .env("FUZZ_ADMIN_KEY", ADMIN_KEY)
        .current_dir(relay.data_dir())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn holds_to_its_document(setup: RelaySetup) {
    let mut relay = setup.with("RUST_LOG", "warn").start().await;
    let output = tokio::time::timeout(DEADLINE, schemathesis(&relay).output()).await.expect("ends").expect("starts");
    let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complaint}");
    assert!(relay.process.is_running());
}

#[tokio::test]
async fn on_sqlite_whatever_is_sent_is_answered_as_documented() {
    holds_to_its_document(RelaySetup::default()).await;
}

#[tokio::test]
async fn on_postgres_whatever_is_sent_is_answered_as_documented() {
    let server = PostgresServer::start_hasty().await;
    holds_to_its_document(RelaySetup::default().with("RELAY_DATABASE_URL", server.database().await)).await;
}
