//! One-time codes end to end: the real relay, the real phone, and any authenticator.

use bloonio_tests::codes::{code_at, wrong_code_at};
use bloonio_tests::handset::Handset;
use bloonio_tests::operator::Answer;
use bloonio_tests::phone::Phone;
use bloonio_tests::receiver::Receiver;
use bloonio_tests::relay::Relay;
use bloonio_tests::tenant::TenantBackend;
use bloonio_tests::wait;
use bloonio_wire::clock::{Clock, SystemClock};
use serde_json::{Value, json};

const USER: &str = "jane-0123456789";

async fn relay_and_tenant() -> (Relay, TenantBackend) {
    let relay = Relay::start().await;
    let tenant = relay.operator().provision("Bank").await;
    (relay, tenant)
}

async fn ask(tenant: &TenantBackend, instruction: &str) {
    let mut prompt = tenant.challenge(USER, instruction);
    prompt["custom_type"] = json!("totp");
    let sent = tenant.post("/relay/send/auth-challenge", prompt).await;
    assert_eq!(sent.status, 200, "{sent:?}");
}

async fn verify(tenant: &TenantBackend, pairing: &str, code: &str) -> Answer {
    tenant.post("/relay/sudo/verify-totp", json!({"relay_user_linked_id": pairing, "totp": code})).await
}

async fn outcome(tenant: &TenantBackend, instruction: &str) -> Value {
    tenant.get(&format!("/relay/fetch/outcome?instruction_id={instruction}")).await.data().clone()
}

/// A device whose codes are made by an authenticator that knows nothing of the suite.
struct Person {
    device: Handset,
    otpauth_uri: String,
}

impl Person {
    async fn paired(tenant: &TenantBackend) -> Self {
        let device = Handset::paired_with(&tenant.offer_pairing(USER).await, json!({"platform": "stream"})).await;
        let otpauth_uri = device.registration["totp"]["otpauth_uri"].as_str().expect("a seed").to_owned();
        Self { device, otpauth_uri }
    }

    fn pairing(&self) -> &str {
        self.device.registration["pairing"]["relay_user_linked_id"].as_str().expect("an id")
    }

    fn code(&self) -> String {
        code_at(&self.otpauth_uri, SystemClock.now().as_secs())
    }

    fn wrong_code(&self, n: usize) -> String {
        wrong_code_at(&self.otpauth_uri, SystemClock.now().as_secs(), n)
    }

    async fn submit(&self, instruction: &str, code: &str) -> Answer {
        let body = json!({"instruction_id": instruction, "approved": true, "custom_type": "totp", "totp_code": code});
        self.device.post("/device/submit-response", body).await
    }
}

#[tokio::test]
async fn a_person_approves_with_a_code_that_the_phone_makes() {
    let (relay, tenant) = relay_and_tenant().await;
    let receiver = Receiver::start().await;
    receiver.expect_secret(&tenant.secret);
    relay.operator().set_callback_base(&tenant, &receiver.base).await;
    let phone = Phone::paired(&tenant.offer_pairing(USER).await).await;
    ask(&tenant, "instruction-1").await;
    phone.approve("instruction-1").await;
    let event = outcome(&tenant, "instruction-1").await;
    assert_eq!((&event["approved"], &event["response_data"]["totp_verified"]), (&json!(true), &json!(true)));
    let told = receiver.wait_for("the decision", |all| all.iter().any(|r| r.path.ends_with("/sudo-validated"))).await;
    let told = told.iter().find(|r| r.path.ends_with("/sudo-validated")).expect("the decision");
    assert_eq!(told.body["response_data"]["totp_verified"], true);

    // Right after it the phone's next code passes.
    ask(&tenant, "instruction-2").await;
    phone.approve("instruction-2").await;
    assert_eq!(outcome(&tenant, "instruction-2").await["approved"], true);
}

