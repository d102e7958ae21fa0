//! The phone's memory: its pairings, their keys and session tokens, in one file.

mod home;

use std::fmt;

use bloonio_authenticator::answer::DeviceIdentity;
use bloonio_authenticator::client::{PushAddress, Session};
use bloonio_authenticator::totp::{CodeMaker, SeedError};
use bloonio_wire::clock::Timestamp;
use bloonio_wire::decision::DeviceSigningKey;
use bloonio_wire::device::{PairingInfo, Platform};
use bloonio_wire::id::{DeviceId, TenantId};
use bloonio_wire::secret::Secret;
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

pub use home::{Home, Locked, StateError};

/// The only version there is. A file of another one is refused, not rewritten.
const VERSION: u32 = 1;

/// The whole memory.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    version: u32,
    /// One a relay, tenant and user.
    pub pairings: Vec<Pairing>,
}

impl Default for State {
    fn default() -> Self {
        Self { version: VERSION, pairings: Vec::new() }
    }
}

impl State {
    /// The pairing of this device.
    pub fn pairing(&self, device: &DeviceId) -> Option<&Pairing> {
        self.pairings.iter().find(|pairing| pairing.info.device_id == *device)
    }

    /// Puts `pairing` in, in the place of the one with the same relay, tenant and user; gives that one.
    pub fn put(&mut self, pairing: Pairing) -> Option<Pairing> {
        match self.pairings.iter_mut().find(|known| known.is_same(&pairing.relay, &pairing.info)) {
            Some(known) => Some(std::mem::replace(known, pairing)),
            None => {
                self.pairings.push(pairing);
                None
            }
        }
    }

    /// The pairing of this device, to be changed.
    pub fn pairing_mut(&mut self, device: &DeviceId) -> Option<&mut Pairing> {
        self.pairings.iter_mut().find(|pairing| pairing.info.device_id == *device)
    }

    /// Forgets this device's pairing.
    pub fn remove(&mut self, device: &DeviceId) {
        self.pairings.retain(|pairing| pairing.info.device_id != *device);
    }
}

/// One pairing, with what this phone needs to act in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pairing {
    /// Base URL of the relay.
    #[serde(with = "as_text")]
    pub relay: Url,
    /// Who is paired with whom.
    pub info: PairingInfo,
    /// What this phone registered as.
    pub platform: Platform,
    /// Its FCM registration token.
    #[serde(with = "exposed::optional", default, skip_serializing_if = "Option::is_none")]
    pub fcm_token: Option<Secret>,
    /// The private key, 32 bytes as hex.
    #[serde(with = "exposed")]
    pub device_key: Secret,
    /// Shown to the relay at every call.
    #[serde(with = "exposed")]
    pub session_token: Secret,
    /// When the token was issued.
    pub session_since: Timestamp,
    /// When the token ends.
    pub session_until: Timestamp,
    /// The seed of the pairing's one-time codes, if this phone is the one that was handed it.
    #[serde(with = "exposed::optional", default, skip_serializing_if = "Option::is_none")]
    pub otpauth_uri: Option<Secret>,
    /// The step of the last code that this phone has used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_totp_step: Option<u64>,
}

/// A key in the file that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a device key is not a key")]
pub struct KeyError;

impl Pairing {
    /// Whether this is the pairing of that user with that tenant at that relay.
    pub fn is_same(&self, relay: &Url, info: &PairingInfo) -> bool {
        self.relay == *relay
            && self.info.tenant_id == info.tenant_id
            && self.info.user_socket_hash == info.user_socket_hash
    }

    /// Whether a command narrowed down to `tenant` means this one.
    pub fn is_of(&self, tenant: Option<&TenantId>) -> bool {
        tenant.is_none_or(|tenant| self.info.tenant_id == *tenant)
    }

    /// Who this phone is in the pairing.
    pub fn identity(&self) -> Result<DeviceIdentity, KeyError> {
        let mut bytes = Zeroizing::new([0u8; 32]);
        hex::decode_to_slice(self.device_key.expose(), bytes.as_mut_slice()).map_err(|_| KeyError)?;
        let key = DeviceSigningKey::from_bytes(&bytes).map_err(|_| KeyError)?;
        Ok(DeviceIdentity::new(self.info.clone(), key))
    }

    /// Makes the pairing's one-time codes; `None` where this phone has no seed.
    pub fn code_maker(&self) -> Option<Result<CodeMaker, SeedError>> {
        self.otpauth_uri.as_ref().map(CodeMaker::from_otpauth_uri)
    }

    /// Takes the seed over from this phone's former registration in the same pairing: a relay hands it out once.
    pub fn keep_seed_of(&mut self, former: &Self) {
        if self.otpauth_uri.is_none() && self.info.relay_user_linked_id == former.info.relay_user_linked_id {
            self.otpauth_uri.clone_from(&former.otpauth_uri);
            self.last_totp_step = former.last_totp_step;
        }
    }

    /// Where pushes go.
    pub fn push_address(&self) -> PushAddress {
        match &self.fcm_token {
            Some(token) => PushAddress::FcmToken(self.platform, token.clone()),
            None => PushAddress::Stream,
        }
    }

    /// Takes a fresh session token.
    pub fn renew(&mut self, session: &Session, now: Timestamp) {
        self.session_token = session.token.clone();
        self.session_since = now;
        self.session_until = now.plus(session.lifetime);
    }

    /// Whether the session token is in the last quarter of its life.
    pub fn wants_refresh(&self, now: Timestamp) -> bool {
        self.session_until.since(now) * 4 < self.session_until.since(self.session_since)
    }
}

impl fmt::Display for Pairing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use bloonio_authenticator::text::visible;
        write!(f, "{} as {}", visible(&self.info.tenant_name), visible(&self.info.display_name))
    }
}

/// Writes secrets into the file, which is the owner's alone.
mod exposed {
    use bloonio_wire::secret::Secret;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }

    /// The same for one that may be absent.
    pub mod optional {
        use bloonio_wire::secret::Secret;
        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        pub fn serialize<S: Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
            secret.as_ref().map(Secret::expose).serialize(serializer)
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
            Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
        }
    }
}

/// An address as text.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use url::Url;

    pub fn serialize<S: Serializer>(url: &Url, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(url.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
pub mod tests;
