//! A relay that is really running, and an FCM that is really strict: one prompt, from the backend's call to the phones.

use std::collections::BTreeSet;
use std::time::Duration;

use bloonio_demo::process::binary;
use bloonio_tests::fcm::FcmEmulator;
use bloonio_tests::fcm::fault::{Answer, Fault, Gate};
use bloonio_tests::fcm::journal::{Seen, SendRequest, TokenRequest, TokenVerdict, Verdict};
use bloonio_tests::handset::Handset;
use bloonio_tests::operator;
use bloonio_tests::relay::{Relay, RelaySetup};
use bloonio_tests::tenant::TenantBackend;
use bloonio_tests::wait;
use bloonio_wire::clock::{Clock, SystemClock};
use bloonio_wire::device::Platform;
use futures_util::future::join_all;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::process::Command;

const USER: &str = "jane-0123456789";
/// What a push must never tell: it is in every prompt and pairing of these tests.
const SECRETS: [&str; 6] =
    ["1000.00", "ACME Corp", "user@example.com", "transfer_funds", "Transfer to", "Salary of May"];
/// The first attempts take 12 s at most (PROTOCOL 5); with room for a loaded machine.
const FIRST_ATTEMPTS: Duration = Duration::from_secs(30);

struct Scene {
    emulator: FcmEmulator,
    relay: Relay,
    tenant: TenantBackend,
}

impl Scene {
    async fn set() -> Self {
        Self::set_with(FcmEmulator::start().await).await
    }

    async fn set_with(emulator: FcmEmulator) -> Self {
        Self::set_up(emulator, RelaySetup::default()).await
    }

    async fn set_up(emulator: FcmEmulator, setup: RelaySetup) -> Self {
        emulator.forbid(SECRETS);
        let relay = setup
            .with("RELAY_FCM_CREDENTIALS", emulator.credentials_path().to_str().unwrap())
            .with("RELAY_FCM_ENDPOINT", emulator.endpoint())
            .with("RELAY_EXTRA_CA_FILE", emulator.ca_pem_path().to_str().unwrap())
            .start()
            .await;
        let tenant = relay.operator().provision("Bank").await;
        let path = format!("/update/tenant?tenant_id={}", tenant.tenant_id);
        assert_eq!(relay.operator().post(&path, json!({"device_addition": "open"})).await.status, 200);
        Self { emulator, relay, tenant }
    }

    /// Pairs a phone of `user`'s; the push service knows it by `token`.
    async fn pair(&self, user: &str, platform: Platform, token: &str) -> Handset {
        self.emulator.add_device(token, platform);
        Handset::paired(&self.tenant.offer_pairing(user).await, platform.as_str(), token).await
    }

    /// Jane's three phones, one of each platform.
    async fn three_phones(&self) -> [Handset; 3] {
        let phones = [
            self.pair(USER, Platform::Android, "token-android").await,
            self.pair(USER, Platform::Ios, "token-ios").await,
            self.pair(USER, Platform::Web, "token-web").await,
        ];
        // Each new phone is announced to those before it (SECURITY, "Devices"): one alert, then two.
        let announced = |seen: &Seen| seen.sends.iter().filter(|send| send.is_delivered()).count() == 3;
        let seen = self.emulator.wait_for("the alerts about new phones", announced).await;
        assert!(seen.sends.iter().all(|send| send.message()["data"]["type"] == "security_alert"));
        phones
    }

    async fn prompt(&self, user: &str, instruction: &str) -> operator::Answer {
        let mut body = self.tenant.challenge(user, instruction);
        body["description"] = "Salary of May".into();
        body["display"]["title"] = "Transfer to".into();
        body["display"]["fields"] = json!([
            {"key": "amount", "title": "Amount", "value": "1000.00", "data_type": "CURRENCY_USD"},
            {"key": "payee", "title": "Payee", "value": "ACME Corp", "data_type": "PARTY_NAME"},
        ]);
        self.tenant.post("/relay/send/auth-challenge", body).await
    }

