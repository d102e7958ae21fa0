//! What an operator sees of a relay at work: a whole tour, from the provisioning to the acknowledged callbacks, and then its
//! log, its metrics, and what dashboard and alerts make of them.

use std::collections::BTreeSet;
use std::path::Path;

use bloonio_demo::process::binary;
use bloonio_relay_server::telemetry::catalogue::{CATALOGUE, Kind, Metric, Values};
use bloonio_tests::codes::{code_at, wrong_code_at};
use bloonio_tests::fcm::FcmEmulator;
use bloonio_tests::handset::Handset;
use bloonio_tests::operator;
use bloonio_tests::receiver::Receiver;
use bloonio_tests::relay::{ADMIN_KEY, Relay, RelaySetup};
use bloonio_tests::tenant::TenantBackend;
use bloonio_wire::clock::{Clock, SystemClock};
use bloonio_wire::code::ErrorCode;
use bloonio_wire::device::Platform;
use futures_util::StreamExt;
use serde_json::{Value, json};

const USER: &str = "user-canary-0001";
/// What FCM knows the phone by.
const FCM_TOKEN: &str = "fcm-canary-token-4f1d8a";
/// What may be in no line of the log: everything personal, and everything that proves something.
const CANARIES: &[&str] = &[
    ADMIN_KEY,
    FCM_TOKEN,
    USER,
    "canary@mail.example",
    "+49 30 5550199",
    "Firstcanary",
    "Lastcanary",
    "Shown Canary",
    "Phone Canary",
    "backend-user-canary",
    "action_canary",
    "Title Canary",
    "Subtitle Canary",
    "4711.08 canary",
    "Described Canary",
    "response-token-canary-0123456789abcdef",
    "reason-canary",
    "hook-canary",
    "alert-canary",
    "wrong-admin-key-canary-0123456789abcdef",
    "query-canary",
    "7312094855",
    "canary-instruction-1",
];

/// Everything that was at work.
struct Tour {
    relay: Relay,
    emulator: FcmEmulator,
    receiver: Receiver,
    tenant: TenantBackend,
    phone: Handset,
}

impl Tour {
    /// Pairs a phone that is reached through FCM; the log is as talkative as it can be.
    async fn begin(format: &str) -> Self {
        let emulator = FcmEmulator::start().await;
        emulator.add_device(FCM_TOKEN, Platform::Android);
        let setup = RelaySetup::default()
            .with("RELAY_FCM_CREDENTIALS", emulator.credentials_path().to_str().unwrap())
            .with("RELAY_FCM_ENDPOINT", emulator.endpoint())
            .with("RELAY_EXTRA_CA_FILE", emulator.ca_pem_path().to_str().unwrap())
            .with("RELAY_LOG_FORMAT", format)
            .with("RUST_LOG", "debug,bloonio_relay_server=trace,bloonio_auth_api=trace,bloonio_wire=trace");
        let relay = setup.start().await;
        let receiver = Receiver::start().await;
        let fields = json!({
            "tenant_name": "Bank", "rate_limit_per_min": 10_000,
            "callback_url_base": format!("{}/hook-canary", receiver.base),
        });
        let tenant = relay.operator().provision_with(fields).await;
        receiver.expect_secret(&tenant.secret);
        let offer = json!({
            "user_socket_hash": USER, "backend_user_id": "backend-user-canary", "display_name": "Shown Canary",
            "user_email": "canary@mail.example", "user_phone": "+49 30 5550199",
            "first_name": "Firstcanary", "last_name": "Lastcanary",
        });
        let offer = tenant.post("/relay/prepare-pairing", offer).await;
        let uri = offer.data()["pairing_uri"].as_str().unwrap();
        let device = json!({"platform": "android", "fcm_token": FCM_TOKEN, "device_name": "Phone Canary"});
        let phone = Handset::paired_with(uri, device).await;
        Self { relay, emulator, receiver, tenant, phone }
    }

    async fn ask(&self, instruction: &str, custom_type: &str) -> operator::Answer {
        let mut body = json!({
            "user_socket_hash": USER, "instruction_id": instruction, "custom_type": custom_type,
            "expected_action": "action_canary", "backend_url": "https://bank.example/?q=query-canary",
            "description": "Described Canary", "response_token": "response-token-canary-0123456789abcdef",
            "display": {"title": "Title Canary", "subtitle": "Subtitle Canary", "fields": [
                {"key": "amount", "title": "Amount", "value": "4711.08 canary", "data_type": "RAW_TEXT"}
            ]}
        });
        if custom_type == "goldenNumber" {
            body["numbers"] = json!([7_312_094_855_i64, 2, 3]);
        }
        self.tenant.post("/relay/send/auth-challenge", body).await
    }

