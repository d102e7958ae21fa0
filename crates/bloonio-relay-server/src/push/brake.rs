//! The brake on retiring addresses (PUSH.md 1.5): when a good part of all messages comes back with a verdict against the
//! address, the verdicts are wrong and not the addresses. A wrong key file makes every device look like that.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bloonio_wire::clock::Timestamp;

/// What lies further back is forgotten.
const WINDOW: Duration = Duration::from_secs(300);
/// Fewer messages than this prove nothing.
const LEAST: usize = 50;
/// So many messages are remembered at most.
const MOST: usize = 10_000;

/// Counts verdicts, and tells when to stop believing them.
#[derive(Debug, Default)]
pub struct Brake {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    verdicts: VecDeque<(Timestamp, bool)>,
    against: usize,
}

impl Seen {
    fn forget_before(&mut self, now: Timestamp) {
        while let Some(&(at, against)) = self.verdicts.front() {
            if now.since(at) <= WINDOW && self.verdicts.len() < MOST {
                break;
            }
            self.verdicts.pop_front();
            self.against -= usize::from(against);
        }
    }
}

impl Brake {
    /// Records one message's verdict; answers whether a verdict against an address may be carried out.
    pub fn believes(&self, now: Timestamp, against: bool) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.forget_before(now);
        seen.verdicts.push_back((now, against));
        seen.against += usize::from(against);
        seen.verdicts.len() < LEAST || seen.against * 5 <= seen.verdicts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    #[test]
    fn a_few_dead_addresses_are_believed() {
        let brake = Brake::default();
        assert!((0..49).all(|_| brake.believes(NOW, true)));
        let brake = Brake::default();
        assert!((0..500).all(|i| brake.believes(NOW, i % 5 == 4)));
    }

    #[test]
    fn a_wave_of_dead_addresses_is_not_believed_until_it_has_passed() {
        let brake = Brake::default();
        (0..40).for_each(|_| assert!(brake.believes(NOW, false)));
        let believed = (0..40).filter(|_| brake.believes(NOW, true)).count();
        assert_eq!(believed, 10);
        assert!(!brake.believes(NOW.plus(WINDOW), true));
        assert!(brake.believes(NOW.plus(WINDOW * 3), true));
    }
}
