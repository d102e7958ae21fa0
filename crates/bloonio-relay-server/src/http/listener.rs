//! Accepting connections, and letting go of them.
//!
//! What `axum::serve` leaves open is settled here: a peer that sends its head byte by byte, or nothing at all, is let go of
//! after a while, answers leave at once instead of waiting for more to come, and there are so many connections and no more
//! ([`places`]).

pub mod places;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use self::places::{ConnectionLimits, Place, Places};
use crate::telemetry::metrics::CONNECTIONS_REFUSED;

/// From the opening of a connection, or the end of an answer, to the end of the next head. Common clients give up idle
/// connections after 90 s; a server that were first would now and then close one just as it is used again.
const HEAD_TIMEOUT: Duration = Duration::from_secs(100);
/// The longest head, and how much of a body is read ahead.
const BUFFER: usize = 64 * 1024;
/// After a failure to accept, such as too many open files.
const PAUSE: Duration = Duration::from_millis(200);

/// Serves until `stopping`; then accepts no more, and waits for the answers under way, however long they take.
pub async fn serve(listener: TcpListener, limits: ConnectionLimits, service: Router, stopping: CancellationToken) {
    let places = Places::new(limits);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(BUFFER);
    let connections = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = stopping.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match places.take(peer.ip()) {
                Ok(place) => spawn(&http, &connections, stream, (peer, place), service.clone()),
                Err(full) => {
                    // Closed by being dropped.
                    metrics::counter!(CONNECTIONS_REFUSED, "limit" => full.as_str()).increment(1);
                    tracing::debug!(client.address = %peer.ip(), limit = full.as_str(), "a connection too many");
                }
            },
            Err(error) => {
                tracing::warn!(error = %error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.shutdown().await;
}

fn spawn(
    http: &http1::Builder,
    connections: &GracefulShutdown,
    stream: TcpStream,
    (peer, place): (SocketAddr, Place),
    service: Router,
) {
    // A connection on which this fails is slower, no more.
    let _ = stream.set_nodelay(true);
    let service = service.map_request(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        // Peers go away, time out and send noise at all times: nobody's fault, and nothing to be woken for.
        if let Err(error) = connection.await {
            tracing::debug!(error = %error, "a connection ended early");
        }
        drop(place);
    });
}
