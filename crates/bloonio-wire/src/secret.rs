//! Secrets with a type: redacted in `Debug`, wiped on drop, never serialised by accident.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serializer};
use subtle::ConstantTimeEq;

use crate::random::{Random, RandomError, hex_token};

/// A secret text: a tenant secret, an admin key, a bearer token.
///
/// It has no `Serialize`: code that must show it once calls [`Secret::expose`], which is easy to find in a review.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes a secret as it is written.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// Draws a fresh tenant secret: `sk_` and 64 hex digits (PROTOCOL 3).
    ///
    /// # Errors
    /// [`RandomError`] when the source fails.
    pub fn draw_tenant_secret(random: &dyn Random) -> Result<Self, RandomError> {
        Ok(Self::new(format!("sk_{}", hex_token::<32>(random)?)))
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The secret's bytes: the key of every HMAC (PROTOCOL 2.1: "tenant_secret bytes as shown").
    pub fn as_bytes(&self) -> &[u8] {
        self.expose().as_bytes()
    }

    /// Whether `other` is the same secret, compared as digests so that the time tells nothing of content or length.
    pub fn matches(&self, other: &str) -> bool {
        same_digest(self.expose(), other)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl std::str::FromStr for Secret {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(text))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Writes a secret into the one message whose purpose is to hand it over; for `#[serde(serialize_with)]`, so that a field
/// that does it says so.
///
/// # Errors
/// Those of the serializer.
pub fn hand_over<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

/// Implements `Debug` so that it shows the named fields and no others: a field that is added later is hidden until somebody
/// decides that it may be seen.
macro_rules! debug_shows {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name))$(.field(stringify!($field), &self.$field))*.finish_non_exhaustive()
            }
        }
    };
}
pub(crate) use debug_shows;

/// Compares two texts through their SHA-256 digests in constant time.
pub fn same_digest(a: &str, b: &str) -> bool {
    use sha2::Digest;
    let (a, b) = (sha2::Sha256::digest(a.as_bytes()), sha2::Sha256::digest(b.as_bytes()));
    a.as_slice().ct_eq(b.as_slice()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("sk_hush")), "Secret(redacted)");
    }

    #[test]
    fn a101_secrets_compare_by_digest() {
        let secret = Secret::new("sk_hush");
        assert!(secret.matches("sk_hush"));
        for wrong in ["", "sk_hus", "sk_hush ", "SK_HUSH"] {
            assert!(!secret.matches(wrong), "{wrong}");
        }
    }
}
