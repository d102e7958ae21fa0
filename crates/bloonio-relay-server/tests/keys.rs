//! One master key replaces another while relays run, and nothing that was sealed is lost (SECURITY; ATTACKS A63, A64, A71).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says where")]

mod rig;
mod support;

use std::collections::{BTreeMap, BTreeSet};

use bloonio_relay_server::audit::{Chain, Kind};
use bloonio_relay_server::keys::rekey::{BATCH, Progress, Rekey};
use bloonio_relay_server::keys::{self, KeysError};
use bloonio_relay_server::seal::{KeyRing, MasterKey, SealedBy, Sealer};
use bloonio_relay_server::service::tenant::{TenantConfig, TenantStatus, TenantView};
use bloonio_relay_server::storage::db::{query, query_for};
use bloonio_relay_server::storage::sealed::{self, SEALED};
use bloonio_relay_server::storage::tenant::{self, SealedSecret};
use bloonio_relay_server::storage::{audit, seal_key};
use bloonio_wire::clock::{Clock, SystemClock};
use bloonio_wire::digest::Framed;
use bloonio_wire::header;
use bloonio_wire::id::TenantId;
use bloonio_wire::random::{SeededRandom, SystemRandom};
use bloonio_wire::secret::Secret;
use bloonio_wire::sign;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rig::Rig;
use serde_json::{Value, json};
use support::process::{RunningRelay, command, complaint, printed};
use support::{ADMIN_KEY, TestRelay};

fn key(seed: u64) -> MasterKey {
    MasterKey::draw(&SeededRandom::new(seed)).unwrap()
}

fn ring(seeds: &[u64]) -> Sealer {
    let others = seeds[1..].iter().map(|seed| key(*seed));
    Sealer::new(others.fold(KeyRing::new(key(seeds[0])), KeyRing::with_opener))
}

fn by(seed: u64) -> SealedBy {
    SealedBy::Key(key(seed).id())
}

impl Rig {
    /// Adds `count` tenants, whose secrets are sealed by `sealer`.
    async fn tenants(&self, sealer: &Sealer, count: i64) -> Vec<(TenantId, Secret)> {
        let mut tx = self.storage.begin_shared().await.unwrap();
        let mut tenants = Vec::new();
        for _ in 0..count {
            let (id, secret) =
                (TenantId::draw(&SystemRandom).unwrap(), Secret::draw_tenant_secret(&SystemRandom).unwrap());
            let view = TenantView {
                tenant_id: id.clone(),
                tenant_name: "Bank".to_owned(),
                rate_limit_per_min: 60,
                config: TenantConfig::default(),
                status: TenantStatus::Active,
                created_at: self.clock.now(),
            };
            let sealed = SealedSecret::seal(sealer, &SystemRandom, &id, &secret).unwrap();
            tenant::insert(&mut tx, &view, &sealed).await.unwrap();
            tenants.push((id, secret));
        }
        tx.commit().await.unwrap();
        tenants
    }

    fn rekey<'a>(&'a self, sealer: &'a Sealer) -> Rekey<'a> {
        Rekey { storage: &self.storage, sealer, clock: self.clock.as_ref(), random: self.random.as_ref() }
    }

    async fn record(&self, sealer: &Sealer) {
        keys::record(&self.storage, sealer, self.clock.as_ref()).await.unwrap();
    }

    async fn check(&self, sealer: &Sealer) -> Result<(), KeysError> {
        keys::check(&self.storage, sealer, self.clock.now()).await
    }

    async fn opens_all(&self, sealer: &Sealer, tenants: &[(TenantId, Secret)]) {
        for (id, secret) in tenants {
            let tenant = self.storage.tenant(sealer, id).await.unwrap().unwrap();
            assert_eq!(tenant.secret.expose(), secret.expose());
        }
    }
}

