use jiff::Timestamp;
use serde_json::json;
use tandem_actors::call::cost::Spent;
use tandem_actors::ledger::{Ledger, Speaker};
use tandem_actors::mode::Mode;
use tandem_actors::ports::CallId;
use tandem_actors::record::{CallRecord, CallState};
use tandem_media::playout::Part;
use uuid::Uuid;

use super::super::control_room::{ControlRoom, Told};
use crate::journal::{Archive, Batch, Entry, EventEntry, OutcomeEntry, User, call_entry};

const USER: Uuid = Uuid::from_u128(99);

fn second(second: u64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + i64::try_from(second).unwrap()).unwrap()
}

/// Calls 1 to 5, one a minute: the odd ones are realtime, the first four have ended, and two are of one caller.
async fn room() -> ControlRoom {
    let room = ControlRoom::new().await;
    let mut entries = Vec::new();
    for n in 1..=5_u64 {
        let mut spent = Spent::default();
        spent.note(Some(1_234 * n));
        let mut ledger = Ledger::default();
        ledger.agent_began("a", Part(1), 0);
        ledger.said(Speaker::Agent, "a", "Good evening, night desk.", 0);
        ledger.agent_ended(Part(1), 2_000);
        ledger.said(Speaker::Caller, "b", "Is it open?", 2_500);
        let state = match n {
            5 => CallState::Live,
            _ => CallState::Ended { reason: "caller_hung_up".to_owned(), for_good: false },
        };
        let record = CallRecord {
            id: call(n),
            call_sid: format!("CA{n}"),
            agent: if n == 3 { "coach" } else { "tandem" }.to_owned(),
            from_opt: Some(format!("+1206555018{}", n % 3)),
            to_opt: None,
            started_at: second(60 * n),
            routed: Mode::Realtime,
            rule_opt: None,
            mode: if n % 2 == 1 { Mode::Realtime } else { Mode::Cascade },
            failed: vec![],
            ledger,
            spent,
            turns_opt: None,
            state,
        };
        let user_opt = (n <= 2).then_some(User { id: USER, phone_opt: None });
        let at = second(60 * n + 30);
        entries.push(Entry::Call(Box::new(call_entry(&Ledger::default(), &record, user_opt, at))));
        for (event, what) in ["engine_dialled", "engine_ready", "ended"].into_iter().enumerate() {
            let (id, at_us) = (Uuid::from_u128(u128::from(n) * 10 + event as u128), 1_500 * event as u64);
            let what = json!({ "event": what, "detail": n });
            entries.push(Entry::Event(EventEntry { id, at, call: call(n), at_us, what }));
        }
    }
    Archive::write(&room.store, Uuid::nil(), 1, Batch::of(entries)).await.unwrap();
    room
}

fn call(n: u64) -> CallId {
    CallId(Uuid::from_u128(u128::from(n)))
}

