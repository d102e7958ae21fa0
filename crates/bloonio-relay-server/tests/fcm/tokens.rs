//! Access tokens: one exchange at a time, none too many, and nobody waits for one that hangs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bloonio_relay_server::push::fcm::TokenSource;
use bloonio_relay_server::push::fcm::auth::{AccessToken, TokenError};
use bloonio_wire::clock::{Clock, ManualClock, Timestamp};
use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::google::{Act, DEADLINE, Google, http, public_key};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn source(google: &Google) -> (Arc<TokenSource>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(NOW));
    let as_clock: Arc<dyn Clock> = Arc::clone(&clock) as _;
    (Arc::new(TokenSource::new(google.credentials(), http(), as_clock)), clock)
}

async fn within(source: &TokenSource, time: Duration) -> Result<AccessToken, TokenError> {
    source.token(Instant::now() + time).await
}

async fn get(source: &TokenSource) -> AccessToken {
    within(source, DEADLINE).await.unwrap()
}

/// Asks a hundred times at once, and gives the different tokens that came.
async fn ask_a_hundred_times(source: &Arc<TokenSource>) -> BTreeSet<String> {
    let asking = (0..100).map(|_| {
        let source = Arc::clone(source);
        tokio::spawn(async move { get(&source).await.expose().to_owned() })
    });
    join_all(asking).await.into_iter().map(Result::unwrap).collect()
}

