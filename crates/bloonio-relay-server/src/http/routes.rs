//! The handlers, a file a subject. Each reads, calls a service, and wraps its answer; none decides.

pub mod health;
pub mod provision;
