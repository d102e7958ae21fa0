//! The calls of a device (PROTOCOL 4 and 5, "Device side").

mod address;
mod http;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bloonio_wire::challenge::{Alert, Challenge, DeviceResponse};
use bloonio_wire::decision::DeviceSigningKey;
use bloonio_wire::device::{DeviceStatus, PairingInfo, Platform, RegisterDevice, TotpSeed};
use bloonio_wire::id::{DeviceId, InstructionId};
use bloonio_wire::secret::Secret;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::error::{ClientError, SessionError, SetupError};
use http::Http;

pub use http::MAX_ANSWER_BYTES;
pub(crate) use http::network;

/// Three tries of 15 s each end within the minute that a replaced session token still works (PROTOCOL 4).
const REFRESH_TRIES: u32 = 3;

/// How a relay is talked to.
#[derive(Debug, Clone)]
pub struct RelayOptions {
    /// One more trust root, PEM.
    pub extra_ca_pem: Option<Vec<u8>>,
    /// Allows http to other machines: proofs and session tokens then travel in the clear.
    pub insecure_http: bool,
    /// For connecting; default 5 s.
    pub connect_timeout: Duration,
    /// For a whole exchange; default 15 s.
    pub timeout: Duration,
}

impl Default for RelayOptions {
    fn default() -> Self {
        Self {
            extra_ca_pem: None,
            insecure_http: false,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(15),
        }
    }
}

/// Where the session token comes from. It is asked at every request, so that a token refreshed elsewhere is used at once:
/// a superseded one, shown after its minute of grace, costs the device its pairing (SECURITY, "Devices").
pub trait SessionSource: Send + Sync + fmt::Debug {
    /// The token to show now.
    ///
    /// # Errors
    /// [`SessionError`] when there is none.
    fn session(&self) -> Result<Secret, SessionError>;
}

/// One token that never changes.
impl SessionSource for Secret {
    fn session(&self) -> Result<Secret, SessionError> {
        Ok(self.clone())
    }
}

/// Where a device's pushes go.
#[derive(Debug, Clone)]
pub enum PushAddress {
    /// Nowhere: the device holds a stream open.
    Stream,
    /// An FCM registration token.
    FcmToken(Platform, Secret),
    /// A Firebase installation id.
    Fid(Platform, Secret),
}

impl PushAddress {
    /// The body that registers a device with this address.
    pub fn registration(&self, name: Option<&str>, key: &DeviceSigningKey) -> RegisterDevice {
        let (platform, fcm_token, fid) = match self {
            Self::Stream => (Platform::Stream, None, None),
            Self::FcmToken(platform, token) => (*platform, Some(token), None),
            Self::Fid(platform, fid) => (*platform, None, Some(fid)),
        };
        RegisterDevice {
            fcm_token: fcm_token.map(|token| token.expose().to_owned()),
            fid: fid.map(|fid| fid.expose().to_owned()),
            platform,
            device_name: name.map(str::to_owned),
            app_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            device_public_key: Some(key.public()),
        }
    }

    fn refresh(&self) -> Value {
        match self {
            Self::Stream => json!({}),
            Self::FcmToken(_, token) => json!({"fcm_token": token.expose()}),
            Self::Fid(_, fid) => json!({"fid": fid.expose()}),
        }
    }
}

/// A session token, fresh from the relay.
#[derive(Debug, Clone)]
pub struct Session {
    /// Shown at every call. It replaces the former one, which works 60 s more.
    pub token: Secret,
    /// How long it lives.
    pub lifetime: Duration,
}

/// What a device learns when it has registered.
#[derive(Debug, Clone)]
pub struct Registered {
    /// The first session token.
    pub session: Session,
    /// The pairing, and this device's id in it.
    pub pairing: PairingInfo,
    /// Whether an existing device must confirm this one first.
    pub status: DeviceStatus,
    /// The address of the pairing's seed for one-time codes ([`crate::totp`]), if this device is the one to keep it. It is
    /// never shown again.
    pub otpauth_uri: Option<Secret>,
}

/// A relay, as somebody without a pairing sees it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Relay {
    http: Http,
}

impl Relay {
    /// The relay at `base`, to which `/api/v1/...` is appended.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(base: &Url, options: &RelayOptions) -> Result<Self, SetupError> {
        Ok(Self { http: Http::new(base, options)? })
    }

    /// POST /device/register-token: becomes a device of the pairing that `proof` is for. A proof works once.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn register(&self, proof: &Secret, device: &RegisterDevice) -> Result<Registered, ClientError> {
        let body: RegisteredBody = self.http.post("/device/register-token", proof, device).await?;
        let status = body.device_status.unwrap_or(DeviceStatus::Active);
        let otpauth_uri = body.totp.map(|seed| Secret::new(seed.otpauth_uri));
        Ok(Registered { session: body.session.into(), pairing: body.pairing, status, otpauth_uri })
    }

    /// A device that has registered here.
    pub fn device(&self, session: Arc<dyn SessionSource>) -> RelayDevice {
        RelayDevice { http: self.http.clone(), session }
    }
}

