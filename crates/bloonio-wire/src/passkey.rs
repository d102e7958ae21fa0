//! Passkeys of a tenant's users, kept by the relay (PROTOCOL 8). The RP id and the origins come from the tenant's
//! configuration, never from these bodies: `browser_origin` is compared with them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::{RelayUserLinkedId, UserSocketHash};
use crate::secret::debug_shows;

/// Body of POST /relay/webauthn/register/options.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PasskeyRegistration {
    /// Whose passkey it will be.
    pub relay_user_linked_id: RelayUserLinkedId,
    /// Shown by the browser.
    pub username: String,
    /// Shown by the browser.
    pub display_name: String,
    /// Origin of the page.
    pub browser_origin: String,
}

debug_shows!(PasskeyRegistration { relay_user_linked_id, browser_origin });

/// Answer to both `options` calls: what the page hands to the browser's credential functions, within 5 minutes.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PasskeyCeremony {
    /// Names the ceremony; the verify call sends it back.
    pub session_id: String,
    /// For the browser, as it is.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub options: Value,
}

debug_shows!(PasskeyCeremony {});

/// Body of POST /relay/webauthn/register/verify.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PasskeyAttestation {
    /// The ceremony.
    pub session_id: String,
    /// What the browser gave.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub attestation: Value,
    /// Origin of the page.
    pub browser_origin: String,
    /// The user's name for the passkey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
}

debug_shows!(PasskeyAttestation { browser_origin, nickname });

/// Answer to [`PasskeyAttestation`]: the passkey is kept.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisteredPasskey {
    /// The passkey, where the relay names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passkey_id: Option<String>,
    /// What else the relay tells.
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub more: Map<String, Value>,
}

debug_shows!(RegisteredPasskey { passkey_id });

/// Body of POST /relay/webauthn/authenticate/options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PasskeyRequest {
    /// Origin of the page.
    pub browser_origin: String,
    /// Who signs in; absent: whoever has a discoverable passkey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay_user_linked_id: Option<RelayUserLinkedId>,
}

/// Body of POST /relay/webauthn/authenticate/verify.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PasskeyAssertion {
    /// The ceremony.
    pub session_id: String,
    /// What the browser gave.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub assertion: Value,
    /// Origin of the page.
    pub browser_origin: String,
}

debug_shows!(PasskeyAssertion { browser_origin });

/// Answer to [`PasskeyAssertion`]: who signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PasskeySignIn {
    /// The pairing.
    pub relay_user_linked_id: RelayUserLinkedId,
    /// The tenant's handle of the user.
    pub user_socket_hash: UserSocketHash,
    /// The tenant's own id of the user.
    pub backend_user_id: String,
    /// The passkey.
    pub passkey_id: String,
}

/// One passkey of a user. The protocol fixes its id; whatever else the relay tells is in `more`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Passkey {
    /// The passkey.
    pub passkey_id: String,
    /// The user's name for it.
    #[serde(default)]
    pub nickname: Option<String>,
    /// What else the relay tells.
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub more: Map<String, Value>,
}

debug_shows!(Passkey { passkey_id, nickname });

/// Names one passkey of one user; body of POST /relay/webauthn/revoke/passkey. Both must match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PasskeyName {
    /// The passkey.
    pub passkey_id: String,
    /// Whose it is.
    pub relay_user_linked_id: RelayUserLinkedId,
}
