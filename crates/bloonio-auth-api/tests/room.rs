//! One-time codes on a real database: made once, used once, locked against guessing (SECURITY, "Attention and guessing").

#![allow(clippy::unwrap_used, reason = "a test that meets a surprise shall fail at once")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bloonio_auth_api::db::{Pool, query};
use bloonio_auth_api::seal::{MasterKey, Sealer};
use bloonio_auth_api::storage::migrate;
use bloonio_auth_api::totp::code::Code;
use bloonio_auth_api::totp::{Enrolment, Totp, TotpParts, TotpRoom, Verdict};
use bloonio_wire::clock::{Clock, ManualClock, Timestamp};
use bloonio_wire::id::{DeviceId, RelayUserLinkedId, TenantId};
use bloonio_wire::random::SystemRandom;
use bloonio_wire::secret::Secret;
use futures_util::future::join_all;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use tempfile::TempDir;

const WRONG: Verdict = Verdict::Wrong { locks: false };
const LOCKS: Verdict = Verdict::Wrong { locks: true };

fn tenant(n: u8) -> TenantId {
    TenantId::parse(format!("tnt_{n:032x}")).unwrap()
}

fn linked(n: u8) -> RelayUserLinkedId {
    RelayUserLinkedId::parse(format!("{n:024x}")).unwrap()
}

struct Stage {
    room: TotpRoom,
    writer: Pool,
    clock: Arc<ManualClock>,
    _folder: TempDir,
}

impl Stage {
    async fn set() -> Self {
        let folder = TempDir::new().unwrap();
        let options = SqliteConnectOptions::new().filename(folder.path().join("auth.db")).create_if_missing(true);
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await.unwrap();
        let writer = Pool::Sqlite(writer);
        migrate(&writer).await.unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let room = TotpRoom::new(TotpParts {
            readers: Pool::Sqlite(SqlitePoolOptions::new().connect_with(options).await.unwrap()),
            sealer: Sealer::new(MasterKey::draw(&SystemRandom).unwrap()),
            clock: clock.clone(),
            random: Arc::new(SystemRandom),
        });
        Self { room: room.unwrap(), writer, clock, _folder: folder }
    }

    async fn enrol(&self, tenant: &TenantId, pairing: &RelayUserLinkedId) -> Option<Secret> {
        let device_id = DeviceId::draw(&SystemRandom).unwrap();
        let new = Enrolment { relay_user_linked_id: pairing, device_id: &device_id, issuer: "Bank", account: "Jane" };
        let mut tx = self.writer.begin().await.unwrap();
        let uri = self.room.enrol(&mut tx, tenant, &new).await.unwrap();
        tx.commit().await.unwrap();
        uri
    }

    /// Judges and settles.
    async fn try_code(&self, tenant: &TenantId, pairing: &RelayUserLinkedId, code: &Code) -> Verdict {
        let judged = self.room.judge(tenant, pairing, code).await.unwrap();
        let mut tx = self.writer.begin().await.unwrap();
        let verdict = self.room.settle(&mut tx, &judged).await.unwrap();
        tx.commit().await.unwrap();
        verdict
    }

    /// The code that an authenticator with this seed shows `offset` seconds from now.
    fn code(&self, uri: &Secret, offset: i64) -> Code {
        let totp = totp_rs::Totp::from_url(uri.expose()).unwrap();
        totp.generate((self.clock.now().as_secs() + offset).unsigned_abs()).to_string().parse().unwrap()
    }

    /// A code that does not pass now.
    fn wrong_code(&self, uri: &Secret) -> Code {
        let totp = totp_rs::Totp::from_url(uri.expose()).unwrap();
        let now = self.clock.now().as_secs().unsigned_abs();
        let near: BTreeSet<_> = [now - 30, now, now + 30].map(|at| totp.generate(at).to_string()).into();
        (0..).map(|n| format!("{n:06}")).find(|code| !near.contains(code)).unwrap().parse().unwrap()
    }
}

#[tokio::test]
async fn a_pairing_gets_its_seed_once() {
    let stage = Stage::set().await;
    let first = stage.enrol(&tenant(1), &linked(1)).await.unwrap();
    assert!(stage.enrol(&tenant(1), &linked(1)).await.is_none());
    assert_eq!(stage.try_code(&tenant(1), &linked(1), &stage.code(&first, 0)).await, Verdict::Right);
    for (other_tenant, other_pairing) in [(1, 2), (2, 1)] {
        let other = stage.enrol(&tenant(other_tenant), &linked(other_pairing)).await.unwrap();
        assert_ne!(other.expose(), first.expose());
    }
}

