//! What the engine says of a protected request.

use std::fmt;

use bloonio_wire::clock::Timestamp;
use bloonio_wire::code::ErrorCode;
use bloonio_wire::id::{InstructionId, UserSocketHash};

use crate::instruction::{Instruction, InstructionStatus};
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
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    instruction_id: InstructionId,
    approved_by: UserSocketHash,
    action: String,
    approved_at: Timestamp,
    device_id: Option<String>,
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
    /// The grant of a consumed instruction; none for any other.
    pub(crate) fn of(instruction: Instruction) -> Option<Self> {
        let decision = instruction.decision.filter(|decision| decision.verdict.approved)?;
        (instruction.status == InstructionStatus::Consumed).then_some(Self {
            instruction_id: instruction.instruction_id,
            approved_by: instruction.user,
            action: instruction.action,
            approved_at: decision.decided_at,
            device_id: decision.verdict.device_id,
        })
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
