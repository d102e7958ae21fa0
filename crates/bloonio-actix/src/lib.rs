#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod auth;
mod convert;
mod extract;
mod middleware;
mod routes;

pub use auth::BloonioAuth;
pub use bloonio_sudo::prelude::*;
pub use convert::NativeRequest;
pub use extract::{MaybeSudo, Sudo, SudoMissing};
pub use middleware::SudoMiddleware;