#[tokio::test]
async fn a64_sealing_again_can_be_ended_at_any_moment_and_goes_on_with_what_is_left() {
    let rig = Rig::new().await;
    rig.record(&ring(&[1])).await;
    let tenants = rig.tenants(&ring(&[1]), 2 * BATCH + 7).await;
    let both = ring(&[2, 1]);
    rig.record(&both).await;
    // Ended by force after its first batch.
    let (first, ended) = tokio::sync::oneshot::channel();
    let mut first = Some(first);
    {
        let rekey = rig.rekey(&both);
        let run = rekey.run(|_, done| {
            if let Some(first) = first.take() {
                first.send(done).unwrap();
            }
        });
        tokio::select! {
            biased;
            done = ended => assert_eq!(done.unwrap().resealed, BATCH.unsigned_abs()),
            _ = run => panic!("it was to be ended before"),
        }
    }
    rig.opens_all(&both, &tenants).await;
    let left = keys::count(&rig.storage, by(1)).await.unwrap();
    assert!(left > 0 && left <= BATCH + 7, "{left}");
    assert!(matches!(rig.check(&ring(&[2])).await, Err(KeysError::Missing { values, .. }) if values == left));

    let done = rig.rekey(&both).run(|_, _| ()).await.unwrap();
    assert_eq!(done, Progress { resealed: left.unsigned_abs(), overtaken: 0, unopenable: 0 });
    rig.opens_all(&ring(&[2]), &tenants).await;
    rig.check(&ring(&[2])).await.unwrap();
    assert_eq!(seal_key::needed(&rig.storage).await.unwrap(), [by(2)]);
    assert_eq!(rig.rekey(&both).run(|_, _| ()).await.unwrap(), Progress::default());
    let told = audit::last(&rig.storage, &Chain::Operator, 10).await.unwrap();
    let told: Vec<_> = told.iter().map(|entry| (entry.kind.as_str(), entry.subject.clone())).collect();
    let expected = [(Kind::KeyUsed, 1), (Kind::KeyUsed, 2), (Kind::KeyRekeyed, 2), (Kind::KeyRekeyed, 2)];
    assert_eq!(told, expected.map(|(kind, seed)| (kind.as_str(), key(seed).id().to_string())));
}

#[tokio::test]
async fn a64_a_secret_that_is_rotated_meanwhile_stays_the_new_one() {
    let rig = Rig::new().await;
    let tenants = rig.tenants(&ring(&[1]), 1).await;
    let both = ring(&[2, 1]);
    let rows = sealed::others(&rig.storage, &SEALED[0], &by(2).head(), None, 10).await.unwrap();
    let fresh = both.reseal(&SystemRandom, &SEALED[0].context(&rows[0].tenant_id, &rows[0].key), &rows[0].sealed);
    let rotated = rig.registry().rotate(&tenants[0].0).await.unwrap();
    let mut tx = rig.storage.begin_shared().await.unwrap();
    assert!(!sealed::replace(&mut tx, &SEALED[0], &rows[0], &fresh.unwrap().unwrap()).await.unwrap());
    tx.commit().await.unwrap();
    let now = rig.storage.tenant(&rig.sealer, &tenants[0].0).await.unwrap().unwrap();
    assert_eq!(now.secret.expose(), rotated.tenant_secret);
}

#[tokio::test]
async fn a64_what_no_key_opens_is_counted_and_left_alone() {
    let rig = Rig::new().await;
    let lost = rig.tenants(&ring(&[3]), 2).await;
    let tenants = rig.tenants(&ring(&[1]), 3).await;
    let both = ring(&[2, 1]);
    let done = rig.rekey(&both).run(|_, _| ()).await.unwrap();
    assert_eq!(done, Progress { resealed: 3, overtaken: 0, unopenable: 2 });
    rig.opens_all(&ring(&[2]), &tenants).await;
    rig.opens_all(&ring(&[3]), &lost).await;
}

#[tokio::test]
async fn a64_a_key_that_still_seals_somewhere_is_needed_again_though_it_was_let_go() {
    let rig = Rig::new().await;
    rig.record(&ring(&[1])).await;
    // Nothing is sealed under it yet: a relay without it may start, and lets it go.
    rig.check(&ring(&[2])).await.unwrap();
    assert_eq!(seal_key::needed(&rig.storage).await.unwrap(), []);
    // The relay with it is still there, seals, and sweeps.
    rig.tenants(&ring(&[1]), 1).await;
    rig.record(&ring(&[1])).await;
    let refused = rig.check(&ring(&[2])).await.unwrap_err();
    assert!(
        refused.to_string().contains(&format!("opens 1 values of this database (sealed under key {}", key(1).id()))
    );
}

