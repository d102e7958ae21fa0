//! A stand-in for a real sign-in: the bearer token `demo-jane` is Jane, `demo-jane.phone` another session of hers.

use axum::Json;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bloonio_axum::{Caller, RequestView, UserSocketHash};
use sha2::{Digest, Sha256};

const USERS: [&str; 2] = ["jane", "john"];

/// Somebody signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// `jane` or `john`.
    pub user: &'static str,
    /// The whole token: it names the session.
    pub token: String,
}

impl Session {
    fn from_authorization(value: &str) -> Option<Self> {
        let token = value.strip_prefix("Bearer ")?;
        let name = token.strip_prefix("demo-")?.split('.').next()?;
        let user = USERS.into_iter().find(|user| *user == name)?;
        Some(Self { user, token: token.to_owned() })
    }

    fn of(headers: &HeaderMap) -> Option<Self> {
        Self::from_authorization(headers.get(AUTHORIZATION)?.to_str().ok()?)
    }

    /// The bank's opaque handle of the user at the relay.
    pub fn user_socket_hash(&self) -> Option<UserSocketHash> {
        let digest = Sha256::digest(format!("bloonio-demo:{}", self.user));
        UserSocketHash::parse(&hex::encode(digest)[..32]).ok()
    }
}

/// Who asks, for the approval: the user, and the session as initiator.
pub fn identify(view: &RequestView<'_>) -> Option<Caller> {
    let session = Session::from_authorization(view.header("authorization")?)?;
    Some(Caller::new(session.user_socket_hash()?, session.token))
}

/// Turns away whoever is not signed in, and hands the session to the handlers.
pub async fn required(mut request: Request, next: Next) -> Response {
    let Some(session) = Session::of(request.headers()) else {
        let body = serde_json::json!({"success": false, "status_code": 401, "error": "SUDO_USER_REQUIRED", "message": "Sign in first."});
        return (StatusCode::UNAUTHORIZED, [(CACHE_CONTROL, "no-store")], Json(body)).into_response();
    };
    request.extensions_mut().insert(session);
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_name_a_user_and_a_session() {
        let session = Session::from_authorization("Bearer demo-jane.phone").unwrap();
        assert_eq!((session.user, session.token.as_str()), ("jane", "demo-jane.phone"));
        for stranger in ["", "Bearer demo-eve", "demo-jane", "Bearer jane", "Bearer demo-janet", "Bearer demo-"] {
            assert_eq!(Session::from_authorization(stranger), None, "{stranger}");
        }
    }
}
