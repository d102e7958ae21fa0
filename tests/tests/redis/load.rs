//! Redis is killed and comes back while both banks are being called: refused meanwhile, nothing unapproved, nothing twice.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use bloonio_tests::bank::Framework::{Actix, Axum};
use bloonio_tests::wait;
use futures_util::future::join_all;

use crate::bank::{Scene, nth, recall};

const CALLERS: usize = 8;
/// Approved transfers that are called for before, while and after Redis is away.
const EARLY: std::ops::Range<usize> = 0..6;
/// Approved ones that are called for only once it is back.
const LATE: std::ops::Range<usize> = 6..9;
/// Never approved, called for all the time.
const UNAPPROVED: usize = 9;

/// What the banks have said so far.
#[derive(Default)]
struct Heard(Mutex<BTreeMap<(usize, String), usize>>);

impl Heard {
    fn note(&self, bank: usize, answer: &bloonio_tests::operator::Answer) {
        let said = if answer.status == 200 { "ran".to_owned() } else { answer.error().to_owned() };
        *self.0.lock().unwrap().entry((bank, said)).or_default() += 1;
    }

    fn count(&self, bank: usize, said: &str) -> usize {
        self.0.lock().unwrap().get(&(bank, said.to_owned())).copied().unwrap_or(0)
    }

    async fn until(&self, what: &str, enough: impl Fn(&Self) -> bool) {
        wait::until(what, || async { enough(self).then_some(()) }).await;
    }
}

async fn keys(scene: &Scene) -> Vec<String> {
    let mut keys = Vec::new();
    for n in 0..=UNAPPROVED {
        let asked = scene.stage.bank.post("/transfer/execute", "demo-jane", &nth(n), None).await;
        let key = asked.body["instruction_id"].as_str().expect("a key").to_owned();
        if n != UNAPPROVED {
            scene.stage.phone.approve(&key).await;
            assert_eq!(scene.stage.settled(&key).await, "validated");
        }
        keys.push(key);
    }
    keys
}

#[tokio::test]
async fn a91_redis_killed_under_load_runs_nothing_unapproved_and_nothing_twice() {
    let mut scene = Scene::set(Axum, Actix, &[]).await;
    let keys = keys(&scene).await;
    let (heard, stop) = (Heard::default(), AtomicBool::new(false));
    let server = std::mem::replace(&mut scene.redis, bloonio_tests::redis::RedisServer::start().await);
    let (scene, heard, keys, stop) = (&scene, &heard, &keys, &stop);
    let calling = join_all((0..CALLERS).map(|caller| async move {
        let wanted: Vec<_> = EARLY.chain([UNAPPROVED]).collect();
        for turn in caller.. {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            let (bank, n) = (turn % 2, wanted[turn % wanted.len()]);
            if let Some(answer) = recall(scene.banks()[bank], n, &keys[n]).await {
                heard.note(bank, &answer);
            }
        }
    }));
    let killing = async {
        let mut server = server;
        let both = |said: &'static str| move |heard: &Heard| (0..2).all(|bank| heard.count(bank, said) > 0);
        heard.until("calls to be refused as pending", both("SUDO_ACTION_PENDING")).await;
        server.kill();
        heard.until("both banks to say that it is away", both("SUDO_STATE_UNAVAILABLE")).await;
        server.restart().await;
        let before = [0, 1].map(|bank| heard.count(bank, "SUDO_ACTION_PENDING"));
        let back = |heard: &Heard| (0..2).all(|bank| heard.count(bank, "SUDO_ACTION_PENDING") > before[bank]);
        heard.until("both banks to decide again", back).await;
        for n in LATE {
            let answer = recall(scene.banks()[n % 2], n, &keys[n]).await.expect("an answer");
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        stop.store(true, Ordering::SeqCst);
        server
    };
    let (_, _server) = tokio::join!(calling, killing);

    let executed = scene.executed().await;
    let amounts: Vec<_> = executed.iter().map(|entry| entry["amount"].as_str().unwrap().to_owned()).collect();
    let mut distinct = amounts.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), amounts.len(), "nothing twice: {amounts:?}");
    assert!(!amounts.contains(&format!("{UNAPPROVED}.00")), "nothing unapproved: {amounts:?}");
    assert!({ LATE }.all(|n| amounts.contains(&format!("{n}.00"))), "{amounts:?}");
    assert_eq!(amounts.len(), (0..2).map(|bank| heard.count(bank, "ran")).sum::<usize>() + LATE.len());
}
