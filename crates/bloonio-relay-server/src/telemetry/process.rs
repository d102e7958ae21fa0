//! What the system knows of this process, read when somebody looks: under the names that Prometheus' own clients use.

use super::metrics::{PROCESS_FDS, PROCESS_MEMORY};

/// Reads memory and open files; where the system has no /proc, the gauges stay at zero.
pub(super) fn sample() {
    if let Some(bytes) = resident_bytes() {
        metrics::gauge!(PROCESS_MEMORY).set(bytes);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        metrics::gauge!(PROCESS_FDS).set(open.count() as f64);
    }
}

/// `VmRSS` of /proc/self/status, which names its unit.
fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}
