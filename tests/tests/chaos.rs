//! Three relays among failures of everything around them: nothing is lost, nothing comes twice, nobody sees another's.

use bloonio_tests::chaos::cluster::Cluster;
use bloonio_tests::chaos::crowd::Crowd;
use bloonio_tests::chaos::ears::Ears;
use bloonio_tests::chaos::findings;
use bloonio_tests::chaos::ledger::Ledger;
use bloonio_tests::chaos::load::Load;
use bloonio_tests::chaos::plan::Plan;
use bloonio_tests::chaos::{report, script};

/// So many findings are shown.
const SHOWN: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_every_decision_arrives_once_and_where_it_belongs() {
    let plan = Plan::from_env();
    println!("chaos: {} prompts, BLOONIO_CHAOS_SEED={}", plan.prompts, plan.seed);
    let mut cluster = Cluster::start().await;
    println!("chaos: logs in {}", cluster.logs().display());
    let crowd = Crowd::gather(&cluster).await;
    let ledger = Ledger::new(plan.prompts);
    let ears = Ears::default();
    let load = Load { plan: &plan, crowd: &crowd, ledger: &ledger, ears: &ears };

    let steps = script::steps(&plan);
    let played = async { tokio::join!(script::play(&steps, &plan, &mut cluster, &crowd, &ledger), load.run()).0 };
    let steps = tokio::select! {
        steps = played => steps,
        () = ears.listen(&crowd, &ledger) => unreachable!("phones listen for ever"),
        () = report::progress("load", &plan, &crowd, &ledger) => unreachable!("progress is told for ever"),
    };
    tokio::select! {
        () = findings::drained(&cluster) => {}
        () = report::progress("drain", &plan, &crowd, &ledger) => {}
    }
    let findings = findings::look(load, &cluster).await;
    report::table(&plan, steps, &ledger, &findings.tally);
    if !findings.wrong.is_empty() {
        cluster.keep_logs();
        let shown: Vec<_> = findings.wrong.iter().take(SHOWN).collect();
        let (seed, logs) = (plan.seed, cluster.logs().display());
        panic!("BLOONIO_CHAOS_SEED={seed}, logs in {logs}: {} findings, such as {shown:#?}", findings.wrong.len());
    }
}
