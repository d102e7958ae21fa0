//! The acceptance suite of every instruction store.
//!
//! A store's tests call [`instruction_store_suite!`](crate::instruction_store_suite) with a way to make a fresh one that
//! lives by the given clock. Each function is one promise of [`InstructionStore`]; all panic where it is broken.

mod attention;
mod device;
mod lifecycle;
mod race;

use std::sync::Arc;
use std::time::Duration;

use bloonio_wire::challenge::CustomType;
use bloonio_wire::clock::{Clock, ManualClock, Timestamp};
use bloonio_wire::id::{IdError, InstructionId, TenantId, UserSocketHash};

use super::{Created, InstructionStore, Limits, NewInstruction, StoreError};
use crate::fingerprint::Fingerprint;
use crate::identity::InitiatorHash;
use crate::instruction::{Claim, ConsumeRefusal, Instruction, Redemption, TokenHash, Usage, Verdict};

pub use attention::*;
pub use device::*;
pub use lifecycle::*;
pub use race::*;

/// Tests of one store, one a promise. `$make` is an async function as [`Make`](crate::store::suite::Make) has it.
#[macro_export]
macro_rules! instruction_store_suite {
    ($make:path) => {
        $crate::instruction_store_suite!(@each $make:
            creates_once_and_tells_the_same,
            another_tenant_knows_nothing,
            an_approval_is_consumed_once,
            refusals_come_in_order,
            a_waiters_instruction_has_no_key,
            a96_life_is_half_open,
            an_approval_lives_no_longer_than_its_window,
            a_final_status_never_changes,
            nothing_creates_but_create,
            final_records_are_kept_for_a_day,
            waiters_are_woken,
            an_approval_in_use_is_nobody_elses,
            an_approval_in_use_outlives_its_time,
            an_approval_used_elsewhere_is_completed_once,
            the_third_wrong_code_denies,
            the_same_request_shares_its_instruction,
            a_denial_or_a_timeout_is_followed_by_quiet,
            open_prompts_are_limited,
            three_denials_silence_an_initiator,
            golden_numbers_of_a_user_differ,
            quiet_outlasts_another_prompt_of_the_same_request,
            three_wrong_numbers_in_a_day_leave_only_typing,
            of_64_consumers_one_wins,
            of_64_consumers_one_holds,
            of_64_creators_one_creates,
            of_64_decisions_and_endings_one_counts,
        );
    };
    (@each $make:path: $($name:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                $crate::store::suite::$name($make).await.expect("the store is not in the way");
            }
        )+
    };
}

/// What keeps a test of the suite from being one: neither is expected.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A name of the suite itself is malformed.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A task of the suite did not end.
    #[error(transparent)]
    Task(#[from] tokio::task::JoinError),
    /// The store refused what it had to create.
    #[error("the store created nothing: {0}")]
    NotCreated(String),
}

/// What every function of the suite says.
pub type Outcome = Result<(), SuiteError>;

/// Makes a fresh store that lives by the given clock.
pub trait Make: AsyncFn(Arc<dyn Clock>) -> Arc<dyn InstructionStore> {}

impl<F: AsyncFn(Arc<dyn Clock>) -> Arc<dyn InstructionStore>> Make for F {}

/// A fresh store, its clock, and the usual names.
struct Bench {
    store: Arc<dyn InstructionStore>,
    clock: Arc<ManualClock>,
    tenant: TenantId,
}

const TTL: Duration = Duration::from_secs(180);
const WINDOW: Duration = Duration::from_secs(60);
const LIMITS: Limits = Limits { per_initiator: 2, per_user: 3 };
const APPROVED: Verdict = Verdict { approved: true, wrong_number: false, device_id: None, webhook_id: None };
const DENIED: Verdict = Verdict { approved: false, ..APPROVED };

impl Bench {
    async fn new(make: impl Make) -> Result<Self, SuiteError> {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let store = make(clock.clone()).await;
        Ok(Self { store, clock, tenant: TenantId::parse("tnt_0123456789abcdef0123456789abcdef")? })
    }

    /// A wish for the `n`th instruction: its own request, by its own session, of its own user.
    fn wish(&self, n: u8) -> Result<NewInstruction, SuiteError> {
        Ok(NewInstruction {
            instruction_id: InstructionId::parse(format!("instruction-{n}"))?,
            user: UserSocketHash::parse(format!("user-{n:04}"))?,
            initiator: InitiatorHash::from_bytes([n; 32]),
            action: "transfer_funds".to_owned(),
            custom_type: CustomType::LocalAuth,
            fingerprint: Fingerprint::from_bytes([n; 32]),
            golden_candidates: Vec::new(),
            response_token: TokenHash::of("token"),
            challenge_digest: "digest".to_owned(),
            redemption: Redemption::ByKey,
            shared: true,
            ttl: TTL,
            execution_window: WINDOW,
        })
    }

    async fn create(&self, new: NewInstruction) -> Result<Created, StoreError> {
        self.store.create(&self.tenant, new, LIMITS).await
    }

    async fn created(&self, new: NewInstruction) -> Result<Instruction, SuiteError> {
        match self.create(new).await? {
            Created::New { instruction, .. } => Ok(instruction),
            other => Err(SuiteError::NotCreated(format!("{other:?}"))),
        }
    }

    async fn consume(
        &self,
        id: &InstructionId,
        claim: &Claim,
    ) -> Result<Result<Instruction, ConsumeRefusal>, StoreError> {
        self.store.consume(&self.tenant, id, claim).await
    }

    fn claim(instruction: &Instruction) -> Claim {
        Claim {
            initiator: instruction.initiator,
            fingerprint: instruction.fingerprint,
            redemption: instruction.redemption,
            usage: Usage::Once,
        }
    }
}
