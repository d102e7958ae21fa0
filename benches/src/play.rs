//! Two things in turn: A B B A.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::try_join_all;

use crate::stats::{now, spread};

/// Calls a second of so many callers at once, who share the numbers below `calls`.
pub async fn rate(
    calls: usize,
    callers: usize,
    call: impl AsyncFn(usize) -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let taken = AtomicUsize::default();
    let (taken, call) = (&taken, &call);
    let began = now();
    let caller = |_| async move {
        loop {
            let n = taken.fetch_add(1, Ordering::Relaxed);
            if n >= calls {
                return anyhow::Ok(());
            }
            call(n).await?;
        }
    };
    try_join_all((0..callers).map(caller)).await?;
    Ok(calls as f64 / began.elapsed().as_secs_f64())
}

/// What the things came to, one row a round: the mean of a thing's two turns. They are played forwards and backwards.
pub struct Turns(Vec<Vec<f64>>);

impl Turns {
    /// Plays `things` things; `play` tells what one comes to. Each is played once before, for nothing.
    pub async fn play(
        rounds: usize,
        things: usize,
        play: impl AsyncFn(usize) -> anyhow::Result<f64>,
    ) -> anyhow::Result<Self> {
        for thing in 0..things {
            play(thing).await?;
        }
        let mut all = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            let mut means = vec![0.0; things];
            for thing in (0..things).chain((0..things).rev()) {
                means[thing] += play(thing).await? / 2.0;
            }
            all.push(means);
            eprint!(".");
        }
        eprintln!();
        Ok(Self(all))
    }

    /// `median [lowest to highest]` of a thing.
    pub fn of(&self, thing: usize) -> String {
        spread(&mut self.0.iter().map(|round| round[thing]).collect::<Vec<_>>())
    }

    /// The same of the ratio of two things.
    pub fn ratio(&self, a: usize, b: usize) -> String {
        spread(&mut self.0.iter().map(|round| round[a] / round[b]).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[tokio::test]
    async fn things_are_played_forwards_and_backwards_after_a_turn_for_nothing() {
        let order = RefCell::new(Vec::new());
        let turns = Turns::play(1, 2, async |thing| {
            order.borrow_mut().push(thing);
            Ok(thing as f64 + 1.0)
        });
        let turns = turns.await.unwrap();
        assert_eq!(*order.borrow(), [0, 1, 0, 1, 1, 0]);
        assert_eq!((turns.of(1), turns.ratio(1, 0)), ("2.00 [2.00 to 2.00]".into(), "2.00 [2.00 to 2.00]".into()));
    }

    #[tokio::test]
    async fn each_number_is_called_once() {
        let seen = RefCell::new(Vec::new());
        rate(9, 4, async |n| {
            seen.borrow_mut().push(n);
            Ok(())
        })
        .await
        .unwrap();
        seen.borrow_mut().sort_unstable();
        assert_eq!(*seen.borrow(), (0..9).collect::<Vec<_>>());
    }
}
