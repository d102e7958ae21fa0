//! The relay as a process: how it starts, what it refuses to start with, how it ends (PROTOCOL 10).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says where")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;

use bloonio_wire::clock::{Clock, SystemClock};
use bloonio_wire::header;
use bloonio_wire::id::TenantId;
use bloonio_wire::message::{self, Nonce, SignedRequest};
use bloonio_wire::random::SystemRandom;
use bloonio_wire::secret::Secret;
use bloonio_wire::sign;
use rstest::rstest;
use serde_json::{Value, json};
use support::ADMIN_KEY;
use support::process::{RunningRelay, command, complaint, printed, run};
use tempfile::TempDir;

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

async fn provision(relay: &RunningRelay) -> (String, Secret) {
    let call = client().post(relay.url("/api/v1/provision/tenant")).header("x-admin-key", ADMIN_KEY);
    let answer: Value = call.json(&json!({"tenant_name": "Bank"})).send().await.unwrap().json().await.unwrap();
    let text = |name: &str| answer["data"][name].as_str().unwrap().to_owned();
    (text("tenant_id"), Secret::new(text("tenant_secret")))
}

fn signed(relay: &RunningRelay, tenant: &(String, Secret), path: &str) -> reqwest::RequestBuilder {
    let at = SystemClock.now();
    client()
        .get(relay.url(&format!("/api/v1{path}")))
        .header(header::TENANT_ID, &tenant.0)
        .header(header::TIMESTAMP, at.as_millis().to_string())
        .header(header::SIGNATURE, sign::sign(&tenant.1, at, b"").to_hex())
}

/// The same call, signed as a message, too.
fn signed_both(relay: &RunningRelay, tenant: &(String, Secret), path: &str) -> reqwest::RequestBuilder {
    let tenant_id = TenantId::parse(&tenant.0).unwrap();
    let (path_alone, query) = path.split_once('?').unwrap();
    let request = SignedRequest {
        method: "GET",
        path: &format!("/api/v1{path_alone}"),
        query: Some(query),
        tenant_id: &tenant_id,
        body: b"",
    };
    let message = message::sign(&tenant.1, &request, SystemClock.now(), &Nonce::draw(&SystemRandom).unwrap());
    signed(relay, tenant, path)
        .header(header::MESSAGE_SIGNATURE_INPUT, message.signature_input)
        .header(header::MESSAGE_SIGNATURE, message.signature)
}

#[tokio::test]
async fn it_says_once_where_it_listens_and_ends_well_when_told() {
    let folder = TempDir::new().unwrap();
    for signal in ["TERM", "INT"] {
        let relay = RunningRelay::start(&folder.path().join("made/by/it"), &[]);
        let live: Value = client().get(relay.url("/health/live")).send().await.unwrap().json().await.unwrap();
        assert_eq!(live["data"]["status"], "live");
        relay.signal(signal);
        let (status, rest) = relay.ended();
        assert_eq!((status.code(), rest.as_str()), (Some(0), ""), "{signal}");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let mode = |name: &str| folder.path().join("made/by/it").join(name).metadata().unwrap().mode() & 0o777;
        assert_eq!((mode(""), mode("master.key")), (0o700, 0o600));
    }
}

fn post(relay: &RunningRelay, tenant: &(String, Secret), path: &str, body: &Value) -> reqwest::RequestBuilder {
    let (at, body) = (SystemClock.now(), body.to_string());
    client()
        .post(relay.url(&format!("/api/v1{path}")))
        .header(header::TENANT_ID, &tenant.0)
        .header(header::TIMESTAMP, at.as_millis().to_string())
        .header(header::SIGNATURE, sign::sign(&tenant.1, at, body.as_bytes()).to_hex())
        .body(body)
}

async fn data(call: reqwest::RequestBuilder) -> Value {
    let answer: Value = call.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["success"], true, "{answer}");
    answer["data"].clone()
}

