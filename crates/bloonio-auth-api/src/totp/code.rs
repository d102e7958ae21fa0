//! Seeds and codes: RFC 6238 with SHA-1, 6 digits, steps of 30 s, one step either side (PROTOCOL 6).

use std::fmt;
use std::str::FromStr;

use bloonio_wire::clock::Timestamp;
use bloonio_wire::random::{Random, RandomError};
use bloonio_wire::secret::Secret;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use totp_rs::{Algorithm, Builder, Totp};
use zeroize::Zeroizing;

/// Bytes of a seed: as long as the output of its HMAC (RFC 4226, section 4: 160 bits recommended).
pub const SEED_BYTES: usize = 20;
/// Digits of a code.
pub const DIGITS: usize = 6;
/// Seconds that a code is shown.
pub const STEP_SECONDS: i64 = 30;
/// Steps either side of the current one that pass (RFC 6238, section 5.2: one at most).
const SKEW: i64 = 1;

/// A text that is not a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be {DIGITS} digits")]
pub struct NotACode;

/// A code as somebody has typed it: six ASCII digits.
#[derive(Clone)]
pub struct Code([u8; DIGITS]);

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(redacted)")
    }
}

impl FromStr for Code {
    type Err = NotACode;

    /// Reads six digits and nothing else.
    fn from_str(text: &str) -> Result<Self, NotACode> {
        let digits: [u8; DIGITS] = text.as_bytes().try_into().map_err(|_| NotACode)?;
        if digits.iter().all(u8::is_ascii_digit) { Ok(Self(digits)) } else { Err(NotACode) }
    }
}

/// A number of steps since 1970 (RFC 6238, "T").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step(i64);

impl Step {
    /// The step of an instant.
    pub fn at(now: Timestamp) -> Self {
        Self(now.as_secs().div_euclid(STEP_SECONDS))
    }

    /// The number.
    pub fn number(self) -> i64 {
        self.0
    }

    /// The step that comes `by` steps later.
    fn plus(self, by: i64) -> Self {
        Self(self.0.saturating_add(by))
    }

    /// The step's first second, which cannot lie before 1970.
    fn first_second(self) -> u64 {
        u64::try_from(self.0.saturating_mul(STEP_SECONDS)).unwrap_or(0)
    }
}

/// What all codes of a pairing are made from.
#[derive(Clone)]
pub struct Seed(Zeroizing<[u8; SEED_BYTES]>);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(redacted)")
    }
}

/// Why a seed has no address: the algorithm's library does not take it.
#[derive(Debug, thiserror::Error)]
#[error("an otpauth address cannot be made")]
pub struct AddressError(#[source] totp_rs::TotpError);

impl Seed {
    /// Draws a fresh seed.
    ///
    /// # Errors
    /// [`RandomError`] when the source fails.
    pub fn draw(random: &dyn Random) -> Result<Self, RandomError> {
        let mut bytes = Zeroizing::new([0u8; SEED_BYTES]);
        random.fill(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    /// The seed of these bytes, if they are as many as a seed has.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(bytes.try_into().ok()?)))
    }

    /// The bytes, to be sealed.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    fn settings(&self) -> Builder {
        // Skew is not the library's business here: `matching` looks at every step itself.
        let settings = Builder::new().with_algorithm(Algorithm::SHA1).with_digits(6).with_skew(0);
        settings.with_step_duration(STEP_SECONDS.unsigned_abs()).with_secret(self.0.to_vec())
    }

    fn totp(&self) -> Totp {
        self.settings().build_noncompliant()
    }

    /// The step whose code this is, among those that pass at `now`; the latest, should several have the same code. All of
    /// them are looked at, whichever fits, and each in constant time (ATTACKS A101).
    pub fn matching(&self, code: &Code, now: Timestamp) -> Option<Step> {
        let (totp, current) = (self.totp(), Step::at(now));
        let mut found = -1;
        let mut any = Choice::from(0);
        for by in -SKEW..=SKEW {
            let step = current.plus(by);
            let expected = Zeroizing::new(totp.generate(step.first_second()).to_string());
            let same = expected.as_bytes().ct_eq(&code.0);
            found = i64::conditional_select(&found, &step.0, same);
            any |= same;
        }
        bool::from(any).then_some(Step(found))
    }

    /// The address by which an authenticator takes the seed over: `otpauth://totp/ISSUER:ACCOUNT?secret=…`. It holds the
    /// seed itself.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn otpauth_uri(&self, issuer: &str, account: &str) -> Result<Secret, AddressError> {
        // The colon is what parts the two names; the format knows no way to write one inside of them.
        let plain = |name: &str| name.replace(':', " ");
        let settings = self.settings().with_issuer(Some(plain(issuer))).with_account_name(plain(account));
        let totp = settings.build().map_err(AddressError)?;
        totp.to_url().map(Secret::new).map_err(AddressError)
    }
}

#[cfg(test)]
mod tests;
