//! The audit trail: every change leaves its entry, in the change's own transaction, and nobody changes it unnoticed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says where")]

mod receiver;
mod rig;
mod support;

use std::time::Duration;

use bloonio_relay_server::audit::refused;
use bloonio_relay_server::audit::verify::Problem;
use bloonio_relay_server::audit::{Chain, Entry, Event, Head, Kind, digest_of, trail};
use bloonio_relay_server::net::guard::GuardPolicy;
use bloonio_relay_server::storage::db::{query, query_for};
use bloonio_relay_server::storage::{Storage, StorageError, audit as rows};
use bloonio_relay_server::sweep::sweep;
use bloonio_wire::clock::Clock;
use bloonio_wire::id::TenantId;
use receiver::{Behaviour, Receiver};
use rig::until;
use rstest::rstest;
use serde_json::{Value, json};
use support::caller::bearer;
use support::process::{complaint, printed, run};
use support::{TestRelay, TestTenant};

const JANE: &str = "jane-0123456789";

async fn chain(relay: &TestRelay, chain: &Chain) -> Vec<Entry> {
    let mut entries = Vec::new();
    let read = trail::read::<StorageError>(&relay.app.storage, chain, |entry| {
        entries.push(entry);
        Ok(())
    });
    read.await.unwrap();
    entries
}

fn chain_of(bank: &TestTenant<'_>) -> Chain {
    Chain::Tenant(TenantId::parse(&bank.tenant_id).unwrap())
}

async fn entries(bank: &TestTenant<'_>) -> Vec<Entry> {
    chain(bank.relay, &chain_of(bank)).await
}

async fn kinds(bank: &TestTenant<'_>) -> Vec<String> {
    entries(bank).await.into_iter().map(|entry| entry.kind).collect()
}

/// The entries that came since there were `before`.
async fn since(bank: &TestTenant<'_>, before: usize) -> Vec<Entry> {
    entries(bank).await.split_off(before)
}

fn details(entry: &Entry) -> Value {
    serde_json::from_str(&entry.details).unwrap()
}

async fn holds(bank: &TestTenant<'_>) -> Head {
    trail::verify(&bank.relay.app.storage, &chain_of(bank), &[]).await.unwrap().unwrap()
}

fn prompt(id: &str) -> Value {
    json!({
        "user_socket_hash": JANE, "instruction_id": id, "custom_type": "localAuth", "expected_action": "transfer_funds",
        "backend_url": "https://bank.example", "description": "Pay 31415.92", "response_token": "r".repeat(40),
        "challenge_digest": "d".repeat(64)
    })
}

fn answer(id: &str, approved: bool) -> Value {
    json!({"instruction_id": id, "approved": approved, "custom_type": "localAuth", "reason": "because-canary"})
}

#[tokio::test]
async fn what_an_operator_does_to_a_tenant_is_in_its_chain() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let call = async |path: &str| {
        let path = format!("{path}?tenant_id={}", bank.tenant_id);
        assert_eq!(relay.operator_post(&path, json!({})).await.status, 200);
    };
    assert_eq!(bank.update(json!({"rate_limit_per_min": 7})).await.status, 200);
    call("/suspend/tenant").await;
    call("/reactivate/tenant").await;
    call("/rotate/tenant-secret").await;
    let entries = entries(&bank).await;
    let all: Vec<_> = entries.iter().map(|entry| (entry.seq, entry.kind.as_str(), entry.subject.as_str())).collect();
    let id = bank.tenant_id.as_str();
    assert_eq!(
        all,
        [
            (1, "tenant.provisioned", id),
            (2, "tenant.updated", id),
            (3, "tenant.suspended", id),
            (4, "tenant.reactivated", id),
            (5, "tenant.secret_rotated", id),
        ]
    );
    assert_eq!(details(&entries[0])["tenant_name"], "Bank");
    assert_eq!(details(&entries[1]), json!({"fields": {"rate_limit_per_min": 7}}));
    assert_eq!(entries[0].at, relay.clock.now());
    assert_eq!(holds(&bank).await.seq, 5);
}

