//! The simulated carrier as a switch on a socket meets it: webhooks, documents, streams, what the caller hears, and
//! every fault that can be ordered.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod switch;

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};
use tandem_media::g711;
use tandem_sim::{
    carrier::{
        CallEnd, CallError, CallPlan, CallRecord, CallerAudio, CarrierEvent, CarrierFault, HangUp, SocketEnd,
        place_call,
    },
    speech,
};
use tokio::{task::JoinHandle, time::Instant};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use self::switch::{Media, Switch, payload};

/// A caller who says nothing for so long, and then hangs up.
fn quiet(switch: &Switch, milliseconds: u64) -> CallPlan {
    CallPlan {
        hang_up: HangUp::At(Duration::from_millis(milliseconds)),
        say_per_character: Duration::ZERO,
        ..CallPlan::new(switch.voice_url(), CallerAudio::silence(Duration::ZERO))
    }
}

fn with_faults(plan: CallPlan, faults: &[&str]) -> CallPlan {
    CallPlan { faults: faults.iter().map(|spec| spec.parse().unwrap()).collect(), ..plan }
}

fn call(plan: CallPlan) -> JoinHandle<CallRecord> {
    tokio::spawn(async move { place_call(plan, |_| {}).await.unwrap() })
}

/// Calls a switch that has documents only.
async fn call_documents(documents: &[(&'static str, &str)]) -> (CallRecord, Switch) {
    let switch = Switch::with_documents(documents).await;
    let record = call(quiet(&switch, 300)).await.unwrap();
    (record, switch)
}

fn verbs(record: &CallRecord) -> Vec<(&str, &str)> {
    let verb = |(_, event): &'_ (Duration, CarrierEvent)| matches!(event, CarrierEvent::Verb { .. });
    record
        .events
        .iter()
        .filter(|event| verb(event))
        .map(|(_, event)| match event {
            CarrierEvent::Verb { name, text } => (*name, text.as_str()),
            _ => unreachable!("filtered"),
        })
        .collect()
}

fn heard_as_mu_law(record: &CallRecord) -> Vec<u8> {
    record.heard.iter().map(|&sample| g711::ulaw_encode(sample)).collect()
}

/// Where in what was heard a piece of audio begins.
fn position(record: &CallRecord, audio: &[u8]) -> Option<usize> {
    heard_as_mu_law(record).windows(audio.len()).position(|window| window == audio)
}

fn at(record: &CallRecord, wanted: impl Fn(&CarrierEvent) -> bool) -> Option<Duration> {
    record.events.iter().find(|(_, event)| wanted(event)).map(|(at, _)| *at)
}

// -------------------------------------------------------------------------------------------------------------- audio

#[tokio::test]
async fn the_caller_hears_exactly_what_the_switch_sent_and_marks_come_when_it_was_heard() {
    let mut switch = Switch::with_stream("").await;
    let running = call(quiet(&switch, 2_800));
    let mut media = switch.media().await;
    media.start().await;
    let sentence = speech::sentence("breakfast").unwrap().audio;
    let (first, second) = sentence.split_at(sentence.len() / 2);
    media.play(first).await;
    media.mark("half").await;
    media.play(second).await;
    media.mark("whole").await;
    let rest = media.rest().await;
    let record = running.await.unwrap();

    let from = position(&record, sentence).expect("the sentence, whole and without a gap");
    assert_eq!(from % 160, 0, "audio begins with a tick");
    assert!(
        record.heard[..from].iter().chain(&record.heard[from + sentence.len()..]).all(|&sample| sample == 0)
    );
    let echoed: Vec<&str> = rest.iter().filter_map(|event| event["mark"]["name"].as_str()).collect();
    assert_eq!(echoed, ["half", "whole"]);
    let started = record.stream_started.unwrap();
    for ((at, name), end) in record.marks().zip([from + first.len(), from + sentence.len()]) {
        // A mark comes with the tick after its last byte: never early, however busy the machine is.
        let heard_at = started + Duration::from_millis(end.div_ceil(160) as u64 * 20);
        assert!(at >= heard_at, "{name} at {at:?}, heard at {heard_at:?}");
    }
    assert_eq!(
        (record.received_ms, record.played_ms),
        (sentence.len() as u64 / 8, sentence.len() as u64 / 8)
    );
    assert_eq!(record.warnings, []);
}

#[tokio::test]
async fn the_switch_hears_exactly_what_the_caller_said_in_frames_of_20_ms() {
    let mut switch = Switch::with_stream("").await;
    let said: CallerAudio =
        CallerAudio::demo().samples()[4_000 * 8..4_000 * 8 + 8_100].iter().copied().collect();
    let plan = CallPlan {
        hang_up: HangUp::AfterAudio { linger: Duration::from_millis(200) },
        ..CallPlan::new(switch.voice_url(), said.clone())
    };
    let began = Instant::now();
    let running = call(plan);
    let mut media = switch.media().await;
    assert_eq!(
        media.event().await.unwrap(),
        json!({"event": "connected", "protocol": "Call", "version": "1.0.0"})
    );
    let start = media.start().await;
    let frames: Vec<Value> =
        media.rest().await.into_iter().filter(|event| event["event"] == "media").collect();
    let record = running.await.unwrap();

    assert!(began.elapsed() >= said.duration(), "in real time");
    assert_eq!(start["sequenceNumber"], "1");
    assert_eq!(start["start"]["tracks"], json!(["inbound"]));
    assert_eq!(
        start["start"]["mediaFormat"],
        json!({"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1})
    );
    assert_eq!(start["start"]["callSid"], json!(record.call_sid));
    for (n, frame) in frames.iter().enumerate() {
        assert_eq!(frame["sequenceNumber"], json!((n + 2).to_string()));
        assert_eq!(frame["media"]["chunk"], json!((n + 1).to_string()));
        assert_eq!(frame["media"]["timestamp"], json!((n * 20).to_string()));
        assert_eq!(frame["media"]["track"], "inbound");
        assert_eq!(payload(frame).len(), 160);
    }
    let heard: Vec<u8> = frames.iter().flat_map(payload).collect();
    let expected: Vec<u8> = said.samples().iter().map(|&sample| g711::ulaw_encode(sample)).collect();
    assert_eq!(heard[..expected.len()], expected);
    assert!(heard[expected.len()..].iter().all(|&byte| byte == 0xFF), "then silence");
    assert_eq!(record.said[..8_100], *said.samples());
    assert_eq!(record.said.len(), record.heard.len());
    assert_eq!(record.end, CallEnd::CallerHungUp);
}

#[tokio::test]
async fn clear_stops_what_is_heard_and_returns_every_mark() {
    let mut switch = Switch::with_stream("").await;
    let running = call(quiet(&switch, 2_000));
    let mut media = switch.media().await;
    media.start().await;
    let long = speech::sentence("old-town").unwrap().audio;
    media.play(long).await;
    for name in ["a", "b"] {
        media.mark(name).await;
    }
    media.mark("c").await;
    for _ in 0..25 {
        media.until("media").await; // half a second of the caller's
    }
    media.clear().await;
    let rest = media.rest().await;
    let record = running.await.unwrap();

    let echoed: Vec<&str> = rest.iter().filter_map(|event| event["mark"]["name"].as_str()).collect();
    assert_eq!(echoed, ["a", "b", "c"]);
    let clear = record.cleared[0];
    assert_eq!(clear.played_ms_total + clear.dropped_ms, long.len() as u64 / 8);
    assert_eq!(record.played_ms, clear.played_ms_total, "nothing plays after it");
    let played = &long[..usize::try_from(clear.played_ms_total).unwrap() * 8];
    let from = position(&record, played).expect("what was played, without a gap");
    assert!(record.heard[from + played.len()..].iter().all(|&sample| sample == 0));
}

#[tokio::test]
async fn an_empty_line_returns_a_mark_at_once() {
    let mut switch = Switch::with_stream("").await;
    let running = call(quiet(&switch, 300));
    let mut media = switch.media().await;
    media.start().await;
    media.mark("probe").await;
    assert_eq!(media.until("mark").await["mark"]["name"], "probe");
    media.rest().await;
    running.await.unwrap();
}

#[tokio::test]
async fn messages_the_carrier_does_not_know_are_lost_and_warned_of() {
    let mut switch = Switch::with_stream("").await;
    let running = call(quiet(&switch, 400));
    let mut media = switch.media().await;
    media.start().await;
    media.send(Message::binary(Bytes::from_static(&[0; 160]))).await;
    media.send(Message::text("keepalive")).await;
    let other = media.stream_sid.replace("MZ", "MX");
    let right = std::mem::replace(&mut media.stream_sid, other);
    media.play(&[0x80; 800]).await;
    media.stream_sid = right;
    media.rest().await;
    let record = running.await.unwrap();
    let codes: Vec<u32> = record.warnings.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, [31_950, 31_951, 31_951]);
    assert_eq!(record.received_ms, 0);
}

#[tokio::test]
async fn keys_are_sent_when_they_are_pressed() {
    let mut switch = Switch::with_stream("").await;
    let digits = vec![(Duration::from_millis(100), '4'), (Duration::from_millis(200), '#')];
    let running = call(CallPlan { digits, ..quiet(&switch, 400) });
    let mut media = switch.media().await;
    media.start().await;
    let rest = media.rest().await;
    let keys: Vec<(usize, &Value)> =
        rest.iter().enumerate().filter(|(_, event)| event["event"] == "dtmf").collect();
    assert_eq!(
        keys.iter().map(|(_, key)| key["dtmf"].clone()).collect::<Vec<_>>(),
        [json!({"track": "inbound_track", "digit": "4"}), json!({"track": "inbound_track", "digit": "#"}),]
    );
    assert_eq!([keys[0].0, keys[1].0], [4, 10], "between the frames of their time");
    let record = running.await.unwrap();
    assert!(at(&record, |event| *event == CarrierEvent::DtmfSent { digit: '#' }).is_some());
}

#[tokio::test]
async fn a_bad_network_loses_and_bunches_frames_but_never_their_order() {
    let mut switch = Switch::with_stream("").await;
    let network = "jitter:30,gap:500/100,burst:400/100,seed:5".parse().unwrap();
    let running = call(CallPlan { network, ..quiet(&switch, 1_100) });
    let mut media = switch.media().await;
    media.start().await;
    let rest = media.rest().await;
    running.await.unwrap();
    let times: Vec<u64> = rest
        .iter()
        .filter(|event| event["event"] == "media")
        .map(|event| event["media"]["timestamp"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(times.is_sorted());
    let missing: Vec<u64> = (0..50).map(|n| n * 20).filter(|time| !times.contains(time)).collect();
    assert_eq!(missing, [380, 400, 420, 440, 460, 880, 900, 920, 940, 960]);
}

// ------------------------------------------------------------------------------------------------------------ endings

#[tokio::test]
async fn a_caller_who_hangs_up_says_stop_and_closes() {
    let mut switch = Switch::with_stream("<Say>never said</Say>").await;
    let running = call(quiet(&switch, 200));
    let mut media = switch.media().await;
    media.start().await;
    let rest = media.rest().await;
    let record = running.await.unwrap();
    let stop = rest.last().unwrap();
    assert_eq!((&stop["event"], &stop["stop"]["callSid"]), (&json!("stop"), &json!(record.call_sid)));
    assert_eq!(record.end, CallEnd::CallerHungUp);
    assert_eq!(verbs(&record).len(), 1);
}

#[tokio::test]
async fn when_the_switch_closes_the_stream_the_action_decides() {
    let mut switch = Switch::with_documents(&[
        (
            "/voice",
            "<Response><Connect action='/resume?n=1'><Stream url='{sockets}/media'>
             <Parameter name='ticket' value='k3'/></Stream></Connect><Say>dead code</Say></Response>",
        ),
        ("/resume", "<Response><Say>Good bye.</Say><Hangup/></Response>"),
    ])
    .await;
    let running = call(quiet(&switch, 60_000));
    let mut media = switch.media().await;
    assert_eq!(media.start().await["start"]["customParameters"], json!({"ticket": "k3"}));
    media.close().await;
    let record = running.await.unwrap();
    let texts: Vec<&str> = verbs(&record).into_iter().map(|(name, _)| name).collect();
    assert_eq!(texts, ["Connect Stream", "Say", "Hangup"]);
    assert_eq!(record.end, CallEnd::HungUp);
    assert!(record.warning_codes().contains(&31_921));
    let resumed = &switch.hooks_of("/resume")[0];
    assert_eq!(resumed.path, "/resume?n=1");
    assert_eq!(resumed.field("CallStatus"), Some("in-progress"));
    assert_eq!(resumed.field("CallSid"), Some(record.call_sid.as_str()));
}

#[tokio::test]
async fn without_an_action_the_next_verbs_run() {
    let mut switch = Switch::with_stream("<Say>We are sorry.</Say>").await;
    let running = call(quiet(&switch, 60_000));
    let mut media = switch.media().await;
    media.start().await;
    media.close().await;
    let record = running.await.unwrap();
    assert_eq!(verbs(&record)[1], ("Say", "We are sorry."));
    assert_eq!(record.end, CallEnd::DocumentEnded);
}

#[tokio::test]
async fn a_socket_that_just_vanishes_is_not_the_end_of_the_call() {
    let mut switch = Switch::with_stream("<Say>Still here.</Say>").await;
    let running = call(quiet(&switch, 60_000));
    let mut media = switch.media().await;
    media.start().await;
    drop(media);
    let record = running.await.unwrap();
    assert_eq!(verbs(&record)[1], ("Say", "Still here."));
    assert!(!record.warning_codes().contains(&31_921), "{:?}", record.warnings);
}

#[tokio::test]
async fn a_second_stream_goes_on_with_the_same_caller_on_the_same_clock() {
    let stream = "<Response><Connect action='/resume'><Stream url='{sockets}/media'/></Connect></Response>";
    let mut switch = Switch::with_documents(&[("/voice", stream), ("/resume", stream)]).await;
    let caller: CallerAudio = (0..16_000).map(|n| if n % 160 == 0 { 20_000 } else { 0 }).collect();
    let plan = CallPlan { caller: caller.clone(), ..quiet(&switch, 1_200) };
    let running = call(plan);
    let mut first = switch.media().await;
    first.start().await;
    first.play(&[0x80; 160]).await;
    first.mark("m").await;
    first.until("mark").await;
    first.close().await;
    let mut second = switch.media().await;
    second.start().await;
    second.play(&[0x00; 160]).await;
    let frames: Vec<Value> =
        second.rest().await.into_iter().filter(|event| event["event"] == "media").collect();
    let record = running.await.unwrap();
    assert_eq!(record.stream_sids.len(), 2);
    assert_eq!((&frames[0]["media"]["timestamp"], &frames[0]["media"]["chunk"]), (&json!("0"), &json!("1")));
    assert!(
        frames.iter().take(20).all(|frame| payload(frame)[0] == g711::ulaw_encode(20_000)),
        "whole ticks of the caller"
    );
    let (one, two) = (position(&record, &[0x80; 160]).unwrap(), position(&record, &[0x00; 160]).unwrap());
    assert!(one < two && two % 160 == 0);
    assert_eq!(record.end, CallEnd::CallerHungUp);
}

#[tokio::test]
async fn a_call_lasts_no_longer_than_it_may() {
    let mut switch = Switch::with_stream("").await;
    let plan = CallPlan { hang_up: HangUp::Never, max: Duration::from_millis(300), ..quiet(&switch, 0) };
    let running = call(plan);
    let mut media = switch.media().await;
    media.start().await;
    assert_eq!(media.rest().await.last().unwrap()["event"], "stop");
    assert_eq!(running.await.unwrap().end, CallEnd::TooLong);
}

#[tokio::test]
async fn a_dropped_call_cuts_everything_off() {
    let mut switch = Switch::with_stream("").await;
    let running = call(quiet(&switch, 60_000));
    let mut media = switch.media().await;
    media.start().await;
    running.abort();
    assert!(media.rest().await.iter().all(|event| event["event"] == "media"));
}

// ----------------------------------------------------------------------------------------------------------- webhooks

#[tokio::test]
async fn the_webhook_carries_every_field_and_is_signed() {
    let mut switch = Switch::with_stream("").await;
    let plan = CallPlan {
        auth_token: Some("secret".to_owned()),
        from: "+1 (206) 555".to_owned(),
        ..quiet(&switch, 100)
    };
    let running = call(plan.clone());
    let mut media = switch.media().await;
    media.rest().await;
    let record = running.await.unwrap();
    let hook = &switch.hooks()[0];
    assert_eq!((hook.method.as_str(), hook.path.as_str()), ("POST", "/voice"));
    for (name, value) in [
        ("AccountSid", plan.account_sid.as_str()),
        ("CallSid", &record.call_sid),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
        ("ApiVersion", "2010-04-01"),
        ("From", "%2B1+%28206%29+555"),
        ("Caller", "%2B1+%28206%29+555"),
        ("To", "%2B14155550142"),
        ("Called", "%2B14155550142"),
        ("FromCity", ""),
        ("ToCountry", "US"),
    ] {
        assert_eq!(hook.field(name), Some(value), "{name}");
    }
    assert_eq!(hook.headers["x-twilio-signature"].len(), 28, "base64 of 20 bytes");
    assert_eq!(hook.headers["i-twilio-idempotency-token"].len(), 32);
    assert_eq!(media.headers["x-twilio-signature"].len(), 28);
    assert_eq!(media.headers["user-agent"], "Twilio.TmeWs/1.0");
    assert!(!media.headers.contains_key("sec-websocket-extensions"));
    assert!(record.call_sid.starts_with("CA") && record.call_sid.len() == 34);
}

#[tokio::test]
async fn no_two_calls_have_the_same_id() {
    let switch = Switch::with_documents(&[("/voice", "<Response/>")]).await;
    let mut sids = std::collections::HashSet::new();
    for _ in 0..20 {
        let record = call(quiet(&switch, 100)).await.unwrap();
        assert_eq!(record.end, CallEnd::DocumentEnded);
        sids.insert(record.call_sid);
    }
    assert_eq!(sids.len(), 20);
}

#[tokio::test]
async fn documents_are_followed_wherever_they_lead() {
    let (record, switch) = call_documents(&[
        ("/voice", "<Response><Pause length='0'/><Redirect method='GET'>deeper/two?x=1</Redirect><Say>no</Say></Response>"),
        (
            "/deeper/two",
            "<Response><Gather timeout='0' action='never'><Say>Well?</Say></Gather>
             <Gather timeout='0' action='three' actionOnEmptyResult='true'/></Response>",
        ),
        ("/deeper/three", "<Response><Play>/tone.wav</Play><Shout/><Hangup/></Response>"),
    ])
    .await;
    assert_eq!(
        verbs(&record),
        [
            ("Pause", "0 s"),
            ("Redirect", "deeper/two?x=1"),
            ("Gather", "never"),
            ("Say", "Well?"),
            ("Gather", "three"),
            ("Play", "/tone.wav"),
            ("Hangup", ""),
        ]
    );
    let by_get = &switch.hooks_of("/deeper/two")[0];
    assert_eq!((by_get.method.as_str(), by_get.body.as_str()), ("GET", ""));
    assert!(by_get.path.starts_with("/deeper/two?x=1&AccountSid=AC"), "{}", by_get.path);
    assert_eq!(switch.hooks_of("/deeper/three")[0].method, "POST");
    assert_eq!(
        (record.end.clone(), record.warning_codes().into_iter().collect::<Vec<_>>()),
        (CallEnd::HungUp, vec![12_200])
    );
}

#[tokio::test]
async fn a_call_can_be_rejected() {
    let (record, _) = call_documents(&[("/voice", "<Response><Reject reason='busy'/></Response>")]).await;
    assert_eq!(record.end, CallEnd::Rejected { reason: "busy".to_owned() });
    let (record, _) = call_documents(&[("/voice", "<Response><Say>Hi</Say><Reject/></Response>")]).await;
    assert_eq!((record.end, record.warnings[0].0), (CallEnd::DocumentEnded, 12_200));
}

#[tokio::test]
async fn an_answer_that_is_none_is_an_application_error() {
    let answers = HashMap::from([
        ("/500", (500, "text/xml", "<Response/>".to_owned())),
        ("/json", (200, "application/json", "{}".to_owned())),
        ("/torn", (200, "text/xml", "<Response><Say>".to_owned())),
        ("/other", (200, "text/html; charset=utf-8", "<html></html>".to_owned())),
        ("/circle", (200, "text/xml", "<Response><Redirect/></Response>".to_owned())),
        ("/elsewhere", (302, "text/xml", "/elsewhere".to_owned())),
        ("/nowhere", (200, "text/xml", "<Response><Redirect>http://[</Redirect></Response>".to_owned())),
    ]);
    let switch = Switch::start(answers).await;
    for (path, code, words) in [
        ("/500", 11_200, "status 500"),
        ("/missing", 11_200, "status 404"),
        ("/json", 12_300, "application/json"),
        ("/torn", 12_100, "<Say> is never closed"),
        ("/other", 12_100, "root element is <html>"),
        ("/circle", 11_215, "more than 200 documents"),
        ("/elsewhere", 11_215, "redirects more than 10 times"),
        ("/nowhere", 11_100, "is not a URL"),
    ] {
        let plan = CallPlan { voice_url: format!("http://{}{path}", switch.addr), ..quiet(&switch, 100) };
        match call(plan).await.unwrap().end {
            CallEnd::ApplicationError { code: found, text } => {
                assert_eq!(found, code, "{path}: {text}");
                assert!(text.contains(words), "{path}: {text}");
            }
            other => panic!("{path}: {other}"),
        }
    }
}

#[tokio::test]
async fn a_switch_that_is_not_there_is_an_application_error_too() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/voice", free.local_addr().unwrap());
    drop(free);
    let record = place_call(CallPlan::new(url, CallerAudio::demo()), |_| {}).await.unwrap();
    assert!(matches!(record.end, CallEnd::ApplicationError { code: 11_205, .. }), "{}", record.end);
    assert!(record.heard.is_empty() && record.stream_started.is_none());
}

#[tokio::test]
async fn a_plan_that_cannot_work_is_refused_in_words() {
    let plan = |url: &str| CallPlan::new(url, CallerAudio::silence(Duration::ZERO));
    for (plan, words) in [
        (plan("somewhere"), "\"somewhere\" is not a URL"),
        (plan("ftp://127.0.0.1/voice"), "scheme ftp is not http"),
        (plan("https://switch.example.net/voice"), "needs TLS"),
        (
            CallPlan { status_url: Some("there".to_owned()), ..plan("http://127.0.0.1:1/") },
            "\"there\" is not a URL",
        ),
    ] {
        let error = place_call(plan, |_| {}).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let switch = Switch::with_documents(&[(
        "/voice",
        "<Response><Connect><Stream url='wss://switch.example.net/media'/></Connect></Response>",
    )])
    .await;
    let error = place_call(quiet(&switch, 100), |_| {}).await.unwrap_err();
    assert!(matches!(&error, CallError::Secure(url) if url == "wss://switch.example.net/media"), "{error}");
}

#[tokio::test]
async fn a_stream_that_cannot_be_opened_lets_the_document_go_on() {
    let document = |stream: &str| {
        format!("<Response><Connect><Stream {stream}/></Connect><Say>Plan B.</Say></Response>")
    };
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = format!("url='ws://{}/'", nobody.local_addr().unwrap());
    drop(nobody);
    for (stream, code) in [
        ("url='{sockets}/voice'", 31_920),
        (refused.as_str(), 31_902),
        ("url='ws://192.0.2.1/media'", 31_922),
        ("url='http://127.0.0.1/media'", 31_922),
        ("url='/media'", 31_923),
        ("url=''", 31_923),
        ("url='{sockets}/media' track='both_tracks'", 31_941),
    ] {
        let (record, _) = call_documents(&[("/voice", &document(stream))]).await;
        assert_eq!(record.warnings[0].0, code, "{stream}: {:?}", record.warnings);
        assert_eq!(verbs(&record).last(), Some(&("Say", "Plan B.")), "{stream}");
    }
}

#[tokio::test]
async fn stream_and_status_callbacks_tell_of_beginning_and_end() {
    let mut switch = Switch::with_documents(&[
        (
            "/voice",
            "<Response><Connect><Stream url='{sockets}/media' name='desk' statusCallback='/stream'/></Connect></Response>",
        ),
        ("/stream", ""),
        ("/status", ""),
    ])
    .await;
    let status_url = Some(format!("http://{}/status", switch.addr));
    let running = call(CallPlan { status_url, ..quiet(&switch, 200) });
    switch.media().await.rest().await;
    let record = running.await.unwrap();
    let told = switch.hooks_of("/stream");
    let mut events: Vec<&str> = told.iter().map(|hook| hook.field("StreamEvent").unwrap()).collect();
    events.sort_unstable();
    assert_eq!(events, ["stream-started", "stream-stopped"]);
    assert_eq!(
        (told[0].field("StreamSid"), told[0].field("StreamName")),
        (Some(record.stream_sids[0].as_str()), Some("desk"))
    );
    let status = &switch.hooks_of("/status")[0];
    assert_eq!((status.field("CallStatus"), status.field("CallDuration")), (Some("completed"), Some("0")));
    let posted = record
        .events
        .iter()
        .filter(|(_, event)| matches!(event, CarrierEvent::StatusPosted { status: 200, .. }));
    assert_eq!(posted.count(), 3);
}

#[tokio::test]
async fn a_public_name_is_signed_while_loopback_is_called() {
    let stream = "<Response><Connect><Stream url='wss://switch.example.net/media'/></Connect></Response>";
    let mut switch = Switch::with_documents(&[("/voice", stream)]).await;
    let plan = CallPlan { auth_token: Some("12345".to_owned()), ..quiet(&switch, 100) };
    let public = CallPlan { public_base: Some("https://switch.example.net".to_owned()), ..plan };
    let running = call(public);
    let media = switch.media().await;
    // HMAC-SHA1 of "wss://switch.example.net/media" with the key 12345, by openssl.
    assert_eq!(media.headers["x-twilio-signature"], "FwSiBnuceDVgnRmPsL/fpUMLj3E=");
    drop(media);
    running.await.unwrap();
}

#[tokio::test]
async fn progress_is_told_as_it_happens() {
    let mut switch = Switch::with_stream("").await;
    let plan = quiet(&switch, 700);
    let told = tokio::spawn(async move {
        let (mut news, mut passing) = (0, 0);
        let record = place_call(plan, |progress| match progress.news {
            Some(_) => news += 1,
            None => passing += 1,
        });
        let record = record.await.unwrap();
        (news, passing, record.events.len())
    });
    switch.media().await.rest().await;
    let (news, passing, events) = told.await.unwrap();
    assert!(news == events && passing >= 2, "{news} of {events}, {passing}");
}

// ------------------------------------------------------------------------------------------------------------- faults

/// What a switch sees of a quiet call of `milliseconds` with faults, from the first message on.
async fn stream_with(faults: &[&str], milliseconds: u64) -> (Vec<Message>, CallRecord) {
    let mut switch = Switch::with_stream("").await;
    let running = call(with_faults(quiet(&switch, milliseconds), faults));
    let mut media = switch.media().await;
    let mut seen = Vec::new();
    while let Some(message) = media.next().await {
        seen.push(message);
    }
    (seen, running.await.unwrap())
}

fn json_of(messages: &[Message]) -> Vec<Value> {
    let texts = messages.iter().filter_map(|message| message.to_text().ok());
    texts.filter_map(|text| serde_json::from_str(text).ok()).collect()
}

fn events_of(messages: &[Message]) -> Vec<String> {
    json_of(messages).iter().map(|event| event["event"].as_str().unwrap_or("?").to_owned()).collect()
}

#[tokio::test]
async fn streams_begin_and_end_in_the_ordered_ways() {
    let (seen, _) = stream_with(&["no-stop"], 200).await;
    assert!(!events_of(&seen).contains(&"stop".to_owned()));

    let (seen, record) = stream_with(&["close-before-start"], 200).await;
    assert_eq!(events_of(&seen), ["connected"]);
    assert_eq!(record.end, CallEnd::DocumentEnded);

    let (seen, _) = stream_with(&["media-before-start"], 200).await;
    let events = events_of(&seen);
    assert_eq!(events.iter().position(|event| event == "start"), Some(11));

    let (seen, _) = stream_with(&["second-start"], 800).await;
    let starts: Vec<Value> = json_of(&seen).into_iter().filter(|event| event["event"] == "start").collect();
    assert_eq!(starts.len(), 2);
    assert_ne!(starts[0]["streamSid"], starts[1]["streamSid"]);

    let (seen, _) = stream_with(&["bare-start"], 200).await;
    let start = &json_of(&seen)[1];
    assert_eq!(start.as_object().unwrap().len(), 2, "{start}");
    assert_eq!(start["start"].as_object().unwrap().len(), 2, "{start}");

    let (_, record) = stream_with(&["reset-after:0.2"], 60_000).await;
    assert_eq!(record.end, CallEnd::DocumentEnded);
    assert!(at(&record, |event| *event == CarrierEvent::SocketEnded(SocketEnd::ByUs("reset"))).is_some());
}

#[tokio::test]
async fn oddities_come_between_the_frames() {
    let faults = ["garbage", "unknown-events", "binary", "big-message", "wrong-sid", "bad-base64"];
    let (seen, _) = stream_with(&faults, 1_700).await;
    assert_eq!(seen.iter().filter(|message| message.is_binary()).count(), 2);
    assert_eq!(seen.iter().filter(|message| message.len() > 1 << 20).count(), 1);
    let texts: Vec<&str> = seen.iter().filter_map(|message| message.to_text().ok()).collect();
    for part in
        ["not JSON at all", "[\"media\"]", "user_speech_started", "never sent", "000bad", "%%% this is not"]
    {
        assert_eq!(texts.iter().filter(|text| text.contains(part)).count(), 2, "{part}");
    }
    let sound = json_of(&seen).iter().filter(|event| event["media"]["timestamp"].is_string()).count();
    assert!((80..=85).contains(&sound), "{sound} frames");
}

#[tokio::test]
async fn frames_come_in_other_shapes() {
    let frame = |seen: &[Message]| json_of(seen).into_iter().find(|event| event["event"] == "media").unwrap();
    let (seen, _) = stream_with(&["frame-ms:50"], 300).await;
    assert_eq!(payload(&frame(&seen)).len(), 400);
    let second = json_of(&seen).into_iter().filter(|event| event["event"] == "media").nth(1).unwrap();
    assert_eq!(second["media"]["timestamp"], "50");
    let (seen, _) = stream_with(&["no-timestamps"], 200).await;
    assert_eq!(frame(&seen)["media"].as_object().unwrap().len(), 1);
    let (seen, _) = stream_with(&["numbers"], 200).await;
    assert_eq!((&frame(&seen)["media"]["chunk"], &frame(&seen)["sequenceNumber"]), (&json!(1), &json!(2)));
}

async fn marks_with(fault: CarrierFault) -> Vec<Value> {
    let mut switch = Switch::with_stream("").await;
    let running = call(CallPlan { faults: vec![fault], ..quiet(&switch, 500) });
    let mut media = switch.media().await;
    media.start().await;
    media.play(speech::sentence("old-town").unwrap().audio).await;
    media.mark("far away").await;
    let rest = media.rest().await;
    running.await.unwrap();
    rest.into_iter().filter(|event| event["event"] == "mark").collect()
}

#[tokio::test]
async fn marks_can_be_withheld_or_lied_about() {
    assert_eq!(marks_with(CarrierFault::NoMarks).await.len(), 0);
    assert_eq!(marks_with(CarrierFault::MarksAtOnce).await.len(), 1);
}

#[tokio::test]
async fn a_half_open_carrier_says_and_answers_nothing() {
    let mut switch = Switch::with_stream("").await;
    let running = call(with_faults(quiet(&switch, 1_000), &["half-open-after:0.2"]));
    let mut media = switch.media().await;
    media.start().await;
    let mut frames = 0;
    media.send(Message::Ping("before".into())).await;
    while let Some(message) = media.next().await {
        frames += usize::from(message.is_text());
        if frames == 5 {
            media.send(Message::Ping("after".into())).await;
        }
    }
    assert!((8..=12).contains(&frames), "{frames} frames in 200 ms, and then none for 800");
    let record = running.await.unwrap();
    assert_eq!(record.end, CallEnd::CallerHungUp);
    assert!(at(&record, |event| *event == CarrierEvent::StopSent).is_none());
}

#[tokio::test]
async fn webhooks_can_come_twice_badly_signed_or_late() {
    let switch = Switch::with_documents(&[("/voice", "<Response/>"), ("/status", "")]).await;
    let status_url = Some(format!("http://{}/status", switch.addr));
    let plan = CallPlan { auth_token: Some("secret".to_owned()), status_url, ..quiet(&switch, 100) };
    call(plan.clone()).await.unwrap();
    call(with_faults(plan.clone(), &["duplicate-webhook"])).await.unwrap();
    let hooks = switch.hooks_of("/voice");
    let token = |n: usize| &hooks[n].headers["i-twilio-idempotency-token"];
    assert_eq!(hooks.len(), 3);
    assert!(token(0) != token(1) && token(1) == token(2));
    assert_eq!(hooks[1].body, hooks[2].body);

    let signature_of = |n: usize| switch.hooks_of("/voice")[n].headers["x-twilio-signature"].clone();
    let signature = signature_of(1);
    call(with_faults(plan.clone(), &["bad-signature"])).await.unwrap();
    assert_ne!(signature, signature_of(3), "{signature}");

    let record = call(with_faults(plan, &["late-status:0.3"])).await.unwrap();
    let late = at(&record, |event| matches!(event, CarrierEvent::StatusPosted { .. })).unwrap();
    assert!(late >= record.duration + Duration::from_millis(300));
}

#[tokio::test]
async fn a_playback_delay_shifts_what_is_heard() {
    let mut switch = Switch::with_stream("").await;
    let network = "start:100".parse().unwrap();
    let running = call(CallPlan { network, ..quiet(&switch, 600) });
    let mut media: Media = switch.media().await;
    media.start().await;
    media.play(&[0x80; 800]).await;
    media.mark("end").await;
    media.until("mark").await;
    media.rest().await;
    let record = running.await.unwrap();
    assert!(position(&record, &[0x80; 800]).unwrap() >= 800, "100 ms are 800 samples");
}
