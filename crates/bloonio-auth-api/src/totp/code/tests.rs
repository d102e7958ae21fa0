use super::*;
use bloonio_wire::random::SeededRandom;
use proptest::prelude::*;
use rstest::rstest;

/// The seed of RFC 6238, appendix B, for SHA-1.
fn rfc() -> Seed {
    Seed::from_bytes(b"12345678901234567890").unwrap()
}

fn code(text: &str) -> Code {
    text.parse().unwrap()
}

/// RFC 6238, appendix B: 8 digits there, of which an authenticator of 6 digits shows the last 6.
#[rstest]
#[case(59, "287082")]
#[case(1_111_111_109, "081804")]
#[case(1_111_111_111, "050471")]
#[case(1_234_567_890, "005924")]
#[case(2_000_000_000, "279037")]
#[case(20_000_000_000, "353130")]
fn codes_are_those_of_rfc_6238(#[case] seconds: i64, #[case] known: &str) {
    let now = Timestamp::from_secs(seconds);
    assert_eq!(rfc().matching(&code(known), now), Some(Step::at(now)));
}

#[rstest]
#[case::two_steps_early(-31, false)]
#[case::at_the_beginning_of_the_step_before(-30, true)]
#[case::at_the_end_of_the_step_before(-1, true)]
#[case::in_time(0, true)]
#[case::at_the_beginning_of_the_next_step(30, true)]
#[case::at_the_end_of_the_next_step(59, true)]
#[case::two_steps_late(60, false)]
fn a_code_passes_one_step_either_side(#[case] seconds: i64, #[case] passes: bool) {
    // RFC 6238: 07081804 is the code of the 30 s around 1,111,111,109.
    let step = Step::at(Timestamp::from_secs(1_111_111_109));
    let now = Timestamp::from_secs(step.number() * 30 + seconds);
    assert_eq!(rfc().matching(&code("081804"), now), passes.then_some(step));
}

#[rstest]
#[case("")]
#[case("12345")]
#[case("1234567")]
#[case("12345a")]
#[case(" 12345")]
#[case("123 456")]
#[case("+12345")]
#[case("١٢٣")]
fn a_code_is_six_ascii_digits(#[case] text: &str) {
    assert!(text.parse::<Code>().is_err());
}

#[test]
fn nothing_secret_shows_in_debug() {
    assert_eq!(format!("{:?} {:?}", rfc(), code("287082")), "Seed(redacted) Code(redacted)");
}

#[test]
fn drawn_seeds_have_160_bits_and_differ() {
    let random = SeededRandom::new(1);
    let (a, b) = (Seed::draw(&random).unwrap(), Seed::draw(&random).unwrap());
    assert_eq!(a.as_bytes().len(), 20);
    assert_ne!(a.as_bytes(), b.as_bytes());
    assert!(Seed::from_bytes(&[0; 19]).is_none());
}

#[test]
fn the_address_says_all_that_an_authenticator_needs() {
    let uri = rfc().otpauth_uri("Bank: of Ümläuts & Co", "Jane Doe").unwrap();
    assert_eq!(
        uri.expose(),
        "otpauth://totp/Bank%20%20of%20%C3%9Cml%C3%A4uts%20%26%20Co:Jane%20Doe\
         ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Bank%20%20of%20%C3%9Cml%C3%A4uts%20%26%20Co"
    );
}

proptest! {
    #[test]
    fn every_address_is_read_again_as_the_same_seed(bytes: [u8; SEED_BYTES], issuer in ".{1,64}", account in ".{1,64}") {
        let seed = Seed::from_bytes(&bytes).unwrap();
        let uri = seed.otpauth_uri(&issuer, &account).unwrap();
        let read = Totp::from_url(uri.expose()).unwrap();
        prop_assert_eq!(read.secret().as_bytes(), bytes);
        prop_assert_eq!((read.step(), read.digits()), (30, 6));
        prop_assert_eq!(read.issuer().unwrap(), issuer.replace(':', " "));
        prop_assert_eq!(read.account_name(), account.replace(':', " "));
    }
}
