//! Redis: whether it is there, and whether it forgets before it is told to.

use std::time::Duration;

use bloonio_wire::random::SystemRandom;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::finding::Finding;
use crate::config::Config;
use crate::shared::listener::Ears;
use crate::shared::wake::Wake;
use crate::shared::{RedisState, Shared, SharedLimits};

const CHECK: &str = "Redis";
/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two looks at a connection that is being made.
const PAUSE: Duration = Duration::from_millis(50);

/// Hears what other instances say, and does nothing.
struct Deaf;

impl Ears for Deaf {
    fn hear(&self, _wake: Wake) {}
}

pub(super) async fn examine(config: &Config) -> Finding {
    let Some(url) = &config.redis_url else {
        return Finding::ok(
            CHECK,
            "not set: every instance counts limits for itself, and looks for decisions of others",
        );
    };
    let shared = match Shared::over_redis(url, SharedLimits::default(), &SystemRandom) {
        Ok(shared) => shared,
        Err(error) => return Finding::fail(CHECK, error.to_string(), "correct RELAY_REDIS_URL"),
    };
    let (tracker, stopping) = (TaskTracker::new(), CancellationToken::new());
    shared.run(Deaf, &tracker, &stopping);
    let finding = look(&shared).await;
    stopping.cancel();
    tracker.close();
    // A server that does not even take leave has been found out already.
    let _ = tokio::time::timeout(PATIENCE, tracker.wait()).await;
    finding
}

async fn look(shared: &Shared) -> Finding {
    let there = async {
        while shared.state().await != RedisState::Up {
            tokio::time::sleep(PAUSE).await;
        }
    };
    if tokio::time::timeout(PATIENCE, there).await.is_err() {
        let advice = "start it, or correct RELAY_REDIS_URL; relays work without it, and count limits each for itself";
        return Finding::fail(CHECK, "does not answer", advice);
    }
    match shared.eviction().await {
        Ok(policy) if policy == "noeviction" || policy.starts_with("volatile-ttl") => Finding::ok(CHECK, "answers"),
        Ok(policy) => Finding::warn(
            CHECK,
            format!("answers, and forgets by itself when it is full ({policy})"),
            "set maxmemory-policy noeviction: limits that are forgotten begin anew",
        ),
        Err(_) => {
            Finding::warn(CHECK, "answers, and does not say what it forgets", "look at its maxmemory-policy by hand")
        }
    }
}