#[tokio::test]
async fn the_assertion_is_what_a_strict_verifier_takes() {
    let google = Google::start().await;
    let (source, _clock) = source(&google);
    get(&source).await;
    let asked = google.journal().tokens.remove(0);
    assert_eq!(asked.header("content-type"), "application/x-www-form-urlencoded");
    let mut form = asked.form();
    assert_eq!(form.remove("grant_type").unwrap(), "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let assertion = form.remove("assertion").unwrap();
    assert!(form.is_empty(), "{form:?}");
    assert!(!assertion.contains('='), "base64url without padding");

    let header = jsonwebtoken::decode_header(&assertion).unwrap();
    assert_eq!(
        (header.alg, header.typ.as_deref(), header.kid.as_deref()),
        (Algorithm::RS256, Some("JWT"), Some("key-1"))
    );
    let mut rules = Validation::new(Algorithm::RS256);
    rules.validate_aud = false;
    rules.validate_exp = false;
    let claims =
        jsonwebtoken::decode::<Value>(&assertion, &DecodingKey::from_rsa_der(&public_key()), &rules).unwrap().claims;
    let expected = json!({
        "iss": "relay@demo-project.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/firebase.messaging",
        "aud": format!("{}token", google.url()),
        "iat": NOW.as_secs(),
        "exp": NOW.as_secs() + 3_595,
    });
    assert_eq!(claims, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_senders_at_the_start_make_one_token_request() {
    let google = Google::start().await;
    let (source, _clock) = source(&google);
    assert_eq!(ask_a_hundred_times(&source).await.len(), 1);
    assert_eq!(google.journal().tokens.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_senders_at_expiry_make_one_token_request() {
    let google = Google::start().await;
    let (source, clock) = source(&google);
    for lapse in 2..=4 {
        let old = get(&source).await;
        clock.advance(Duration::from_secs(3_600));
        let fresh = ask_a_hundred_times(&source).await;
        assert!(fresh.len() == 1 && !fresh.contains(old.expose()), "{fresh:?}");
        assert_eq!(google.journal().tokens.len(), lapse);
    }
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends_without_being_asked() {
    let google = Google::start().await;
    google.token_life(1);
    let (source, _clock) = source(&google);
    let first = get(&source).await;
    google.token_life(3_600);
    google.wait_for(|journal| journal.tokens.len() == 2).await;
    // The clock stands still: the first token has not ended, and yet it is replaced.
    let replaced = async {
        while get(&source).await.expose() == first.expose() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, replaced).await.expect("the new token is used");
}

#[tokio::test]
async fn a_token_stays_in_use_to_its_end_while_renewal_fails() {
    let google = Google::start().await;
    google.token_life(1);
    google.tokens_next([Act::answer(200, r#"{"access_token": "old", "expires_in": 1, "token_type": "Bearer"}"#)]);
    google.tokens_next(vec![Act::answer(500, ""); 20]);
    let (source, clock) = source(&google);
    assert_eq!(get(&source).await.expose(), "old");
    google.wait_for(|journal| journal.tokens.len() >= 3).await;
    clock.advance(Duration::from_millis(999));
    assert_eq!(get(&source).await.expose(), "old");
    clock.advance(Duration::from_millis(1));
    assert!(within(&source, Duration::from_millis(50)).await.is_err());
}

#[tokio::test]
async fn a_refused_account_is_told_apart_and_not_asked_for_again_by_every_sender() {
    let google = Google::start().await;
    google.tokens_next([Act::answer(
        400,
        r#"{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}"#,
    )]);
    let (source, _clock) = source(&google);
    for _ in 0..50 {
        assert_eq!(within(&source, DEADLINE).await.unwrap_err(), TokenError::InvalidGrant);
    }
    assert_eq!(google.journal().tokens.len(), 1);
}

#[tokio::test]
async fn a_failing_endpoint_is_asked_again_for_those_who_can_wait() {
    let google = Google::start().await;
    google.tokens_next([Act::answer(503, "<html>"), Act::BreakOff(200)]);
    let (source, _clock) = source(&google);
    assert_eq!(get(&source).await.expose(), "ya29.token-3");
}

#[tokio::test]
async fn an_exchange_that_hangs_delays_nobody_beyond_his_deadline_and_is_given_up() {
    let google = Google::start().await;
    google.tokens_next([Act::Hang]);
    let (source, _clock) = source(&google);
    let impatient = (0..100).map(|_| within(&source, Duration::from_millis(100)));
    assert!(join_all(impatient).await.into_iter().all(|outcome| outcome.unwrap_err() == TokenError::TooSlow));
    assert_eq!(google.journal().given_up, 0);
    // A patient one is there when the exchange is given up, and gets the token of the next.
    assert_eq!(get(&source).await.expose(), "ya29.token-2");
    assert_eq!(google.journal().given_up, 1);
}

#[rstest]
#[case::html("<html></html>")]
#[case::nothing("")]
#[case::no_life(r#"{"access_token": "t", "token_type": "Bearer"}"#)]
#[case::life_of_zero(r#"{"access_token": "t", "expires_in": 0, "token_type": "Bearer"}"#)]
#[case::negative_life(r#"{"access_token": "t", "expires_in": -1, "token_type": "Bearer"}"#)]
#[case::no_token(r#"{"expires_in": 3600, "token_type": "Bearer"}"#)]
#[case::empty_token(r#"{"access_token": "", "expires_in": 3600, "token_type": "Bearer"}"#)]
#[case::token_with_a_line_break(r#"{"access_token": "t\r\nx: y", "expires_in": 3600, "token_type": "Bearer"}"#)]
#[case::other_kind(r#"{"access_token": "t", "expires_in": 3600, "token_type": "mac"}"#)]
#[tokio::test]
async fn what_is_no_token_is_not_used(#[case] answer: &str) {
    refused_as(Act::answer(200, answer), TokenError::BadAnswer).await;
}

#[tokio::test]
async fn an_answer_without_end_is_not_read() {
    let mut answer = br#"{"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}"#.to_vec();
    answer.resize(70_000, b' ');
    refused_as(Act::answer(200, answer), TokenError::BadAnswer).await;
}

#[rstest]
#[case(400, r#"{"error": "invalid_scope"}"#)]
#[case(404, "invalid_grant")]
#[case(302, "")]
#[tokio::test]
async fn other_refusals_are_not_called_a_refused_account(#[case] status: u16, #[case] body: &str) {
    refused_as(Act::answer(status, body), TokenError::Status { status, retry_after: None }).await;
}

/// Asserts what becomes of a sender whose every exchange is answered so.
async fn refused_as(act: Act, error: TokenError) {
    let google = Google::start().await;
    google.tokens_next(vec![act; 20]);
    let (source, _clock) = source(&google);
    // The second exchange comes after 1 s and the third after 3 s: it is the second one's failure that is reported.
    assert_eq!(within(&source, Duration::from_millis(2_900)).await.unwrap_err(), error);
}

#[tokio::test]
async fn an_endpoint_that_asks_for_patience_gets_it() {
    let google = Google::start().await;
    google.tokens_next([Act::Answer(429, vec![("retry-after", "60")], Vec::new())]);
    let (source, _clock) = source(&google);
    // Nobody waits for what cannot come in time.
    let error = within(&source, Duration::from_secs(30)).await.unwrap_err();
    assert_eq!(error, TokenError::Status { status: 429, retry_after: Some(Duration::from_secs(60)) });
    assert_eq!(google.journal().tokens.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_dropped_once_however_many_report_it() {
    let google = Google::start().await;
    let (source, _clock) = source(&google);
    let refused = get(&source).await;
    let reporting = (0..100).map(|_| {
        let (source, refused) = (Arc::clone(&source), refused.clone());
        tokio::spawn(async move {
            assert!(source.drop_token(&refused));
            get(&source).await.expose().to_owned()
        })
    });
    let fresh: BTreeSet<String> = join_all(reporting).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(fresh, BTreeSet::from(["ya29.token-2".to_owned()]));
    assert_eq!(google.journal().tokens.len(), 2);
}

#[tokio::test]
async fn a_service_that_refuses_every_token_does_not_cause_a_request_each_time() {
    let google = Google::start().await;
    let (source, clock) = source(&google);
    assert!(source.drop_token(&get(&source).await));
    let second = get(&source).await;
    assert!(!source.drop_token(&second));
    assert_eq!(get(&source).await.expose(), second.expose());
    clock.advance(Duration::from_secs(10));
    assert!(source.drop_token(&second));
    assert_eq!(get(&source).await.expose(), "ya29.token-3");
}

#[tokio::test]
async fn debug_shows_no_token() {
    let google = Google::start().await;
    let (source, _clock) = source(&google);
    let token = get(&source).await;
    let shown = format!("{token:?} {source:?}");
    assert!(!shown.contains("ya29") && !shown.contains("PRIVATE"), "{shown}");
}
