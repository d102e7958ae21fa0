//! One-time codes (RFC 6238) from the seed that a relay hands over when a device registers (PROTOCOL 4).

use std::fmt;
use std::time::Duration;

use bloonio_wire::clock::Timestamp;
use bloonio_wire::secret::Secret;
use totp_rs::Totp;

/// The address holds no seed that codes can be made from. Its content stays out of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a seed for one-time codes cannot be read")]
pub struct SeedError;

/// A code works once, and this device has used all that pass at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the current one-time code was used; wait {} s for the next one", .wait.as_secs())]
pub struct AllUsed {
    /// Until the next one passes, in whole seconds.
    pub wait: Duration,
}

/// A code, and when it is good for.
#[derive(Debug, Clone)]
pub struct OneTimeCode {
    /// The digits.
    pub code: Secret,
    /// The number of its step since 1970. Of two codes the later one has the greater step.
    pub step: u64,
    /// Whole seconds until the next code is shown, at least one.
    pub seconds_left: u64,
}

/// Makes the codes of one seed.
pub struct CodeMaker(Totp);

impl fmt::Debug for CodeMaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeMaker(redacted)")
    }
}

impl CodeMaker {
    /// Reads `otpauth://totp/…?secret=…`.
    ///
    /// # Errors
    /// [`SeedError`] for anything else, and for seeds and settings that RFC 6238 does not allow.
    pub fn from_otpauth_uri(uri: &Secret) -> Result<Self, SeedError> {
        Totp::from_url(uri.expose()).map(Self).map_err(|_| SeedError)
    }

    /// The code of a moment.
    pub fn code_at(&self, now: Timestamp) -> OneTimeCode {
        let seconds = u64::try_from(now.as_secs()).unwrap_or(0);
        let code = Secret::new(self.0.generate(seconds).to_string());
        OneTimeCode { code, step: seconds / self.0.step(), seconds_left: self.0.next_step(seconds) - seconds }
    }

    /// A code that passes now and was not used before: the current one, or the next one, since relays take one step either
    /// side. `last_step` is the step of the code that was used last.
    ///
    /// # Errors
    /// [`AllUsed`].
    pub fn unused_code(&self, now: Timestamp, last_step: Option<u64>) -> Result<OneTimeCode, AllUsed> {
        let fresh = |code: &OneTimeCode| last_step.is_none_or(|last| last < code.step);
        let current = self.code_at(now);
        if fresh(&current) {
            return Ok(current);
        }
        let wait = Duration::from_secs(current.seconds_left);
        let next = self.code_at(now.plus(wait));
        if fresh(&next) { Ok(next) } else { Err(AllUsed { wait }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// The seed of RFC 6238, appendix B.
    const URI: &str = "otpauth://totp/Bank:Jane?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Bank";

    fn maker() -> CodeMaker {
        CodeMaker::from_otpauth_uri(&Secret::new(URI)).unwrap()
    }

    #[rstest]
    #[case(59, "287082", 1, 1)]
    #[case(60, "359152", 2, 30)]
    #[case(1_111_111_109, "081804", 37_037_036, 1)]
    #[case(20_000_000_000, "353130", 666_666_666, 10)]
    fn codes_are_those_of_rfc_6238(#[case] at: i64, #[case] known: &str, #[case] step: u64, #[case] left: u64) {
        let code = maker().code_at(Timestamp::from_secs(at));
        assert_eq!((code.code.expose(), code.step, code.seconds_left), (known, step, left));
    }

    #[rstest]
    #[case::none_used(None, Ok(2))]
    #[case::an_earlier_one_used(Some(1), Ok(2))]
    #[case::the_current_one_used(Some(2), Ok(3))]
    #[case::the_next_one_used(Some(3), Err(17))]
    #[case::a_much_later_one_used(Some(9), Err(17))]
    fn a83_a_code_is_never_given_twice(#[case] last: Option<u64>, #[case] expected: Result<u64, u64>) {
        let given = maker().unused_code(Timestamp::from_secs(73), last);
        assert_eq!(given.map(|code| code.step).map_err(|used| used.wait.as_secs()), expected);
    }

    #[rstest]
    #[case("")]
    #[case("https://bank.example/?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")]
    #[case("otpauth://hotp/Bank:Jane?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&counter=1")]
    #[case("otpauth://totp/Bank:Jane")]
    #[case("otpauth://totp/Bank:Jane?secret=GEZDGNBV")]
    #[case("otpauth://totp/Bank:Jane?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&period=0")]
    #[case("otpauth://totp/Bank:Jane?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&digits=12")]
    fn what_is_no_seed_is_refused(#[case] uri: &str) {
        assert_eq!(CodeMaker::from_otpauth_uri(&Secret::new(uri)).unwrap_err(), SeedError);
    }

    #[test]
    fn debug_shows_neither_seed_nor_code() {
        let text = format!("{:?} {:?}", maker(), maker().code_at(Timestamp::from_secs(59)));
        assert!(!text.contains("GEZD") && !text.contains("287082"), "{text}");
    }
}
