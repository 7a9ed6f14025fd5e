use actix_web::test::TestRequest;
use serde_json::json;
use tandem_actors::call::cost::Spent;
use tandem_actors::ledger::Ledger;
use tandem_actors::mode::Mode;
use tandem_actors::ports::CallId;
use tandem_actors::record::{CallRecord, CallState};
use uuid::Uuid;

use super::super::control_room::ControlRoom;
use super::*;
use crate::journal::{self, Archive, Batch, Entry, MemoryEntry, call_entry};

const ALICE: Uuid = Uuid::from_u128(0xa);

/// A house that Alice has called, and whose agent remembers her.
async fn room() -> ControlRoom {
    let room = ControlRoom::new().await;
    let at: jiff::Timestamp = "2026-11-20T21:00:00Z".parse().unwrap();
    let record = CallRecord {
        id: CallId(Uuid::from_u128(1)),
        call_sid: "CA1".to_owned(),
        agent: "tandem".to_owned(),
        from_opt: Some("+12065550188".to_owned()),
        to_opt: None,
        started_at: at,
        routed: Mode::Realtime,
        rule_opt: None,
        mode: Mode::Realtime,
        failed: vec![],
        ledger: Ledger::default(),
        spent: Spent::default(),
        turns_opt: None,
        state: CallState::Live,
    };
    let user = journal::User { id: ALICE, phone_opt: record.from_opt.clone() };
    let call = Entry::Call(Box::new(call_entry(&Ledger::default(), &record, Some(user), at)));
    let memory = MemoryEntry {
        user: ALICE,
        agent: "tandem".to_owned(),
        call: record.id,
        at,
        text: "Likes tea.".to_owned(),
        before_opt: None,
    };
    let batch = Batch::of([call, Entry::Memory(Box::new(memory))]);
    room.store.write(Uuid::nil(), 1, batch).await.unwrap();
    room
}

fn path(rest: &str) -> String {
    format!("/api/v1/users/{ALICE}{rest}")
}

#[actix_rt::test]
async fn a_user_and_what_is_remembered_of_her_is_told() {
    let room = room().await;
    let told = room.get(&path("")).await;
    let alice = json!({
        "id": ALICE, "phone": "+12065550188", "first_seen": "2026-11-20T21:00:00Z", "calls": 1
    });
    assert_eq!((told.status, told.body), (200, alice));
    let told = room.get(&path("/memory")).await;
    let memory = json!({
        "agent": "tandem", "text": "Likes tea.", "since": "2026-11-20T21:00:00Z",
        "updated_at": "2026-11-20T21:00:00Z", "call": Uuid::from_u128(1), "calls": 1
    });
    assert_eq!((told.status, told.body), (200, json!({ "memories": [memory] })));
}

#[actix_rt::test]
async fn who_is_to_be_forgotten_is_so_in_the_name_of_whoever_wants_it() {
    let room = room().await;
    for (rest, what) in [("/memory", Erasure::Memory), ("", Erasure::Person)] {
        let told = room.ask(TestRequest::delete().uri(&path(rest))).await;
        assert_eq!((told.status, told.text.as_str()), (204, ""));
        let asked = room.eraser.asked.lock().unwrap().pop().unwrap();
        assert_eq!(asked, (ALICE, what, "operator at 127.0.0.1".to_owned()));
    }
}

#[actix_rt::test]
async fn what_cannot_be_done_now_is_said_to_come_and_what_cannot_be_done_is_a_conflict() {
    let room = room().await;
    let answer = |answer| *room.eraser.answer_opt.lock().unwrap() = Some(answer);
    answer(Ok(Erased::Pending));
    let told = room.ask(TestRequest::delete().uri(&path(""))).await;
    let pending = json!({ "user": ALICE, "erased": "person", "state": "pending" });
    assert_eq!((told.status, told.body), (202, pending));
    answer(Err(NotErased::Live(CallId(Uuid::from_u128(1)))));
    let told = room.ask(TestRequest::delete().uri(&path(""))).await;
    assert_eq!(told.status, 409);
    assert!(told.detail().starts_with("call 00000000-0000-0000-0000-000000000001 of this user is live"));
}

#[actix_rt::test]
async fn who_is_not_known_is_not_found() {
    let room = room().await;
    for rest in ["", "/memory"] {
        for request in [TestRequest::get(), TestRequest::delete()] {
            let nobody = Uuid::from_u128(0xb);
            let told = room.ask(request.uri(&format!("/api/v1/users/{nobody}{rest}"))).await;
            assert_eq!((told.status, told.detail()), (404, &*format!("there is no user {nobody}")));
        }
        let told = room.get(&format!("/api/v1/users/alice{rest}")).await;
        assert_eq!((told.status, told.detail()), (404, "`alice` is not the id of a user"));
        let told = room.post(&path(rest), "{}").await;
        assert_eq!((told.status, told.detail()), (405, "this path answers to GET, DELETE only"));
    }
    assert_eq!(room.eraser.asked.lock().unwrap().len(), 0);
}

#[actix_rt::test]
async fn nobody_but_operators_is_told_anything_and_nobody_else_erases() {
    let room = room().await;
    for rest in ["", "/memory"] {
        for request in [TestRequest::get(), TestRequest::delete()] {
            assert_eq!(room.ask_from("192.0.2.7:4711", request.uri(&path(rest))).await.status, 403);
        }
    }
    assert_eq!(room.eraser.asked.lock().unwrap().len(), 0);
}

#[actix_rt::test]
async fn without_a_database_nothing_is_told_and_a_wish_to_be_forgotten_is_taken_all_the_same() {
    let room = room().await;
    room.store.settle().await.unwrap();
    room.store.lose_table("users").await;
    for rest in ["", "/memory"] {
        let told = room.get(&path(rest)).await;
        assert_eq!(told.status, 503);
        assert!(told.detail().starts_with("cannot read a user: "), "{told:?}");
    }
    assert_eq!(room.ask(TestRequest::delete().uri(&path(""))).await.status, 204);
    assert_eq!(room.eraser.asked.lock().unwrap().len(), 1);
}
