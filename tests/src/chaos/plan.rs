//! How much, from which seed, and what each prompt is: the same seed asks the same questions and breaks the same things in
//! the same order.

use bloonio_wire::random::{SeededRandom, SystemRandom, hex_token, uniform};

/// Tenants.
pub const TENANTS: usize = 4;
/// People of each tenant; of three, one has a phone on a stream, one a phone behind FCM, one both.
pub const PEOPLE: usize = 12;
/// Relay processes.
pub const RELAYS: usize = 3;
/// Prompts of the run in the test command.
const PROMPTS: usize = 2_000;

/// A run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Prompts in all (`BLOONIO_CHAOS_PROMPTS`).
    pub prompts: usize,
    /// What everything is drawn from (`BLOONIO_CHAOS_SEED`).
    pub seed: u64,
}

impl Plan {
    /// The run that the environment asks for; a seed of its own where it names none.
    pub fn from_env() -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
            Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} must be a whole number: {text}")))
        };
        let drawn = || {
            let token = hex_token::<4>(&SystemRandom).expect("randomness");
            u64::from_str_radix(&token, 16).expect("hex digits")
        };
        let prompts = number("BLOONIO_CHAOS_PROMPTS").map_or(PROMPTS, |count| count as usize);
        Self { prompts: prompts.max(TENANTS), seed: number("BLOONIO_CHAOS_SEED").unwrap_or_else(drawn) }
    }

    /// Dice for one purpose, which fall alike whatever else is thrown.
    pub fn dice(&self, purpose: u64) -> Dice {
        Dice(SeededRandom::new(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ purpose.wrapping_mul(1 << 20)))
    }

    /// What is asked with this number, below [`Plan::prompts`].
    pub fn question(&self, number: usize) -> Question {
        let dice = self.dice(1 + number as u64);
        let person = dice.below(PEOPLE);
        let rivals = has_both(person) && dice.one_in(3);
        Question {
            number,
            tenant: number % TENANTS,
            person,
            // The same names at every tenant: to keep them apart is the relay's task.
            id: format!("chaos-{:07}", number / TENANTS),
            approved: !dice.one_in(3),
            rivals,
            looks: dice.one_in(4),
            relay: dice.below(RELAYS),
            waits: has_stream(person) && dice.one_in(2),
        }
    }
}

/// Whether this person's first phone listens to a stream.
pub fn has_stream(person: usize) -> bool {
    person % 3 != 1
}

/// Whether this person has a second phone, behind FCM; whoever has no stream has that one alone.
pub fn has_both(person: usize) -> bool {
    person % 3 == 2
}

/// One prompt.
#[derive(Debug, Clone)]
pub struct Question {
    /// Counted from 0.
    pub number: usize,
    /// Who asks.
    pub tenant: usize,
    /// Who is asked.
    pub person: usize,
    /// The instruction id, which every tenant uses.
    pub id: String,
    /// What the first phone answers.
    pub approved: bool,
    /// Whether a second phone answers the opposite at the same time.
    pub rivals: bool,
    /// Whether the phone fetches the prompt before it answers.
    pub looks: bool,
    /// Whether the phone answers only once its stream has told it of the prompt.
    pub waits: bool,
    /// Where the first call goes; the others go round from there.
    pub relay: usize,
}

/// Repeatable dice.
#[derive(Debug)]
pub struct Dice(SeededRandom);

impl Dice {
    /// One of `0..count`.
    pub fn below(&self, count: usize) -> usize {
        let last = u32::try_from(count - 1).expect("few sides");
        uniform(&self.0, 0, last).expect("a seed gives numbers") as usize
    }

    /// True once in `count` times.
    pub fn one_in(&self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// Puts them into another order.
    pub fn shuffle<T>(&self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index + 1));
        }
    }
}
