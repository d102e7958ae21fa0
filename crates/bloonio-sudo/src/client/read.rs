//! Reads what the relay answers: strict about what an answer is about, and about every value that could pass for a yes;
//! fields that it does not know are left alone, since relays differ in what they add.

use bloonio_wire::delivery::DeliveryStatus;
use bloonio_wire::group::SignatureImage;
use bloonio_wire::id::InstructionId;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::RelayError;

pub(super) const NOT_OF_THE_PROTOCOL: RelayError = RelayError::Unreadable("it is not of the protocol");
pub(super) const ABOUT_ANOTHER: RelayError = RelayError::Unreadable("it is about another one");

/// Data of the wire's own types.
pub(super) fn data<T: DeserializeOwned>(data: Value) -> Result<T, RelayError> {
    serde_json::from_value(data).map_err(|_| NOT_OF_THE_PROTOCOL)
}

/// An acknowledgement: it need not name what was done, but it must not name another.
pub(super) fn acknowledged(data: &Value, about: &[(&str, &str)]) -> Result<(), RelayError> {
    let other = about.iter().any(|(name, asked)| !data[*name].is_null() && data[*name] != *asked);
    if other { Err(ABOUT_ANOTHER) } else { Ok(()) }
}

pub(super) fn delivery_status(found: Value, asked: &InstructionId) -> Result<DeliveryStatus, RelayError> {
    let status: DeliveryStatus = data(found)?;
    if status.instruction_id == *asked { Ok(status) } else { Err(ABOUT_ANOTHER) }
}

pub(super) fn signature(found: Value) -> Result<SignatureImage, RelayError> {
    let image: SignatureImage = data(found)?;
    match image.bytes() {
        Some(_) => Ok(image),
        None => Err(RelayError::Unreadable("its picture is not of the size that it says")),
    }
}

/// The one that was asked for, alone or as a list of one.
pub(super) fn one<T: DeserializeOwned>(found: Value, field: &str, asked: &str) -> Result<T, RelayError> {
    let one = match found["items"].as_array() {
        Some(items) => match items.as_slice() {
            [only] => only.clone(),
            _ => return Err(NOT_OF_THE_PROTOCOL),
        },
        None => found,
    };
    if one[field] != asked {
        return Err(ABOUT_ANOTHER);
    }
    data(one)
}
