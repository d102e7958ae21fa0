//! What the doctor finds, and that a healthy application has nothing.

use std::time::Duration;

use crate::support::{RecordingRelay, identify, settings, transfer};
use bloonio_sudo::policy::RequirementError;
use bloonio_sudo::{CustomType, Finding, RelaySettings, SudoEngine, SudoEngineBuilder, SudoRequirement};
use rstest::rstest;

/// An engine on the store that its settings name.
fn engine(
    settings: RelaySettings,
    more: impl FnOnce(SudoEngineBuilder) -> SudoEngineBuilder,
) -> Result<SudoEngine, bloonio_sudo::BuildError> {
    let builder = SudoEngine::builder(settings).with_identity(identify).with_relay(RecordingRelay::new());
    more(builder).build()
}

fn found(engine: &SudoEngine) -> Vec<Finding> {
    engine.doctor().err().map(|contradictions| contradictions.findings().to_vec()).unwrap_or_default()
}

#[tokio::test]
async fn a_healthy_application_has_nothing() {
    let settings = settings().with_public_callback_base_url("http://127.0.0.1:8701").unwrap();
    let engine = engine(settings, |builder| builder).unwrap();
    let _ = engine.demand(transfer());
    let _ = engine.demand(transfer().with_blocking());
    assert_eq!(found(&engine), []);
}

#[tokio::test]
async fn several_processes_cannot_share_a_memory() {
    let engine = engine(settings().with_replicas(3), |builder| builder).unwrap();
    let finding = Finding::MemoryStoreWithReplicas { replicas: 3 };
    assert_eq!(finding.name(), "memory_store_with_replicas");
    assert_eq!(found(&engine), [finding]);
}

#[rstest]
#[case("http://bank.example/", true)]
#[case("http://192.0.2.7:8701/", true)]
#[case("https://bank.example/", false)]
#[case("http://localhost:8701/", false)]
#[case("http://[::1]:8701/", false)]
#[tokio::test]
async fn callbacks_are_not_sent_in_the_clear(#[case] base: &str, #[case] insecure: bool) {
    let engine = engine(settings().with_public_callback_base_url(base).unwrap(), |builder| builder).unwrap();
    let finding = Finding::InsecureCallbackBase { url: base.to_owned() };
    assert_eq!(found(&engine), if insecure { vec![finding] } else { vec![] });
}

#[rstest]
#[case(Some(60), None, None)]
#[case(Some(200), None, Some((200, 180)))]
#[case(Some(60), Some(30), Some((60, 30)))]
#[case(None, Some(600), None)]
#[tokio::test]
async fn no_request_waits_longer_than_anybody_can_answer(
    #[case] block: Option<u64>,
    #[case] ttl: Option<u64>,
    #[case] expected: Option<(u64, u64)>,
) {
    let settings = match block {
        Some(block) => settings().with_block_timeout(Duration::from_secs(block)),
        None => settings(),
    };
    let engine = engine(settings, |builder| builder).unwrap();
    let mut requirement = transfer().with_blocking();
    if let Some(ttl) = ttl {
        requirement = requirement.with_ttl(Duration::from_secs(ttl));
    }
    let _ = engine.demand(requirement.clone());
    let finding = expected.map(|(block_secs, ttl_secs)| Finding::BlocksLongerThanPromptLives {
        action: "transfer_funds".to_owned(),
        block_secs,
        ttl_secs,
    });
    assert_eq!(found(&engine), Vec::from_iter(finding));
}

#[tokio::test]
async fn a_route_that_would_answer_500_is_named() {
    let engine = engine(settings(), |builder| builder).unwrap();
    let _ = engine.demand(transfer());
    let _ = engine.demand(SudoRequirement::new("pick").with_golden_choices(3));
    let _ =
        engine.demand(SudoRequirement::new("pick").with_custom_type(CustomType::GoldenNumber).with_golden_choices(9));
    let _ = engine.demand(SudoRequirement::new("wait").with_blocking().may_run_again_after_server_error());
    let _ = engine.demand_resolved();
    let misconfigured = |action: &str, error| Finding::Misconfigured { action: action.to_owned(), error };
    let expected = [
        misconfigured("pick", RequirementError::GoldenChoices),
        misconfigured("pick", RequirementError::GoldenChoices),
        misconfigured("wait", RequirementError::BlockingConsume),
        Finding::NoResolver,
    ];
    assert_eq!(found(&engine), expected);
    let text = engine.doctor().unwrap_err().to_string();
    for name in ["[misconfigured_route]", "[no_resolver]", "\"wait\""] {
        assert!(text.contains(name), "{text}");
    }
}

#[tokio::test]
async fn required_signatures_need_keys_that_outlive_the_process() {
    let engine = engine(settings(), SudoEngineBuilder::require_device_signature).unwrap();
    assert_eq!(found(&engine), [Finding::SignaturesWithoutMemory]);
}
