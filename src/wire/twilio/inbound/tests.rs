//! Examples are composed after Twilio's pages; the liberties are those other Media Streams programs were seen to take.

use proptest::prelude::*;

use super::*;
use crate::audio;
use crate::mutation::mutated;

const STREAM: &str = "MZ0c0ffee00c0ffee00c0ffee00c0ffee0";
const CALL: &str = "CAfedcba9876543210fedcba9876543210";
const START: &str = r#"{"event":"start","sequenceNumber":"1","streamSid":"MZ0c0ffee00c0ffee00c0ffee00c0ffee0",
    "start":{"accountSid":"AC0123456789abcdef0123456789abcdef","streamSid":"MZ0c0ffee00c0ffee00c0ffee00c0ffee0",
    "callSid":"CAfedcba9876543210fedcba9876543210","tracks":["inbound"],
    "mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},
    "customParameters":{"tenant":"acme","ticket":"k3v9-one-time"}}}"#;
const MEDIA: &str = r#"{"event":"media","sequenceNumber":"7","streamSid":"MZ0c0ffee00c0ffee00c0ffee00c0ffee0","media":{"track":"inbound","chunk":"6","timestamp":"104","payload":"//7+/v9/f38="}}"#;

fn start(text: &str) -> Start {
    match Inbound::parse(text) {
        Ok(Inbound::Start(start)) => start,
        other => panic!("not a start: {other:?}"),
    }
}

fn media(text: &str) -> Media<'_> {
    match Inbound::parse(text) {
        Ok(Inbound::Media(media)) => media,
        other => panic!("not media: {other:?}"),
    }
}

fn is_borrowed(media: &Media<'_>) -> bool {
    matches!(media.payload, Cow::Borrowed(_))
}

// --- the messages as Twilio sends them

#[test]
fn a_stream_is_read_from_connected_to_stop() {
    let connected = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;
    assert_eq!(Inbound::parse(connected).unwrap(), Inbound::Connected);
    assert_eq!(
        start(START),
        Start {
            stream_sid: STREAM.to_owned(),
            call_sid: Some(CALL.to_owned()),
            account_sid: Some("AC0123456789abcdef0123456789abcdef".to_owned()),
            tracks: vec!["inbound".to_owned()],
            encoding: Some("audio/x-mulaw".to_owned()),
            sample_rate: Some(8000),
            channels: Some(1),
            custom_parameters: [("tenant", "acme"), ("ticket", "k3v9-one-time")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        }
    );
    assert_eq!(
        media(MEDIA),
        Media {
            stream_sid: Some(Cow::Borrowed(STREAM)),
            track: Track::Inbound,
            timestamp_ms: Some(104),
            chunk: Some(6),
            sequence: Some(7),
            payload: Cow::Borrowed("//7+/v9/f38="),
        }
    );
    let dtmf = r#"{"event":"dtmf","streamSid":"MZ0","dtmf":{"track":"inbound_track","digit":"5"}}"#;
    assert_eq!(Inbound::parse(dtmf).unwrap(), Inbound::Dtmf { digit: '5' });
    let mark = r#"{"event":"mark","sequenceNumber":"402","streamSid":"MZ0","mark":{"name":"g3:17"}}"#;
    assert_eq!(Inbound::parse(mark).unwrap(), Inbound::Mark { name: Cow::Borrowed("g3:17") });
    let stop = r#"{"event":"stop","streamSid":"MZ0","stop":{"accountSid":"AC0","callSid":"CA0"}}"#;
    assert_eq!(
        Inbound::parse(stop).unwrap(),
        Inbound::Stop { stream_sid: Some("MZ0".to_owned()), call_sid: Some("CA0".to_owned()) }
    );
}

#[test]
fn media_is_borrowed_whatever_its_order_and_spacing() {
    assert!(is_borrowed(&media(MEDIA)));
    let spaced = r#" { "media" : { "payload" : "/w==" , "track" : "outbound" , "extra" : "x" } ,
        "event" : "media" , "extra" : "y" } "#;
    let media = media(spaced);
    assert!(is_borrowed(&media));
    assert_eq!((media.payload.as_ref(), media.track), ("/w==", Track::Outbound));
}

// --- the liberties, in the order of the tolerance list

#[test]
fn start_needs_nothing_but_a_stream_id_at_either_place() {
    for text in [
        r#"{"event":"start","start":{"streamSid":"MZ1","callSid":"CA1"}}"#,
        r#"{"event":"start","streamSid":"MZ1","callSid":"CA1"}"#,
        r#"{"event":"start","streamSid":"MZ1","callSid":"CA1","start":{}}"#,
        r#"{"event":"start","streamSid":"MZ1","start":{"streamSid":"","callSid":"CA1","customParameters":null}}"#,
    ] {
        let start = start(text);
        assert_eq!((start.stream_sid.as_str(), start.call_sid.as_deref()), ("MZ1", Some("CA1")), "{text}");
        assert_eq!((start.tracks.len(), start.custom_parameters.len()), (0, 0), "{text}");
        assert_eq!(
            (start.account_sid, start.encoding, start.sample_rate, start.channels),
            (None, None, None, None)
        );
    }
}

