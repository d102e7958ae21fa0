//! The task that keeps a token at hand.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::exchange::exchange;
use super::{AccessToken, Shared, TokenError};

/// The wait after a first failure; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Its end, and the wait after a refusal that only a person can mend.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Two exchanges that both succeed are at least so far apart, however short the tokens live.
const LEAST_REST: Duration = Duration::from_millis(500);

/// Exchanges for ever; ends when it is aborted.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut failures = 0;
    loop {
        match exchange(&shared).await {
            Ok(token) => {
                failures = 0;
                tracing::debug!(expires_at = %token.expires_at, "fcm access token renewed");
                let rest = rest(&token, token.expires_at.since(shared.clock.now()));
                shared.state.send_modify(|state| {
                    state.token = Some(token);
                    state.failure = None;
                });
                tokio::time::sleep(LEAST_REST.min(rest)).await;
                until_needed(&shared, rest.saturating_sub(LEAST_REST)).await;
            }
            Err(error) => {
                failures += 1;
                let pause = pause(failures, error);
                report(error, failures, pause);
                let next = Instant::now() + pause;
                shared.state.send_modify(|state| state.failure = Some((error, next)));
                tokio::time::sleep_until(next).await;
            }
        }
    }
}

/// Ends after `rest`, or as soon as somebody finds that there is no usable token: it was dropped, or the clock has jumped.
async fn until_needed(shared: &Shared, rest: Duration) {
    let missing = async {
        loop {
            shared.wanted.notified().await;
            // A call from before this token came is no reason to ask for another.
            if shared.state.borrow().usable(shared.clock.now()).is_none() {
                return;
            }
        }
    };
    // Running out of time is one of the two ways to end.
    let _ = tokio::time::timeout(rest, missing).await;
}

/// 75 to 85 % of what is left of the token's life. The share hangs on the token itself, so that several relays that were
/// started together do not renew together.
fn rest(token: &AccessToken, left: Duration) -> Duration {
    let share = Sha256::digest(token.expose().as_bytes())[0];
    left.mul_f64(0.75 + 0.10 * f64::from(share) / 255.0)
}

fn pause(failures: u32, error: TokenError) -> Duration {
    let doubled = FIRST_PAUSE * 2u32.pow((failures - 1).min(6));
    match error {
        TokenError::InvalidGrant => LONGEST_PAUSE,
        TokenError::Status { retry_after: Some(asked), .. } => doubled.max(asked).min(LONGEST_PAUSE),
        _ => doubled.min(LONGEST_PAUSE),
    }
}

fn report(error: TokenError, failures: u32, pause: Duration) {
    let retry_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    if error == TokenError::InvalidGrant {
        tracing::error!(error = %error, retry_in_ms, "no push can be sent through FCM");
    } else {
        tracing::warn!(error = %error, failures, retry_in_ms, "fcm access token not renewed");
    }
}