/// Pairs a stream device; gives its session token.
async fn pair(relay: &RunningRelay, tenant: &(String, Secret)) -> String {
    let profile = json!({
        "user_socket_hash": "user-0001", "backend_user_id": "1", "display_name": "Jane Canary",
        "user_email": "canary@example.com"
    });
    let offer = data(post(relay, tenant, "/relay/prepare-pairing", &profile)).await;
    let register = client()
        .post(relay.url("/api/v1/device/register-token"))
        .bearer_auth(offer["pairing_proof"].as_str().unwrap())
        .json(&json!({"platform": "stream"}));
    data(register).await["device_session_token"].as_str().unwrap().to_owned()
}

fn challenge(id: &str) -> Value {
    json!({
        "user_socket_hash": "user-0001", "instruction_id": id, "custom_type": "localAuth",
        "expected_action": "transfer_canary", "backend_url": "https://bank.example", "response_token": "r".repeat(40)
    })
}

#[test]
fn the_log_begins_with_what_runs_and_ends_with_its_end() {
    let folder = TempDir::new().unwrap();
    let relay = RunningRelay::start(&folder.path().join("relay"), &[("RELAY_LOG_FORMAT", "json")]);
    let listen = relay.address.to_string();
    relay.signal("TERM");
    relay.ended();
    let log = std::fs::read_to_string(folder.path().join("relay.log")).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let said =
        |message: &str| &lines.iter().find(|line| line["fields"]["message"] == message).expect(message)["fields"];
    let started = said("the relay has started");
    assert_eq!((&started["version"], &started["database"]), (&json!(env!("CARGO_PKG_VERSION")), &json!("SQLite")));
    assert_eq!(
        (&started["listen"], &started["admin_keys"], &started["push"]),
        (&json!(listen), &json!(1), &json!("streams"))
    );
    assert!(said("its limits")["callbacks_at_once"].as_u64().unwrap() > 0);
    assert_eq!(lines.last().unwrap()["fields"]["message"], "the relay has stopped");
    assert!(!log.contains(ADMIN_KEY));
}

#[tokio::test]
async fn open_streams_and_waiting_calls_end_at_once_when_it_stops() {
    let folder = TempDir::new().unwrap();
    let relay = RunningRelay::start(&folder.path().join("relay"), &[]);
    let tenant = provision(&relay).await;
    let token = pair(&relay, &tenant).await;
    data(post(&relay, &tenant, "/relay/send/auth-challenge", &challenge("instruction-1"))).await;
    let stream = client().get(relay.url("/api/v1/device/stream")).bearer_auth(token).send().await.unwrap();
    assert_eq!(stream.status(), 200);
    let wait = signed(&relay, &tenant, "/relay/fetch/outcome?instruction_id=instruction-1&wait_seconds=30");
    let waiting = tokio::spawn(wait.send());
    let mut idle = TcpStream::connect(relay.address).unwrap();
    relay.signal("TERM");
    let (status, _) = relay.ended();
    assert_eq!(status.code(), Some(0));
    stream.bytes().await.unwrap();
    // It was answered, or had not been accepted yet; it was not left hanging.
    if let Ok(answer) = waiting.await.unwrap() {
        assert_eq!(answer.json::<Value>().await.unwrap()["data"]["status"], "pending");
    }
    assert_eq!(idle.read(&mut [0; 16]).unwrap_or(0), 0);
}

#[test]
fn half_a_request_does_not_hold_up_the_end_for_ever() {
    let folder = TempDir::new().unwrap();
    let relay = RunningRelay::start(folder.path(), &[]);
    let mut half = TcpStream::connect(relay.address).unwrap();
    let head =
        "POST /api/v1/provision/tenant HTTP/1.1\r\nHost: relay\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n";
    half.write_all(head.as_bytes()).unwrap();
    let mut go_on = [0; 25];
    half.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    relay.signal("TERM");
    assert_eq!(relay.ended().0.code(), Some(0));
}