    async fn answer(&self, instruction: &str, custom_type: &str, more: Value) -> operator::Answer {
        let fetched = self.phone.get(&format!("/device/challenges/{instruction}")).await;
        assert_eq!(fetched.data()["expected_action"], "action_canary");
        let mut body = json!({
            "instruction_id": instruction, "approved": true, "custom_type": custom_type, "reason": "reason-canary"
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.phone.post("/device/submit-response", body).await
    }

    fn otpauth_uri(&self) -> &str {
        self.phone.registration["totp"]["otpauth_uri"].as_str().unwrap()
    }

    /// Every stage, and every kind of refusal that can be had for nothing. Gives what was drawn on the way and must stay
    /// secret, too.
    async fn take(&self) -> Vec<String> {
        let at = SystemClock.now().as_secs();
        let code = code_at(self.otpauth_uri(), at);
        for (id, custom_type, more) in [
            ("canary-instruction-1", "localAuth", json!({"approved": true})),
            ("canary-instruction-2", "localAuth", json!({"approved": false})),
            ("canary-instruction-3", "goldenNumber", json!({"selected_number": 7_312_094_855_i64})),
            ("canary-instruction-4", "totp", json!({"totp_code": code})),
        ] {
            assert_eq!(self.ask(id, custom_type).await.status, 200);
            let answer = self.answer(id, custom_type, more).await;
            assert_eq!(answer.status, 200, "{id}: {answer:?}");
        }
        self.receiver.wait_for("four decisions and the pairing", |received| received.len() == 5).await;
        assert_eq!(self.ask("canary-instruction-5", "totp").await.status, 200);
        let wrong = json!({"totp_code": wrong_code_at(self.otpauth_uri(), at, 0)});
        self.answer("canary-instruction-5", "totp", wrong).await.expect_error(401, "INVALID_TOTP");
        self.listen_and_withdraw().await;
        let alert = json!({
            "user_socket_hash": USER, "title": "alert-canary", "body": "alert-canary", "kind": "security"
        });
        assert_eq!(self.tenant.post("/relay/send/security-alert", alert).await.status, 200);
        self.be_refused().await;
        let uri = url::Url::parse(self.otpauth_uri()).unwrap();
        let seed = uri.query_pairs().find(|(name, _)| name == "secret").unwrap().1.into_owned();
        let session = self.phone.registration["device_session_token"].as_str().unwrap().to_owned();
        let key = std::fs::read_to_string(self.emulator.credentials_path()).unwrap();
        let key: Value = serde_json::from_str(&key).unwrap();
        let key = key["private_key"].as_str().unwrap().lines().nth(1).unwrap().to_owned();
        vec![self.tenant.secret.expose().to_owned(), seed, session, key]
    }

    /// A stream and a long poll, both ended by a withdrawal.
    async fn listen_and_withdraw(&self) {
        let http = operator::http();
        let session = self.phone.registration["device_session_token"].as_str().unwrap();
        let stream = http.get(format!("{}/api/v1/device/stream", self.relay.base_url())).bearer_auth(session);
        let mut events = stream.send().await.unwrap().bytes_stream();
        assert!(events.next().await.unwrap().is_ok(), "a hint for the open prompt");
        let wait = self.tenant.get("/relay/fetch/outcome?instruction_id=canary-instruction-5&wait_seconds=30");
        let withdraw = async {
            let open = || async { self.metric("bloonio_long_polls_open").await.filter(|open| *open == 1.0) };
            bloonio_tests::wait::until("the long poll waits", open).await;
            assert_eq!(self.metric("bloonio_streams_open").await, Some(1.0));
            self.tenant.post("/relay/cancel/auth-challenge", json!({"instruction_id": "canary-instruction-5"})).await
        };
        let (waited, withdrawn) = tokio::join!(wait, withdraw);
        assert_eq!((&waited.data()["status"], withdrawn.status), (&json!("cancelled"), 200));
    }

    async fn be_refused(&self) {
        let http = operator::http();
        let base = self.relay.base_url();
        let guess = http
            .get(format!("{base}/api/v1/fetch/tenants?q=query-canary"))
            .header("x-admin-key", "wrong-admin-key-canary-0123456789abcdef");
        assert_eq!(guess.send().await.unwrap().status(), 401);
        let replayed = self.tenant.request(reqwest::Method::POST, "/relay/cancel/auth-challenge", b"{}");
        let again = replayed.try_clone().unwrap();
        assert_eq!(replayed.send().await.unwrap().status(), 422);
        assert_eq!(operator::Answer::of(again.send().await.unwrap()).await.error(), "REQUEST_REPLAYED");
        let unread = self.tenant.get("/relay/fetch/outcome?instruction_id=query-canary%00").await;
        assert_eq!(unread.status, 404, "{unread:?}");
    }

    async fn metrics(&self) -> String {
        let url = format!("{}/metrics", self.relay.base_url());
        let answer = operator::http().get(url).header("x-admin-key", ADMIN_KEY).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap()
    }

    /// The value of a metric without labels.
    async fn metric(&self, name: &str) -> Option<f64> {
        let metrics = self.metrics().await;
        metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} "))?.parse().ok())
    }

    /// Ends the relay and gives its whole log.
    async fn log(mut self) -> String {
        assert!(self.relay.process.terminate().await.unwrap().success());
        let ended = || async { self.relay.process.log().contains("the outbox has stopped").then_some(()) };
        bloonio_tests::wait::until("the end of the log", ended).await;
        self.relay.process.log()
    }
}

#[tokio::test]
async fn a103_a_whole_tour_leaves_nothing_confidential_in_the_most_talkative_log() {
    for format in ["text", "json"] {
        let tour = Tour::begin(format).await;
        let drawn = tour.take().await;
        let log = tour.log().await;
        for told in ["operator call", "a prompt was answered", "a callback was attempted", "a push was attempted"] {
            assert!(log.contains(told), "the tour was not logged: {told}");
        }
        let secrets = CANARIES.iter().copied().chain(drawn.iter().map(String::as_str));
        for secret in secrets {
            for form in [secret.to_owned(), hex::encode(secret), urlencoded(secret)] {
                let line = log.lines().find(|line| line.contains(&form));
                assert_eq!(line, None, "{format}: {form}");
            }
        }
        // Google's access tokens, and whatever is signed with the service account's key or the relay's.
        for start in ["ya29.", "eyJ", "Bearer "] {
            let line = log.lines().find(|line| line.contains(start));
            assert_eq!(line, None, "{format}: {start}");
        }
    }
}

fn urlencoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[tokio::test]
async fn every_line_of_a_request_has_its_id_and_what_was_done_its_fields() {
    let tour = Tour::begin("json").await;
    tour.take().await;
    let log = tour.log().await;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let saying = |message: &str| lines.iter().filter(|line| line["fields"]["message"] == message).collect::<Vec<_>>();
    // The outermost span is the request's own.
    let of_a_request = |line: &Value| {
        let span = &line["spans"][0];
        span["request.id"].as_str().is_some_and(|id| !id.is_empty()) && span["http.route"].is_string()
    };
    for message in ["answered", "operator call", "a prompt was stored", "a prompt was answered", "a push was attempted"]
    {
        let lines = saying(message);
        assert!(!lines.is_empty(), "{message}");
        for line in lines {
            assert!(of_a_request(line), "{line}");
        }
    }
    for line in saying("answered") {
        assert!(line["fields"]["duration_ms"].is_number() && line["fields"]["http.status"].is_number(), "{line}");
    }
    for line in saying("a prompt was answered") {
        let hash = line["fields"]["instruction.id"].as_str().unwrap();
        assert!(hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
        assert!(line["fields"]["tenant.id"].as_str().unwrap().starts_with("tnt_"), "{line}");
    }
    assert!(saying("a callback was attempted").iter().all(|line| line["fields"]["delivery.id"].is_string()));
    let refused = saying("answered").into_iter().filter(|line| line["fields"]["http.status"] == 401);
    let codes: BTreeSet<_> = refused.map(|line| line["fields"]["error.code"].as_str().unwrap()).collect();
    assert_eq!(codes, BTreeSet::from(["INVALID_ADMIN_KEY", "INVALID_TOTP", "REQUEST_REPLAYED"]));
}

#[tokio::test]
async fn a103_nobody_can_write_a_line_of_the_log() {
    let forged = "x\n2026-01-01T00:00:00Z  INFO bloonio::audit: forged \u{1b}[31mred";
    let relay = RelaySetup::default().with("RUST_LOG", "trace").start().await;
    let tenant = relay.operator().provision("Bank").await;
    // Each is either refused, or taken and shown escaped.
    let name = relay.operator().post("/provision/tenant", json!({"tenant_name": forged})).await;
    assert_eq!(name.status, 422);
    let offer = json!({
        "user_socket_hash": "user-0001", "backend_user_id": forged, "display_name": forged, "user_email": "a@b.example"
    });
    tenant.post("/relay/prepare-pairing", offer).await;
    let query = urlencoded(forged);
    for path in
        [format!("/fetch/tenant?tenant_id={query}"), format!("/fetch/callbacks?status={query}&tenant_id={query}")]
    {
        relay.operator().get(&path).await;
    }
    let redeliver = relay.operator().post(&format!("/redeliver/callback?delivery_id={query}"), json!({})).await;
    assert_eq!(redeliver.status, 404, "{redeliver:?}");
    relay.operator().get(&format!("/{query}")).await;
    let forwarded = operator::http().get(format!("{}/health/live", relay.base_url()));
    forwarded.header("x-forwarded-for", "1.2.3.4, forged").header("x-request-id", "forged id").send().await.unwrap();
    let mut relay = relay;
    assert!(relay.process.terminate().await.unwrap().success());
    let log = relay.process.log();
    assert!(!log.contains('\u{1b}'), "no colours, no commands");
    assert!(!log.contains("INFO bloonio::audit: forged"), "{log}");
    assert!(log.lines().all(|line| !line.starts_with("2026-01-01")), "a line of somebody else's");
}

fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).expect(path)
}

