//! Many at once: each transition happens for exactly one of them (ATTACKS A16, A26).

use std::future::Future;
use std::sync::Arc;

use bloonio_wire::id::InstructionId;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{APPROVED, Bench, DENIED, LIMITS, Make, Outcome, SuiteError};
use crate::instruction::{Claim, Ending, InstructionStatus, Usage};
use crate::store::{Created, DecideOutcome, ExpireOutcome};

const TASKS: usize = 64;
const ROUNDS: u8 = 20;

/// Runs `task` in 64 tasks that all begin at once, and gathers what they say.
async fn at_once<T, F>(task: impl Fn(usize) -> F) -> Result<Vec<T>, SuiteError>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(TASKS));
    let mut tasks = JoinSet::new();
    for n in 0..TASKS {
        let (barrier, task) = (Arc::clone(&barrier), task(n));
        tasks.spawn(async move {
            barrier.wait().await;
            task.await
        });
    }
    let mut said = Vec::with_capacity(TASKS);
    while let Some(result) = tasks.join_next().await {
        said.push(result?);
    }
    Ok(said)
}

/// One approval, 64 who want it.
pub async fn of_64_consumers_one_wins(make: impl Make) -> Outcome {
    let bench = Bench::new(make).await?;
    for round in 0..ROUNDS {
        let created = bench.created(bench.wish(round)?).await?;
        bench.store.decide(&bench.tenant, &created.instruction_id, &APPROVED).await?;
        let claim = Bench::claim(&created);
        let won = at_once(|_| {
            let (store, tenant) = (Arc::clone(&bench.store), bench.tenant.clone());
            let id = created.instruction_id.clone();
            async move { store.consume(&tenant, &id, &claim).await }
        });
        let won = won.await?.into_iter().collect::<Result<Vec<_>, _>>()?;
        assert_eq!(won.iter().filter(|outcome| outcome.is_ok()).count(), 1, "round {round}");
    }
    Ok(())
}

/// One request, 64 who make it.
pub async fn of_64_creators_one_creates(make: impl Make) -> Outcome {
    let bench = Bench::new(make).await?;
    for round in 0..ROUNDS {
        let mut wishes = Vec::new();
        for n in 0..TASKS {
            let mut wish = bench.wish(round)?;
            wish.instruction_id = InstructionId::parse(format!("instruction-{round}-{n}"))?;
            wishes.push(wish);
        }
        let created = at_once(|n| {
            let (store, tenant, wish) = (Arc::clone(&bench.store), bench.tenant.clone(), wishes[n].clone());
            async move { store.create(&tenant, wish, LIMITS).await }
        });
        let mut names = Vec::new();
        let mut new = 0;
        for outcome in created.await? {
            match outcome? {
                Created::New { instruction, .. } => {
                    new += 1;
                    names.push(instruction.instruction_id);
                }
                Created::Existing(instruction) => names.push(instruction.instruction_id),
                Created::Limited(limited) => return Err(SuiteError::NotCreated(format!("{limited:?}"))),
            }
        }
        names.dedup();
        assert_eq!((new, names.len()), (1, 1), "round {round}");
    }
    Ok(())
}

/// Approve, deny and end at once: one of them counts, and the record says which.
pub async fn of_64_decisions_and_endings_one_counts(make: impl Make) -> Outcome {
    let bench = Bench::new(make).await?;
    for round in 0..ROUNDS {
        let created = bench.created(bench.wish(round)?).await?;
        let said = at_once(|n| {
            let (store, tenant) = (Arc::clone(&bench.store), bench.tenant.clone());
            let id = created.instruction_id.clone();
            async move {
                let verdict = if n % 2 == 0 { &APPROVED } else { &DENIED };
                let decided = store.decide(&tenant, &id, verdict).await?;
                Ok::<_, SuiteError>(matches!(decided, DecideOutcome::Recorded { .. }).then_some(verdict.approved))
            }
        });
        let counted: Vec<_> = said.await?.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        assert_eq!(counted.len(), 1, "round {round}: {counted:?}");
        let found = bench.store.get(&bench.tenant, &created.instruction_id).await?.map(|found| found.status);
        let expected = if counted[0] { InstructionStatus::Validated } else { InstructionStatus::Denied };
        assert_eq!(found, Some(expected), "round {round}");
        let ended = at_once(|_| {
            let (store, tenant) = (Arc::clone(&bench.store), bench.tenant.clone());
            let id = created.instruction_id.clone();
            async move { store.expire(&tenant, &id, Ending::Abandoned).await }
        });
        let ended = ended.await?.into_iter().collect::<Result<Vec<_>, _>>()?;
        let by_one = ended.iter().filter(|outcome| **outcome == ExpireOutcome::Expired).count();
        assert_eq!(by_one, usize::from(expected == InstructionStatus::Validated), "round {round}");
    }
    Ok(())
}

/// One approval, 64 whose handlers would run on it: one runs, and after its release another one.
pub async fn of_64_consumers_one_holds(make: impl Make) -> Outcome {
    let bench = Bench::new(make).await?;
    let created = bench.created(bench.wish(1)?).await?;
    bench.store.decide(&bench.tenant, &created.instruction_id, &APPROVED).await?;
    let claim = Claim { usage: Usage::UntilAnswered, ..Bench::claim(&created) };
    for round in 0..ROUNDS {
        let held = at_once(|_| {
            let (store, tenant) = (Arc::clone(&bench.store), bench.tenant.clone());
            let id = created.instruction_id.clone();
            async move { store.consume(&tenant, &id, &claim).await }
        });
        let held = held.await?.into_iter().collect::<Result<Vec<_>, _>>()?;
        assert_eq!(held.iter().filter(|outcome| outcome.is_ok()).count(), 1, "round {round}");
        assert!(bench.store.release(&bench.tenant, &created.instruction_id).await?, "round {round}");
    }
    Ok(())
}