/// As when the program that collects the log has ended.
#[test]
fn a_relay_whose_log_nobody_reads_any_more_still_stops() {
    let folder = TempDir::new().unwrap();
    let mut command = command(&["serve"]);
    command.env("RELAY_LISTEN", "127.0.0.1:0").env("RELAY_DATA_DIR", folder.path()).env("RUST_LOG", "trace");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("listening on "), "{line}");
    let order = format!("kill -TERM {}", child.id());
    assert!(std::process::Command::new("sh").args(["-c", &order]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn a103_nothing_confidential_is_ever_logged() {
    let folder = TempDir::new().unwrap();
    let relay = RunningRelay::start(&folder.path().join("relay"), &[("RUST_LOG", "trace")]);
    let tenant = provision(&relay).await;
    let token = pair(&relay, &tenant).await;
    data(post(&relay, &tenant, "/relay/send/auth-challenge", &challenge("instruction-1"))).await;
    let fetched = client().get(relay.url("/api/v1/device/challenges/instruction-1")).bearer_auth(&token);
    assert_eq!(data(fetched).await["expected_action"], "transfer_canary");
    let forged = "c0ffee".repeat(10) + "c0ff";
    let wrong = signed(&relay, &tenant, "/relay/fetch/outcome?instruction_id=query-canary")
        .header("x-admin-key", "wrong-admin-key-canary")
        .header("x-bloonio-signature", &forged);
    assert_eq!(wrong.send().await.unwrap().status(), 401);
    let wrong =
        client().get(relay.url("/api/v1/fetch/tenants?q=query-canary")).header("x-admin-key", "wrong-admin-key-canary");
    assert_eq!(wrong.send().await.unwrap().status(), 401);
    relay.signal("TERM");
    let log = folder.path().join("relay.log");
    relay.ended();
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("answered") && log.contains("operator call"), "{log}");
    let secrets = [
        ADMIN_KEY,
        tenant.1.expose(),
        token.as_str(),
        forged.as_str(),
        "wrong-admin-key-canary",
        "query-canary",
        "Jane Canary",
        "canary@example.com",
        "transfer_canary",
        "instruction-1",
        "rrrrrrrr",
    ];
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}

#[tokio::test]
async fn tenants_and_what_was_seen_outlive_a_kill() {
    let folder = TempDir::new().unwrap();
    let relay = RunningRelay::start(folder.path(), &[]);
    let tenant = provision(&relay).await;
    let (at, body) = (SystemClock.now(), json!({"instruction_id": "nobody-knows"}).to_string());
    let cancel = |relay: &RunningRelay| {
        client()
            .post(relay.url("/api/v1/relay/cancel/auth-challenge"))
            .header(header::TENANT_ID, &tenant.0)
            .header(header::TIMESTAMP, at.as_millis().to_string())
            .header(header::SIGNATURE, sign::sign(&tenant.1, at, body.as_bytes()).to_hex())
            .body(body.clone())
    };
    assert_eq!(cancel(&relay).send().await.unwrap().status(), 404);
    relay.signal("KILL");
    relay.ended();
    let relay = RunningRelay::start(folder.path(), &[]);
    let answer: Value = cancel(&relay).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["error"], "REQUEST_REPLAYED");
}

