//! The devices of users, as the relay told them when they were paired, with the keys that they sign decisions with
//! (SECURITY, "Devices").
//!
//! A relay that was taken over could say "approved" of anything. It cannot sign with a phone's key: where the engine
//! requires device signatures, a decision counts only if it is signed by a key that was pinned here before. A pin is made
//! once; the key of a device never changes. What this cannot tell is a forged pairing from a real one: an application that
//! fears that looks at each [`PairingEvent`](crate::PairingEvent), for example by asking the user on another way.

use std::fmt;

use async_trait::async_trait;
use bloonio_wire::decision::DeviceKey;
use bloonio_wire::id::{RelayUserLinkedId, TenantId, UserSocketHash};
use serde::{Deserialize, Serialize};

use crate::store::StoreError;

/// A device of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedDevice {
    /// The relay's name of it.
    pub device_id: String,
    /// The relay's name of the user's pairing.
    pub relay_user_linked_id: RelayUserLinkedId,
    /// What it signs with, if it registered a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_public_key: Option<DeviceKey>,
}

/// What became of a wish to pin a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinOutcome {
    /// It was not known, and is now.
    Pinned,
    /// It was known, and the same.
    Known,
    /// It was known with another key or pairing. Nothing changed.
    Conflict,
}

/// Keeps the devices of users, for good: [`KEPT_FOR`](crate::store::KEPT_FOR) does not concern them.
#[async_trait]
pub trait DeviceKeys: Send + Sync + fmt::Debug {
    /// Pins a device, unless one of that name is there: one atomic step.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn pin(
        &self,
        tenant: &TenantId,
        user: &UserSocketHash,
        device: &PinnedDevice,
    ) -> Result<PinOutcome, StoreError>;

    /// Every device of a user, in no order.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn devices(&self, tenant: &TenantId, user: &UserSocketHash) -> Result<Vec<PinnedDevice>, StoreError>;

    /// Forgets a user's devices, for an application that has revoked his pairing.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn forget(&self, tenant: &TenantId, user: &UserSocketHash) -> Result<(), StoreError>;
}

#[cfg(feature = "memory")]
pub use memory::MemoryDeviceKeys;

#[cfg(feature = "memory")]
mod memory {
    use std::collections::HashMap;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::{DeviceKeys, PinOutcome, PinnedDevice, StoreError, TenantId, UserSocketHash, async_trait};

    type Users = HashMap<(TenantId, UserSocketHash), HashMap<String, PinnedDevice>>;

    /// Devices in this process. After a restart none is known: users must pair anew before their signatures count.
    #[derive(Debug, Default)]
    pub struct MemoryDeviceKeys(Mutex<Users>);

    impl MemoryDeviceKeys {
        fn users(&self) -> MutexGuard<'_, Users> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    #[async_trait]
    impl DeviceKeys for MemoryDeviceKeys {
        async fn pin(
            &self,
            tenant: &TenantId,
            user: &UserSocketHash,
            device: &PinnedDevice,
        ) -> Result<PinOutcome, StoreError> {
            let mut users = self.users();
            let devices = users.entry((tenant.clone(), user.clone())).or_default();
            let outcome = match devices.get(&device.device_id) {
                None => PinOutcome::Pinned,
                Some(known) if known == device => PinOutcome::Known,
                Some(_) => PinOutcome::Conflict,
            };
            if outcome == PinOutcome::Pinned {
                devices.insert(device.device_id.clone(), device.clone());
            }
            Ok(outcome)
        }

        async fn devices(&self, tenant: &TenantId, user: &UserSocketHash) -> Result<Vec<PinnedDevice>, StoreError> {
            let users = self.users();
            let devices = users.get(&(tenant.clone(), user.clone()));
            Ok(devices.map(|devices| devices.values().cloned().collect()).unwrap_or_default())
        }

        async fn forget(&self, tenant: &TenantId, user: &UserSocketHash) -> Result<(), StoreError> {
            self.users().remove(&(tenant.clone(), user.clone()));
            Ok(())
        }
    }
}
