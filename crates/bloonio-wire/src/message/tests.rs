use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::sign::SignatureError::{self, Malformed, Mismatch, OutOfWindow};

const NOW: i64 = 1_718_966_400;
const NONCE: &str = "000102030405060708090a0b0c0d0e0f";
const LIST: &str = r#"("@method" "@path" "@query" "x-bloonio-tenant-id" "content-digest")"#;
const PARAMETERS: &str = r#"created=1718966400;nonce="000102030405060708090a0b0c0d0e0f";keyid="tnt_0123456789abcdef0123456789abcdef";alg="hmac-sha256";tag="bloonio-relay""#;
const BODY: &[u8] = br#"{"user_socket_hash":"user-0001"}"#;

fn secret() -> Secret {
    Secret::new("sk_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
}

fn tenant() -> TenantId {
    TenantId::parse("tnt_0123456789abcdef0123456789abcdef").unwrap()
}

fn request<'a>(tenant_id: &'a TenantId, body: &'a [u8]) -> SignedRequest<'a> {
    SignedRequest { method: "POST", path: "/api/v1/relay/revoke-pairing", query: None, tenant_id, body }
}

fn now() -> Timestamp {
    Timestamp::from_millis(NOW * 1000)
}

fn signed(request: &SignedRequest<'_>) -> SignatureHeaders {
    sign(&secret(), request, now(), &Nonce(NONCE.to_owned()))
}

fn read(headers: &SignatureHeaders, has_body: bool) -> Result<MessageClaim, SignatureError> {
    MessageClaim::read(&headers.signature_input, &headers.signature, headers.content_digest.as_deref(), has_body)
}

/// Signs [`BODY`] with an own `Signature-Input`, as somebody who has the secret but not our rules.
fn signed_as(parameters: &str) -> SignatureHeaders {
    let (tenant, digest) = (tenant(), content_digest(BODY));
    let mac = request(&tenant, BODY).mac(&secret(), Some(&digest), parameters);
    SignatureHeaders {
        signature_input: format!("bloonio={parameters}"),
        signature: format!("bloonio=:{}:", STANDARD.encode(mac.finalize().into_bytes())),
        content_digest: Some(digest),
    }
}

fn judge(headers: &SignatureHeaders) -> Result<(), SignatureError> {
    let tenant = tenant();
    read(headers, true)?.verify(&secret(), &request(&tenant, BODY))
}

#[test]
fn what_is_signed_verifies_with_and_without_a_body_and_a_query() {
    let tenant = tenant();
    for (body, query) in [(BODY, None), (b"".as_slice(), Some("a=1&b=%20")), (b"".as_slice(), Some(""))] {
        let request = SignedRequest { query, ..request(&tenant, body) };
        let headers = signed(&request);
        let claim = read(&headers, !body.is_empty()).unwrap();
        assert_eq!(claim.verify(&secret(), &request), Ok(()));
        assert_eq!(headers.content_digest.is_some(), !body.is_empty());
        assert_eq!(claim.verify(&Secret::new("sk_another"), &request), Err(Mismatch));
    }
}

#[test]
fn each_part_of_the_request_is_covered() {
    let (tenant, other) = (tenant(), TenantId::parse("tnt_ffffffffffffffffffffffffffffffff").unwrap());
    let good = request(&tenant, BODY);
    let claim = read(&signed(&good), true).unwrap();
    assert_eq!(claim.verify(&secret(), &good), Ok(()));
    for spoiled in [
        SignedRequest { method: "PUT", ..good },
        SignedRequest { path: "/api/v1/relay/revoke-pairing/", ..good },
        SignedRequest { query: Some("again=1"), ..good },
        SignedRequest { tenant_id: &other, ..good },
        SignedRequest { body: b"{}", ..good },
        SignedRequest { body: b"", ..good },
    ] {
        assert_eq!(claim.verify(&secret(), &spoiled), Err(Mismatch), "{spoiled:?}");
    }
}

/// The order of parameters is the signer's: other libraries have their own.
#[rstest]
#[case::ours(format!("{LIST};{PARAMETERS}"), Ok(()))]
#[case::turned(format!(r#"{LIST};tag="bloonio-relay";alg="hmac-sha256";keyid="tnt_0123456789abcdef0123456789abcdef";nonce="{NONCE}";created=1718966400"#), Ok(()))]
#[case::a_list_without_the_path(format!(r#"("@method" "@query" "x-bloonio-tenant-id" "content-digest");{PARAMETERS}"#), Err(Malformed))]
#[case::a_list_without_the_digest(format!(r#"("@method" "@path" "@query" "x-bloonio-tenant-id");{PARAMETERS}"#), Err(Malformed))]
#[case::an_empty_list(format!("();{PARAMETERS}"), Err(Malformed))]
#[case::a_list_in_another_order(format!(r#"("@path" "@method" "@query" "x-bloonio-tenant-id" "content-digest");{PARAMETERS}"#), Err(Malformed))]
#[case::a_longer_list(format!(r#"("@method" "@path" "@query" "x-bloonio-tenant-id" "content-digest" "date");{PARAMETERS}"#), Err(Malformed))]
#[case::a_component_twice(format!(r#"("@method" "@method" "@path" "@query" "x-bloonio-tenant-id" "content-digest");{PARAMETERS}"#), Err(Malformed))]
#[case::a_component_of_another_message(format!(r#"("@method";req "@path" "@query" "x-bloonio-tenant-id" "content-digest");{PARAMETERS}"#), Err(Malformed))]
#[case::a_component_as_a_token(format!(r#"(method "@path" "@query" "x-bloonio-tenant-id" "content-digest");{PARAMETERS}"#), Err(Malformed))]
#[case::a_component_in_capitals(format!(r#"("@method" "@path" "@query" "X-Bloonio-Tenant-Id" "content-digest");{PARAMETERS}"#), Err(Malformed))]
#[case::no_list("bloonio".to_owned(), Err(Malformed))]
#[case::a_further_parameter(format!("{LIST};{PARAMETERS};expires=1718966500"), Err(Malformed))]
#[case::no_parameters(LIST.to_owned(), Err(Malformed))]
fn a_signature_covers_what_the_protocol_says(#[case] parameters: String, #[case] want: Result<(), SignatureError>) {
    assert_eq!(judge(&signed_as(&parameters)), want, "{parameters}");
}

#[rstest]
#[case::created_as_text("created=1718966400", r#"created="1718966400""#)]
#[case::created_with_a_fraction("created=1718966400", "created=1718966400.0")]
#[case::created_before_1970("created=1718966400", "created=-1")]
#[case::no_created("created=1718966400;", "")]
#[case::another_algorithm("hmac-sha256", "hmac-sha512")]
#[case::a_foreign_algorithm("hmac-sha256", "ed25519")]
#[case::an_algorithm_as_token("\"hmac-sha256\"", "hmac-sha256")]
#[case::no_algorithm(";alg=\"hmac-sha256\"", "")]
#[case::another_tag("bloonio-relay", "bloonio-callback")]
#[case::no_tag(";tag=\"bloonio-relay\"", "")]
#[case::no_key_id(";keyid=\"tnt_0123456789abcdef0123456789abcdef\"", "")]
#[case::no_nonce(";nonce=\"000102030405060708090a0b0c0d0e0f\"", "")]
#[case::an_empty_nonce(NONCE, "")]
#[case::a_nonce_of_120_bits_in_hex(NONCE, "000102030405060708090a0b0c0d0e")]
#[case::a_nonce_of_120_bits_in_base64(NONCE, "z0IDBAUGBwgJCgsMDQ4z")]
#[case::a_nonce_of_padding(NONCE, "================================")]
#[case::an_endless_nonce(
    NONCE,
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0"
)]
fn parameters_are_all_there_and_of_their_form(#[case] part: &str, #[case] instead: &str) {
    let parameters = format!("{LIST};{}", PARAMETERS.replace(part, instead));
    assert_ne!(parameters, format!("{LIST};{PARAMETERS}"));
    assert_eq!(judge(&signed_as(&parameters)), Err(Malformed), "{parameters}");
}

