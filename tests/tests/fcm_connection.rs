//! The relay's connection to FCM: when it dies without a word, when it is full, and when it is closed in the middle.

use std::sync::Arc;
use std::time::Duration;

use bloonio_relay_server::net::client::{ExtraRoots, push_connections};
use bloonio_relay_server::push::fcm::{Credentials, FcmClient, FcmSender};
use bloonio_relay_server::push::{Push, PushAddress, PushKind, PushOutcome, PushSender};
use bloonio_tests::fcm::FcmEmulator;
use bloonio_tests::fcm::fault::{Fault, Gate};
use bloonio_wire::clock::{Clock, SystemClock, Timestamp};
use bloonio_wire::device::Platform;
use bloonio_wire::id::TenantId;
use futures_util::future::join_all;
use http::Version;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A way through a firewall that can forget its connections: what is on them then vanishes, and nobody is told. New
/// connections pass.
struct Firewall {
    address: String,
    forget: Arc<watch::Sender<()>>,
    task: JoinHandle<()>,
}

impl Drop for Firewall {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Firewall {
    async fn before(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let forget = Arc::new(watch::Sender::new(()));
        let forgetting = Arc::clone(&forget);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, target.clone(), forgetting.subscribe()));
            }
        });
        Self { address, forget, task }
    }
}

async fn carry(mut near: TcpStream, target: String, mut forget: watch::Receiver<()>) {
    let mut far = TcpStream::connect(target).await.unwrap();
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => (),
        // Both ends stay open and silent.
        _ = forget.changed() => std::future::pending().await,
    }
}

fn push(now: Timestamp) -> Push {
    Push {
        tenant_id: TenantId::parse("tnt_0123456789abcdef0123456789abcdef").unwrap(),
        kind: PushKind::AuthChallenge,
        subject_id: "instruction-1".to_owned(),
        expires_at: now.plus(Duration::from_secs(120)),
        platform: Platform::Android,
        address: PushAddress::Token("token-1".to_owned()),
    }
}

/// An emulator with one device, and the relay's sender before it.
struct Scene {
    emulator: FcmEmulator,
    firewall: Firewall,
    sender: FcmSender,
    clock: Arc<dyn Clock>,
}

impl Scene {
    async fn set() -> Self {
        let emulator = FcmEmulator::start().await;
        emulator.add_device("token-1", Platform::Android);
        let firewall = Firewall::before(emulator.endpoint().trim_start_matches("https://").to_owned()).await;
        let connections = push_connections(&ExtraRoots::from_file(Some(&emulator.ca_pem_path())).unwrap()).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let credentials = Credentials::from_file(&emulator.credentials_path()).unwrap();
        let endpoint = format!("https://{}", firewall.address).parse().unwrap();
        let client = FcmClient::new(credentials, &endpoint, connections, Arc::clone(&clock)).unwrap();
        let sender = FcmSender::new(client, Arc::clone(&clock));
        Self { emulator, firewall, sender, clock }
    }

    async fn is_accepted(&self) -> bool {
        matches!(self.sender.send(&push(self.clock.now())).await, PushOutcome::Accepted { .. })
    }
}

#[tokio::test]
async fn a_connection_that_died_silently_costs_one_attempt_and_not_the_next() {
    let scene = Scene::set().await;
    assert!(scene.is_accepted().await);
    scene.firewall.forget.send_replace(());
    assert!(!scene.is_accepted().await, "the message vanished with the connection");
    assert!(scene.is_accepted().await);
    assert_eq!(scene.emulator.messages_for("token-1").len(), 2);
    scene.emulator.assert_no_misuse();
}

#[tokio::test]
async fn more_messages_than_a_connection_carries_at_once_wait_their_turn() {
    let scene = Scene::set().await;
    let outcomes = join_all((0..300).map(|_| scene.is_accepted())).await;
    assert!(outcomes.into_iter().all(|accepted| accepted));
    assert_eq!(scene.emulator.messages_for("token-1").len(), 300);
    assert!(scene.emulator.sends().iter().all(|send| send.version == Version::HTTP_2));
    scene.emulator.assert_no_misuse();
}

#[tokio::test]
async fn a_second_connection_is_made_before_the_first_one_is_full_and_not_earlier() {
    let scene = Scene::set().await;
    assert!(scene.is_accepted().await);
    let before = scene.emulator.seen().connections;
    let gate = Gate::default();
    scene.emulator.fault_always(Some(Fault::Hold(gate.clone())));
    let seventy = join_all((0..70).map(|_| scene.is_accepted()));
    let one_more = async {
        scene.emulator.wait_for_held(70).await;
        assert_eq!(scene.emulator.seen().connections, before);
        let accepted = scene.is_accepted();
        let opening = async {
            scene.emulator.wait_for_held(71).await;
            assert_eq!(scene.emulator.seen().connections, before + 1);
            gate.open();
        };
        tokio::join!(accepted, opening).0
    };
    let (outcomes, last) = tokio::join!(seventy, one_more);
    assert!(last && outcomes.into_iter().all(|accepted| accepted));
    assert_eq!(scene.emulator.messages_for("token-1").len(), 72);
}

#[tokio::test]
async fn goodbyes_in_the_middle_of_the_work_cost_no_message() {
    let scene = Scene::set().await;
    for _ in 0..20 {
        let sending = join_all((0..20).map(|_| scene.is_accepted()));
        let ((), outcomes) = tokio::join!(async { scene.emulator.go_away() }, sending);
        assert!(outcomes.into_iter().all(|accepted| accepted));
    }
    assert_eq!(scene.emulator.messages_for("token-1").len(), 400);
    assert!(scene.emulator.seen().connections > 2, "the goodbyes were heard");
    scene.emulator.assert_no_misuse();
}
