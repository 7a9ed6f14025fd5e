//! What the caller hears outside of streams.

use super::*;

/// A WAV file of one channel.
fn wav(tag: u16, bits: u16, rate: u32, data: &[u8]) -> Vec<u8> {
    let block = bits / 8;
    let mut fmt = Vec::new();
    for word in [tag, 1] {
        fmt.extend(word.to_le_bytes());
    }
    fmt.extend(rate.to_le_bytes());
    fmt.extend((rate * u32::from(block)).to_le_bytes());
    for word in [block, bits] {
        fmt.extend(word.to_le_bytes());
    }
    let chunk = |name: &[u8; 4], body: &[u8]| {
        let length = u32::try_from(body.len()).unwrap().to_le_bytes();
        [name.as_slice(), &length, body].concat()
    };
    let body = [b"WAVE".to_vec(), chunk(b"fmt ", &fmt), chunk(b"data", data)].concat();
    chunk(b"RIFF", &body)
}

#[tokio::test]
async fn what_is_read_aloud_is_heard_for_as_long_as_it_lasts() {
    let sentence = speech::sentence("breakfast").unwrap();
    let document = format!("<Response><Say>{}</Say></Response>", sentence.text);
    let switch = Switch::with_documents(&[("/voice", &document)]).await;
    let record = call(patient(&switch)).await.unwrap();
    assert_eq!(position(&record, sentence.audio), Some(0), "from the beginning of the caller's clock");
    assert!(record.heard.len() < sentence.audio.len() + 160);
    assert!(record.duration >= sentence.duration());
    assert_eq!(record.end, CallEnd::DocumentEnded);
    assert_eq!(record.said_aloud().map(|(_, text)| text).collect::<Vec<_>>(), [sentence.text]);
    let document = &record.documents[0];
    assert_eq!((document.url.as_str(), document.heard.len()), (switch.voice_url().as_str(), 1));
    assert_eq!(document.heard[0].at, record.clock_started.unwrap());
    assert!(document.heard[0].at >= document.at && document.heard[0].length >= sentence.duration());
    let began = at(&record, |event| *event == CarrierEvent::AudioBegan).unwrap();
    let ended = at(&record, |event| *event == CarrierEvent::AudioEnded).unwrap();
    assert!(began < ended && ended >= document.heard[0].at + sentence.duration());
}

#[tokio::test]
async fn a_loop_is_heard_again_and_again_without_a_gap() {
    let played = Answer::of(200, "audio/ulaw", [0x80; 800]);
    let document = Answer::twiml("<Response><Play loop='3'>tone</Play></Response>");
    let switch = Switch::start([("/voice", document), ("/tone", played)]).await;
    let record = call(patient(&switch)).await.unwrap();
    assert_eq!(position(&record, &[0x80; 2_400]), Some(0));
    assert_eq!(record.documents[0].heard.len(), 3);
    assert_eq!(switch.hooks_of("/tone").len(), 1, "fetched once");
}

#[tokio::test]
async fn an_endless_loop_ends_with_the_call() {
    let document = "<Response><Say loop='0'>And again.</Say></Response>";
    let switch = Switch::with_documents(&[("/voice", document)]).await;
    let plan = CallPlan { hang_up: HangUp::At(Duration::from_millis(900)), ..patient(&switch) };
    let record = call(plan.clone()).await.unwrap();
    assert_eq!((record.end, record.heard.len()), (CallEnd::CallerHungUp, 45 * 160));
    let plan = CallPlan { hang_up: HangUp::Never, max: Duration::from_millis(700), ..plan };
    assert_eq!(call(plan).await.unwrap().end, CallEnd::TooLong);
}

