//! Step-up approval for axum: a request runs once a person has approved it on the phone.
//!
//! ```no_run
//! use axum::{Json, Router, routing::post};
//! use bloonio_axum::{BloonioAuth, Caller, DataType, RequestView, Sudo, SudoRequirement, UserSocketHash};
//!
//! fn identify(view: &RequestView<'_>) -> Option<Caller> {
//!     let session = view.header("x-session")?; // however your application knows who is signed in
//!     Some(Caller::new(UserSocketHash::parse("jane-0001").ok()?, session))
//! }
//! async fn execute(Sudo(grant): Sudo, Json(order): Json<serde_json::Value>) -> String {
//!     format!("{order} was approved by {}", grant.approved_by())
//! }
//! fn app() -> Result<Router, Box<dyn std::error::Error>> {
//!     let auth = BloonioAuth::from_env(identify)?;
//!     let transfer = SudoRequirement::new("transfer_funds")
//!         .with_json_field("amount", "Amount", DataType::CurrencyUsd, "/amount");
//!     Ok(Router::new().route("/transfer", post(execute).layer(auth.sudo_required(transfer))).merge(auth.routes()))
//! }
//! # let _ = app;
//! ```
//!
//! # The rule
//!
//! For each request of a layered route, in this order:
//!
//! 1. The identity closure says who asks. Nobody: 401 `SUDO_USER_REQUIRED`. It fails: 500 `SUDO_MISCONFIGURED`.
//! 2. The body is read, up to `MAX_BODY_BYTES`. Larger: 413 `SUDO_BODY_TOO_LARGE`.
//! 3. A condition that says no lets the request through, without a grant. One that fails protects.
//! 4. A request that asks to be taken for another method (`X-HTTP-Method-Override`, `_method`) is refused: 400.
//! 5. **With** `X-Sudo-Instruction-Key`: the approval is used, in one atomic step, if it is of this user and session,
//!    was approved, is still good, was not used before, and was given for exactly this request. The handler runs, and
//!    its [`Sudo`] extractor holds the proof. Else 403, with a code that says only what the asker may know.
//! 6. **Without** it: what the phone will show is computed from the request; if that fails nobody is asked (400, 422, 500).
//!    Then the instruction is stored, the prompt sent, and the answer is 403 `SUDO_INSTRUCTION_KEY_REQUIRED` with the key
//!    to come back with. Repeating the request meanwhile gives the same key and no second prompt.
//! 7. Store or relay away: 503. Whatever cannot be decided is refused.
//!
//! # Deployment
//!
//! * Put the layer *inside* your sign-in middleware and *outside* anything that rewrites the request, so that the approval
//!   is bound to what the client sent. Use one sudo layer a route: a key is good once, and the outer layer takes it.
//! * Merge [`BloonioAuth::routes`] at the root and outside your sign-in middleware: callbacks are signed, not signed in.
//! * Prefer `route` and method routers over a layer on a fallback: `.layer` also guards the methods that a method router
//!   answers with 405.
//! * Bodies are held in memory while they are judged; keep `MAX_BODY_BYTES` as small as your routes allow. Do not put
//!   the layer in front of uploads, web sockets or streams.
//! * What is bound: method, authority, raw path and query, `Content-Type`, `Content-Encoding`, every byte of the body, and
//!   the headers you name. If other headers change what your handler does, name them.
//! * A proxy that rewrites path, `Host` or body must do so alike for both calls.
//! * The memory store serves one process. Call [`BloonioAuth::shutdown`] when the server begins to stop, or waiting requests
//!   keep it alive until they time out.
//! * Logs of outer layers that print request headers print keys too; mark `x-sudo-instruction-key` as sensitive there.
#![deny(missing_docs)]

mod convert;
mod extract;
mod layer;
mod routes;
mod service;

pub use bloonio_sudo::{
    BuildError, Caller, ConfigError, CustomType, DataType, ErrorCode, FieldError, Grant, Identify, IdentifyError,
    PairingEvent, PairingOffer, PreparePairing, RelayClient, RelayError, RelaySettings, RequestView, SecurityAlert,
    SudoEngine, SudoEngineBuilder, SudoRequirement, TenantId, UserSocketHash,
};
pub use extract::{Sudo, SudoMissing};
pub use layer::{BloonioAuth, SudoLayer};
pub use service::SudoService;
