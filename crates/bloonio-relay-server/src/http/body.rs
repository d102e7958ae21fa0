//! Reading a request's body: at most 256 KiB, within a deadline (PROTOCOL 1, `BODY_TOO_LARGE`).

use std::time::Duration;

use axum::body::Body;
use bloonio_wire::code::ErrorCode;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;

use crate::app::App;
use crate::service::error::ServiceError;

/// The largest body that is looked at.
pub const MAX_BODY: u64 = 256 * 1024;
/// A refused body is still read to this length, so that its sender gets to see the refusal.
const READ_ON: u64 = 4 * 1024 * 1024;
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads the whole body.
///
/// # Errors
/// `BODY_TOO_LARGE`, at once where Content-Length tells; `MALFORMED_REQUEST` for a body that breaks off or takes too long.
pub async fn read(app: &App, mut body: Body) -> Result<Bytes, ServiceError> {
    if body.size_hint().lower() > MAX_BODY {
        read_on(app, body, 0);
        return Err(ErrorCode::BodyTooLarge.into());
    }
    let mut read = BytesMut::new();
    let whole = tokio::time::timeout(READ_TIMEOUT, async {
        while let Some(frame) = body.frame().await {
            // A connection that broke; nobody will see the answer.
            let frame = frame.map_err(|_| ErrorCode::MalformedRequest)?;
            if let Ok(data) = frame.into_data() {
                read.extend_from_slice(&data);
            }
            if length(&read) > MAX_BODY {
                return Err(ErrorCode::BodyTooLarge);
            }
        }
        Ok(())
    });
    match whole.await.unwrap_or(Err(ErrorCode::MalformedRequest)) {
        Ok(()) => Ok(read.freeze()),
        Err(ErrorCode::BodyTooLarge) => {
            read_on(app, body, length(&read));
            Err(ErrorCode::BodyTooLarge.into())
        }
        Err(code) => Err(code.into()),
    }
}

fn length(bytes: &BytesMut) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Goes on reading beside the answer: a sender that writes first and reads later would otherwise find its connection reset
/// before it sees why. Whoever sends more than 4 MiB, or is slow, is cut off.
fn read_on(app: &App, mut body: Body, mut read: u64) {
    let stopping = app.stopping.clone();
    app.tracker.spawn(async move {
        let rest = async {
            while let Some(Ok(frame)) = body.frame().await {
                read += frame.data_ref().map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX));
                if read > READ_ON {
                    break;
                }
            }
        };
        tokio::select! {
            () = stopping.cancelled() => (),
            // Cut off or done, the connection is hyper's to close.
            _ = tokio::time::timeout(READ_TIMEOUT, rest) => (),
        }
    });
}