#[tokio::test]
async fn a66_a_seed_is_its_own_tenants_and_pairings_alone() {
    let stage = Stage::set().await;
    let uri = stage.enrol(&tenant(1), &linked(1)).await.unwrap();
    stage.enrol(&tenant(1), &linked(2)).await.unwrap();
    let code = stage.code(&uri, 0);
    assert_eq!(stage.try_code(&tenant(2), &linked(1), &code).await, WRONG);
    assert_eq!(stage.try_code(&tenant(1), &linked(2), &code).await, WRONG);
    assert_eq!(stage.try_code(&tenant(1), &linked(3), &code).await, WRONG);
    assert_eq!(stage.try_code(&tenant(1), &linked(1), &code).await, Verdict::Right, "and none of that spent it");
}

#[tokio::test]
async fn a83_a_code_works_once_and_ends_all_before_it() {
    let stage = Stage::set().await;
    let (tenant, pairing) = (tenant(1), linked(1));
    let uri = stage.enrol(&tenant, &pairing).await.unwrap();
    let (before, current, after) = (stage.code(&uri, -30), stage.code(&uri, 0), stage.code(&uri, 30));
    assert_eq!(stage.try_code(&tenant, &pairing, &current).await, Verdict::Right);
    assert_eq!(stage.try_code(&tenant, &pairing, &current).await, WRONG);
    assert_eq!(
        stage.try_code(&tenant, &pairing, &before).await,
        WRONG,
        "an earlier step never passes after a later one"
    );
    assert_eq!(stage.try_code(&tenant, &pairing, &after).await, Verdict::Right);
    stage.clock.advance(Duration::from_secs(30));
    assert_eq!(stage.try_code(&tenant, &pairing, &after).await, WRONG, "now the current one, and used");
}

#[tokio::test]
async fn a84_of_64_at_once_with_one_code_one_wins() {
    let stage = Stage::set().await;
    let (tenant, pairing) = (tenant(1), linked(1));
    let uri = stage.enrol(&tenant, &pairing).await.unwrap();
    let code = stage.code(&uri, 0);
    let verdicts = join_all((0..64).map(|_| stage.try_code(&tenant, &pairing, &code))).await;
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Right).count(), 1, "{verdicts:?}");
}

#[tokio::test]
async fn a_code_that_was_settled_in_vain_is_as_good_as_before() {
    let stage = Stage::set().await;
    let (tenant, pairing) = (tenant(1), linked(1));
    let uri = stage.enrol(&tenant, &pairing).await.unwrap();
    let code = stage.code(&uri, 0);
    let judged = stage.room.judge(&tenant, &pairing, &code).await.unwrap();
    let mut tx = stage.writer.begin().await.unwrap();
    assert_eq!(stage.room.settle(&mut tx, &judged).await.unwrap(), Verdict::Right);
    tx.rollback().await.unwrap();
    assert_eq!(stage.try_code(&tenant, &pairing, &code).await, Verdict::Right);
}

#[tokio::test]
async fn a85_after_five_wrong_codes_no_code_passes_until_the_lock_ends() {
    let stage = Stage::set().await;
    let (tenant, pairing) = (tenant(1), linked(1));
    let uri = stage.enrol(&tenant, &pairing).await.unwrap();
    for minutes in [1, 5, 15, 60, 60] {
        let wrong = stage.wrong_code(&uri);
        for _ in 0..4 {
            assert_eq!(stage.try_code(&tenant, &pairing, &wrong).await, WRONG);
        }
        assert_eq!(stage.try_code(&tenant, &pairing, &wrong).await, LOCKS);
        let lock = Duration::from_secs(minutes * 60);
        for code in [stage.code(&uri, 0), wrong] {
            let locked = stage.try_code(&tenant, &pairing, &code).await;
            assert_eq!(locked, Verdict::Locked { retry_after: lock }, "whatever the code");
        }
        stage.clock.advance(lock - Duration::from_millis(1));
        let last = stage.try_code(&tenant, &pairing, &stage.code(&uri, 0)).await;
        assert_eq!(last, Verdict::Locked { retry_after: Duration::from_secs(1) });
        stage.clock.advance(Duration::from_millis(1));
    }
    assert_eq!(stage.try_code(&tenant, &pairing, &stage.code(&uri, 0)).await, Verdict::Right);
    let wrong = stage.wrong_code(&uri);
    for _ in 0..5 {
        let _ = stage.try_code(&tenant, &pairing, &wrong).await;
    }
    let locked = stage.try_code(&tenant, &pairing, &wrong).await;
    assert_eq!(locked, Verdict::Locked { retry_after: Duration::from_secs(60) }, "a right code begins anew");
}

