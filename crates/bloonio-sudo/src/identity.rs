//! Who asks: the one question that an application must answer.

use std::fmt;

use async_trait::async_trait;
use bloonio_wire::digest::Framed;
use bloonio_wire::id::{TenantId, UserSocketHash};

use crate::request::RequestView;

/// Somebody signed in, as the application knows him.
#[derive(Clone, PartialEq, Eq)]
pub struct Caller {
    user: UserSocketHash,
    initiator: Option<String>,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("user", &self.user).field("initiator", &"redacted").finish()
    }
}

impl Caller {
    /// A user, and what names the session or token that he came with. The initiator is only ever kept as a hash; an
    /// empty one counts as none.
    pub fn new(user: UserSocketHash, initiator: impl Into<String>) -> Self {
        let initiator = initiator.into();
        Self { user, initiator: (!initiator.is_empty()).then_some(initiator) }
    }

    /// A user whose sessions cannot be told apart. His repeated requests get a fresh prompt each time (SECURITY, "What
    /// counts as approved": no initiator, no deduplication), and all his sessions count as one.
    pub fn without_initiator(user: UserSocketHash) -> Self {
        Self { user, initiator: None }
    }

    /// The user.
    pub fn user(&self) -> &UserSocketHash {
        &self.user
    }

    pub(crate) fn has_initiator(&self) -> bool {
        self.initiator.is_some()
    }

    pub(crate) fn initiator_hash(&self, tenant: &TenantId) -> InitiatorHash {
        let mut framed = Framed::new("bloonio-initiator-v1");
        framed.text(tenant.as_str()).text(self.user.as_str()).optional(self.initiator.as_deref().map(str::as_bytes));
        InitiatorHash(framed.digest())
    }
}

/// Hash of tenant, user and session: whose instruction it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InitiatorHash(pub(crate) [u8; 32]);

impl InitiatorHash {
    /// From its bytes, for stores that read it back.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes, for stores that write it down.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for InitiatorHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InitiatorHash(redacted)")
    }
}

/// The cause of a failed identification; shown in the log only.
pub type IdentifyError = Box<dyn std::error::Error + Send + Sync>;

/// Says who asks. Applications usually give a closure; implement this where the answer must be awaited.
#[async_trait]
pub trait Identify: Send + Sync {
    /// The caller, or `None` for nobody. The body has not been read yet.
    ///
    /// # Errors
    /// Whatever kept the application from knowing; the request is then refused with 500 `SUDO_MISCONFIGURED`.
    async fn identify(&self, view: &RequestView<'_>) -> Result<Option<Caller>, IdentifyError>;
}

pub(crate) struct Closure<F>(pub(crate) F);

#[async_trait]
impl<F> Identify for Closure<F>
where
    F: Fn(&RequestView<'_>) -> Result<Option<Caller>, IdentifyError> + Send + Sync,
{
    async fn identify(&self, view: &RequestView<'_>) -> Result<Option<Caller>, IdentifyError> {
        (self.0)(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initiators_differ_by_tenant_user_and_session() {
        let tenant = |n: u8| TenantId::parse(format!("tnt_{}", format!("{n:02x}").repeat(16))).unwrap();
        let user = |name: &str| UserSocketHash::parse(name).unwrap();
        let hashes = [
            Caller::new(user("jane-0001"), "s1").initiator_hash(&tenant(1)),
            Caller::new(user("jane-0001"), "s2").initiator_hash(&tenant(1)),
            Caller::new(user("john-0001"), "s1").initiator_hash(&tenant(1)),
            Caller::new(user("jane-0001"), "s1").initiator_hash(&tenant(2)),
            Caller::without_initiator(user("jane-0001")).initiator_hash(&tenant(1)),
        ];
        let distinct: std::collections::BTreeSet<_> = hashes.iter().collect();
        assert_eq!(distinct.len(), hashes.len());
    }

    #[test]
    fn an_empty_initiator_is_none() {
        let user = UserSocketHash::parse("jane-0001").unwrap();
        assert_eq!(Caller::new(user.clone(), ""), Caller::without_initiator(user));
    }

    #[test]
    fn debug_keeps_the_session_to_itself() {
        let caller = Caller::new(UserSocketHash::parse("jane-0001").unwrap(), "session-hush");
        assert!(!format!("{caller:?}").contains("hush"));
    }
}
