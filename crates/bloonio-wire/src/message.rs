//! The HTTP message signature of a tenant call (PROTOCOL 2.2; RFC 9421 with the `Content-Digest` of RFC 9530).
//!
//! HMAC #1 signs neither method, path, query nor a nonce; this signature does. Both ends fix what it covers, in this order:
//! `"@method" "@path" "@query" "x-bloonio-tenant-id"`, and `"content-digest"` where there is a body. What a received
//! signature says it covers is compared with that list and never followed.
//!
//! ```text
//! Content-Digest: sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:
//! Signature-Input: bloonio=("@method" "@path" "@query" "x-bloonio-tenant-id" "content-digest")\
//!     ;created=1718966400;nonce="…";keyid="tnt_…";alg="hmac-sha256";tag="bloonio-relay"
//! Signature: bloonio=:…:
//! ```

mod claim;
mod field;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::header;
use crate::id::TenantId;
use crate::random::{Random, RandomError, hex_token};
use crate::secret::Secret;
use crate::sign::HmacSha256;

pub use claim::MessageClaim;

/// The label of the one signature that a call carries.
pub const LABEL: &str = "bloonio";
/// The parameter `alg`.
pub const ALGORITHM: &str = "hmac-sha256";
/// The parameter `tag`: made for a relay and for nothing else.
pub const TAG: &str = "bloonio-relay";

/// What every signature covers, in order; a body's digest comes after.
const COVERED: [&str; 4] = ["@method", "@path", "@query", header::TENANT_ID];

/// What is covered of a request with or without a body, in order.
fn covered(has_body: bool) -> impl Iterator<Item = &'static str> {
    COVERED.into_iter().chain(has_body.then_some(header::CONTENT_DIGEST))
}

/// A tenant call as it travels.
#[derive(Clone, Copy)]
pub struct SignedRequest<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The path of the request target, as it is on the wire.
    pub path: &'a str,
    /// The query of the request target without its question mark, as it is on the wire.
    pub query: Option<&'a str>,
    /// The calling tenant: the value of `X-Bloonio-Tenant-Id`, and the parameter `keyid`.
    pub tenant_id: &'a TenantId,
    /// The raw body.
    pub body: &'a [u8],
}

impl std::fmt::Debug for SignedRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedRequest").field("method", &self.method).field("path", &self.path).finish_non_exhaustive()
    }
}

impl SignedRequest<'_> {
    /// The HMAC over the signature base (RFC 9421, 2.5) with these `@signature-params`.
    fn mac(&self, secret: &Secret, content_digest: Option<&str>, parameters: &str) -> HmacSha256 {
        let mut base = String::with_capacity(512);
        for component in covered(content_digest.is_some()) {
            let value = match component {
                "@method" => self.method,
                // An absent path is the root (RFC 9421, 2.2.6).
                "@path" if self.path.is_empty() => "/",
                "@path" => self.path,
                "@query" => "",
                header::TENANT_ID => self.tenant_id.as_str(),
                _ => content_digest.unwrap_or_default(),
            };
            base.extend(["\"", component, "\": ", value]);
            if component == "@query" {
                // An absent query is a question mark alone (RFC 9421, 2.2.7).
                base.extend(["?", self.query.unwrap_or_default()]);
            }
            base.push('\n');
        }
        base.extend(["\"@signature-params\": ", parameters]);
        // HMAC takes keys of any length, so this cannot fail; the empty key is the fallback the type system asks for.
        let mut mac =
            HmacSha256::new_from_slice(secret.as_bytes()).unwrap_or_else(|_| HmacSha256::new(&Default::default()));
        mac.update(base.as_bytes());
        mac
    }
}

/// What makes a signature one of its kind: 128 random bits, as 32 hex digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// Draws one.
    ///
    /// # Errors
    /// [`RandomError`] when the source fails.
    pub fn draw(random: &dyn Random) -> Result<Self, RandomError> {
        hex_token::<16>(random).map(Self)
    }

    /// The nonce as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Nonce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonce(redacted)")
    }
}

/// The headers that a signed request carries beside those of HMAC #1.
#[derive(Clone, PartialEq, Eq)]
pub struct SignatureHeaders {
    /// `Signature-Input`.
    pub signature_input: String,
    /// `Signature`.
    pub signature: String,
    /// `Content-Digest`, where there is a body.
    pub content_digest: Option<String>,
}

impl std::fmt::Debug for SignatureHeaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SignatureHeaders(redacted)")
    }
}

/// Signs `request` as of `at`.
///
/// ```
/// use bloonio_wire::{clock::Timestamp, id::TenantId, message, random::SystemRandom, secret::Secret};
/// let secret = Secret::new("sk_0000000000000000000000000000000000000000000000000000000000000000");
/// let tenant_id = TenantId::parse("tnt_00000000000000000000000000000000").unwrap();
/// let request = message::SignedRequest {
///     method: "GET",
///     path: "/api/v1/relay/fetch/outcome",
///     query: Some("instruction_id=instruction-1"),
///     tenant_id: &tenant_id,
///     body: b"",
/// };
/// let at = Timestamp::from_millis(1_718_966_400_000);
/// let signed = message::sign(&secret, &request, at, &message::Nonce::draw(&SystemRandom)?);
/// assert!(signed.signature_input.contains(";created=1718966400;"));
/// assert_eq!(signed.content_digest, None);
/// # Ok::<(), bloonio_wire::random::RandomError>(())
/// ```
pub fn sign(secret: &Secret, request: &SignedRequest<'_>, at: Timestamp, nonce: &Nonce) -> SignatureHeaders {
    let has_body = !request.body.is_empty();
    let components: Vec<_> = covered(has_body).map(|component| format!("\"{component}\"")).collect();
    let (created, nonce, key_id) = (at.as_secs(), nonce.as_str(), request.tenant_id.as_str());
    let parameters = format!(
        "({});created={created};nonce=\"{nonce}\";keyid=\"{key_id}\";alg=\"{ALGORITHM}\";tag=\"{TAG}\"",
        components.join(" ")
    );
    let content_digest = has_body.then(|| content_digest(request.body));
    let mac = request.mac(secret, content_digest.as_deref(), &parameters);
    SignatureHeaders {
        signature_input: format!("{LABEL}={parameters}"),
        signature: format!("{LABEL}=:{}:", STANDARD.encode(mac.finalize().into_bytes())),
        content_digest,
    }
}

/// The value of `Content-Digest` for `body`.
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)))
}

#[cfg(test)]
mod tests;