/// A registered device's view of its relay. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RelayDevice {
    http: Http,
    session: Arc<dyn SessionSource>,
}

#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

#[derive(Deserialize)]
struct SessionBody {
    device_session_token: String,
    expires_in: u64,
}

#[derive(Deserialize)]
struct RegisteredBody {
    #[serde(flatten)]
    session: SessionBody,
    pairing: PairingInfo,
    /// Only relays that confirm devices send it.
    #[serde(default)]
    device_status: Option<DeviceStatus>,
    /// The first time only.
    #[serde(default)]
    totp: Option<TotpSeed>,
}

impl From<SessionBody> for Session {
    fn from(body: SessionBody) -> Self {
        Self { token: Secret::new(body.device_session_token), lifetime: Duration::from_secs(body.expires_in) }
    }
}

impl RelayDevice {
    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.http.call(self.http.request(Method::GET, path, &self.session.session()?)).await
    }

    async fn post<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Result<T, ClientError> {
        self.http.post(path, &self.session.session()?, body).await
    }

    /// POST /device/refresh-token: replaces the push address and the session token. The caller keeps the new token.
    ///
    /// If the answer is lost, the relay may have replaced the token already; the old one, used after its minute of grace,
    /// would look stolen and cost the device its pairing. So it is tried again at once, while the grace lasts.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn refresh(&self, address: &PushAddress) -> Result<Session, ClientError> {
        let mut tries_left = REFRESH_TRIES;
        loop {
            tries_left -= 1;
            match self.post::<SessionBody>("/device/refresh-token", &address.refresh()).await {
                Err(error) if error.may_have_arrived() && tries_left > 0 => {}
                outcome => return outcome.map(Session::from),
            }
        }
    }

    /// POST /device/unpair: removes this device.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn unpair(&self) -> Result<(), ClientError> {
        self.post::<Value>("/device/unpair", &json!({})).await.map(drop)
    }

    /// POST /device/confirm-device: lets another device of the same pairing in, or keeps it out.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn confirm_device(&self, device: &DeviceId, approved: bool) -> Result<(), ClientError> {
        let body = json!({"device_id": device, "approved": approved});
        self.post::<Value>("/device/confirm-device", &body).await.map(drop)
    }

    /// GET /device/challenges: the open prompts, newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn challenges(&self) -> Result<Vec<Challenge>, ClientError> {
        self.get::<Items<Challenge>>("/device/challenges").await.map(|list| list.items)
    }

    /// GET /device/challenges/{id}: one prompt with its `response_token`. The relay notes that it was seen.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn challenge(&self, id: &InstructionId) -> Result<Challenge, ClientError> {
        self.get(&format!("/device/challenges/{id}")).await
    }

    /// GET /device/alerts: the security alerts, newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn alerts(&self) -> Result<Vec<Alert>, ClientError> {
        self.get::<Items<Alert>>("/device/alerts").await.map(|list| list.items)
    }

    /// POST /device/submit-response. `Ok` means that the decision is durable. After a network error it may be or not:
    /// the list of open prompts tells.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn submit(&self, response: &DeviceResponse) -> Result<(), ClientError> {
        self.post::<Value>("/device/submit-response", response).await.map(drop)
    }

    /// GET /device/stream, opened once; [`crate::stream::Hints`] reads it and opens it again.
    pub(crate) async fn open_stream(&self) -> Result<reqwest::Response, ClientError> {
        self.http.open("/device/stream", &self.session.session()?).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::stream(PushAddress::Stream, json!({"platform": "stream"}), json!({}))]
    #[case::token(
        PushAddress::FcmToken(Platform::Android, Secret::new("T")),
        json!({"platform": "android", "fcm_token": "T"}),
        json!({"fcm_token": "T"})
    )]
    #[case::installation(
        PushAddress::Fid(Platform::Web, Secret::new("F")),
        json!({"platform": "web", "fid": "F"}),
        json!({"fid": "F"})
    )]
    fn a_device_has_one_push_address_or_none(
        #[case] address: PushAddress,
        #[case] registration: Value,
        #[case] refresh: Value,
    ) {
        let key = DeviceSigningKey::from_bytes(&[9; 32]).unwrap();
        let mut sent = serde_json::to_value(address.registration(None, &key)).unwrap();
        for other in ["app_version", "device_public_key"] {
            assert!(sent.as_object_mut().unwrap().remove(other).is_some());
        }
        assert_eq!((sent, address.refresh()), (registration, refresh));
        assert!(!format!("{address:?}").contains("\"T\""));
    }
}
