use std::sync::Arc;

use tandem_actors::call::turns::{Answer, Utterance};
use tandem_wire::signature;

use super::testing::*;
use super::*;

const RING: &str = "CallSid=CA1&From=%2B12065550188&To=%2B14155550142&Caller=&StirVerstat=x";

fn sign(path: &str, body: &str) -> String {
    let signature = signature::sign(TOKEN, &format!("{PUBLIC_URL}{path}"), body.as_bytes());
    format!("x-twilio-signature: {signature}\r\n")
}

#[actix_rt::test]
async fn a_ringing_call_is_connected_to_our_media_socket_with_its_ticket() {
    let house = House::open(TestDesk::default());
    let paths = [
        ("/twilio/voice", None),
        ("/twilio/voice/cascade", Some(Mode::Cascade)),
        ("/voice", Some(Mode::Traditional)),
        ("/voice-realtime", Some(Mode::Realtime)),
        ("/phone/incoming", Some(Mode::Traditional)),
        ("/phone/incoming-realtime", Some(Mode::Realtime)),
    ];
    for (path, _) in paths {
        let answer = house.post(path, "", RING).await;
        assert_eq!(answer.status, 200);
        assert!(answer.has("content-type: text/xml; charset=utf-8"), "{answer:?}");
        assert_eq!(
            answer.body,
            concat!(
                r#"<?xml version="1.0" encoding="UTF-8"?><Response>"#,
                r#"<Connect action="https://switch.example.net/twilio/resume">"#,
                r#"<Stream url="wss://switch.example.net/twilio/media/w0">"#,
                r#"<Parameter name="ticket" value="t1"/>"#,
                r#"<Parameter name="from" value="+12065550188"/>"#,
                r#"<Parameter name="to" value="+14155550142"/>"#,
                r#"</Stream></Connect>"#,
                r#"<Redirect>https://switch.example.net/twilio/resume</Redirect></Response>"#,
            )
        );
    }
    let ring = Ring {
        call_sid: "CA1".to_owned(),
        from_opt: Some("+12065550188".to_owned()),
        to_opt: Some("+14155550142".to_owned()),
    };
    let asked = paths.map(|(_, mode_opt)| (ring.clone(), Asked::Rings { mode_opt }));
    assert_eq!(*house.desk.asked.lock().unwrap(), asked, "the path names the mode, or the router picks it");
}

#[actix_rt::test]
async fn a_webhook_may_come_by_get_with_its_fields_in_the_query() {
    let house = House::guarded();
    let path = format!("/twilio/voice?leg=a&{RING}");
    let signed = sign(&path, "");
    let answer = house.ask(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n{signed}\r\n")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let unsigned = house.get(&path).await;
    assert_eq!(unsigned.status, 403);
}

#[actix_rt::test]
async fn a_caller_without_a_number_is_connected_all_the_same() {
    let house = House::open(TestDesk::default());
    let long = "x".repeat(490);
    let answer = house.post("/twilio/voice", "", &format!("CallSid=CA1&From={long}&To=")).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.body.contains("name=\"from\"") && !answer.body.contains("name=\"to\""), "{answer:?}");
}

#[actix_rt::test]
async fn a_webhook_signed_by_the_carrier_passes() {
    let house = House::guarded();
    let path = "/twilio/voice?tenant=acme";
    assert_eq!(house.post(path, &sign(path, RING), RING).await.status, 200);
    assert_eq!(house.post("/twilio/resume", &sign("/twilio/resume", RING), RING).await.status, 200);
    assert_eq!(house.gate.refused(), 0);
}

