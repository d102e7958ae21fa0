//! The Standard Webhooks signature that a callback carries beside HMAC #1 (PROTOCOL 2.5, Standard Webhooks 1.0.0).
//!
//! Signed text: `{webhook-id}.{webhook-timestamp}.{raw body}`, keyed with the tenant secret's bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{KeyInit, Mac};

use crate::secret::Secret;
use crate::sign::{HmacSha256, SignatureError};

/// More tokens than this in one header are refused unread.
const MAX_SIGNATURES: usize = 8;

fn mac_over(secret: &Secret, id: &str, timestamp_secs: i64, body: &[u8]) -> HmacSha256 {
    let mut mac =
        HmacSha256::new_from_slice(secret.as_bytes()).unwrap_or_else(|_| HmacSha256::new(&Default::default()));
    mac.update(id.as_bytes());
    mac.update(b".");
    mac.update(timestamp_secs.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

/// The value of `webhook-signature`: `v1,` and the tag in base64.
pub fn sign(secret: &Secret, id: &str, timestamp_secs: i64, body: &[u8]) -> String {
    let tag = mac_over(secret, id, timestamp_secs, body).finalize().into_bytes();
    format!("v1,{}", STANDARD.encode(tag))
}

/// Verifies a `webhook-signature` header: one of its space-separated `v1` tokens must match.
///
/// # Errors
/// [`SignatureError::Malformed`] without a `v1` token, [`SignatureError::Mismatch`] if none matches.
pub fn verify(secret: &Secret, id: &str, timestamp_secs: i64, body: &[u8], header: &str) -> Result<(), SignatureError> {
    if id.is_empty() || id.contains('.') {
        return Err(SignatureError::Malformed);
    }
    let tokens: Vec<_> =
        header.split(' ').filter_map(|token| token.strip_prefix("v1,")).take(MAX_SIGNATURES + 1).collect();
    if tokens.is_empty() || tokens.len() > MAX_SIGNATURES {
        return Err(SignatureError::Malformed);
    }
    let matches = |token: &&str| {
        STANDARD.decode(token).is_ok_and(|tag| mac_over(secret, id, timestamp_secs, body).verify_slice(&tag).is_ok())
    };
    if tokens.iter().any(matches) { Ok(()) } else { Err(SignatureError::Mismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::alone("{good}", true)]
    #[case::among_others("v1a,zzz v1,AAAA {good}", true)]
    #[case::other_version_only("v1a,zzz", false)]
    #[case::empty("", false)]
    #[case::wrong_tag("v1,AAAA", false)]
    #[case::no_version("AAAA", false)]
    fn one_matching_token_suffices(#[case] header: &str, #[case] accepted: bool) {
        let secret = Secret::new("sk_x");
        let good = sign(&secret, "msg_1", 1_718_966_400, b"{}");
        assert_eq!(verify(&secret, "msg_1", 1_718_966_400, b"{}", &header.replace("{good}", &good)).is_ok(), accepted);
    }

    #[test]
    fn id_time_and_body_are_all_bound() {
        let secret = Secret::new("sk_x");
        let good = sign(&secret, "msg_1", 1_718_966_400, b"{}");
        assert!(verify(&secret, "msg_2", 1_718_966_400, b"{}", &good).is_err());
        assert!(verify(&secret, "msg_1", 1_718_966_401, b"{}", &good).is_err());
        assert!(verify(&secret, "msg_1", 1_718_966_400, b"{} ", &good).is_err());
    }
}
