//! The user's attention: sharing, quiet, limits, silence (SECURITY, "Attention and guessing").

use std::time::Duration;

use bloonio_wire::clock::Clock;
use bloonio_wire::id::{InstructionId, UserSocketHash};

use super::{APPROVED, Bench, DENIED, Make, Outcome};
use crate::instruction::{Ending, Verdict};
use crate::store::{
    Created, DENIALS_TO_SILENCE, DecideOutcome, FIRST_SILENCE, LimitReason, Limited, QUIET_AFTER, WRONG_NUMBER_MEMORY,
};

const TICK: Duration = Duration::from_millis(1);

/// While it can still be used, the same request finds it; one that may not share never does.
pub async fn the_same_request_shares_its_instruction(make: impl Make) -> Outcome {
    let bench = Bench::new(make).await?;
    let first = bench.created(bench.wish(1)?).await?;
    let mut again = bench.wish(1)?;
    again.instruction_id = InstructionId::parse("instruction-again")?;
    assert_eq!(bench.create(again.clone()).await?, Created::Existing(first.clone()));
    bench.store.decide(&bench.tenant, &first.instruction_id, &APPROVED).await?;
    assert!(matches!(bench.create(again.clone()).await?, Created::Existing(_)), "approved and not yet used");
    let unshared = {
        let mut wish = again.clone();
        wish.shared = false;
        wish
    };
    bench.created(unshared).await?;
    assert!(bench.consume(&first.instruction_id, &Bench::claim(&first)).await?.is_ok());
    again.instruction_id = InstructionId::parse("instruction-anew")?;
    bench.created(again).await?;
    Ok(())
}

/// The same request is not asked again for 30 s after a denial or a timeout; after a prompt that nobody got it is.
pub async fn a_denial_or_a_timeout_is_followed_by_quiet(make: impl Make) -> Outcome {
    for ending in [None, Some(Ending::TimedOut), Some(Ending::Abandoned)] {
        let bench = Bench::new(&make).await?;
        let first = bench.created(bench.wish(1)?).await?;
        match ending {
            None => {
                let _ = bench.store.decide(&bench.tenant, &first.instruction_id, &DENIED).await?;
            }
            Some(Ending::TimedOut) => bench.clock.set(first.expires_at),
            Some(ending) => {
                let _ = bench.store.expire(&bench.tenant, &first.instruction_id, ending).await?;
            }
        }
        let mut again = bench.wish(1)?;
        again.instruction_id = InstructionId::parse("instruction-again")?;
        let quiet = Created::Limited(Limited { reason: LimitReason::Quiet, retry_after: QUIET_AFTER });
        assert_eq!(bench.create(again.clone()).await?, quiet, "{ending:?}");
        assert!(matches!(bench.create(bench.wish(2)?).await?, Created::New { .. }), "another request is free");
        bench.clock.advance(QUIET_AFTER - TICK);
        assert!(matches!(bench.create(again.clone()).await?, Created::Limited(_)), "{ending:?}");
        bench.clock.advance(TICK);
        bench.created(again).await?;
    }
    let bench = Bench::new(make).await?;
    let first = bench.created(bench.wish(1)?).await?;
    bench.store.expire(&bench.tenant, &first.instruction_id, Ending::Undelivered).await?;
    let mut again = bench.wish(1)?;
    again.instruction_id = InstructionId::parse("instruction-again")?;
    bench.created(again).await?;
    Ok(())
}

/// Two open prompts an initiator, three a user; an answer, an end or the expiry frees the place.
pub async fn open_prompts_are_limited(make: impl Make) -> Outcome {
    let bench = Bench::new(make).await?;
    let user = bench.wish(0)?.user;
    let wish = |n: u8, session: u8| -> Result<_, super::SuiteError> {
        let mut wish = bench.wish(n)?;
        (wish.user, wish.initiator) = (user.clone(), bench.wish(session)?.initiator);
        Ok(wish)
    };
    let first = bench.created(wish(1, 50)?).await?;
    bench.clock.advance(Duration::from_secs(10));
    let second = bench.created(wish(2, 50)?).await?;
    let left = first.expires_at.since(bench.clock.now());
    let full = |reason| Created::Limited(Limited { reason, retry_after: left });
    assert_eq!(bench.create(wish(3, 50)?).await?, full(LimitReason::InitiatorFull));
    // A second session of the user still has a place: one hijacked session cannot silence him (ATTACKS A32).
    bench.created(wish(4, 51)?).await?;
    assert_eq!(bench.create(wish(5, 51)?).await?, full(LimitReason::UserFull));
    bench.store.decide(&bench.tenant, &second.instruction_id, &APPROVED).await?;
    let third = bench.created(wish(6, 51)?).await?;
    bench.store.expire(&bench.tenant, &third.instruction_id, Ending::Undelivered).await?;
    bench.created(wish(7, 51)?).await?;
    bench.clock.set(first.expires_at);
    bench.created(wish(8, 50)?).await?;
    Ok(())
}

