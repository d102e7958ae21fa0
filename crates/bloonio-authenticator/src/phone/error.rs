//! Everything that can end a command.

use bloonio_authenticator::answer::ForeignPrompt;
use bloonio_authenticator::error::{Advice, ClientError, SetupError};
use bloonio_authenticator::text::visible;
use bloonio_authenticator::totp::{AllUsed, SeedError};
use bloonio_wire::envelope::FieldProblem;
use bloonio_wire::random::RandomError;

use crate::state::StateError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum PhoneError {
    /// The call makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The relay refused or was not reached.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The phone's memory.
    #[error(transparent)]
    State(#[from] StateError),
    /// No pairing, or none with that tenant.
    #[error("this phone is not paired{0}")]
    NotPaired(&'static str),
    /// Two tenants may use the same id: guessing would approve one's prompt for the other.
    #[error("several tenants have a prompt of this id; name one with --tenant")]
    Ambiguous,
    /// As [`PhoneError::Ambiguous`], but not known for sure.
    #[error("not every relay could say whether the prompt is its own ({0}); name the tenant with --tenant")]
    Unsure(#[source] ClientError),
    /// The relay mixes tenants up.
    #[error(transparent)]
    Foreign(#[from] ForeignPrompt),
    /// Codes are another device's to make.
    #[error("this phone has no seed for one-time codes")]
    NoSeed,
    /// The seed in the memory is none.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// No code is left for the moment.
    #[error(transparent)]
    CodesUsed(#[from] AllUsed),
    /// No key without randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The certificate file.
    #[error("the certificate file cannot be read: {0}")]
    CertificateFile(#[source] std::io::Error),
    /// Standard output is closed, or standard input cannot be read.
    #[error("cannot read or write: {0}")]
    Io(#[from] std::io::Error),
}

impl From<SetupError> for PhoneError {
    fn from(error: SetupError) -> Self {
        Self::Client(error.into())
    }
}

impl PhoneError {
    /// 2 for what cannot be understood, 1 for the rest.
    pub fn exit_code(&self) -> u8 {
        if matches!(self, Self::Usage(_)) { 2 } else { 1 }
    }

    /// The stable code: the relay's own, or one of this program.
    pub fn code(&self) -> &str {
        match self {
            Self::Client(ClientError::Refused(refusal)) => &refusal.code,
            Self::Client(ClientError::Network(_) | ClientError::Silent) => "RELAY_UNREACHABLE",
            Self::Client(ClientError::Unreadable { .. } | ClientError::TooLarge { .. }) => "RELAY_UNREADABLE",
            Self::Client(ClientError::Session(_)) | Self::NotPaired(_) => "NOT_PAIRED",
            Self::Client(_) | Self::CertificateFile(_) => "BAD_CONFIGURATION",
            Self::Usage(_) => "USAGE",
            Self::State(_) | Self::Seed(_) => "STATE_UNUSABLE",
            Self::NoSeed => "NO_TOTP_SEED",
            Self::CodesUsed(_) => "TOTP_CODE_USED",
            Self::Ambiguous | Self::Unsure(_) => "AMBIGUOUS_PROMPT",
            Self::Foreign(_) => "FOREIGN_PROMPT",
            Self::Random(_) => "NO_RANDOMNESS",
            Self::Io(_) => "INPUT_OUTPUT",
        }
    }

    /// HTTP status; 0 where no relay answered.
    pub fn status(&self) -> u16 {
        match self {
            Self::Client(error) => error.status().unwrap_or(0),
            _ => 0,
        }
    }

    /// One sentence: the relay's own, or this program's.
    pub fn message(&self) -> String {
        match self {
            Self::Client(ClientError::Refused(refusal)) => refusal.message.clone(),
            _ => self.to_string(),
        }
    }

    /// All broken rules, where the relay named them.
    pub fn details(&self) -> &[FieldProblem] {
        match self {
            Self::Client(ClientError::Refused(refusal)) => &refusal.details,
            _ => &[],
        }
    }

    /// For people, on several lines: what happened, and what to do about it.
    pub fn explain(&self) -> String {
        let mut lines = vec![visible(&self.to_string())];
        lines.extend(self.details().iter().map(|d| format!("  {}: {}", visible(&d.field), visible(&d.problem))));
        if let Self::Client(error) = self {
            lines.extend(hint(error.advice()).map(str::to_owned));
        }
        if matches!(self, Self::NoSeed) {
            lines.push(
                "Give the code of the device that has it with --totp, or revoke the pairing and pair anew.".to_owned(),
            );
        }
        lines.join("\n")
    }
}

fn hint(advice: Advice) -> Option<&'static str> {
    match advice {
        Advice::Retry(_) => Some("Try again in a moment."),
        Advice::PairAgain => Some("Ask for a new pairing code and pair again."),
        Advice::AwaitConfirmation => Some("Confirm this device on a device of yours that is paired already."),
        Advice::Settled => Some("See what is open: bloonio-phone list"),
        _ => None,
    }
}
