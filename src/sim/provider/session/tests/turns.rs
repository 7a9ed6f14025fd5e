//! What the caller says, and when it counts as said.

use super::*;

#[test]
fn a_spoken_turn_has_the_documented_order_of_events() {
    let mut bench = Bench::phone_with(&json!({"transcription": {"model": "gpt-transcribe"}}), setup());
    let mut events = bench.say_sentence("castle");
    events.extend(bench.pass(8_000));
    let mut order: Vec<&str> = Vec::new();
    for kind in kinds(&events) {
        let is_new = order.last() != Some(&kind);
        let is_asr = kind.starts_with("conversation.item.input_audio_transcription");
        let is_repeated_delta = kind.contains("delta") && order.contains(&kind);
        if is_new && !is_asr && !is_repeated_delta {
            order.push(kind);
        }
    }
    assert_eq!(
        order,
        [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
            "rate_limits.updated",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_audio_transcript.delta",
            "response.output_audio.delta",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "conversation.item.done",
            "response.done",
        ]
    );
    let ids: std::collections::HashSet<&str> =
        events.iter().map(|event| event["event_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), events.len(), "every event has an id of its own");
    let user = &events[0]["item_id"];
    assert_eq!(&only(&events, "input_audio_buffer.committed")["item_id"], user);
    assert_eq!(&only(&events, "conversation.item.input_audio_transcription.completed")["item_id"], user);
    let done = &only(&events, "response.done")["response"];
    assert_eq!((&done["status"], &done["output"][0]["role"]), (&json!("completed"), &json!("assistant")));
    assert_eq!(done["output"][0]["content"][0]["transcript"], speech::sentence("late-arrival").unwrap().text);
}

#[test]
fn offsets_of_a_turn_count_the_audio_that_was_sent() {
    let mut bench = Bench::phone();
    let mut events = bench.say(&silence(3_000));
    events.extend(bench.say_sentence("castle"));
    let start = only(&events, "input_audio_buffer.speech_started")["audio_start_ms"].as_u64().unwrap();
    let end = only(&events, "input_audio_buffer.speech_stopped")["audio_end_ms"].as_u64().unwrap();
    let spoken = whole_ms("castle");
    assert!((2_700..2_780).contains(&start), "{start}"); // 300 ms of padding before 3000
    assert!((3_000 + spoken + 300..3_000 + spoken + 520).contains(&end), "{end} after {spoken}");
    let record = bench.record();
    assert_eq!((record.turns[0].speech_start_ms, record.turns[0].speech_stop_ms), (start, end));
    assert_eq!(record.audio_received_ms, 4_000 + spoken);
    assert_eq!(record.audio.len() as u64 / 8, 4_000 + spoken);
}

#[test]
fn audio_sent_before_the_format_was_agreed_is_heard_in_the_old_one() {
    let mut bench = Bench::open(setup());
    bench.pass(0);
    let sentence = speech::sentence("castle").unwrap().audio;
    bench.say(sentence); // mu-law into a session that expects PCM
    let record = bench.record();
    assert_eq!(record.audio_received_ms, sentence.len() as u64 / 48);
    assert_eq!(record.appends_before_updated, record.appends);
    assert_eq!(record.violations[0], "audio before the format was agreed");
}

#[test]
fn speech_interrupts_the_agent_unless_told_otherwise() {
    for (interrupt, status) in [(true, "cancelled"), (false, "completed")] {
        let detection = json!({"turn_detection": {"type": "server_vad", "interrupt_response": interrupt}});
        let mut bench = Bench::phone_with(&detection, Setup { speed: 1.0, ..setup() });
        bench.send(&create());
        bench.pass(400);
        let mut events = bench.say_sentence("castle");
        events.extend(bench.pass(9_000));
        let dones = of_kind(&events, "response.done");
        assert_eq!(dones[0]["response"]["status"], status);
        if interrupt {
            assert_eq!(dones[0]["response"]["status_details"]["reason"], "turn_detected");
            let order = kinds(&events);
            let at = |kind| order.iter().position(|other| *other == kind).unwrap();
            assert!(at("input_audio_buffer.speech_started") < at("response.done"));
            assert!(of_kind(&events, "response.output_audio.done").len() >= 2, "also after a cancel");
        }
    }
}

#[test]
fn a_response_of_turn_detection_cannot_start_beside_a_running_one() {
    let detection = json!({"turn_detection": {"type": "server_vad", "interrupt_response": false}});
    let mut bench = Bench::phone_with(&detection, Setup { speed: 0.1, ..setup() });
    bench.send(&create());
    bench.pass(400);
    let events = bench.say_sentence("castle");
    only(&events, "input_audio_buffer.committed");
    assert_eq!(only(&events, "error")["error"]["code"], "conversation_already_has_active_response");
}

#[test]
fn turns_are_committed_and_not_answered_when_the_client_wants_to_decide() {
    let detection = json!({"turn_detection": {"type": "server_vad", "create_response": false}});
    let mut bench = Bench::phone_with(&detection, setup());
    let mut events = bench.say_sentence("castle");
    events.extend(bench.pass(3_000));
    only(&events, "input_audio_buffer.committed");
    assert_eq!(of_kind(&events, "response.created").len(), 0);
}

#[test]
fn eagerness_decides_how_long_a_pause_is() {
    let stop = |eagerness: &str| {
        let detection = json!({"turn_detection": {"type": "semantic_vad", "eagerness": eagerness}});
        let mut bench = Bench::phone_with(&detection, setup());
        let sentence = speech::sentence("castle").unwrap().audio;
        let events = bench.say(&[sentence, &silence(3_000)].concat());
        only(&events, "input_audio_buffer.speech_stopped")["audio_end_ms"].as_u64().unwrap()
    };
    assert_eq!([stop("low") - stop("high"), stop("auto") - stop("high")], [1_500, 500]);
}

#[test]
fn an_idle_caller_is_prompted_after_the_agent_has_finished_speaking() {
    let detection = json!({"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5_000}});
    let mut bench = Bench::phone_with(&detection, Setup { speed: f32::INFINITY, ..setup() });
    bench.send(&create());
    bench.pass(300);
    let audio_ms = bench.record().responses[0].generated_ms;
    let before = bench.say(&silence(audio_ms + 4_900));
    assert_eq!(of_kind(&before, "input_audio_buffer.timeout_triggered").len(), 0);
    let events = bench.say(&silence(400));
    let order = kinds(&events);
    assert_eq!(order[..2], ["input_audio_buffer.timeout_triggered", "input_audio_buffer.committed"]);
    only(&events, "response.created");
}

#[test]
fn a_buffer_is_committed_by_hand_if_there_is_something_in_it() {
    let mut bench = Bench::phone_with(&json!({"turn_detection": null}), setup());
    let commit = json!({"type": "input_audio_buffer.commit"});
    let (code, error) = bench.refused(&commit);
    assert_eq!(code, "input_audio_buffer_commit_empty");
    assert!(error["message"].as_str().unwrap().contains("only has 0.00ms"), "{error}");
    bench.send(&append(&[0xFF; 8 * 99]));
    assert_eq!(bench.refused(&commit).0, "input_audio_buffer_commit_empty");
    bench.send(&append(&[0xFF; 8]));
    let events = bench.ask(&commit);
    assert_eq!(
        kinds(&events),
        ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"]
    );
    bench.send(&append(&[0xFF; 8 * 200]));
    assert_eq!(
        kinds(&bench.ask(&json!({"type": "input_audio_buffer.clear"}))),
        ["input_audio_buffer.cleared"]
    );
    assert_eq!(bench.refused(&commit).0, "input_audio_buffer_commit_empty");
}

#[test]
fn transcripts_come_in_their_own_time_and_say_what_the_demo_caller_says() {
    let detection = json!({
        "transcription": {"model": "gpt-transcribe"},
        "turn_detection": {"type": "server_vad", "create_response": false},
    });
    let mut bench = Bench::phone_with(&detection, setup());
    let mut delays = Vec::new();
    let mut texts = Vec::new();
    let known = [&caller_line(1)[..], &silence(1_000)].concat();
    let unknown = [speech::sentence("castle").unwrap().audio, &silence(1_000)].concat();
    for line in [&known, &unknown].into_iter().cycle().take(12) {
        let mut events = bench.say(line);
        let mut waited = 500;
        while of_kind(&events, "conversation.item.input_audio_transcription.completed").is_empty() {
            events.extend(bench.pass(20));
            waited += 20;
        }
        delays.push(waited);
        let completed = only(&events, "conversation.item.input_audio_transcription.completed");
        texts.push(completed["transcript"].as_str().unwrap().to_owned());
        assert_eq!(completed["usage"]["type"], "tokens");
    }
    for (known, unknown) in texts.chunks(2).map(|pair| (&pair[0], &pair[1])) {
        assert_eq!((known.as_str(), &unknown[..9]), ("Good. And what is there to see in town?", "(speech, "));
    }
    assert!(delays.iter().any(|delay| *delay > 1_500), "none was late: {delays:?}");
    assert!(delays.iter().any(|delay| *delay < 1_000), "all were late: {delays:?}");
}

#[test]
fn audio_that_is_none_is_refused_or_noted() {
    let mut bench = Bench::phone();
    for audio in ["%%%", "AA", "_-8="] {
        let (code, error) = bench.refused(&json!({"type": "input_audio_buffer.append", "audio": audio}));
        assert_eq!((code.as_str(), &error["param"]), ("invalid_value", &json!("audio")), "{audio}");
    }
    let (code, _) = bench.refused(&json!({"type": "input_audio_buffer.append"}));
    assert_eq!(code, "missing_required_parameter");
    assert_eq!(bench.ask(&append(&[])), Vec::<Value>::new());
    let (code, _) = bench.refused(&append(&vec![0; (15 << 20) + 1]));
    assert_eq!(code, "invalid_value");
    assert_eq!(bench.record().violations, ["an append without audio"]);
}

#[test]
fn an_append_that_ends_within_a_sample_is_noted_and_the_rest_awaited() {
    let mut bench = Bench::open(setup());
    bench.pass(0);
    for _ in 0..2 {
        bench.send(&append(&[7; 479]));
    }
    let record = bench.record();
    assert_eq!(record.violations[1..], ["an append that ends within a 16-bit sample"; 2]);
    assert_eq!((record.audio.len(), record.audio_received_ms), (958, 19));
}