/// Three denials within a quarter of an hour silence the initiator, for a minute at first.
pub async fn three_denials_silence_an_initiator(make: impl Make) -> Outcome {
    let bench = Bench::new(make).await?;
    let initiator = bench.wish(50)?.initiator;
    for n in 1..=DENIALS_TO_SILENCE {
        let mut wish = bench.wish(n as u8)?;
        wish.initiator = initiator;
        let id = bench.created(wish).await?.instruction_id;
        let silenced_for = (n == DENIALS_TO_SILENCE).then_some(FIRST_SILENCE);
        let outcome = bench.store.decide(&bench.tenant, &id, &DENIED).await?;
        assert_eq!(outcome, DecideOutcome::Recorded { silenced_for }, "denial {n}");
    }
    let mut wish = bench.wish(60)?;
    wish.initiator = initiator;
    let silenced = Created::Limited(Limited { reason: LimitReason::Silenced, retry_after: FIRST_SILENCE });
    assert_eq!(bench.create(wish.clone()).await?, silenced);
    bench.created(bench.wish(61)?).await?;
    bench.clock.advance(FIRST_SILENCE);
    bench.created(wish).await?;
    Ok(())
}

/// No two open prompts of a user show the same number.
pub async fn golden_numbers_of_a_user_differ(make: impl Make) -> Outcome {
    let bench = Bench::new(make).await?;
    let mut numbers = Vec::new();
    for n in 1..=3 {
        let mut wish = bench.wish(n)?;
        (wish.user, wish.golden_candidates) = (bench.wish(0)?.user, vec![42, 17, 99]);
        numbers.push(bench.created(wish).await?.golden_number);
    }
    assert_eq!(numbers, [Some(42), Some(17), Some(99)]);
    Ok(())
}

/// A second prompt for the same request does not make the quiet after the first one's denial forgotten.
pub async fn quiet_outlasts_another_prompt_of_the_same_request(make: impl Make) -> Outcome {
    let bench = Bench::new(make).await?;
    let unshared = |name: &str| -> Result<_, super::SuiteError> {
        let mut wish = bench.wish(1)?;
        (wish.instruction_id, wish.shared) = (InstructionId::parse(name)?, false);
        Ok(wish)
    };
    let first = bench.created(unshared("instruction-first")?).await?;
    let second = bench.created(unshared("instruction-second")?).await?;
    bench.store.decide(&bench.tenant, &first.instruction_id, &DENIED).await?;
    bench.store.expire(&bench.tenant, &second.instruction_id, Ending::Undelivered).await?;
    let quiet = Created::Limited(Limited { reason: LimitReason::Quiet, retry_after: QUIET_AFTER });
    assert_eq!(bench.create(unshared("instruction-third")?).await?, quiet);
    Ok(())
}

/// From the third wrong number in 24 hours on, whoever asks, numbers of that user may only be typed.
pub async fn three_wrong_numbers_in_a_day_leave_only_typing(make: impl Make) -> Outcome {
    let bench = Bench::new(make).await?;
    let user = bench.wish(0)?.user;
    let wrong = Verdict { wrong_number: true, ..DENIED };
    let typed_only = async |n: u8, of: Option<&UserSocketHash>, verdict: &Verdict| -> Result<bool, super::SuiteError> {
        let mut wish = bench.wish(n)?;
        wish.user = of.cloned().unwrap_or(wish.user);
        match bench.create(wish).await? {
            Created::New { instruction, typed_only } => {
                bench.store.decide(&bench.tenant, &instruction.instruction_id, verdict).await?;
                Ok(typed_only)
            }
            other => Err(super::SuiteError::NotCreated(format!("{other:?}"))),
        }
    };
    for (n, verdict) in [(1, &wrong), (2, &wrong), (3, &DENIED), (4, &APPROVED), (5, &wrong)] {
        assert!(!typed_only(n, Some(&user), verdict).await?, "prompt {n}");
    }
    assert!(typed_only(6, Some(&user), &DENIED).await?);
    assert!(!typed_only(7, None, &DENIED).await?, "another user");
    bench.clock.advance(WRONG_NUMBER_MEMORY - TICK);
    assert!(typed_only(8, Some(&user), &DENIED).await?);
    bench.clock.advance(TICK);
    assert!(!typed_only(9, Some(&user), &DENIED).await?);
    Ok(())
}
