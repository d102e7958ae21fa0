//! What a received signature claims, and whether it is true.

use hmac::Mac;
use sfv::{Dictionary, FieldType, InnerList, ListEntry, Parameters, StringRef};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::field::{bytes, dictionary};
use super::{ALGORITHM, LABEL, SignedRequest, TAG, covered};
use crate::clock::Timestamp;
use crate::digest::Framed;
use crate::secret::Secret;
use crate::sign::{SignatureError, WINDOW_MS};

/// No nonce needs more characters; it is read before anything is verified.
const LONGEST_NONCE: usize = 128;
/// A nonce must be able to hold this many random bits.
const NONCE_BITS: usize = 128;
/// `created`, `nonce`, `keyid`, `alg` and `tag`: each must be there, and beside them no other may be.
const PARAMETERS: usize = 5;

/// A received signature of the right form, not yet verified.
pub struct MessageClaim {
    created: i64,
    nonce: String,
    key_id: String,
    /// Components and parameters in the order received, written by the standard: the last line of what is signed
    /// (RFC 9421, 2.3).
    parameters: String,
    tag: Vec<u8>,
    /// `Content-Digest` as received, where the body's digest is covered.
    content_digest: Option<String>,
}

crate::secret::debug_shows!(MessageClaim { created });

impl MessageClaim {
    /// Reads the headers of a request with or without a body. They must hold exactly one signature, under [`LABEL`], over the
    /// components that the protocol fixes, in their order and without parameters of their own, with the parameters `created`,
    /// `nonce`, `keyid`, `alg` and `tag` in any order and no others.
    ///
    /// # Errors
    /// [`SignatureError::Malformed`] for anything else.
    pub fn read(
        signature_input: &str,
        signature: &str,
        content_digest: Option<&str>,
        has_body: bool,
    ) -> Result<Self, SignatureError> {
        let (inputs, signatures) = (dictionary(signature_input)?, dictionary(signature)?);
        let content_digest = content_digest.filter(|_| has_body);
        if content_digest.is_some() != has_body {
            return Err(SignatureError::Malformed);
        }
        Self::of(&inputs, &signatures, content_digest).ok_or(SignatureError::Malformed)
    }

    fn of(inputs: &Dictionary, signatures: &Dictionary, content_digest: Option<&str>) -> Option<Self> {
        let ListEntry::InnerList(input) = inputs.get(LABEL).filter(|_| inputs.len() == 1)? else {
            return None;
        };
        let parameters = &input.params;
        let fixed =
            [("alg", ALGORITHM), ("tag", TAG)].iter().all(|(name, value)| text(parameters, name) == Some(value));
        let right = fixed && parameters.len() == PARAMETERS && covers(input, content_digest.is_some());
        if !right || signatures.len() != 1 {
            return None;
        }
        Some(Self {
            created: created(parameters)?,
            nonce: nonce(parameters)?,
            key_id: text(parameters, "keyid")?.to_owned(),
            parameters: written(inputs)?,
            tag: bytes(signatures, LABEL)?.to_vec(),
            content_digest: content_digest.map(str::to_owned),
        })
    }

    /// Whether `created` lies within 30 s of `now`, either way, both in whole seconds; exactly 30 s is still accepted.
    ///
    /// # Errors
    /// [`SignatureError::OutOfWindow`].
    pub fn check_window(&self, now: Timestamp) -> Result<(), SignatureError> {
        let distance = self.created.abs_diff(now.as_secs());
        if distance <= WINDOW_MS.unsigned_abs() / 1000 { Ok(()) } else { Err(SignatureError::OutOfWindow) }
    }

    /// Verifies the signature over `request`, in constant time, and the digest over its body. Says nothing about the window.
    ///
    /// # Errors
    /// [`SignatureError::Mismatch`].
    pub fn verify(&self, secret: &Secret, request: &SignedRequest<'_>) -> Result<(), SignatureError> {
        let mac = request.mac(secret, self.content_digest.as_deref(), &self.parameters);
        let signed = mac.verify_slice(&self.tag).is_ok();
        let of_this_body = match &self.content_digest {
            Some(received) => has_digest_of(received, request.body),
            None => request.body.is_empty(),
        };
        let of_this_tenant = self.key_id == request.tenant_id.as_str();
        if signed & of_this_body & of_this_tenant { Ok(()) } else { Err(SignatureError::Mismatch) }
    }

    /// What is remembered of the nonce: a digest under a domain of its own, so that no nonce can be mistaken for an HMAC #1.
    pub fn replay_key(&self) -> [u8; 32] {
        Framed::new("bloonio-message-nonce-v1").text(&self.nonce).digest()
    }
}

/// Whether `sha-256` of a `Content-Digest` is that of `body`; other algorithms beside it are not looked at.
fn has_digest_of(content_digest: &str, body: &[u8]) -> bool {
    let members = dictionary(content_digest);
    let received = members.as_ref().ok().and_then(|members| bytes(members, "sha-256"));
    received.is_some_and(|received| received.ct_eq(Sha256::digest(body).as_slice()).into())
}

fn covers(input: &InnerList, has_body: bool) -> bool {
    let mut received = input.items.iter();
    covered(has_body).all(|component| {
        let is_it = |item: &sfv::Item| item.params.is_empty() && as_text(item.bare_item.as_string()) == Some(component);
        received.next().is_some_and(is_it)
    }) && received.next().is_none()
}

fn as_text(string: Option<&StringRef>) -> Option<&str> {
    string.map(StringRef::as_str)
}

fn text<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a str> {
    as_text(parameters.get(name)?.as_string())
}

fn created(parameters: &Parameters) -> Option<i64> {
    let seconds = i64::from(parameters.get("created")?.as_integer()?);
    (seconds >= 0).then_some(seconds)
}

/// A nonce that can hold enough random bits: four a character where all are hex digits, else six; hyphens and padding hold
/// none. Whether it is random only its maker knows.
fn nonce(parameters: &Parameters) -> Option<String> {
    let nonce = text(parameters, "nonce").filter(|nonce| nonce.len() <= LONGEST_NONCE)?;
    let telling = || nonce.bytes().filter(|b| !matches!(b, b'-' | b'='));
    let bits = if telling().all(|b| b.is_ascii_hexdigit()) { 4 } else { 6 };
    (telling().count() * bits >= NONCE_BITS).then(|| nonce.to_owned())
}

/// The value of the only member, as the standard writes it.
fn written(inputs: &Dictionary) -> Option<String> {
    inputs.serialize()?.strip_prefix(LABEL)?.strip_prefix('=').map(str::to_owned)
}
