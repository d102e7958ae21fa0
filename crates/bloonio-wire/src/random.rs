//! Randomness as an input: everything that draws takes a [`Random`].

use std::fmt;
use std::sync::Mutex;

use zeroize::Zeroizing;

/// The system has no randomness to give; nothing may be issued without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system's random source failed")]
pub struct RandomError;

/// A source of cryptographically strong random bytes.
pub trait Random: Send + Sync + fmt::Debug {
    /// Fills `buffer` with random bytes.
    ///
    /// # Errors
    /// [`RandomError`] when the source fails.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError>;
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[allow(clippy::disallowed_methods, reason = "the one place that draws from the system")]
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError> {
        getrandom::fill(buffer).map_err(|_| RandomError)
    }
}

/// A repeatable source for tests: a counter, hashed. Never for production.
#[derive(Debug)]
pub struct SeededRandom(Mutex<u64>);

impl SeededRandom {
    /// A source whose output depends on `seed` alone.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Random for SeededRandom {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError> {
        use sha2::Digest;
        let mut counter = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for chunk in buffer.chunks_mut(32) {
            *counter = counter.wrapping_add(1);
            let block = sha2::Sha256::digest(counter.to_be_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        Ok(())
    }
}

/// `N` random bytes as lower-case hex, for identifiers that must not be guessed.
///
/// # Errors
/// [`RandomError`] when the source fails.
pub fn hex_token<const N: usize>(random: &dyn Random) -> Result<String, RandomError> {
    let mut bytes = Zeroizing::new([0u8; N]);
    random.fill(bytes.as_mut_slice())?;
    Ok(hex::encode(bytes.as_slice()))
}

/// A number drawn uniformly from `low..=high`, without modulo bias.
///
/// # Errors
/// [`RandomError`] when the source fails.
pub fn uniform(random: &dyn Random, low: u32, high: u32) -> Result<u32, RandomError> {
    let span = u64::from(high.saturating_sub(low)) + 1;
    let limit = (u64::from(u32::MAX) + 1) / span * span;
    loop {
        let mut bytes = [0u8; 4];
        random.fill(&mut bytes)?;
        let drawn = u64::from(u32::from_be_bytes(bytes));
        if drawn < limit {
            return Ok(low + u32::try_from(drawn % span).unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_reaches_both_ends_and_nothing_else() {
        let random = SeededRandom::new(1);
        let drawn: std::collections::BTreeSet<u32> = (0..5_000).map(|_| uniform(&random, 10, 99).unwrap()).collect();
        assert_eq!(drawn.len(), 90);
        assert_eq!((drawn.first(), drawn.last()), (Some(&10), Some(&99)));
    }

    #[test]
    fn system_tokens_differ() {
        let a = hex_token::<16>(&SystemRandom).unwrap();
        assert_eq!(a.len(), 32);
        assert_ne!(a, hex_token::<16>(&SystemRandom).unwrap());
    }
}