/// The metrics that an expression names, without the endings of a histogram's parts.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("bloonio_") || word.starts_with("process_"));
    ours.map(|word| word.trim_end_matches("_bucket").to_owned()).collect()
}

fn described(name: &str) -> Option<&'static Metric> {
    let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
    let is = |metric: &&Metric| metric.name == name || (metric.kind == Kind::Histogram && Some(metric.name) == base);
    CATALOGUE.iter().find(is)
}

/// The labels of a sample, `name{a="b",c="d"} 1`, without a bucket's own.
fn labels(sample: &str) -> Vec<(&str, &str)> {
    let inner = sample.split_once('{').and_then(|(_, rest)| rest.split_once("} ")).map_or("", |(inner, _)| inner);
    let pairs = inner.split("\",").filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once("=\"").expect(sample));
    pairs.map(|(name, value)| (name, value.trim_end_matches('"'))).filter(|(name, _)| *name != "le").collect()
}

fn is_allowed(values: Values, value: &str, routes: &BTreeSet<String>) -> bool {
    match values {
        Values::Listed(listed) => listed.contains(&value),
        Values::Routes => value == "unmatched" || routes.contains(value),
        Values::Statuses => value.parse::<u16>().is_ok_and(|status| (100..600).contains(&status)),
        Values::Codes => ErrorCode::from_name(value).is_some(),
        Values::Words => value.len() <= 32 && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)),
    }
}

