//! A stand-in for a real sign-in: the bearer token `demo-jane` is Jane, `demo-jane.phone` another session of hers.

use bloonio_sudo::{Caller, RequestView, UserSocketHash};
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
    /// Whoever an `Authorization` header names.
    pub fn from_authorization(value: &str) -> Option<Self> {
        let token = value.strip_prefix("Bearer ")?;
        let name = token.strip_prefix("demo-")?.split('.').next()?;
        let user = USERS.into_iter().find(|user| *user == name)?;
        Some(Self { user, token: token.to_owned() })
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