#[rstest]
#[case::short_key(&[("RELAY_ADMIN_KEY", "too-short")], "RELAY_ADMIN_KEY: must have at least 32 bytes")]
#[case::master_key(&[("RELAY_MASTER_KEY", "c2hvcnQ=")], "RELAY_MASTER_KEY: the master key must be 32 bytes in base64")]
#[case::redis(&[("RELAY_REDIS_URL", "http://127.0.0.1")], "RELAY_REDIS_URL: the address of Redis must be")]
#[case::no_database(&[("RELAY_DATABASE_URL", "mysql://db/relay")], "RELAY_DATABASE_URL: must begin with")]
#[case::credentials(&[("RELAY_FCM_CREDENTIALS", "/nowhere/key.json")], "RELAY_FCM_CREDENTIALS")]
#[case::roots(&[("RELAY_EXTRA_CA_FILE", "/nowhere/ca.pem")], "cannot read the certificates in /nowhere/ca.pem")]
#[case::listen(&[("RELAY_LISTEN", "127.0.0.1:no")], "cannot listen on 127.0.0.1:no")]
#[case::folder(&[("RELAY_DATA_DIR", "/dev/null/data")], "cannot create the data folder /dev/null/data")]
#[case::format(&[("RELAY_LOG_FORMAT", "xml")], "invalid value 'xml' for '--relay-log-format")]
#[case::number(&[("PAIRING_PROOF_TTL_SECONDS", "0")], "invalid value '0' for '--pairing-proof-ttl-seconds")]
fn a_setting_that_cannot_be_used_keeps_it_from_starting(#[case] variables: &[(&str, &str)], #[case] message: &str) {
    let folder = TempDir::new().unwrap();
    let mut command = command(&["serve"]);
    command.env("RELAY_LISTEN", "127.0.0.1:0").env("RELAY_DATA_DIR", folder.path()).envs(variables.iter().copied());
    let output = command.output().unwrap();
    assert!(!output.status.success());
    assert!(complaint(&output).contains(message), "{}", complaint(&output));
    assert_eq!(printed(&output), "");
}

#[tokio::test]
async fn variables_that_are_set_to_nothing_count_as_unset() {
    let folder = TempDir::new().unwrap();
    let empty = [
        "RELAY_PUBLIC_URL",
        "RELAY_DATABASE_URL",
        "RELAY_REDIS_URL",
        "RELAY_MASTER_KEY",
        "RELAY_FCM_CREDENTIALS",
        "RELAY_EXTRA_CA_FILE",
        "RELAY_AUTH_API_URL",
        "RELAY_ALLOW_PRIVATE_CALLBACKS",
        "RELAY_EXTRA_CALLBACK_PORTS",
        "RELAY_TRUSTED_PROXIES",
        "RELAY_ADMIN_LISTEN",
    ];
    let relay = RunningRelay::start(folder.path(), &empty.map(|name| (name, "")));
    assert_eq!(client().get(relay.url("/health/ready")).send().await.unwrap().status(), 200);
}

#[test]
fn a_foreign_master_key_is_refused_and_the_right_one_still_fits() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().to_str().unwrap();
    assert!(run(&["tenant", "provision", "Bank", "--relay-data-dir", data]).status.success());
    let foreign = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let refused = run(&["migrate", "--relay-data-dir", data, "--relay-master-key", foreign]);
    assert!(!refused.status.success());
    assert!(
        complaint(&refused).contains("no master key at hand opens 1 values of this database"),
        "{}",
        complaint(&refused)
    );
    assert!(run(&["migrate", "--relay-data-dir", data]).status.success());
}

#[test]
fn a_lost_master_key_is_named_and_no_new_one_takes_its_place() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().to_str().unwrap();
    assert!(run(&["tenant", "provision", "Bank", "--relay-data-dir", data]).status.success());
    let key = folder.path().join("master.key");
    let kept = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let refused = run(&["migrate", "--relay-data-dir", data]);
    assert!(!refused.status.success());
    assert!(complaint(&refused).contains("restore master.key from its backup"), "{}", complaint(&refused));
    assert!(!key.exists());
    std::fs::write(&key, kept).unwrap();
    assert!(run(&["migrate", "--relay-data-dir", data]).status.success());
}

fn tenant(folder: &Path, arguments: &[&str]) -> Value {
    let data = folder.to_str().unwrap();
    let arguments = [&["tenant"], arguments, &["--relay-data-dir", data]].concat();
    let output = run(&arguments);
    assert!(output.status.success(), "{}", complaint(&output));
    serde_json::from_str(&printed(&output)).unwrap()
}

