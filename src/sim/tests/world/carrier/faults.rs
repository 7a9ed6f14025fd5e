//! Every fault of a carrier that can be ordered.

use super::*;

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
    assert!((84..=85).contains(&sound), "{sound} frames");
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
    while let Some(message) = media.next().await {
        assert_eq!(serde_json::from_str::<Value>(message.to_text().unwrap()).unwrap()["event"], "media");
        frames += 1;
    }
    assert!(frames <= 10, "{frames} frames in 200 ms, and then none for 800");
    let record = running.await.unwrap();
    assert!(record.duration >= Duration::from_secs(1), "the socket is kept until the caller hangs up");
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

/// A call whose streams are asked for again by the action, so often.
async fn resumed(faults: &[&str], streams: usize) -> (Vec<Vec<Message>>, CallRecord, Switch) {
    let stream = "<Response><Connect action='/resume'><Stream url='{sockets}/media'/></Connect></Response>";
    let resume =
        |n: usize| Answer::twiml(if n < streams { stream } else { "<Response><Hangup/></Response>" });
    let answers = (1..=streams).map(|n| ("/resume", resume(n)));
    let mut switch = Switch::start([("/voice", Answer::twiml(stream))].into_iter().chain(answers)).await;
    let plan = CallPlan { max: Duration::from_secs(20), ..patient(&switch) };
    let running = call(with_faults(plan, faults));
    let mut seen = Vec::new();
    for _ in 0..streams {
        let mut media = switch.media().await;
        let mut messages = Vec::new();
        while let Some(message) = media.next().await {
            messages.push(message);
        }
        seen.push(messages);
    }
    (seen, running.await.unwrap(), switch)
}

#[tokio::test]
async fn a_stream_that_an_accident_ends_is_resumed_by_its_action() {
    for (fault, code, words) in [
        ("reset-after:0.2", 31_903, "reset"),
        ("going-away-after:0.2", 31_903, "going away"),
        ("close-bare-after:0.2", 31_903, "closed without a code"),
        ("close-before-start", 31_903, "closed before start"),
    ] {
        let (seen, record, switch) = resumed(&[fault], 1).await;
        assert!(!events_of(&seen[0]).contains(&"stop".to_owned()), "{fault}");
        assert_eq!((record.end.clone(), switch.hooks_of("/resume").len()), (CallEnd::HungUp, 1), "{fault}");
        let warned = &record.warnings[0];
        assert!(warned.0 == code && warned.1.contains(words), "{fault}: {warned:?}");
    }
}

#[tokio::test]
async fn accidents_happen_one_to_a_stream() {
    let faults = ["reset-after:0.2", "garbage", "going-away-after:0.4", "close-bare-after:0.1"];
    let (seen, record, _) = resumed(&faults, 3).await;
    let frames: Vec<usize> =
        seen.iter().map(|seen| events_of(seen).iter().filter(|event| *event == "media").count()).collect();
    assert!(frames[0] <= 10 && frames[1] > 10 && frames[1] <= 20 && frames[2] <= 5, "{frames:?}");
    assert_eq!((record.stream_sids.len(), record.end), (3, CallEnd::HungUp));
}

#[tokio::test]
async fn a_stream_that_vanishes_leaves_the_switch_a_silent_socket_and_the_call_goes_on() {
    let stream = "<Response><Connect action='/resume'><Stream url='{sockets}/media'/></Connect></Response>";
    let mut switch = Switch::with_documents(&[("/voice", stream), ("/resume", stream)]).await;
    let plan = CallPlan { hang_up: HangUp::At(Duration::from_secs(1)), ..patient(&switch) };
    let running = call(with_faults(plan, &["vanish-after:0.3"]));
    let mut first = switch.media().await;
    first.start().await;
    let mut second = switch.media().await;
    assert_eq!(second.rest().await.last().unwrap()["event"], "stop");
    let left = first.rest().await;
    assert!(
        left.len() <= 15 && left.iter().all(|event| event["event"] == "media"),
        "{} messages",
        left.len()
    );
    let record = running.await.unwrap();
    assert_eq!((record.stream_sids.len(), record.end.clone()), (2, CallEnd::CallerHungUp));
    assert!(at(&record, |event| *event == CarrierEvent::SocketEnded(SocketEnd::ByUs("vanished"))).is_some());
}

#[tokio::test]
async fn a_stream_can_fail_to_be_connected_or_come_late() {
    let mut switch = Switch::with_stream("<Say>Plan B.</Say>").await;
    let record = call(with_faults(quiet(&switch, 10_000), &["no-stream"])).await.unwrap();
    assert_eq!((record.warnings[0].0, verbs(&record).last()), (31_920, Some(&("Say", "Plan B."))));
    assert!(record.stream_sids.is_empty());

    let running = call(with_faults(quiet(&switch, 100), &["late-stream:0.4"]));
    switch.media().await.rest().await;
    let record = running.await.unwrap();
    assert!(record.stream_started.unwrap() >= Duration::from_millis(400));
    assert_eq!(record.stream_started, record.clock_started);
}
