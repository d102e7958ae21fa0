//! Identifiers, parsed once where they enter and trusted afterwards.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::random::{Random, RandomError, hex_token};

/// A text that is not an identifier of the asked kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{rule}")]
pub struct IdError {
    /// The rule that was broken, fit for a `details` entry.
    pub rule: &'static str,
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn is_word(text: &str, min: usize, max: usize) -> bool {
    (min..=max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $rule:literal, $pattern:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, pattern = $pattern))]
        pub struct $name(String);

        impl $name {
            /// The rule as a regular expression, for documents; [`parse`](Self::parse) is what decides.
            pub const PATTERN: &'static str = $pattern;
        }

        impl $name {
            /// Takes `text` if it is well formed.
            ///
            /// # Errors
            /// [`IdError`] naming the rule that `text` breaks.
            pub fn parse(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                let check: fn(&str) -> bool = $check;
                if check(&text) { Ok(Self(text)) } else { Err(IdError { rule: $rule }) }
            }

            /// The identifier as it travels.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }
    };
}

id!(
    /// A tenant, that is a backend known to the relay (PROTOCOL 3).
    TenantId,
    "must be tnt_ and 32 lower-case hex digits",
    "^tnt_[0-9a-f]{32}$",
    |t| t.strip_prefix("tnt_").is_some_and(|rest| is_hex(rest, 32))
);
id!(
    /// A tenant's stable, opaque handle of one of its users (PROTOCOL 4).
    UserSocketHash,
    "must be 8 to 128 characters of A-Z, a-z, 0-9, _ and -",
    "^[A-Za-z0-9_-]{8,128}$",
    |t| is_word(t, 8, 128)
);
id!(
    /// One approval, named by the tenant (PROTOCOL 5).
    InstructionId,
    "must be 8 to 64 characters of A-Z, a-z, 0-9, _ and -",
    "^[A-Za-z0-9_-]{8,64}$",
    |t| is_word(t, 8, 64)
);
id!(
    /// A pairing of a user with a tenant, as other tenants' code sees it (PROTOCOL 4).
    RelayUserLinkedId,
    "must be 24 lower-case hex digits",
    "^[0-9a-f]{24}$",
    |t| is_hex(t, 24)
);
id!(
    /// One device of a pairing.
    DeviceId,
    "must be 24 lower-case hex digits",
    "^[0-9a-f]{24}$",
    |t| is_hex(t, 24)
);

id!(
    /// A dispatched event: what validators vote on (PROTOCOL 6).
    EventId,
    "must be 24 lower-case hex digits",
    "^[0-9a-f]{24}$",
    |t| is_hex(t, 24)
);
id!(
    /// A group of validators (PROTOCOL 3).
    RelayGroupLinkedId,
    "must be 24 lower-case hex digits",
    "^[0-9a-f]{24}$",
    |t| is_hex(t, 24)
);
id!(
    /// A group's name that people may pass on (PROTOCOL 6).
    GroupPublicId,
    "must be bgr- and 1 to 60 characters of A-Z, a-z, 0-9, _ and -",
    "^bgr-[A-Za-z0-9_-]{1,60}$",
    |t| t.strip_prefix("bgr-").is_some_and(|rest| is_word(rest, 1, 60))
);
id!(
    /// A paired user's name that people may pass on (PROTOCOL 6).
    UserPublicId,
    "must be bth- and 1 to 60 characters of A-Z, a-z, 0-9, _ and -",
    "^bth-[A-Za-z0-9_-]{1,60}$",
    |t| t.strip_prefix("bth-").is_some_and(|rest| is_word(rest, 1, 60))
);
id!(
    /// A QR login under way (PROTOCOL 7). It names the login; the poll token is what fetches its outcome.
    QrSessionId,
    "must be 10 to 64 characters of A-Z, a-z, 0-9, _ and -",
    "^[A-Za-z0-9_-]{10,64}$",
    |t| is_word(t, 10, 64)
);

macro_rules! drawn {
    ($name:ident, $bytes:literal, $prefix:literal) => {
        impl $name {
            /// Draws a fresh identifier.
            ///
            /// # Errors
            /// [`RandomError`] when the source fails.
            pub fn draw(random: &dyn Random) -> Result<Self, RandomError> {
                Ok(Self(format!(concat!($prefix, "{}"), hex_token::<$bytes>(random)?)))
            }
        }
    };
}

drawn!(TenantId, 16, "tnt_");
// 160 bits: SECURITY asks for 128 or more.
drawn!(InstructionId, 20, "");
drawn!(RelayUserLinkedId, 12, "");
drawn!(DeviceId, 12, "");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;
    use rstest::rstest;

    #[rstest]
    #[case("tnt_0123456789abcdef0123456789abcdef", true)]
    #[case("tnt_0123456789ABCDEF0123456789abcdef", false)]
    #[case("tnt_0123456789abcdef0123456789abcde", false)]
    #[case("0123456789abcdef0123456789abcdef0123", false)]
    #[case("", false)]
    fn tenant_ids_have_one_form(#[case] text: &str, #[case] good: bool) {
        assert_eq!(TenantId::parse(text).is_ok(), good);
    }

    #[rstest]
    #[case("1234567", false)]
    #[case("12345678", true)]
    #[case("a-b_C-09", true)]
    #[case("a b_C-09", false)]
    #[case("ünicode-x", false)]
    #[case("12345678\n", false)]
    fn instruction_ids_are_words_of_8_to_64(#[case] text: &str, #[case] good: bool) {
        assert_eq!(InstructionId::parse(text).is_ok(), good);
        assert!(InstructionId::parse("x".repeat(64)).is_ok());
        assert!(InstructionId::parse("x".repeat(65)).is_err());
    }

    #[test]
    fn drawn_ids_parse() {
        assert!(TenantId::parse(TenantId::draw(&SystemRandom).unwrap().as_str()).is_ok());
        assert!(InstructionId::parse(InstructionId::draw(&SystemRandom).unwrap().as_str()).is_ok());
        assert!(RelayUserLinkedId::parse(RelayUserLinkedId::draw(&SystemRandom).unwrap().as_str()).is_ok());
    }
}