#[tokio::test]
async fn recordings_of_every_usual_kind_are_played() {
    let tone: Vec<u8> = (0..8_000).flat_map(|n: i16| ((n % 16 - 8) * 1_000).to_le_bytes()).collect();
    for (kind, file, samples) in [
        ("audio/wav", wav(7, 8, 8_000, &[0x80; 1_600]), 1_600),
        ("audio/x-wav", wav(1, 16, 8_000, &tone), 8_000),
        ("audio/wave", wav(1, 16, 24_000, &tone[..9_600]), 1_600),
        ("audio/ulaw; rate=8000", vec![0x80; 800], 800),
        ("audio/mpeg", vec![0; 3_200], 1_600),
    ] {
        let document = Answer::twiml("<Response><Play>/media/greeting?v=2</Play></Response>");
        let file = Answer::of(200, kind, file);
        let switch = Switch::start([("/voice", document), ("/media/greeting", file)]).await;
        let plan = CallPlan { auth_token: Some("secret".to_owned()), ..patient(&switch) };
        let record = call(plan).await.unwrap();
        assert_eq!(record.end, CallEnd::DocumentEnded, "{kind}");
        assert!(record.heard.len().abs_diff(samples) < 160, "{kind}: {} samples", record.heard.len());
        assert!(record.heard[400..720].iter().any(|sample| sample.unsigned_abs() > 1_000), "{kind}");
        let fetch = &switch.hooks_of("/media/greeting")[0];
        assert_eq!((fetch.method.as_str(), fetch.path.as_str()), ("GET", "/media/greeting?v=2"), "no fields");
        assert_eq!(fetch.headers["x-twilio-signature"].len(), 28);
        assert_eq!(record.documents[0].heard[0].what, Sound::Play { url: switch.url("/media/greeting?v=2") });
    }
}

#[tokio::test]
async fn keys_are_heard_as_tones() {
    let document = "<Response><Play digits='1w2'/><Play digits='x'/></Response>";
    let (record, _) = call_documents(&[("/voice", document)]).await;
    assert_eq!(record.heard.len(), 1_600 + 4_000 + 1_600, "two keys of 200 ms, half a second between them");
    assert!(record.heard[5_600..6_400].iter().any(|sample| sample.unsigned_abs() > 2_000));
    assert_eq!(record.warning_codes().into_iter().collect::<Vec<_>>(), [12_200]);
    assert_eq!(record.documents[0].heard[0].what, Sound::Keys { digits: "1w2".to_owned() });
}

#[tokio::test]
async fn a_pause_is_silence_and_as_the_first_verb_lets_it_ring() {
    let document = "<Response><Pause/><Say>Yes?</Say><Pause/></Response>";
    let switch = Switch::with_documents(&[("/voice", document)]).await;
    let record = call(patient(&switch)).await.unwrap();
    assert!(record.clock_started.unwrap() >= Duration::from_secs(1));
    assert_eq!(position(&record, &[g711::ulaw_encode(0); 8_000]).map(|from| from > 0), Some(true));
    assert_eq!(record.silences(Duration::from_millis(900)).len(), 1);

    let status_url = Some(switch.url("/status"));
    let never = Switch::with_documents(&[("/voice", "<Response><Pause length='0'/></Response>")]).await;
    let plan =
        CallPlan { status_url, hang_up: HangUp::At(Duration::MAX), max: Duration::MAX, ..patient(&never) };
    let record = call(plan).await.unwrap();
    assert_eq!((record.end, record.clock_started), (CallEnd::DocumentEnded, None));
    assert_eq!(switch.hooks_of("/status")[0].field("CallStatus"), Some("no-answer"));
}

#[tokio::test]
async fn plain_text_is_read_aloud_unless_it_is_a_document() {
    for (text, expected) in [
        ("Nobody is here, & never was.", vec![("Say", "Nobody is here, & never was.")]),
        ("<Response><Pause length='0'/><Hangup/></Response>", vec![("Pause", "0 s"), ("Hangup", "")]),
    ] {
        let switch = Switch::start([("/voice", Answer::of(200, "text/plain", text))]).await;
        let record = call(quiet(&switch, 10_000)).await.unwrap();
        assert_eq!(verbs(&record), expected);
        assert!(matches!(record.end, CallEnd::DocumentEnded | CallEnd::HungUp));
    }
}

#[tokio::test]
async fn a_document_that_is_a_recording_is_played_and_that_is_all() {
    let switch =
        Switch::start([("/voice", Answer::of(200, "audio/wav", wav(7, 8, 8_000, &[0x80; 800])))]).await;
    let record = call(patient(&switch)).await.unwrap();
    assert_eq!((position(&record, &[0x80; 800]), record.end), (Some(0), CallEnd::DocumentEnded));
}

#[tokio::test]
async fn the_caller_goes_on_talking_while_he_is_talked_to() {
    let switch = Switch::with_documents(&[("/voice", "<Response><Say>One moment.</Say></Response>")]).await;
    let caller: CallerAudio = (0..8_000).map(|n| if n % 2 == 0 { 9_000 } else { -9_000 }).collect();
    let record = call(CallPlan { caller: caller.clone(), ..patient(&switch) }).await.unwrap();
    assert_eq!(record.said.len(), record.heard.len());
    assert_eq!(record.said[..], caller.samples()[..record.said.len()]);
    assert_eq!(record.silences(Duration::from_millis(20)), []);
}
