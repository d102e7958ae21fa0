//! The assertion: who asks for a token, signed (RFC 7523, as Google wants it).

use bloonio_wire::clock::Timestamp;
use bloonio_wire::secret::Secret;
use jsonwebtoken::{Algorithm, Header};
use serde::Serialize;

use super::TokenError;
use crate::push::fcm::credentials::Credentials;

/// The least power that sends messages.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// Google takes an hour at most; the rest is for clocks that differ.
const LIFE_SECS: i64 = 3_595;

/// No `sub`: that would ask to act as somebody else, and strict verifiers refuse it empty.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'static str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

/// An assertion that holds from `now` for just under an hour.
///
/// # Errors
/// [`TokenError::Unsigned`].
pub(super) fn sign(credentials: &Credentials, now: Timestamp) -> Result<Secret, TokenError> {
    let mut header = Header::new(Algorithm::RS256);
    header.kid = Some(credentials.private_key_id.clone());
    let claims = Claims {
        iss: &credentials.client_email,
        scope: SCOPE,
        aud: credentials.token_uri.as_str(),
        iat: now.as_secs(),
        exp: now.as_secs() + LIFE_SECS,
    };
    jsonwebtoken::encode(&header, &claims, &credentials.private_key).map(Secret::new).map_err(|_| TokenError::Unsigned)
}
