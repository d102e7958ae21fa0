//! What an application meets, whatever web framework it stands on: both adapters export exactly this.

pub use crate::client::{NextStep, RelayApi, RelayClient, RelayError, SecurityAlert};
pub use crate::consume::{ConsumeError, UsedApproval, UsedApprovals};
pub use crate::decision::Grant;
pub use crate::doctor::{Contradictions, Finding};
pub use crate::engine::{SudoEngine, SudoEngineBuilder};
pub use crate::error::BuildError;
pub use crate::identity::{Caller, Identify, IdentifyError};
pub use crate::policy::{FieldError, SudoRequirement};
pub use crate::request::RequestView;
pub use crate::resolver::{ResolveError, Resolved, SudoInfo};
pub use crate::route::pairing::PairingEvent;
pub use crate::route::submit::{DeviceCheck, DeviceCheckError};
pub use crate::settings::{ConfigError, OutcomeDelivery, RelaySettings};
pub use bloonio_wire as wire;
pub use bloonio_wire::challenge::CustomType;
pub use bloonio_wire::code::ErrorCode;
pub use bloonio_wire::device::{PairingOffer, PreparePairing};
pub use bloonio_wire::display::DataType;
pub use bloonio_wire::id::{TenantId, UserSocketHash};