#[tokio::test]
async fn tenants_can_be_managed_beside_a_running_relay() {
    let folder = TempDir::new().unwrap();
    let made = tenant(folder.path(), &["provision", "Bank", "--callback-url-base", "https://bank.example"]);
    let id = made["tenant_id"].as_str().unwrap();
    let mut bank = (id.to_owned(), Secret::new(made["tenant_secret"].as_str().unwrap()));
    let relay = RunningRelay::start(folder.path(), &[]);
    let look = "/relay/fetch/outcome?instruction_id=nobody-knows";
    assert_eq!(signed_both(&relay, &bank, look).send().await.unwrap().status(), 404);
    assert_eq!(tenant(folder.path(), &["suspend", id])["status"], "suspended");
    assert_eq!(signed_both(&relay, &bank, look).send().await.unwrap().status(), 403);
    assert_eq!(tenant(folder.path(), &["reactivate", id])["status"], "active");
    let rotated = tenant(folder.path(), &["rotate", id]);
    assert_eq!(signed_both(&relay, &bank, look).send().await.unwrap().status(), 401);
    bank.1 = Secret::new(rotated["tenant_secret"].as_str().unwrap());
    assert_eq!(signed_both(&relay, &bank, look).send().await.unwrap().status(), 404);
    let list = tenant(folder.path(), &["list"]);
    assert_eq!((&list["total"], &list["items"][0]["tenant_name"]), (&json!(1), &json!("Bank")));
    assert!(!list.to_string().contains("secret"));
}

#[tokio::test]
async fn a_tenant_made_on_the_command_line_must_sign_its_calls_as_messages_unless_one_insists() {
    let folder = TempDir::new().unwrap();
    let made = |arguments: &[&str]| {
        let made = tenant(folder.path(), &[&["provision", "Bank"], arguments].concat());
        (made["tenant_id"].as_str().unwrap().to_owned(), Secret::new(made["tenant_secret"].as_str().unwrap()))
    };
    let (strict, lax) = (made(&[]), made(&["--require-message-signatures", "false"]));
    let relay = RunningRelay::start(folder.path(), &[]);
    let look = "/relay/fetch/outcome?instruction_id=nobody-knows";
    assert_eq!(signed(&relay, &strict, look).send().await.unwrap().status(), 401);
    for tenant in [&strict, &lax] {
        assert_eq!(signed_both(&relay, tenant, look).send().await.unwrap().status(), 404);
    }
    assert_eq!(signed(&relay, &lax, look).send().await.unwrap().status(), 404);
}

#[rstest]
#[case(&["tenant", "provision", ""], "tenant_name must have 1 to 128 characters")]
#[case(&["tenant", "provision", "B", "--callback-url-base", "http://b.example"], "callback_url_base must be an https URL")]
#[case(&["tenant", "suspend", "tnt_00000000000000000000000000000000"], "NOT_FOUND")]
#[case(&["tenant", "suspend", "bank"], "must be tnt_ and 32 lower-case hex digits")]
fn mistakes_on_the_command_line_are_explained(#[case] arguments: &[&str], #[case] message: &str) {
    let folder = TempDir::new().unwrap();
    let output = run(&[arguments, &["--relay-data-dir", folder.path().to_str().unwrap()]].concat());
    assert!(!output.status.success());
    assert!(complaint(&output).contains(message), "{}", complaint(&output));
}

#[tokio::test]
async fn the_metrics_have_a_listener_of_their_own_if_wanted() {
    let folder = TempDir::new().unwrap();
    let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let relay = RunningRelay::start(folder.path(), &[("RELAY_ADMIN_LISTEN", &own)]);
    assert_eq!(client().get(relay.url("/metrics")).send().await.unwrap().status(), 401);
    let metrics = client().get(format!("http://{own}/metrics")).send().await.unwrap();
    assert_eq!(metrics.status(), 200);
    assert!(metrics.text().await.unwrap().contains("bloonio_http_requests_total"));
    assert_eq!(client().get(format!("http://{own}/health/ready")).send().await.unwrap().status(), 200);
    let operator = client().get(format!("http://{own}/api/v1/fetch/tenants")).header("x-admin-key", ADMIN_KEY);
    assert_eq!(operator.send().await.unwrap().status(), 404);
}

