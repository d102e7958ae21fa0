//! What all parts of a relay share, put together once.

use std::sync::{Arc, Weak};

use bloonio_auth_api::totp::{Totp, TotpError, TotpParts, TotpRoom};
use bloonio_wire::clock::Clock;
use bloonio_wire::id::{InstructionId, RelayUserLinkedId, TenantId};
use bloonio_wire::random::Random;
use bloonio_wire::secret::Secret;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::refused::Refused;
use crate::config::Config;
use crate::hub::Hub;
use crate::limit::Limits;
use crate::net::client::{CallbackClient, ClientError, ExtraRoots};
use crate::net::guard::Guard;
use crate::outbox::{Outbox, OutboxLimits, OutboxParts};
use crate::push::dispatch::PushLimits;
use crate::push::stream::StreamEvent;
use crate::push::{PushSender, Pusher, PusherParts};
use crate::seal::{KeyRing, SealError, Sealer};
use crate::service::tenant::Registry;
use crate::shared::Shared;
use crate::shared::listener::Ears;
use crate::shared::wake::{HintWords, Wake};
use crate::storage::tenant::SealedSecret;
use crate::storage::{Storage, StorageError};
use crate::supervise::{Pauses, Workers};
use crate::telemetry::metrics::Metrics;
use crate::token::Tokens;

/// The state of every handler.
pub type SharedApp = Arc<App>;

/// A relay cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A client for outgoing calls cannot be built.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The machine has no randomness, or the key does not seal.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The auth API cannot be put together.
    #[error(transparent)]
    Totp(#[from] TotpError),
}

/// What a relay is made of; tests replace clock, randomness, sender and guard.
#[derive(Debug)]
pub struct AppParts {
    /// Checked settings, [`Config::bound_to`] their address.
    pub config: Config,
    /// The open and migrated database.
    pub storage: Storage,
    /// What is shared with other instances.
    pub shared: Shared,
    /// Roots of all keys.
    pub keys: KeyRing,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Draws ids, secrets and tokens.
    pub random: Arc<dyn Random>,
    /// The push service; `None` where it is not configured.
    pub sender: Option<Arc<dyn PushSender>>,
    /// Judges what callbacks may reach.
    pub guard: Guard,
    /// Trust roots besides the system's own.
    pub roots: ExtraRoots,
    /// How the outbox works.
    pub outbox_limits: OutboxLimits,
    /// How pushes are sent.
    pub push_limits: PushLimits,
}

/// A relay.
#[derive(Debug)]
pub struct App {
    /// Its settings.
    pub config: Config,
    /// Its truth.
    pub storage: Storage,
    /// What it shares with other instances.
    pub shared: Shared,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Draws ids, secrets and tokens.
    pub random: Arc<dyn Random>,
    /// Seals what is secret in the storage.
    pub sealer: Sealer,
    /// Opened in place of an unknown tenant's secret.
    pub decoy: Decoy,
    /// Issues and reads the device tokens.
    pub tokens: Tokens,
    /// One-time codes: the auth API's room, inside this process.
    pub totp: Arc<dyn Totp>,
    /// Rate limits.
    pub limits: Limits,
    /// Wrong admin keys, until they are written to the audit trail.
    pub refused: Refused,
    /// Sends pushes.
    pub pusher: Pusher,
    /// Makes callbacks.
    pub outbox: Outbox,
    /// Woken at every change of a prompt.
    pub prompts: Hub<(TenantId, InstructionId), ()>,
    /// Open streams of a pairing's devices.
    pub streams: Hub<(TenantId, RelayUserLinkedId), StreamEvent>,
    /// Judges what callbacks may reach.
    pub guard: Guard,
    /// The process's metrics.
    pub metrics: Metrics,
    /// What runs beside the requests, and whether it does.
    pub workers: Workers,
    /// Everything that runs beside the requests.
    pub tracker: TaskTracker,
    /// Cancelled when the relay shall stop: whoever waits for something ends at once.
    pub stopping: CancellationToken,
}

