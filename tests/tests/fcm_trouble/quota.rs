//! F5: a quota that really counts.

use std::collections::BTreeMap;
use std::time::Duration;

use bloonio_relay_server::push::PushSender;
use bloonio_relay_server::push::fcm::LaneLimits;
use bloonio_tests::fcm::journal::Verdict;
use bloonio_wire::clock::{Clock, Timestamp};

use crate::scene::Setup;

const STEP: Duration = Duration::from_millis(100);

/// Six times as much is to be sent as the quota allows, for a minute.
#[tokio::test]
async fn f05_a_quota_is_used_and_neither_stormed_nor_met_with_bursts() {
    let limits = LaneLimits { per_min: 3_600, patience: Duration::ZERO };
    let scene = Setup { limits, ..Setup::default() }.set().await;
    scene.emulator.set_quota(600);
    let start = scene.clock.now();
    let mut pauses: Vec<(Timestamp, Timestamp)> = Vec::new();
    while scene.clock.now().since(start) < Duration::from_secs(60) {
        while matches!(scene.push().await, "accepted" | "quota_exceeded") {}
        if let Some(end) = scene.sender.closed_until()
            && pauses.last().is_none_or(|(_, last)| *last != end)
        {
            pauses.push((scene.clock.now(), end));
        }
        scene.clock.advance(STEP);
    }
    let sends = scene.emulator.sends();
    let refused = sends.iter().filter(|send| matches!(send.verdict, Verdict::Faulted { .. })).count();
    let accepted = sends.len() - refused;
    assert!(refused > 1 && refused * 20 <= accepted, "{refused} refused, {accepted} accepted");
    assert!(accepted >= 350, "half of the quota and more is used: {accepted}");
    for (begin, end) in &pauses {
        let during = sends.iter().filter(|send| *begin < send.at && send.at < *end).count();
        assert_eq!(during, 0, "between {begin} and {end}");
    }
    let first = pauses[0].0;
    let mut at_once: BTreeMap<Timestamp, usize> = BTreeMap::new();
    sends.iter().filter(|send| send.at > first).for_each(|send| *at_once.entry(send.at).or_default() += 1);
    let most = at_once.values().max().unwrap();
    assert!(*most <= 6, "{most} at once after the first pause");
}
