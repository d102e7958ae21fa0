//! The relay's rules. Each function takes [`crate::app::App`] and an authenticated caller, and answers or refuses.

pub mod address;
pub mod alert;
pub mod callback;
pub mod content;
pub mod decision;
pub mod device;
pub mod error;
pub mod inbox;
pub mod notice;
pub mod outcome;
pub mod pairing;
pub mod profile;
pub mod prompt;
pub mod receipt;
pub mod replay;
pub mod session;
pub mod status;
pub mod tenant;
pub mod totp;
