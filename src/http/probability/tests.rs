use actix_web::test::TestRequest;

use super::super::control_room::ControlRoom;
use super::*;

#[test]
fn numbers_are_read_as_python_spells_them() {
    for (text, expected) in [
        ("0.5", 0.5),
        (".5", 0.5),
        ("1e-1", 0.1),
        ("1E-1", 0.1),
        ("+0.5", 0.5),
        (" 0.5 ", 0.5),
        ("1", 1.0),
        ("1.", 1.0),
        ("0", 0.0),
        ("00.25", 0.25),
    ] {
        assert_eq!(number(text).ok(), Some(expected), "{text}");
    }
    assert!(number("-0.0").is_ok_and(f64::is_sign_positive), "no share is negative");
}

#[test]
fn a_percentage_has_one_decimal() {
    for (probability, expected) in [
        (0.0, "0.0%"),
        (0.25, "25.0%"),
        (0.5, "50.0%"),
        (1.0, "100.0%"),
        (1.0 / 3.0, "33.3%"),
        (0.07, "7.0%"),
    ] {
        assert_eq!(percentage(probability), expected);
    }
}

#[actix_rt::test]
async fn the_wake_up_coachs_own_lines_are_answered_to_the_letter() {
    let room = ControlRoom::new().await;
    let read = async |probability: &str, percentage: &str| {
        let description = "Probability of using OpenAI Realtime API vs Traditional API";
        let expected = format!(
            r#"{{"probability":{probability},"percentage":"{percentage}","description":"{description}"}}"#
        );
        let read = room.get("/realtime-api-config").await;
        assert_eq!((read.status, read.text), (200, expected));
    };
    read("0.5", "50.0%").await;
    for (probability, percentage) in
        [("0.75", "75.0%"), ("0.0", "0.0%"), ("1.0", "100.0%"), ("0.25", "25.0%"), ("0.1", "10.0%")]
    {
        let updated = room.post(&format!("/realtime-api-config?probability={probability}"), "").await;
        let expected =
            format!(r#"{{"status":"updated","probability":{probability},"percentage":"{percentage}"}}"#);
        assert_eq!((updated.status, updated.text), (200, expected));
        read(probability, percentage).await;
    }
}

#[actix_rt::test]
async fn a_plus_sign_is_a_plus_sign_escaped_or_not_and_other_parameters_are_let_be() {
    let room = ControlRoom::new().await;
    for query in ["probability=+0.1", "probability=%2B0.1", "a=b&probability=1e-1"] {
        assert_eq!(room.post(&format!("/realtime-api-config?{query}"), "").await.body["probability"], 0.1);
        room.post("/realtime-api-config?probability=0.5", "").await;
    }
}

#[actix_rt::test]
async fn what_is_no_share_is_refused_in_words_and_changes_nothing() {
    let room = ControlRoom::new().await;
    for query in [
        "",
        "Probability=0.7",
        "probability",
        "probability=",
        "probability=+",
        "probability=abc",
        "probability=1.5",
        "probability=1.0000001",
        "probability=-0.1",
        "probability=NaN",
        "probability=nan",
        "probability=inf",
        "probability=-inf",
        "probability=infinity",
        "probability=1e999",
        "probability=0,7",
        "probability=70%25",
        "probability=0x1",
        "probability=%FF",
        "probability=0.7&probability=0.7",
        "probability=0.7&probability=",
    ] {
        let refused = room.post(&format!("/realtime-api-config?{query}"), "").await;
        assert_eq!(refused.status, 422, "{query}");
        assert!(refused.detail().contains("`probability`"), "{refused:?}");
    }
    assert_eq!(room.probability().await, 0.5);
    assert_eq!(room.log().await.len(), 0);
}

#[actix_rt::test]
async fn a_change_is_in_the_audit_log_with_who_and_from_what_to_what() {
    let room = ControlRoom::new().await;
    room.post("/realtime-api-config?probability=0.8", "").await;
    let log = room.log().await;
    assert_eq!(log.len(), 1);
    assert_eq!(log[0]["who"], "operator at 127.0.0.1");
    assert_eq!(log[0]["before"]["realtime_probability"], 0.5);
    assert_eq!(log[0]["after"]["realtime_probability"], 0.8);
}

#[actix_rt::test]
async fn anyone_may_read_it_and_only_an_operator_may_set_it() {
    let room = ControlRoom::new().await;
    let read = room.ask_from("203.0.113.5:4711", TestRequest::get().uri("/realtime-api-config")).await;
    assert_eq!(read.status, 200);
    let set = TestRequest::post().uri("/realtime-api-config?probability=0.1");
    let refused = room.ask_from("203.0.113.5:4711", set).await;
    assert_eq!(refused.status, 403);
    assert!(refused.detail().contains("this machine"), "{refused:?}");
    assert_eq!(room.probability().await, 0.5);
}

#[actix_rt::test]
async fn what_cannot_be_saved_does_not_take_effect() {
    let room = ControlRoom::new().await;
    room.fail_to_save(true);
    let refused = room.post("/realtime-api-config?probability=0.8", "").await;
    assert_eq!((refused.status, refused.detail()), (503, "routing could not be saved: disk full"));
    assert_eq!(room.probability().await, 0.5);
    room.fail_to_save(false);
    assert_eq!(room.post("/realtime-api-config?probability=0.8", "").await.status, 200);
}
