//! Where an instruction stands, for its initiator alone (PROTOCOL 9.4).

use std::time::Duration;

use crate::support::{Call, Stage, transfer};
use bloonio_sudo::{Answer, ErrorCode, MountedRoute};
use futures_util::StreamExt;
use rstest::rstest;
use serde_json::{Value, json};

fn status_call(key: &str) -> Call {
    Call::new("GET", &format!("/_bloonio/instructions/{key}")).from("jane-0001", "one")
}

async fn status(stage: &Stage, call: &Call) -> crate::support::Heard {
    stage.serve(MountedRoute::InstructionStatus, call).await
}

#[tokio::test]
async fn the_initiator_sees_each_status() {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    let now = |heard: crate::support::Heard| {
        heard.assert(200);
        assert_eq!(heard.header("cache-control"), Some("no-store"));
        heard.body
    };
    let pending = now(status(&stage, &status_call(&key)).await);
    assert_eq!(pending, json!({"status": "pending", "expires_at": "2027-01-15T08:03:00.000Z"}));
    stage.tell(&stage.event(&key, true)).await.assert(200);
    assert_eq!(now(status(&stage, &status_call(&key)).await)["status"], "validated");
    Call::transfer().key(&key).passed(&stage.engine, &transfer()).await;
    assert_eq!(now(status(&stage, &status_call(&key)).await)["status"], "consumed");
}

#[tokio::test]
async fn a20_to_anybody_else_it_does_not_exist() {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    let unknown = status(&stage, &status_call("0123456789abcdef0123456789abcdef01234567")).await;
    unknown.assert_error(ErrorCode::NotFound);
    for (user, session) in [("john-0001", "one"), ("jane-0001", "two"), ("jane-0001", "")] {
        assert_eq!(status(&stage, &status_call(&key).from(user, session)).await, unknown);
    }
    for malformed in ["x", "", "a%2Fb", "0123456789abcdef%20"] {
        assert_eq!(status(&stage, &status_call(malformed)).await, unknown, "{malformed}");
    }
    let nobody = status(&stage, &status_call(&key).without("x-user")).await;
    nobody.assert_error(ErrorCode::SudoUserRequired);
}

#[rstest]
#[case("wait_seconds=31")]
#[case("wait_seconds=-1")]
#[case("wait_seconds=soon")]
#[tokio::test]
async fn a_wait_that_cannot_be_is_422(#[case] query: &str) {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    let heard = status(&stage, &status_call(&key).query(query)).await;
    heard.assert_error(ErrorCode::ValidationFailed);
    assert_eq!(heard.body["details"][0]["field"], "wait_seconds");
}

#[tokio::test]
async fn a_waiting_question_is_answered_by_the_decision() {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    let call = status_call(&key).query("wait_seconds=25");
    let decided = async {
        tokio::task::yield_now().await;
        stage.tell(&stage.event(&key, false)).await.assert(200);
    };
    let (heard, ()) = tokio::join!(status(&stage, &call), decided);
    assert_eq!(heard.body["status"], "denied");
}

#[tokio::test(start_paused = true)]
async fn a_waiting_question_ends_after_its_time() {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    let heard = status(&stage, &status_call(&key).query("wait_seconds=25")).await;
    assert_eq!(heard.body["status"], "pending");
}

#[tokio::test]
async fn a_third_waiter_is_turned_away_and_a_place_is_given_back() {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    let call = status_call(&key).query("wait_seconds=25");
    {
        let waiting = [status(&stage, &call), status(&stage, &call)];
        let mut waiting = futures_util::future::join_all(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        let third = status(&stage, &call).await;
        third.assert_error(ErrorCode::RateLimited);
        assert_eq!(third.header("retry-after"), Some("1"));
        status(&stage, &status_call(&key)).await.assert(200);
    }
    let mut free = Box::pin(status(&stage, &call));
    assert!(futures_util::poll!(&mut free).is_pending());
}

async fn events(stage: &Stage, key: &str) -> std::pin::Pin<Box<dyn futures_util::Stream<Item = String> + Send>> {
    let call = status_call(key).header("accept", "text/html, text/event-stream;q=0.9");
    let answer = stage.engine.serve(MountedRoute::InstructionStatus, &call.view()).await;
    let Answer::Events { status, headers, events } = answer else { panic!("{answer:?}") };
    assert_eq!(status, 200);
    assert!(headers.contains(&("content-type", "text/event-stream".to_owned())));
    assert!(headers.contains(&("cache-control", "no-store".to_owned())));
    Box::pin(events.map(|event| String::from_utf8(event.unwrap().to_vec()).unwrap()))
}

fn told(event: &str) -> String {
    let data = event.strip_prefix("event: status\ndata: ").and_then(|rest| rest.strip_suffix("\n\n"));
    let data: Value = serde_json::from_str(data.unwrap_or_else(|| panic!("{event:?}"))).unwrap();
    data["status"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_stream_tells_each_change_and_ends_with_the_final_one() {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    let mut events = events(&stage, &key).await;
    assert_eq!(told(&events.next().await.unwrap()), "pending");
    stage.tell(&stage.event(&key, true)).await.assert(200);
    assert_eq!(told(&events.next().await.unwrap()), "validated");
    Call::transfer().key(&key).passed(&stage.engine, &transfer()).await;
    assert_eq!(told(&events.next().await.unwrap()), "consumed");
    assert_eq!(events.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_shows_that_it_lives() {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    let mut events = events(&stage, &key).await;
    assert_eq!(told(&events.next().await.unwrap()), "pending");
    assert_eq!(events.next().await.unwrap(), ": still here\n\n");
}

#[tokio::test]
async fn streams_and_questions_end_when_the_server_stops() {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    let mut events = events(&stage, &key).await;
    events.next().await.unwrap();
    let call = status_call(&key).query("wait_seconds=25");
    let (heard, ()) = tokio::join!(status(&stage, &call), stage.engine.shutdown());
    assert_eq!(heard.body["status"], "pending");
    assert_eq!(events.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_the_expiry() {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    let mut events = events(&stage, &key).await;
    events.next().await.unwrap();
    stage.clock.advance(Duration::from_secs(180));
    let expired = loop {
        let event = events.next().await.unwrap();
        if !event.starts_with(':') {
            break event;
        }
    };
    assert_eq!(told(&expired), "expired");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_store_that_is_away_is_503() {
    let stage = Stage::new();
    let key = stage.key(&transfer(), &Call::transfer()).await;
    stage.store.set_broken(true);
    status(&stage, &status_call(&key)).await.assert_error(ErrorCode::SudoStateUnavailable);
}
