//! One instruction after another: what each transition does, and when it may no longer happen.

use std::time::Duration;

use bloonio_wire::clock::Clock;
use bloonio_wire::id::{InstructionId, TenantId};

use super::{APPROVED, Bench, DENIED, Make, Outcome, TTL, WINDOW};
use crate::fingerprint::Fingerprint;
use crate::identity::InitiatorHash;
use crate::instruction::{Claim, ConsumeRefusal, Ending, InstructionStatus, Redemption, Usage, WRONG_CODES_TO_DENY};
use crate::store::{DecideOutcome, ExpireOutcome, KEPT_FOR, MissOutcome};

const TICK: Duration = Duration::from_millis(1);

/// What was created is found, and told alike.
pub async fn creates_once_and_tells_the_same(make: impl Make) -> Outcome {
    let bench = Bench::new(make).await?;
    let created = bench.created(bench.wish(1)?).await?;
    assert_eq!(created.status, InstructionStatus::Pending);
    assert_eq!(created.created_at, bench.clock.now());
    assert_eq!(created.expires_at, bench.clock.now().plus(TTL));
    assert_eq!(bench.store.get(&bench.tenant, &created.instruction_id).await?, Some(created));
    Ok(())
}

/// The tenant is part of every key (ATTACKS A19).
pub async fn another_tenant_knows_nothing(make: impl Make) -> Outcome {
    let bench = Bench::new(make).await?;
    let created = bench.created(bench.wish(1)?).await?;
    let (id, claim) = (&created.instruction_id, Bench::claim(&created));
    let other = TenantId::parse("tnt_fedcba9876543210fedcba9876543210")?;
    assert_eq!(bench.store.get(&other, id).await?, None);
    assert_eq!(bench.store.decide(&other, id, &APPROVED).await?, DecideOutcome::Unknown);
    assert_eq!(bench.store.expire(&other, id, Ending::Abandoned).await?, ExpireOutcome::Unknown);
    assert!(bench.store.subscribe(&other, id).await?.is_none());
    bench.store.decide(&bench.tenant, id, &APPROVED).await?;
    assert_eq!(bench.store.consume(&other, id, &claim).await?, Err(ConsumeRefusal::Expired));
    assert!(bench.consume(id, &claim).await?.is_ok());
    Ok(())
}

/// Approve, use, and no more.
pub async fn an_approval_is_consumed_once(make: impl Make) -> Outcome {
    let bench = Bench::new(make).await?;
    let created = bench.created(bench.wish(1)?).await?;
    let (id, claim) = (&created.instruction_id, Bench::claim(&created));
    let outcome = bench.store.decide(&bench.tenant, id, &APPROVED).await?;
    assert_eq!(outcome, DecideOutcome::Recorded { silenced_for: None });
    let used = bench.consume(id, &claim).await?;
    assert_eq!(used.map(|instruction| instruction.status), Ok(InstructionStatus::Consumed));
    assert_eq!(bench.consume(id, &claim).await?, Err(ConsumeRefusal::Expired));
    Ok(())
}

/// Another's or used: expired. Then denied, then another request, then pending (PROTOCOL 9.1).
pub async fn refusals_come_in_order(make: impl Make) -> Outcome {
    let bench = Bench::new(make).await?;
    let pending = bench.created(bench.wish(1)?).await?;
    let right = Bench::claim(&pending);
    let stranger = Claim { initiator: InitiatorHash::from_bytes([99; 32]), ..right };
    let elsewhere = Claim { fingerprint: Fingerprint::from_bytes([99; 32]), ..right };
    let id = &pending.instruction_id;
    assert_eq!(bench.consume(id, &stranger).await?, Err(ConsumeRefusal::Expired));
    assert_eq!(bench.consume(id, &elsewhere).await?, Err(ConsumeRefusal::Mismatch));
    assert_eq!(bench.consume(id, &right).await?, Err(ConsumeRefusal::Pending(Box::new(pending.clone()))));
    bench.store.decide(&bench.tenant, id, &DENIED).await?;
    assert_eq!(bench.consume(id, &stranger).await?, Err(ConsumeRefusal::Expired));
    assert_eq!(bench.consume(id, &elsewhere).await?, Err(ConsumeRefusal::Denied));
    assert_eq!(bench.consume(id, &right).await?, Err(ConsumeRefusal::Denied));

    let approved = bench.created(bench.wish(2)?).await?;
    let (id, right) = (&approved.instruction_id, Bench::claim(&approved));
    bench.store.decide(&bench.tenant, id, &APPROVED).await?;
    assert_eq!(
        bench.consume(id, &Claim { fingerprint: elsewhere.fingerprint, ..right }).await?,
        Err(ConsumeRefusal::Mismatch)
    );
    assert!(bench.consume(id, &right).await?.is_ok(), "a mismatch burns nothing");
    assert_eq!(
        bench.consume(id, &Claim { fingerprint: elsewhere.fingerprint, ..right }).await?,
        Err(ConsumeRefusal::Expired)
    );
    let unknown = InstructionId::parse("instruction-unknown")?;
    assert_eq!(bench.consume(&unknown, &right).await?, Err(ConsumeRefusal::Expired));
    Ok(())
}