/// A tenant's secret as it was sealed before keys had names.
fn sealed_unnamed(key: &MasterKey, tenant: &TenantId, secret: &Secret) -> Vec<u8> {
    let mut aad = Framed::new("bloonio-seal-v1");
    aad.text("tenant-secret").text(tenant.as_str());
    let cipher = XChaCha20Poly1305::new(&(*key.derive("bloonio-seal-v1")).into());
    let payload = Payload { msg: secret.as_bytes(), aad: aad.as_bytes() };
    let sealed = cipher.encrypt(&XNonce::from([7; 24]), payload).unwrap();
    [&[1u8], [7u8; 24].as_slice(), &sealed].concat()
}

#[tokio::test]
async fn a64_what_was_sealed_before_keys_had_names_is_opened_sealed_again_and_never_forgotten() {
    let rig = Rig::new().await;
    let tenants = rig.tenants(&ring(&[1]), 2).await;
    for (id, secret) in &tenants {
        let sealed = sealed_unnamed(&key(1), id, secret);
        let update = query("UPDATE tenants SET secret_sealed = $2 WHERE tenant_id = $1").bind(id.as_str()).bind(sealed);
        update.execute(rig.storage.writer()).await.unwrap();
    }
    // As the migration does for a database that has tenants.
    let mut tx = rig.storage.begin_shared().await.unwrap();
    assert!(seal_key::record(&mut tx, SealedBy::Unnamed, rig.clock.now()).await.unwrap());
    tx.commit().await.unwrap();
    rig.check(&ring(&[1])).await.unwrap();
    rig.check(&ring(&[2, 1])).await.unwrap();
    assert!(matches!(rig.check(&ring(&[2])).await, Err(KeysError::Missing { values: 2, .. })));
    rig.opens_all(&ring(&[2, 1]), &tenants).await;
    rig.record(&ring(&[2, 1])).await;
    assert_eq!(rig.rekey(&ring(&[2, 1])).run(|_, _| ()).await.unwrap().resealed, 2);
    rig.check(&ring(&[2])).await.unwrap();
    rig.opens_all(&ring(&[2]), &tenants).await;
    assert_eq!(seal_key::needed(&rig.storage).await.unwrap(), [by(2)]);
}

#[tokio::test]
async fn a64_no_sealed_column_is_left_out() {
    let rig = Rig::new().await;
    let columns = query_for(
        "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
         WHERE m.type = 'table' AND c.name LIKE '%sealed' ORDER BY 1, 2",
        "SELECT table_name::text, column_name::text FROM information_schema.columns
         WHERE table_schema = 'public' AND column_name LIKE '%sealed' ORDER BY 1, 2",
    );
    let rows = columns.fetch_all(rig.storage.readers()).await.unwrap();
    let found: BTreeSet<(String, String)> = rows.iter().map(|row| (row.at(0).unwrap(), row.at(1).unwrap())).collect();
    let listed = SEALED.iter().map(|at| (at.table.to_owned(), at.column.to_owned())).collect();
    assert_eq!(found, listed);
}

/// A call of a backend to a relay that runs as a process.
async fn signed(relay: &RunningRelay, tenant: &(String, Secret), path: &str, body: &Value) -> Value {
    let (at, body) = (SystemClock.now(), body.to_string());
    let call = reqwest::Client::builder().no_proxy().build().unwrap();
    let call = call.post(relay.url(&format!("/api/v1{path}"))).header(header::TENANT_ID, &tenant.0);
    let call = call.header(header::TIMESTAMP, at.as_millis().to_string());
    let call = call.header(header::SIGNATURE, sign::sign(&tenant.1, at, body.as_bytes()).to_hex()).body(body);
    call.send().await.unwrap().json().await.unwrap()
}

