//! How far a prompt or an alert has come on its way to the devices (PROTOCOL 5, `fetch/delivery-status`).

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::device::Platform;
use crate::display::wire_enum;
use crate::id::{DeviceId, InstructionId};

wire_enum!(
    /// Where a prompt stands, over all its devices.
    DeliveryState,
    "must be a known delivery status",
    /// No device has it yet.
    Pending = "pending",
    /// Every device has it.
    Delivered = "delivered",
    /// Some devices have it.
    Partial = "partial",
    /// Every device failed.
    Failed = "failed",
    /// It was answered.
    Answered = "answered",
    /// It is out of time.
    Expired = "expired",
    /// It was withdrawn.
    Cancelled = "cancelled",
);

wire_enum!(
    /// Where one device's message stands.
    DeviceState,
    "must be a known status of a device's message",
    /// Under way, or waiting for its next attempt.
    Pending = "pending",
    /// Taken by the push service; `stream` devices need none.
    Delivered = "delivered",
    /// Given up.
    Failed = "failed",
    /// Over before it was taken.
    Expired = "expired",
);

/// One device's line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeviceDelivery {
    /// The device.
    pub device_id: DeviceId,
    /// How it is reached.
    pub platform: Platform,
    /// Where its message stands.
    pub status: DeviceState,
    /// FCM's name of the message.
    #[serde(default)]
    pub fcm_message_id: Option<String>,
    /// What the last attempt failed of: a stable word.
    #[serde(default)]
    pub error: Option<String>,
    /// Attempts so far.
    #[serde(default)]
    pub attempts: u32,
    /// When it was taken.
    #[serde(default)]
    pub sent_at: Option<Timestamp>,
    /// When the device fetched what it is about.
    #[serde(default)]
    pub seen_at: Option<Timestamp>,
}

/// Answer to GET /relay/fetch/delivery-status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeliveryStatus {
    /// The tenant's name of it: an instruction id, or a notification id.
    pub instruction_id: InstructionId,
    /// Where it stands.
    pub status: DeliveryState,
    /// Devices that have it.
    pub delivered_count: u32,
    /// Devices that were given up.
    pub failed_count: u32,
    /// Each device.
    #[serde(default)]
    pub devices: Vec<DeviceDelivery>,
}
