#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod auth;
mod convert;
mod extract;
mod middleware;
mod routes;

pub use auth::BloonioAuth;
pub use bloonio_sudo::{
    BuildError, Caller, ConfigError, CustomType, DataType, ErrorCode, FieldError, Grant, Identify, IdentifyError,
    NextStep, PairingEvent, PairingOffer, PreparePairing, RelayApi, RelayClient, RelayError, RelaySettings,
    RequestView, SecurityAlert, SudoEngine, SudoEngineBuilder, SudoRequirement, TenantId, UserSocketHash, wire,
};
pub use convert::NativeRequest;
pub use extract::{MaybeSudo, Sudo, SudoMissing};
pub use middleware::SudoMiddleware;