/// What a waiting request asked for is redeemed by it alone.
pub async fn a_waiters_instruction_has_no_key(make: impl Make) -> Outcome {
    let bench = Bench::new(make).await?;
    let mut wish = bench.wish(1)?;
    (wish.redemption, wish.shared) = (Redemption::ByWaiter, false);
    let created = bench.created(wish).await?;
    bench.store.decide(&bench.tenant, &created.instruction_id, &APPROVED).await?;
    let by_waiter = Bench::claim(&created);
    let by_key = Claim { redemption: Redemption::ByKey, ..by_waiter };
    assert_eq!(bench.consume(&created.instruction_id, &by_key).await?, Err(ConsumeRefusal::Expired));
    assert!(bench.consume(&created.instruction_id, &by_waiter).await?.is_ok());
    Ok(())
}

/// `expires_at` is exclusive (ATTACKS A24, A25, A96).
pub async fn a96_life_is_half_open(make: impl Make) -> Outcome {
    for (early, taken) in [(TICK, true), (Duration::ZERO, false)] {
        let bench = Bench::new(&make).await?;
        let created = bench.created(bench.wish(1)?).await?;
        bench.clock.set(created.expires_at.minus(early));
        let outcome = bench.store.decide(&bench.tenant, &created.instruction_id, &APPROVED).await?;
        assert_eq!(outcome == DecideOutcome::Recorded { silenced_for: None }, taken, "{early:?} early");
        let found = bench.store.get(&bench.tenant, &created.instruction_id).await?;
        let expected = if taken { InstructionStatus::Validated } else { InstructionStatus::Expired };
        assert_eq!(found.map(|found| found.status), Some(expected));
    }
    Ok(())
}

/// An approval must be used by the earlier of `expires_at` and the end of its window (ATTACKS A24).
pub async fn an_approval_lives_no_longer_than_its_window(make: impl Make) -> Outcome {
    let late = TTL - Duration::from_secs(5);
    for (decided_after, good_for) in [(Duration::ZERO, WINDOW), (late, TTL - late)] {
        for (early, used) in [(TICK, true), (Duration::ZERO, false)] {
            let bench = Bench::new(&make).await?;
            let created = bench.created(bench.wish(1)?).await?;
            bench.clock.advance(decided_after);
            bench.store.decide(&bench.tenant, &created.instruction_id, &APPROVED).await?;
            bench.clock.advance(good_for - early);
            let outcome = bench.consume(&created.instruction_id, &Bench::claim(&created)).await?;
            assert_eq!(outcome.is_ok(), used, "decided after {decided_after:?}, used {early:?} early");
        }
    }
    Ok(())
}