#[test]
fn media_needs_nothing_but_a_payload() {
    let media = media(r#"{"event":"media","media":{"payload":""}}"#);
    assert_eq!(
        media,
        Media {
            stream_sid: None,
            track: Track::Inbound,
            timestamp_ms: None,
            chunk: None,
            sequence: None,
            payload: Cow::Borrowed(""),
        }
    );
}

#[test]
fn a_media_id_may_stand_inside() {
    let inside = r#"{"event":"media","media":{"streamSid":"MZ1","payload":"/w=="}}"#;
    assert_eq!(media(inside).stream_sid.as_deref(), Some("MZ1"));
    let both = r#"{"event":"media","streamSid":"MZ1","media":{"streamSid":"MZ1","payload":"/w=="}}"#;
    assert_eq!(media(both).stream_sid.as_deref(), Some("MZ1"));
}

#[test]
fn unknown_events_are_kept_by_name() {
    for event in ["clear", "user_speech_started", "playedStream", "", "\u{2603}"] {
        let text = serde_json::json!({ "event": event, "whatever": [1, { "a": null }] }).to_string();
        assert_eq!(Inbound::parse(&text).unwrap(), Inbound::Unknown { event: Cow::Borrowed(event) });
    }
}

#[test]
fn numbers_may_be_strings_or_numbers() {
    let numbers =
        r#"{"event":"media","sequenceNumber":7,"media":{"chunk":6,"timestamp":104,"payload":"/w=="}}"#;
    let media_of_numbers = media(numbers);
    assert!(is_borrowed(&media_of_numbers));
    assert_eq!(
        (media_of_numbers.sequence, media_of_numbers.chunk, media_of_numbers.timestamp_ms),
        (Some(7), Some(6), Some(104))
    );
    let start = start(
        r#"{"event":"start","streamSid":"MZ1","start":{"mediaFormat":{"sampleRate":"8000","channels":"1"}}}"#,
    );
    assert_eq!((start.sample_rate, start.channels), (Some(8000), Some(1)));
}

#[test]
fn a_number_that_is_none_costs_the_number_and_not_the_audio() {
    for number in [
        "-1",
        "1.5",
        "null",
        "\"\"",
        "\"soon\"",
        "[]",
        "99999999999999999999999",
        "\"99999999999999999999999\"",
    ] {
        let text = format!(r#"{{"event":"media","media":{{"timestamp":{number},"payload":"/w=="}}}}"#);
        let media = media(&text);
        assert_eq!((media.timestamp_ms, media.payload.as_ref()), (None, "/w=="), "{number}");
    }
}

#[test]
fn escaped_strings_are_unescaped_and_owned() {
    let text = r#"{"event":"media","streamSid":"M\u005a1","media":{"payload":"\/\/7+"}}"#;
    let media = media(text);
    assert_eq!((media.stream_sid.as_deref(), media.payload.as_ref()), (Some("MZ1"), "//7+"));
    let mark = r#"{"event":"mark","mark":{"name":"a\"b"}}"#;
    assert_eq!(Inbound::parse(mark).unwrap(), Inbound::Mark { name: Cow::Borrowed("a\"b") });
}

#[test]
fn keys_of_the_telephone_come_as_strings_or_numbers() {
    for (digit, key) in
        [("\"0\"", '0'), ("9", '9'), ("\"*\"", '*'), ("\"#\"", '#'), ("\"D\"", 'D'), ("\"a\"", 'A')]
    {
        let text = format!(r#"{{"event":"dtmf","dtmf":{{"digit":{digit}}}}}"#);
        assert_eq!(Inbound::parse(&text).unwrap(), Inbound::Dtmf { digit: key });
    }
}

#[test]
fn custom_parameters_that_are_no_strings_are_taken_as_written() {
    let text = r#"{"event":"start","streamSid":"MZ1","start":{"customParameters":{"n":5,"b":true,"z":null,"o":{}}}}"#;
    let written = start(text).custom_parameters;
    let expected = [("b", "true"), ("n", "5")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(written, expected.into());
}

#[test]
fn stop_needs_nothing() {
    assert_eq!(
        Inbound::parse(r#"{"event":"stop"}"#).unwrap(),
        Inbound::Stop { stream_sid: None, call_sid: None }
    );
}

// --- what cannot be used

#[test]
fn what_cannot_be_used_is_named() {
    let not_json = [
        "",
        "{",
        "garbage",
        "{\"event\":\"media\"",
        "{\"event\":\"media\",\"media\":{\"payload\":\"a\nb\"}}",
        "\u{feff}{}",
    ];
    for text in not_json {
        assert!(matches!(Inbound::parse(text), Err(InboundError::NotJson(_))), "{text}");
    }
    for text in ["{}", "[]", "5", "\"event\"", r#"{"event":5}"#, r#"{"event":null}"#] {
        assert!(matches!(Inbound::parse(text), Err(InboundError::NoEvent)), "{text}");
    }
    for text in [r#"{"event":"start"}"#, r#"{"event":"start","streamSid":"","start":{"streamSid":5}}"#] {
        assert!(matches!(Inbound::parse(text), Err(InboundError::StartWithoutStreamSid)), "{text}");
    }
    for text in [
        r#"{"event":"media"}"#,
        r#"{"event":"media","media":{"payload":5}}"#,
        r#"{"event":"media","media":[]}"#,
    ] {
        assert!(matches!(Inbound::parse(text), Err(InboundError::MediaWithoutPayload)), "{text}");
    }
    for digit in ["\"\"", "\"12\"", "\"x\"", "12", "-1", "null"] {
        let text = format!(r#"{{"event":"dtmf","dtmf":{{"digit":{digit}}}}}"#);
        assert!(matches!(Inbound::parse(&text), Err(InboundError::DtmfWithoutDigit)), "{text}");
    }
    assert!(matches!(Inbound::parse(r#"{"event":"mark","mark":{}}"#), Err(InboundError::MarkWithoutName)));
}

#[test]
fn every_error_says_what_failed() {
    for (text, message) in [
        ("", "carrier message is not JSON"),
        ("{}", "carrier message names no event"),
        (r#"{"event":"start"}"#, "start message has no stream id"),
        (r#"{"event":"media"}"#, "media message has no payload"),
        (r#"{"event":"dtmf"}"#, "dtmf message has no telephone key"),
        (r#"{"event":"mark"}"#, "mark message has no name"),
    ] {
        let error = Inbound::parse(text).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(std::error::Error::source(&error).is_some(), text.is_empty());
    }
}

#[test]
fn a_megabyte_of_nesting_is_refused_and_not_followed() {
    let deep = "[".repeat(1 << 20);
    assert!(matches!(Inbound::parse(&deep), Err(InboundError::NotJson(_))));
    let deep = format!(r#"{{"event":"media","media":{}"#, r#"{"media":"#.repeat(1 << 16));
    assert!(matches!(Inbound::parse(&deep), Err(InboundError::NotJson(_))));
}

#[test]
fn debug_output_shows_no_parameter_value() {
    let debug = format!("{:?}", Inbound::parse(START).unwrap());
    assert!(debug.contains("ticket") && !debug.contains("k3v9"), "{debug}");
}

// --- whatever comes

/// As Twilio writes them, as others do, and as the quick reader cannot read them.
fn texts() -> Vec<String> {
    let spaced = MEDIA.replace(':', " : ").replace(',', " ,\n");
    let numbers =
        r#"{"event":"media","sequenceNumber":7,"media":{"chunk":6,"timestamp":104,"payload":"/w=="}}"#;
    let inside = r#"{"media":{"streamSid":"MZ1","payload":"\/w==","more":{}},"event":"media"}"#;
    let mark = r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"g3:17"}}"#;
    let long = MEDIA.replace("f38=", &"f38/".repeat(50));
    [START, MEDIA, &long, &spaced, numbers, inside, mark].map(str::to_owned).into()
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(?s:.{0,99})") {
        drop(Inbound::parse(&text));
    }

    #[test]
    fn the_quick_reader_never_disagrees_with_the_thorough_one(text in mutated(texts())) {
        if let Some(message) = quick(&text) {
            prop_assert_eq!(thorough(&text).ok(), Some(message), "{}", text);
        }
    }

    #[test]
    fn audio_survives_the_way_out_and_in(audio in prop::collection::vec(any::<u8>(), 0..2000), stream_sid in "(?s:.{1,40})") {
        let mut text = String::new();
        crate::twilio::outbound::media(&mut text, &stream_sid, &audio);
        let media = media(&text);
        prop_assert_eq!(media.stream_sid.as_deref(), Some(stream_sid.as_str()));
        let mut back = vec![0; audio::decoded_len(&media.payload)];
        prop_assert_eq!(audio::decode_into(&media.payload, &mut back), Ok(audio.len()));
        prop_assert_eq!(back, audio);
    }
}
