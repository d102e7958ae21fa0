//! Reading bodies, for adapters: how much is kept, and how much is read at all.

use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use futures_util::StreamExt;

use crate::request::{BodyError, RequestView};

/// So much of a body that is too large is read all the same, for so long.
const DRAINED: (usize, Duration) = (4 * 1024 * 1024, Duration::from_secs(5));

/// The whole body of `view`'s request, if it has at most `most` bytes. One that declares more is refused before any of it
/// has come. A request that opens a web socket or a tunnel is refused: what would come on it nobody has approved.
///
/// # Errors
/// [`BodyError`]; of a body that is too large the rest is still in `pieces`.
pub async fn collect<E>(
    view: &RequestView<'_>,
    pieces: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
    most: usize,
) -> Result<Bytes, BodyError> {
    let mut whole = BytesMut::new();
    if opens_a_stream(view) {
        return Err(BodyError::Broken);
    }
    let mut fits = declared(view) <= most;
    while fits {
        let Some(piece) = pieces.next().await else { return Ok(whole.freeze()) };
        whole.extend_from_slice(&piece.map_err(|_| BodyError::Broken)?);
        fits = whole.len() <= most;
    }
    Err(BodyError::TooLarge)
}

fn opens_a_stream(view: &RequestView<'_>) -> bool {
    let names_socket = |value: &&[u8]| value.to_ascii_lowercase().windows(9).any(|part| part == b"websocket");
    view.method() == "CONNECT" || view.header_values("upgrade").iter().any(names_socket)
}

/// Reads on what [`collect`] has left, where the framework does not: a client that is still sending would otherwise see a broken pipe in place of the
/// answer. Not for ever, and not if the client has declared more than that.
pub async fn drain<E>(declared: usize, pieces: impl Stream<Item = Result<Bytes, E>>) {
    let (most, longest) = DRAINED;
    let reading = async {
        let (mut pieces, mut read) = (pin!(pieces), 0_usize);
        while let Some(Ok(piece)) = pieces.next().await {
            read = read.saturating_add(piece.len());
            if read > most {
                break;
            }
        }
    };
    if declared <= most {
        let _ = tokio::time::timeout(longest, reading).await;
    }
}

/// The length that `view`'s request declares; 0 if none.
pub fn declared(view: &RequestView<'_>) -> usize {
    view.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use rstest::rstest;
    use std::convert::Infallible;

    const MIB: usize = 1 << 20;

    /// What comes of a body in pieces of 1 MiB with a limit of 2, and how many are left once it was drained.
    async fn read(header: Option<&'static str>, pieces: usize) -> (Result<usize, BodyError>, usize) {
        let headers = move |_: &str| header.map(str::as_bytes).into_iter().collect();
        let view = RequestView::new("POST", "/", None, &headers);
        let mut left = stream::iter((0..pieces).map(|_| Ok::<_, Infallible>(Bytes::from(vec![b' '; MIB]))));
        let collected = collect(&view, &mut left, 2 * MIB).await;
        if collected == Err(BodyError::TooLarge) {
            drain(declared(&view), &mut left).await;
        }
        (collected.map(|bytes| bytes.len()), left.count().await)
    }

    #[rstest]
    #[case::empty(None, 0, Ok(0), 0)]
    #[case::exactly(None, 2, Ok(2 * MIB), 0)]
    #[case::exactly_as_declared(Some("2097152"), 2, Ok(2 * MIB), 0)]
    #[case::one_too_many(None, 3, Err(BodyError::TooLarge), 0)]
    #[case::endless(None, 100, Err(BodyError::TooLarge), 92)]
    #[case::declared_too_large(Some("3145728"), 3, Err(BodyError::TooLarge), 0)]
    #[case::declared_huge(Some("99999999"), 95, Err(BodyError::TooLarge), 95)]
    #[case::unreadable_length(Some("-1"), 1, Ok(MIB), 0)]
    #[tokio::test]
    async fn bodies_are_kept_up_to_the_limit_and_read_a_little_further(
        #[case] header: Option<&'static str>,
        #[case] pieces: usize,
        #[case] kept: Result<usize, BodyError>,
        #[case] left: usize,
    ) {
        assert_eq!(read(header, pieces).await, (kept, left));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stops_sending_is_not_waited_for_long() {
        drain(0, stream::pending::<Result<Bytes, Infallible>>()).await;
    }
}
