//! When an approval is used up: before the handler, after it, or in its own database transaction.
//!
//! | policy | a handler that fails, or a process that dies, meanwhile |
//! | --- | --- |
//! | [`BeforeHandler`](ConsumePolicy::BeforeHandler) | the approval is used; nothing runs twice, the effect may be missing |
//! | [`ReleasedOnServerError`](ConsumePolicy::ReleasedOnServerError) | after a 5xx the approval is good again, and an effect before the failure may happen twice; after a crash it is used |
//! | [`InTransaction`](ConsumePolicy::InTransaction) | effect and use are committed together or not at all: exactly once |

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::{InstructionId, TenantId};

use crate::instruction::Usage;

/// When an approval is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ConsumePolicy {
    /// Before the handler runs: it runs at most once, whatever becomes of it.
    #[default]
    BeforeHandler,
    /// When the handler has answered; an answer of 500 and above makes the approval good again. **A handler that fails
    /// after its effect has it twice.** While it runs nobody else can use the approval; a handler that does not answer at
    /// all, for example because its client went away, has used it.
    ReleasedOnServerError,
    /// In the handler's own transaction, by [`Grant::consume_in`](crate::Grant::consume_in): exactly once.
    InTransaction,
}

impl ConsumePolicy {
    pub(crate) const fn usage(self) -> Usage {
        match self {
            Self::BeforeHandler => Usage::Once,
            Self::ReleasedOnServerError => Usage::UntilAnswered,
            Self::InTransaction => Usage::Elsewhere,
        }
    }
}

/// What [`Grant::consume_in`](crate::Grant::consume_in) has written down: one row, whose key is the first two fields.
#[derive(Clone, PartialEq, Eq)]
pub struct UsedApproval {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The approval.
    pub instruction_id: InstructionId,
    /// Until when the approval could be used; a day later the row may go.
    pub good_until: Timestamp,
}

impl fmt::Debug for UsedApproval {
    /// Without the instruction's id, which may still be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsedApproval").field("good_until", &self.good_until).finish_non_exhaustive()
    }
}

/// The table of used approvals in the application's own database, inside a transaction that is open.
///
/// ```sql
/// CREATE TABLE used_approvals (
///     tenant_id TEXT NOT NULL, instruction_id TEXT NOT NULL, good_until_ms BIGINT NOT NULL,
///     PRIMARY KEY (tenant_id, instruction_id)
/// );
/// INSERT INTO used_approvals VALUES ($1, $2, $3) ON CONFLICT DO NOTHING; -- rows affected: 1 or 0
/// ```
#[async_trait]
pub trait UsedApprovals: Send {
    /// How the database fails.
    type Error;

    /// Inserts the row unless it is there, in the open transaction. Whether it was inserted.
    ///
    /// # Errors
    /// Whatever the database says; the transaction must then be rolled back.
    async fn insert(&mut self, used: &UsedApproval) -> Result<bool, Self::Error>;
}

/// Why an approval was not consumed in a transaction. The handler must roll back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumeError<E> {
    /// An earlier request has used it. Whatever the handler answers, the client gets 403 `SUDO_ACTION_EXPIRED`.
    #[error("the approval was used before")]
    AlreadyUsed,
    /// The route's requirement does not say `with_consume_in_transaction`, so that it was used before the handler ran.
    #[error("the route's approvals are not consumed in a transaction")]
    NotDeferred,
    /// The database failed.
    #[error("the use of the approval could not be written down")]
    Database(#[source] E),
}

/// How far a deferred consumption has come; shared by all clones of a grant.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deferral(Arc<AtomicU8>);

/// What the handler has done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deferred {
    /// Nothing.
    Untouched,
    /// Written down, in a transaction that may or may not be committed.
    Written,
    /// Learnt that it was used before.
    UsedBefore,
}

impl Deferral {
    pub(crate) fn set(&self, deferred: Deferred) {
        self.0.store(deferred as u8, Ordering::SeqCst);
    }

    pub(crate) fn get(&self) -> Deferred {
        match self.0.load(Ordering::SeqCst) {
            0 => Deferred::Untouched,
            1 => Deferred::Written,
            _ => Deferred::UsedBefore,
        }
    }
}