#[tokio::test]
async fn every_change_of_pairings_and_devices_is_in_the_chain() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let (first, second, third) = (bank.pair(JANE).await, bank.pair(JANE).await, bank.pair(JANE).await);
    for (waiting, approved) in [(&second, true), (&third, false)] {
        let body = json!({"device_id": waiting.id("device_id"), "approved": approved});
        assert_eq!(first.post("/device/confirm-device", body).await.status, 200);
    }
    assert_eq!(second.post("/device/refresh-token", json!({})).await.status, 200);
    assert_eq!(first.post("/device/unpair", json!({})).await.status, 200);
    assert_eq!(bank.post("/relay/revoke-pairing", json!({"user_socket_hash": JANE})).await.status, 200);
    let tenant = TenantId::parse(&bank.tenant_id).unwrap();
    let user = digest_of(&tenant, JANE);
    let [one, two, three] = [&first, &second, &third].map(|device| device.id("device_id"));
    let pairing = first.id("relay_user_linked_id");
    let entries = since(&bank, 1).await;
    let all: Vec<_> = entries.iter().map(|entry| (entry.kind.as_str(), entry.subject.as_str())).collect();
    assert_eq!(
        all,
        [
            ("pairing.prepared", user.as_str()),
            ("device.added", one),
            ("pairing.completed", pairing),
            ("pairing.prepared", &user),
            ("device.added", two),
            ("pairing.prepared", &user),
            ("device.added", three),
            ("device.confirmed", two),
            ("device.refused", three),
            ("device.refreshed", two),
            ("device.removed", one),
            ("pairing.revoked", pairing),
        ]
    );
    assert_eq!(details(&entries[2]), json!({"user": user, "device": one}));
    assert_eq!(details(&entries[4])["status"], "awaiting_confirmation");
    assert_eq!(details(&entries[7]), json!({"by": one}));
    assert_eq!(details(&entries[11]), json!({"devices_removed": 1}));
    holds(&bank).await;
}

#[tokio::test]
async fn a_device_whose_token_was_stolen_leaves_with_the_cause() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let phone = bank.pair(JANE).await;
    assert_eq!(phone.post("/device/refresh-token", json!({})).await.status, 200);
    relay.clock.advance(Duration::from_secs(61));
    phone.get("/device/challenges").await.expect_error(401, "INVALID_DEVICE_TOKEN");
    let last = entries(&bank).await.pop().unwrap();
    assert_eq!((last.kind.as_str(), last.subject.as_str()), ("device.removed", phone.id("device_id")));
    assert_eq!(details(&last), json!({"cause": "superseded_token"}));
}

#[tokio::test]
async fn every_question_and_every_answer_is_in_the_chain_once() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let phone = bank.pair(JANE).await;
    let before = entries(&bank).await.len();
    for id in ["instruction-1", "instruction-2"] {
        for _ in 0..2 {
            // The second one gets the first one's answer.
            assert_eq!(bank.post("/relay/send/auth-challenge", prompt(id)).await.status, 200);
        }
    }
    assert_eq!(phone.post("/device/submit-response", answer("instruction-1", true)).await.status, 200);
    phone.post("/device/submit-response", answer("instruction-1", false)).await.expect_error(409, "ALREADY_DECIDED");
    for _ in 0..2 {
        let body = json!({"instruction_id": "instruction-2"});
        assert_eq!(bank.post("/relay/cancel/auth-challenge", body).await.status, 200);
    }
    let tenant = TenantId::parse(&bank.tenant_id).unwrap();
    let [one, two] = ["instruction-1", "instruction-2"].map(|id| digest_of(&tenant, id));
    let entries = since(&bank, before).await;
    let all: Vec<_> = entries.iter().map(|entry| (entry.kind.as_str(), entry.subject.as_str())).collect();
    assert_eq!(
        all,
        [("prompt.asked", one.as_str()), ("prompt.asked", &two), ("decision", &one), ("prompt.cancelled", &two),]
    );
    let asked = details(&entries[0]);
    let expected = json!({
        "approved": true, "device": phone.id("device_id"), "pairing": phone.id("relay_user_linked_id"),
        "custom_type": "localAuth", "request_sha256": asked["request_sha256"], "challenge_digest": "d".repeat(64),
        "signed": false, "totp_verified": null
    });
    assert_eq!(details(&entries[2]), expected);
    assert_eq!(rows::of_subject(&relay.app.storage, &chain_of(&bank), &one).await.unwrap().len(), 2);
    holds(&bank).await;
}

