use actix_web::http::header::{self, HeaderValue};
use actix_web::test::TestRequest;
use serde_json::Value;

use super::super::control_room::{ControlRoom, Told};
use super::*;

const PATH: &str = "/api/v1/routing";

/// One rule of each kind.
fn document() -> Value {
    json!({
        "realtime_probability": 0.25,
        "rules": [
            { "name": "coach", "when": { "agents": ["coach"] }, "then": { "pin": "traditional" } },
            {
                "name": "hard mornings",
                "when": {
                    "window": { "days": ["monday"], "from": "05:00", "to": "09:30", "zone": "Europe/Berlin" },
                },
                "then": { "probability": 1.0 },
            },
            {
                "name": "roll-out / cascade",
                "when": { "numbers": ["+14155550142"] },
                "then": { "plan": { "arm": "cascade", "control": "realtime", "steps": [
                    { "share": 0.1, "minutes_min": 60, "calls_min": 200 },
                    { "share": 1.0 },
                ] } },
            },
        ],
    })
}

async fn put(room: &ControlRoom, if_match_opt: Option<&str>, document: &Value) -> Told {
    let mut request = TestRequest::put().uri(PATH).set_payload(document.to_string());
    if let Some(tags) = if_match_opt {
        request = request.insert_header((header::IF_MATCH, HeaderValue::from_str(tags).unwrap()));
    }
    room.ask(request).await
}

fn tag_of(told: &Told) -> &str {
    told.headers.get(header::ETAG).unwrap().to_str().unwrap()
}

// --- the document ----------------------------------------------------------------------------------------

#[actix_rt::test]
async fn what_was_read_can_be_put_back() {
    let room = ControlRoom::new().await;
    let read = room.get(PATH).await;
    assert_eq!((read.status, &read.body), (200, &json!({ "realtime_probability": 0.5 })));
    let replaced = put(&room, Some(tag_of(&read)), &document()).await;
    assert_eq!((replaced.status, &replaced.body["warnings"]), (200, &json!([])));
    let again = room.get(PATH).await;
    assert_eq!(again.body["rules"].as_array().unwrap().len(), 3);
    assert_eq!((&again.body, tag_of(&again)), (&replaced.body["routing"], tag_of(&replaced)));
    assert_eq!(put(&room, Some(tag_of(&again)), &again.body).await.status, 200);
}

#[actix_rt::test]
async fn a_change_is_effective_for_the_next_call_and_audited() {
    let room = ControlRoom::new().await;
    put(&room, None, &document()).await;
    let explained = room.get("/api/v1/routing/explain?agent=coach").await.body;
    assert_eq!((&explained["mode"], &explained["rule"]), (&json!("traditional"), &json!("coach")));
    let entry = room.log().await.remove(0);
    assert_eq!((&entry["who"], &entry["what"]), (&json!("operator at 127.0.0.1"), &json!("routing")));
    assert_eq!(entry["before"], json!({ "realtime_probability": 0.5 }));
    assert_eq!(entry["after"]["rules"][0]["name"], "coach");
}

#[actix_rt::test]
async fn two_operators_do_not_overwrite_each_other() {
    let room = ControlRoom::new().await;
    let seen = room.get(PATH).await;
    assert_eq!(put(&room, Some(tag_of(&seen)), &document()).await.status, 200);
    let late = put(&room, Some(tag_of(&seen)), &json!({ "realtime_probability": 0.9 })).await;
    assert_eq!(late.status, 412);
    assert_eq!(late.detail(), "If-Match names another revision than 1, which the routing has by now");
    assert_eq!(room.probability().await, 0.25);
}

#[actix_rt::test]
async fn a_condition_is_met_by_the_revision_that_stands_alone() {
    let room = ControlRoom::new().await;
    let wanted = json!({ "realtime_probability": 0.9 });
    for tags in ["\"7\"", "7", "", "W/\"0\"", "\"1\", \"2\""] {
        assert_eq!(put(&room, Some(tags), &wanted).await.status, 412, "{tags}");
    }
    for (tags, revision) in [("*", 1), ("\"0\", \"1\"", 2), ("\"2\"", 3)] {
        let replaced = put(&room, Some(tags), &wanted).await;
        assert_eq!((replaced.status, &replaced.body["revision"]), (200, &json!(revision)), "{tags}");
    }
}

