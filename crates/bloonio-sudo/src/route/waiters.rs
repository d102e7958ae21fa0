//! How many requests wait for one instruction, and for one user: 2 and 10 (SECURITY, "What counts as approved").

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bloonio_wire::id::{InstructionId, UserSocketHash};

const PER_INSTRUCTION: usize = 2;
const PER_USER: usize = 10;

#[derive(Debug, Default)]
struct Counts {
    by_instruction: HashMap<InstructionId, usize>,
    by_user: HashMap<UserSocketHash, usize>,
}

/// Counts the waiting requests of this process.
#[derive(Debug, Default, Clone)]
pub(crate) struct Waiters(Arc<Mutex<Counts>>);

/// A place among the waiting; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    waiters: Waiters,
    instruction: InstructionId,
    user: UserSocketHash,
}

impl Waiters {
    /// A place for one more, if there is any.
    pub(crate) fn enter(&self, instruction: &InstructionId, user: &UserSocketHash) -> Option<Place> {
        let mut counts = self.lock();
        let is_full = counts.by_instruction.get(instruction).is_some_and(|n| *n >= PER_INSTRUCTION)
            || counts.by_user.get(user).is_some_and(|n| *n >= PER_USER);
        if is_full {
            return None;
        }
        *counts.by_instruction.entry(instruction.clone()).or_default() += 1;
        *counts.by_user.entry(user.clone()).or_default() += 1;
        Some(Place { waiters: self.clone(), instruction: instruction.clone(), user: user.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.waiters.lock();
        leave(&mut counts.by_instruction, &self.instruction);
        leave(&mut counts.by_user, &self.user);
    }
}

fn leave<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_wait_for_an_instruction_and_ten_for_a_user() {
        let waiters = Waiters::default();
        let user = UserSocketHash::parse("jane-0001").unwrap();
        let id = |n: usize| InstructionId::parse(format!("instruction-{n}")).unwrap();
        let mut places: Vec<_> = (0..10).map(|n| waiters.enter(&id(n / 2), &user).unwrap()).collect();
        assert!(waiters.enter(&id(0), &UserSocketHash::parse("john-0001").unwrap()).is_none());
        assert!(waiters.enter(&id(9), &user).is_none());
        places.pop();
        assert!(waiters.enter(&id(9), &user).is_some());
        drop(places);
        let counts = waiters.lock();
        assert!(counts.by_instruction.is_empty() && counts.by_user.is_empty());
    }
}