#[tokio::test]
async fn what_became_of_a_callback_is_in_the_chain() {
    let backend = Receiver::start(Behaviour::Status(200)).await;
    let relay = TestRelay::with(|setup| {
        setup.config.guard = GuardPolicy { allow_private: true, extra_ports: vec![] };
        setup.workers = true;
    })
    .await;
    let url = format!("http://{}", backend.address());
    let bank = relay.provision_with(json!({"tenant_name": "Bank", "callback_url_base": url})).await;
    let phone = bank.pair(JANE).await;
    let count = async |kind: &str| kinds(&bank).await.iter().filter(|found| *found == kind).count();
    until("the pairing's callback", async || count("callback.acknowledged").await == 1).await;
    backend.behave(Behaviour::Status(410));
    assert_eq!(bank.post("/relay/send/auth-challenge", prompt("instruction-1")).await.status, 200);
    assert_eq!(phone.post("/device/submit-response", answer("instruction-1", true)).await.status, 200);
    until("the decision's dead callback", async || count("callback.dead").await == 1).await;
    let dead = entries(&bank).await.pop().unwrap();
    assert_eq!(details(&dead), json!({"attempts": 1, "status": 410, "error": "gone"}));
    backend.behave(Behaviour::Status(200));
    let path = format!("/redeliver/callback?delivery_id={}", dead.subject);
    assert_eq!(relay.operator_post(&path, json!({})).await.status, 200);
    until("the callback sent again", async || count("callback.acknowledged").await == 2).await;
    let last: Vec<_> =
        entries(&bank).await.into_iter().rev().take(2).map(|entry| (entry.kind, entry.subject)).collect();
    assert_eq!(
        last,
        [
            ("callback.acknowledged".to_owned(), dead.subject.clone()),
            ("callback.resent".to_owned(), dead.subject.clone()),
        ]
    );
    holds(&bank).await;
}

#[tokio::test]
async fn what_is_refused_leaves_no_entry() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let phone = bank.pair(JANE).await;
    let before = (entries(&bank).await.len(), rows::chains(&relay.app.storage).await.unwrap());
    let nobody = format!("tnt_{}", "0".repeat(32));
    for path in ["/suspend/tenant", "/reactivate/tenant", "/rotate/tenant-secret", "/update/tenant"] {
        let refused = relay.operator_post(&format!("{path}?tenant_id={nobody}"), json!({})).await;
        refused.expect_error(404, "NOT_FOUND");
    }
    relay.operator_post("/provision/tenant", json!({})).await.expect_error(422, "VALIDATION_FAILED");
    bank.update(json!({"rate_limit_per_min": 0})).await.expect_error(422, "VALIDATION_FAILED");
    relay.operator_post("/redeliver/callback?delivery_id=dlv_0", json!({})).await.expect_error(404, "NOT_FOUND");
    let unknown = json!({"user_socket_hash": "nobody-0123456789"});
    bank.post("/relay/revoke-pairing", unknown).await.expect_error(404, "PAIRING_NOT_FOUND");
    let cancel = json!({"instruction_id": "instruction-9"});
    bank.post("/relay/cancel/auth-challenge", cancel).await.expect_error(404, "NOT_FOUND");
    phone.post("/device/submit-response", answer("instruction-9", true)).await.expect_error(404, "NOT_FOUND");
    let stranger = json!({"device_id": "0".repeat(24), "approved": true});
    phone.post("/device/confirm-device", stranger).await.expect_error(404, "NOT_FOUND");
    let spent = relay.send(bearer("POST", "/device/register-token", "no.proof.at-all", "{}")).await;
    assert_eq!(spent.status, 401);
    assert_eq!((entries(&bank).await.len(), rows::chains(&relay.app.storage).await.unwrap()), before);
}

#[tokio::test]
async fn wrong_admin_keys_are_summed_up_in_the_operators_chain() {
    let relay = TestRelay::new().await;
    for _ in 0..3 {
        let mut request = support::operator("GET", "/fetch/tenants", "");
        request.headers_mut().insert("x-admin-key", "x".repeat(40).parse().unwrap());
        relay.send(request).await.expect_error(401, "INVALID_ADMIN_KEY");
    }
    for _ in 0..2 {
        sweep(&relay.app).await.unwrap();
    }
    let refused: Vec<_> =
        chain(&relay, &Chain::Operator).await.into_iter().filter(|entry| entry.kind == "operator.refused").collect();
    assert_eq!(refused.len(), 1);
    assert_eq!((refused[0].subject.as_str(), details(&refused[0])), (refused::SUBJECT, json!({"calls": 3})));
}

