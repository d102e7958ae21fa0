//! The device side against a small relay that checks everything a device sends.
#![cfg(test)]

mod client;
mod pairing;
mod phone;
mod support;
mod totp;
mod watch;
