//! The first and the last thing that a relay says in its log: what it is and how it is set up, without a secret.

use std::net::SocketAddr;

use crate::app::App;
use crate::limit::{DEVICE_PER_MIN, STRANGER_PER_MIN};
use crate::outbox::OutboxLimits;
use crate::push::dispatch::PushLimits;

/// The relay accepts connections.
pub fn started(app: &App, address: SocketAddr, outbox: &OutboxLimits, push: &PushLimits) {
    let config = &app.config;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        database = if app.storage.is_shared() { "PostgreSQL" } else { "SQLite" },
        listen = %address,
        admin_listen = config.admin_listen.as_deref(),
        public_url = config.public_url,
        push = if app.pusher.has_sender() { "FCM and streams" } else { "streams" },
        admin_keys = config.admin_keys.len(),
        trusted_proxies = config.trusted_proxies.len(),
        private_callbacks = config.guard.allow_private,
        "the relay has started"
    );
    tracing::info!(
        callbacks_at_once = outbox.concurrency,
        callbacks_at_once_per_endpoint = outbox.per_lane,
        pushes_again_at_once = push.concurrency,
        device_calls_per_min = DEVICE_PER_MIN,
        refused_calls_per_min_and_address = STRANGER_PER_MIN,
        pairing_proof_seconds = config.pairing_proof_ttl.as_secs(),
        "its limits"
    );
}

/// Everything that was accepted is done, or held for the next start.
pub fn stopped() {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "the relay has stopped");
}