#[rstest]
#[case::hex(NONCE)]
#[case::base64("AAECAwQFBgcICQoLDA0OZw==")]
#[case::url_base64("AAECAwQFBgcICQoLDA0OZw")]
#[case::hex_in_groups("00010203-0405-0607-0809-0a0b0c0d0e0f")]
fn a_nonce_may_be_written_in_any_of_the_usual_ways(#[case] nonce: &str) {
    assert_eq!(judge(&signed_as(&format!("{LIST};{}", PARAMETERS.replace(NONCE, nonce)))), Ok(()));
}

#[test]
fn a_key_id_of_another_tenant_is_no_match() {
    let foreign = PARAMETERS.replace("tnt_0123456789abcdef", "tnt_ffffffffffffffff");
    assert_eq!(judge(&signed_as(&format!("{LIST};{foreign}"))), Err(Mismatch));
}

type Spoil = fn(&mut SignatureHeaders);

#[rstest]
#[case::another_label(|h: &mut SignatureHeaders| h.signature_input = h.signature_input.replace("bloonio=(", "sig1=("), Malformed)]
#[case::another_label_in_both(|h: &mut SignatureHeaders| { h.signature_input = h.signature_input.replace("bloonio=(", "sig1=("); h.signature = h.signature.replace("bloonio=", "sig1="); }, Malformed)]
#[case::a_second_label(|h: &mut SignatureHeaders| h.signature_input.push_str(", proxy=(\"@method\");created=1"), Malformed)]
#[case::a_second_signature(|h: &mut SignatureHeaders| h.signature.push_str(", proxy=:AAAA:"), Malformed)]
#[case::a_second_label_in_both(|h: &mut SignatureHeaders| { h.signature_input.push_str(", proxy=()"); h.signature.push_str(", proxy=:AAAA:"); }, Malformed)]
#[case::our_label_twice(|h: &mut SignatureHeaders| h.signature_input = format!("bloonio=(), {}", h.signature_input), Malformed)]
#[case::our_signature_twice(|h: &mut SignatureHeaders| h.signature = format!("bloonio=:AAAA:, {}", h.signature), Malformed)]
#[case::no_input(|h: &mut SignatureHeaders| h.signature_input.clear(), Malformed)]
#[case::no_signature(|h: &mut SignatureHeaders| h.signature.clear(), Malformed)]
#[case::a_signature_as_text(|h: &mut SignatureHeaders| h.signature = "bloonio=\"AAAA\"".to_owned(), Malformed)]
#[case::a_signature_with_parameters(|h: &mut SignatureHeaders| h.signature.push_str(";a=1"), Malformed)]
#[case::a_signature_as_list(|h: &mut SignatureHeaders| h.signature = "bloonio=(:AAAA:)".to_owned(), Malformed)]
#[case::a_shorter_signature(|h: &mut SignatureHeaders| h.signature = "bloonio=:AAAA:".to_owned(), Mismatch)]
#[case::an_empty_signature(|h: &mut SignatureHeaders| h.signature = "bloonio=::".to_owned(), Mismatch)]
#[case::no_digest(|h: &mut SignatureHeaders| h.content_digest = None, Malformed)]
#[case::another_digest(|h: &mut SignatureHeaders| h.content_digest = Some(content_digest(b"{}")), Mismatch)]
#[case::another_digest_beside(|h: &mut SignatureHeaders| h.content_digest.as_mut().unwrap().push_str(", sha-512=:AAAA:"), Mismatch)]
fn a60_whatever_is_not_exactly_one_signature_of_ours_is_refused(#[case] spoil: Spoil, #[case] want: SignatureError) {
    let tenant = tenant();
    let mut headers = signed(&request(&tenant, BODY));
    assert_eq!(judge(&headers), Ok(()));
    spoil(&mut headers);
    assert_eq!(judge(&headers), Err(want), "{} {}", headers.signature_input, headers.signature);
}

