//! Whether everything fits together, once nothing fails any more.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;

use super::call::until_definite;
use super::cluster::Cluster;
use super::hook::Arrivals;
use super::ledger::Told;
use super::load::Load;
use super::plan::{Question, RELAYS};
use super::pushes;
use super::trail::Trail;

/// Numbers of the table.
pub type Tally = Vec<(&'static str, u64)>;
/// Questions looked at at once.
pub const AT_ONCE: usize = 16;
/// Questions looked at between two lines of progress.
const TOLD_EVERY: usize = 500;
/// Between two looks at the outbox.
const PAUSE: Duration = Duration::from_secs(1);

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Numbers of the table.
    pub tally: Tally,
    /// Whatever does not fit, with its instruction.
    pub wrong: Vec<String>,
}

/// Waits until no callback is left to be sent.
pub async fn drained(cluster: &Cluster) {
    let operator = cluster.operator(0);
    let mut pause = tokio::time::interval(PAUSE);
    loop {
        pause.tick().await;
        let mut waiting = 0;
        for status in ["due", "sending"] {
            let page = operator.get(&format!("/fetch/callbacks?status={status}&limit=1")).await;
            waiting += page.data()["total"].as_u64().expect("a number");
        }
        if waiting == 0 {
            return;
        }
    }
}

/// Looks at everything.
pub async fn look(load: Load<'_>, cluster: &Cluster) -> Findings {
    let mut findings = Findings::default();
    let trail = Trail::read(cluster, &mut findings).await;
    let dead = cluster.operator(1).get("/fetch/callbacks?status=dead&limit=1").await;
    if dead.data()["total"] != 0 {
        findings.wrong.push(format!("callbacks were given up: {}", dead.body));
    }
    let questions: Vec<_> = (0..load.plan.prompts).map(|number| load.plan.question(number)).collect();
    let outcomes = stream::iter(&questions).map(|question| outcome(load, question)).buffered(AT_ONCE);
    let outcomes = outcomes.enumerate().map(|(number, outcome)| {
        if number % TOLD_EVERY == 0 {
            println!("chaos: check  {number:>6}/{} prompts", questions.len());
        }
        outcome
    });
    let outcomes: Vec<_> = outcomes.collect().await;
    let (mut repeated, mut unknown, mut attempts) = (0, 0, 0);
    for (question, outcome) in questions.iter().zip(outcomes) {
        let approved = match outcome {
            Ok(approved) => approved,
            Err(wrong) => {
                findings.wrong.push(wrong);
                continue;
            }
        };
        let arrivals = arrivals(load, question);
        repeated += u64::from(arrivals.acknowledged > 1);
        attempts += u64::from(arrivals.count);
        unknown += u64::from(load.ledger.known(question.number).told.iter().all(|told| told.1 == Told::AlreadyDecided));
        let tenant = &load.crowd.tenants[question.tenant];
        let found = [
            devices(load, question, approved),
            receiver(&arrivals, approved, &tenant.people[question.person].name),
            trail.check(&tenant.id, &question.id, approved, &arrivals),
        ];
        let wrong = found.into_iter().flatten();
        findings.wrong.extend(wrong.map(|wrong| format!("{}: {wrong}", name(load, question))));
    }
    findings.tally.extend([
        ("decisions whose 200 was lost, and which a repeat brought to light", unknown),
        ("callbacks received, all attempts", attempts),
        ("callbacks acknowledged more than once, under the same id", repeated),
    ]);
    findings.tally.push(("hints heard by phones on streams", load.ears.count() as u64));
    strangers(load, &mut findings);
    pushes::look(load, cluster, &questions, &mut findings).await;
    findings.wrong.extend(load.ledger.answers().1);
    findings
}

/// Instruction and tenant.
pub fn name(load: Load<'_>, question: &Question) -> String {
    format!("{} of {}", question.id, load.crowd.tenants[question.tenant].id)
}

fn arrivals(load: Load<'_>, question: &Question) -> Arrivals {
    let notes = load.crowd.tenants[question.tenant].hook.notes();
    notes.arrivals.get(&question.id).cloned().unwrap_or_default()
}

/// The outcome that every relay tells alike.
async fn outcome(load: Load<'_>, question: &Question) -> Result<bool, String> {
    let mut all = Vec::new();
    let path = format!("/relay/fetch/outcome?instruction_id={}", question.id);
    for relay in 0..RELAYS {
        // Whatever is wrong with this one relay now, no other answers for it.
        let get = |_| load.crowd.get(question.tenant, relay, &path);
        let answer = until_definite(load.ledger, "GET outcome", relay, get).await;
        let data = &answer.body["data"];
        let tenant = &load.crowd.tenants[question.tenant];
        let whole = answer.status == 200
            && data["status"] == "decided"
            && data["tenant_id"] == tenant.id.as_str()
            && data["user_socket_hash"] == tenant.people[question.person].name.as_str();
        match data["approved"].as_bool().filter(|_| whole) {
            Some(approved) => all.push(approved),
            None => return Err(format!("{}: relay {relay} tells {}", name(load, question), answer.body)),
        }
    }
    let first = all[0];
    let alike = all.iter().all(|approved| *approved == first);
    alike.then_some(first).ok_or_else(|| format!("{}: the relays tell {all:?}", name(load, question)))
}

/// What devices were told agrees with the outcome.
fn devices(load: Load<'_>, question: &Question, approved: bool) -> Option<String> {
    let told = load.ledger.known(question.number).told;
    let recorded: Vec<_> = told.iter().filter(|told| told.1 == Told::Recorded).collect();
    let wanted = told.iter().any(|told| told.0 == approved);
    let expected = if question.rivals { 2 } else { 1 };
    let right =
        told.len() == expected && wanted && recorded.len() <= 1 && recorded.iter().all(|told| told.0 == approved);
    (!right).then(|| format!("decided as {approved}, and the devices were told {told:?}"))
}

/// The receiver was told so, under one id.
fn receiver(arrivals: &Arrivals, approved: bool, person: &str) -> Option<String> {
    let right = arrivals.acknowledged > 0
        && arrivals.ids.len() == 1
        && arrivals.approved.iter().eq([&approved])
        && arrivals.people.iter().eq([person]);
    (!right).then(|| format!("decided as {approved}, and the receiver was told {arrivals:?}"))
}

/// Nothing came that is not this tenant's, not signed by it, or of no prompt of this run.
fn strangers(load: Load<'_>, findings: &mut Findings) {
    for (index, tenant) in load.crowd.tenants.iter().enumerate() {
        let notes = tenant.hook.notes();
        let wrong = notes.wrong.iter().map(|wrong| format!("the receiver of {} was sent {wrong}", tenant.id));
        findings.wrong.extend(wrong);
        let own = (0..load.plan.prompts).filter(|number| load.plan.question(*number).tenant == index).count();
        if notes.arrivals.len() != own {
            let told = notes.arrivals.len();
            findings.wrong.push(format!("the receiver of {} was told of {told} instructions, not of {own}", tenant.id));
        }
    }
}
