//! Stopping: what is accepted is finished, what waits ends at once, and the process is gone within 10 s (PROTOCOL 10).

use std::time::Duration;

use crate::app::SharedApp;

/// How long requests, callbacks and pushes under way may take, all together.
pub const DRAIN: Duration = Duration::from_secs(8);
/// How long the last entry of the audit trail and closing the database may take.
const CLOSE: Duration = Duration::from_secs(1);

/// SIGTERM and SIGINT. To be caught before the relay says that it listens: from then on, a signal must not kill it.
#[cfg(unix)]
#[derive(Debug)]
pub struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    /// Begins to catch them.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn catch() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for one of them.
    pub async fn received(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
        }
    }
}

/// The interrupt that this system has.
#[cfg(not(unix))]
#[derive(Debug)]
pub struct Signals;

#[cfg(not(unix))]
impl Signals {
    /// Begins to catch it.
    ///
    /// # Errors
    /// Never.
    pub fn catch() -> std::io::Result<Self> {
        Ok(Self)
    }

    /// Waits for it.
    pub async fn received(self) {
        // Without signals the relay is ended by other means.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Runs `requests`, which ends some time after the relay was told to stop; then waits for what runs beside the requests;
/// but no longer than [`DRAIN`] in all. What does not end in time is held by leases, and done again by the next start.
pub async fn drain(app: &SharedApp, requests: impl Future<Output = ()>) {
    let all = async {
        requests.await;
        // The listener may also have ended by itself.
        app.stopping.cancel();
        app.tracker.close();
        app.tracker.wait().await;
    };
    let overdue = async {
        app.stopping.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        () = all => (),
        () = overdue => tracing::warn!(left = app.tracker.len(), "some work did not end in time"),
    }
    let close = async {
        if app.refused.record(&app.storage, app.clock.now()).await.is_err() {
            tracing::warn!("the last wrong admin keys are not in the audit trail");
        }
        app.storage.close().await;
    };
    if tokio::time::timeout(CLOSE, close).await.is_err() {
        tracing::warn!("the database was still in use; what was committed is on disk");
    }
}