#[rstest]
#[case::other_algorithms_beside("sha-512=:AAAA:, sha-256=:{}:", Ok(()))]
#[case::no_sha_256("sha-512=:{}:", Err(Mismatch))]
#[case::twice("sha-256=:AAAA:, sha-256=:{}:", Err(Mismatch))]
#[case::as_text("sha-256=\"{}\"", Err(Mismatch))]
#[case::no_dictionary("{}", Err(Mismatch))]
#[case::empty("", Err(Mismatch))]
fn the_digest_is_recomputed_even_where_it_is_signed(#[case] form: &str, #[case] want: Result<(), SignatureError>) {
    let tenant = tenant();
    let digest = form.replace("{}", &STANDARD.encode(Sha256::digest(BODY)));
    let parameters = format!("{LIST};{PARAMETERS}");
    let mac = request(&tenant, BODY).mac(&secret(), Some(&digest), &parameters);
    let headers = SignatureHeaders {
        signature: format!("bloonio=:{}:", STANDARD.encode(mac.finalize().into_bytes())),
        content_digest: Some(digest),
        ..signed_as(&parameters)
    };
    assert_eq!(judge(&headers), want);
}

#[test]
fn without_a_body_no_digest_is_covered_and_none_is_looked_at() {
    let tenant = tenant();
    let empty = request(&tenant, b"");
    let mut headers = signed(&empty);
    headers.content_digest = Some(content_digest(b"{}"));
    assert_eq!(read(&headers, false).unwrap().verify(&secret(), &empty), Ok(()));
    assert_eq!(read(&signed(&request(&tenant, BODY)), false).unwrap_err(), Malformed);
}

