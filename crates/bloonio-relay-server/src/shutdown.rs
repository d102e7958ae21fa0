//! Stopping: what is accepted is finished, what waits ends at once, and the process is gone within 10 s (PROTOCOL 10).

use std::time::Duration;

use crate::app::SharedApp;

/// How long requests, callbacks and pushes under way may take. The rest of the 10 s is for closing the database.
pub const DRAIN: Duration = Duration::from_secs(8);

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// When the system refuses to deliver signals.
pub async fn signal() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
        Ok(())
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// Waits until everything that runs beside the requests has ended, and closes the database.
pub async fn drain(app: &SharedApp) {
    app.stopping.cancel();
    app.tracker.close();
    if tokio::time::timeout(DRAIN, app.tracker.wait()).await.is_err() {
        tracing::warn!(
            left = app.tracker.len(),
            "some work did not end in time; its leases lapse and it is done again"
        );
    }
    if tokio::time::timeout(Duration::from_secs(1), app.storage.close()).await.is_err() {
        tracing::warn!("the database was still in use; what was committed is on disk");
    }
}
