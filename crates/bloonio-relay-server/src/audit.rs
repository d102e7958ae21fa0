//! The audit trail: who changed what, in an order that nobody can change afterwards without being found out.
//!
//! Every tenant has a chain of entries, and the operator one. An entry is written in the transaction of the change that it
//! tells of, so that neither is there without the other, and holds the hash of the entry before it. So editing, removing,
//! inserting or exchanging entries breaks the chain at that place; cutting off its end, or writing the whole of it anew, is found
//! by comparing with a [`Head`] that was kept elsewhere ([`verify`]).
//!
//! Entries are kept for ever and hold neither secrets nor personal data: ids that the relay has drawn stand as they are, a
//! tenant's own names of prompts and users as a digest ([`digest_of`]), and of what was asked or answered no word.

mod kind;
pub mod refused;
pub mod trail;
pub mod verify;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use bloonio_wire::clock::Timestamp;
use bloonio_wire::digest::Framed;
use bloonio_wire::id::TenantId;
use serde_json::Value;

pub use kind::Kind;

/// SHA-256 of an entry, or what stands before the first one: zeros.
pub type Hash = [u8; 32];

/// What the first entry of a chain follows.
pub const GENESIS: Hash = [0; 32];

/// The name of the operator's own chain, which is no tenant's id.
const OPERATOR: &str = "operator";

/// Whose entries follow one another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Chain {
    /// Those that concern no single tenant.
    Operator,
    /// A tenant's, and what an operator does to it.
    Tenant(TenantId),
}

impl Chain {
    /// The chain's name, as it is stored and hashed.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Operator => OPERATOR,
            Self::Tenant(id) => id.as_str(),
        }
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not the name of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be `operator` or a tenant's id")]
pub struct NotAChain;

impl FromStr for Chain {
    type Err = NotAChain;

    fn from_str(text: &str) -> Result<Self, NotAChain> {
        match text {
            OPERATOR => Ok(Self::Operator),
            id => TenantId::parse(id).map(Self::Tenant).map_err(|_| NotAChain),
        }
    }
}

impl From<&TenantId> for Chain {
    fn from(id: &TenantId) -> Self {
        Self::Tenant(id.clone())
    }
}

/// What is to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    kind: Kind,
    subject: String,
    /// In the order of their names, whatever order a JSON object has in this build.
    details: BTreeMap<&'static str, Value>,
}

impl Event {
    /// Something that happened to `subject`: an id of the relay's own, or a [`digest_of`] a tenant's.
    pub fn new(kind: Kind, subject: impl Into<String>) -> Self {
        Self { kind, subject: subject.into(), details: BTreeMap::new() }
    }

    /// With one more detail. Never a secret, never what says who somebody is.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.details.insert(name, value.into());
        self
    }

    /// The entry of this event behind `previous`.
    pub fn follow(self, previous: &Head, at: Timestamp) -> Entry {
        let mut entry = Entry {
            chain: previous.chain.clone(),
            seq: previous.seq.saturating_add(1),
            at,
            kind: self.kind.as_str().to_owned(),
            subject: self.subject,
            details: serde_json::json!(self.details).to_string(),
            prev_hash: previous.hash,
            hash: GENESIS,
        };
        entry.hash = entry.digest();
        entry
    }
}

/// An entry as it is stored. Texts are kept as they came from the database, of kinds that this version does not know, too:
/// they are what was hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its chain.
    pub chain: Chain,
    /// Its place in it, from 1.
    pub seq: i64,
    /// When it was written.
    pub at: Timestamp,
    /// What happened; see [`Kind`].
    pub kind: String,
    /// To what.
    pub subject: String,
    /// A JSON object.
    pub details: String,
    /// Hash of the entry before it.
    pub prev_hash: Hash,
    /// Its own.
    pub hash: Hash,
}

impl Entry {
    /// What its hash must be: SHA-256 over all that it says, each part behind its length, under a domain of its own.
    pub fn digest(&self) -> Hash {
        let mut framed = Framed::new("bloonio-audit-v1");
        framed.text(self.chain.as_str()).part(&self.seq.to_be_bytes()).part(&self.at.as_millis().to_be_bytes());
        framed.text(&self.kind).text(&self.subject).text(&self.details).part(&self.prev_hash);
        framed.digest()
    }

    /// The chain's end if this is its last entry.
    pub fn head(&self) -> Head {
        Head { chain: self.chain.clone(), seq: self.seq, hash: self.hash }
    }
}

/// The end of a chain: whoever has it can tell later whether everything up to it is still there, and as it was.
///
/// As text `<chain> <seq> <hash in hex>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Which chain.
    pub chain: Chain,
    /// Place of its last entry; 0 for one without entries.
    pub seq: i64,
    /// Hash of its last entry.
    pub hash: Hash,
}

impl Head {
    /// The end of a chain without entries.
    pub const fn empty(chain: Chain) -> Self {
        Self { chain, seq: 0, hash: GENESIS }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.chain, self.seq, hex::encode(self.hash))
    }
}

/// Not a head as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a chain, a place and a hash of 64 hex digits, separated by blanks")]
pub struct NotAHead;

impl FromStr for Head {
    type Err = NotAHead;

    fn from_str(text: &str) -> Result<Self, NotAHead> {
        let mut parts = text.split_ascii_whitespace();
        let (Some(chain), Some(seq), Some(hash), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotAHead);
        };
        let mut bytes = GENESIS;
        hex::decode_to_slice(hash, &mut bytes).map_err(|_| NotAHead)?;
        let seq = seq.parse().ok().filter(|seq| *seq >= 0).ok_or(NotAHead)?;
        Ok(Self { chain: chain.parse().map_err(|_| NotAHead)?, seq, hash: bytes })
    }
}

/// A tenant's own name of a prompt or a user, as entries hold it: 64 hex digits that whoever knows the name finds again, and
/// nobody reads back.
pub fn digest_of(tenant: &TenantId, name: &str) -> String {
    let mut framed = Framed::new("bloonio-audit-subject-v1");
    framed.text(tenant.as_str()).text(name);
    hex::encode(framed.digest())
}

#[cfg(test)]
mod tests;
