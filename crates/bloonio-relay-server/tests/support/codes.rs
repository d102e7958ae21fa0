//! A person's authenticator: RFC 6238 made from HMAC-SHA1 alone, apart from the library that the relay trusts.

use aws_lc_rs::hmac;
use url::Url;

/// The code that an authenticator with this `otpauth` address shows at a Unix second.
pub fn code_at(otpauth_uri: &str, seconds: i64) -> String {
    let uri = Url::parse(otpauth_uri).expect("an address");
    assert_eq!((uri.scheme(), uri.host_str()), ("otpauth", Some("totp")), "{otpauth_uri}");
    let secret = uri.query_pairs().find(|(name, _)| name == "secret").expect("a secret").1.into_owned();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &base32(&secret));
    let tag = hmac::sign(&key, &(seconds / 30).to_be_bytes());
    let offset = usize::from(tag.as_ref()[19] & 0xf);
    let word: [u8; 4] = tag.as_ref()[offset..offset + 4].try_into().expect("four bytes");
    format!("{:06}", (u32::from_be_bytes(word) & 0x7fff_ffff) % 1_000_000)
}

/// A code that no authenticator with this address shows within a minute of a Unix second. Each `n` gives another one.
pub fn wrong_code_at(otpauth_uri: &str, seconds: i64, n: usize) -> String {
    let near: Vec<_> = (-2..=2).map(|by| code_at(otpauth_uri, seconds + by * 30)).collect();
    let mut wrong = (0..).map(|n| format!("{n:06}")).filter(|code| !near.contains(code));
    wrong.nth(n).expect("six digits")
}

/// RFC 4648, section 6, without padding.
fn base32(text: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0u32, 0);
    for c in text.bytes() {
        let value = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|known| *known == c).expect("base32");
        bits = bits << 5 | u32::try_from(value).expect("five bits");
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    bytes
}