#[tokio::test]
async fn a_code_read_from_the_phone_is_good_once_at_the_backend() {
    let (_relay, tenant) = relay_and_tenant().await;
    let phone = Phone::paired(&tenant.offer_pairing(USER).await).await;
    let shown = phone.run(&["totp"]).await;
    let text = |name: &str| shown.ok()[name].as_str().expect("text").to_owned();
    let (pairing, code) = (text("relay_user_linked_id"), text("code"));
    let right = verify(&tenant, &pairing, &code).await;
    assert_eq!((right.status, right.data()), (200, &json!({"ok": true})));
    verify(&tenant, &pairing, &code).await.expect_error(401, "INVALID_TOTP");
}

#[tokio::test]
async fn any_authenticator_will_do_and_three_wrong_codes_deny() {
    let (relay, tenant) = relay_and_tenant().await;
    let receiver = Receiver::start().await;
    receiver.expect_secret(&tenant.secret);
    relay.operator().set_callback_base(&tenant, &receiver.base).await;
    let person = Person::paired(&tenant).await;
    ask(&tenant, "instruction-1").await;
    for n in 0..3 {
        person.submit("instruction-1", &person.wrong_code(n)).await.expect_error(401, "INVALID_TOTP");
    }
    let told = receiver.wait_for("the denial", |all| all.iter().any(|r| r.path.ends_with("/sudo-rejected"))).await;
    let told = told.iter().find(|r| r.path.ends_with("/sudo-rejected")).expect("the denial");
    assert_eq!((&told.body["approved"], &told.body["response_data"]["totp_verified"]), (&json!(false), &json!(false)));
    let code = person.code();
    person.submit("instruction-1", &code).await.expect_error(409, "ALREADY_DECIDED");
    ask(&tenant, "instruction-2").await;
    assert_eq!(person.submit("instruction-2", &code).await.status, 200);
}

#[tokio::test]
async fn a97_kill_9_forgets_neither_a_used_code_nor_a_lock() {
    let (mut relay, tenant) = relay_and_tenant().await;
    let person = Person::paired(&tenant).await;
    let code = person.code();
    assert_eq!(verify(&tenant, person.pairing(), &code).await.status, 200);
    relay.process.kill().await.unwrap();
    relay.restart().await;
    for _ in 0..5 {
        verify(&tenant, person.pairing(), &code).await.expect_error(401, "INVALID_TOTP");
    }
    relay.process.kill().await.unwrap();
    relay.restart().await;
    let locked = verify(&tenant, person.pairing(), &person.wrong_code(0)).await;
    locked.expect_error(429, "RATE_LIMITED");
    assert!(locked.retry_after.is_some_and(|seconds| (1..=60).contains(&seconds.parse().unwrap())));
}

#[tokio::test]
async fn a103_the_audit_trail_tells_what_happened_and_no_code() {
    let (relay, tenant) = relay_and_tenant().await;
    let person = Person::paired(&tenant).await;
    let mut codes = vec![person.code()];
    assert_eq!(verify(&tenant, person.pairing(), &codes[0]).await.status, 200);
    for n in 0..5 {
        codes.push(person.wrong_code(n + 500_000));
        verify(&tenant, person.pairing(), &codes[n + 1]).await.expect_error(401, "INVALID_TOTP");
    }
    let refused = verify(&tenant, person.pairing(), &codes[0]).await;
    refused.expect_error(429, "RATE_LIMITED");
    let last = "one-time codes are locked for a while";
    wait::until("the last line", || async {
        let log = relay.process.log();
        (log.contains(last) && log.matches("a one-time code was refused").count() >= 6).then_some(())
    })
    .await;
    let log = relay.process.log();
    for (count, line) in
        [(1, "a seed for one-time codes was made and handed over"), (6, "a one-time code was refused"), (1, last)]
    {
        let lines: Vec<_> = log.lines().filter(|l| l.contains("bloonio::audit") && l.contains(line)).collect();
        assert_eq!(lines.len(), count, "{line}: {log}");
        assert!(lines.iter().all(|l| l.contains(person.pairing()) && l.contains(&tenant.tenant_id)), "{lines:?}");
    }
    let seed = person.otpauth_uri.split("secret=").nth(1).expect("a secret").split('&').next().expect("a secret");
    assert!(!log.contains(seed));
    // As a value of its own: digits of a time are no code.
    let words: Vec<_> = log.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').collect();
    assert!(codes.iter().all(|code| !words.contains(&code.as_str())), "{log}");
}