#[actix_rt::test]
async fn every_fault_of_a_document_is_named_with_its_field_and_nothing_changes() {
    let room = ControlRoom::new().await;
    let faulty = json!({
        "realtime_probability": 1.5,
        "rules": [
            { "name": "a", "when": { "agents": ["nobody"] }, "then": { "pin": "hybrid" } },
            { "name": "a", "when": { "window": { "zone": "Mars/Olympus" } }, "then": { "probability": 0.5 } },
            { "name": "b", "then": { "weights": { "realtime": 0.5, "traditional": 0.4 } } },
        ],
    });
    let refused = put(&room, None, &faulty).await;
    assert_eq!(refused.status, 422);
    let mut pointers = refused.pointers();
    pointers.sort_unstable();
    let expected = [
        "/realtime_probability",
        "/rules/0/then/pin",
        "/rules/0/when/agents/0",
        "/rules/1/name",
        "/rules/1/when/window/zone",
        "/rules/2/then/weights",
    ];
    assert_eq!(pointers, expected);
    assert!(refused.detail().contains("there is no agent `nobody`"), "{refused:?}");
    assert_eq!((room.probability().await, room.log().await.len()), (json!(0.5), 0));
}

#[actix_rt::test]
async fn a_document_that_cannot_be_read_says_where() {
    let room = ControlRoom::new().await;
    for (text, pointer) in [
        ("{", ""),
        ("{}", ""),
        (r#"{"realtime_probability": NaN}"#, ""),
        (r#"{"realtime_probability": "abc"}"#, "/realtime_probability"),
        (r#"{"realtime_probability": 0.5, "rulez": []}"#, "/rulez"),
        (
            r#"{"realtime_probability": 0.5, "rules": [{"name": "a", "then": {"pin": "fast"}}]}"#,
            "/rules/0/then/pin",
        ),
    ] {
        let refused = room.ask(TestRequest::put().uri(PATH).set_payload(text)).await;
        assert_eq!((refused.status, refused.pointers()), (422, vec![pointer]), "{text}");
        refused.detail();
    }
    for text in ["", "null", "[1]", "probability=0.5"] {
        let refused = room.ask(TestRequest::put().uri(PATH).set_payload(text)).await;
        assert_eq!((refused.status, refused.detail()), (422, "the body is not a JSON object"), "{text}");
    }
    let binary = room.ask(TestRequest::put().uri(PATH).set_payload(&b"{\xff}"[..])).await;
    assert_eq!(binary.status, 400);
    let large =
        room.ask(TestRequest::put().uri(PATH).set_payload(" ".repeat(DOCUMENT_KIB_MAX << 10) + "{}")).await;
    assert_eq!((large.status, large.detail()), (413, "the body is larger than 256 KiB"));
}

#[actix_rt::test]
async fn rules_that_can_never_match_are_taken_with_a_warning() {
    let room = ControlRoom::new().await;
    let pin = |name: &str| json!({ "name": name, "then": { "pin": "realtime" } });
    let overlapping = json!({ "realtime_probability": 0.5, "rules": [pin("first"), pin("second")] });
    let replaced = put(&room, None, &overlapping).await;
    assert_eq!(replaced.status, 200);
    assert_eq!(replaced.body["warnings"][0]["pointer"], "/rules/1");
}

#[actix_rt::test]
async fn a_document_that_cannot_be_saved_does_not_take_effect() {
    let room = ControlRoom::new().await;
    room.fail_to_save(true);
    let refused = put(&room, None, &document()).await;
    assert_eq!((refused.status, refused.detail()), (503, "routing could not be saved: disk full"));
    assert_eq!(room.get(PATH).await.body, json!({ "realtime_probability": 0.5 }));
}

// --- questions -------------------------------------------------------------------------------------------

#[actix_rt::test]
async fn a_call_is_explained_at_the_time_that_is_asked_for() {
    let room = ControlRoom::new().await;
    put(&room, None, &document()).await;
    for (at, rule) in [
        ("2026-11-23T07:00:00%2B01:00", json!("hard mornings")),
        ("2026-11-23T07:00:00+01:00", json!("hard mornings")),
        ("2026-11-23T06:00:00Z", json!("hard mornings")),
        ("2026-11-23T10:00:00+01:00", Value::Null),
    ] {
        let explained = room.get(&format!("/api/v1/routing/explain?at={at}")).await;
        assert_eq!((explained.status, &explained.body["rule"]), (200, &rule), "{at}: {explained:?}");
        assert_eq!(explained.body["rules"].as_array().unwrap().len(), 3, "each rule has its say");
    }
    let now = room.get("/api/v1/routing/explain").await.body;
    assert_eq!((&now["reason"], &now["rule"]), (&json!("default"), &Value::Null), "it is Saturday");
}

#[actix_rt::test]
async fn a_number_begins_with_a_plus_escaped_or_not() {
    let room = ControlRoom::new().await;
    put(&room, None, &document()).await;
    for to in ["%2B14155550142", "+14155550142"] {
        let path = format!("/api/v1/routing/explain?from=+12065550188&to={to}&call_sid=CA1");
        assert_eq!(room.get(&path).await.body["rule"], "roll-out / cascade");
    }
}

#[actix_rt::test]
async fn a_question_that_makes_no_sense_is_refused_in_words() {
    let room = ControlRoom::new().await;
    for query in
        ["at=", "at=tomorrow", "at=2026-11-23", "at=2026-11-23T07:00:00", "form=%2B1", "from=1&from=2"]
    {
        let refused = room.get(&format!("/api/v1/routing/explain?{query}")).await;
        assert_eq!(refused.status, 422, "{query}");
        refused.detail();
    }
}

// --- plans -----------------------------------------------------------------------------------------------

#[actix_rt::test]
async fn a_plan_shows_how_far_it_has_come_and_can_begin_anew() {
    let room = ControlRoom::new().await;
    put(&room, None, &document()).await;
    let plans = room.get("/api/v1/routing/plans").await;
    assert_eq!((plans.status, &plans.body["revision"]), (200, &json!(1)));
    let plan = &plans.body["plans"][0];
    assert_eq!(
        (&plan["rule"], &plan["step"], &plan["share"]),
        (&json!("roll-out / cascade"), &json!(1), &json!(0.1))
    );
    let restarted = room.post("/api/v1/routing/plans/roll-out%20%2F%20cascade/restart", "").await;
    assert_eq!(
        (restarted.status, &restarted.body["plans"][0]["rule"]),
        (200, &plan["rule"]),
        "{restarted:?}"
    );
    assert_eq!(room.log().await[0]["why"], "restarted");
    let unknown = room.post("/api/v1/routing/plans/coach/restart", "").await;
    assert_eq!((unknown.status, unknown.detail()), (404, "no rule `coach` has a plan"));
}

// --- the gate --------------------------------------------------------------------------------------------

#[actix_rt::test]
async fn nobody_but_an_operator_may_look_or_change() {
    let room = ControlRoom::new().await;
    for request in [
        TestRequest::get().uri(PATH),
        TestRequest::put().uri(PATH).set_payload(document().to_string()),
        TestRequest::get().uri("/api/v1/routing/explain"),
        TestRequest::get().uri("/api/v1/routing/plans"),
        TestRequest::post().uri("/api/v1/routing/plans/a/restart"),
        TestRequest::get().uri("/api/v1/audit"),
        TestRequest::get().uri("/api/v1/prices"),
        TestRequest::post().uri("/api/v1/calls/x/outcome").set_payload("{}"),
    ] {
        let refused = room.ask_from("203.0.113.5:4711", request).await;
        assert_eq!(refused.status, 403, "{refused:?}");
        refused.detail();
    }
    assert_eq!(room.probability().await, 0.5);
}

#[actix_rt::test]
async fn each_path_names_the_methods_it_answers_to() {
    let room = ControlRoom::new().await;
    for (path, allowed) in [
        (PATH, "GET, PUT"),
        ("/api/v1/routing/explain", "GET"),
        ("/api/v1/routing/plans", "GET"),
        ("/api/v1/routing/plans/a/restart", "POST"),
        ("/api/v1/calls/x/outcome", "POST"),
        ("/api/v1/audit", "GET"),
        ("/api/v1/prices", "GET"),
        ("/metrics", "GET"),
        ("/realtime-api-config", "GET, POST"),
    ] {
        let refused = room.ask(TestRequest::delete().uri(path)).await;
        assert_eq!(refused.status, 405, "{path}");
        assert_eq!(refused.headers.get(header::ALLOW).unwrap(), allowed);
    }
}

#[actix_rt::test]
async fn a_router_that_is_gone_is_said_to_be() {
    let mut room = ControlRoom::new().await;
    room.lose_router();
    for path in [PATH, "/realtime-api-config", "/api/v1/routing/explain"] {
        let refused = room.get(path).await;
        assert_eq!((refused.status, refused.detail()), (503, "the router does not answer"), "{path}");
    }
    let status = room.get("/").await;
    assert_eq!((status.status, &status.body["realtime_api_probability"]), (200, &Value::Null));
}
