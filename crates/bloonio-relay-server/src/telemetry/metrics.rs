//! The metrics: their names, and the one recorder of the process. Labels are bounded: never an id, never a path as sent.

use std::sync::OnceLock;

use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Answers, by `route` and `status`.
pub const HTTP_REQUESTS: &str = "bloonio_http_requests_total";
/// Seconds to an answer, by `route`.
pub const HTTP_SECONDS: &str = "bloonio_http_request_seconds";
/// Prompts taken in, by `outcome`.
pub const PROMPTS: &str = "bloonio_prompts_total";
/// Decisions recorded, by `approved`.
pub const DECISIONS: &str = "bloonio_decisions_total";
/// One-time codes looked at, by `outcome`.
pub const TOTP_CODES: &str = "bloonio_totp_codes_total";
/// Messages handed to the push service, by `outcome`.
pub const FCM_SENDS: &str = "bloonio_fcm_sends_total";
/// Messages that were not attempted because the gate to FCM is closed, by `reason`.
pub const FCM_HELD: &str = "bloonio_fcm_held_total";
/// Pauses that FCM asked the whole project for.
pub const FCM_PAUSES: &str = "bloonio_fcm_pauses_total";
/// End of the last pause, in Unix seconds.
pub const FCM_PAUSED_UNTIL: &str = "bloonio_fcm_paused_until_seconds";
/// Messages a second that the lane to FCM lets through at most.
pub const FCM_PACE: &str = "bloonio_fcm_pace_per_second";
/// Whether a breaker (`project`, `ios`, `web`) is open: 1, or 0.
pub const FCM_BREAKER_OPEN: &str = "bloonio_fcm_breaker_open";
/// Push addresses by `state`: `live`, `stale` (silent for 30 days), `dead`, `quarantined`.
pub const ADDRESSES: &str = "bloonio_push_addresses";
/// Push addresses taken out of use, by `verdict` (`dead`, `quarantined`, `silent`).
pub const ADDRESSES_RETIRED: &str = "bloonio_push_addresses_retired_total";
/// Verdicts against addresses that were not carried out because too many came at once, by `verdict`.
pub const ADDRESSES_SPARED: &str = "bloonio_push_addresses_spared_total";
/// Whether the brake on a `verdict` is engaged: 1, or 0.
pub const ADDRESS_BRAKE: &str = "bloonio_push_brake_engaged";
/// Callback attempts, by `outcome`.
pub const CALLBACKS: &str = "bloonio_callbacks_total";
/// Endpoints that have failed ten times in a row and get one attempt at a time.
pub const CALLBACK_BREAKERS_OPEN: &str = "bloonio_callback_breakers_open";
/// Callbacks that wait for an attempt.
pub const OUTBOX_WAITING: &str = "bloonio_outbox_waiting";
/// Age of the oldest of them, in seconds.
pub const OUTBOX_OLDEST_SECONDS: &str = "bloonio_outbox_oldest_seconds";

const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The metrics of the process, in Prometheus' text form.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// The recorder of the process: installed by the first call, shared by all.
    pub fn install() -> Self {
        static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
        let handle = HANDLE.get_or_init(|| {
            let builder = PrometheusBuilder::new();
            // Fails for an empty list of buckets alone.
            let recorder = builder.set_buckets(SECONDS).unwrap_or_default().build_recorder();
            let handle = recorder.handle();
            match metrics::set_global_recorder(recorder) {
                Ok(()) => describe(),
                Err(_) => tracing::warn!("another metrics recorder is installed; /metrics stays empty"),
            }
            handle
        });
        Self(handle.clone())
    }

    /// All metrics as of now.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds what was recorded; to be called now and then, so that memory stays flat without a reader.
    pub fn fold(&self) {
        self.0.run_upkeep();
    }
}

fn describe() {
    describe_counter!(HTTP_REQUESTS, "Answers, by route and status");
    describe_histogram!(HTTP_SECONDS, "Seconds to an answer, by route");
    describe_counter!(PROMPTS, "Prompts taken in, by outcome");
    describe_counter!(DECISIONS, "Decisions recorded");
    describe_counter!(TOTP_CODES, "One-time codes looked at, by outcome");
    describe_counter!(FCM_SENDS, "Messages handed to the push service, by outcome");
    describe_counter!(FCM_HELD, "Messages not attempted because the gate to FCM is closed, by reason");
    describe_counter!(FCM_PAUSES, "Pauses that FCM asked the project for");
    describe_gauge!(FCM_PAUSED_UNTIL, "End of the last pause, in Unix seconds");
    describe_gauge!(FCM_PACE, "Messages a second that the lane to FCM lets through at most");
    describe_gauge!(FCM_BREAKER_OPEN, "Whether a breaker is open");
    describe_gauge!(ADDRESSES, "Push addresses, by state");
    describe_counter!(ADDRESSES_RETIRED, "Push addresses taken out of use, by verdict");
    describe_counter!(ADDRESSES_SPARED, "Verdicts against addresses that were not carried out, by verdict");
    describe_gauge!(ADDRESS_BRAKE, "Whether the brake on a verdict is engaged");
    describe_counter!(CALLBACKS, "Callback attempts, by outcome");
    describe_gauge!(CALLBACK_BREAKERS_OPEN, "Endpoints that get one attempt at a time");
    describe_gauge!(OUTBOX_WAITING, "Callbacks that wait for an attempt");
    describe_gauge!(OUTBOX_OLDEST_SECONDS, "Age of the oldest callback that waits, in seconds");
}
