//! Digests over several parts that cannot be confused with one another (ATTACKS A10, A13).
//!
//! Each part is preceded by its length as eight big-endian bytes; an absent part is not an empty one; the whole is
//! prefixed by a domain, so that a digest made for one purpose never passes for another.

use sha2::{Digest, Sha256};

/// Collects length-prefixed parts.
///
/// ```
/// use bloonio_wire::digest::Framed;
/// let mut a = Framed::new("example");
/// a.part(b"ab").part(b"c");
/// let mut b = Framed::new("example");
/// b.part(b"a").part(b"bc");
/// assert_ne!(a.digest(), b.digest());
/// ```
#[derive(Debug, Clone)]
pub struct Framed(Vec<u8>);

impl Framed {
    /// Begins a sequence under `domain`.
    pub fn new(domain: &str) -> Self {
        let mut framed = Self(Vec::with_capacity(256));
        framed.part(domain.as_bytes());
        framed
    }

    /// Adds a part.
    pub fn part(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds a text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.part(text.as_bytes())
    }

    /// Adds a part that may be absent: one presence byte, then the part.
    pub fn optional(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        match bytes {
            None => self.part(&[0]),
            Some(bytes) => self.part(&[1]).part(bytes),
        }
    }

    /// The sequence itself, for signing.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// SHA-256 of the sequence.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Parts = Vec<Option<Vec<u8>>>;

    fn framed(parts: &Parts) -> Vec<u8> {
        let mut framed = Framed::new("test");
        for part in parts {
            framed.optional(part.as_deref());
        }
        framed.as_bytes().to_vec()
    }

    proptest! {
        #[test]
        fn a10_different_parts_never_frame_alike(a: Parts, b: Parts) {
            prop_assert_eq!(a == b, framed(&a) == framed(&b));
        }
    }

    #[test]
    fn a13_absent_is_not_empty_and_domains_differ() {
        assert_ne!(framed(&vec![None]), framed(&vec![Some(Vec::new())]));
        assert_ne!(Framed::new("a").digest(), Framed::new("b").digest());
    }
}
