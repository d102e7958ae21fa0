//! A bank that commits its transfers and the use of their approvals together, killed at every point (ATTACKS A28).

use std::path::PathBuf;

use bloonio_tests::bank::{Bank, transfer};
use bloonio_tests::operator::Answer;
use bloonio_tests::phone::Phone;
use bloonio_tests::redis::RedisServer;
use bloonio_tests::relay::Relay;
use bloonio_tests::tenant::TenantBackend;
use bloonio_tests::wait;
use reqwest::Method;
use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

/// A request that may never be answered.
type Lost = tokio::task::JoinHandle<Result<reqwest::Response, reqwest::Error>>;

/// Relay, phone, Redis, the bank and its database.
struct Scene {
    relay: Relay,
    tenant: TenantBackend,
    phone: Phone,
    redis: RedisServer,
    folder: TempDir,
    bank: Bank,
}

impl Scene {
    async fn set() -> Self {
        Self::set_on(RedisServer::start_durable().await).await
    }

    async fn set_on(redis: RedisServer) -> Self {
        let relay = Relay::start().await;
        let folder = tempfile::tempdir().unwrap();
        let tenant = relay.operator().provision("Careful Bank").await;
        let jane = &hex::encode(Sha256::digest("bloonio-demo:jane"))[..32];
        let phone = Phone::paired(&tenant.offer_pairing(jane).await).await;
        let bank = start(&relay, &tenant, &redis, &folder, "127.0.0.1:0").await;
        relay.operator().set_callback_base(&tenant, &bank.process.address).await;
        Self { relay, tenant, phone, redis, folder, bank }
    }

    /// An approved transfer's key.
    async fn approved(&self) -> String {
        let asked = self.bank.transfer(None).await;
        asked.expect_error(403, "SUDO_INSTRUCTION_KEY_REQUIRED");
        let key = asked.body["instruction_id"].as_str().unwrap().to_owned();
        self.phone.approve(&key).await;
        wait::until("the approval", || async {
            let status = self.bank.get(&format!("/_bloonio/instructions/{key}"), "demo-jane").await;
            (status.body["status"] == "validated").then_some(())
        })
        .await;
        key
    }

    /// Kills the bank where it stands.
    async fn kill(&mut self) {
        self.bank.process.kill().await.unwrap();
    }

    /// Starts it again at the same address: an approval is bound to it.
    async fn restart(&mut self) {
        let listen = self.bank.process.address.trim_start_matches("http://").to_owned();
        self.bank = start(&self.relay, &self.tenant, &self.redis, &self.folder, &listen).await;
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("bank.db")
    }

    async fn connection(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.database());
        SqliteConnection::connect_with(&options).await.unwrap()
    }

    async fn transfers(&self) -> i64 {
        let mut connection = self.connection().await;
        let (count,): (i64,) = sqlx::query_as("SELECT count(*) FROM ledger").fetch_one(&mut connection).await.unwrap();
        count
    }

    /// How many scripts Redis has run.
    async fn scripts(&self) -> u64 {
        let said = self.redis.info("commandstats", "cmdstat_evalsha").await;
        let calls = said.split("calls=").nth(1).and_then(|rest| rest.split(',').next());
        calls.and_then(|calls| calls.parse().ok()).unwrap_or(0)
    }

    /// Sends the request again with its key, and leaves it to its fate.
    fn call_again(&self, key: &str) -> Lost {
        let request = self.bank.request(Method::POST, "/transfer/execute", "demo-jane").json(&transfer());
        tokio::spawn(request.header("x-sudo-instruction-key", key).send())
    }

    /// A request whose handler stands before its transaction, because somebody else writes: until the lock is rolled back.
    async fn standing_before_its_transaction(&self, key: &str) -> (Lost, SqliteConnection) {
        let mut lock = self.connection().await;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut lock).await.unwrap();
        let before = self.scripts().await;
        let lost = self.call_again(key);
        wait::until("the guard to have passed", || async { (self.scripts().await > before).then_some(()) }).await;
        (lost, lock)
    }
}

async fn start(relay: &Relay, tenant: &TenantBackend, redis: &RedisServer, folder: &TempDir, listen: &str) -> Bank {
    let (url, database) = (redis.url(), folder.path().join("bank.db"));
    let variables = [
        ("BLOONIO_RELAY_STATE_BACKEND", "redis"),
        ("BLOONIO_RELAY_STATE_BACKEND_URL", url.as_str()),
        ("APP_DATABASE", database.to_str().unwrap()),
        ("APP_LISTEN", listen),
    ];
    Bank::start_program("exactly-once", relay.base_url(), tenant, &variables).await
}

fn ran(answer: &Answer) -> bool {
    answer.status == 200
}

#[tokio::test]
async fn an_approved_transfer_is_committed_once() {
    let scene = Scene::set().await;
    let key = scene.approved().await;
    assert!(ran(&scene.bank.transfer(Some(&key)).await));
    scene.bank.transfer(Some(&key)).await.expect_error(403, "SUDO_ACTION_EXPIRED");
    assert_eq!(scene.transfers().await, 1);
}

