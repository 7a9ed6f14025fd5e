//! What is heard on a stream, either way, and how streams and calls end.

use super::*;

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
