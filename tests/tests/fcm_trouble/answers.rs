//! F1 to F3, F6 to F9: answers that are late, strange, or wrong for every device.

use bloonio_tests::fcm::fault::{Answer, Ending, Fault, Gate};
use bloonio_tests::fcm::road::{Play, Setting, Stretch};
use bloonio_tests::wait;
use futures_util::future::join_all;
use rstest::rstest;
use serde_json::{Value, json};

use crate::scene::{ADDRESS, Scene};

fn refusal(status: u16, details: &Value) -> Fault {
    let error = json!({"code": status, "message": "scripted", "status": "NOT_FOUND", "details": details});
    Fault::Answer(Answer::json(status, &json!({ "error": error })))
}

#[tokio::test]
async fn f01_one_refused_token_is_replaced_and_nobody_notices() {
    let scene = Scene::set(Vec::new()).await;
    scene.emulator.fault_next([Fault::Answer(Answer::refusal(401, "UNAUTHENTICATED", &[]))]);
    assert_eq!(scene.push().await, "accepted");
    assert_eq!((scene.emulator.sends().len(), scene.emulator.token_requests().len()), (2, 2));
}

#[rstest]
#[case::unregistered_among_strangers(
    json!([
        {"@type": "type.googleapis.com/google.rpc.Novelty", "errorCode": "INTERNAL"},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"},
        {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": "UNREGISTERED"},
    ]),
    "unregistered"
)]
#[case::an_unknown_code(
    json!([{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": "DEVICE_ASLEEP"}]), "not_found"
)]
#[case::null(json!(null), "not_found")]
#[case::no_list(json!({"errorCode": "UNREGISTERED"}), "not_found")]
#[tokio::test]
async fn f07_details_count_by_their_type_and_unknown_ones_not_at_all(#[case] details: Value, #[case] word: &str) {
    let scene = Scene::set(Vec::new()).await;
    scene.emulator.fault_next([refusal(404, &details)]);
    assert_eq!(scene.push().await, word);
}

#[tokio::test]
async fn f08_a_message_that_came_although_nobody_said_so_comes_again_under_the_same_id() {
    let scene = Scene::set(Vec::new()).await;
    scene.emulator.fault_next([Fault::DoneButCut]);
    assert_eq!(scene.push().await, "no_answer");
    assert_eq!(scene.push().await, "accepted");
    let messages = scene.emulator.messages_for(ADDRESS);
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0]["data"]["instruction_id"], messages[1]["data"]["instruction_id"]);
}

#[tokio::test]
async fn f09_a_late_answer_is_taken_and_delays_no_other_message() {
    let scene = Scene::set(Vec::new()).await;
    let gate = Gate::default();
    scene.emulator.fault_next([Fault::Hold(gate.clone())]);
    let late = scene.push();
    let others = async {
        scene.emulator.wait_for_held(1).await;
        for _ in 0..20 {
            assert_eq!(scene.push().await, "accepted");
        }
        gate.open();
    };
    let (late, ()) = tokio::join!(late, others);
    assert_eq!((late, scene.delivered()), ("accepted", 21));
}

/// Whatever a service does instead of answering, the sender is back within its deadline and knows no more than before.
#[tokio::test]
async fn f09_an_answer_that_never_comes_to_its_end_is_left_in_time() {
    let faults = [
        ("silence", Fault::Hang),
        ("headers and no more", Fault::Answer(Answer::new(200, "").ending(Ending::Stalls))),
        ("half an answer", Fault::Answer(Answer::new(200, r#"{"name": "pro"#).ending(Ending::Stalls))),
        ("drop by drop", Fault::Answer(Answer::new(200, r#"{"name": "pro"#).ending(Ending::Drips))),
    ];
    let trials = faults.into_iter().map(|(what, fault)| async move {
        let scene = Scene::set(Vec::new()).await;
        scene.emulator.fault_next([fault]);
        (what, scene.push().await)
    });
    // A window that closes: the next message never gets through.
    let closed = async {
        let stretch = Stretch::Http2(Vec::new(), vec![Play::AcceptThen(Setting::InitialWindow(0))]);
        let scene = Scene::set(vec![stretch]).await;
        assert_eq!(scene.push().await, "accepted");
        ("no window", scene.push().await)
    };
    let all = async { tokio::join!(join_all(trials), closed) };
    let (mut words, closed) = tokio::time::timeout(wait::DEADLINE, all).await.expect("nobody hangs");
    words.push(closed);
    for (what, word) in words {
        assert_eq!(word, "no_answer", "{what}");
    }
}

#[tokio::test]
async fn f06_an_answer_without_end_is_not_read_to_its_end() {
    let scene = Scene::set(Vec::new()).await;
    for status in [200, 503] {
        scene.emulator.fault_next([Fault::Answer(Answer::new(status, "{").ending(Ending::Endless))]);
        assert_eq!(scene.push().await, if status == 200 { "bad_answer" } else { "unavailable" });
    }
    assert_eq!(scene.push().await, "accepted");
}