#[test]
fn a_folder_may_have_any_name() {
    let folder = TempDir::new().unwrap();
    let odd = folder.path().join("da ta%20#?mode=memory&ü");
    tenant(&odd, &["provision", "Bank"]);
    assert!(odd.join("relay.db").is_file());
    assert_eq!(tenant(&odd, &["list"])["total"], 1);
}

#[test]
fn its_health_can_be_asked_from_the_command_line() {
    let folder = TempDir::new().unwrap();
    let relay = RunningRelay::start(folder.path(), &[]);
    let address = relay.address.to_string();
    assert!(run(&["healthcheck", "--relay-listen", &address]).status.success());
    relay.signal("TERM");
    relay.ended();
    assert!(!run(&["healthcheck", "--relay-listen", &address]).status.success());
}

#[test]
fn the_openapi_document_is_printed() {
    let document: Value = serde_json::from_str(&printed(&run(&["openapi"]))).unwrap();
    assert!(document["paths"]["/api/v1/provision/tenant"]["post"].is_object());
}

#[rstest]
#[case(&["--help"], "healthcheck")]
#[case(&["serve", "--help"], "RELAY_ADMIN_KEY")]
#[case(&["migrate", "--help"], "RELAY_DATABASE_URL")]
#[case(&["tenant", "--help"], "reactivate")]
#[case(&["tenant", "provision", "--help"], "--callback-url-base")]
#[case(&["migrate", "--help"], "--check")]
#[case(&["doctor", "--help"], "--strict")]
#[case(&["tenant", "update", "--help"], "--clear")]
#[case(&["callbacks", "--help"], "redeliver")]
#[case(&["callbacks", "redeliver", "--help"], "--all-dead")]
#[case(&["healthcheck", "--help"], "RELAY_LISTEN")]
fn every_command_explains_itself(#[case] arguments: &[&str], #[case] mentions: &str) {
    let output = command(arguments).env("RELAY_ADMIN_KEY", ADMIN_KEY).output().unwrap();
    assert!(output.status.success());
    assert!(printed(&output).contains(mentions), "{}", printed(&output));
    assert!(!printed(&output).contains(ADMIN_KEY));
}

/// Sends `head` and then `body` bytes, whether or not anybody reads them, and gives back the answer.
fn exchange(relay: &RunningRelay, head: &str, body: usize) -> String {
    let mut stream = TcpStream::connect(relay.address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    for _ in 0..body / 1024 {
        stream.write_all(&[b' '; 1024]).unwrap();
    }
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while !answer.windows(5).any(|window| window == b"}\r\n0\r" || window.ends_with(b"null}")) {
        match stream.read(&mut piece).unwrap() {
            0 => break,
            read => answer.extend_from_slice(&piece[..read]),
        }
    }
    String::from_utf8(answer).unwrap()
}

#[rstest]
#[case::announced_and_never_sent(1_000_000, 0)]
#[case::sent_in_full(1_048_576, 1_048_576)]
#[case::nearly_4_mib(4_000_000, 3_999_744)]
fn a_sender_of_too_much_gets_to_see_the_answer(#[case] announced: usize, #[case] sent: usize) {
    let folder = TempDir::new().unwrap();
    let relay = RunningRelay::start(folder.path(), &[]);
    let head =
        format!("POST /api/v1/relay/prepare-pairing HTTP/1.1\r\nHost: relay\r\nContent-Length: {announced}\r\n\r\n");
    let answer = exchange(&relay, &head, sent);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("BODY_TOO_LARGE") && answer.to_lowercase().contains("x-request-id: "), "{answer}");
}