#[tokio::test]
async fn what_dashboard_and_alerts_show_is_measured_and_its_labels_are_bounded() {
    let tour = Tour::begin("text").await;
    tour.take().await;
    let metrics = tour.metrics().await;
    let dashboard: Value = serde_json::from_str(&file("deploy/grafana/bloonio-relay.json")).expect("a dashboard");
    let shown = named(&dashboard["panels"].to_string());
    let alerts = named(&file("deploy/prometheus/alerts.yml"));
    assert!(shown.len() > 15 && alerts.len() > 6, "{shown:?} {alerts:?}");
    for name in shown.union(&alerts) {
        assert!(described(name).is_some(), "{name} is measured by nobody");
    }
    for metric in CATALOGUE {
        assert!(
            metrics.contains(&format!("# HELP {} {}", metric.name, metric.help)),
            "{} is not described",
            metric.name
        );
        let sample = |line: &&str| !line.starts_with('#') && line.starts_with(metric.name);
        assert!(metrics.lines().any(|line| sample(&line)), "{} does not appear", metric.name);
        assert!(shown.contains(metric.name), "{} is not on the dashboard", metric.name);
    }
    let openapi = operator::http().get(format!("{}/openapi.json", tour.relay.base_url())).send().await.unwrap();
    let openapi: Value = openapi.json().await.unwrap();
    let routes: BTreeSet<_> = openapi["paths"].as_object().unwrap().keys().cloned().collect();
    for sample in metrics.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let name = sample.split(['{', ' ']).next().unwrap();
        let metric = described(name).unwrap_or_else(|| panic!("{name} is not in the catalogue"));
        for (label, value) in labels(sample) {
            let values = metric.labels.iter().find(|(name, _)| *name == label);
            let values = values.unwrap_or_else(|| panic!("{name} has no label {label}")).1;
            assert!(is_allowed(values, value, &routes), "{sample}");
        }
    }
    for secret in CANARIES.iter().copied().chain([tour.tenant.tenant_id.as_str(), "dlv_"]) {
        assert!(!metrics.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn every_stage_of_an_approval_is_measured() {
    let tour = Tour::begin("text").await;
    tour.take().await;
    let metrics = tour.metrics().await;
    for stage in ["authenticate", "store", "push", "decide", "outbox_wait", "callback"] {
        let line = format!("bloonio_stage_seconds_count{{stage=\"{stage}\"}} ");
        let count = metrics.lines().find_map(|sample| sample.strip_prefix(&line)).unwrap_or_else(|| panic!("{stage}"));
        assert!(count.parse::<u64>().unwrap() >= 4, "{stage}: {count}");
    }
    let counts = |sample: &str| metrics.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse::<u64>().ok());
    assert_eq!(counts("bloonio_prompts_total{outcome=\"asked\"}"), Some(5));
    assert_eq!(counts("bloonio_prompts_total{outcome=\"answered\"}"), Some(4));
    assert_eq!(counts("bloonio_prompts_total{outcome=\"cancelled\"}"), Some(1));
    assert_eq!(counts("bloonio_decisions_total{approved=\"true\"}"), Some(3));
    assert_eq!(counts("bloonio_totp_codes_total{outcome=\"wrong\"}"), Some(1));
    assert_eq!(counts("bloonio_refusals_total{code=\"REQUEST_REPLAYED\"}"), Some(1));
    assert_eq!(counts("bloonio_callbacks_total{outcome=\"acknowledged\"}"), Some(5));
    assert_eq!(counts("bloonio_worker_up{worker=\"outbox\"}"), Some(1));
    assert_eq!(counts("bloonio_worker_restarts_total{worker=\"push\"}"), Some(0));
}

#[tokio::test]
async fn the_doctor_lets_fcm_check_the_credentials_and_the_clock() {
    let emulator = FcmEmulator::start().await;
    let folder = tempfile::TempDir::new().unwrap();
    let doctor = || async {
        let mut command = tokio::process::Command::new(binary("bloonio-relay-server").unwrap());
        let command = command
            .args(["doctor", "--json", "--fcm"])
            .env_clear()
            .env("RELAY_DATA_DIR", folder.path())
            .env("RELAY_FCM_CREDENTIALS", emulator.credentials_path())
            .env("RELAY_FCM_ENDPOINT", emulator.endpoint())
            .env("RELAY_EXTRA_CA_FILE", emulator.ca_pem_path());
        let output = command.output().await.unwrap();
        let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
        let find = |check: &str| {
            let found = findings.as_array().unwrap().iter().find(|finding| finding["check"] == check);
            found.unwrap_or_else(|| panic!("{check}: {findings}")).clone()
        };
        (output.status.success(), find("FCM"), find("clock"))
    };
    let (content, fcm, clock) = doctor().await;
    assert!(content, "{fcm} {clock}");
    assert_eq!((&fcm["level"], &clock["level"]), (&json!("ok"), &json!("ok")));
    emulator.disable_account(emulator_project(&emulator).as_str());
    let (content, fcm, _) = doctor().await;
    assert!(!content);
    assert_eq!((&fcm["level"], &fcm["found"]), (&json!("fail"), &json!("push not accepted: account_refused")));
    assert!(emulator.sends().iter().all(|send| !send.is_delivered()), "a dry run reaches nobody");
}

fn emulator_project(emulator: &FcmEmulator) -> String {
    let key: Value = serde_json::from_str(&std::fs::read_to_string(emulator.credentials_path()).unwrap()).unwrap();
    key["project_id"].as_str().unwrap().to_owned()
}

#[test]
fn every_alert_has_a_paragraph_that_says_what_to_do() {
    let alerts = file("deploy/prometheus/alerts.yml");
    let guide = file("docs/src/operations.md");
    let value = |key: &str| {
        let lines = alerts.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix(key));
        lines.map(|value| value.trim().trim_matches('"').to_owned()).collect::<Vec<_>>()
    };
    let (names, runbooks) = (value("alert:"), value("runbook:"));
    assert!(names.len() > 10 && names.len() == runbooks.len(), "{names:?} {runbooks:?}");
    for (name, runbook) in names.iter().zip(&runbooks) {
        let heading = name.chars().flat_map(|c| match c.is_ascii_uppercase() {
            true => vec!['-', c.to_ascii_lowercase()],
            false => vec![c],
        });
        let anchor: String = heading.skip(1).collect();
        assert_eq!(*runbook, format!("operations.md#{anchor}"), "{name}");
        let heading = format!("\n### {}\n", anchor.replace('-', " "));
        assert!(guide.to_lowercase().contains(&heading), "the guide has no {heading:?}");
    }
}
