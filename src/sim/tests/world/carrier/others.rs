//! Somebody else on the line: dialled, waited for in a queue, or to be left a message.

use super::*;

fn callee(rings_ms: u64, then: Answering) -> Callee {
    Callee { rings: Duration::from_millis(rings_ms), then }
}

fn talks(milliseconds: u64) -> Answering {
    Answering::Talks { words: "Desk.".to_owned(), length: Duration::from_millis(milliseconds) }
}

async fn dialled(attributes: &str, callee: Callee, keys: &[(u64, char)]) -> (CallRecord, Switch) {
    let document = format!("<Response><Dial {attributes}>+14155550142</Dial><Say>Next.</Say></Response>");
    let after = "<Response><Say>After.</Say></Response>";
    let switch = Switch::with_documents(&[("/voice", &document), ("/after", after)]).await;
    let digits = keys.iter().map(|(at, key)| (Duration::from_millis(*at), *key)).collect();
    let record = call(CallPlan { callee, digits, ..patient(&switch) }).await.unwrap();
    (record, switch)
}

#[tokio::test]
async fn whoever_answers_talks_and_the_document_goes_on() {
    let (record, _) = dialled("", callee(500, talks(1_000)), &[]).await;
    assert_eq!(verbs(&record), [("Dial", "+14155550142"), ("Say", "Next.")]);
    let dial = &record.dials[0];
    assert_eq!((dial.to.as_str(), dial.status), ("+14155550142", Some("completed")));
    assert!(dial.talked >= Duration::from_millis(900), "{dial:?}");
    assert!(record.heard[..4_000].iter().any(|&sample| sample != 0), "it rings");
    assert!(record.heard[4_000..5_600].iter().any(|&sample| sample != 0), "he speaks");
    assert!(record.heard.len() > 12_000);
    let order = [
        at(&record, |event| matches!(event, CarrierEvent::Ringing { .. })),
        at(&record, |event| matches!(event, CarrierEvent::Bridged { .. })),
        at(&record, |event| *event == CarrierEvent::DialEnded { status: "completed" }),
    ];
    assert!(order.is_sorted() && order[0].is_some());
}

#[tokio::test]
async fn the_action_is_told_how_the_dialling_ended() {
    for (attributes, callee, status, bridged) in [
        ("", callee(100, talks(1_100)), "completed", "true"),
        ("timeLimit='1'", callee(100, talks(60_000)), "completed", "true"),
        ("", callee(100, Answering::Busy), "busy", "false"),
        ("", callee(100, Answering::Failed), "failed", "false"),
        ("timeout='1'", callee(100, Answering::NoAnswer), "no-answer", "false"),
        ("timeout='1'", callee(5_000, talks(1_000)), "no-answer", "false"),
    ] {
        let (record, switch) = dialled(&format!("action='after' {attributes}"), callee, &[]).await;
        let posted = &switch.hooks_of("/after")[0];
        assert_eq!(posted.field("DialCallStatus"), Some(status), "{attributes}");
        assert_eq!(posted.field("DialBridged"), Some(bridged), "{attributes}");
        assert_eq!(posted.field("DialCallSid").map(|sid| sid.starts_with("CA")), Some(true));
        let duration = (bridged == "true").then_some("1");
        assert_eq!(posted.field("DialCallDuration"), duration, "{attributes}");
        assert_eq!(verbs(&record).last(), Some(&("Say", "After.")), "and what follows it is not reached");
    }
}

#[tokio::test]
async fn a_star_ends_the_talk_where_it_may() {
    let star = [(700, '*')];
    let (record, _) = dialled("hangupOnStar='true'", callee(100, talks(60_000)), &star).await;
    assert_eq!((record.dials[0].status, verbs(&record).len()), (Some("completed"), 2));
    let (record, _) = dialled("", callee(100, talks(1_500)), &star).await;
    assert!(record.dials[0].talked >= Duration::from_millis(1_400));
}

#[tokio::test]
async fn a_caller_can_hang_up_while_it_rings() {
    let document = "<Response><Dial>+1</Dial></Response>";
    let switch = Switch::with_documents(&[("/voice", document)]).await;
    let hang_up = HangUp::At(Duration::from_millis(300));
    let record = call(CallPlan { hang_up, ..patient(&switch) }).await.unwrap();
    assert_eq!((record.end, record.dials[0].status), (CallEnd::CallerHungUp, None));
}

#[tokio::test]
async fn in_a_queue_there_is_music_until_somebody_comes() {
    let document = "<Response><Enqueue action='after'>desk</Enqueue></Response>";
    let switch = Switch::with_documents(&[("/voice", document), ("/after", "<Response/>")]).await;
    let plan = CallPlan { callee: callee(1_000, talks(200)), ..patient(&switch) };
    let record = call(plan.clone()).await.unwrap();
    let posted = &switch.hooks_of("/after")[0];
    assert_eq!((posted.field("QueueResult"), posted.field("QueueTime")), (Some("bridged"), Some("1")));
    assert_eq!(record.silences(Duration::from_millis(500)), []);
    let alone = CallPlan { callee: callee(100, Answering::Busy), max: Duration::from_secs(1), ..plan };
    assert_eq!(call(alone).await.unwrap().end, CallEnd::TooLong, "nobody comes, and nobody says so");
}

#[tokio::test]
async fn a_message_is_recorded_until_silence_a_key_or_its_longest() {
    let said = noise(&[375, 1_125]);
    for (attributes, keys, duration, key) in [
        ("timeout='1'", vec![], "2", None),
        ("maxLength='1' playBeep='false'", vec![], "1", None),
        ("finishOnKey='5#'", vec![(900, '4'), (1_700, '5')], "1", Some("5")),
    ] {
        let document = format!("<Response><Record action='after' {attributes}/><Say>never</Say></Response>");
        let switch = Switch::with_documents(&[("/voice", &document), ("/after", "<Response/>")]).await;
        let digits = keys.iter().map(|(at, key)| (Duration::from_millis(*at), *key)).collect();
        let record = call(CallPlan { caller: said.clone(), digits, ..patient(&switch) }).await.unwrap();
        let posted = &switch.hooks_of("/after")[0];
        assert_eq!(posted.field("RecordingDuration"), Some(duration), "{attributes}");
        assert_eq!(posted.field("Digits"), key, "{attributes}");
        assert!(posted.field("RecordingUrl").unwrap().contains("Recordings%2FRE"));
        assert_eq!((verbs(&record).len(), record.end), (1, CallEnd::DocumentEnded));
    }
}
