//! Master keys, and the ring of those that are in use while one replaces another.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bloonio_wire::random::Random;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::SealError;

/// Names a master key and says nothing of it: eight bytes derived from it. It stands in the clear in every value sealed
/// under the key, and as `kid` in every token signed under it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; Self::LEN]);

impl KeyId {
    /// Bytes of an id.
    pub const LEN: usize = 8;

    /// The id of these bytes.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// 16 lower-case hex digits.
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// A master key: 32 bytes from which all other keys are derived (HKDF-SHA256, RFC 5869).
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(redacted)")
    }
}

impl MasterKey {
    /// Reads 32 bytes in base64.
    ///
    /// # Errors
    /// [`SealError::BadKey`].
    pub fn from_base64(text: &str) -> Result<Self, SealError> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| SealError::BadKey)?);
        let key: [u8; 32] = bytes.as_slice().try_into().map_err(|_| SealError::BadKey)?;
        Ok(Self(Zeroizing::new(key)))
    }

    /// Draws a fresh key.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn draw(random: &dyn Random) -> Result<Self, SealError> {
        let mut key = Zeroizing::new([0u8; 32]);
        random.fill(key.as_mut_slice())?;
        Ok(Self(key))
    }

    /// The key in base64, to be kept in a file.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0.as_slice()))
    }

    /// A key of its own for `purpose`.
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0u8; 32]);
        // HKDF-SHA256 gives up to 8,160 bytes; 32 always fit.
        let _ = Hkdf::<Sha256>::new(None, self.0.as_slice()).expand(purpose.as_bytes(), key.as_mut_slice());
        key
    }

    /// What others may call it.
    pub fn id(&self) -> KeyId {
        let derived = self.derive("bloonio-key-id-v1");
        let mut id = [0u8; KeyId::LEN];
        id.copy_from_slice(&derived[..KeyId::LEN]);
        KeyId(id)
    }
}

/// The master keys of a relay: the first one seals and signs, all of them open and verify. There is always a first.
///
/// While a key is replaced, every relay has both in its ring: first the new one behind the old, then in front of it. So
/// none ever meets a value that it cannot open, whatever order they are restarted in.
#[derive(Debug, Clone)]
pub struct KeyRing {
    current: MasterKey,
    others: Vec<MasterKey>,
}

impl KeyRing {
    /// A ring of one.
    pub const fn new(current: MasterKey) -> Self {
        Self { current, others: Vec::new() }
    }

    /// The ring with one more key, which opens and verifies only; one that it has already changes nothing.
    #[must_use]
    pub fn with_opener(mut self, key: MasterKey) -> Self {
        if !self.knows(key.id()) {
            self.others.push(key);
        }
        self
    }

    /// The key that seals and signs.
    pub const fn current(&self) -> &MasterKey {
        &self.current
    }

    /// All keys, the sealing one first.
    pub fn keys(&self) -> impl Iterator<Item = &MasterKey> {
        std::iter::once(&self.current).chain(&self.others)
    }

    /// Whether a key of that name is in the ring.
    pub fn knows(&self, id: KeyId) -> bool {
        self.keys().any(|key| key.id() == id)
    }
}

impl From<MasterKey> for KeyRing {
    fn from(key: MasterKey) -> Self {
        Self::new(key)
    }
}

impl From<&MasterKey> for KeyRing {
    fn from(key: &MasterKey) -> Self {
        Self::new(key.clone())
    }
}

impl From<&KeyRing> for KeyRing {
    fn from(ring: &KeyRing) -> Self {
        ring.clone()
    }
}