#[tokio::test]
async fn a85_guesses_at_once_are_all_counted() {
    let stage = Stage::set().await;
    let (tenant, pairing) = (tenant(1), linked(1));
    let uri = stage.enrol(&tenant, &pairing).await.unwrap();
    let wrong = stage.wrong_code(&uri);
    let verdicts = join_all((0..32).map(|_| stage.try_code(&tenant, &pairing, &wrong))).await;
    let count = |wanted: fn(&Verdict) -> bool| verdicts.iter().filter(|verdict| wanted(verdict)).count();
    assert_eq!(count(|verdict| matches!(verdict, Verdict::Wrong { .. })), 5, "{verdicts:?}");
    assert_eq!(count(|verdict| matches!(verdict, Verdict::Locked { .. })), 27);
}

#[tokio::test]
async fn a97_the_lock_and_the_last_step_outlive_the_process() {
    let stage = Stage::set().await;
    let (tenant, pairing) = (tenant(1), linked(1));
    let uri = stage.enrol(&tenant, &pairing).await.unwrap();
    let code = stage.code(&uri, 0);
    assert_eq!(stage.try_code(&tenant, &pairing, &code).await, Verdict::Right);
    for _ in 0..5 {
        let _ = stage.try_code(&tenant, &pairing, &code).await;
    }
    let kept = query("SELECT last_step, locks, locked_until FROM totp_seeds").fetch_one(&stage.writer).await.unwrap();
    let kept = [0, 1, 2].map(|place| kept.at::<i64>(place).unwrap());
    assert_eq!(kept, [60_000_000, 1, 1_800_000_060_000]);
}

#[tokio::test]
async fn a101_a_pairing_without_a_seed_costs_a_write_and_is_never_locked() {
    let stage = Stage::set().await;
    let code: Code = "123456".parse().unwrap();
    for _ in 0..7 {
        assert_eq!(stage.try_code(&tenant(1), &linked(9), &code).await, WRONG);
    }
    let misses = query("SELECT misses FROM totp_misses").fetch_value::<i64>(&stage.writer).await.unwrap();
    assert_eq!(misses, Some(7));
}

#[tokio::test]
async fn a_forgotten_seed_makes_no_code_and_makes_room_for_another() {
    let stage = Stage::set().await;
    let (tenant, pairing) = (tenant(1), linked(1));
    let old = stage.enrol(&tenant, &pairing).await.unwrap();
    // Looked at before, settled after: the seed in between is another one.
    let judged = stage.room.judge(&tenant, &pairing, &stage.code(&old, 0)).await.unwrap();
    let mut tx = stage.writer.begin().await.unwrap();
    assert!(stage.room.forget(&mut tx, &tenant, &pairing).await.unwrap());
    assert!(!stage.room.forget(&mut tx, &tenant, &pairing).await.unwrap());
    tx.commit().await.unwrap();
    let new = stage.enrol(&tenant, &pairing).await.unwrap();
    let mut tx = stage.writer.begin().await.unwrap();
    assert_eq!(stage.room.settle(&mut tx, &judged).await.unwrap(), WRONG);
    tx.commit().await.unwrap();
    assert_eq!(stage.try_code(&tenant, &pairing, &stage.code(&new, 0)).await, Verdict::Right);
}

#[tokio::test]
async fn a63_the_seed_lies_sealed_for_its_own_row() {
    let stage = Stage::set().await;
    let uri = stage.enrol(&tenant(1), &linked(1)).await.unwrap();
    stage.enrol(&tenant(1), &linked(2)).await.unwrap();
    let sealed = query("SELECT seed_sealed FROM totp_seeds").fetch_one(&stage.writer).await.unwrap();
    let sealed: Vec<u8> = sealed.at(0).unwrap();
    let totp = totp_rs::Totp::from_url(uri.expose()).unwrap();
    let seed = totp.secret().as_bytes();
    assert!(!sealed.windows(seed.len()).any(|part| part == seed));
    query("UPDATE totp_seeds SET seed_sealed = (SELECT seed_sealed FROM totp_seeds WHERE relay_user_linked_id = $1)")
        .bind(linked(1).as_str())
        .execute(&stage.writer)
        .await
        .unwrap();
    assert!(stage.room.judge(&tenant(1), &linked(1), &stage.code(&uri, 0)).await.is_ok());
    assert!(stage.room.judge(&tenant(1), &linked(2), &stage.code(&uri, 0)).await.is_err(), "copied to another row");
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let stage = Stage::set().await;
    let uri = stage.enrol(&tenant(1), &linked(1)).await.unwrap();
    migrate(&stage.writer).await.unwrap();
    assert_eq!(stage.try_code(&tenant(1), &linked(1), &stage.code(&uri, 0)).await, Verdict::Right);
}
