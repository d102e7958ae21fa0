//! Demands that are known only at run time, beside those of routes.

use crate::support::{Call, Stage, identify, settings, transfer};
use bloonio_sudo::resolver::Resolved;
use bloonio_sudo::{Decision, ErrorCode, RequestView, SudoEngineBuilder, SudoInfo};

async fn said_of(path: &str) -> Resolved {
    match path {
        "/open" => Ok(None),
        "/broken" => Err("the table of sensitive routes is away".into()),
        other => Ok(Some(SudoInfo::new(format!("touch {other}")))),
    }
}

fn resolving(builder: SudoEngineBuilder) -> SudoEngineBuilder {
    builder
        .with_identity(identify)
        .sudo_resolver(async |view: &RequestView<'_>| -> Resolved { said_of(view.path()).await })
}

/// What the engine says of a request before its body is read: unprotected, or the code of the refusal of its first call.
async fn heard(stage: &Stage, path: &str) -> Option<ErrorCode> {
    let mut call = Call::transfer();
    call.path = path.to_owned();
    let demand = stage.engine.demand_resolved();
    match demand.route(&call.view()).await {
        Ok(None) => None,
        Err(refusal) => Some(refusal.kind()),
        Ok(Some(guarded)) => match guarded.check(&call.view()).await {
            Decision::Refuse(refusal) => Some(refusal.kind()),
            other => panic!("{other:?}"),
        },
    }
}

#[tokio::test]
async fn the_resolver_says_what_a_request_needs() {
    let stage = Stage::with(settings(), resolving);
    assert_eq!(heard(&stage, "/open").await, None);
    assert_eq!(heard(&stage, "/vault").await, Some(ErrorCode::SudoInstructionKeyRequired));
    assert_eq!(stage.relay.last().expected_action, "touch /vault");
}

#[tokio::test]
async fn a_resolver_that_fails_or_is_missing_refuses() {
    let stage = Stage::with(settings(), resolving);
    assert_eq!(heard(&stage, "/broken").await, Some(ErrorCode::SudoMisconfigured));
    assert_eq!(heard(&Stage::new(), "/open").await, Some(ErrorCode::SudoMisconfigured));
    assert!(stage.relay.challenges().is_empty());
}

#[tokio::test]
async fn a_broken_requirement_of_the_resolver_refuses() {
    let stage = Stage::with(settings(), |builder| {
        builder
            .with_identity(identify)
            .sudo_resolver(async |_: &RequestView<'_>| -> Resolved { Ok(Some(SudoInfo::new(""))) })
    });
    assert_eq!(heard(&stage, "/vault").await, Some(ErrorCode::SudoMisconfigured));
}

#[tokio::test]
async fn both_styles_live_in_one_application_and_neither_knows_the_others_approvals() {
    let stage = Stage::with(settings(), resolving);
    let declared = stage.approved(&transfer(), &Call::transfer()).await;
    let mut call = Call::transfer();
    call.path = "/vault".to_owned();
    let demand = stage.engine.demand_resolved();
    let call = call.key(&declared);
    let guarded = demand.route(&call.view()).await.unwrap().expect("protected");
    match guarded.check(&call.view()).await {
        Decision::Refuse(refusal) => assert_eq!(refusal.kind(), ErrorCode::SudoRequestMismatch),
        other => panic!("{other:?}"),
    }
    Call::transfer().key(&declared).passed(&stage.engine, &transfer()).await;
}

#[tokio::test]
async fn a_closure_may_own_what_it_needs() {
    let sensitive = std::sync::Arc::new(["/vault"]);
    let stage = Stage::with(settings(), |builder| {
        builder.with_identity(identify).sudo_resolver(move |view: &RequestView<'_>| {
            let (sensitive, path) = (sensitive.clone(), view.path().to_owned());
            async move { Ok(sensitive.contains(&path.as_str()).then(|| SudoInfo::new("open the vault"))) }
        })
    });
    assert_eq!(heard(&stage, "/open").await, None);
    assert_eq!(heard(&stage, "/vault").await, Some(ErrorCode::SudoInstructionKeyRequired));
}

#[tokio::test]
async fn a73_what_a_router_might_read_otherwise_is_refused_before_the_resolver_is_asked() {
    let stage = Stage::with(settings(), resolving);
    for path in ["/%6fpen", "/open%2e", "/%4Fpen", "/o%70en", "/a/%2e%2e/open", "/%7Eopen"] {
        assert_eq!(heard(&stage, path).await, Some(ErrorCode::MalformedRequest), "{path}");
    }
    // What needs encoding, or may be encoded, is the client's own affair.
    for path in ["/a%20b", "/%C3%A9", "/a%2Fb", "/a%40b", "/100%25"] {
        assert_eq!(heard(&stage, path).await, Some(ErrorCode::SudoInstructionKeyRequired), "{path}");
        stage.tell(&stage.event(stage.relay.last().instruction_id.as_str(), true)).await.assert(200);
    }
}

#[tokio::test]
async fn a03_a_request_to_be_taken_for_another_method_is_not_judged_by_its_own() {
    let stage = Stage::new();
    let exempting = transfer().with_condition(|view| view.method() == "DELETE");
    for call in [Call::transfer().header("x-http-method-override", "DELETE"), Call::transfer().query("_method=DELETE")]
    {
        call.refused(&stage.engine, &exempting, ErrorCode::MalformedRequest).await;
    }
}
