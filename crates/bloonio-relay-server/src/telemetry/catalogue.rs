//! What the relay measures: every metric with its kind, its text and the values that its labels can have.
//!
//! Everything is registered with zero at the start: a rate is right from its first event, an alert on something that never
//! happened is no error, and a dashboard has no holes. Labels are bounded: never an id, an address, or what a caller sent.

use metrics::{describe_counter, describe_gauge, describe_histogram};

use super::metrics as names;

/// How a metric is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Spread over buckets; its unit is seconds.
    Histogram,
}

/// The values of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// These and no others.
    Listed(&'static [&'static str]),
    /// Paths of the router's table, or `unmatched`.
    Routes,
    /// HTTP statuses.
    Statuses,
    /// Names of [`bloonio_wire::code::ErrorCode`].
    Codes,
    /// Words from the code of the relay, never from outside.
    Words,
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// How it is counted.
    pub kind: Kind,
    /// What it tells.
    pub help: &'static str,
    /// Its labels.
    pub labels: &'static [(&'static str, Values)],
}

const fn counter(name: &'static str, help: &'static str, labels: &'static [(&'static str, Values)]) -> Metric {
    Metric { name, kind: Kind::Counter, help, labels }
}

const fn gauge(name: &'static str, help: &'static str, labels: &'static [(&'static str, Values)]) -> Metric {
    Metric { name, kind: Kind::Gauge, help, labels }
}

const fn seconds(name: &'static str, help: &'static str, labels: &'static [(&'static str, Values)]) -> Metric {
    Metric { name, kind: Kind::Histogram, help, labels }
}

const WORKERS: (&str, Values) = ("worker", Values::Listed(&["outbox", "push", "sweep"]));

const VERDICTS: (&str, Values) = ("verdict", Values::Listed(&["dead", "quarantined"]));

