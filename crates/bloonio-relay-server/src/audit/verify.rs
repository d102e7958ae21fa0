//! Is everything still there, and as it was? A [`Walk`] follows one chain from its first entry.

use super::{Chain, Entry, Head};

/// The first place at which a chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{chain}: entry {seq} {problem}")]
pub struct Break {
    /// Which chain.
    pub chain: Chain,
    /// Where.
    pub seq: i64,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There is none of that number where there should be.
    #[error("is missing")]
    Missing,
    /// It does not hold the hash of the entry before it.
    #[error("does not follow the one before it")]
    Unlinked,
    /// It says something else than what was hashed.
    #[error("was changed")]
    Changed,
    /// The chain ends with another entry than the one that it says it ends with.
    #[error("is not the last one that was written")]
    NotTheEnd,
    /// It is another one than the head that was kept says.
    #[error("is not the one that was kept as a head")]
    NotAsKept,
}

/// A walk along a chain.
#[derive(Debug)]
pub struct Walk {
    at: Head,
    /// Heads that must be met, those nearest to the chain's beginning last.
    kept: Vec<Head>,
}

impl Walk {
    /// Begins before the first entry; every head of this chain in `kept` must be met on the way.
    pub fn new(chain: Chain, kept: &[Head]) -> Self {
        let mut kept: Vec<_> = kept.iter().filter(|head| head.chain == chain && head.seq > 0).cloned().collect();
        kept.sort_by_key(|head| std::cmp::Reverse(head.seq));
        Self { at: Head::empty(chain), kept }
    }

    /// The last entry that was found good.
    pub const fn at(&self) -> &Head {
        &self.at
    }

    fn broken(&self, seq: i64, problem: Problem) -> Break {
        Break { chain: self.at.chain.clone(), seq, problem }
    }

    /// Goes on to the next entry.
    ///
    /// # Errors
    /// [`Break`] if it is not the one that must follow.
    pub fn step(&mut self, entry: &Entry) -> Result<(), Break> {
        let expected = self.at.seq.saturating_add(1);
        if entry.seq != expected {
            return Err(self.broken(expected, Problem::Missing));
        }
        if entry.chain != self.at.chain || entry.digest() != entry.hash {
            return Err(self.broken(expected, Problem::Changed));
        }
        if entry.prev_hash != self.at.hash {
            return Err(self.broken(expected, Problem::Unlinked));
        }
        while let Some(kept) = self.kept.pop_if(|kept| kept.seq == expected) {
            if kept.hash != entry.hash {
                return Err(self.broken(expected, Problem::NotAsKept));
            }
        }
        self.at = entry.head();
        Ok(())
    }

    /// Ends where the chain does; `end` is what the chain says of its end.
    ///
    /// # Errors
    /// [`Break`] if entries are missing at the end.
    pub fn finish(self, end: &Head) -> Result<Head, Break> {
        if let Some(kept) = self.kept.last() {
            return Err(self.broken(kept.seq, Problem::Missing));
        }
        if end.seq > self.at.seq {
            return Err(self.broken(self.at.seq.saturating_add(1), Problem::Missing));
        }
        if *end != self.at {
            return Err(self.broken(self.at.seq, Problem::NotTheEnd));
        }
        Ok(self.at)
    }
}
