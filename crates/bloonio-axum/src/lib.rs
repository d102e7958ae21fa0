#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod convert;
mod extract;
mod layer;
mod routes;
mod service;

pub use bloonio_sudo::prelude::*;
pub use convert::NativeRequest;
pub use extract::{MaybeSudo, Sudo, SudoMissing};
pub use layer::{BloonioAuth, SudoLayer};
pub use service::SudoService;
