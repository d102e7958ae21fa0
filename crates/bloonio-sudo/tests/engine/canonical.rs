//! Canonical JSON: what a request means counts, not how it is spelt (PROTOCOL 9.2).

use crate::support::{Call, Stage, transfer};
use bloonio_sudo::instruction::InstructionStatus;
use bloonio_sudo::{ErrorCode, SudoRequirement};
use rstest::rstest;
use serde_json::json;

fn canonical() -> SudoRequirement {
    transfer().with_canonical_json()
}

fn order(body: &str) -> Call {
    Call::transfer().body(body)
}

#[tokio::test]
async fn another_spelling_of_the_same_request_runs_on_its_approval() {
    let stage = Stage::new();
    let key = stage.approved(&canonical(), &order(r#"{"amount": 10.50, "to": "ACME"}"#)).await;
    let respelt = order("{\"to\":\"\\u0041CME\",\n\"amount\":1.05e1}");
    assert_eq!(stage.key(&canonical(), &respelt).await, key, "it is the same request, so there is no second prompt");
    respelt.key(&key).passed(&stage.engine, &canonical()).await;
}

#[rstest]
#[case::another_value(r#"{"amount": 10.51, "to": "ACME"}"#)]
#[case::text_for_a_number(r#"{"amount": "10.5", "to": "ACME"}"#)]
#[case::one_more_member(r#"{"amount": 10.5, "to": "ACME", "memo": null}"#)]
#[case::composed_otherwise(r#"{"amount": 10.5, "to": "ACMÉ"}"#)]
#[case::nothing("")]
#[tokio::test]
async fn another_request_does_not(#[case] body: &str) {
    let stage = Stage::new();
    let first = order(r#"{"amount": 10.5, "to": "ACME"}"#);
    let key = stage.approved(&canonical(), &first).await;
    order(body).key(&key).refused(&stage.engine, &canonical(), ErrorCode::SudoRequestMismatch).await;
    first.key(&key).passed(&stage.engine, &canonical()).await;
}

#[rstest]
#[case::doubled_key(r#"{"amount": 1, "amount": 1}"#, ErrorCode::MalformedRequest)]
#[case::not_json("amount=1", ErrorCode::MalformedRequest)]
#[case::lossy_number(r#"{"amount": 9007199254740993}"#, ErrorCode::ValidationFailed)]
#[tokio::test]
async fn a04_what_readers_may_read_differently_is_neither_asked_nor_run(#[case] body: &str, #[case] code: ErrorCode) {
    let stage = Stage::new();
    order(body).refused(&stage.engine, &canonical(), code).await;
    assert!(stage.relay.challenges().is_empty());
    let good = order(r#"{"amount": 1}"#);
    let key = stage.approved(&canonical(), &good).await;
    order(body).key(&key).refused(&stage.engine, &canonical(), code).await;
    assert_eq!(stage.status(&key).await, InstructionStatus::Validated);
}

#[tokio::test]
async fn a_number_that_no_double_holds_is_named() {
    let stage = Stage::new();
    let body = order(r#"{"amount": 0.1000000000000000055}"#)
        .refused(&stage.engine, &canonical(), ErrorCode::ValidationFailed)
        .await;
    let problem = "0.1000000000000000055 is no number that a double holds: send it as text";
    assert_eq!(body["details"], json!([{"field": "", "problem": problem}]));
}

#[tokio::test]
async fn the_content_type_counts_all_the_same() {
    let stage = Stage::new();
    let key = stage.approved(&canonical(), &order("{}")).await;
    let other = order("{}").with("content-type", "application/json; charset=utf-8").key(&key);
    other.refused(&stage.engine, &canonical(), ErrorCode::SudoRequestMismatch).await;
}