impl App {
    /// Puts a relay together. Nothing runs until [`App::start`].
    ///
    /// # Errors
    /// [`AppError`].
    pub fn new(parts: AppParts) -> Result<SharedApp, AppError> {
        let AppParts { config, storage, shared, keys, clock, random, sender, guard, roots, .. } = parts;
        let (tracker, stopping) = (TaskTracker::new(), CancellationToken::new());
        let streams = Hub::across(&shared, Wake::stream);
        let sealer = Sealer::new(&keys);
        let pusher = Pusher::new(PusherParts {
            storage: storage.clone(),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            streams: Hub::clone(&streams),
            sender,
            tracker: tracker.clone(),
            stopping: stopping.clone(),
            limits: parts.push_limits,
        });
        let outbox = Outbox::new(OutboxParts {
            storage: storage.clone(),
            sealer: sealer.clone(),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            client: CallbackClient::new(guard.clone(), &roots)?,
            herald: shared.herald().clone(),
            stopping: stopping.clone(),
            limits: parts.outbox_limits,
        });
        let totp = TotpRoom::new(TotpParts {
            readers: storage.readers().clone(),
            sealer: sealer.clone(),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
        })?;
        Ok(Arc::new(Self {
            decoy: Decoy::new(&sealer, random.as_ref())?,
            tokens: Tokens::new(keys),
            totp: Arc::new(totp),
            limits: Limits::new(Arc::clone(&clock), shared.clone()),
            refused: Refused::default(),
            metrics: Metrics::install(),
            workers: Workers::default(),
            prompts: Hub::across(&shared, |key, &()| Wake::prompt(key)),
            config,
            storage,
            shared,
            clock,
            random,
            sealer,
            pusher,
            outbox,
            streams,
            guard,
            tracker,
            stopping,
        }))
    }

    /// Starts what runs beside the requests: callbacks, later pushes, sweeping.
    pub fn start(self: &Arc<Self>) {
        self.metrics.started(self.clock.now());
        self.join();
        let (outbox, pusher, app) = (self.outbox.clone(), self.pusher.clone(), Arc::clone(self));
        self.supervise("outbox", move || outbox.clone().run());
        self.supervise("push", move || pusher.clone().run());
        self.supervise("sweep", move || crate::sweep::run(Arc::clone(&app)));
    }

    /// Keeps a worker running until the relay stops.
    fn supervise<F>(&self, worker: &'static str, start: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let workers = self.workers.clone();
        self.tracker.spawn(workers.supervise(worker, Pauses::default(), self.stopping.clone(), start));
    }

    /// Begins to share with the other instances. [`App::start`] does; apart from it for a relay whose workers rest.
    pub fn join(self: &Arc<Self>) {
        self.shared.run(Neighbour(Arc::downgrade(self)), &self.tracker, &self.stopping);
    }

    /// Has every stream of a tenant look at its own session again, on every instance.
    pub fn recheck_streams_of(&self, tenant_id: &TenantId) {
        self.shared.herald().tell(Wake::Tenant { tenant_id: tenant_id.clone() });
        self.recheck_streams_here(tenant_id);
    }

    fn recheck_streams_here(&self, tenant_id: &TenantId) {
        self.streams.wake_where(|(tenant, _)| tenant == tenant_id, &StreamEvent::Recheck);
    }

    /// The operator calls on tenants.
    pub fn registry(&self) -> Registry<'_> {
        Registry {
            storage: &self.storage,
            sealer: &self.sealer,
            clock: self.clock.as_ref(),
            random: self.random.as_ref(),
            allow_http: self.config.guard.allow_private,
        }
    }
}

/// Passes on what other instances tell.
#[derive(Debug)]
struct Neighbour(Weak<App>);

impl Ears for Neighbour {
    fn hear(&self, wake: Wake) {
        let Some(app) = self.0.upgrade() else { return };
        match wake {
            Wake::Prompt { tenant_id, instruction_id } => app.prompts.wake_here(&(tenant_id, instruction_id), ()),
            Wake::Stream { tenant_id, relay_user_linked_id, hint } => {
                // A hint that this version does not know may be about the right to listen.
                let event = hint.and_then(HintWords::hint).map_or(StreamEvent::Recheck, StreamEvent::Hint);
                app.streams.wake_here(&(tenant_id, relay_user_linked_id), event);
            }
            Wake::Tenant { tenant_id } => app.recheck_streams_here(&tenant_id),
            Wake::Outbox => app.outbox.wake_here(),
            // The listener's own business.
            Wake::Everybody | Wake::Beat => (),
        }
    }
}

/// A secret of nobody, sealed like a tenant's own: calls in the name of an unknown tenant are verified against it, so that
/// they take as long as those of a known one (ATTACKS A101).
#[derive(Debug)]
pub struct Decoy {
    tenant_id: TenantId,
    sealed: SealedSecret,
}

impl Decoy {
    fn new(sealer: &Sealer, random: &dyn Random) -> Result<Self, SealError> {
        let tenant_id = TenantId::draw(random)?;
        let secret = Secret::draw_tenant_secret(random)?;
        let sealed = SealedSecret::seal(sealer, random, &tenant_id, &secret)?;
        Ok(Self { tenant_id, sealed })
    }

    /// Opens it.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] under another master key.
    pub fn open(&self, sealer: &Sealer) -> Result<Secret, StorageError> {
        self.sealed.open(sealer, &self.tenant_id)
    }
}
