//! The emulator on the net: HTTP/2 and HTTP/1.1, with TLS or without, and connections that can be cut.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::desk::Desk;
use super::fault::{Answer, Ending, Fault};
use super::{send_endpoint, token_endpoint};

/// More than any request has.
const MAX_REQUEST: usize = 256 * 1024;
/// What FCM allows on one connection.
const MAX_STREAMS: u32 = 100;

type Answered = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// A request, read to its end.
pub(super) struct Taken {
    pub(super) head: http::request::Parts,
    pub(super) body: Bytes,
}

impl Taken {
    /// A header, empty if absent.
    pub(super) fn header(&self, name: &str) -> &str {
        self.head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// The accepting task. Dropping it ends every connection.
#[derive(Debug)]
pub(super) struct Server(JoinHandle<()>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Server {
    /// Serves `desk` on `listener`.
    pub(super) fn start(listener: TcpListener, tls: Option<TlsAcceptor>, desk: Arc<Desk>) -> Self {
        Self(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((socket, _)) = listener.accept() => {
                        desk.journal.connected();
                        let (tls, desk) = (tls.clone(), Arc::clone(&desk));
                        connections.spawn(async move {
                            match tls {
                                None => serve(socket, desk).await,
                                // A client that does not trust us hangs up: its problem, and its test's.
                                Some(tls) => if let Ok(socket) = tls.accept(socket).await { serve(socket, desk).await },
                            }
                        });
                    }
                    Some(_) = connections.join_next() => (),
                }
            }
        }))
    }
}

/// A certificate authority of one run, and the certificate of this machine by it. Writes the former as PEM to `path`.
pub(super) fn tls(path: &Path, expired: bool) -> Arc<ServerConfig> {
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::new(Vec::new()).expect("parameters");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Another name than the certificate's: who issues himself what he shows is taken for self-signed by OpenSSL.
    ca.distinguished_name.push(DnType::CommonName, "authority of the emulator");
    let certificate = ca.self_signed(&ca_key).expect("signs");
    std::fs::write(path, certificate.pem()).expect("writes the certificate");
    let key = KeyPair::generate().expect("a key");
    let mut leaf = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("parameters");
    if expired {
        leaf.not_after = rcgen::date_time_ymd(2020, 1, 1);
    }
    let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).expect("signs");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .expect("the certificate fits its key");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// One connection, until its end, or until a fault cuts it.
async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(socket: S, desk: Arc<Desk>) {
    let cut = Arc::new(Notify::new());
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().max_concurrent_streams(MAX_STREAMS);
    let mut away = desk.away.subscribe();
    let service = {
        let cut = Arc::clone(&cut);
        service_fn(move |request| {
            let (desk, cut) = (Arc::clone(&desk), Arc::clone(&cut));
            async move { Ok::<_, Infallible>(answer(request, &desk, &cut).await) }
        })
    };
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(socket), service));
    loop {
        tokio::select! {
            _ = connection.as_mut() => return,
            () = cut.notified() => return,
            Ok(()) = away.changed() => connection.as_mut().graceful_shutdown(),
        }
    }
}

async fn answer(request: Request<Incoming>, desk: &Desk, cut: &Notify) -> Answered {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_REQUEST).collect().await else {
        return render(Answer::html(413));
    };
    let taken = Taken { head, body: body.to_bytes() };
    let path = taken.head.uri.path().to_owned();
    let fault = match (&taken.head.method, send_endpoint::project(&path)) {
        (&Method::POST, Some(project)) => send_endpoint::answer(desk, project, &taken).await,
        (&Method::POST, None) if path == token_endpoint::PATH => token_endpoint::answer(desk, &taken).await,
        (method, _) => {
            desk.journal.strayed(format!("{method} {path}"));
            Fault::Answer(Answer::html(404))
        }
    };
    match fault {
        Fault::Answer(answer) | Fault::DoneButAnswer(answer) => return render(answer),
        Fault::Cut | Fault::DoneButCut => cut.notify_one(),
        Fault::Hang | Fault::Hold(_) => (),
    }
    std::future::pending().await
}

/// A blank, after a while.
async fn drip((): ()) -> Option<(io::Result<Frame<Bytes>>, ())> {
    tokio::time::sleep(Duration::from_millis(200)).await;
    Some((Ok(Frame::data(Bytes::from_static(b" "))), ()))
}

fn render(answer: Answer) -> Answered {
    let first = Bytes::from(answer.body);
    let length = first.len();
    let once = stream::once(async move { Ok(Frame::data(first)) });
    let body: BoxStream<'static, io::Result<Frame<Bytes>>> = match answer.ending {
        Ending::Complete => once.boxed(),
        Ending::Stalls => once.chain(stream::pending()).boxed(),
        Ending::Drips => once.chain(stream::unfold((), drip)).boxed(),
        Ending::Endless => {
            once.chain(stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[b' '; 8192]))))).boxed()
        }
        Ending::BreaksOff => once.chain(stream::once(async { Err(io::ErrorKind::BrokenPipe.into()) })).boxed(),
    };
    let mut response = Response::builder().status(answer.status);
    if answer.ending == Ending::Complete {
        response = response.header("content-length", length);
    }
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(UnsyncBoxBody::new(StreamBody::new(body))).expect("a scripted answer is well formed")
}
