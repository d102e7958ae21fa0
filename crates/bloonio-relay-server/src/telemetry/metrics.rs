//! The metrics: their names, and the one recorder of the process. What each tells, and which labels it has, stands in
//! [`super::catalogue`].

use std::sync::OnceLock;

use bloonio_wire::clock::Timestamp;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::{catalogue, process};

/// Answers, by `route` and `status`.
pub const HTTP_REQUESTS: &str = "bloonio_http_requests_total";
/// Seconds to an answer, by `route`.
pub const HTTP_SECONDS: &str = "bloonio_http_request_seconds";
/// Requests that wait for their answer.
pub const HTTP_IN_FLIGHT: &str = "bloonio_http_requests_in_flight";
/// Answers that refuse, by `code`.
pub const REFUSALS: &str = "bloonio_refusals_total";
/// Seconds that a stage of an approval took, by `stage`: [`super::stage::Stage`].
pub const STAGE_SECONDS: &str = "bloonio_stage_seconds";
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
/// Open streams of devices.
pub const STREAMS_OPEN: &str = "bloonio_streams_open";
/// Calls that wait for a decision.
pub const LONG_POLLS_OPEN: &str = "bloonio_long_polls_open";
/// Whether a worker runs, by `worker`.
pub const WORKER_UP: &str = "bloonio_worker_up";
/// Times that a worker fell over, by `worker`.
pub const WORKER_RESTARTS: &str = "bloonio_worker_restarts_total";
/// Rounds of a worker that came to nothing, by `worker`.
pub const WORKER_ERRORS: &str = "bloonio_worker_errors_total";
/// Jumps of the system's clock.
pub const CLOCK_JUMPS: &str = "bloonio_clock_jumps_total";
/// Seconds by which the clock of another machine is ahead of this one's, by `peer`.
pub const CLOCK_SKEW: &str = "bloonio_clock_skew_seconds";
/// Connections to the database, by `pool` and `state`.
pub const DATABASE_CONNECTIONS: &str = "bloonio_database_connections";
/// Which relay this is, by `version`.
pub const BUILD_INFO: &str = "bloonio_build_info";
/// Resident memory in bytes.
pub const PROCESS_MEMORY: &str = "process_resident_memory_bytes";
/// Open file descriptors.
pub const PROCESS_FDS: &str = "process_open_fds";
/// Start of the process, in seconds since 1970.
pub const PROCESS_START: &str = "process_start_time_seconds";
/// Connections that were closed at once, by the `limit` that they were too many for.
pub const CONNECTIONS_REFUSED: &str = "bloonio_connections_refused_total";
/// Whether other instances are heard over Redis.
pub const REDIS_UP: &str = "bloonio_redis_up";
/// What was done without Redis although it is configured, by `use`.
pub const REDIS_FALLBACKS: &str = "bloonio_redis_fallbacks_total";

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
                Ok(()) => catalogue::register(),
                Err(_) => tracing::warn!("another metrics recorder is installed; /metrics stays empty"),
            }
            handle
        });
        Self(handle.clone())
    }

    /// Notes which relay this is, and since when it runs.
    pub fn started(&self, at: Timestamp) {
        metrics::gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        metrics::gauge!(PROCESS_START).set(at.as_secs() as f64);
    }

    /// All metrics as of now.
    pub fn render(&self) -> String {
        process::sample();
        self.0.render()
    }

    /// Folds what was recorded; to be called now and then, so that memory stays flat without a reader.
    pub fn fold(&self) {
        self.0.run_upkeep();
    }
}
