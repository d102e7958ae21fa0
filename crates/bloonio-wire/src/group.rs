//! Who may validate: groups, paired users, and what waits for them (PROTOCOL 6, lookups).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::{EventId, GroupPublicId, RelayGroupLinkedId, RelayUserLinkedId, UserPublicId};
use crate::secret::debug_shows;

/// A group of validators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Group {
    /// What a dispatch names it by.
    pub relay_group_linked_id: RelayGroupLinkedId,
    /// What people name it by.
    pub public_id_str: GroupPublicId,
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description_str: Option<String>,
    /// How many belong to it.
    pub members_count: u32,
    /// How many of those may vote.
    pub validators_count: u32,
}

/// Somebody who has paired a phone with this tenant. No e-mail, no phone number.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PairedUser {
    /// What a dispatch names him by.
    pub relay_user_linked_id: RelayUserLinkedId,
    /// What people name him by.
    pub public_id_str: UserPublicId,
    /// Given name.
    #[serde(default)]
    pub first_name: Option<String>,
    /// Family name.
    #[serde(default)]
    pub last_name: Option<String>,
    /// User name.
    #[serde(default)]
    pub username: Option<String>,
}

debug_shows!(PairedUser { relay_user_linked_id, public_id_str });

/// An event that waits for a user's vote. The protocol fixes its id; whatever else the relay tells is in `more`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PendingValidation {
    /// The event.
    pub event_id: EventId,
    /// What the relay tells of it.
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub more: Map<String, Value>,
}

debug_shows!(PendingValidation { event_id });

/// A user's handwritten signature as a picture; given out with his consent only. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignatureImage {
    /// The picture, base64.
    pub signature_base64: String,
    /// Its kind, such as `image/png`.
    pub mime_type: String,
    /// A name to save it under.
    pub filename: String,
    /// Bytes of the picture.
    pub size_bytes: usize,
}

debug_shows!(SignatureImage { mime_type, size_bytes });

impl SignatureImage {
    /// The picture, if it is base64 and of the size that is said.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.signature_base64).ok().filter(|bytes| bytes.len() == self.size_bytes)
    }
}