#[tokio::test]
async fn a63_the_trail_holds_neither_secrets_nor_personal_data() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let profile = json!({
        "user_socket_hash": JANE, "backend_user_id": "id-canary", "display_name": "Jane Canary",
        "user_email": "canary@example.com", "user_phone": "+4917012345678", "first_name": "Jane", "last_name": "Canary"
    });
    let offer = bank.post("/relay/prepare-pairing", profile).await;
    let proof = offer.data()["pairing_proof"].as_str().unwrap().to_owned();
    let body = json!({"platform": "stream", "device_name": "device-canary"}).to_string();
    let registered = relay.send(bearer("POST", "/device/register-token", &proof, body)).await;
    let token = registered.data()["device_session_token"].as_str().unwrap().to_owned();
    assert_eq!(bank.post("/relay/send/auth-challenge", prompt("instruction-1")).await.status, 200);
    let submit = bearer("POST", "/device/submit-response", &token, answer("instruction-1", false).to_string());
    assert_eq!(relay.send(submit).await.status, 200);
    let all = format!("{:?}", entries(&bank).await);
    assert!(all.contains("\"decision\""), "{all}");
    for secret in [
        bank.secret.expose(),
        proof.as_str(),
        token.as_str(),
        "rrrrrrrr",
        "31415",
        "anary",
        "+49170",
        JANE,
        "instruction-1",
        "transfer_funds",
    ] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}

#[tokio::test]
async fn an_entry_is_there_with_its_change_or_neither_is() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    bank.pair(JANE).await;
    let (storage, before) = (&relay.app.storage, entries(&bank).await);
    // The process ends before the commit.
    let mut tx = storage.begin(&TenantId::parse(&bank.tenant_id).unwrap()).await.unwrap();
    rows::append(&mut tx, chain_of(&bank), Event::new(Kind::PromptAsked, "lost"), relay.clock.now()).await.unwrap();
    drop(tx);
    assert_eq!(entries(&bank).await, before);
    // The trail cannot be written: nothing is decided, either.
    let sql = "ALTER TABLE audit_heads RENAME TO audit_heads_away";
    query(sql).execute(storage.writer()).await.unwrap();
    bank.post("/relay/send/auth-challenge", prompt("instruction-1")).await.expect_error(503, "STORAGE_UNAVAILABLE");
    bank.update(json!({"rate_limit_per_min": 7})).await.expect_error(503, "STORAGE_UNAVAILABLE");
    query("ALTER TABLE audit_heads_away RENAME TO audit_heads").execute(storage.writer()).await.unwrap();
    let outcome = bank.get("/relay/fetch/outcome?instruction_id=instruction-1").await;
    outcome.expect_error(404, "NOT_FOUND");
    assert_eq!(bank.update(json!({})).await.data()["rate_limit_per_min"], 10_000);
    assert_eq!(entries(&bank).await.len(), before.len() + 1);
    holds(&bank).await;
}

#[tokio::test]
async fn entries_of_several_chains_are_added_together_each_behind_the_last_of_its_own() {
    let relay = TestRelay::new().await;
    let (bank, shop) = (relay.provision("Bank").await, relay.provision("Shop").await);
    let before = [entries(&bank).await.len(), entries(&shop).await.len()];
    let storage = &relay.app.storage;
    let mut tx = storage.begin_shared().await.unwrap();
    // What JSON and SQL would read as something else comes back as it was.
    let subject = "a'b\"c\\u0000 ${}\u{1F600}";
    let event = |chain: &Chain| (chain.clone(), Event::new(Kind::CallbackDead, subject).with("status", 7));
    let [first, second] = [chain_of(&bank), chain_of(&shop)];
    rows::append_all(&mut tx, [&second, &first, &second].map(event), relay.clock.now()).await.unwrap();
    storage.commit(tx).await.unwrap();
    for (backend, before, added) in [(&bank, before[0], 1), (&shop, before[1], 2)] {
        let entries = entries(backend).await;
        assert_eq!(entries.len(), before + added);
        let ours = entries[before..].iter().all(|entry| entry.subject == subject && entry.details == r#"{"status":7}"#);
        assert!(ours, "{entries:?}");
        assert_eq!(holds(backend).await, entries.last().unwrap().head());
    }
}

#[tokio::test]
async fn changes_at_once_make_one_chain() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    bank.pair(JANE).await;
    let before = entries(&bank).await.len();
    let sent = (0..20).map(|number| bank.post("/relay/send/auth-challenge", prompt(&format!("instruction-{number}"))));
    for answer in futures_util::future::join_all(sent).await {
        assert_eq!(answer.status, 200);
    }
    assert_eq!(usize::try_from(holds(&bank).await.seq).unwrap(), before + 20);
}

