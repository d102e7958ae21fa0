//! What is over is forgotten in time: a database that keeps everything for ever is slow one day, and holds what people
//! asked and answered longer than anybody needs it.
//!
//! Rows go in batches of bounded size, each a statement of its own, so that a large backlog holds up no decision.

use std::time::Duration;

use bloonio_wire::clock::Timestamp;

use super::{Storage, StorageError};
use crate::storage::db::query;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Prompts, their answers and their pushes: long enough to look into a complaint, and far beyond the 4 days for which an
/// answer must be found again (SECURITY, "What counts as approved").
pub const PROMPTS_KEPT: Duration = DAY.saturating_mul(30);
/// Alerts and their pushes, after they have left the list.
pub const ALERTS_KEPT: Duration = DAY.saturating_mul(30);
/// Callbacks that were acknowledged.
pub const ACKNOWLEDGED_KEPT: Duration = DAY.saturating_mul(30);
/// Callbacks that nobody took: an operator may still want to send them again, and has a quarter to notice.
pub const DEAD_KEPT: Duration = DAY.saturating_mul(90);
/// Removed devices, for the question who approved what; longer than any push that names them. Their push addresses go at
/// once, with the removal.
pub const DEVICES_KEPT: Duration = DAY.saturating_mul(90);

/// Rows of one statement: a few milliseconds of the only writer.
const BATCH: u32 = 500;
/// Statements of one rule and round; what is left waits for the next round.
const BATCHES: u32 = 20;

/// Which rows go, and how long after their end. Every statement takes the last instant that goes, and the batch.
const RULES: &[(&str, Duration)] = &[
    (
        "-- forget_prompts
         DELETE FROM prompts WHERE (tenant_id, instruction_id) IN (SELECT tenant_id, instruction_id FROM prompts WHERE expires_at <= $1 LIMIT $2)",
        PROMPTS_KEPT,
    ),
    (
        "-- forget_alerts
         DELETE FROM alerts WHERE (tenant_id, notification_id) IN (SELECT tenant_id, notification_id FROM alerts WHERE expires_at <= $1 LIMIT $2)",
        ALERTS_KEPT,
    ),
    (
        "-- forget_pushes
         DELETE FROM pushes WHERE (tenant_id, subject_id, kind, device_id) IN (
             SELECT tenant_id, subject_id, kind, device_id FROM pushes WHERE state IN ('delivered', 'failed', 'expired') AND expires_at <= $1 LIMIT $2
         )",
        PROMPTS_KEPT,
    ),
    (
        "-- forget_acknowledged_deliveries
         DELETE FROM deliveries WHERE (tenant_id, delivery_id) IN (
             SELECT tenant_id, delivery_id FROM deliveries WHERE state = 'acknowledged' AND settled_at <= $1 LIMIT $2
         )",
        ACKNOWLEDGED_KEPT,
    ),
    (
        "-- forget_dead_deliveries
         DELETE FROM deliveries WHERE (tenant_id, delivery_id) IN (
             SELECT tenant_id, delivery_id FROM deliveries WHERE state = 'dead' AND settled_at <= $1 LIMIT $2
         )",
        DEAD_KEPT,
    ),
    (
        "-- forget_failing_lanes
         DELETE FROM failing_lanes WHERE lane IN (SELECT lane FROM failing_lanes WHERE last_failed <= $1 LIMIT $2)",
        DEAD_KEPT,
    ),
    (
        // Before the devices, which it refers to.
        "-- forget_grace_of_removed_devices
         DELETE FROM device_grace WHERE (tenant_id, device_id, generation) IN (
             SELECT g.tenant_id, g.device_id, g.generation FROM devices d
             JOIN device_grace g ON g.tenant_id = d.tenant_id AND g.device_id = d.device_id
             WHERE d.status = 'removed' AND d.removed_at <= $1 LIMIT $2
         )",
        DEVICES_KEPT,
    ),
    (
        "-- forget_removed_devices
         DELETE FROM devices WHERE (tenant_id, device_id) IN (
             SELECT d.tenant_id, d.device_id FROM devices d WHERE d.status = 'removed' AND d.removed_at <= $1
             AND NOT EXISTS (SELECT 1 FROM device_grace g WHERE g.tenant_id = d.tenant_id AND g.device_id = d.device_id)
             LIMIT $2
         )",
        DEVICES_KEPT,
    ),
];

/// Deletes what is over for long enough; answers how many rows that were.
///
/// # Errors
/// [`StorageError::Database`]; what was deleted before it stays deleted.
pub async fn sweep(storage: &Storage, now: Timestamp) -> Result<u64, StorageError> {
    let mut all = 0;
    for (statement, kept) in RULES {
        for _ in 0..BATCHES {
            let deleted = query(*statement)
                .bind(now.minus(*kept).as_millis())
                .bind(BATCH)
                .execute(storage.writer())
                .await?
                .rows_affected();
            all += deleted;
            if deleted < u64::from(BATCH) {
                break;
            }
        }
    }
    Ok(all)
}