/// A call of a device, or with another bearer's token.
async fn borne(relay: &RunningRelay, method: reqwest::Method, path: &str, token: &str, body: &Value) -> Value {
    let call = reqwest::Client::builder().no_proxy().build().unwrap();
    let call = call.request(method, relay.url(&format!("/api/v1{path}"))).bearer_auth(token).json(body);
    call.send().await.unwrap().json().await.unwrap()
}

fn prompt(id: &str) -> Value {
    json!({
        "user_socket_hash": "user-0001", "instruction_id": id, "custom_type": "localAuth", "ttl_seconds": 600,
        "expected_action": "transfer_funds", "backend_url": "https://bank.example", "description": format!("of {id}")
    })
}

/// What the phone sees, newest first.
async fn shown(relay: &RunningRelay, token: &str) -> BTreeSet<String> {
    let list = borne(relay, reqwest::Method::GET, "/device/challenges", token, &json!({})).await;
    let text = |item: &Value| item["description"].as_str().unwrap().to_owned();
    list["data"]["items"].as_array().unwrap_or_else(|| panic!("{list}")).iter().map(text).collect()
}

#[tokio::test]
async fn a64_a_master_key_is_replaced_while_the_relay_runs() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("relay");
    let text = |seed: u64| key(seed).to_base64().to_string();
    let (old, new) = (text(1), text(2));
    let start = |current: &str, previous: &str| {
        RunningRelay::start(&data, &[("RELAY_MASTER_KEY", current), ("RELAY_MASTER_KEY_PREVIOUS", previous)])
    };
    let stop = |relay: RunningRelay| {
        relay.signal("TERM");
        assert_eq!(relay.ended().0.code(), Some(0));
    };
    let command = |name: &str, current: &str, previous: &str| {
        let mut command = command(&[name, "--relay-data-dir", data.to_str().unwrap()]);
        command.env("RELAY_MASTER_KEY", current).env("RELAY_MASTER_KEY_PREVIOUS", previous).output().unwrap()
    };

    let relay = start(&old, "");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let made = client.post(relay.url("/api/v1/provision/tenant")).header("x-admin-key", ADMIN_KEY);
    let made: Value = made.json(&json!({"tenant_name": "Bank"})).send().await.unwrap().json().await.unwrap();
    let secret = Secret::new(made["data"]["tenant_secret"].as_str().unwrap());
    let bank = (made["data"]["tenant_id"].as_str().unwrap().to_owned(), secret);
    let profile = json!({
        "user_socket_hash": "user-0001", "backend_user_id": "1", "display_name": "Jane", "user_email": "j@example.com"
    });
    let offer = signed(&relay, &bank, "/relay/prepare-pairing", &profile).await;
    let proof = offer["data"]["pairing_proof"].as_str().unwrap();
    let phone = json!({"platform": "stream"});
    let phone = borne(&relay, reqwest::Method::POST, "/device/register-token", proof, &phone).await;
    let token = phone["data"]["device_session_token"].as_str().unwrap();
    signed(&relay, &bank, "/relay/send/auth-challenge", &prompt("instruction-1")).await;
    stop(relay);

    // The new key opens only, then it seals; both times all that is there can be read.
    let relay = start(&old, &new);
    signed(&relay, &bank, "/relay/send/auth-challenge", &prompt("instruction-2")).await;
    assert_eq!(shown(&relay, token).await.len(), 2);
    stop(relay);
    let relay = start(&new, &old);
    signed(&relay, &bank, "/relay/send/auth-challenge", &prompt("instruction-3")).await;
    let all: BTreeSet<_> = (1..=3).map(|number| format!("of instruction-{number}")).collect();
    assert_eq!(shown(&relay, token).await, all);
    let early = command("migrate", &new, "");
    assert!(complaint(&early).contains("no master key at hand opens 6 values"), "{}", complaint(&early));
    assert!(!early.status.success());

    // Sealed again beside the running relay, which notices nothing.
    let done = command("rekey", &new, &old);
    assert!(done.status.success(), "{}", complaint(&done));
    let done: Value = serde_json::from_str(&printed(&done)).unwrap();
    assert_eq!((&done["resealed"], &done["unopenable"]), (&json!(6), &json!(0)));
    assert_eq!(shown(&relay, token).await, all);
    let refreshed = borne(&relay, reqwest::Method::POST, "/device/refresh-token", token, &json!({})).await;
    let fresh = refreshed["data"]["device_session_token"].as_str().unwrap();
    stop(relay);

    // Without the old key all is there, but for tokens that it signed.
    let relay = start(&new, "");
    assert_eq!(shown(&relay, fresh).await, all);
    let stale = borne(&relay, reqwest::Method::GET, "/device/challenges", token, &json!({})).await;
    assert_eq!(stale["error"], "INVALID_DEVICE_TOKEN");
    let sent = signed(&relay, &bank, "/relay/send/auth-challenge", &prompt("instruction-4")).await;
    assert_eq!(sent["success"], true, "{sent}");
    stop(relay);
    assert!(!command("migrate", &old, "").status.success());
}