/// Every metric, except those of the process that the exporter's readers know by their usual names.
pub const CATALOGUE: &[Metric] = &[
    counter(
        names::HTTP_REQUESTS,
        "Answers, by route and status",
        &[("route", Values::Routes), ("status", Values::Statuses)],
    ),
    seconds(names::HTTP_SECONDS, "Seconds to an answer, by route", &[("route", Values::Routes)]),
    gauge(names::HTTP_IN_FLIGHT, "Requests that wait for their answer", &[]),
    counter(names::REFUSALS, "Answers that refuse, by error code", &[("code", Values::Codes)]),
    seconds(
        names::STAGE_SECONDS,
        "Seconds that a stage of an approval took",
        &[("stage", Values::Listed(&["authenticate", "store", "push", "decide", "outbox_wait", "callback"]))],
    ),
    counter(
        names::PROMPTS,
        "Prompts taken in, by outcome",
        &[("outcome", Values::Listed(&["asked", "answered", "cancelled"]))],
    ),
    counter(names::DECISIONS, "Decisions recorded", &[("approved", Values::Listed(&["true", "false"]))]),
    counter(
        names::TOTP_CODES,
        "One-time codes looked at, by outcome",
        &[("outcome", Values::Listed(&["right", "wrong", "locked"]))],
    ),
    counter(names::FCM_SENDS, "Messages handed to the push service, by outcome", &[("outcome", Values::Words)]),
    counter(
        names::FCM_HELD,
        "Messages not attempted because the gate to FCM is closed, by reason",
        &[("reason", Values::Listed(&["fcm_paused", "fcm_breaker_open", "fcm_lane_full"]))],
    ),
    counter(names::FCM_PAUSES, "Pauses that FCM asked the project for", &[]),
    gauge(names::FCM_PAUSED_UNTIL, "End of the last pause, in Unix seconds", &[]),
    gauge(names::FCM_PACE, "Messages a second that the lane to FCM lets through at most", &[]),
    gauge(
        names::FCM_BREAKER_OPEN,
        "Whether a breaker is open",
        &[("breaker", Values::Listed(&["project", "ios", "web"]))],
    ),
    gauge(
        names::ADDRESSES,
        "Push addresses, by state; counted once an hour",
        &[("state", Values::Listed(&["live", "stale", "dead", "quarantined"]))],
    ),
    counter(
        names::ADDRESSES_RETIRED,
        "Push addresses taken out of use, by verdict",
        &[("verdict", Values::Listed(&["dead", "quarantined", "silent"]))],
    ),
    counter(
        names::ADDRESSES_SPARED,
        "Verdicts against addresses that were not carried out because too many came at once",
        &[VERDICTS],
    ),
    gauge(names::ADDRESS_BRAKE, "1 while the brake on a verdict is engaged", &[VERDICTS]),
    counter(
        names::CALLBACKS,
        "Callback attempts, by outcome",
        &[("outcome", Values::Listed(&["acknowledged", "failed", "dead"]))],
    ),
    counter(
        names::CONNECTIONS_REFUSED,
        "Connections that were closed at once, by the limit that they were too many for",
        &[("limit", Values::Listed(&["total", "address"]))],
    ),
    gauge(names::REDIS_UP, "1 while other instances are heard over Redis, 0 while they are not", &[]),
    counter(
        names::REDIS_FALLBACKS,
        "What was done without Redis although it is configured, by use",
        &[("use", Values::Listed(&["replay", "limit", "wake"]))],
    ),
    gauge(names::CALLBACK_BREAKERS_OPEN, "Endpoints that failed ten times in a row and get one attempt at a time", &[]),
    gauge(names::OUTBOX_WAITING, "Callbacks that wait for an attempt", &[]),
    gauge(names::OUTBOX_OLDEST_SECONDS, "Age of the oldest callback that waits, in seconds", &[]),
    gauge(names::STREAMS_OPEN, "Open streams of devices", &[]),
    gauge(names::LONG_POLLS_OPEN, "Calls that wait for a decision", &[]),
    gauge(names::WORKER_UP, "1 while the worker runs, 0 while it waits to be started again", &[WORKERS]),
    counter(names::WORKER_RESTARTS, "Times that a worker fell over and was started again", &[WORKERS]),
    counter(names::WORKER_ERRORS, "Rounds of a worker that came to nothing; it comes again", &[WORKERS]),
    counter(names::CLOCK_JUMPS, "Jumps of the system's clock by two seconds or more", &[]),
    gauge(
        names::CLOCK_SKEW,
        "Seconds by which the clock of another machine is ahead of this one's",
        &[("peer", Values::Listed(&["google", "database"]))],
    ),
    gauge(
        names::DATABASE_CONNECTIONS,
        "Connections to the database, by pool and state",
        &[("pool", Values::Listed(&["read", "write"])), ("state", Values::Listed(&["open", "idle"]))],
    ),
    gauge(names::BUILD_INFO, "1; its labels say which relay this is", &[("version", Values::Words)]),
    gauge(names::PROCESS_MEMORY, "Resident memory in bytes", &[]),
    gauge(names::PROCESS_FDS, "Open file descriptors", &[]),
    gauge(names::PROCESS_START, "Start of the process, in seconds since 1970", &[]),
];

/// Describes and registers all of them with the recorder of the process.
pub(super) fn register() {
    for metric in CATALOGUE {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Histogram => describe_histogram!(metric.name, metric.help),
        }
        match metric.labels {
            [] => zero(metric, &[]),
            [(label, Values::Listed(values))] => values.iter().for_each(|value| zero(metric, &[(label, value)])),
            // What cannot be listed appears when it happens.
            _ => (),
        }
    }
}

fn zero(metric: &Metric, labels: &[(&'static str, &'static str)]) {
    match metric.kind {
        Kind::Counter => metrics::counter!(metric.name, labels).increment(0),
        Kind::Gauge => metrics::gauge!(metric.name, labels).increment(0.0),
        Kind::Histogram => drop(metrics::histogram!(metric.name, labels)),
    }
}
