//! Traces: where a request belongs in its callers' traces, and how those go on behind the relay.
//!
//! With the feature `otel`, spans go to the collector of `OTEL_EXPORTER_OTLP_ENDPOINT`; without the feature, or without the
//! variable, everything here does nothing. A trace goes in by `traceparent` (W3C Trace Context), through the request to its
//! pushes, and on to the callback of a decision. From the decision to its callback it is carried in memory: a callback that
//! another process makes, or this one after a restart, begins a trace of its own.

#[cfg(not(feature = "otel"))]
mod off;
#[cfg(feature = "otel")]
mod otel;

#[cfg(not(feature = "otel"))]
pub use off::{accept, carry, follow, inject, stop};
#[cfg(feature = "otel")]
pub use otel::{accept, carry, follow, inject, layer, stop};

/// The variable that names the collector.
pub const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Whether a collector is named.
pub fn is_wanted() -> bool {
    std::env::var_os(ENDPOINT).is_some_and(|endpoint| !endpoint.is_empty())
}
