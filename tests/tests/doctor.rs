//! A bank whose settings contradict each other does not start, and says why.

use bloonio_demo::process::binary;
use rstest::rstest;
use tokio::process::Command;

/// What the bank prints, and whether it ended well; only one that refuses to start ends at all.
async fn started(bank: &str, variables: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new(binary(bank).expect("built"));
    command
        .env_clear()
        .env("APP_LISTEN", "127.0.0.1:0")
        .env("BLOONIO_RELAY_BASE_URL", "https://relay.example")
        .env("BLOONIO_RELAY_TENANT_ID", "tnt_0123456789abcdef0123456789abcdef")
        .env("BLOONIO_RELAY_TENANT_SECRET", format!("sk_{}", "0".repeat(64)))
        .env("BLOONIO_RELAY_STATE_BACKEND", "memory")
        .envs(variables.iter().copied())
        .kill_on_drop(true);
    let output = command.output().await.expect("the bank runs");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[rstest]
#[case::replicas(&[("BLOONIO_RELAY_REPLICAS", "2")], "memory_store_with_replicas")]
#[case::callbacks_in_the_clear(
    &[("BLOONIO_RELAY_PUBLIC_CALLBACK_BASE_URL", "http://bank.example")],
    "insecure_callback_base"
)]
#[case::waiting_for_what_is_over(
    &[("BLOONIO_RELAY_INSTRUCTION_TTL_SECONDS", "30"), ("BLOONIO_RELAY_BLOCK_TIMEOUT_SECONDS", "31")],
    "blocks_longer_than_prompt_lives"
)]
#[tokio::test]
async fn a77_a_bank_that_contradicts_itself_does_not_start_and_names_the_reason(
    #[case] variables: &[(&str, &str)],
    #[case] reason: &str,
    #[values("axum-transfer", "actix-transfer")] bank: &str,
) {
    let (well, said) = started(bank, variables).await;
    assert!(!well, "{said}");
    assert!(said.contains(&format!("[{reason}]")), "{said}");
    assert!(!said.contains("sk_0"), "{said}");
}