#[rstest]
#[case(0, Ok(()))]
#[case(30_999, Ok(()))]
#[case(31_000, Err(OutOfWindow))]
#[case(-30_000, Ok(()))]
#[case(-30_001, Err(OutOfWindow))]
fn a95_created_lies_within_thirty_seconds_either_way(#[case] later_ms: i64, #[case] want: Result<(), SignatureError>) {
    let tenant = tenant();
    let claim = read(&signed(&request(&tenant, BODY)), true).unwrap();
    assert_eq!(claim.check_window(Timestamp::from_millis(NOW * 1000 + later_ms)), want);
}

#[test]
fn the_replay_key_is_the_nonces_alone() {
    let tenant = tenant();
    let key = |at: Timestamp, nonce: &str, body: &[u8]| {
        let headers = sign(&secret(), &request(&tenant, body), at, &Nonce(nonce.to_owned()));
        read(&headers, true).unwrap().replay_key()
    };
    let later = Timestamp::from_millis(NOW * 1000 + 5000);
    assert_eq!(key(now(), NONCE, BODY), key(later, NONCE, b"{}"));
    assert_ne!(key(now(), NONCE, BODY), key(now(), &NONCE.replace("0f", "10"), BODY));
}

#[test]
fn nothing_secret_is_shown_in_debug() {
    let tenant = tenant();
    let request = request(&tenant, BODY);
    let headers = signed(&request);
    let shown = format!("{request:?} {headers:?} {:?} {:?}", read(&headers, true).unwrap(), Nonce(NONCE.to_owned()));
    for hidden in [NONCE, "user-0001", &headers.signature[9..]] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}

proptest! {
    #[test]
    fn a101_any_single_bit_of_the_tag_counts(bit in 0usize..256) {
        let tenant = tenant();
        let request = request(&tenant, BODY);
        let mut headers = signed(&request);
        let encoded = headers.signature.trim_start_matches("bloonio=:").trim_end_matches(':');
        let mut tag = STANDARD.decode(encoded).unwrap();
        tag[bit / 8] ^= 1 << (bit % 8);
        headers.signature = format!("bloonio=:{}:", STANDARD.encode(tag));
        prop_assert_eq!(judge(&headers), Err(Mismatch));
    }

    #[test]
    fn no_text_makes_the_reader_stumble(input in "\\PC{0,200}", signature in "\\PC{0,100}", digest in "\\PC{0,100}") {
        prop_assert!(MessageClaim::read(&input, &signature, Some(&digest), true).is_err());
        let (input, signature) = (format!("bloonio={input}"), format!("bloonio={signature}"));
        prop_assert!(MessageClaim::read(&input, &signature, None, false).is_err());
    }
}
