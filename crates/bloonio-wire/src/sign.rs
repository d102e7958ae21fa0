//! HMAC #1, the signature of every tenant call and every callback (PROTOCOL 2.1).
//!
//! `hex(HMAC-SHA256(secret, "{timestamp_ms}.{sha256_hex(raw body)}"))`

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::secret::Secret;

/// How far a signed timestamp may lie from the verifier's clock, either way; exactly this far is still accepted.
pub const WINDOW_MS: i64 = 30_000;

pub(crate) type HmacSha256 = Hmac<Sha256>;

/// Why a signature was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A header is missing, given twice, or not of its form.
    #[error("the signature headers are missing or malformed")]
    Malformed,
    /// The timestamp lies more than 30 s from the verifier's clock.
    #[error("the timestamp is outside the window of 30 seconds")]
    OutOfWindow,
    /// The signature does not belong to these bytes and this secret.
    #[error("the signature does not match")]
    Mismatch,
}

/// A decoded HMAC #1 tag. Its 32 bytes are also the replay key (SECURITY, "Signatures and replay").
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature([u8; 32]);

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signature(redacted)")
    }
}

impl Signature {
    /// Reads exactly 64 lower-case hex digits.
    ///
    /// # Errors
    /// [`SignatureError::Malformed`] for anything else.
    pub fn from_hex(text: &str) -> Result<Self, SignatureError> {
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 64 || !text.bytes().all(lower_hex) {
            return Err(SignatureError::Malformed);
        }
        let mut tag = [0u8; 32];
        hex::decode_to_slice(text, &mut tag).map_err(|_| SignatureError::Malformed)?;
        Ok(Self(tag))
    }

    /// The tag as 64 lower-case hex digits.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// The tag's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

fn mac_over(secret: &Secret, timestamp_ms: i64, body: &[u8]) -> HmacSha256 {
    // HMAC takes keys of any length, so this cannot fail; the empty key is the fallback the type system asks for.
    let mut mac =
        HmacSha256::new_from_slice(secret.as_bytes()).unwrap_or_else(|_| HmacSha256::new(&Default::default()));
    mac.update(timestamp_ms.to_string().as_bytes());
    mac.update(b".");
    mac.update(hex::encode(Sha256::digest(body)).as_bytes());
    mac
}

/// Signs `body` as of `at`.
///
/// ```
/// use bloonio_wire::{clock::Timestamp, secret::Secret, sign};
/// let secret = Secret::new("sk_0000000000000000000000000000000000000000000000000000000000000000");
/// let tag = sign::sign(&secret, Timestamp::from_millis(1_718_966_400_000), b"");
/// assert_eq!(tag.to_hex(), "d5e93dcefd57dcb42a2a9a384a94db5263951f7fcd77aa8041d0a0a6caa5ff28");
/// ```
pub fn sign(secret: &Secret, at: Timestamp, body: &[u8]) -> Signature {
    Signature(mac_over(secret, at.as_millis(), body).finalize().into_bytes().into())
}

/// Verifies `signature` over the raw bytes received, in constant time. Says nothing about the window.
///
/// # Errors
/// [`SignatureError::Mismatch`].
pub fn verify(secret: &Secret, timestamp_ms: i64, body: &[u8], signature: &Signature) -> Result<(), SignatureError> {
    mac_over(secret, timestamp_ms, body).verify_slice(&signature.0).map_err(|_| SignatureError::Mismatch)
}

/// Reads `X-Bloonio-Timestamp`: decimal Unix milliseconds without sign, blanks or leading zeros.
///
/// # Errors
/// [`SignatureError::Malformed`].
pub fn parse_timestamp(text: &str) -> Result<i64, SignatureError> {
    let canonical =
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if !canonical {
        return Err(SignatureError::Malformed);
    }
    text.parse().map_err(|_| SignatureError::Malformed)
}

/// Whether `timestamp_ms` lies within [`WINDOW_MS`] of `now`.
///
/// # Errors
/// [`SignatureError::OutOfWindow`].
pub fn check_window(timestamp_ms: i64, now: Timestamp) -> Result<(), SignatureError> {
    let distance = timestamp_ms.checked_sub(now.as_millis()).map(i64::saturating_abs);
    match distance {
        Some(distance) if distance <= WINDOW_MS => Ok(()),
        _ => Err(SignatureError::OutOfWindow),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    const NOW: i64 = 1_718_966_400_000;

    #[rstest]
    #[case(0, true)]
    #[case(30_000, true)]
    #[case(-30_000, true)]
    #[case(30_001, false)]
    #[case(-30_001, false)]
    #[case(i64::MAX - NOW, false)]
    fn a95_the_window_is_thirty_seconds_either_way(#[case] offset: i64, #[case] good: bool) {
        assert_eq!(check_window(NOW + offset, Timestamp::from_millis(NOW)).is_ok(), good);
    }

    #[rstest]
    #[case("1718966400000", Ok(1_718_966_400_000))]
    #[case("", Err(SignatureError::Malformed))]
    #[case("+1", Err(SignatureError::Malformed))]
    #[case("-1", Err(SignatureError::Malformed))]
    #[case(" 1", Err(SignatureError::Malformed))]
    #[case("01", Err(SignatureError::Malformed))]
    #[case("1e3", Err(SignatureError::Malformed))]
    #[case("99999999999999999999", Err(SignatureError::Malformed))]
    fn timestamps_are_plain_decimals(#[case] text: &str, #[case] want: Result<i64, SignatureError>) {
        assert_eq!(parse_timestamp(text), want);
    }

    #[test]
    fn signatures_are_64_lower_case_hex_digits() {
        let good = "d5e93dcefd57dcb42a2a9a384a94db5263951f7fcd77aa8041d0a0a6caa5ff28";
        assert!(Signature::from_hex(good).is_ok());
        assert!(Signature::from_hex(&good.to_uppercase()).is_err());
        assert!(Signature::from_hex(&good[..63]).is_err());
        assert!(Signature::from_hex(&format!("{good}0")).is_err());
        assert!(Signature::from_hex(&good.replace('d', "g")).is_err());
    }

    proptest! {
        #[test]
        fn a101_any_single_bit_flip_is_refused(body in proptest::collection::vec(any::<u8>(), 0..200), bit in 0usize..256, at in 0i64..4_000_000_000_000) {
            let secret = Secret::new("sk_test");
            let tag = sign(&secret, Timestamp::from_millis(at), &body);
            prop_assert!(verify(&secret, at, &body, &tag).is_ok());
            let mut forged = tag;
            forged.0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(verify(&secret, at, &body, &forged).is_err());
            prop_assert!(verify(&secret, at + 1, &body, &tag).is_err());
            prop_assert!(verify(&Secret::new("sk_tesu"), at, &body, &tag).is_err());
            let mut longer = body.clone();
            longer.push(0);
            prop_assert!(verify(&secret, at, &longer, &tag).is_err());
        }
    }
}
