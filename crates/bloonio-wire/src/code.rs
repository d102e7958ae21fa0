//! Every error code of the protocol, with its HTTP status and its text: one table (PROTOCOL 1 and 9.1).

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $text:literal;)*) => {
        /// A stable, machine-read error code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorCode {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code as it travels in `error`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The HTTP status it comes with.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status),* }
            }

            /// The text for `message`; fixed, so that it can leak nothing.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The code of that name, if the protocol has it.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

codes! {
    /// The bytes are not JSON, or the query cannot be read.
    MalformedRequest = "MALFORMED_REQUEST", 400, "The request could not be read.";
    /// Missing or bad signature headers, and unknown tenants: one answer.
    InvalidSignature = "INVALID_SIGNATURE", 401, "The request is not signed by a known tenant.";
    /// More than 30 s from the relay's clock.
    TimestampOutOfWindow = "TIMESTAMP_OUT_OF_WINDOW", 401, "The timestamp is more than 30 seconds from the server's clock.";
    /// A state-changing request seen before.
    RequestReplayed = "REQUEST_REPLAYED", 401, "This signed request was received before.";
    /// The operator's key is wrong or none is configured.
    InvalidAdminKey = "INVALID_ADMIN_KEY", 401, "The admin key is missing or wrong.";
    /// A pairing proof or session token that does not hold.
    InvalidDeviceToken = "INVALID_DEVICE_TOKEN", 401, "The device token is missing or not valid.";
    /// A wrong code.
    InvalidTotp = "INVALID_TOTP", 401, "The code is wrong.";
    /// A device that registered a key must sign its decisions; or a response without proof.
    InvalidDeviceSignature = "INVALID_DEVICE_SIGNATURE", 401, "The decision is not signed by the device's key.";
    /// A device's response without a proof that holds, or for an unknown instruction: one answer.
    InvalidResponseToken = "INVALID_RESPONSE_TOKEN", 401, "The response carries no valid proof.";
    /// The operator has suspended the tenant.
    TenantSuspended = "TENANT_SUSPENDED", 403, "The tenant is suspended.";
    /// A callback for another tenant or user.
    Forbidden = "FORBIDDEN", 403, "This is not yours to change.";
    /// A browser origin that is not listed.
    OriginNotAllowed = "ORIGIN_NOT_ALLOWED", 403, "The origin is not allowed.";
    /// No passkeys for this tenant.
    PasskeysDisabled = "PASSKEYS_DISABLED", 403, "Passkeys are disabled for this tenant.";
    /// No QR login for this tenant.
    QrLoginDisabled = "QR_LOGIN_DISABLED", 403, "QR login is disabled for this tenant.";
    /// The device waits for an existing device's confirmation.
    DeviceNotConfirmed = "DEVICE_NOT_CONFIRMED", 403, "The device awaits confirmation by an existing device.";
    /// No such thing, or not yours: one answer.
    NotFound = "NOT_FOUND", 404, "There is no such thing.";
    /// No such pairing.
    PairingNotFound = "PAIRING_NOT_FOUND", 404, "There is no such pairing.";
    /// A pairing without a live device token.
    NoDevice = "NO_DEVICE", 404, "The pairing has no live device.";
    /// The path exists, but not for this method.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", 405, "The method is not allowed here.";
    /// The same id again with another body.
    IdempotencyConflict = "IDEMPOTENCY_CONFLICT", 409, "The same id was used with another body.";
    /// The decision has been taken.
    AlreadyDecided = "ALREADY_DECIDED", 409, "This was decided before.";
    /// Too many devices for one pairing.
    TooManyDevices = "TOO_MANY_DEVICES", 409, "The pairing has as many devices as it may have.";
    /// A pairing proof used twice.
    PairingProofUsed = "PAIRING_PROOF_USED", 409, "The pairing proof was used before.";
    /// Expired, consumed or withdrawn.
    Gone = "GONE", 410, "This is over.";
    /// Over the size limit.
    BodyTooLarge = "BODY_TOO_LARGE", 413, "The body is too large.";
    /// JSON that breaks a rule; `details` lists all of them.
    ValidationFailed = "VALIDATION_FAILED", 422, "The request breaks one or more rules.";
    /// Slow down; with `Retry-After`.
    RateLimited = "RATE_LIMITED", 429, "Too many requests.";
    /// Something broke; the log has it under the request id.
    InternalError = "INTERNAL_ERROR", 500, "Something went wrong on our side.";
    /// The auth API does not answer.
    AuthApiUnreachable = "AUTH_API_UNREACHABLE", 502, "The auth API cannot be reached.";
    /// Every device failed; `data` has the counts.
    PushNotDelivered = "PUSH_NOT_DELIVERED", 502, "The push was not accepted for any device.";
    /// The storage is away; with `Retry-After`.
    StorageUnavailable = "STORAGE_UNAVAILABLE", 503, "The storage is not available.";

    /// First call of a protected route.
    SudoInstructionKeyRequired = "SUDO_INSTRUCTION_KEY_REQUIRED", 403, "This action needs an approval on your phone.";
    /// Key known, nobody has answered.
    SudoActionPending = "SUDO_ACTION_PENDING", 403, "The approval has not been given yet.";
    /// Denied, or a wrong golden number.
    SudoActionDenied = "SUDO_ACTION_DENIED", 403, "The approval was denied.";
    /// Unknown, expired, used, or another's: one answer.
    SudoActionExpired = "SUDO_ACTION_EXPIRED", 403, "There is no such approval, or it is over.";
    /// Approved, but for another request.
    SudoRequestMismatch = "SUDO_REQUEST_MISMATCH", 403, "The approval was given for another request.";
    /// The identity closure found nobody.
    SudoUserRequired = "SUDO_USER_REQUIRED", 401, "Sign in first.";
    /// Blocking mode, no answer in time.
    SudoActionTimeout = "SUDO_ACTION_TIMEOUT", 408, "Nobody answered in time.";
    /// Too many open prompts; with `Retry-After`.
    SudoTooManyPending = "SUDO_TOO_MANY_PENDING", 429, "Too many approvals are open. Answer them or wait.";
    /// Over the configured size on a protected route.
    SudoBodyTooLarge = "SUDO_BODY_TOO_LARGE", 413, "The body is too large for a protected route.";
    /// The instruction store is away.
    SudoStateUnavailable = "SUDO_STATE_UNAVAILABLE", 503, "Approvals cannot be checked at the moment.";
    /// The relay is away.
    SudoRelayUnavailable = "SUDO_RELAY_UNAVAILABLE", 503, "Approvals cannot be asked for at the moment.";
    /// The application's own closure failed.
    SudoMisconfigured = "SUDO_MISCONFIGURED", 500, "This route is misconfigured.";
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| serde::de::Error::custom("unknown error code"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found_again() {
        let names: std::collections::BTreeSet<_> = ErrorCode::ALL.iter().map(|c| c.name()).collect();
        assert_eq!(names.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_name(code.name()), Some(*code));
            assert!((400..=503).contains(&code.status()), "{code}");
        }
    }
}
