//! What the relay tells of a user's phones.

use bloonio_wire::callback::Flow;
use bloonio_wire::id::{RelayUserLinkedId, TenantId, UserSocketHash};
use serde::Deserialize;

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
}

/// The body of a `pairing-completed` or `device-added` callback (PROTOCOL 4).
#[derive(Debug, Deserialize)]
pub(super) struct PairingBody {
    user_socket_hash: UserSocketHash,
    backend_user_id: String,
    relay_user_linked_id: RelayUserLinkedId,
    device_id: String,
    #[serde(default)]
    pub(super) tenant_id: Option<TenantId>,
}

impl PairingBody {
    pub(super) fn into_event(self, flow: Flow) -> PairingEvent {
        PairingEvent {
            is_first_device: flow == Flow::PairingCompleted,
            user_socket_hash: self.user_socket_hash,
            backend_user_id: self.backend_user_id,
            relay_user_linked_id: self.relay_user_linked_id,
            device_id: self.device_id,
        }
    }
}
