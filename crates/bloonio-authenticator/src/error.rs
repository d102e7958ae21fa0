//! What can go wrong between a device and its relay, and what to do then.

use std::time::Duration;

use bloonio_wire::envelope::FieldProblem;

/// Why a call to the relay did not give what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The client cannot be used as configured.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// No answer: name not found, connection refused, timeout, broken off.
    #[error("the relay cannot be reached: {0}")]
    Network(#[source] reqwest::Error),
    /// Connected, but nothing came for too long.
    #[error("the relay does not answer")]
    Silent,
    /// The relay said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Something answered, but not as a relay does: a proxy, another service, or a relay of another version.
    #[error("the answer (HTTP {status}) is not a relay's")]
    Unreadable {
        /// Its HTTP status.
        status: u16,
    },
    /// The answer is larger than any answer of the protocol.
    #[error("the answer is larger than {limit} bytes")]
    TooLarge {
        /// What is read at most.
        limit: usize,
    },
    /// There is no session token to show.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// Proofs and session tokens must not travel in the clear.
    #[error("the relay's address must be https, or http to this machine: {0}")]
    InsecureAddress(String),
    /// Not an address to append paths to.
    #[error("not a relay's address: {0}")]
    BadAddress(String),
    /// The additional trust root is not PEM.
    #[error("the additional certificate is not PEM")]
    BadCertificate(#[source] reqwest::Error),
    /// TLS could not be set up, such as without any certificate on the machine.
    #[error("the HTTP client cannot be made: {0}")]
    NoClient(#[source] reqwest::Error),
}

/// The session token is not there (any more).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no session: {0}")]
pub struct SessionError(pub String);

/// A relay's refusal (PROTOCOL 1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// The stable code. A text, since a newer relay may have codes that this version does not know.
    pub code: String,
    /// For people.
    pub message: String,
    /// All broken rules, for `VALIDATION_FAILED`.
    pub details: Vec<FieldProblem>,
    /// `Retry-After`, where it was given in seconds.
    pub retry_after: Option<Duration>,
}

/// What a device does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// Try again, later each time, and not before this has passed.
    Retry(Duration),
    /// This device is no longer paired: pair it again.
    PairAgain,
    /// An existing device of the same person must confirm this one first.
    AwaitConfirmation,
    /// The matter is settled: answered, expired, withdrawn or never there. Fetch the list again.
    Settled,
    /// Asking the same again will not help: correct the request or the configuration.
    Correct,
}

impl ClientError {
    /// What to do about it.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Network(_) | Self::Silent => Advice::Retry(Duration::ZERO),
            Self::Refused(refusal) => refusal.advice(),
            Self::Unreadable { status } if *status >= 500 => Advice::Retry(Duration::ZERO),
            Self::Session(_) => Advice::PairAgain,
            Self::Unreadable { .. } | Self::Setup(_) | Self::TooLarge { .. } => Advice::Correct,
        }
    }

    /// Whether the relay may have done what it was asked to, though its answer is not known.
    pub fn may_have_arrived(&self) -> bool {
        match self {
            Self::Network(error) => !error.is_connect(),
            Self::Unreadable { status } => *status >= 500,
            Self::Silent => true,
            _ => false,
        }
    }

    /// HTTP status, if something answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            Self::Unreadable { status } => Some(*status),
            _ => None,
        }
    }
}

impl Refusal {
    /// What to do about it.
    pub fn advice(&self) -> Advice {
        match (self.status, self.code.as_str()) {
            (_, "DEVICE_NOT_CONFIRMED") => Advice::AwaitConfirmation,
            (_, "INVALID_DEVICE_TOKEN") => Advice::PairAgain,
            (_, "PAIRING_PROOF_USED") => Advice::PairAgain,
            // Held, not deleted: the operator may reactivate the tenant (PROTOCOL 3).
            (_, "TENANT_SUSPENDED") => Advice::Retry(self.retry_after.unwrap_or(Duration::from_secs(60))),
            (429 | 500.., _) => Advice::Retry(self.retry_after.unwrap_or_default()),
            (404 | 409 | 410, _) => Advice::Settled,
            _ => Advice::Correct,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(401, "INVALID_DEVICE_TOKEN", Advice::PairAgain)]
    #[case(403, "DEVICE_NOT_CONFIRMED", Advice::AwaitConfirmation)]
    #[case(409, "PAIRING_PROOF_USED", Advice::PairAgain)]
    #[case(409, "ALREADY_DECIDED", Advice::Settled)]
    #[case(404, "NOT_FOUND", Advice::Settled)]
    #[case(410, "GONE", Advice::Settled)]
    #[case(422, "VALIDATION_FAILED", Advice::Correct)]
    #[case(401, "INVALID_TOTP", Advice::Correct)]
    #[case(429, "RATE_LIMITED", Advice::Retry(Duration::from_secs(7)))]
    #[case(503, "STORAGE_UNAVAILABLE", Advice::Retry(Duration::from_secs(7)))]
    #[case(418, "SOMETHING_NEW", Advice::Correct)]
    fn every_refusal_says_what_to_do(#[case] status: u16, #[case] code: &str, #[case] advice: Advice) {
        let retry_after = Some(Duration::from_secs(7));
        let refusal = Refusal { status, code: code.into(), message: String::new(), details: Vec::new(), retry_after };
        assert_eq!(refusal.advice(), advice);
    }
}
