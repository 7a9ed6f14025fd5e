use super::super::control_room::ControlRoom;

#[actix_rt::test]
async fn the_log_is_paged_from_the_newest_entry_to_the_oldest() {
    let room = ControlRoom::new().await;
    for n in 1..=5 {
        room.post(&format!("/realtime-api-config?probability=0.{n}"), "").await;
    }
    let (mut seen, mut path) = (Vec::new(), "/api/v1/audit?limit=2".to_owned());
    for (length, more) in [(2, true), (2, true), (1, false)] {
        let page = room.get(&path).await.body;
        let entries = page["entries"].as_array().unwrap();
        assert_eq!(entries.len(), length);
        seen.extend(entries.iter().map(|entry| entry["after"]["realtime_probability"].as_f64().unwrap()));
        assert_eq!(page["next"].is_string(), more, "{page}");
        path = format!("/api/v1/audit?limit=2&cursor={}", page["next"].as_str().unwrap_or_default());
    }
    assert_eq!(seen, [0.5, 0.4, 0.3, 0.2, 0.1]);
}

#[actix_rt::test]
async fn an_entry_has_every_field_of_the_log() {
    let room = ControlRoom::new().await;
    room.post("/realtime-api-config?probability=0.75", "").await;
    let entry = room.log().await.remove(0);
    let fields: Vec<&str> = entry.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["after", "at", "before", "id", "what", "who", "why"]);
    assert_eq!((&entry["at"], &entry["what"]), (&"2026-11-21T05:00:00Z".into(), &"routing".into()));
}

#[actix_rt::test]
async fn a_page_that_cannot_be_is_refused_in_words() {
    let room = ControlRoom::new().await;
    for query in [
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=ten",
        "limit=",
        "cursor=",
        "cursor=first",
        "limit=1&limit=2",
    ] {
        let refused = room.get(&format!("/api/v1/audit?{query}")).await;
        assert_eq!(refused.status, 422, "{query}");
        refused.detail();
    }
    let refused = room.get("/api/v1/audit?limt=5").await;
    assert_eq!(refused.detail(), "`limt` is no parameter of this path; there are limit, cursor");
}
