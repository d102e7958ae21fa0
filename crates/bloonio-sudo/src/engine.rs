//! The engine: everything that decides, in plain data, below any web framework.
//!
//! An adapter asks [`Demand::route`] before it reads the body, and [`Guarded::check`] with it; what comes back says
//! what to do. The routes of PROTOCOL 9.4 are served by [`SudoEngine::serve`].

mod ask;
mod builder;
mod choice;
mod demand;
mod event;
mod guard;
mod poll;
mod run;
mod signature;
mod wait;

use std::fmt;
use std::sync::Arc;

use bloonio_wire::clock::Clock;
use bloonio_wire::id::InstructionId;
use bloonio_wire::random::Random;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::RelayClient;
use crate::device_keys::DeviceKeys;
use crate::doctor::Demands;
use crate::error::BuildError;
use crate::identity::{Caller, Identify};
use crate::request::RequestView;
use crate::resolver::Resolver;
use crate::route::pairing::PairingEvent;
use crate::route::submit::DeviceCheck;
use crate::route::waiters::Waiters;
use crate::settings::RelaySettings;
use crate::store::InstructionStore;

pub use builder::SudoEngineBuilder;
pub use demand::Demand;
pub(crate) use event::{Event, EventRefusal, counts_as_approved};
pub use guard::Guarded;
pub use run::Run;
pub(crate) use signature::{Proof, Signed};
pub(crate) use wait::left_of;

type PairingHook = Box<dyn Fn(PairingEvent) + Send + Sync>;

/// Decides whether protected requests may run. Cheap to clone; all clones are one engine.
#[derive(Clone)]
pub struct SudoEngine {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) settings: RelaySettings,
    pub(crate) store: Arc<dyn InstructionStore>,
    pub(crate) relay: Arc<dyn RelayClient>,
    pub(crate) identify: Arc<dyn Identify>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) bound_headers: Vec<String>,
    pub(crate) require_challenge_digest: bool,
    pub(crate) on_pairing: Option<PairingHook>,
    pub(crate) resolver: Option<Resolver>,
    pub(crate) device_keys: Arc<dyn DeviceKeys>,
    pub(crate) require_device_signature: bool,
    pub(crate) device_check: Option<Arc<dyn DeviceCheck>>,
    pub(crate) own_store: bool,
    pub(crate) own_device_keys: bool,
    pub(crate) demands: Demands,
    pub(crate) waiters: Waiters,
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
}

impl fmt::Debug for SudoEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SudoEngine").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

impl SudoEngine {
    /// Begins an engine with these settings. It still needs an identity closure.
    pub fn builder(settings: RelaySettings) -> SudoEngineBuilder {
        SudoEngineBuilder::new(settings)
    }

    /// An engine with the settings of the environment (`BLOONIO_RELAY_…`) and this identity closure, its store connected.
    ///
    /// # Errors
    /// [`BuildError`] naming the variable that is missing or wrong, or what is wrong with the store.
    pub async fn from_env(
        identify: impl Fn(&RequestView<'_>) -> Option<Caller> + Send + Sync + 'static,
    ) -> Result<Self, BuildError> {
        Self::builder(RelaySettings::from_env()?).with_identity(identify).connect().await
    }

    /// What was configured.
    pub fn settings(&self) -> &RelaySettings {
        &self.inner.settings
    }

    /// The relay, for what an application asks of it itself, such as pairing a phone.
    pub fn relay(&self) -> &dyn RelayClient {
        self.inner.relay.as_ref()
    }

    /// Ends every waiting request and stream, withdraws their prompts, and waits until that is done. Call it when the
    /// server begins to stop; requests that come later are still judged, but none waits.
    pub async fn shutdown(&self) {
        self.inner.stopping.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

/// How an instruction is named in the log: its id is a key, so only 8 hex digits of its hash are shown (SECURITY,
/// "Outbound and operators"). Nothing is computed for a log that nobody keeps.
pub(crate) fn short_hash(id: &InstructionId) -> impl fmt::Display + '_ {
    struct ShortHash<'i>(&'i InstructionId);

    impl fmt::Display for ShortHash<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&hex::encode(&Sha256::digest(self.0.as_str().as_bytes())[..4]))
        }
    }

    ShortHash(id)
}
