//! What goes wrong, and when: steps drawn from the seed, begun and ended by what has happened and not by the clock.

use super::cluster::Cluster;
use super::crowd::Crowd;
use super::hook::Mood;
use super::ledger::Ledger;
use super::plan::{Dice, Plan, RELAYS, TENANTS};
use crate::fcm::fault::{Answer, Fault};

/// Prompts between the begins of two steps.
const SPACING: usize = 60;
/// Calls that must fail before what was killed comes again: the outage was felt.
const FELT: usize = 3;

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A relay is killed, and comes again once callers have met its absence.
    Relay(usize),
    /// All relays but one are.
    Relays(usize),
    /// PostgreSQL crashes, and comes again once calls were refused.
    Postgres,
    /// PostgreSQL crashes, and a relay is killed while it is away.
    PostgresAndRelay(usize),
    /// Redis is killed, and is missing while prompts go on.
    Redis,
    /// FCM fails for some prompts.
    Fcm(Trouble),
    /// A tenant's receiver fails for some prompts.
    Hook(usize, Mood),
}

impl Step {
    /// For the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relay(_) => "relay killed",
            Self::Relays(_) => "two relays killed",
            Self::Postgres => "PostgreSQL crashed",
            Self::PostgresAndRelay(_) => "PostgreSQL crashed and a relay killed",
            Self::Redis => "Redis killed",
            Self::Fcm(_) => "FCM failing",
            Self::Hook(..) => "a receiver failing",
        }
    }
}

/// How FCM fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It is asked for too much, and says for how long.
    Quota,
    /// It answers 500.
    Internal,
    /// It answers 503.
    Unavailable,
    /// Some requests are never answered.
    Hangs,
    /// It cuts connections.
    Cuts,
    /// It sends the message, and cuts the connection before it has said so.
    SendsAndCuts,
}

/// The steps of a run: each kind comes before any comes again.
pub fn steps(plan: &Plan) -> Vec<Step> {
    let dice = plan.dice(0);
    let wanted = (plan.prompts / SPACING).max(1);
    let mut steps = Vec::new();
    while steps.len() < wanted {
        let mut deck = deck(&dice);
        dice.shuffle(&mut deck);
        steps.append(&mut deck);
    }
    steps.truncate(wanted);
    steps
}

fn deck(dice: &Dice) -> Vec<Step> {
    let moods = [Mood::Answers(429), Mood::Answers(500), Mood::Hangs, Mood::Cuts, Mood::TakesAndCuts];
    let troubles =
        [Trouble::Quota, Trouble::Internal, Trouble::Unavailable, Trouble::Hangs, Trouble::Cuts, Trouble::SendsAndCuts];
    let mut deck: Vec<_> = (0..RELAYS).map(Step::Relay).collect();
    deck.extend([Step::Relays(dice.below(RELAYS)), Step::Postgres, Step::PostgresAndRelay(dice.below(RELAYS))]);
    deck.extend([Step::Redis, Step::Redis]);
    deck.extend(moods.map(|mood| Step::Hook(dice.below(TENANTS), mood)));
    deck.extend(troubles.map(Step::Fcm));
    deck
}

/// Plays the steps while the load runs, and gives those that it got to; in the end nothing is broken any more.
pub async fn play<'a>(
    steps: &'a [Step],
    plan: &Plan,
    cluster: &mut Cluster,
    crowd: &Crowd,
    ledger: &Ledger,
) -> &'a [Step] {
    for (number, step) in steps.iter().enumerate() {
        let begin = (number + 1) * plan.prompts / (steps.len() + 1);
        ledger.wait_for(|progress| progress.decided >= begin).await;
        if ledger.progress().over {
            return &steps[..number];
        }
        println!("chaos: {:>5} decided  step {number}: {step:?}", ledger.progress().decided);
        break_and_mend(*step, cluster, crowd, ledger).await;
    }
    steps
}

async fn break_and_mend(step: Step, cluster: &mut Cluster, crowd: &Crowd, ledger: &Ledger) {
    match step {
        Step::Relay(relay) => {
            cluster.kill(relay).await;
            lost(ledger).await;
            cluster.restart(relay).await;
        }
        Step::Relays(left) => {
            let gone: Vec<_> = (0..RELAYS).filter(|relay| *relay != left).collect();
            for relay in &gone {
                cluster.kill(*relay).await;
            }
            lost(ledger).await;
            for relay in gone {
                cluster.restart(relay).await;
            }
        }
        Step::Postgres => {
            cluster.postgres.crash();
            refused(ledger).await;
            cluster.postgres.restart().await;
        }
        Step::PostgresAndRelay(relay) => {
            cluster.postgres.crash();
            cluster.kill(relay).await;
            refused(ledger).await;
            cluster.postgres.restart().await;
            cluster.restart(relay).await;
        }
        Step::Redis => {
            cluster.redis.kill();
            some_prompts(ledger).await;
            cluster.redis.restart().await;
        }
        Step::Fcm(trouble) => {
            fail_fcm(trouble, cluster);
            some_prompts(ledger).await;
            cluster.fcm.fault_always(None);
        }
        Step::Hook(tenant, mood) => {
            let hook = &crowd.tenants[tenant].hook;
            hook.feel(mood);
            some_prompts(ledger).await;
            hook.feel(Mood::Well);
        }
    }
}

fn fail_fcm(trouble: Trouble, cluster: &Cluster) {
    let quota = Answer::fcm_error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED").with_header("retry-after", "2");
    match trouble {
        Trouble::Quota => cluster.fcm.fault_next([Fault::Answer(quota)]),
        Trouble::Internal => {
            cluster.fcm.fault_always(Some(Fault::Answer(Answer::fcm_error(500, "INTERNAL", "INTERNAL"))));
        }
        Trouble::Unavailable => {
            cluster.fcm.fault_always(Some(Fault::Answer(Answer::fcm_error(503, "UNAVAILABLE", "UNAVAILABLE"))));
        }
        Trouble::Hangs => cluster.fcm.fault_next(vec![Fault::Hang; FELT]),
        Trouble::Cuts => cluster.fcm.fault_always(Some(Fault::Cut)),
        Trouble::SendsAndCuts => cluster.fcm.fault_next(vec![Fault::DoneButCut; FELT]),
    }
}

/// Callers have met somebody's absence.
async fn lost(ledger: &Ledger) {
    let before = ledger.progress().lost;
    ledger.wait_for(|progress| progress.lost >= before + FELT).await;
}

/// Callers were refused because the storage is away.
async fn refused(ledger: &Ledger) {
    let before = ledger.progress().unavailable;
    ledger.wait_for(|progress| progress.unavailable >= before + FELT).await;
}

/// The run went on.
async fn some_prompts(ledger: &Ledger) {
    let before = ledger.progress().decided;
    ledger.wait_for(|progress| progress.decided >= before + SPACING / 2).await;
}
