//! Golden numbers to pick from: the right one among others, where a prompt offers that (PROTOCOL 5).

use bloonio_wire::random::{Random, RandomError, uniform};

/// The range of golden numbers: two digits.
pub(super) const NUMBERS: (u32, u32) = (10, 99);

/// What surrounds the right number, drawn before it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choices {
    /// As many distinct numbers as are offered; one of them may turn out to be the right one.
    decoys: Vec<u32>,
    /// Where the right one stands.
    at: usize,
}

impl Choices {
    /// Draws what surrounds one of `offered` numbers.
    pub(super) fn draw(offered: usize, random: &dyn Random) -> Result<Self, RandomError> {
        let last = u32::try_from(offered.saturating_sub(1)).unwrap_or(u32::MAX);
        Ok(Self { decoys: distinct(offered, random)?, at: uniform(random, 0, last)? as usize })
    }

    /// The numbers to show, with the right one among them.
    pub(super) fn around(self, right: u32) -> Vec<i64> {
        let others = self.decoys.len().saturating_sub(1);
        let mut shown: Vec<i64> =
            self.decoys.into_iter().filter(|decoy| *decoy != right).take(others).map(i64::from).collect();
        shown.insert(self.at.min(shown.len()), i64::from(right));
        shown
    }
}

/// So many distinct golden numbers in random order.
pub(super) fn distinct(count: usize, random: &dyn Random) -> Result<Vec<u32>, RandomError> {
    let mut numbers = Vec::with_capacity(count);
    while numbers.len() < count {
        let number = uniform(random, NUMBERS.0, NUMBERS.1)?;
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bloonio_wire::random::SystemRandom;
    use std::collections::HashSet;

    #[test]
    fn the_right_number_is_one_of_so_many_distinct_ones_and_stands_anywhere() {
        for offered in 3..=5 {
            let mut places = HashSet::new();
            for _ in 0..400 {
                let shown = Choices::draw(offered, &SystemRandom).unwrap().around(42);
                assert_eq!(shown.iter().collect::<HashSet<_>>().len(), offered, "{shown:?}");
                assert!(shown.iter().all(|number| (10..=99).contains(number)), "{shown:?}");
                places.extend(shown.iter().position(|number| *number == 42));
            }
            assert_eq!(places.len(), offered, "each place is taken sometimes");
        }
    }

    #[test]
    fn a_decoy_that_is_the_right_number_is_not_shown_twice() {
        let shown = Choices { decoys: vec![11, 42, 12], at: 2 }.around(42);
        assert_eq!(shown, [11, 12, 42]);
    }
}
