//! What the relay tells of a user's phones.

use bloonio_wire::callback::Flow;
use bloonio_wire::decision::DeviceKey;
use bloonio_wire::id::{RelayUserLinkedId, TenantId, UserSocketHash};
use serde::Deserialize;

use crate::device_keys::PinnedDevice;

/// A user has paired a phone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PairingEvent {
    /// Whether it is his first.
    pub is_first_device: bool,
    /// The user.
    pub user_socket_hash: UserSocketHash,
    /// The application's own id of the user.
    pub backend_user_id: String,
    /// The pairing.
    pub relay_user_linked_id: RelayUserLinkedId,
    /// The phone.
    pub device_id: String,
    /// The key that it signs decisions with, if it registered one.
    pub device_public_key: Option<DeviceKey>,
    /// Whether this phone was known before: the relay tells everything at least once.
    pub is_repeated: bool,
    /// The signed name of the callback, the same at each repetition, where there was one.
    pub webhook_id: Option<String>,
}

/// The body of a `pairing-completed` or `device-added` callback (PROTOCOL 4).
#[derive(Debug, Deserialize)]
pub(super) struct PairingBody {
    user_socket_hash: UserSocketHash,
    backend_user_id: String,
    relay_user_linked_id: RelayUserLinkedId,
    device_id: String,
    #[serde(default)]
    device_public_key: Option<DeviceKey>,
    #[serde(default)]
    pub(super) tenant_id: Option<TenantId>,
}

impl PairingBody {
    /// The device to pin, if its key is one.
    pub(super) fn device(&self) -> Option<PinnedDevice> {
        let key_holds = self.device_public_key.as_ref().is_none_or(|key| key.check().is_ok());
        key_holds.then(|| PinnedDevice {
            device_id: self.device_id.clone(),
            relay_user_linked_id: self.relay_user_linked_id.clone(),
            device_public_key: self.device_public_key.clone(),
        })
    }

    pub(super) fn user(&self) -> &UserSocketHash {
        &self.user_socket_hash
    }

    pub(super) fn into_event(self, flow: Flow, is_repeated: bool, webhook_id: Option<String>) -> PairingEvent {
        PairingEvent {
            is_first_device: flow == Flow::PairingCompleted,
            user_socket_hash: self.user_socket_hash,
            backend_user_id: self.backend_user_id,
            relay_user_linked_id: self.relay_user_linked_id,
            device_id: self.device_id,
            device_public_key: self.device_public_key,
            is_repeated,
            webhook_id,
        }
    }
}