#[actix_rt::test]
async fn a_webhook_not_signed_by_the_carrier_is_refused_and_counted() {
    let house = House::guarded();
    let missing = house.post("/twilio/voice", "", RING).await;
    assert_eq!((missing.status, missing.detail().as_str()), (403, "X-Twilio-Signature is missing"));
    let changed = house.post("/twilio/voice", &sign("/twilio/voice", RING), "CallSid=CA2").await;
    assert_eq!(changed.status, 403);
    assert!(changed.detail().contains("server.public_url"), "the detail helps the operator");
    let elsewhere = house.post("/twilio/resume", &sign("/twilio/voice", RING), RING).await;
    assert_eq!(elsewhere.status, 403);
    let garbage = house.post("/twilio/voice", "x-twilio-signature: \u{fc}\r\n", RING).await;
    assert_eq!(garbage.status, 403);
    assert_eq!(*house.desk.asked.lock().unwrap(), []);
    assert!(house.get("/").await.body.contains(r#""signatures_refused":4"#));
}

#[actix_rt::test]
async fn a_webhook_without_its_call_is_refused() {
    let house = House::open(TestDesk::default());
    for body in ["", "From=%2B1", "CallSid=", "{\"CallSid\":\"CA1\"}"] {
        let answer = house.post("/twilio/voice", "", body).await;
        assert_eq!((answer.status, answer.detail().as_str()), (400, "the field CallSid is missing"));
    }
}

#[actix_rt::test]
async fn a_call_that_cannot_be_taken_hears_busy_and_is_not_billed() {
    for refusal in [Refusal::Full, Refusal::Draining] {
        let house = House::open(TestDesk { reply: Err(refusal), ..TestDesk::default() });
        let answer = house.post("/twilio/voice", "", RING).await;
        assert_eq!(answer.status, 200);
        assert!(answer.body.ends_with(r#"<Response><Reject reason="busy"/></Response>"#), "{answer:?}");
    }
}

#[actix_rt::test]
async fn a_house_that_does_not_answer_leaves_the_call_to_the_fallback_url() {
    let house = House::open(TestDesk { reply: Err(Refusal::Broken), ..TestDesk::default() });
    let answer = house.post("/twilio/voice", "", RING).await;
    assert_eq!((answer.status, answer.detail().as_str()), (503, "the switchboard does not answer"));
}

#[actix_rt::test]
async fn a_ticket_that_the_carrier_would_not_carry_is_our_fault() {
    let reply = Ok(Reply::Stream { ticket: "t".repeat(600), worker_opt: None });
    let house = House::open(TestDesk { reply, ..TestDesk::default() });
    let answer = house.post("/twilio/voice", "", RING).await;
    assert_eq!(answer.status, 500);
    assert!(answer.detail().contains("stream parameter ticket"), "{answer:?}");
}

#[actix_rt::test]
async fn after_the_stream_the_carrier_learns_what_comes_next() {
    let stream = Reply::Stream { ticket: "t2".to_owned(), worker_opt: None };
    let turn = |answer| Reply::Turn { answer, manner: Arc::default() };
    let say = Utterance::of("Seven & eight.");
    let dial = Answer::Dial { say: Utterance::default(), number: "+14155550100".to_owned() };
    for (reply, expected) in [
        (
            Ok(stream),
            "<Stream url=\"wss://switch.example.net/twilio/media\"><Parameter name=\"ticket\" value=\"t2\"/>",
        ),
        (Ok(turn(Answer::Listen { say })), "<Say language=\"en-US\">Seven &amp; eight.</Say></Gather>"),
        (Ok(turn(dial)), "<Number>+14155550100</Number></Dial></Response>"),
        (Ok(Reply::HangUp), "<Response><Hangup/></Response>"),
        (Err(Refusal::Draining), "<Response><Say>We are sorry"),
    ] {
        let house = House::open(TestDesk { reply, ..TestDesk::default() });
        let answer = house.post("/twilio/resume", "i-twilio-idempotency-token: t7\r\n", RING).await;
        assert_eq!(answer.status, 200);
        assert_eq!(*house.desk.tokens.lock().unwrap(), ["t7"]);
        assert!(answer.body.contains(expected), "{answer:?}");
        assert_eq!(house.desk.asked.lock().unwrap()[0].1, Asked::StreamOver);
    }
}

#[actix_rt::test]
async fn a_call_is_over_when_the_carrier_says_so_in_whatever_order() {
    let house = House::open(TestDesk::default());
    for (path, fields) in [
        ("/twilio/status", "CallStatus=in-progress"),
        ("/twilio/status", "CallStatus=completed&CallDuration=12"),
        ("/twilio/status", "CallStatus=ringing"),
        ("/twilio/status", ""),
        ("/twilio/stream-status", "StreamEvent=stream-error&StreamError=31924"),
        ("/twilio/recording", "RecordingStatus=completed"),
    ] {
        let answer = house.post(path, "", &format!("CallSid=CA1&{fields}")).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{path} {fields}");
    }
    assert_eq!(*house.desk.over.lock().unwrap(), ["CA1"]);
    let late = house.post("/twilio/resume", "", "CallSid=CA1&CallStatus=completed").await;
    assert!(late.body.ends_with("<Response/>"), "nothing goes on without a caller: {late:?}");
    assert_eq!(*house.desk.asked.lock().unwrap(), []);
    assert_eq!(
        House::guarded().post("/twilio/status", "", "CallSid=CA1&CallStatus=completed").await.status,
        403
    );
}

#[actix_rt::test]
async fn a_body_over_the_limit_is_refused_in_words_not_by_a_reset() {
    let house = House::open(TestDesk::default());
    let large = "x".repeat(1 << 20);
    let answer = house.post("/twilio/voice", "", &large).await;
    assert_eq!((answer.status, answer.detail().as_str()), (413, "the body is larger than 64 KiB"));
}

#[actix_rt::test]
async fn a_body_that_breaks_its_own_framing_is_refused() {
    let house = House::open(TestDesk::default());
    let broken = "POST /twilio/voice HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n";
    assert_eq!(house.ask(broken).await.status, 400);
}

#[actix_rt::test]
async fn a_living_process_says_so_even_when_it_wants_no_more_calls() {
    let unready = vec!["draining".to_owned(), "1000 of 1000 calls are live".to_owned()];
    let house =
        House::open(TestDesk { standing: Standing { calls_active: 1000, unready }, ..TestDesk::default() });
    assert_eq!(house.get("/health/live").await.body, r#"{"status":"live"}"#);
    assert_eq!(house.get("/health").await.status, 200);
    let ready = house.get("/health/ready").await;
    assert_eq!((ready.status, ready.detail().as_str()), (503, "draining; 1000 of 1000 calls are live"));
    let house = House::open(TestDesk::default());
    assert_eq!(house.get("/health/ready").await.body, r#"{"status":"ready"}"#);
}

#[actix_rt::test]
async fn the_root_tells_who_answers_and_how_busy() {
    let house = House::open(TestDesk::default());
    let status: serde_json::Value = serde_json::from_str(&house.get("/").await.body).unwrap();
    assert_eq!(status["status"], "tandem is running");
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["calls_active"], 3);
}

#[actix_rt::test]
async fn head_is_answered_without_a_body() {
    let house = House::open(TestDesk::default());
    for path in ["/", "/health", "/health/live", "/health/ready"] {
        let mut client = house.connect().await;
        let head = format!("HEAD {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        client.send(head.as_bytes()).await;
        let answer = client.rest().await;
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(b"\r\n\r\n"), "{path}");
    }
}

#[actix_rt::test]
async fn paths_and_methods_that_are_not_served_are_named_as_problems() {
    let house = House::open(TestDesk::default());
    assert_eq!(house.get("/nowhere").await.status, 404);
    assert_eq!(house.get("/nowhere").await.detail(), "nothing is served at this path");
    for (method, path, allow) in [
        ("PUT", "/twilio/voice", "allow: get, post"),
        ("PUT", "/twilio/resume", "allow: get, post"),
        ("POST", "/health", "allow: get, head"),
        ("DELETE", "/health/ready", "allow: get, head"),
        ("POST", "/", "allow: get, head"),
    ] {
        let answer = house.ask(&format!("{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert!(answer.has(allow), "{answer:?}");
        answer.detail();
    }
}

#[actix_rt::test]
async fn a_media_path_asks_for_an_upgrade() {
    let house = House::open(TestDesk::default());
    for path in ["/twilio/media", "/media-stream/7Qm2", "/phone/media-stream/"] {
        for answer in [house.get(path).await, house.post(path, "", "x").await] {
            assert_eq!((answer.status, answer.detail().as_str()), (426, "this path speaks WebSocket only"));
            assert!(
                answer.has("upgrade: websocket") && answer.has("sec-websocket-version: 13"),
                "{answer:?}"
            );
        }
    }
}
