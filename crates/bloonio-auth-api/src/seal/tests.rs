use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bloonio_wire::random::{SeededRandom, SystemRandom};

use super::*;

const ROW: &[&str] = &["secret", "tnt_a"];

fn key(seed: u64) -> MasterKey {
    MasterKey::draw(&SeededRandom::new(seed)).unwrap()
}

/// A value as it was sealed before keys had names.
fn sealed_unnamed(key: &MasterKey, context: &[&str], plain: &[u8]) -> Vec<u8> {
    let nonce = [7u8; NONCE];
    let payload = Payload { msg: plain, aad: &unnamed(context) };
    let sealed = KeyCipher::new(key).cipher.encrypt(&XNonce::from(nonce), payload).unwrap();
    [&[UNNAMED], nonce.as_slice(), &sealed].concat()
}

#[test]
fn a_value_opens_in_its_own_row_alone() {
    let sealer = Sealer::new(key(1));
    let named = sealer.seal(&SystemRandom, ROW, b"hush").unwrap();
    for sealed in [named, sealed_unnamed(&key(1), ROW, b"hush")] {
        assert_eq!(sealer.open(ROW, &sealed).unwrap().as_slice(), b"hush");
        assert_eq!(sealer.open(&["secret", "tnt_b"], &sealed), Err(SealError::Unopenable));
        assert_eq!(sealer.open(&["secrettnt_a"], &sealed), Err(SealError::Unopenable));
        assert_eq!(Sealer::new(key(2)).open(ROW, &sealed), Err(SealError::Unopenable));
        for i in 0..sealed.len() {
            let mut broken = sealed.clone();
            broken[i] ^= 1;
            assert!(sealer.open(ROW, &broken).is_err(), "byte {i}");
            assert!(sealer.open(ROW, &sealed[..i]).is_err(), "{i} bytes");
        }
    }
}

#[test]
fn a64_a_ring_seals_with_its_first_key_and_opens_with_all_of_them() {
    let (old, new) = (Sealer::new(key(1)), Sealer::new(key(2)));
    let learning = Sealer::new(KeyRing::new(key(1)).with_opener(key(2)));
    let switched = Sealer::new(KeyRing::new(key(2)).with_opener(key(1)));
    let by = |sealer: &Sealer| sealer.seal(&SystemRandom, ROW, b"hush").unwrap();
    // Whichever of the two steps a relay is at, it opens what those of the other step seal.
    for sealed in [by(&learning), by(&switched), sealed_unnamed(&key(1), ROW, b"hush")] {
        assert_eq!(learning.open(ROW, &sealed).unwrap().as_slice(), b"hush");
        assert_eq!(switched.open(ROW, &sealed).unwrap().as_slice(), b"hush");
    }
    assert_eq!(SealedBy::of(&by(&learning)), Some(SealedBy::Key(key(1).id())));
    assert_eq!(SealedBy::of(&by(&switched)), Some(SealedBy::Key(key(2).id())));
    assert!(old.open(ROW, &by(&switched)).is_err() && new.open(ROW, &by(&learning)).is_err());
}

#[test]
fn a64_what_is_sealed_again_needs_the_old_key_no_more() {
    let both = Sealer::new(KeyRing::new(key(2)).with_opener(key(1)));
    let named = Sealer::new(key(1)).seal(&SystemRandom, ROW, b"hush").unwrap();
    for before in [named, sealed_unnamed(&key(1), ROW, b"hush")] {
        let after = both.reseal(&SystemRandom, ROW, &before).unwrap().unwrap();
        assert_eq!(Sealer::new(key(2)).open(ROW, &after).unwrap().as_slice(), b"hush");
        assert_eq!(both.reseal(&SystemRandom, ROW, &after), Ok(None));
        assert_eq!(both.reseal(&SystemRandom, &["secret", "tnt_b"], &before), Err(SealError::Unopenable));
    }
}

#[test]
fn the_name_of_a_key_cannot_be_exchanged() {
    let both = Sealer::new(KeyRing::new(key(2)).with_opener(key(1)));
    let mut sealed = both.seal(&SystemRandom, ROW, b"hush").unwrap();
    sealed[1..SealedBy::HEAD].copy_from_slice(key(1).id().as_bytes());
    assert_eq!(both.open(ROW, &sealed), Err(SealError::Unopenable));
    // Nor does a value pass for one of the version that names none.
    let unnamed = [&[UNNAMED], &sealed[SealedBy::HEAD..]].concat();
    assert_eq!(both.open(ROW, &unnamed), Err(SealError::Unopenable));
}

#[test]
fn a_key_is_in_the_ring_once_and_its_name_tells_nothing_of_it() {
    let ring = KeyRing::new(key(1)).with_opener(key(1)).with_opener(key(2)).with_opener(key(2));
    assert_eq!(ring.keys().map(MasterKey::id).collect::<Vec<_>>(), [key(1).id(), key(2).id()]);
    assert!(ring.knows(key(2).id()) && !ring.knows(key(3).id()));
    let (text, bytes) = (key(1).id().to_string(), STANDARD.decode(&*key(1).to_base64()).unwrap());
    assert!(text.len() == 16 && !hex_of(&bytes).contains(&text));
    assert_eq!(format!("{ring:?}").matches("redacted").count(), 2);
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn master_keys_are_32_bytes_in_base64() {
    let master = MasterKey::draw(&SystemRandom).unwrap();
    assert_eq!(MasterKey::from_base64(&master.to_base64()).unwrap().to_base64(), master.to_base64());
    for bad in ["", "AAAA", "not base64!", &STANDARD.encode([0u8; 33])] {
        assert!(MasterKey::from_base64(bad).is_err(), "{bad}");
    }
    assert_ne!(master.derive("a"), master.derive("b"));
}