/// Outcomes of calls that finished on another node, or long ago.
#[actix_rt::test]
async fn an_outcome_is_taken_of_every_call_that_is_over() {
    let room = room().await;
    let tell =
        async |n: u64, body: &str| room.post(&format!("/api/v1/calls/{}/outcome", call(n)), body).await;
    assert_eq!(tell(2, r#"{"reward": 0.75}"#).await.status, 200);
    assert_eq!(*room.desk.outcomes.lock().unwrap(), [(call(2), 0.75)]);
    let (id, at, note) = (call(2), second(200), "booked".to_owned());
    let entry = Entry::Outcome(OutcomeEntry { call: id, at, reward: 0.75, note });
    Archive::write(&room.store, Uuid::nil(), 2, Batch::of([entry])).await.unwrap();
    assert_eq!(room.get(&format!("/api/v1/calls/{id}")).await.body["outcome"], 0.75);
    assert_eq!(tell(2, r#"{"reward": 0.75}"#).await.status, 200, "it may be repeated");
    let other = tell(2, r#"{"success": false}"#).await;
    assert_eq!((other.status, other.detail()), (409, "the call's outcome is 0.75 already"));
    let live = tell(5, r#"{"success": true}"#).await;
    assert_eq!((live.status, live.detail().ends_with("is not over")), (409, true), "{live:?}");
}

/// The numbers of the calls on a page.
fn numbers(page: &Told) -> Vec<u64> {
    assert_eq!(page.status, 200, "{page:?}");
    let calls = page.body["calls"].as_array().unwrap();
    calls.iter().map(|call| call["call_sid"].as_str().unwrap()[2..].parse().unwrap()).collect()
}

#[actix_rt::test]
async fn calls_are_paged_from_the_newest_to_the_oldest() {
    let room = room().await;
    let (mut seen, mut path) = (Vec::new(), "/api/v1/calls?limit=2".to_owned());
    for more in [true, true, false] {
        let page = room.get(&path).await;
        seen.extend(numbers(&page));
        assert_eq!(page.body["next"].is_string(), more, "{page:?}");
        path = format!("/api/v1/calls?limit=2&cursor={}", page.body["next"].as_str().unwrap_or_default());
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
}

#[actix_rt::test]
async fn each_filter_lets_its_calls_pass_and_all_together_those_that_pass_each() {
    let room = room().await;
    let [since, until] = [second(120), second(240)].map(|at| at.to_string());
    for (query, expected) in [
        ("agent=coach".to_owned(), &[3][..]),
        ("mode=cascade".to_owned(), &[4, 2]),
        ("live=true".to_owned(), &[5]),
        ("live=false".to_owned(), &[4, 3, 2, 1]),
        (format!("user={USER}"), &[2, 1]),
        ("from=%2B12065550182".to_owned(), &[5, 2]),
        (format!("since={since}"), &[5, 4, 3, 2]),
        (format!("until={until}"), &[3, 2, 1]),
        (format!("since={since}&until={until}&mode=cascade&agent=tandem"), &[2]),
        ("agent=%27%20OR%20true%20--".to_owned(), &[]),
    ] {
        assert_eq!(numbers(&room.get(&format!("/api/v1/calls?{query}")).await), expected, "{query}");
    }
}

#[actix_rt::test]
async fn one_call_is_told_with_its_turns_and_its_cost() {
    let room = room().await;
    let told = room.get(&format!("/api/v1/calls/{}", call(2))).await;
    let expected = json!({
        "id": call(2), "call_sid": "CA2", "user": USER, "agent": "tandem", "from": "+12065550182", "to": null,
        "started_at": second(120).to_string(), "ended_at": second(150).to_string(),
        "state": "ended", "end_reason": "caller_hung_up",
        "routed": "realtime", "rule": null, "mode": "cascade", "failed": [],
        "cost_usd": 0.002_468, "unpriced": 0, "carrier_usd": 0.0, "outcome": null,
        "turns": [
            {"who": "agent", "text": "Good evening, night desk.", "heard_text": "Good evening, night desk.",
             "began_ms": 0, "audio_ms": 2_000, "heard_ms": null, "complete": true},
            {"who": "caller", "text": "Is it open?", "heard_text": "Is it open?",
             "began_ms": 2_500, "audio_ms": 0, "heard_ms": null, "complete": true},
        ],
    });
    assert_eq!((told.status, told.body), (200, expected));
}

#[actix_rt::test]
async fn what_happened_in_a_call_is_told_in_order() {
    let room = room().await;
    let path = format!("/api/v1/calls/{}/timeline", call(3));
    let first = room.get(&format!("{path}?limit=2")).await;
    let names = |told: &Told| -> Vec<String> {
        let events = told.body["events"].as_array().unwrap();
        events.iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&first), ["engine_dialled", "engine_ready"]);
    let second = &first.body["events"][1];
    assert_eq!((&second["at_ms"], &second["detail"]), (&json!(1.5), &json!(3)));
    let rest = room.get(&format!("{path}?limit=2&cursor={}", first.body["next"].as_str().unwrap())).await;
    assert_eq!((names(&rest), &rest.body["next"]), (vec!["ended".to_owned()], &json!(null)));
}

#[actix_rt::test]
async fn a_call_that_there_is_not_is_not_found() {
    let room = room().await;
    for path in ["", "/timeline"] {
        for id in [Uuid::from_u128(7).to_string(), "latest".to_owned()] {
            let told = room.get(&format!("/api/v1/calls/{id}{path}")).await;
            assert_eq!(told.status, 404, "{id}{path}");
            assert!(told.detail().contains(&id), "{told:?}");
        }
    }
}

#[actix_rt::test]
async fn a_wish_that_cannot_be_read_is_refused_in_words() {
    let room = ControlRoom::new().await;
    for (query, word) in [
        ("limit=0", "`limit`"),
        ("limit=1001", "`limit`"),
        ("cursor=first", "`cursor`"),
        ("mode=dreaming", "`mode`"),
        ("live=maybe", "`live`"),
        ("user=me", "`user`"),
        ("since=yesterday", "`since`"),
        ("agnet=coach", "`agnet`"),
        ("agent=a&agent=b", "`agent`"),
    ] {
        let told = room.get(&format!("/api/v1/calls?{query}")).await;
        assert_eq!(told.status, 422, "{query}");
        assert!(told.detail().contains(word), "{told:?}");
    }
}
