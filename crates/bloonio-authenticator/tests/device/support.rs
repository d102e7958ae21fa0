//! A small relay that checks what a device sends, on a free port.

mod phone;
mod routes;
mod tls;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::serve::Listener;
use bloonio_wire::challenge::{Alert, AlertKind, Challenge, ChallengeStatus, CustomType, DeviceResponse};
use bloonio_wire::clock::{Clock, SystemClock, Timestamp};
use bloonio_wire::device::{DeviceStatus, PairingInfo, RegisterDevice};
use bloonio_wire::display::{DataType, Display, DisplayField};
use bloonio_wire::envelope::Failure;
use bloonio_wire::id::{InstructionId, TenantId};
use bloonio_wire::qr::PairingUri;
use bloonio_wire::secret::Secret;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;

pub use phone::PhoneHome;

/// The seed that the relay hands out.
pub const OTPAUTH_URI: &str = "otpauth://totp/Bank:Jane?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Bank";

/// Tenant number `n`.
pub fn tenant(n: u8) -> TenantId {
    TenantId::parse(format!("tnt_{n:032x}")).unwrap()
}

/// A registered device.
#[derive(Debug, Clone)]
pub struct Device {
    pub info: PairingInfo,
    pub registered: RegisterDevice,
    pub status: DeviceStatus,
    pub session: String,
    /// Replaced, and still in their minute of grace.
    pub replaced: Vec<String>,
}

/// What the relay sends on a stream before it closes it, or keeps it open.
#[derive(Debug, Clone)]
pub struct Script {
    pub bytes: Vec<u8>,
    pub stay_open: bool,
}

/// What the relay knows and has seen.
#[derive(Debug, Default)]
pub struct World {
    pub proofs: BTreeMap<String, (TenantId, String)>,
    pub devices: Vec<Device>,
    pub prompts: Vec<(Challenge, String)>,
    pub alerts: Vec<Alert>,
    /// Decisions that were accepted, signature verified.
    pub decisions: Vec<DeviceResponse>,
    /// Every request: `POST /device/unpair`, and its body.
    pub requests: Vec<(String, Value)>,
    /// What the streams send, one connection after the other; afterwards they stay open and silent.
    pub streams: VecDeque<Script>,
    /// How many more answers of a path are lost on the way, after the relay has done what it was asked to.
    pub losses: BTreeMap<String, u32>,
    /// What a path answers instead, for as long as it stands here.
    pub refusals: BTreeMap<String, Failure>,
    drawn: u32,
}

impl World {
    pub fn draw(&mut self, length: usize) -> String {
        self.drawn += 1;
        format!("{:0length$x}", self.drawn)
    }

    pub fn device(&self, session: &str) -> Option<&Device> {
        let holds = |device: &&Device| device.session == session || device.replaced.iter().any(|old| old == session);
        self.devices.iter().find(holds)
    }

    /// How often `request` (`POST /device/unpair`) was made.
    pub fn count(&self, request: &str) -> usize {
        self.requests.iter().filter(|(made, _)| made == request).count()
    }
}

/// A running relay.
#[derive(Debug)]
pub struct FakeRelay {
    pub base: Url,
    world: Arc<Mutex<World>>,
    server: JoinHandle<()>,
}

impl Drop for FakeRelay {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl FakeRelay {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        Self::serve(&base, listener)
    }

    /// A relay behind TLS, and the PEM of the authority that vouches for it.
    pub async fn start_tls() -> (Self, String) {
        let (listener, authority) = tls::bind().await;
        let base = format!("https://{}", listener.local_addr().unwrap());
        (Self::serve(&base, listener), authority)
    }

    fn serve<L: Listener<Addr: std::fmt::Debug>>(base: &str, listener: L) -> Self {
        let world = Arc::new(Mutex::new(World::default()));
        let app = routes::router(Arc::clone(&world));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { base: base.parse().unwrap(), world, server }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A fresh pairing address for `user` of tenant number `n`.
    pub fn offer(&self, n: u8, user: &str) -> String {
        let mut world = self.world();
        let proof = format!("proof-{}", world.draw(4));
        world.proofs.insert(proof.clone(), (tenant(n), user.to_owned()));
        PairingUri { relay: self.base.clone(), proof: Secret::new(proof) }.to_text()
    }

    /// A prompt of tenant number `n`.
    pub fn ask(&self, n: u8, id: &str) -> InstructionId {
        self.ask_with(n, id, |_| {})
    }

    /// A prompt, changed before it is sent.
    pub fn ask_with(&self, n: u8, id: &str, change: impl FnOnce(&mut Challenge)) -> InstructionId {
        let mut world = self.world();
        let mut prompt = prompt(n, id);
        prompt.created_at = Timestamp::from_secs(1000 + i64::try_from(world.prompts.len()).unwrap());
        change(&mut prompt);
        let token = format!("token-{}", world.draw(8));
        world.prompts.push((prompt.clone(), token));
        prompt.instruction_id
    }

    /// An alert of tenant number `n`.
    pub fn alert(&self, n: u8, id: &str) {
        self.world().alerts.push(Alert {
            notification_id: id.into(),
            tenant_id: tenant(n),
            tenant_name: "Bank".into(),
            title: "New device".into(),
            body: "Was it you?".into(),
            kind: AlertKind::Security,
            created_at: SystemClock.now(),
            expires_at: SystemClock.now(),
        });
    }

    /// Lets the next stream send this, and close if not `stay_open`.
    pub fn script(&self, text: &str, stay_open: bool) {
        self.world().streams.push_back(Script { bytes: text.into(), stay_open });
    }

    /// Lets a path refuse.
    pub fn refuse(&self, path: &str, failure: Failure) {
        self.world().refusals.insert(path.to_owned(), failure);
    }

    /// The only device there is.
    pub fn only_device(&self) -> Device {
        let world = self.world();
        assert_eq!(world.devices.len(), 1, "{:?}", world.devices);
        world.devices[0].clone()
    }
}

/// A prompt as a relay holds it.
pub fn prompt(n: u8, id: &str) -> Challenge {
    Challenge {
        instruction_id: id.parse().unwrap(),
        tenant_id: tenant(n),
        tenant_name: format!("Bank {n}"),
        custom_type: CustomType::LocalAuth,
        expected_action: "transfer_funds".into(),
        description: None,
        display: Some(Display {
            title: "Approve a transfer".into(),
            subtitle: None,
            fields: vec![DisplayField {
                key: "amount".into(),
                title: "Amount".into(),
                value: "1000.00".into(),
                data_type: DataType::CurrencyUsd,
            }],
        }),
        numbers: None,
        challenge_digest: Some("digest-of-the-backend".into()),
        created_at: Timestamp::from_secs(1000),
        expires_at: Timestamp::from_secs(4_000_000_000),
        status: ChallengeStatus::Pending,
        response_token: None,
        backend_url: None,
    }
}

/// A hint as a relay streams it.
pub fn hint(kind: &str, n: u8, id: &str) -> String {
    let data =
        serde_json::json!({"instruction_id": id, "tenant_id": tenant(n), "expires_at": "2096-10-02T07:06:40.000Z"});
    format!("event: {kind}\ndata: {data}\n\n")
}
