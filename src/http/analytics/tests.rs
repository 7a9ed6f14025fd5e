//! Figures and revenue over HTTP: what is asked, what is answered, and what is refused.

use serde_json::{Value, json};

use super::super::control_room::ControlRoom;

const DASHBOARD: &str = "/api/v1/analytics/dashboard";
const PROJECTION: &str = "/api/v1/analytics/projection";
const REVENUE: &str = "/api/v1/analytics/revenue";

async fn refusal(path: &str) -> (u16, String) {
    let told = ControlRoom::new().await.get(path).await;
    (told.status, told.detail().to_owned())
}

#[actix_rt::test]
async fn a_dashboard_of_nothing_has_the_launch_plans_fields() {
    let room = ControlRoom::new().await;
    let told = room.get(DASHBOARD).await;
    assert_eq!(told.status, 200, "{told:?}");
    assert_eq!(told.body["window"], json!({ "first": "2026-10-23", "last": "2026-11-21" }));
    for (field, value) in [
        ("monthly_cost", json!(0.0)),
        ("cost_per_user", Value::Null),
        ("daily_active_users", Value::Null),
        ("voice_minutes_per_month", json!(0.0)),
        ("tool_calls_per_month", json!(0)),
        ("retention", json!({ "d1": null, "d7": null, "d30": null })),
    ] {
        assert_eq!(told.body.get(field), Some(&value), "{field}");
    }
    assert_eq!(told.body["optimization_trigger"]["should_optimize"], false);
    let last = room.get(&format!("{DASHBOARD}?last=2026-02-28")).await;
    assert_eq!(last.body["window"], json!({ "first": "2026-01-30", "last": "2026-02-28" }));
    let slip = (422, "`last` must be a day such as 2026-11-20".to_owned());
    assert_eq!(refusal(&format!("{DASHBOARD}?last=yesterday")).await, slip);
    assert_eq!(refusal(&format!("{DASHBOARD}?days=7")).await.0, 422);
    assert_eq!(refusal(&format!("{DASHBOARD}?last=-009999-01-05")).await.0, 422);
    assert_eq!(refusal(&format!("{REVENUE}?first=2026-11-30&last=2026-11-01")).await.0, 422);
}

#[actix_rt::test]
async fn a_projection_answers_the_launch_plans_question() {
    let room = ControlRoom::new().await;
    let told = room.get(&format!("{PROJECTION}?users=200&minutes_per_day=5")).await;
    assert_eq!(told.body["minutes_per_month"], 30_000.0);
    let realtime = json!({ "monthly_cost": 1_500.0, "cost_per_minute": 0.05, "basis": "price_list" });
    assert_eq!(told.body["modes"]["realtime"], realtime);
    assert_eq!(told.body["modes"]["cascade"]["basis"], "unknown");
    for (query, why) in [
        ("users=200", "`minutes_per_day` is wanted"),
        ("minutes_per_day=5", "`users` is wanted"),
        ("users=two&minutes_per_day=5", "`users` must be a whole number"),
        ("users=-1&minutes_per_day=5", "-1 is no number of users; it goes from 0 to 1000000000"),
        ("users=1&minutes_per_day=NaN", "NaN are no minutes of a day; they go from 0 to 1440"),
        ("users=1&users=2&minutes_per_day=5", "`users` is given more than once"),
    ] {
        assert_eq!(refusal(&format!("{PROJECTION}?{query}")).await, (422, why.to_owned()));
    }
}

#[actix_rt::test]
async fn revenue_is_entered_listed_and_seen_on_the_dashboard() {
    let room = ControlRoom::new().await;
    let one = room.post(REVENUE, r#"{"date": "2026-11-20", "amount": 49.9, "agent": "night desk"}"#).await;
    assert_eq!(one.status, 200, "{one:?}");
    let id = one.body["entries"][0]["id"].as_str().unwrap().to_owned();
    let many = json!({ "entries": [
        { "id": id, "date": "2026-11-20", "amount": 500, "agent": "night desk", "note": "corrected" },
        { "date": "2026-11-01", "amount": 0.000_001 },
    ] });
    assert_eq!(room.post(REVENUE, &many.to_string()).await.status, 200);
    let listed =
        room.get(&format!("{REVENUE}?first=2026-11-01&last=2026-11-30")).await.body["entries"].clone();
    let told: Vec<_> =
        listed.as_array().unwrap().iter().map(|entry| (&entry["amount"], &entry["note"])).collect();
    assert_eq!(told, [(&json!(0.000_001), &json!("")), (&json!(500.0), &json!("corrected"))]);
    assert_eq!(room.get(DASHBOARD).await.body["monthly_revenue"], 500.000_001);
    assert_eq!(room.get(REVENUE).await.body["entries"], listed, "thirty days are the usual");
    let log = room.log().await;
    assert_eq!(
        (log.len(), &log[1]["before"]["amount"], &log[1]["after"]["amount"]),
        (3, &json!(49.9), &json!(500.0))
    );
}

#[actix_rt::test]
async fn what_is_no_revenue_is_refused_as_a_whole() {
    let room = ControlRoom::new().await;
    for (body, status) in [
        (r#"{"date": "2026-11-20", "amount": -1}"#, 422),
        (r#"{"date": "2026-11-20", "amount": 1e9}"#, 422),
        (r#"{"date": "2026-11-20", "amount": 0.0000001}"#, 422),
        (r#"{"date": "2026-11-31", "amount": 1}"#, 422),
        (r#"{"date": "2026-11-20", "amount": 1, "currency": "EUR"}"#, 422),
        (r#"{"amount": 1}"#, 422),
        (r#"{"date": "1999-12-31", "amount": 1}"#, 422),
        (r#"{"date": "-009999-01-01", "amount": 1}"#, 422),
        (r#"{"date": "2026-11-20", "amount": 1, "note": "\u0000"}"#, 422),
        (r#"{"entries": []}"#, 422),
        (r#"{"entries": [{"date": "2026-11-20", "amount": 1}, {"date": "2026-11-20", "amount": -1}]}"#, 422),
        (r#"{"entries": 5}"#, 422),
        ("{", 400),
        ("[]", 422),
    ] {
        assert_eq!(room.post(REVENUE, body).await.status, status, "{body}");
    }
    let twice = json!({ "id": uuid::Uuid::nil(), "date": "2026-11-20", "amount": 1 });
    let told = room.post(REVENUE, &json!({ "entries": [twice, twice] }).to_string()).await;
    assert_eq!(told.detail(), "an `id` is given to two entries");
    let long = json!({ "date": "2026-11-20", "amount": 1, "note": "x".repeat(501) });
    assert_eq!(room.post(REVENUE, &long.to_string()).await.status, 422);
    assert_eq!(room.get(REVENUE).await.body["entries"], json!([]), "nothing of it was entered");
}
