//! Waiting for conditions.

use std::future::Future;
use std::time::Duration;

/// Long enough for a loaded machine; reaching it means a defect.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Polls `probe` until it gives something.
///
/// # Panics
/// After [`DEADLINE`], naming `what`.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut probe: impl FnMut() -> F) -> T {
    let mut pause = tokio::time::interval(Duration::from_millis(20));
    let polling = async {
        loop {
            pause.tick().await;
            if let Some(found) = probe().await {
                return found;
            }
        }
    };
    match tokio::time::timeout(DEADLINE, polling).await {
        Ok(found) => found,
        Err(_) => panic!("waited {DEADLINE:?} in vain: {what}"),
    }
}
