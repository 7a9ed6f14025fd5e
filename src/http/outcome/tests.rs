use tandem_actors::mode::Mode;
use tandem_actors::router::{CallFacts, CallFinished};
use uuid::Uuid;

use super::super::control_room::ControlRoom;
use super::*;

const CALL: CallId = CallId(Uuid::from_u128(7));

/// A room in which one call has finished.
async fn room() -> ControlRoom {
    let room = ControlRoom::new().await;
    let observation = tandem_actors::router::evidence::Observation::default();
    let facts = CallFacts {
        call: CALL,
        agent: "tandem".to_owned(),
        mode: Mode::Realtime,
        rule_opt: None,
        observation,
    };
    room.router.send(CallFinished(facts)).await.unwrap();
    room
}

fn path(call: impl std::fmt::Display) -> String {
    format!("/api/v1/calls/{call}/outcome")
}

#[actix_rt::test]
async fn an_outcome_is_a_reward_or_a_success() {
    for (body, reward) in [
        (r#"{"reward": 0.8, "note": "booked"}"#, 0.8),
        (r#"{"reward": 1}"#, 1.0),
        (r#"{"success": true}"#, 1.0),
        (r#"{"success": false, "note": ""}"#, 0.0),
        (r#"{"success": true, "reward": null}"#, 1.0),
    ] {
        let told = room().await.post(&path(CALL), body).await;
        assert_eq!(told.status, 200, "{body}: {told:?}");
        assert_eq!(told.body, json!({ "call": CALL, "reward": reward }));
    }
}

#[actix_rt::test]
async fn the_first_outcome_counts_and_may_be_repeated() {
    let room = room().await;
    for _ in 0..2 {
        assert_eq!(room.post(&path(CALL), r#"{"reward": 0.8}"#).await.status, 200);
    }
    let other = room.post(&path(CALL), r#"{"reward": 0.2}"#).await;
    assert_eq!((other.status, other.detail()), (409, "the call's outcome is 0.8 already"));
}

#[actix_rt::test]
async fn an_outcome_of_a_call_that_nobody_knows_is_not_found() {
    let room = room().await;
    for call in [Uuid::nil().to_string(), "CA123".to_owned(), "7".to_owned(), "%20".to_owned()] {
        let told = room.post(&path(&call), r#"{"reward": 0.8}"#).await;
        assert_eq!(told.status, 404, "{call}");
        told.detail();
    }
}

#[actix_rt::test]
async fn what_is_no_outcome_is_refused_in_words() {
    let room = room().await;
    for (body, status) in [
        ("", 422),
        ("reward=1", 422),
        ("{\"reward\": 1", 400),
        ("{\"reward\": NaN}", 400),
        ("{}", 422),
        ("[1]", 422),
        (r#"{"reward": 1.5}"#, 422),
        (r#"{"reward": -0.1}"#, 422),
        (r#"{"reward": "1"}"#, 422),
        (r#"{"reward": 1, "success": true}"#, 422),
        (r#"{"success": "yes"}"#, 422),
        (r#"{"rewrd": 1}"#, 422),
    ] {
        let refused = room.post(&path(CALL), body).await;
        assert_eq!(refused.status, status, "{body}: {refused:?}");
        refused.detail();
    }
    let long = format!(r#"{{"reward": 1, "note": "{}"}}"#, "x".repeat(BODY_KIB_MAX << 10));
    let refused = room.post(&path(CALL), &long).await;
    assert_eq!((refused.status, refused.detail()), (413, "the body is larger than 4 KiB"));
    assert_eq!(room.post(&path(CALL), r#"{"reward": 1}"#).await.status, 200, "none of them counted");
}