    async fn delivery(&self, instruction: &str) -> Value {
        let answer = self.tenant.get(&format!("/relay/fetch/delivery-status?instruction_id={instruction}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.data().clone()
    }

    /// The requests to send a prompt.
    fn prompts(&self) -> Vec<SendRequest> {
        let sends = self.emulator.sends().into_iter();
        sends.filter(|send| send.message()["data"]["type"] == "auth_challenge").collect()
    }

    /// How often a prompt to this address was tried.
    fn tries(&self, address: &str) -> usize {
        self.prompts().iter().filter(|send| send.address.as_deref() == Some(address)).count()
    }
}

fn counts(answer: &operator::Answer) -> (u64, u64) {
    let data = &answer.body["data"];
    (data["delivered_count"].as_u64().unwrap(), data["failed_count"].as_u64().unwrap())
}

fn texts(list: &Value) -> BTreeSet<String> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn one_prompt_to_three_devices_is_three_valid_messages() {
    let scene = Scene::set().await;
    let phones = scene.three_phones().await;
    let answer = scene.prompt(USER, "instruction-1").await;
    assert_eq!((answer.status, counts(&answer)), (200, (3, 0)), "{answer:?}");

    let prompt = phones[0].get("/device/challenges/instruction-1").await;
    let expected = json!({
        "type": "auth_challenge", "instruction_id": "instruction-1", "tenant_id": scene.tenant.tenant_id,
        "expires_at": prompt.data()["expires_at"],
    });
    let sends = scene.prompts();
    assert!(sends.iter().all(|send| send.message()["data"] == expected), "{sends:#?}");
    let addresses: BTreeSet<_> = sends.iter().filter_map(|send| send.address.as_deref()).collect();
    assert_eq!((sends.len(), addresses), (3, BTreeSet::from(["token-android", "token-ios", "token-web"])));
    let names = sends.iter().filter_map(|send| match &send.verdict {
        Verdict::Accepted(name) => Some(name.clone()),
        _ => None,
    });
    assert_eq!(texts(&answer.data()["fcm_message_ids"]), names.collect());
    let again = scene.prompt(USER, "instruction-1").await;
    assert_eq!(again.data(), answer.data());
    assert_eq!((scene.prompts().len(), scene.emulator.token_requests().len()), (3, 1));
    scene.emulator.assert_no_misuse();
}

#[tokio::test]
async fn an_installation_id_is_an_address_too() {
    let scene = Scene::set().await;
    scene.emulator.add_fid_device("fid-1", Platform::Android);
    let offer = scene.tenant.offer_pairing(USER).await;
    Handset::paired_with(&offer, json!({"platform": "android", "fid": "fid-1"})).await;
    assert_eq!(scene.prompt(USER, "instruction-1").await.status, 200);
    assert_eq!(scene.emulator.messages_for("fid-1")[0]["fid"], "fid-1");
    scene.emulator.assert_no_misuse();
}

#[tokio::test]
async fn alerts_and_withdrawals_tell_nothing_either() {
    let scene = Scene::set().await;
    scene.three_phones().await;
    assert_eq!(scene.prompt(USER, "instruction-1").await.status, 200);
    let cancelled = scene.tenant.post("/relay/cancel/auth-challenge", json!({"instruction_id": "instruction-1"})).await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    let alert = json!({
        "user_socket_hash": USER, "title": "Transfer to", "body": "1000.00 to ACME Corp", "kind": "security",
    });
    let alert = scene.tenant.post("/relay/send/security-alert", alert).await;
    assert_eq!(alert.status, 200, "{alert:?}");
    // Three alerts about new phones came before.
    for (kind, count) in [("auth_challenge", 3), ("challenge_cancelled", 3), ("security_alert", 6)] {
        let of_kind = |send: &&SendRequest| send.is_delivered() && send.message()["data"]["type"] == kind;
        scene.emulator.wait_for(kind, |seen| seen.sends.iter().filter(of_kind).count() == count).await;
    }
    scene.emulator.assert_no_misuse();
}

#[tokio::test]
async fn an_unregistered_answer_retires_that_one_address_and_no_other() {
    let scene = Scene::set().await;
    let [_, mut ios, _] = scene.three_phones().await;
    scene.emulator.mark_unregistered("token-ios");
    let first = scene.prompt(USER, "instruction-1").await;
    assert_eq!((first.status, counts(&first)), (200, (2, 1)), "{first:?}");
    assert_eq!(texts(&first.data()["failed_tokens_sample"]), BTreeSet::from(["token-ios".to_owned()]));
    let delivery = scene.delivery("instruction-1").await;
    assert_eq!(delivery["status"], "partial");
    let dead = delivery["devices"].as_array().unwrap().iter().find(|device| device["device_id"] == ios.device_id);
    assert_eq!(dead.unwrap()["error"], "unregistered");

    let second = scene.prompt(USER, "instruction-2").await;
    assert_eq!(second.status, 200, "{second:?}");
    let tries = ["token-android", "token-ios", "token-web"].map(|address| scene.tries(address));
    assert_eq!(tries, [2, 1, 2], "the dead address is left alone");

    // The app is back under a new address, and everything is as before.
    scene.emulator.add_device("token-ios-2", Platform::Ios);
    ios.change_address("token-ios-2").await;
    let third = scene.prompt(USER, "instruction-3").await;
    assert_eq!((third.status, counts(&third)), (200, (3, 0)), "{third:?}");
    scene.emulator.assert_no_misuse();
}

#[tokio::test]
async fn a_bare_404_retires_none() {
    let scene = Scene::set().await;
    let phones = scene.three_phones().await;
    scene.emulator.fault_next(vec![Fault::Answer(Answer::refusal(404, "NOT_FOUND", &[])); 2]);
    scene.emulator.fault_next([Fault::Answer(Answer::html(404))]);
    let refused = scene.prompt(USER, "instruction-1").await;
    refused.expect_error(502, "PUSH_NOT_DELIVERED");
    assert_eq!(counts(&refused), (0, 3));
    // The truth is with the relay: each phone finds the prompt when it looks.
    for phone in &phones {
        assert_eq!(phone.prompts().await, ["instruction-1"]);
    }
    let answer = scene.prompt(USER, "instruction-2").await;
    assert_eq!((answer.status, counts(&answer)), (200, (3, 0)), "{answer:?}");
}

#[tokio::test]
async fn an_address_of_another_project_is_set_aside() {
    let scene = Scene::set().await;
    scene.three_phones().await;
    scene.emulator.mark_foreign("token-web");
    assert_eq!(counts(&scene.prompt(USER, "instruction-1").await), (2, 1));
    assert_eq!(scene.prompt(USER, "instruction-2").await.status, 200);
    assert_eq!(scene.tries("token-web"), 1);
}

fn is_issued(token: &TokenRequest) -> bool {
    matches!(token.verdict, Some(TokenVerdict::Issued { .. }))
}

fn issued(seen: &Seen) -> usize {
    seen.tokens.iter().filter(|token| is_issued(token)).count()
}

/// Ten users with ten prompts each, all at once; every one must reach its phone.
async fn a_hundred_prompts(scene: &Scene) {
    let prompts = (0..100).map(|n| async move {
        let answer = scene.prompt(&format!("user-{:010}", n % 10), &format!("instruction-{n}")).await;
        assert_eq!((answer.status, counts(&answer)), (200, (1, 0)), "{answer:?}");
    });
    join_all(prompts).await;
    for n in 0..10 {
        assert_eq!(scene.emulator.messages_for(&format!("token-{n}")).len(), 10);
    }
}

async fn ten_users(scene: &Scene) {
    for n in 0..10 {
        scene.pair(&format!("user-{n:010}"), Platform::Android, &format!("token-{n}")).await;
    }
}

#[tokio::test]
async fn a_hundred_concurrent_prompts_at_token_expiry_make_one_token_request() {
    let mut scene = Scene::set().await;
    ten_users(&scene).await;
    // A relay that has just started, with a token that lives for four seconds and cannot be renewed.
    scene.relay.process.kill().await.unwrap();
    scene.emulator.revoke_tokens();
    scene.emulator.set_token_life(Duration::from_secs(4));
    let open = Gate::default();
    open.open();
    scene.emulator.fault_next_token([Fault::Hold(open)]);
    scene.emulator.fault_tokens(Some(Fault::Cut));
    let before = issued(&scene.emulator.seen());
    scene.relay.restart().await;
    let seen = scene.emulator.wait_for("the token", |seen| issued(seen) == before + 1).await;
    let token = seen.tokens.iter().rev().find(|token| is_issued(token)).unwrap().at;
    wait::until("the token's end", || async { (SystemClock.now().since(token).as_secs() >= 4).then_some(()) }).await;

    scene.emulator.set_token_life(Duration::from_secs(3600));
    scene.emulator.fault_tokens(None);
    a_hundred_prompts(&scene).await;
    assert_eq!(issued(&scene.emulator.seen()), before + 2);
    scene.emulator.assert_no_misuse();
}

#[tokio::test]
async fn a_hundred_concurrent_prompts_with_a_revoked_token_make_one_token_request() {
    let scene = Scene::set().await;
    ten_users(&scene).await;
    assert_eq!(scene.prompt("user-0000000000", "instruction-first").await.status, 200);
    let before = scene.emulator.token_requests().len();
    scene.emulator.revoke_tokens();
    let prompts = (0..100).map(|n| {
        let scene = &scene;
        async move { scene.prompt(&format!("user-{:010}", n % 10), &format!("instruction-{n}")).await }
    });
    let answers = join_all(prompts).await;
    assert!(answers.iter().all(|answer| (answer.status, counts(answer)) == (200, (1, 0))), "{answers:#?}");
    assert_eq!(scene.emulator.token_requests().len(), before + 1);
}

#[tokio::test]
async fn a_hanging_token_endpoint_delays_nobody_beyond_the_deadline() {
    let emulator = FcmEmulator::start().await;
    emulator.fault_tokens(Some(Fault::Hang));
    let scene = Scene::set_with(emulator).await;
    let phone = scene.pair(USER, Platform::Android, "token-android").await;
    let stream = Handset::paired_with(&scene.tenant.offer_pairing(USER).await, json!({"platform": "stream"})).await;

    let sending = tokio::time::timeout(FIRST_ATTEMPTS, scene.prompt(USER, "instruction-1"));
    let looking = wait::until("the prompt on both phones, while the push hangs", || async {
        let seen = [phone.prompts().await, stream.prompts().await];
        (seen == [["instruction-1"], ["instruction-1"]]).then_some(())
    });
    let (answer, ()) = tokio::join!(sending, looking);
    let answer = answer.expect("the caller is answered in time");
    assert_eq!((answer.status, counts(&answer)), (200, (1, 1)), "{answer:?}");
    assert!(scene.emulator.sends().is_empty());

    // It mends, and the prompt still comes: the push is tried again within the prompt's life.
    scene.emulator.fault_tokens(None);
    scene.emulator.wait_for_messages("token-android", 1).await;
    scene.emulator.assert_no_misuse();
}

/// The connection breaks after the message was taken: it is sent again, and the phone knows it by its id.
#[tokio::test]
async fn a_push_of_unknown_fate_is_sent_again_under_the_same_id() {
    let scene = Scene::set().await;
    scene.pair(USER, Platform::Android, "token-android").await;
    scene.emulator.fault_next([Fault::DoneButCut]);
    scene.prompt(USER, "instruction-1").await.expect_error(502, "PUSH_NOT_DELIVERED");
    let messages = scene.emulator.wait_for_messages("token-android", 2).await;
    assert!(messages.iter().all(|message| message["data"]["instruction_id"] == "instruction-1"));
    wait::until("the delivery status", || async {
        (scene.delivery("instruction-1").await["status"] == "delivered").then_some(())
    })
    .await;
    scene.emulator.assert_no_misuse();
}

/// Neither what is asked, nor how a phone is reached, nor what opens FCM.
#[tokio::test]
async fn the_log_tells_no_address_no_token_and_no_content() {
    let scene = Scene::set_up(FcmEmulator::start().await, RelaySetup::default().with("RUST_LOG", "debug")).await;
    scene.three_phones().await;
    scene.emulator.mark_unregistered("token-ios");
    scene.emulator.fault_next_for("token-web", [Fault::Answer(Answer::html(502))]);
    assert_eq!(counts(&scene.prompt(USER, "instruction-1").await), (1, 2));
    let log = scene.relay.process.log();
    assert!(log.contains("unregistered"), "there is a log: {log}");
    let key = std::fs::read_to_string(scene.emulator.credentials_path()).unwrap();
    let key: Value = serde_json::from_str(&key).unwrap();
    let key = key["private_key"].as_str().unwrap().lines().nth(1).unwrap();
    // Tokens begin with `ya29`, assertions with an encoded `{"`.
    let untold =
        ["token-android", "token-ios", "token-web", "ya29", "eyJ", key, "instruction-1", tenant_secret(&scene)];
    for text in untold.iter().chain(&SECRETS) {
        assert!(!log.contains(text), "the log tells {text}: {log}");
    }
}

fn tenant_secret(scene: &Scene) -> &str {
    scene.tenant.secret.expose()
}

/// A key file is read and checked at start, and its fault named without showing the key.
#[rstest]
#[case("private_key", json!("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"))]
#[case("client_email", json!(null))]
#[case("project_id", json!("../other"))]
#[case("token_uri", json!("http://oauth2.example/token"))]
#[tokio::test]
async fn a_relay_does_not_start_with_a_bad_key_file(#[case] field: &str, #[case] value: Value) {
    let emulator = FcmEmulator::start().await;
    let mut file: Value = serde_json::from_slice(&std::fs::read(emulator.credentials_path()).unwrap()).unwrap();
    file[field] = value;
    let path = emulator.folder().join("bad.json");
    std::fs::write(&path, file.to_string()).unwrap();
    let mut relay = Command::new(binary("bloonio-relay-server").unwrap());
    relay.arg("serve").env_clear().kill_on_drop(true);
    relay
        .env("RELAY_LISTEN", "127.0.0.1:0")
        .env("RELAY_DATA_DIR", emulator.folder())
        .env("RELAY_FCM_CREDENTIALS", path);
    let output = tokio::time::timeout(wait::DEADLINE, relay.output()).await.expect("it ends").unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert!(errors.contains(field), "{errors}");
    assert!(!errors.contains("PRIVATE KEY") && !errors.contains("c2VjcmV0"), "{errors}");
}

#[tokio::test]
async fn a_relay_without_a_push_service_refuses_devices_that_need_it() {
    let relay = Relay::start().await;
    let tenant = relay.operator().provision("Bank").await;
    let uri = url::Url::parse(&tenant.offer_pairing(USER).await).unwrap();
    let proof = uri.query_pairs().find(|(name, _)| name == "proof").unwrap().1.into_owned();
    let request = operator::http()
        .post(format!("{}/api/v1/device/register-token", relay.base_url()))
        .bearer_auth(proof)
        .json(&json!({"platform": "android", "fcm_token": "token-android"}));
    let answer = operator::Answer::of(request.send().await.unwrap()).await;
    answer.expect_error(422, "VALIDATION_FAILED");
    assert_eq!(answer.body["details"][0]["field"], "platform");
}
