//! The relay client for programs without `async`.
//!
//! ```no_run
//! use bloonio_sudo::client::blocking::BlockingRelayClient;
//! use bloonio_sudo::{RelaySettings, UserSocketHash};
//!
//! fn lost_phone(user: &UserSocketHash) -> Result<(), Box<dyn std::error::Error>> {
//!     let relay = BlockingRelayClient::new(&RelaySettings::from_env()?)?;
//!     relay.revoke_pairing(user)?;
//!     Ok(())
//! }
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bloonio_wire::challenge::{AuthChallenge, PushReceipt};
use bloonio_wire::clock::{Clock, SystemClock};
use bloonio_wire::delivery::DeliveryStatus;
use bloonio_wire::device::{PairingOffer, PreparePairing};
use bloonio_wire::dispatch::{DispatchReceipt, SudoDispatch};
use bloonio_wire::envelope::Items;
use bloonio_wire::group::{Group, PairedUser, PendingValidation, SignatureImage};
use bloonio_wire::id::{GroupPublicId, InstructionId, QrSessionId, RelayUserLinkedId, UserPublicId, UserSocketHash};
use bloonio_wire::passkey::{
    Passkey, PasskeyAssertion, PasskeyAttestation, PasskeyCeremony, PasskeyName, PasskeyRegistration, PasskeyRequest,
    PasskeySignIn, RegisteredPasskey,
};
use bloonio_wire::qr_login::{QrLogin, QrLoginStatus};
use bloonio_wire::secret::Secret;
use serde_json::Value;
use tokio::runtime::{Builder, Handle, Runtime};

use super::http::HttpRelayClient;
use super::{Outcome, RelayApi, RelayCall, RelayClient, RelayError, SecurityAlert};
use crate::error::BuildError;
use crate::settings::RelaySettings;

/// Calls the relay over HTTPS and waits for each answer. It keeps one thread of its own, which tends its connections.
///
/// In a thread of an async runtime every call is refused with [`RelayError::Unsendable`]: waiting there would hold up
/// everything else that the thread serves. That goes for tokio's `spawn_blocking` too, since the two cannot be told apart;
/// there `Handle::current().block_on(..)` over [`HttpRelayClient`] does the same.
pub struct BlockingRelayClient {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    client: HttpRelayClient,
}

impl fmt::Debug for BlockingRelayClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BlockingRelayClient").field(&self.client).finish()
    }
}

impl Drop for BlockingRelayClient {
    fn drop(&mut self) {
        // A plain drop waits, and tokio panics where that happens inside another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl BlockingRelayClient {
    /// A client for the relay and tenant of `settings`.
    ///
    /// # Errors
    /// [`BuildError::HttpClient`], also where no thread can be had.
    pub fn new(settings: &RelaySettings) -> Result<Self, BuildError> {
        Self::with_clock(settings, Arc::new(SystemClock))
    }

    /// As [`new`](Self::new), by another clock than the system's.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_clock(settings: &RelaySettings, clock: Arc<dyn Clock>) -> Result<Self, BuildError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("bloonio-relay-client")
            .enable_all()
            .build()
            .map_err(|error| BuildError::HttpClient(Box::new(error)))?;
        Ok(Self { runtime: Some(runtime), client: HttpRelayClient::new(settings, clock)? })
    }

    fn wait<T>(&self, answer: impl Future<Output = Result<T, RelayError>>) -> Result<T, RelayError> {
        if Handle::try_current().is_ok() {
            return Err(RelayError::Unsendable("this thread belongs to an async runtime; use the async client there"));
        }
        match &self.runtime {
            Some(runtime) => runtime.block_on(answer),
            None => Err(RelayError::Unsendable("the client is being dropped")),
        }
    }
}

/// One line a call: each is documented where the async client has it.
macro_rules! calls {
    ($($trait:ident::$name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
        impl BlockingRelayClient {
            $(
                #[doc = concat!("As [`", stringify!($trait), "::", stringify!($name), "`].")]
                ///
                /// # Errors
                /// As there, and [`RelayError::Unsendable`] in a thread of an async runtime.
                pub fn $name(&self, $($argument: $kind),*) -> Result<$answer, RelayError> {
                    self.wait($trait::$name(&self.client, $($argument),*))
                }
            )*
        }
    };
}

calls! {
    RelayClient::send_auth_challenge(challenge: &AuthChallenge) -> PushReceipt;
    RelayClient::cancel_auth_challenge(instruction: &InstructionId) -> ();
    RelayClient::fetch_outcome(instruction: &InstructionId, wait: Duration) -> Outcome;
    RelayClient::prepare_pairing(profile: &PreparePairing) -> PairingOffer;
    RelayClient::revoke_pairing(user: &UserSocketHash) -> ();
    RelayClient::send_security_alert(alert: &SecurityAlert) -> PushReceipt;
    RelayClient::verify_totp(user: &RelayUserLinkedId, code: &str) -> bool;
    RelayClient::call(call: &RelayCall) -> Value;
    RelayApi::fetch_delivery_status(id: &InstructionId) -> DeliveryStatus;
    RelayApi::dispatch(dispatch: &SudoDispatch) -> DispatchReceipt;
    RelayApi::groups() -> Items<Group>;
    RelayApi::group_by_public_id(id: &GroupPublicId) -> Group;
    RelayApi::paired_users() -> Items<PairedUser>;
    RelayApi::paired_user_by_public_id(id: &UserPublicId) -> PairedUser;
    RelayApi::pending_validations(user: &RelayUserLinkedId) -> Items<PendingValidation>;
    RelayApi::user_signature(user: &RelayUserLinkedId) -> SignatureImage;
    RelayApi::qr_login_initiate(browser_origin: &str) -> QrLogin;
    RelayApi::qr_login_poll(session: &QrSessionId, poll_token: &Secret) -> QrLoginStatus;
    RelayApi::passkey_register_options(user: &PasskeyRegistration) -> PasskeyCeremony;
    RelayApi::passkey_register_verify(made: &PasskeyAttestation) -> RegisteredPasskey;
    RelayApi::passkey_authenticate_options(who: &PasskeyRequest) -> PasskeyCeremony;
    RelayApi::passkey_authenticate_verify(given: &PasskeyAssertion) -> PasskeySignIn;
    RelayApi::fetch_passkeys(user: &RelayUserLinkedId) -> Items<Passkey>;
    RelayApi::rename_passkey(passkey: &PasskeyName, nickname: &str) -> ();
    RelayApi::revoke_passkey(passkey: &PasskeyName) -> ();
}
