//! The scripts, one for each thing that must be one step. Each answers a number.

use fred::types::scripts::Script;

/// Every script, with its digest.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) seen: Script,
    pub(super) unclaim: Script,
    pub(super) bucket: Script,
    pub(super) guess: Script,
}

macro_rules! timed {
    ($own:literal) => {
        Script::from_lua(concat!(include_str!("lua/time.lua"), include_str!($own)))
    };
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            seen: Script::from_lua(include_str!("lua/seen.lua")),
            unclaim: Script::from_lua(include_str!("lua/unclaim.lua")),
            bucket: timed!("lua/bucket.lua"),
            guess: timed!("lua/guess.lua"),
        }
    }
}