/// Every schema that an operation may answer with, by the path of the operation.
fn schemas_of_answers(document: &Value) -> BTreeMap<String, String> {
    fn gather(document: &Value, value: &Value, text: &mut String, seen: &mut BTreeSet<String>) {
        text.push_str(&value.to_string());
        let references = value.to_string();
        for name in references.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
            if seen.insert(name.to_owned()) {
                gather(document, &document["components"]["schemas"][name], text, seen);
            }
        }
    }
    let operations = document["paths"].as_object().unwrap().iter();
    let text = |(path, methods): (&String, &Value)| {
        let mut text = String::new();
        for method in methods.as_object().unwrap().values() {
            gather(document, &method["responses"], &mut text, &mut BTreeSet::new());
        }
        (path.clone(), text)
    };
    operations.map(text).collect()
}

#[tokio::test]
async fn a71_a_tenants_secret_is_in_two_answers_and_nowhere_else() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let document: Value = serde_json::from_str(&bloonio_relay_server::http::openapi::json().unwrap()).unwrap();
    let with_secret: Vec<_> = schemas_of_answers(&document)
        .into_iter()
        .filter(|(_, answers)| answers.contains("\"tenant_secret\""))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(with_secret, ["/api/v1/provision/tenant", "/api/v1/rotate/tenant-secret"]);
    assert!(!document.to_string().contains("sk_"), "an example holds a secret");

    bank.pair("user-0001").await;
    let id = bank.tenant_id.as_str();
    for path in [
        format!("/fetch/tenant?tenant_id={id}"),
        "/fetch/tenants".to_owned(),
        format!("/fetch/callbacks?tenant_id={id}"),
        "/fetch/callbacks".to_owned(),
    ] {
        let answer = relay.operator_get(&path).await;
        assert!(answer.status == 200 && !answer.text.contains("sk_") && !answer.text.contains("secret"), "{path}");
    }
    for (path, body) in [
        ("/update/tenant", json!({"rate_limit_per_min": 9})),
        ("/suspend/tenant", json!({})),
        ("/reactivate/tenant", json!({})),
    ] {
        let answer = relay.operator_post(&format!("{path}?tenant_id={id}"), body).await;
        assert!(answer.status == 200 && !answer.text.contains("sk_") && !answer.text.contains("secret"), "{path}");
    }
    // Nor does it open an operator's call, nor the admin key a tenant's.
    let mut call = support::operator("GET", "/fetch/tenants", "");
    call.headers_mut().insert("x-admin-key", bank.secret.expose().parse().unwrap());
    relay.send(call).await.expect_error(401, "INVALID_ADMIN_KEY");
}

/// Everything that a thief of the database has: the files, or every row of every table as text.
async fn dump(relay: &TestRelay) -> Vec<u8> {
    let storage = &relay.app.storage;
    if !storage.is_shared() {
        let files = std::fs::read_dir(relay.folder()).unwrap();
        return files.flat_map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
    }
    let tables = query("SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'");
    let mut all = Vec::new();
    for table in tables.fetch_all(storage.readers()).await.unwrap() {
        let rows = query(format!("SELECT t::text FROM {} t", table.at::<String>(0).unwrap()));
        for row in rows.fetch_all(storage.readers()).await.unwrap() {
            all.extend(row.at::<String>(0).unwrap().into_bytes());
        }
    }
    all
}

