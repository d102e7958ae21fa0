//! Forgetting in time: what is remembered for a while must not be remembered for ever.

use std::sync::Arc;
use std::time::Duration;

use crate::app::{App, SharedApp};
use crate::epoch::Memory;
use crate::keys;
use crate::push::hygiene::Hygiene;
use crate::storage::{StorageError, pairing, replay, retention, schema};
use crate::telemetry::metrics::WORKER_ERRORS;
use crate::telemetry::skew::{ClockWatch, Peer};

/// How often.
const EVERY: Duration = Duration::from_secs(30);

/// Sweeps until the relay stops.
pub(crate) async fn run(app: SharedApp) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut hygiene = Hygiene::default();
    let mut clocks = ClockWatch::default();
    while !app.stopping.is_cancelled() {
        tokio::select! {
            () = app.stopping.cancelled() => break,
            _ = ticks.tick() => (),
        }
        clocks.look(tokio::time::Instant::now(), app.clock.now());
        let swept = match sweep(&app).await {
            Ok(()) => hygiene.look(&app.storage, app.clock.now()).await,
            failed => failed,
        };
        if let Err(failure) = swept {
            metrics::counter!(WORKER_ERRORS, "worker" => "sweep").increment(1);
            tracing::error!(error = &failure as &dyn std::error::Error, "sweeping failed; it comes again");
        }
        remember(&app).await;
    }
    // What was done since the last round.
    remember(&app).await;
}

/// Keeps in the data folder how far the database is, so that an older one is noticed.
async fn remember(app: &Arc<App>) {
    if let Err(failure) = Memory::of(&app.config.store.data_dir).keep(&app.storage).await {
        tracing::error!(error = &failure as &dyn std::error::Error, "cannot keep how far the database is");
    }
}

/// One round.
///
/// # Errors
/// [`StorageError`]; the next round does what this one did not.
pub async fn sweep(app: &Arc<App>) -> Result<(), StorageError> {
    app.limits.sweep();
    app.metrics.fold();
    let ours = app.clock.now();
    if let Some(theirs) = schema::clock(&app.storage).await? {
        Peer::Database.says(theirs, ours);
    }
    // Another relay, one without this key, may have let it go since: what is sealed from now on needs it again.
    keys::record(&app.storage, &app.sealer, app.clock.as_ref()).await?;
    app.refused.record(&app.storage, app.clock.now()).await?;
    let replays = replay::sweep(&app.storage, app.clock.now()).await?;
    let proofs = pairing::forget_proofs(&app.storage, app.clock.now()).await?;
    let over = retention::sweep(&app.storage, app.clock.now()).await?;
    tracing::debug!(replays, proofs, over, "swept");
    Ok(())
}
