//! The handlers, a file a subject. Each reads, calls a service, and wraps its answer; none decides.

pub mod callbacks;
pub mod device;
pub mod health;
pub mod pairing;
pub mod prompts;
pub mod provision;
pub mod totp;
