//! The banks' page and `bloonio.js` in a real browser.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod customer;
mod page;
mod server;
mod stranger;
mod sudo_fetch;
