use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bloonio_wire::random::{SeededRandom, SystemRandom};
use rstest::rstest;
use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn tokens() -> Tokens {
    Tokens::new(MasterKey::draw(&SeededRandom::new(7)).unwrap())
}

fn tenant() -> TenantId {
    TenantId::draw(&SeededRandom::new(1)).unwrap()
}

fn proof(tokens: &Tokens) -> String {
    let user = "jane-hash".parse().unwrap();
    let ttl = Duration::from_secs(300);
    tokens.issue_proof(&SystemRandom, NOW, ttl, &tenant(), &user).unwrap().0.expose().to_owned()
}

fn session(tokens: &Tokens) -> String {
    let device = DeviceId::draw(&SeededRandom::new(2)).unwrap();
    tokens.issue_session(&SystemRandom, NOW, &tenant(), &device, 3).unwrap().expose().to_owned()
}

/// A token with the header and claims as given, signed with the key of `kind`.
fn forged(kind: &Kind, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &kind.current.encoding, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "bloonio-device", "sub": "0".repeat(24), "tid": tenant().as_str(), "gen": 1,
        "jti": "a".repeat(32), "iat": NOW.as_secs(), "exp": NOW.as_secs() + 10,
    })
}

#[test]
fn tokens_hold_until_their_end_which_is_exclusive() {
    let tokens = tokens();
    let (proof, session) = (proof(&tokens), session(&tokens));
    let last = NOW.plus(Duration::from_millis(299_999));
    assert_eq!(tokens.read_proof(&proof, last).unwrap().user_socket_hash.as_str(), "jane-hash");
    assert_eq!(tokens.read_proof(&proof, NOW.plus(Duration::from_secs(300))), Err(TokenError::Invalid));
    assert_eq!(tokens.read_session(&session, NOW).unwrap().generation, 3);
    assert_eq!(tokens.read_session(&session, NOW.plus(SESSION_TTL)), Err(TokenError::Invalid));
}

#[test]
fn one_kind_never_passes_for_the_other_and_no_other_relay_for_this_one() {
    let tokens = tokens();
    assert!(tokens.read_session(&proof(&tokens), NOW).is_err());
    assert!(tokens.read_proof(&session(&tokens), NOW).is_err());
    let other = Tokens::new(MasterKey::draw(&SystemRandom).unwrap());
    assert!(other.read_proof(&proof(&tokens), NOW).is_err());
}

#[rstest]
#[case::as_issued(json!({"typ": "bloonio-session+jwt", "alg": "HS256"}), json!({}), true)]
#[case::other_type(json!({"typ": "JWT", "alg": "HS256"}), json!({}), false)]
#[case::no_type(json!({"alg": "HS256"}), json!({}), false)]
#[case::no_algorithm(json!({"typ": "bloonio-session+jwt", "alg": "none"}), json!({}), false)]
#[case::other_algorithm(json!({"typ": "bloonio-session+jwt", "alg": "HS384"}), json!({}), false)]
#[case::other_issuer(json!({"typ": "bloonio-session+jwt", "alg": "HS256"}), json!({"iss": "x"}), false)]
#[case::other_audience(json!({"typ": "bloonio-session+jwt", "alg": "HS256"}), json!({"aud": "bloonio-pairing"}), false)]
#[case::no_audience(json!({"typ": "bloonio-session+jwt", "alg": "HS256"}), json!({"aud": null}), false)]
#[case::no_id(json!({"typ": "bloonio-session+jwt", "alg": "HS256"}), json!({"jti": null}), false)]
#[case::odd_id(json!({"typ": "bloonio-session+jwt", "alg": "HS256"}), json!({"jti": "1"}), false)]
#[case::no_end(json!({"typ": "bloonio-session+jwt", "alg": "HS256"}), json!({"exp": null}), false)]
#[case::past(json!({"typ": "bloonio-session+jwt", "alg": "HS256"}), json!({"exp": NOW.as_secs()}), false)]
#[case::odd_tenant(json!({"typ": "bloonio-session+jwt", "alg": "HS256"}), json!({"tid": "tnt_1"}), false)]
fn every_claim_is_checked_even_under_the_right_key(#[case] header: Value, #[case] changes: Value, #[case] holds: bool) {
    let tokens = tokens();
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    let token = forged(&tokens.session, &header, &claims);
    assert_eq!(tokens.read_session(&token, NOW).is_ok(), holds);
}

fn header_of(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap()).unwrap()
}

fn key(seed: u64) -> MasterKey {
    MasterKey::draw(&SeededRandom::new(seed)).unwrap()
}

#[test]
fn a64_tokens_of_a_replaced_key_hold_until_it_leaves_the_ring() {
    let (old, new) = (Tokens::new(key(7)), Tokens::new(key(8)));
    let learning = Tokens::new(KeyRing::new(key(7)).with_opener(key(8)));
    let switched = Tokens::new(KeyRing::new(key(8)).with_opener(key(7)));
    for issuer in [&old, &learning, &switched, &new] {
        // Whatever step of the change a relay is at, it reads the tokens of those of the other step.
        for reader in [&learning, &switched] {
            assert!(reader.read_session(&session(issuer), NOW).is_ok());
            assert!(reader.read_proof(&proof(issuer), NOW).is_ok());
        }
    }
    assert_eq!(header_of(&session(&learning))["kid"], key(7).id().to_string());
    assert_eq!(header_of(&session(&switched))["kid"], key(8).id().to_string());
    assert_eq!(new.read_session(&session(&learning), NOW), Err(TokenError::Invalid));
    assert_eq!(new.read_proof(&proof(&learning), NOW), Err(TokenError::Invalid));
    assert_eq!(old.read_session(&session(&switched), NOW), Err(TokenError::Invalid));
}

#[rstest]
#[case::none_at_all(json!({}), true)]
#[case::its_own(json!({"kid": key(7).id().to_string()}), true)]
#[case::the_other_ones_of_the_ring(json!({"kid": key(8).id().to_string()}), false)]
#[case::unknown(json!({"kid": key(9).id().to_string()}), false)]
#[case::empty(json!({"kid": ""}), false)]
#[case::its_own_in_capitals(json!({"kid": key(7).id().to_string().to_uppercase()}), false)]
#[case::no_text(json!({"kid": 7}), false)]
fn a64_the_key_that_a_token_names_is_the_only_one_it_is_verified_with(#[case] kid: Value, #[case] holds: bool) {
    let ring = Tokens::new(KeyRing::new(key(8)).with_opener(key(7)));
    let mut header = json!({"typ": "bloonio-session+jwt", "alg": "HS256"});
    header.as_object_mut().unwrap().extend(kid.as_object().unwrap().clone());
    let token = forged(&Tokens::new(key(7)).session, &header, &claims());
    assert_eq!(ring.read_session(&token, NOW).is_ok(), holds);
    // Without a name it must still be one of the ring's.
    let stranger = forged(&Tokens::new(key(9)).session, &header, &claims());
    assert!(ring.read_session(&stranger, NOW).is_err());
}

#[test]
fn noise_is_no_token() {
    let tokens = tokens();
    let good = session(&tokens);
    let mut changed = good.clone().into_bytes();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    let changed = String::from_utf8(changed).unwrap();
    for noise in ["", ".", "..", "a.b.c", &good[..good.len() - 1], &changed, &"x".repeat(10_000)] {
        assert!(tokens.read_session(noise, NOW).is_err(), "{noise}");
    }
}
