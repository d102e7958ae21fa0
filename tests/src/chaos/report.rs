//! Progress while it runs, and the table in the end.

use std::collections::BTreeMap;
use std::time::Duration;

use super::crowd::Crowd;
use super::findings::Tally;
use super::ledger::{Ledger, Progress};
use super::plan::Plan;
use super::script::Step;

/// Between two lines.
const PAUSE: Duration = Duration::from_secs(5);
/// So many lines that say the same mean that nothing will ever happen again.
const STUCK: u32 = 36;

/// Says how far the run is, for ever.
///
/// # Panics
/// If nothing happens any more.
pub async fn progress(phase: &str, plan: &Plan, crowd: &Crowd, ledger: &Ledger) {
    let mut pause = tokio::time::interval(PAUSE);
    let (mut before, mut same) = (None, 0);
    loop {
        pause.tick().await;
        let now = (ledger.progress(), acknowledged(crowd));
        line(phase, plan, now.0, now.1);
        same = if before == Some(now) { same + 1 } else { 0 };
        assert!(same < STUCK, "{phase}: nothing happens any more (seed {})", plan.seed);
        before = Some(now);
    }
}

fn acknowledged(crowd: &Crowd) -> usize {
    crowd.tenants.iter().map(|tenant| tenant.hook.acknowledged()).sum()
}

fn line(phase: &str, plan: &Plan, progress: Progress, acknowledged: usize) {
    let Progress { asked, decided, lost, unavailable, .. } = progress;
    println!(
        "chaos: {phase:<6} {asked:>6}/{} prompts  {decided:>6} decisions  {:>4} callbacks outstanding  {lost:>5} calls \
         lost  {unavailable:>5} refused with 503",
        plan.prompts,
        decided.saturating_sub(acknowledged),
    );
}

/// The table.
pub fn table(plan: &Plan, steps: &[Step], ledger: &Ledger, tally: &Tally) {
    println!("\nchaos: {} prompts, seed {}", plan.prompts, plan.seed);
    let mut kinds = BTreeMap::<_, usize>::new();
    steps.iter().for_each(|step| *kinds.entry(step.name()).or_default() += 1);
    for (kind, count) in kinds {
        println!("  {count:>8}  times {kind}");
    }
    for (what, count) in tally {
        println!("  {count:>8}  {what}");
    }
    println!("answers:");
    for (answer, count) in ledger.answers().0 {
        println!("  {count:>8}  {answer}");
    }
}
