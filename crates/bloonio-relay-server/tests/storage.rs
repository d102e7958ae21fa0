//! Connections: whoever gets one finds it fit, whatever became of whoever had it before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says where")]

mod support;

use std::time::Duration;

use bloonio_relay_server::storage::replay;
use bloonio_wire::clock::{Clock, SystemClock};
use bloonio_wire::id::TenantId;
use support::database::TestDatabase;

fn tenant() -> TenantId {
    TenantId::parse("tnt_0123456789abcdef0123456789abcdef").unwrap()
}

#[tokio::test]
async fn a_beginning_that_nobody_waits_for_spoils_no_connection() {
    let database = TestDatabase::new().await;
    let (storage, other) = (database.open().await, database.open().await);
    let (tenant, now) = (tenant(), SystemClock.now());
    for patience in 0..60 {
        let impatient = async {
            for _ in 0..patience {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = impatient => (),
            begun = storage.begin_shared() => drop(begun.unwrap()),
        }
        // What is claimed by a single statement on the next connection is there for everybody.
        assert!(replay::claim(&storage, &tenant, &[[patience; 32]], now, now).await.unwrap());
        assert!(!replay::claim(&other, &tenant, &[[patience; 32]], now, now).await.unwrap());
    }
}

#[tokio::test]
async fn a_wait_for_a_tenant_that_takes_too_long_is_refused_and_spoils_no_connection() {
    let database = TestDatabase::new().await;
    let storage = database.open().await;
    let held = storage.begin(&tenant()).await.unwrap();
    let waits = (0..8).map(|_| async { storage.begin(&tenant()).await.map(drop) });
    let refused = futures_util::future::join_all(waits).await;
    assert!(refused.iter().all(Result::is_err), "{refused:?}");
    drop(held);
    let again = async {
        for _ in 0..48 {
            storage.commit(storage.begin(&tenant()).await.unwrap()).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), again).await.expect("nobody holds the tenant any more");
}
