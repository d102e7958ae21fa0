//! Pairing, and the devices of a pairing (PROTOCOL 4).

use serde::{Deserialize, Serialize};

use crate::decision::DeviceKey;
use crate::display::wire_enum;
use crate::id::{DeviceId, RelayUserLinkedId, TenantId, UserSocketHash};
use crate::secret::debug_shows;

wire_enum!(
    /// What a device is, and so how it is reached.
    Platform,
    "must be android, ios, web or stream",
    /// FCM on Android.
    Android = "android",
    /// FCM through Apple's service.
    Ios = "ios",
    /// FCM in a browser.
    Web = "web",
    /// Server-sent events; no push address.
    Stream = "stream",
);

/// Body of POST /relay/prepare-pairing. Its `Debug` shows nothing of the person.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({
    "user_socket_hash": "f3a1c2d4e5b60718", "backend_user_id": "7", "display_name": "Jane Doe", "user_email": "jane@bank.example"
})))]
pub struct PreparePairing {
    /// The tenant's handle of the user.
    pub user_socket_hash: UserSocketHash,
    /// The tenant's own id of the user.
    pub backend_user_id: String,
    /// Shown on the device.
    pub display_name: String,
    /// At least one of e-mail and phone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_email: Option<String>,
    /// At least one of e-mail and phone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_phone: Option<String>,
    /// Given name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Family name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// Picture for the device, https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_logo_url: Option<String>,
}

debug_shows!(PreparePairing { user_socket_hash });

/// Answer to [`PreparePairing`]. It holds a bearer secret, so its `Debug` shows none of it.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PairingOffer {
    /// JWT, single use.
    pub pairing_proof: String,
    /// Seconds that it lives.
    pub expires_in: u64,
    /// What a QR code shows.
    pub pairing_uri: String,
}

debug_shows!(PairingOffer { expires_in });

/// Body of POST /device/register-token. Its `Debug` shows no push address.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({"platform": "stream", "device_name": "Jane's phone"})))]
pub struct RegisterDevice {
    /// FCM registration token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fcm_token: Option<String>,
    /// Firebase installation id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fid: Option<String>,
    /// What the device is.
    pub platform: Platform,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
    /// Version of the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_version: Option<String>,
    /// The key that will sign this device's decisions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_public_key: Option<DeviceKey>,
}

debug_shows!(RegisterDevice { platform, device_name, app_version, device_public_key });

/// What a device learns of its pairing. Its `Debug` shows no names.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PairingInfo {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The tenant, for people.
    pub tenant_name: String,
    /// The user.
    pub user_socket_hash: UserSocketHash,
    /// The pairing.
    pub relay_user_linked_id: RelayUserLinkedId,
    /// This device.
    pub device_id: DeviceId,
    /// The user, for people.
    pub display_name: String,
    /// Picture.
    pub display_logo_url: Option<String>,
}

debug_shows!(PairingInfo { tenant_id, user_socket_hash, relay_user_linked_id, device_id });

/// Answer to [`RegisterDevice`]. It holds a bearer secret, so its `Debug` does not show it.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Registration {
    /// JWT, 30 days.
    pub device_session_token: String,
    /// Seconds that it lives.
    pub expires_in: u64,
    /// The pairing.
    pub pairing: PairingInfo,
    /// `active`, or `awaiting_confirmation` until an existing device confirms this one.
    pub device_status: DeviceStatus,
    /// The pairing's seed, for the first device that may act at once; never shown again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totp: Option<TotpSeed>,
}

/// The seed of a pairing's one-time codes. It is a secret, so its `Debug` does not show it.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TotpSeed {
    /// `otpauth://totp/ISSUER:ACCOUNT?secret=BASE32&issuer=ISSUER`: SHA-1, 6 digits, 30 s, the defaults of that format.
    pub otpauth_uri: String,
}

impl std::fmt::Debug for TotpSeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TotpSeed(redacted)")
    }
}

debug_shows!(Registration { expires_in, pairing, device_status });

wire_enum!(
    /// Whether a device may act.
    DeviceStatus,
    "must be a known device status",
    /// It may.
    Active = "active",
    /// An existing device must confirm it first (SECURITY, "Devices").
    AwaitingConfirmation = "awaiting_confirmation",
    /// Gone for good.
    Removed = "removed",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_bearer_secret() {
        let offer = PairingOffer {
            pairing_proof: "hush".into(),
            expires_in: 300,
            pairing_uri: "bloonio://pair?proof=hush".into(),
        };
        let seed = TotpSeed { otpauth_uri: "otpauth://totp/a?secret=hush".into() };
        assert!(!format!("{offer:?} {seed:?}").contains("hush"));
    }
}