#[tokio::test]
async fn a63_a_stolen_database_tells_no_secret_and_nothing_of_people() {
    let relay =
        TestRelay::with(|setup| setup.sender = Some(std::sync::Arc::new(support::RecordingSender::default()))).await;
    let bank = relay.provision("Bank").await;
    let profile = json!({
        "user_socket_hash": "user-0001", "backend_user_id": "backend-canary", "display_name": "Display Canary",
        "user_email": "email-canary@example.com", "user_phone": "+4917098765432", "first_name": "First-Canary",
        "last_name": "Last-Canary", "display_logo_url": "https://logo-canary.example/p.png"
    });
    let offer = bank.post("/relay/prepare-pairing", profile).await;
    let proof = offer.data()["pairing_proof"].as_str().unwrap().to_owned();
    let phone = json!({"platform": "android", "fcm_token": "address-known-to-be-open", "device_name": "Device Canary"});
    let call = support::caller::bearer("POST", "/device/register-token", &proof, phone.to_string());
    let registration = relay.send(call).await.data().clone();
    let phone = support::TestDevice::registered(&relay, registration);
    let uri = phone.registration["totp"]["otpauth_uri"].as_str().unwrap();
    let seed = uri.split("secret=").nth(1).unwrap().split('&').next().unwrap();
    let mut prompt = prompt("instruction-1");
    prompt["response_token"] = json!("response-canary-response-canary-response");
    assert_eq!(bank.post("/relay/send/auth-challenge", prompt).await.status, 200);
    let alert =
        json!({"user_socket_hash": "user-0001", "title": "Title-Canary", "body": "Body-Canary", "kind": "info"});
    assert_eq!(bank.post("/relay/send/security-alert", alert).await.status, 200);
    let answer = json!({
        "instruction_id": "instruction-1", "approved": false, "custom_type": "localAuth", "reason": "reason-known-to-be-open"
    });
    assert_eq!(phone.post("/device/submit-response", answer).await.status, 200);
    // Also one who asks for a further device leaves nothing behind.
    bank.offer_pairing("user-0002").await;

    let dump = dump(&relay).await;
    let has = |text: &str| {
        let hex = hex::encode(text);
        let contains = |part: &[u8]| dump.windows(part.len()).any(|window| window == part);
        contains(text.as_bytes()) || contains(hex.as_bytes())
    };
    let token = phone.token.as_str();
    for secret in [bank.secret.expose(), &proof, token, seed, "response-canary", ADMIN_KEY] {
        assert!(!has(secret), "{secret}");
    }
    for personal in [
        "backend-canary",
        "Display Canary",
        "email-canary",
        "+4917098765432",
        "First-Canary",
        "Last-Canary",
        "logo-canary",
        "Device Canary",
        "of instruction-1",
        "Title-Canary",
        "Body-Canary",
        "user@example.com",
    ] {
        assert!(!has(personal), "{personal}");
    }
    // What lies open, and why, is in the guide for operators ("What lies open").
    for open in ["user-0001", "instruction-1", "address-known-to-be-open", "reason-known-to-be-open"] {
        assert!(has(open), "{open} is sealed now: say so in the guide");
    }
}

#[tokio::test]
async fn a63_a_pairing_that_was_revoked_says_nothing_of_its_user() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    bank.pair("user-0001").await;
    let profiles = async || {
        let sql = "SELECT count(*) FROM pairings WHERE profile_sealed IS NOT NULL";
        query(sql).fetch_value::<i64>(relay.app.storage.readers()).await.unwrap()
    };
    assert_eq!(profiles().await, Some(1));
    assert_eq!(bank.post("/relay/revoke-pairing", json!({"user_socket_hash": "user-0001"})).await.status, 200);
    assert_eq!(profiles().await, Some(0));
}