#[rstest]
#[case::update("UPDATE audit SET details = '{}' WHERE seq = 2")]
#[case::delete("DELETE FROM audit WHERE seq = 2")]
#[case::delete_all("DELETE FROM audit")]
#[case::heads("DELETE FROM audit_heads")]
#[case::head_back("UPDATE audit_heads SET seq = 1")]
#[case::behind_another(
    "INSERT INTO audit (chain, seq, at, kind, subject, details, prev_hash, hash)
     SELECT a.chain, h.seq + 1, a.at, a.kind, a.subject, a.details, a.prev_hash, a.hash
     FROM audit a JOIN audit_heads h ON h.chain = a.chain WHERE a.seq = 1"
)]
#[case::out_of_order(
    "INSERT INTO audit (chain, seq, at, kind, subject, details, prev_hash, hash)
     SELECT chain, seq + 7, at, kind, subject, details, prev_hash, hash FROM audit WHERE seq = 1"
)]
#[tokio::test]
async fn the_database_itself_refuses_to_change_the_trail(#[case] statement: &'static str) {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    bank.pair(JANE).await;
    let error = query(statement).execute(relay.app.storage.writer()).await.unwrap_err();
    assert!(error.to_string().contains("the audit trail is append-only"), "{error}");
    holds(&bank).await;
}

#[tokio::test]
async fn an_entry_is_not_replaced_by_inserting_it_anew() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let columns = "(chain, seq, at, kind, subject, details, prev_hash, hash)";
    let again =
        format!("{columns} SELECT chain, seq, at, kind, 'x', details, prev_hash, hash FROM audit WHERE seq = 1");
    let statement = query_for(
        format!("INSERT OR REPLACE INTO audit {again}"),
        format!("INSERT INTO audit {again} ON CONFLICT (chain, seq) DO UPDATE SET subject = excluded.subject"),
    );
    let error = statement.execute(relay.app.storage.writer()).await.unwrap_err();
    assert!(error.to_string().contains("the audit trail is append-only"), "{error}");
    holds(&bank).await;
}

/// Takes away what keeps the tables from being changed, as whoever has the database in his hands can.
async fn disarm(relay: &TestRelay) {
    let storage = &relay.app.storage;
    let triggers = [
        ("audit_is_never_changed", "audit"),
        ("audit_is_never_deleted", "audit"),
        ("audit_is_written_in_order", "audit"),
        ("audit_heads_move_on", "audit_heads"),
        ("audit_heads_are_never_deleted", "audit_heads"),
    ];
    for (trigger, table) in triggers {
        let statement =
            query_for(format!("DROP TRIGGER {trigger}"), format!("DROP TRIGGER IF EXISTS {trigger} ON {table}"));
        statement.execute(storage.writer()).await.unwrap();
    }
}

#[rstest]
#[case::edited("UPDATE audit SET details = '{}' WHERE seq = 3", 3, Problem::Changed)]
#[case::redated("UPDATE audit SET at = at + 1 WHERE seq = 3", 3, Problem::Changed)]
#[case::deleted("DELETE FROM audit WHERE seq = 3", 3, Problem::Missing)]
#[case::first_deleted("DELETE FROM audit WHERE seq = 1", 1, Problem::Missing)]
#[case::last_deleted("DELETE FROM audit WHERE seq = 4", 4, Problem::Missing)]
#[case::all_deleted("DELETE FROM audit", 1, Problem::Missing)]
#[case::exchanged(
    "UPDATE audit SET seq = CASE seq WHEN 2 THEN 103 ELSE 102 END WHERE seq IN (2, 3)",
    2,
    Problem::Missing
)]
#[case::added_before(
    "INSERT INTO audit (chain, seq, at, kind, subject, details, prev_hash, hash)
     SELECT chain, 0, at, kind, subject, details, prev_hash, hash FROM audit WHERE seq = 1",
    1,
    Problem::Missing
)]
#[case::head_deleted("DELETE FROM audit_heads", 4, Problem::NotTheEnd)]
#[tokio::test]
async fn whoever_changes_the_trail_by_force_is_found_out(
    #[case] statement: &'static str,
    #[case] seq: i64,
    #[case] problem: Problem,
) {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    bank.pair(JANE).await;
    assert_eq!(holds(&bank).await.seq, 4);
    disarm(&relay).await;
    query(statement).execute(relay.app.storage.writer()).await.unwrap();
    let found = trail::verify(&relay.app.storage, &chain_of(&bank), &[]).await.unwrap().unwrap_err();
    assert_eq!((found.seq, found.problem), (seq, problem), "{found}");
}

