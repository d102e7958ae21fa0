//! What an approval is bound to: one digest over the request (PROTOCOL 9.2; SECURITY, "What counts as approved").

mod canonical;

use std::fmt;

use bloonio_wire::digest::Framed;
use bloonio_wire::id::{TenantId, UserSocketHash};
use sha2::{Digest, Sha256};

use crate::identity::InitiatorHash;
use crate::policy::FieldError;
use crate::request::RequestView;

/// How closely an approval is bound to the request that it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Binding {
    /// To the exact request: method, authority, raw path and query, content type and encoding, bound headers, and every
    /// byte of the body.
    #[default]
    Exact,
    /// As `Exact`, but two JSON bodies that mean the same are the same (RFC 8785): order, blanks, escapes and the spelling
    /// of numbers do not count. What readers may read differently is refused: keys given twice with 400, numbers that a
    /// double cannot hold with 422. Set by
    /// [`SudoRequirement::with_canonical_json`](crate::SudoRequirement::with_canonical_json).
    CanonicalJson,
    /// To tenant, user, initiator and action only: whatever is sent with the key runs. Set by
    /// [`SudoRequirement::insecure_without_binding`](crate::SudoRequirement::insecure_without_binding).
    None,
}

/// Digest of a request and of who makes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({}…)", hex::encode(&self.0[..4]))
    }
}

/// Who asks for what: the part of a fingerprint that no binding leaves out.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// Who must approve.
    pub user: &'a UserSocketHash,
    /// Whose session asks.
    pub initiator: &'a InitiatorHash,
    /// What for.
    pub action: &'a str,
}

impl Fingerprint {
    /// From its bytes, for stores that read it back.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes, for stores that write it down.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest of `view`, made by and for `asking`, with the values of `bound_headers` in it.
    ///
    /// Each part is preceded by its length, an absent one differs from an empty one, and headers given several times
    /// count in their order.
    ///
    /// # Errors
    /// [`FieldError`] for a body that has no canonical form, where the binding asks for it.
    pub fn of<'h>(
        binding: Binding,
        asking: Asking<'_>,
        view: &RequestView<'_>,
        bound_headers: impl Iterator<Item = &'h str>,
    ) -> Result<Self, FieldError> {
        let mut framed = Framed::new("bloonio-fingerprint-v1");
        framed
            .text(asking.tenant.as_str())
            .text(asking.user.as_str())
            .part(asking.initiator.as_bytes())
            .text(asking.action);
        match binding {
            Binding::None => framed.text("unbound"),
            Binding::Exact => head(framed.text("exact"), view, bound_headers).part(&Sha256::digest(view.body())),
            Binding::CanonicalJson => {
                let body = canonical::canonical(view)?.map(Sha256::digest);
                head(framed.text("canonical-json"), view, bound_headers).optional(body.as_ref().map(|d| d.as_slice()))
            }
        };
        Ok(Self(framed.digest()))
    }
}

/// All of a request but its body.
fn head<'f, 'h>(
    framed: &'f mut Framed,
    view: &RequestView<'_>,
    bound_headers: impl Iterator<Item = &'h str>,
) -> &'f mut Framed {
    framed
        .text(view.method())
        .optional(view.authority().map(str::as_bytes))
        .text(view.path())
        .optional(view.query().map(str::as_bytes));
    // `host` beside the authority: HTTP/2 lets a client send both, and an application may read either.
    for name in ["host", "content-type", "content-encoding"].into_iter().chain(bound_headers) {
        let values = view.header_values(name);
        framed.text(name).text(&values.len().to_string());
        for value in values {
            framed.part(value);
        }
    }
    framed
}
