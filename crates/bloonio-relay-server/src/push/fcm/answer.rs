//! Reading a stranger's answer, up to a limit.

use reqwest::Response;

/// The body of an answer, as far as it was read.
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    /// Whether this is all of it.
    pub(super) complete: bool,
}

impl Body {
    /// The body, or nothing where it was too long to be read: half a JSON text says nothing.
    pub(super) fn whole(&self) -> &[u8] {
        if self.complete { &self.bytes } else { &[] }
    }
}

/// Reads at most `limit` bytes; what comes after is left unread and the connection is given up.
///
/// # Errors
/// The transport's own, when the answer breaks off.
pub(super) async fn read(mut response: Response, limit: usize) -> Result<Body, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > limit {
            return Ok(Body { bytes, complete: false });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Body { bytes, complete: true })
}
