//! Body of POST /relay/sudo/verify-totp (PROTOCOL 6).

use bloonio_auth_api::totp::code::Code;
use bloonio_wire::field::Reader;
use bloonio_wire::id::RelayUserLinkedId;
use serde_json::Value;

use super::finish;
use crate::service::error::ServiceError;

/// Whose code, and the code.
///
/// # Errors
/// `VALIDATION_FAILED`.
pub fn verification(body: &Value) -> Result<(RelayUserLinkedId, Code), ServiceError> {
    let mut reader = Reader::object(body);
    let linked_id = reader.parsed("relay_user_linked_id");
    let code = reader.parsed("totp");
    finish(reader, linked_id.zip(code))
}
