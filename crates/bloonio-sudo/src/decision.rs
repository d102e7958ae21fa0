//! What the engine says of a protected request.

use std::fmt;

use bloonio_wire::clock::Timestamp;
use bloonio_wire::code::ErrorCode;
use bloonio_wire::id::{InstructionId, TenantId, UserSocketHash};

use crate::consume::{ConsumeError, Deferral, Deferred, UsedApproval, UsedApprovals};
use crate::instruction::{Instruction, InstructionStatus, Usage};
use crate::reply::Reply;

/// Whether a protected request may run.
#[derive(Debug)]
#[must_use = "a request may run only if this says so"]
pub enum Decision {
    /// It was approved; it may run once, now.
    Pass(Grant),
    /// The requirement's own condition says that this request needs no approval.
    Exempt,
    /// It may not run.
    Refuse(Refusal),
}

impl Decision {
    /// For adapters: what the handler's extractor gets (no grant for an exempted request), or the refusal to answer with.
    ///
    /// # Errors
    /// The [`Refusal`].
    pub fn into_result(self) -> Result<Option<Grant>, Refusal> {
        match self {
            Self::Pass(grant) => Ok(Some(grant)),
            Self::Exempt => Ok(None),
            Self::Refuse(refusal) => Err(refusal),
        }
    }
}

/// Proof, for the handler, that a person approved this very request.
#[derive(Clone)]
pub struct Grant {
    tenant_id: TenantId,
    instruction_id: InstructionId,
    approved_by: UserSocketHash,
    action: String,
    approved_at: Timestamp,
    device_id: Option<String>,
    good_until: Timestamp,
    usage: Usage,
    deferral: Deferral,
}

impl fmt::Debug for Grant {
    /// Without the instruction's id, which was a key until now.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("action", &self.action)
            .field("approved_by", &self.approved_by)
            .field("approved_at", &self.approved_at)
            .finish_non_exhaustive()
    }
}

impl Grant {
    /// The grant of an instruction that was used in this way; none for any other.
    pub(crate) fn of(tenant: &TenantId, instruction: Instruction, usage: Usage) -> Option<Self> {
        let good_until = instruction.good_until();
        let decision = instruction.decision.filter(|decision| decision.verdict.approved)?;
        let stands = match usage {
            Usage::Once => instruction.status == InstructionStatus::Consumed,
            Usage::UntilAnswered => instruction.status == InstructionStatus::Validated && instruction.in_use,
            Usage::Elsewhere => instruction.status == InstructionStatus::Validated && !instruction.in_use,
        };
        stands.then_some(Self {
            tenant_id: tenant.clone(),
            instruction_id: instruction.instruction_id,
            approved_by: instruction.user,
            action: instruction.action,
            approved_at: decision.decided_at,
            device_id: decision.verdict.device_id,
            good_until,
            usage,
            deferral: Deferral::default(),
        })
    }

    /// Whether the store must still be told how the request ended.
    pub(crate) fn is_open(&self) -> bool {
        self.usage != Usage::Once
    }

    /// The consumption that is the handler's own affair, if it is.
    pub(crate) fn deferral(&self) -> Option<&Deferral> {
        (self.usage == Usage::Elsewhere).then_some(&self.deferral)
    }

    /// Uses the approval up in the application's own transaction, so that its effect happens exactly once: both are
    /// committed, or neither. For routes whose requirement says
    /// [`with_consume_in_transaction`](crate::SudoRequirement::with_consume_in_transaction).
    ///
    /// Call it in the transaction that does the work, before committing. May be called again after a rollback.
    ///
    /// # Errors
    /// [`ConsumeError`]; the transaction must be rolled back then.
    pub async fn consume_in<T: UsedApprovals>(&self, transaction: &mut T) -> Result<(), ConsumeError<T::Error>> {
        let deferral = self.deferral().ok_or(ConsumeError::NotDeferred)?;
        let used = UsedApproval {
            tenant_id: self.tenant_id.clone(),
            instruction_id: self.instruction_id.clone(),
            good_until: self.good_until,
        };
        match transaction.insert(&used).await {
            Ok(true) => {
                deferral.set(Deferred::Written);
                Ok(())
            }
            Ok(false) => {
                deferral.set(Deferred::UsedBefore);
                Err(ConsumeError::AlreadyUsed)
            }
            Err(error) => {
                deferral.set(Deferred::Untouched);
                Err(ConsumeError::Database(error))
            }
        }
    }

    /// The approval that was used for this request; fit for an audit trail.
    pub fn instruction_id(&self) -> &InstructionId {
        &self.instruction_id
    }

    /// Who approved.
    pub fn approved_by(&self) -> &UserSocketHash {
        &self.approved_by
    }

    /// What was approved.
    pub fn action(&self) -> &str {
        &self.action
    }

    /// When the decision was recorded here.
    pub fn approved_at(&self) -> Timestamp {
        self.approved_at
    }

    /// The device that answered, where the relay named it.
    pub fn device_id(&self) -> Option<&str> {
        self.device_id.as_deref()
    }
}

/// Why a request may not run: the code, and the answer to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub(crate) kind: ErrorCode,
    pub(crate) reply: Reply,
}

impl Refusal {
    /// The code of PROTOCOL 9.1.
    pub fn kind(&self) -> ErrorCode {
        self.kind
    }

    /// The answer to send.
    pub fn into_reply(self) -> Reply {
        self.reply
    }
}
