//! The relay client over real sockets, async and blocking alike: what it sends, what it makes of each answer, when it tries
//! again, and when it gives up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod answers;
mod caller;
mod errors;
mod outcomes;
mod patience;
mod repeats;
mod server;
mod table;