#[tokio::test]
async fn a_cut_that_leaves_a_good_chain_is_found_by_a_kept_head() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    bank.pair(JANE).await;
    let kept = holds(&bank).await;
    let cut = entries(&bank).await[1].head();
    disarm(&relay).await;
    let storage = &relay.app.storage;
    query("DELETE FROM audit WHERE seq > 2").execute(storage.writer()).await.unwrap();
    let head = query("UPDATE audit_heads SET seq = 2, hash = $1 WHERE chain = $2");
    head.bind(cut.hash.as_slice()).bind(bank.tenant_id.as_str()).execute(storage.writer()).await.unwrap();
    assert_eq!(holds(&bank).await, cut);
    let found = trail::verify(storage, &chain_of(&bank), &[kept]).await.unwrap().unwrap_err();
    assert_eq!((found.seq, found.problem), (4, Problem::Missing));
}

#[tokio::test]
async fn the_trail_outlives_what_it_tells_of() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let phone = bank.pair(JANE).await;
    assert_eq!(bank.post("/relay/send/auth-challenge", prompt("instruction-1")).await.status, 200);
    assert_eq!(phone.post("/device/submit-response", answer("instruction-1", true)).await.status, 200);
    let before = entries(&bank).await;
    relay.clock.advance(Duration::from_secs(200 * 24 * 60 * 60));
    sweep(&relay.app).await.unwrap();
    let outcome = bank.get("/relay/fetch/outcome?instruction_id=instruction-1").await;
    outcome.expect_error(404, "NOT_FOUND");
    assert_eq!(entries(&bank).await, before);
}

/// Runs `audit` on the database in `folder`.
fn audit(folder: &std::path::Path, arguments: &[&str]) -> std::process::Output {
    let folder = folder.to_str().unwrap();
    run(&[&["audit"], arguments, &["--relay-data-dir", folder]].concat())
}

#[tokio::test]
async fn the_command_line_verifies_lists_and_exports_and_finds_a_cut_by_heads_that_were_kept() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // Looking at a database that is not there makes none.
    assert!(!audit(&data, &["verify"]).status.success() && !data.exists());
    let provisioned = run(&["tenant", "provision", "Bank", "--relay-data-dir", data.to_str().unwrap()]);
    let provisioned: Value = serde_json::from_str(&printed(&provisioned)).unwrap();
    let tenant = provisioned["tenant_id"].as_str().unwrap();
    assert!(run(&["tenant", "suspend", tenant, "--relay-data-dir", data.to_str().unwrap()]).status.success());

    let verified = audit(&data, &["verify"]);
    assert!(verified.status.success(), "{}", complaint(&verified));
    assert_eq!(printed(&verified), format!("operator: 1 entries hold\n{tenant}: 2 entries hold\n"));
    let listed = printed(&audit(&data, &["list", "--tenant", tenant, "--json"]));
    let listed: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((listed.len(), &listed[1]["kind"]), (2, &json!("tenant.suspended")));
    assert_eq!(listed[1]["prev_hash"], listed[0]["hash"]);
    let exported = printed(&audit(&data, &["export", "--json"]));
    assert_eq!(exported.lines().count(), 3);
    assert!(exported.contains("\"kind\":\"key.used\""), "{exported}");

    let heads = folder.path().join("heads");
    std::fs::write(&heads, printed(&audit(&data, &["verify", "--head"]))).unwrap();
    let expect = ["verify", "--expect", heads.to_str().unwrap()];
    assert!(audit(&data, &expect).status.success());
    // A chain that is gone as a whole leaves nothing behind that could be wrong, but for its head.
    let storage = Storage::open_file(&data.join("relay.db")).await.unwrap();
    for statement in [
        "DROP TRIGGER audit_is_never_deleted",
        "DROP TRIGGER audit_heads_are_never_deleted",
        "DELETE FROM audit WHERE chain <> 'operator'",
        "DELETE FROM audit_heads WHERE chain <> 'operator'",
    ] {
        query(statement).execute(storage.writer()).await.unwrap();
    }
    storage.close().await;
    assert!(audit(&data, &["verify"]).status.success());
    let found = audit(&data, &expect);
    assert_eq!(found.status.code(), Some(1));
    assert!(complaint(&found).contains(&format!("broken: {tenant}: entry 2 is missing")), "{}", complaint(&found));
}
