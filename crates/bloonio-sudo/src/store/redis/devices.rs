//! The devices of users, beside the instructions.

use async_trait::async_trait;
use bloonio_wire::id::{TenantId, UserSocketHash};
use fred::interfaces::{HashesInterface, KeysInterface};

use super::script::{Unreadable, unavailable};
use super::{RedisStore, written};
use crate::device_keys::{DeviceKeys, PinOutcome, PinnedDevice};
use crate::store::StoreError;

impl RedisStore {
    fn devices_key(&self, tenant: &TenantId, user: &UserSocketHash) -> String {
        format!("{}bloonio:auth:devices:{{{tenant}}}:{user}", self.space)
    }
}

fn read(text: &str) -> Result<PinnedDevice, Unreadable> {
    serde_json::from_str(text).map_err(|error| Unreadable::of(error.to_string()))
}

#[async_trait]
impl DeviceKeys for RedisStore {
    /// Sent twice it finds its own, and says [`PinOutcome::Known`].
    async fn pin(
        &self,
        tenant: &TenantId,
        user: &UserSocketHash,
        device: &PinnedDevice,
    ) -> Result<PinOutcome, StoreError> {
        let (key, name) = (self.devices_key(tenant, user), device.device_id.clone());
        let text = serde_json::to_string(device).map_err(written)?;
        if self.client.hsetnx(&key, &name, text).await.map_err(unavailable)? {
            return Ok(PinOutcome::Pinned);
        }
        let known: Option<String> = self.client.hget(&key, &name).await.map_err(unavailable)?;
        Ok(match known {
            Some(known) if read(&known)? == *device => PinOutcome::Known,
            _ => PinOutcome::Conflict,
        })
    }

    async fn devices(&self, tenant: &TenantId, user: &UserSocketHash) -> Result<Vec<PinnedDevice>, StoreError> {
        let texts: Vec<String> = self.client.hvals(self.devices_key(tenant, user)).await.map_err(unavailable)?;
        Ok(texts.iter().map(|text| read(text)).collect::<Result<_, _>>()?)
    }

    async fn forget(&self, tenant: &TenantId, user: &UserSocketHash) -> Result<(), StoreError> {
        self.client.del(self.devices_key(tenant, user)).await.map_err(unavailable)
    }
}
