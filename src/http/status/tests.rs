use actix_web::test::TestRequest;

use super::super::control_room::ControlRoom;

#[actix_rt::test]
async fn the_root_tells_who_answers_how_busy_and_how_calls_are_shared_out() {
    let room = ControlRoom::new().await;
    let expected = format!(
        concat!(
            r#"{{"status":"tandem is running","realtime_api_probability":0.5,"realtime_api_percentage":"50.0%","#,
            r#""version":"{}","calls_active":3,"signatures_refused":0}}"#,
        ),
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(room.get("/").await.text, expected);
    room.post("/realtime-api-config?probability=0.25", "").await;
    let status = room.get("/").await.body;
    assert_eq!(status["realtime_api_probability"], 0.25);
    assert_eq!(status["realtime_api_percentage"], "25.0%");
}

#[actix_rt::test]
async fn a_stranger_may_ask() {
    let room = ControlRoom::new().await;
    let request = TestRequest::get().uri("/").insert_header(("x-forwarded-for", "198.51.100.7"));
    assert_eq!(room.ask_from("203.0.113.5:4711", request).await.status, 200);
}
