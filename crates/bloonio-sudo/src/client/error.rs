//! What went wrong with a call, and what to do next.

use std::time::Duration;

use bloonio_wire::challenge::PushReceipt;
use bloonio_wire::code::ErrorCode;
use bloonio_wire::envelope::FieldProblem;

/// How long to wait where the relay wants us to wait and does not say how long.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// What the relay did not do, and why. Shows no addresses, bodies or secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// No answer: no connection, no end within the time, or not HTTP. The relay may have done what it was asked.
    #[error("the relay cannot be reached: {0}")]
    Unreachable(&'static str),
    /// An answer that is not of the protocol, or not to this call. The relay may have done what it was asked.
    #[error("the relay's answer cannot be read: {0}")]
    Unreadable(&'static str),
    /// The relay refused.
    #[error("the relay refused with status {status} and code {}", code.map_or("unknown", |code| code.name()))]
    Rejected {
        /// HTTP status.
        status: u16,
        /// The code, if this version knows it.
        code: Option<ErrorCode>,
        /// When to try again, where the relay says so.
        retry_after: Option<Duration>,
    },
    /// The relay refused a call that breaks its rules (`VALIDATION_FAILED`).
    #[error("the relay refused a call that breaks {} of its rules", .0.len())]
    Invalid(Vec<FieldProblem>),
    /// The relay has it, and no device could be reached so far (`PUSH_NOT_DELIVERED`).
    #[error("no device of the user could be reached")]
    Undelivered(Box<PushReceipt>),
    /// The call was not made.
    #[error("the call cannot be made: {0}")]
    Unsendable(&'static str),
}

/// What to do about a [`RelayError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NextStep {
    /// Make the same call again in a moment. With an id of yours in it that does nothing twice.
    Retry,
    /// Make the same call again, no sooner than after this time.
    RetryAfter(Duration),
    /// Nothing need be sent again: ask `fetch_outcome` or `fetch_delivery_status`.
    Watch,
    /// Let the user pair a phone.
    PairDevice,
    /// Ask the person: for another code, or for consent.
    AskUser,
    /// What it was about is over or was never there. Begin anew, with a new id.
    StartOver,
    /// The call itself is wrong, and will stay so: mend the program.
    FixCall,
    /// The relay takes no such call of this tenant, or is not the relay that was meant: secret, clock, suspension, address
    /// or a setting. An operator must act.
    AskOperator,
}

impl RelayError {
    /// The relay's code, where it refused with a known one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Rejected { code, .. } => *code,
            Self::Invalid(_) => Some(ErrorCode::ValidationFailed),
            Self::Undelivered(_) => Some(ErrorCode::PushNotDelivered),
            Self::Unreachable(_) | Self::Unreadable(_) | Self::Unsendable(_) => None,
        }
    }

    /// What to do next.
    ///
    /// ```
    /// use bloonio_sudo::{NextStep, RelayError};
    /// let error = RelayError::Unreachable("no connection");
    /// assert_eq!(error.next_step(), NextStep::Retry);
    /// assert!(error.is_retryable());
    /// ```
    pub fn next_step(&self) -> NextStep {
        match self {
            Self::Unreachable(_) => NextStep::Retry,
            Self::Unreadable(_) => NextStep::AskOperator,
            Self::Unsendable(_) | Self::Invalid(_) => NextStep::FixCall,
            Self::Undelivered(_) => NextStep::Watch,
            Self::Rejected { status, code, retry_after } => {
                let wait = NextStep::RetryAfter(retry_after.unwrap_or(SHORTEST_WAIT));
                code.and_then(|code| by_code(code, wait)).unwrap_or_else(|| by_status(*status, wait))
            }
        }
    }

    /// Whether the same call may succeed later without anybody doing anything.
    pub fn is_retryable(&self) -> bool {
        matches!(self.next_step(), NextStep::Retry | NextStep::RetryAfter(_))
    }
}

/// What a code of the protocol's section 1 asks for; other codes say no more than their status.
fn by_code(code: ErrorCode, wait: NextStep) -> Option<NextStep> {
    use ErrorCode::*;
    Some(match code {
        RequestReplayed | AuthApiUnreachable | InternalError => NextStep::Retry,
        RateLimited | StorageUnavailable => wait,
        PushNotDelivered | AlreadyDecided => NextStep::Watch,
        PairingNotFound | NoDevice => NextStep::PairDevice,
        InvalidTotp | Forbidden => NextStep::AskUser,
        NotFound | Gone | PairingProofUsed => NextStep::StartOver,
        MalformedRequest | MethodNotAllowed | BodyTooLarge | ValidationFailed | IdempotencyConflict => {
            NextStep::FixCall
        }
        InvalidSignature | TimestampOutOfWindow | TenantSuspended | OriginNotAllowed | PasskeysDisabled
        | QrLoginDisabled => NextStep::AskOperator,
        _ => return None,
    })
}

/// For codes that this version does not know.
fn by_status(status: u16, wait: NextStep) -> NextStep {
    match status {
        429 | 503 => wait,
        500.. => NextStep::Retry,
        // A path that is not there is a relay of another version, or another server.
        ..=399 | 401 | 403 | 404 => NextStep::AskOperator,
        410 => NextStep::StartOver,
        _ => NextStep::FixCall,
    }
}
