use super::*;
use bloonio_wire::clock::ManualClock;
use futures_util::FutureExt;
use proptest::prelude::*;
use rstest::rstest;

fn limits() -> (Limits, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000)));
    (Limits::new(clock.clone(), Shared::alone()), clock)
}

fn tenant(digit: char) -> TenantId {
    TenantId::parse(format!("tnt_{}", digit.to_string().repeat(32))).unwrap()
}

/// Alone, nothing is waited for.
fn at_once<T>(answer: impl Future<Output = T>) -> T {
    answer.now_or_never().unwrap()
}

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

#[rstest]
#[case(60, 1)]
#[case(1, 60)]
#[case(7, 9)]
#[case(10_000, 1)]
#[tokio::test]
async fn a_bucket_holds_its_rate_and_names_the_seconds_to_the_next_token(#[case] per_min: u32, #[case] seconds: u64) {
    let (limits, clock) = limits();
    for _ in 0..per_min {
        limits.charge_tenant(&tenant('a'), Lane::Send, per_min).await.unwrap();
    }
    let refused = limits.charge_tenant(&tenant('a'), Lane::Send, per_min).await.unwrap_err();
    assert_eq!(refused.retry_after, Duration::from_secs(seconds));
    clock.advance(refused.retry_after);
    assert_eq!(limits.charge_tenant(&tenant('a'), Lane::Send, per_min).await, Ok(()));
}

#[tokio::test]
async fn lanes_and_tenants_do_not_share_tokens() {
    let (limits, _) = limits();
    for (who, lane) in [('a', Lane::Send), ('a', Lane::Read), ('a', Lane::Withdraw), ('b', Lane::Send)] {
        assert_eq!(limits.charge_tenant(&tenant(who), lane, 1).await, Ok(()), "{who} {lane:?}");
        assert!(limits.charge_tenant(&tenant(who), lane, 1).await.is_err(), "{who} {lane:?}");
    }
}

#[rstest]
#[case::raised(10, 10, 12, 2)]
#[case::lowered(10, 3, 5, 2)]
#[case::lowered_below_what_was_spent(10, 8, 5, 0)]
#[tokio::test]
async fn what_was_spent_stays_spent_under_a_new_rate(
    #[case] before: u32,
    #[case] spent: u32,
    #[case] after: u32,
    #[case] left: u32,
) {
    let (limits, _) = limits();
    for _ in 0..spent {
        limits.charge_tenant(&tenant('a'), Lane::Send, before).await.unwrap();
    }
    for _ in 0..left {
        assert_eq!(limits.charge_tenant(&tenant('a'), Lane::Send, after).await, Ok(()));
    }
    assert!(limits.charge_tenant(&tenant('a'), Lane::Send, after).await.is_err());
}

#[tokio::test]
async fn the_eleventh_guess_in_a_minute_is_not_looked_at() {
    let (limits, clock) = limits();
    for _ in 0..ADMIN_FAILURES {
        assert_eq!(limits.guess(HERE, || false).await, Ok(false));
        clock.advance(Duration::from_secs(1));
    }
    let refused = limits.guess(HERE, || panic!("looked at")).await.unwrap_err();
    assert_eq!(refused.retry_after, Duration::from_secs(50));
    assert_eq!(limits.guess(IpAddr::V4([192, 0, 2, 1].into()), || true).await, Ok(true));
    clock.advance(refused.retry_after);
    assert_eq!(limits.guess(HERE, || true).await, Ok(true));
}

#[rstest]
#[case("2001:db8::1", "2001:db8::ffff:1", true)]
#[case("2001:db8::1", "2001:db8:0:1::1", false)]
#[case("::ffff:192.0.2.1", "192.0.2.1", true)]
#[case("192.0.2.1", "192.0.2.2", false)]
fn neighbours_of_one_ipv6_network_count_as_one_address(#[case] a: IpAddr, #[case] b: IpAddr, #[case] same: bool) {
    assert_eq!(origin(a) == origin(b), same);
}

#[tokio::test]
async fn sweeping_forgets_what_is_full_and_nothing_else() {
    let (limits, clock) = limits();
    limits.charge_tenant(&tenant('a'), Lane::Send, 1).await.unwrap();
    limits.charge_stranger(HERE).await.unwrap();
    limits.guess(HERE, || false).await.unwrap();
    limits.sweep();
    assert_eq!((lock(&limits.tenants).len(), lock(&limits.strangers).len(), lock(&limits.guesses).len()), (1, 1, 1));
    clock.advance(Duration::from_secs(60));
    limits.sweep();
    assert_eq!((lock(&limits.tenants).len(), lock(&limits.strangers).len(), lock(&limits.guesses).len()), (0, 0, 0));
}

proptest! {
    #[test]
    fn no_stretch_of_time_lets_through_more_than_capacity_and_refill(
        per_min in 1u32..500, steps in proptest::collection::vec(0u64..3_000, 1..300)
    ) {
        let (limits, clock) = limits();
        let (mut passed, mut elapsed) = (0u64, 0u64);
        for step in steps {
            clock.advance(Duration::from_millis(step));
            elapsed += step;
            passed += u64::from(at_once(limits.charge_tenant(&tenant('a'), Lane::Send, per_min)).is_ok());
            prop_assert!(passed <= u64::from(per_min) + u64::from(per_min) * elapsed / 60_000);
        }
    }
}
