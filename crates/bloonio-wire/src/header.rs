//! Header names, lower-case as HTTP/2 carries them.

/// The calling tenant (PROTOCOL 2.1).
pub const TENANT_ID: &str = "x-bloonio-tenant-id";
/// Unix milliseconds at signing (PROTOCOL 2.1).
pub const TIMESTAMP: &str = "x-bloonio-timestamp";
/// HMAC #1 as 64 lower-case hex digits (PROTOCOL 2.1).
pub const SIGNATURE: &str = "x-bloonio-signature";
/// What an HTTP message signature covers, and its parameters (PROTOCOL 2.2; RFC 9421, 4.1).
pub const MESSAGE_SIGNATURE_INPUT: &str = "signature-input";
/// The tag of an HTTP message signature (PROTOCOL 2.2; RFC 9421, 4.2).
pub const MESSAGE_SIGNATURE: &str = "signature";
/// The digest of a body that an HTTP message signature covers (PROTOCOL 2.2; RFC 9530).
pub const CONTENT_DIGEST: &str = "content-digest";
/// An operator's key (PROTOCOL 3).
pub const ADMIN_KEY: &str = "x-admin-key";
/// The approved instruction, on the repeated request (PROTOCOL 9.1).
pub const INSTRUCTION_KEY: &str = "x-sudo-instruction-key";
/// Names a request in logs (PROTOCOL 1).
pub const REQUEST_ID: &str = "x-request-id";
/// The callback's idempotency key (PROTOCOL 2.5).
pub const WEBHOOK_ID: &str = "webhook-id";
/// Unix seconds at signing (PROTOCOL 2.5).
pub const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
/// Standard Webhooks signatures (PROTOCOL 2.5).
pub const WEBHOOK_SIGNATURE: &str = "webhook-signature";
/// Fetches the outcome of a QR login, once (PROTOCOL 7).
pub const QR_POLL_TOKEN: &str = "x-qr-poll-token";
