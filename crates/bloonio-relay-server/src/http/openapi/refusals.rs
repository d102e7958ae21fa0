//! The refusals that every call of a kind may meet, so that a handler names only those of its own.
//!
//! ```ignore
//! #[utoipa::path(post, path = "…", responses((status = 200, body = Success<Thing>), TenantRefusals))]
//! ```

use std::collections::BTreeMap;

use bloonio_wire::code::ErrorCode;
use utoipa::IntoResponses;
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};

const EVERY_CALL: &[ErrorCode] = &[
    ErrorCode::MalformedRequest,
    ErrorCode::BodyTooLarge,
    ErrorCode::ValidationFailed,
    ErrorCode::RateLimited,
    ErrorCode::InternalError,
    ErrorCode::StorageUnavailable,
];

/// The envelope's answers for `codes`, one a status, each naming its codes.
pub fn refusals(codes: impl IntoIterator<Item = ErrorCode>) -> BTreeMap<String, RefOr<Response>> {
    let mut texts = BTreeMap::<u16, Vec<String>>::new();
    for code in codes {
        texts.entry(code.status()).or_default().push(format!("`{}`: {}", code.name(), code.text()));
    }
    let answer = |texts: Vec<String>| {
        let content = Content::new(Some(RefOr::Ref(Ref::from_schema_name("Failure"))));
        ResponseBuilder::new().description(texts.join(" ")).content("application/json", content).build()
    };
    texts.into_iter().map(|(status, texts)| (status.to_string(), RefOr::T(answer(texts)))).collect()
}

macro_rules! refusals_of {
    ($(#[$doc:meta])* $name:ident: $($code:ident),*) => {
        $(#[$doc])*
        pub struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                refusals([$(ErrorCode::$code),*].into_iter().chain(EVERY_CALL.iter().copied()))
            }
        }
    };
}

refusals_of!(
    /// Of every operator call.
    OperatorRefusals: InvalidAdminKey
);
refusals_of!(
    /// Of every operator call that names something.
    OperatorRefusalsFor: InvalidAdminKey, NotFound
);
refusals_of!(
    /// Of every tenant call.
    TenantRefusals: InvalidSignature, TimestampOutOfWindow, RequestReplayed, TenantSuspended
);
refusals_of!(
    /// Of a tenant call that brings a one-time code.
    CodeRefusals: InvalidSignature, TimestampOutOfWindow, RequestReplayed, InvalidTotp, TenantSuspended
);
refusals_of!(
    /// Of a device's answer to a prompt.
    AnswerRefusals: InvalidDeviceToken, InvalidDeviceSignature, InvalidTotp, TenantSuspended, DeviceNotConfirmed
);
refusals_of!(
    /// Of every device call.
    DeviceRefusals: InvalidDeviceToken, TenantSuspended, DeviceNotConfirmed
);
