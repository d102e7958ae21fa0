//! What a tenant call claims about itself: HMAC #1, and an HTTP message signature where there is one.
//!
//! No downgrade: a call that carries any part of a message signature must carry all of it, and both signatures must verify.
//! Every step looks at both, whatever comes of the first.

use bloonio_wire::clock::Timestamp;
use bloonio_wire::header;
use bloonio_wire::id::TenantId;
use bloonio_wire::message::{MessageClaim, SignedRequest};
use bloonio_wire::secret::Secret;
use bloonio_wire::sign::{self, Signature, SignatureError};
use http::{HeaderMap, Method, Uri};

use super::only;

/// Both signatures of a call, of the right form and not yet verified.
#[derive(Debug)]
pub struct Claims {
    /// Who claims to call.
    pub tenant_id: TenantId,
    timestamp_ms: i64,
    hmac: Signature,
    message: Option<MessageClaim>,
}

impl Claims {
    /// Reads the signing headers; one that is given twice makes the call unreadable.
    ///
    /// # Errors
    /// [`SignatureError::Malformed`].
    pub fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, SignatureError> {
        let once = |name| only(headers, name).ok_or(SignatureError::Malformed);
        Ok(Self {
            tenant_id: TenantId::parse(once(header::TENANT_ID)?).map_err(|_| SignatureError::Malformed)?,
            timestamp_ms: sign::parse_timestamp(once(header::TIMESTAMP)?)?,
            hmac: Signature::from_hex(once(header::SIGNATURE)?)?,
            message: message(headers, !body.is_empty())?,
        })
    }

    /// Whether both were made within 30 s of `now`.
    ///
    /// # Errors
    /// [`SignatureError::OutOfWindow`].
    pub fn check_window(&self, now: Timestamp) -> Result<(), SignatureError> {
        sign::check_window(self.timestamp_ms, now)?;
        self.message.as_ref().map_or(Ok(()), |message| message.check_window(now))
    }

    /// Verifies both. The target is that of the request line, byte for byte; an absent query counts as an empty one.
    ///
    /// # Errors
    /// [`SignatureError::Mismatch`].
    pub fn verify(&self, secret: &Secret, method: &Method, uri: &Uri, body: &[u8]) -> Result<(), SignatureError> {
        let request = SignedRequest {
            method: method.as_str(),
            path: uri.path(),
            query: uri.query(),
            tenant_id: &self.tenant_id,
            body,
        };
        let hmac = sign::verify(secret, self.timestamp_ms, body, &self.hmac);
        let message = self.message.as_ref().map_or(Ok(()), |message| message.verify(secret, &request));
        hmac.and(message)
    }

    /// Whether there is a message signature.
    pub fn has_message(&self) -> bool {
        self.message.is_some()
    }

    /// When it was signed, as it says.
    pub fn signed_at(&self) -> Timestamp {
        Timestamp::from_millis(self.timestamp_ms)
    }

    /// What is remembered of the call, so that it is accepted once: HMAC #1, and the nonce where there is one.
    pub fn replay_keys(&self) -> Vec<[u8; 32]> {
        let nonce = self.message.as_ref().map(MessageClaim::replay_key);
        std::iter::once(*self.hmac.as_bytes()).chain(nonce).collect()
    }
}

/// The message signature, if the call carries any part of one.
fn message(headers: &HeaderMap, has_body: bool) -> Result<Option<MessageClaim>, SignatureError> {
    let parts = [header::MESSAGE_SIGNATURE_INPUT, header::MESSAGE_SIGNATURE];
    if !parts.iter().any(|name| headers.contains_key(*name)) {
        return Ok(None);
    }
    let [input, signature] = parts.map(|name| only(headers, name).ok_or(SignatureError::Malformed));
    let content_digest = match headers.contains_key(header::CONTENT_DIGEST) {
        true => Some(only(headers, header::CONTENT_DIGEST).ok_or(SignatureError::Malformed)?),
        false => None,
    };
    MessageClaim::read(input?, signature?, content_digest, has_body).map(Some)
}
