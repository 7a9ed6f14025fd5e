//! Nonsense from the client, and the faults that were ordered.

use super::*;

#[test]
fn what_is_no_event_is_answered_with_an_error_and_the_session_goes_on() {
    let mut bench = Bench::phone();
    for (text, code, param) in [
        ("not JSON", "invalid_event", Value::Null),
        ("[1]", "invalid_event", Value::Null),
        (r#"{"event":"media"}"#, "invalid_event", Value::Null),
        (r#"{"type":"session.rename"}"#, "invalid_value", json!("type")),
        (r#"{"type":7}"#, "invalid_value", json!("type")),
        (r#"{"type":"output_audio_buffer.clear"}"#, "invalid_value", json!("type")),
        (r#"{"type":"transcription_session.update"}"#, "invalid_value", json!("type")),
        (r#"{"type":"response.cancel","why":"bored"}"#, "unknown_parameter", json!("why")),
    ] {
        bench.session.receive(bench.now, text);
        let events = bench.events();
        let error = &only(&events, "error")["error"];
        assert_eq!((&error["code"], &error["param"]), (&json!(code), &param), "{text}");
    }
    bench.session.receive_binary(bench.now);
    assert_eq!(only(&bench.events(), "error")["error"]["code"], "invalid_event");
    let long = json!({"type": "input_audio_buffer.clear", "event_id": "x".repeat(513)});
    assert_eq!(bench.refused(&long).1["param"], "event_id");
    assert_eq!(
        bench.record().violations,
        ["a text frame that is no JSON object", "a text frame that is no JSON object", "a binary frame"]
    );
    bench.send(&create());
    assert!(!audio_of(&bench.pass(5_000)).is_empty());
}

#[test]
fn a_rate_limit_is_told_inside_response_done_and_nowhere_else() {
    let mut bench = Bench::phone_with(&json!({}), Setup { rate_limited: true, ..setup() });
    bench.send(&create());
    let events = bench.pass(5_000);
    assert_eq!(kinds(&events), ["response.created", "rate_limits.updated", "response.done"]);
    let done = &events[2]["response"];
    assert_eq!(done["status"], "failed");
    assert_eq!(done["status_details"]["error"]["code"], "rate_limit_exceeded");
    assert_eq!(done["usage"], Value::Null);
}

#[test]
fn a_scripted_error_comes_when_it_was_ordered() {
    let order =
        |code: &str, after| Setup { error: Some((code.to_owned(), Duration::from_secs(after))), ..setup() };
    let mut at_once = Bench::open(order("invalid_api_key", 0));
    let events = at_once.pass(0);
    assert_eq!(kinds(&events), ["session.created", "conversation.created", "error"]);
    assert_eq!(events[2]["error"]["code"], "invalid_api_key");
    let mut later = Bench::phone_with(&json!({}), order("server_error", 5));
    assert_eq!(later.pass(4_900), Vec::<Value>::new());
    let error = later.pass(100)[0]["error"].clone();
    assert_eq!((&error["type"], &error["code"]), (&json!("server_error"), &Value::Null));
    assert_eq!(later.record().errors_sent, ["server_error"]);
}

#[test]
fn a_session_expires_with_an_error_and_a_close() {
    let mut bench = Bench::phone_with(&json!({}), Setup { lifetime: Duration::from_mins(1), ..setup() });
    assert_eq!(bench.pass(59_900), Vec::<Value>::new());
    assert_eq!(bench.session.closing(), None);
    let events = bench.pass(100);
    assert_eq!(events[0]["error"]["code"], "session_expired");
    assert_eq!(bench.session.closing(), Some((1001, "Your session hit the maximum duration of 60 minutes.")));
    assert_eq!(bench.session.due(), None);
}

#[test]
fn a_session_with_the_wrong_format_shows_it_and_speaks_it() {
    let mut bench = Bench::open(Setup { wrong_format: true, ..setup() });
    bench.send(&json!({"type": "session.update", "session": {"type": "realtime", "audio": {
        "input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcmu"}},
    }}}));
    bench.send(&create());
    let events = bench.pass(5_000);
    let session = &only(&events, "session.updated")["session"];
    assert_eq!(session["audio"]["output"]["format"]["type"], "audio/pcm");
    assert_eq!(audio_of(&events).len(), speech::sentence("greeting").unwrap().audio.len() * 6);
}

#[test]
fn a_late_session_holds_everything_back() {
    let mut bench = Bench::open(Setup { opening_takes: Duration::from_secs(2), ..setup() });
    bench.send(&json!({"type": "input_audio_buffer.clear"}));
    assert_eq!(bench.pass(1_999), Vec::<Value>::new());
    assert_eq!(
        kinds(&bench.pass(1)),
        ["session.created", "conversation.created", "input_audio_buffer.cleared"]
    );
}

#[test]
fn a_response_that_hangs_makes_neither_more_audio_nor_an_end() {
    let hangs_after = Some(Duration::from_millis(600));
    let mut bench = Bench::phone_with(&json!({}), Setup { hangs_after, ..setup() });
    bench.send(&create());
    let events = bench.pass(60_000);
    let made = audio_of(&events).len() / 8;
    assert!((600..600 + 240).contains(&made), "{made} ms");
    assert_eq!(of_kind(&events, "response.done").len(), 0);
    let heard = bench.say_sentence("castle");
    only(&heard, "input_audio_buffer.speech_started");
    assert_eq!(only(&heard, "response.done")["response"]["status"], "cancelled", "an interruption frees it");
}

#[test]
fn a_session_suffers_from_faults_that_come_while_it_runs() {
    let mut bench = Bench::phone();
    bench.send(&create());
    bench.pass(400);
    bench.session.suffer(bench.now, &"hang-after:0".parse().unwrap());
    assert_eq!(audio_of(&bench.pass(60_000)).len(), 0, "also a response that is running hangs");
    bench.ask(&json!({"type": "response.cancel"}));
    bench.session.suffer(bench.now, &"rate-limit".parse().unwrap());
    bench.send(&create());
    assert_eq!(only(&bench.pass(100), "response.done")["response"]["status"], "failed");
    bench.session.suffer(bench.now, &"error:server_error:0.1".parse().unwrap());
    assert_eq!(only(&bench.pass(100), "error")["error"]["type"], "server_error");
    bench.session.suffer(bench.now, &"expire-after:1".parse().unwrap());
    assert_eq!(bench.pass(999), Vec::<Value>::new());
    assert_eq!(only(&bench.pass(1), "error")["error"]["code"], "session_expired");
    assert_eq!(bench.session.closing().map(|(code, _)| code), Some(1001));
}
