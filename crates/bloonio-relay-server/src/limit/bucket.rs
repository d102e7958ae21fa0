//! A token bucket in whole numbers: full at first, refilled evenly, never above its capacity (PROTOCOL 3).

use bloonio_wire::clock::Timestamp;

/// Units of a token. With a minute's milliseconds, a bucket of N tokens a minute gains N units a millisecond, exactly.
const TOKEN: i64 = 60_000;

/// One bucket. Its rate is given at each use, because an operator may change it at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    per_min: i64,
    units: i64,
    at: Timestamp,
}

impl Bucket {
    /// A full bucket of `per_min` tokens.
    pub fn full(per_min: u32, now: Timestamp) -> Self {
        let per_min = i64::from(per_min.max(1));
        Self { per_min, units: per_min * TOKEN, at: now }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// Milliseconds to the next token.
    pub fn take(&mut self, per_min: u32, now: Timestamp) -> Result<(), i64> {
        self.refill(now);
        self.set_rate(i64::from(per_min.max(1)));
        if self.units < TOKEN {
            let missing = TOKEN - self.units;
            return Err((missing + self.per_min - 1) / self.per_min);
        }
        self.units -= TOKEN;
        Ok(())
    }

    /// Whether nothing is missing.
    pub fn is_full(&self, now: Timestamp) -> bool {
        let mut copy = *self;
        copy.refill(now);
        copy.units == copy.per_min * TOKEN
    }

    fn refill(&mut self, now: Timestamp) {
        // A clock that was set back gives nothing for the jump, and counts from where it now stands.
        let elapsed = i64::try_from(now.since(self.at).as_millis()).unwrap_or(i64::MAX);
        self.units = elapsed.saturating_mul(self.per_min).saturating_add(self.units).min(self.per_min * TOKEN);
        self.at = now;
    }

    /// What was spent stays spent under the new rate.
    fn set_rate(&mut self, per_min: i64) {
        self.units = (self.units + (per_min - self.per_min) * TOKEN).max(0);
        self.per_min = per_min;
    }
}
