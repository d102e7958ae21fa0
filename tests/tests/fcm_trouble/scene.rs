//! An emulator, a road to it, and the relay's sender at its beginning.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bloonio_relay_server::net::client::{ExtraRoots, push_connections};
use bloonio_relay_server::push::fcm::{Credentials, FcmClient, FcmSender, LaneLimits};
use bloonio_relay_server::push::{Push, PushAddress, PushKind, PushOutcome, PushSender};
use bloonio_tests::fcm::road::{Road, Stretch};
use bloonio_tests::fcm::{FcmEmulator, FcmSetup};
use bloonio_wire::clock::{Clock, ManualClock, SystemClock};
use bloonio_wire::device::Platform;
use bloonio_wire::id::TenantId;

/// The one device.
pub const ADDRESS: &str = "token-1";

pub struct Scene {
    pub emulator: FcmEmulator,
    pub road: Road,
    pub sender: FcmSender,
    pub clock: Arc<ManualClock>,
}

/// What may be chosen before a scene is set.
#[derive(Default)]
pub struct Setup {
    pub emulator: FcmSetup,
    pub stretches: Vec<Stretch>,
    pub limits: LaneLimits,
    /// What the sender trusts, if not the emulator's own authority.
    pub roots: Option<PathBuf>,
    /// Where the sender sends, if not to the beginning of the road.
    pub endpoint: Option<String>,
}

impl Scene {
    pub async fn set(stretches: Vec<Stretch>) -> Self {
        Setup { stretches, ..Setup::default() }.set().await
    }

    /// Sends one push, and says what became of it in a word.
    pub async fn push(&self) -> &'static str {
        let push = Push {
            tenant_id: TenantId::parse("tnt_0123456789abcdef0123456789abcdef").unwrap(),
            kind: PushKind::AuthChallenge,
            subject_id: "instruction-1".to_owned(),
            expires_at: self.clock.now().plus(Duration::from_secs(600)),
            platform: Platform::Android,
            address: PushAddress::Token(ADDRESS.to_owned()),
        };
        match self.sender.send(&push).await {
            PushOutcome::Accepted { .. } => "accepted",
            PushOutcome::Failed(failure) => failure.error,
            PushOutcome::Held(held) => held.error,
        }
    }

    /// Messages that the device has got through the emulator.
    pub fn delivered(&self) -> usize {
        self.emulator.messages_for(ADDRESS).len()
    }
}

impl Setup {
    pub async fn set(self) -> Scene {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let emulator = self.emulator.with_clock(clock.clone()).start().await;
        emulator.add_device(ADDRESS, Platform::Android);
        let road = Road::to(&emulator, self.stretches).await;
        let roots = self.roots.unwrap_or_else(|| emulator.ca_pem_path());
        let connections = push_connections(&ExtraRoots::from_file(Some(&roots)).unwrap()).unwrap();
        let credentials = Credentials::from_file(&emulator.credentials_path()).unwrap();
        let endpoint = self.endpoint.unwrap_or_else(|| road.endpoint().to_owned()).parse().unwrap();
        let client = FcmClient::new(credentials, &endpoint, connections, clock.clone()).unwrap();
        let sender = FcmSender::with_limits(client, clock.clone(), self.limits);
        Scene { emulator, road, sender, clock }
    }
}