#[tokio::test]
async fn of_many_at_once_one_is_committed() {
    let scene = Scene::set().await;
    let key = scene.approved().await;
    let answers = futures_util::future::join_all((0..32).map(|_| scene.bank.transfer(Some(&key)))).await;
    assert_eq!(answers.iter().filter(|answer| ran(answer)).count(), 1, "{answers:?}");
    assert_eq!(scene.transfers().await, 1);
}

#[tokio::test]
async fn a28_kill_9_before_the_commit_leaves_the_approval_good() {
    let mut scene = Scene::set().await;
    let key = scene.approved().await;
    let (lost, mut lock) = scene.standing_before_its_transaction(&key).await;
    scene.kill().await;
    scene.restart().await;
    assert!(lost.await.unwrap().is_err(), "nobody answered");
    sqlx::query("ROLLBACK").execute(&mut lock).await.unwrap();
    assert_eq!(scene.transfers().await, 0);
    assert!(ran(&scene.bank.transfer(Some(&key)).await), "nothing happened, so it may happen");
    assert_eq!(scene.transfers().await, 1);
}

#[tokio::test]
async fn a28_kill_9_between_the_commit_and_the_answer_does_not_do_it_again() {
    let mut scene = Scene::set().await;
    let key = scene.approved().await;
    let (lost, mut lock) = scene.standing_before_its_transaction(&key).await;
    // From here on Redis learns of nothing: the handler commits, and its store is not told.
    scene.redis.command(&["CLIENT", "PAUSE", "60000", "WRITE"]).await;
    sqlx::query("ROLLBACK").execute(&mut lock).await.unwrap();
    wait::until("the commit", || async { (scene.transfers().await == 1).then_some(()) }).await;
    scene.kill().await;
    assert!(lost.await.unwrap().is_err(), "nobody answered");
    scene.redis.command(&["CLIENT", "UNPAUSE"]).await;
    scene.restart().await;
    scene.bank.transfer(Some(&key)).await.expect_error(403, "SUDO_ACTION_EXPIRED");
    assert_eq!(scene.transfers().await, 1);
}

#[tokio::test]
async fn a28_kill_9_at_any_moment_does_it_once() {
    const ROUNDS: usize = 12;
    let mut scene = Scene::set().await;
    for round in 1..=ROUNDS {
        let key = scene.approved().await;
        let before = scene.scripts().await;
        let lost = scene.call_again(&key);
        // Somewhere between the guard and the answer: how far it has come is a matter of chance.
        wait::until("the guard to be asked", || async { (scene.scripts().await > before).then_some(()) }).await;
        for _ in 0..round * 20 {
            tokio::task::yield_now().await;
        }
        scene.kill().await;
        scene.restart().await;
        let _ = lost.await;
        let answer = scene.bank.transfer(Some(&key)).await;
        assert!(ran(&answer) || answer.error() == "SUDO_ACTION_EXPIRED", "round {round}: {answer:?}");
        assert_eq!(scene.transfers().await, round as i64, "round {round}");
    }
}

/// A Redis that comes back as it was saved: with an approval in it that was used since.
async fn set_back_after_a_transfer() -> (Scene, String) {
    let mut scene = Scene::set_on(RedisServer::start().await).await;
    let key = scene.approved().await;
    assert_eq!(scene.redis.command(&["SAVE"]).await.trim(), "OK");
    assert!(ran(&scene.bank.transfer(Some(&key)).await));
    scene.kill().await;
    scene.redis.kill();
    scene.redis.restart().await;
    let record = scene.redis.command(&["EXISTS", &format!("bloonio:auth:sudo:{{{key}}}")]).await;
    assert_eq!(record.trim(), "1", "the approval is back");
    (scene, key)
}

#[tokio::test]
async fn a99_a_redis_set_back_revives_no_approval_that_was_consumed_in_the_applications_own_transaction() {
    let (mut scene, key) = set_back_after_a_transfer().await;
    scene.restart().await;
    scene.bank.transfer(Some(&key)).await.expect_error(403, "SUDO_ACTION_EXPIRED");
    assert_eq!(scene.transfers().await, 1);
}

#[tokio::test]
async fn a99_approvals_that_were_deleted_after_redis_was_set_back_are_unknown_and_asked_for_again() {
    let (mut scene, key) = set_back_after_a_transfer().await;
    // The command of docs/src/backup.md.
    let port = scene.redis.port;
    let delete =
        format!("redis-cli -p {port} --scan --pattern 'bloonio:auth:sudo:*' | xargs -r redis-cli -p {port} unlink");
    let deleted = tokio::process::Command::new("sh").args(["-c", &delete]).status().await.unwrap();
    assert!(deleted.success());
    scene.restart().await;
    scene.bank.transfer(Some(&key)).await.expect_error(403, "SUDO_ACTION_EXPIRED");
    let again = scene.approved().await;
    assert!(ran(&scene.bank.transfer(Some(&again)).await));
    assert_eq!(scene.transfers().await, 2);
}
