//! Sealing at rest and derived keys: everything secret in the database is bound to its row (SECURITY).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bloonio_wire::random::{Random, RandomError};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

const NONCE: usize = 24;
/// First byte of every sealed value: which master key, and which form.
const VERSION: u8 = 1;

/// Sealing or opening failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not 32 bytes in base64.
    #[error("the master key must be 32 bytes in base64")]
    BadKey,
    /// The value was not sealed by this key for this row.
    #[error("a sealed value could not be opened")]
    Unopenable,
    /// The value could not be sealed.
    #[error("a value could not be sealed")]
    Unsealable,
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// The relay's master key: 32 bytes from which all other keys are derived (HKDF-SHA256, RFC 5869).
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
}

/// Seals values for the database. `context` names the row ("tenant-secret", tenant id, …) and is authenticated with it,
/// so that a sealed value copied to another row does not open.
#[derive(Clone)]
pub struct Sealer {
    cipher: XChaCha20Poly1305,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(redacted)")
    }
}

fn framed(context: &[&str]) -> Vec<u8> {
    let mut framed = bloonio_wire::digest::Framed::new("bloonio-seal-v1");
    for part in context {
        framed.text(part);
    }
    framed.as_bytes().to_vec()
}

impl Sealer {
    /// A sealer under `master`.
    pub fn new(master: &MasterKey) -> Self {
        let key = master.derive("bloonio-seal-v1");
        Self { cipher: XChaCha20Poly1305::new(&(*key).into()) }
    }

    /// Seals `plain` for the row named by `context`.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, random: &dyn Random, context: &[&str], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0u8; NONCE];
        random.fill(&mut nonce)?;
        let aad = framed(context);
        let payload = Payload { msg: plain, aad: &aad };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Unsealable)?;
        Ok([&[VERSION], nonce.as_slice(), &sealed].concat())
    }

    /// Opens what was sealed for the row named by `context`.
    ///
    /// # Errors
    /// [`SealError::Unopenable`].
    pub fn open(&self, context: &[&str], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (version, rest) = sealed.split_first().ok_or(SealError::Unopenable)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or(SealError::Unopenable)?;
        if *version != VERSION {
            return Err(SealError::Unopenable);
        }
        let payload = Payload { msg: sealed, aad: &framed(context) };
        let plain = self.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| SealError::Unopenable)?;
        Ok(Zeroizing::new(plain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bloonio_wire::random::SystemRandom;

    #[test]
    fn a_value_opens_in_its_own_row_alone() {
        let master = MasterKey::draw(&SystemRandom).unwrap();
        let sealer = Sealer::new(&master);
        let sealed = sealer.seal(&SystemRandom, &["secret", "tnt_a"], b"hush").unwrap();
        assert_eq!(sealer.open(&["secret", "tnt_a"], &sealed).unwrap().as_slice(), b"hush");
        assert_eq!(sealer.open(&["secret", "tnt_b"], &sealed), Err(SealError::Unopenable));
        assert_eq!(sealer.open(&["secrettnt_a"], &sealed), Err(SealError::Unopenable));
        let other = Sealer::new(&MasterKey::draw(&SystemRandom).unwrap());
        assert_eq!(other.open(&["secret", "tnt_a"], &sealed), Err(SealError::Unopenable));
        for i in 0..sealed.len() {
            let mut broken = sealed.clone();
            broken[i] ^= 1;
            assert!(sealer.open(&["secret", "tnt_a"], &broken).is_err(), "byte {i}");
        }
    }

    #[test]
    fn master_keys_are_32_bytes_in_base64() {
        let master = MasterKey::draw(&SystemRandom).unwrap();
        assert_eq!(MasterKey::from_base64(&master.to_base64()).unwrap().0, master.0);
        for bad in ["", "AAAA", "not base64!", &STANDARD.encode([0u8; 33])] {
            assert!(MasterKey::from_base64(bad).is_err(), "{bad}");
        }
        assert_ne!(master.derive("a"), master.derive("b"));
    }
}
