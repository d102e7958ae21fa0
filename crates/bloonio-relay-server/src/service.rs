//! The relay's rules. Each function takes [`crate::app::App`] and an authenticated caller, and answers or refuses.

pub mod error;
pub mod tenant;
