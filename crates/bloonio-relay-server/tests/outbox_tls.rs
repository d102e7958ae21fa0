//! Callbacks over TLS: who is trusted, and that nothing is told to anybody else (PROTOCOL 10, `RELAY_EXTRA_CA_FILE`).
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod rig;

use std::path::Path;
use std::sync::Arc;

use bloonio_relay_server::net::client::{CallbackClient, ClientError, ExtraRoots};
use bloonio_relay_server::net::guard::{Guard, GuardPolicy};
use bloonio_relay_server::outbox::{Outbox, OutboxLimits, OutboxParts};
use bloonio_relay_server::shared::herald::Herald;
use bloonio_relay_server::storage::delivery::listing::{self, DeliveryState};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rig::{Rig, until};
use rstest::rstest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_util::sync::CancellationToken;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A backend with a certificate for `host`. It answers 200 to everything, and counts the bytes it was told.
struct TlsReceiver {
    port: u16,
    told: watch::Receiver<usize>,
}

impl TlsReceiver {
    async fn start(authority: &Authority, host: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![host.to_owned()]).unwrap().signed_by(&key, authority).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, told) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(acceptor.clone(), stream, tell.clone()));
            }
        });
        Self { port, told }
    }
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, tell: watch::Sender<usize>) {
    // A caller that does not trust us ends the handshake.
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let mut buffer = [0; 16_384];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        tell.send_modify(|told| *told += read);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    }
}

fn roots(folder: &Path, authority: &Authority) -> ExtraRoots {
    let path = folder.join("ca.pem");
    std::fs::write(&path, authority.pem()).unwrap();
    ExtraRoots::from_file(Some(&path)).unwrap()
}

fn start(rig: &Rig, roots: &ExtraRoots) {
    let guard = Guard::new(GuardPolicy { allow_private: true, extra_ports: vec![] });
    let outbox = Outbox::new(OutboxParts {
        storage: rig.storage.clone(),
        sealer: rig.sealer.clone(),
        clock: rig.clock.clone(),
        random: rig.random.clone(),
        client: CallbackClient::new(guard, roots).unwrap(),
        herald: Herald::default(),
        stopping: CancellationToken::new(),
        limits: OutboxLimits::default(),
    });
    tokio::spawn(outbox.run());
}

#[tokio::test]
async fn a_receiver_under_the_extra_trust_root_is_reached() {
    let (rig, folder, authority) = (Rig::new().await, tempfile::tempdir().unwrap(), authority());
    let backend = TlsReceiver::start(&authority, "localhost").await;
    let tenant = rig.tenant().await;
    let url = format!("https://localhost:{}/callback", backend.port);
    let delivery = rig.decide(&tenant.id, "instruction-1", &url).await;
    start(&rig, &roots(folder.path(), &authority));
    until("an acknowledgement", || async {
        let row = listing::find(&rig.storage, &delivery).await.unwrap().unwrap();
        row.state == DeliveryState::Acknowledged
    })
    .await;
    assert!(*backend.told.borrow() > 0);
}

#[rstest]
#[case::of_an_unknown_authority("localhost", false)]
#[case::for_another_name("elsewhere.test", true)]
#[tokio::test]
async fn a_receiver_with_a_certificate_that_does_not_hold_is_told_nothing(#[case] host: &str, #[case] known: bool) {
    let (rig, folder, ours, theirs) = (Rig::new().await, tempfile::tempdir().unwrap(), authority(), authority());
    let backend = TlsReceiver::start(if known { &ours } else { &theirs }, host).await;
    let tenant = rig.tenant().await;
    let url = format!("https://localhost:{}/callback", backend.port);
    let delivery = rig.decide(&tenant.id, "instruction-1", &url).await;
    start(&rig, &roots(folder.path(), &ours));
    until("a failed attempt", || async {
        let row = listing::find(&rig.storage, &delivery).await.unwrap().unwrap();
        row.state == DeliveryState::Due && row.last_error.as_deref() == Some("connect")
    })
    .await;
    assert_eq!(*backend.told.borrow(), 0);
}

#[test]
fn a_file_without_certificates_is_refused_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    assert!(matches!(ExtraRoots::from_file(Some(&path)), Err(ClientError::Unreadable { .. })));
    std::fs::write(&path, "no certificate").unwrap();
    assert!(matches!(ExtraRoots::from_file(Some(&path)), Err(ClientError::NoCertificate { .. })));
    assert!(ExtraRoots::from_file(None).is_ok());
}