/// The first final status stays, whatever comes (ATTACKS A25, A26).
pub async fn a_final_status_never_changes(make: impl Make) -> Outcome {
    let bench = Bench::new(make).await?;
    let mut finals = Vec::new();
    for (n, status) in
        [InstructionStatus::Denied, InstructionStatus::Consumed, InstructionStatus::Expired].into_iter().enumerate()
    {
        let created = bench.created(bench.wish(n as u8)?).await?;
        let id = created.instruction_id.clone();
        match status {
            InstructionStatus::Denied => {
                let _ = bench.store.decide(&bench.tenant, &id, &DENIED).await?;
            }
            InstructionStatus::Consumed => {
                bench.store.decide(&bench.tenant, &id, &APPROVED).await?;
                assert!(bench.consume(&id, &Bench::claim(&created)).await?.is_ok());
            }
            _ => {
                let _ = bench.store.expire(&bench.tenant, &id, Ending::Abandoned).await?;
            }
        }
        finals.push((id, Bench::claim(&created), status));
    }
    for (id, claim, status) in &finals {
        for verdict in [&APPROVED, &DENIED] {
            let expected = match (status, verdict.approved) {
                (InstructionStatus::Denied, false) | (InstructionStatus::Consumed, true) => DecideOutcome::Repeated,
                _ => DecideOutcome::Final(*status),
            };
            assert_eq!(bench.store.decide(&bench.tenant, id, verdict).await?, expected);
        }
        let ended = bench.store.expire(&bench.tenant, id, Ending::TimedOut).await?;
        assert_eq!(ended, ExpireOutcome::Final(*status));
        assert!(bench.consume(id, claim).await?.is_err());
        bench.clock.advance(TTL * 2);
        let found = bench.store.get(&bench.tenant, id).await?;
        assert_eq!(found.map(|found| found.status), Some(*status));
    }
    Ok(())
}

/// Deciding, using or ending what is unknown leaves it unknown.
pub async fn nothing_creates_but_create(make: impl Make) -> Outcome {
    let bench = Bench::new(make).await?;
    let wish = bench.wish(1)?;
    let id = &wish.instruction_id;
    let claim = Claim {
        initiator: wish.initiator,
        fingerprint: wish.fingerprint,
        redemption: wish.redemption,
        usage: Usage::Once,
    };
    assert_eq!(bench.store.decide(&bench.tenant, id, &APPROVED).await?, DecideOutcome::Unknown);
    assert_eq!(bench.consume(id, &claim).await?, Err(ConsumeRefusal::Expired));
    assert_eq!(bench.store.expire(&bench.tenant, id, Ending::TimedOut).await?, ExpireOutcome::Unknown);
    assert_eq!(bench.store.miss(&bench.tenant, id).await?, MissOutcome::Unknown);
    assert!(!bench.store.complete(&bench.tenant, id).await?);
    assert!(!bench.store.release(&bench.tenant, id).await?);
    assert_eq!(bench.store.get(&bench.tenant, id).await?, None);
    Ok(())
}

/// A late callback meets a memory for 24 hours past the expiry.
pub async fn final_records_are_kept_for_a_day(make: impl Make) -> Outcome {
    let bench = Bench::new(make).await?;
    let created = bench.created(bench.wish(1)?).await?;
    bench.clock.set(created.expires_at.plus(KEPT_FOR).minus(TICK));
    let late = bench.store.decide(&bench.tenant, &created.instruction_id, &APPROVED).await?;
    assert_eq!(late, DecideOutcome::Final(InstructionStatus::Expired));
    bench.clock.advance(TICK);
    assert_eq!(bench.store.get(&bench.tenant, &created.instruction_id).await?, None);
    Ok(())
}

/// A change made after `subscribe` is never missed.
pub async fn waiters_are_woken(make: impl Make) -> Outcome {
    let bench = Bench::new(make).await?;
    let created = bench.created(bench.wish(1)?).await?;
    let wakeups = bench.store.subscribe(&bench.tenant, &created.instruction_id).await?;
    assert!(wakeups.is_some());
    bench.store.decide(&bench.tenant, &created.instruction_id, &DENIED).await?;
    if let Some(mut wakeups) = wakeups {
        wakeups.next().await;
    }
    Ok(())
}

