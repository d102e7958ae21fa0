//! Sealing at rest and derived keys: everything secret in the database is bound to its row (SECURITY).
//!
//! A sealed value is `2`, the id of its master key (8 bytes), a nonce (24 bytes) and the ciphertext with its tag
//! (XChaCha20-Poly1305); version, key id and row are authenticated with it. Values of version `1`, which name no key, were
//! sealed before keys could be replaced, and are opened by whichever key fits.

mod column;
mod key;

use std::sync::Arc;

use bloonio_wire::digest::Framed;
use bloonio_wire::random::{Random, RandomError};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

pub use column::SealedColumn;
pub use key::{KeyId, KeyRing, MasterKey};

const NONCE: usize = 24;
/// First byte of a value that names no key.
const UNNAMED: u8 = 1;
/// First byte of a value that names its key in the bytes after it.
const NAMED: u8 = 2;

/// Sealing or opening failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not 32 bytes in base64.
    #[error("the master key must be 32 bytes in base64")]
    BadKey,
    /// The value was not sealed by a key of this ring, or for another row.
    #[error("a sealed value could not be opened")]
    Unopenable,
    /// The value could not be sealed.
    #[error("a value could not be sealed")]
    Unsealable,
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// Which key a sealed value needs, by its first bytes alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedBy {
    /// The key of this name.
    Key(KeyId),
    /// One that the value does not name.
    Unnamed,
}

impl SealedBy {
    /// Bytes at the beginning of a sealed value that tell which key it needs.
    pub const HEAD: usize = 1 + KeyId::LEN;

    /// Reads it off a sealed value, or off its first [`SealedBy::HEAD`] bytes; `None` for what is no sealed value.
    pub fn of(sealed: &[u8]) -> Option<Self> {
        let (version, rest) = sealed.split_first()?;
        match *version {
            UNNAMED => Some(Self::Unnamed),
            NAMED => rest.first_chunk().map(|id| Self::Key(KeyId::from_bytes(*id))),
            _ => None,
        }
    }

    /// What the value begins with.
    pub fn head(self) -> Vec<u8> {
        match self {
            Self::Unnamed => vec![UNNAMED],
            Self::Key(id) => [&[NAMED], id.as_bytes().as_slice()].concat(),
        }
    }
}

impl std::fmt::Display for SealedBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(id) => id.fmt(f),
            Self::Unnamed => f.write_str("unnamed"),
        }
    }
}

#[derive(Clone)]
struct KeyCipher {
    id: KeyId,
    cipher: XChaCha20Poly1305,
}

impl KeyCipher {
    fn new(master: &MasterKey) -> Self {
        let key = master.derive("bloonio-seal-v1");
        Self { id: master.id(), cipher: XChaCha20Poly1305::new(&(*key).into()) }
    }

    fn open(&self, aad: &[u8], rest: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or(SealError::Unopenable)?;
        let payload = Payload { msg: sealed, aad };
        let plain = self.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| SealError::Unopenable)?;
        Ok(Zeroizing::new(plain))
    }
}

/// Seals values for the database. `context` names the row ("tenant-secret", tenant id, …) and is authenticated with it,
/// so that a sealed value copied to another row does not open. Cheap to clone.
#[derive(Clone)]
pub struct Sealer {
    current: KeyCipher,
    others: Arc<[KeyCipher]>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(redacted)")
    }
}

/// What is authenticated with a value of version 1.
fn unnamed(context: &[&str]) -> Vec<u8> {
    let mut framed = Framed::new("bloonio-seal-v1");
    for part in context {
        framed.text(part);
    }
    framed.as_bytes().to_vec()
}

/// What is authenticated with a value that names its key.
fn named(id: KeyId, context: &[&str]) -> Vec<u8> {
    let mut framed = Framed::new("bloonio-seal-v2");
    framed.part(id.as_bytes());
    for part in context {
        framed.text(part);
    }
    framed.as_bytes().to_vec()
}

impl Sealer {
    /// A sealer that seals under the first key of a ring and opens under all of them; one key is a ring, too.
    pub fn new(keys: impl Into<KeyRing>) -> Self {
        let keys = keys.into();
        let current = KeyCipher::new(keys.current());
        let others = keys.keys().skip(1).map(KeyCipher::new).collect();
        Self { current, others }
    }

    fn ciphers(&self) -> impl Iterator<Item = &KeyCipher> {
        std::iter::once(&self.current).chain(self.others.iter())
    }

    /// The key that seals.
    pub fn current(&self) -> KeyId {
        self.current.id
    }

    /// Whether this ring has the key of that name.
    pub fn knows(&self, id: KeyId) -> bool {
        self.ciphers().any(|key| key.id == id)
    }

    /// Seals `plain` for the row named by `context`.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, random: &dyn Random, context: &[&str], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let KeyCipher { id, cipher } = &self.current;
        let mut nonce = [0u8; NONCE];
        random.fill(&mut nonce)?;
        let aad = named(*id, context);
        let payload = Payload { msg: plain, aad: &aad };
        let sealed = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Unsealable)?;
        Ok([&[NAMED], id.as_bytes().as_slice(), nonce.as_slice(), &sealed].concat())
    }

    /// Opens what was sealed for the row named by `context`.
    ///
    /// # Errors
    /// [`SealError::Unopenable`].
    pub fn open(&self, context: &[&str], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        match SealedBy::of(sealed).ok_or(SealError::Unopenable)? {
            SealedBy::Key(id) => {
                let key = self.ciphers().find(|key| key.id == id).ok_or(SealError::Unopenable)?;
                key.open(&named(id, context), &sealed[SealedBy::HEAD..])
            }
            SealedBy::Unnamed => {
                let aad = unnamed(context);
                let opened = self.ciphers().find_map(|key| key.open(&aad, &sealed[1..]).ok());
                opened.ok_or(SealError::Unopenable)
            }
        }
    }

    /// The same value under the current key, as it replaces `sealed` in its row; `None` if it is that already.
    ///
    /// # Errors
    /// Those of [`Sealer::open`] and [`Sealer::seal`].
    pub fn reseal(&self, random: &dyn Random, context: &[&str], sealed: &[u8]) -> Result<Option<Vec<u8>>, SealError> {
        if SealedBy::of(sealed) == Some(SealedBy::Key(self.current.id)) {
            return Ok(None);
        }
        let plain = self.open(context, sealed)?;
        self.seal(random, context, &plain).map(Some)
    }
}

#[cfg(test)]
mod tests;
