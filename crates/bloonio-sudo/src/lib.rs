//! The engine of step-up approval: a person approves on the phone what a signed-in session asks for, and then it runs, once.
//!
//! This crate decides and names no web framework; [`bloonio-axum`](https://docs.rs/bloonio-axum) and
//! [`bloonio-actix`](https://docs.rs/bloonio-actix) put it in front of routes. Sections named in the documentation are those of the suite's `docs/src/protocol.md` ("PROTOCOL 9.1") and
//! `docs/src/security.md` ("SECURITY").
//!
//! | module | what it settles |
//! | --- | --- |
//! | [`policy`] | what a route demands, and what the phone shows |
//! | [`request`], [`body`], [`identity`] | a request as plain data, and who makes it |
//! | [`fingerprint`] | what an approval is bound to |
//! | [`instruction`] | one approval and its state machine |
//! | [`store`] | where approvals are kept: few, atomic steps |
//! | [`engine`] | the flow of a protected request |
//! | [`consume`] | when an approval is used up |
//! | [`decision`], [`reply`] | what comes out: pass or refuse, and every answer's bytes |
//! | [`route`] | callbacks, answers of devices, statuses |
//! | [`device_keys`] | the keys of users' phones, pinned |
//! | [`client`] | calls to the relay |
//! | [`resolver`] | demands that are known only at run time |
//! | [`doctor`] | contradictions that can be seen at start |
//! | [`prelude`] | what an application needs of all this |
//! | [`settings`], [`error`] | configuration, and what can be wrong with it |
#![deny(missing_docs)]

pub mod body;
pub mod client;
pub mod consume;
pub mod decision;
pub mod device_keys;
pub mod doctor;
pub mod engine;
pub mod error;
pub mod fingerprint;
pub mod identity;
pub mod instruction;
pub mod policy;
pub mod prelude;
pub mod reply;
pub mod request;
pub mod resolver;
pub mod route;
pub mod settings;
pub mod store;

/// The wire types that an application meets.
pub use bloonio_wire::{
    self as wire,
    challenge::{AlertKind, CustomType},
    clock::{Clock, Timestamp},
    code::ErrorCode,
    device::{PairingOffer, PreparePairing},
    display::DataType,
    id::{InstructionId, TenantId, UserSocketHash},
    secret::Secret,
};

pub use client::{NextStep, RelayApi, RelayClient, RelayError, SecurityAlert};
pub use consume::{ConsumeError, ConsumePolicy, UsedApproval, UsedApprovals};
pub use decision::{Decision, Grant, Refusal};
pub use doctor::{Contradictions, Finding};
pub use engine::{Demand, Guarded, Run, SudoEngine, SudoEngineBuilder};
pub use error::BuildError;
pub use identity::{Caller, Identify, IdentifyError};
pub use policy::{FieldError, RequirementError, SudoRequirement};
pub use reply::{Answer, Reply, missing_layer};
pub use request::{BodyError, RequestView};
pub use resolver::{ResolveError, SudoInfo};
pub use route::pairing::PairingEvent;
pub use route::submit::{DeviceCheck, DeviceCheckError};
pub use route::{MOUNTED_BODY_LIMIT, MountedRoute};
pub use settings::{ConfigError, OutcomeDelivery, RelaySettings};