/// While one request runs on it, an approval serves no other; released it is good again, completed it is used.
pub async fn an_approval_in_use_is_nobody_elses(make: impl Make) -> Outcome {
    let bench = Bench::new(make).await?;
    let created = bench.created(bench.wish(1)?).await?;
    let id = &created.instruction_id;
    let (once, hold) = (Bench::claim(&created), Claim { usage: Usage::UntilAnswered, ..Bench::claim(&created) });
    assert!(matches!(bench.consume(id, &hold).await?, Err(ConsumeRefusal::Pending(_))));
    bench.store.decide(&bench.tenant, id, &APPROVED).await?;
    assert!(!bench.store.release(&bench.tenant, id).await?, "nobody uses it yet");
    let held = bench.consume(id, &hold).await?;
    assert_eq!(held.map(|held| (held.status, held.in_use)), Ok((InstructionStatus::Validated, true)));
    for other in [&once, &hold, &Claim { usage: Usage::Elsewhere, ..once }] {
        assert_eq!(bench.consume(id, other).await?, Err(ConsumeRefusal::Expired));
    }
    let ended = bench.store.expire(&bench.tenant, id, Ending::Abandoned).await?;
    assert_eq!(ended, ExpireOutcome::Final(InstructionStatus::Validated));
    let mut again = bench.wish(1)?;
    again.instruction_id = InstructionId::parse("instruction-again")?;
    let other = bench.created(again).await?;
    bench.store.expire(&bench.tenant, &other.instruction_id, Ending::Undelivered).await?;

    assert!(bench.store.release(&bench.tenant, id).await?);
    assert!(!bench.store.release(&bench.tenant, id).await?);
    assert!(bench.consume(id, &hold).await?.is_ok(), "released, it is good again");
    assert!(bench.store.complete(&bench.tenant, id).await?);
    assert!(!bench.store.complete(&bench.tenant, id).await?);
    assert!(!bench.store.release(&bench.tenant, id).await?, "what is consumed stays so");
    assert_eq!(bench.consume(id, &once).await?, Err(ConsumeRefusal::Expired));
    Ok(())
}

/// Time does not end an approval that is in use; released late, it is over.
pub async fn an_approval_in_use_outlives_its_time(make: impl Make) -> Outcome {
    for completed in [true, false] {
        let bench = Bench::new(&make).await?;
        let created = bench.created(bench.wish(1)?).await?;
        let id = &created.instruction_id;
        bench.store.decide(&bench.tenant, id, &APPROVED).await?;
        let hold = Claim { usage: Usage::UntilAnswered, ..Bench::claim(&created) };
        assert!(bench.consume(id, &hold).await?.is_ok());
        bench.clock.advance(TTL * 2);
        let found = bench.store.get(&bench.tenant, id).await?;
        assert_eq!(found.map(|found| (found.status, found.in_use)), Some((InstructionStatus::Validated, true)));
        let expected = if completed {
            assert!(bench.store.complete(&bench.tenant, id).await?);
            InstructionStatus::Consumed
        } else {
            assert!(bench.store.release(&bench.tenant, id).await?);
            InstructionStatus::Expired
        };
        let found = bench.store.get(&bench.tenant, id).await?;
        assert_eq!(found.map(|found| (found.status, found.in_use)), Some((expected, false)));
    }
    Ok(())
}

/// A look changes nothing; what was used elsewhere is completed, once, and is over then.
pub async fn an_approval_used_elsewhere_is_completed_once(make: impl Make) -> Outcome {
    let bench = Bench::new(make).await?;
    let created = bench.created(bench.wish(1)?).await?;
    let id = &created.instruction_id;
    bench.store.decide(&bench.tenant, id, &APPROVED).await?;
    let look = Claim { usage: Usage::Elsewhere, ..Bench::claim(&created) };
    for _ in 0..2 {
        let seen = bench.consume(id, &look).await?;
        assert_eq!(seen.map(|seen| (seen.status, seen.in_use)), Ok((InstructionStatus::Validated, false)));
    }
    assert!(bench.store.complete(&bench.tenant, id).await?);
    assert!(!bench.store.complete(&bench.tenant, id).await?);
    assert_eq!(bench.consume(id, &look).await?, Err(ConsumeRefusal::Expired));
    Ok(())
}

/// Two wrong codes are forgiven, the third denies (PROTOCOL 9.4).
pub async fn the_third_wrong_code_denies(make: impl Make) -> Outcome {
    let bench = Bench::new(make).await?;
    let created = bench.created(bench.wish(1)?).await?;
    let id = &created.instruction_id;
    for _ in 1..WRONG_CODES_TO_DENY {
        assert_eq!(bench.store.miss(&bench.tenant, id).await?, MissOutcome::Counted);
    }
    let found = bench.store.get(&bench.tenant, id).await?;
    assert_eq!(found.map(|found| found.status), Some(InstructionStatus::Pending));
    assert_eq!(bench.store.miss(&bench.tenant, id).await?, MissOutcome::Denied { silenced_for: None });
    assert_eq!(bench.store.miss(&bench.tenant, id).await?, MissOutcome::Final(InstructionStatus::Denied));
    let late = bench.store.decide(&bench.tenant, id, &APPROVED).await?;
    assert_eq!(late, DecideOutcome::Final(InstructionStatus::Denied));
    Ok(())
}
