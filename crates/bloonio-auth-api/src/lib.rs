//! The auth API: what a relay knows of people beyond their phones. It runs inside the relay and keeps tables of its own in
//! the relay's database; it never asks the relay for anything.
//!
//! | room | what happens there |
//! | --- | --- |
//! | [`totp`] | one-time codes: seeds, the counter, the lock (PROTOCOL 4 to 6; SECURITY, "Attention and guessing") |
//! | [`db`] | one SQL text on two engines |
//! | [`seal`] | sealing at rest under the master key |
//! | [`storage`] | the migrations of its tables |
#![deny(missing_docs)]

pub mod db;
pub mod seal;
pub mod storage;
pub mod totp;
