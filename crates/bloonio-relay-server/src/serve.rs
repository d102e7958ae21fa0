//! `bloonio-relay-server serve`: from settings to a listening relay, and to its end.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use bloonio_wire::clock::{Clock, SystemClock};
use bloonio_wire::random::{Random, SystemRandom};
use sqlx::migrate::MigrateError;
use tokio::net::TcpListener;

use crate::app::{App, AppParts};
use crate::config::{Config, StoreConfig, master_key};
use crate::epoch::Memory;
use crate::http::{listener, router};
use crate::keys::{self, KeysError};
use crate::net::client::{ExtraRoots, push_connections};
use crate::net::guard::Guard;
use crate::outbox::OutboxLimits;
use crate::push::PushSender;
use crate::push::dispatch::PushLimits;
use crate::push::fcm::{Credentials, FcmClient, FcmSender, LaneLimits};
use crate::seal::{KeyRing, MasterKey, Sealer};
use crate::shared::{Shared, SharedError, SharedLimits};
use crate::shutdown::{self, Signals};
use crate::storage::{Storage, StorageError};
use crate::telemetry::{introduction, trace};

/// Opens the database as it is, and makes the file if it is missing.
///
/// # Errors
/// An unusable file or server.
pub async fn database(config: &StoreConfig) -> anyhow::Result<Storage> {
    connect(config).await.context("cannot open the database")
}

/// Opens the database and the keys to it; both are made at the first start.
///
/// # Errors
/// An unusable folder, key or database, or a key that does not fit the database.
pub async fn open(config: &StoreConfig) -> anyhow::Result<(Storage, KeyRing)> {
    master_key::create_data_dir(&config.data_dir)?;
    let kept = master_key::load(config)?;
    let storage = database(config).await?;
    migrate(&storage).await?;
    let known = kept.is_some();
    let keys = match kept {
        Some(keys) => keys,
        // Not kept yet: a fresh key opens only what nothing was sealed in. Beside a database whose key is lost it would be
        // of no use, and hide that the file must be restored.
        None => KeyRing::new(MasterKey::draw(&SystemRandom)?),
    };
    let checked = keys::check(&storage, &Sealer::new(&keys), SystemClock.now()).await;
    ensure!(
        known || !matches!(checked, Err(KeysError::Missing { .. })),
        "there is no master key, and this database was made with one; restore master.key from its backup"
    );
    checked?;
    let keys = if known { keys } else { master_key::keep(config, keys.current().clone(), &SystemRandom)? };
    keys::record(&storage, &Sealer::new(&keys), &SystemClock).await?;
    Ok((storage, keys))
}

/// Opens the database as it is; a SQLite file is created.
///
/// # Errors
/// Those of [`Storage::open`].
pub async fn connect(config: &StoreConfig) -> Result<Storage, StorageError> {
    match &config.database_url {
        Some(url) => Storage::open(url.expose()).await,
        None => Storage::open_file(&config.default_database()).await,
    }
}

/// Brings the database up to date. One that a newer relay has written to is left alone: this one does not know what its
/// columns mean (ATTACKS A98).
async fn migrate(storage: &Storage) -> anyhow::Result<()> {
    match storage.migrate().await {
        Err(StorageError::Migration(MigrateError::VersionMissing(version))) => bail!(
            "the database was written by a newer relay (it has migration {version}, which this version {} does not know); \
             start that version or a newer one",
            env!("CARGO_PKG_VERSION")
        ),
        done => done.context("cannot bring the database up to date"),
    }
}

/// Runs a relay until SIGTERM or SIGINT.
///
/// # Errors
/// Whatever keeps it from starting.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let roots = ExtraRoots::from_file(config.extra_ca_file.as_deref())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let sender = push_sender(&config, &roots, &clock)?;
    let shared = shared(&config, random.as_ref()).context("RELAY_REDIS_URL")?;
    let (storage, keys) = open(&config.store).await?;
    Memory::of(&config.store.data_dir).admit(&storage).await?;
    let socket = bind("RELAY_LISTEN", &config.listen).await?;
    let address = socket.local_addr()?;
    let admin = match &config.admin_listen {
        Some(listen) => Some(bind("RELAY_ADMIN_LISTEN", listen).await?),
        None => None,
    };
    let guard = Guard::new(config.guard.clone());
    guard.refuse_listener(address);
    if let Some(admin) = &admin {
        guard.refuse_listener(admin.local_addr()?);
    }
    let (outbox_limits, push_limits) = (OutboxLimits::default(), PushLimits::default());
    let app = App::new(AppParts {
        config: config.bound_to(address),
        storage,
        shared,
        keys,
        clock,
        random,
        sender,
        guard,
        roots,
        outbox_limits,
        push_limits,
    })?;
    app.start();
    warn_of_open_questions(&app.config);
    if let Some(admin) = admin {
        let service = router::admin_router(&app);
        let limits = app.config.connections.clone();
        app.tracker.spawn(listener::serve(admin, limits, service, app.stopping.clone()));
    }
    let signals = Signals::catch().context("cannot catch signals")?;
    let stopping = app.stopping.clone();
    app.tracker.spawn(async move {
        tokio::select! {
            () = signals.received() => (),
            () = stopping.cancelled() => (),
        }
        stopping.cancel();
        tracing::info!("stopping");
    });
    announce(address)?;
    introduction::started(&app, address, &outbox_limits, &push_limits);
    let requests = listener::serve(socket, app.config.connections.clone(), router::router(&app), app.stopping.clone());
    shutdown::drain(&app, requests).await;
    introduction::stopped();
    trace::stop().await;
    Ok(())
}

/// What is shared with other instances. Nobody there is no reason not to start.
fn shared(config: &Config, random: &dyn Random) -> Result<Shared, SharedError> {
    match &config.redis_url {
        Some(url) => Shared::over_redis(url, SharedLimits::default(), random),
        None if config.store.is_shared() => Ok(Shared::by_database()),
        None => Ok(Shared::alone()),
    }
}

/// The push service, if it is configured: its key file is read and checked before anything is opened.
fn push_sender(
    config: &Config,
    roots: &ExtraRoots,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<Arc<dyn PushSender>>> {
    let Some(path) = &config.fcm_credentials else { return Ok(None) };
    let credentials = Credentials::from_file(path).context("RELAY_FCM_CREDENTIALS")?;
    let connections = push_connections(roots)?;
    let client = FcmClient::new(credentials, &config.fcm_endpoint, connections, Arc::clone(clock))?;
    client.start();
    let limits = LaneLimits { per_min: config.fcm_messages_per_min, ..LaneLimits::default() };
    Ok(Some(Arc::new(FcmSender::with_limits(client, Arc::clone(clock), limits))))
}

async fn bind(variable: &str, listen: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(listen).await.with_context(|| format!("{variable}: cannot listen on {listen}"))
}

/// The one line on standard output, by which whoever started the relay knows that it is there (PROTOCOL 10).
fn announce(address: SocketAddr) -> std::io::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on http://{address}")?;
    out.flush()
}

fn warn_of_open_questions(config: &Config) {
    if config.admin_keys.is_empty() {
        tracing::warn!("RELAY_ADMIN_KEY is not set: operator calls are refused");
    }
    if config.fcm_credentials.is_none() {
        tracing::info!("RELAY_FCM_CREDENTIALS is not set: stream devices alone can be paired");
    }
    if config.guard.allow_private {
        tracing::warn!("RELAY_ALLOW_PRIVATE_CALLBACKS is set: callbacks may reach private addresses");
    }
}
