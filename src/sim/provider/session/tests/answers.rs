//! Responses: order, pace, cancelling, truncating, tokens.

use super::*;

#[test]
fn the_greeting_comes_first_and_then_the_answers_in_rotation() {
    let mut bench = Bench::phone();
    let mut texts = Vec::new();
    for _ in 0..8 {
        bench.send(&create());
        let events = bench.pass(8_000);
        texts.push(only(&events, "response.output_audio_transcript.done")["transcript"].clone());
        assert_eq!(
            texts.last(),
            Some(&only(&events, "response.done")["response"]["output"][0]["content"][0]["transcript"])
        );
    }
    let all: Vec<Value> = speech::sentences().map(|sentence| json!(sentence.text)).collect();
    assert_eq!(texts[..7], all);
    assert_eq!(texts[7], all[1]);
}

#[test]
fn audio_is_what_was_recorded_at_the_pace_that_was_asked_for() {
    let mut bench = Bench::phone();
    bench.send(&create());
    assert_eq!(of_kind(&bench.pass(249), "response.output_audio.delta").len(), 0);
    let mut events = bench.pass(1);
    assert_eq!(of_kind(&events, "response.output_audio.delta").len(), 1);
    let greeting = speech::sentence("greeting").unwrap();
    events.extend(bench.pass(500));
    let after_half_a_second = audio_of(&events).len() / 8;
    assert!((1_500..1_500 + 240).contains(&after_half_a_second), "{after_half_a_second} ms at triple speed");
    events.extend(bench.pass(5_000));
    assert_eq!(audio_of(&events), greeting.audio);
}

#[test]
fn a_conversation_continued_elsewhere_goes_on_where_it_stood() {
    let mut bench = Bench::phone();
    let line = |id| speech::sentence(id).unwrap().text;
    for (role, text) in [
        ("assistant", line("greeting")),
        ("user", "Can I still check in?"),
        ("assistant", line("late-arrival")),
        ("user", "And what is there to see?"),
    ] {
        let events = bench.ask(&history(role, text));
        assert_eq!(kinds(&events), ["conversation.item.added", "conversation.item.done"]);
    }
    bench.send(&create());
    let events = bench.pass(8_000);
    let said = &only(&events, "response.output_audio_transcript.done")["transcript"];
    assert_eq!(said, speech::sentence("old-town").unwrap().text, "greeting and first answer are behind it");
}

/// An item with something that was said before this session.
fn history(role: &str, text: &str) -> Value {
    let kind = if role == "user" { "input_text" } else { "output_text" };
    let item = json!({"type": "message", "role": role, "content": [{"type": kind, "text": text}]});
    json!({"type": "conversation.item.create", "item": item})
}

#[test]
fn a_line_that_another_engine_began_is_said_to_its_end_in_its_own_sound() {
    let mut bench = Bench::phone();
    bench.send(&history("user", "What is there to see?"));
    bench.send(&history("assistant", "Happily. You could start at the fish market"));
    bench.events();
    bench.send(&create());
    let events = bench.pass(8_000);
    let said = only(&events, "response.output_audio_transcript.done")["transcript"].as_str().unwrap();
    assert!(said.starts_with("which opens at six, walk"), "{said}");
    let whole = speech::sentence("old-town").unwrap();
    let (audio, from) =
        (audio_of(&events), whole.audio.len() - whole.audio.len() * said.len() / whole.text.len());
    assert!(audio.len().abs_diff(whole.audio.len() - from) <= 8, "{} bytes", audio.len());
    assert!(whole.audio.ends_with(&audio[800..]));
}

#[test]
fn a_truncated_line_is_remembered_as_far_as_it_was_heard() {
    let mut bench = Bench::phone_with(&json!({}), Setup { speed: f32::INFINITY, ..setup() });
    bench.send(&create());
    let events = bench.pass(300);
    let item = events.iter().find_map(|event| event["item_id"].as_str()).unwrap().to_owned();
    bench.ask(&truncate(&item, whole_ms("greeting") / 2));
    bench.send(&create());
    let events = bench.pass(300);
    let rest = only(&events, "response.output_audio_transcript.done")["transcript"].as_str().unwrap();
    let greeting = speech::sentence("greeting").unwrap().text;
    assert!(greeting.ends_with(rest) && (greeting.len() / 2).abs_diff(rest.len()) < 8, "{rest}");
}

#[test]
fn only_one_response_writes_to_the_conversation() {
    let mut bench = Bench::phone();
    bench.send(&create());
    let (code, error) = bench.refused(&create());
    assert_eq!(code, "conversation_already_has_active_response");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .starts_with("Conversation already has an active response in progress: resp_")
    );
    bench.send(&json!({"type": "response.create", "response": {"conversation": "none", "metadata": {"topic": "summary"}}}));
    let events = bench.pass(8_000);
    let dones = of_kind(&events, "response.done");
    assert_eq!(dones.len(), 2);
    let aside = dones.iter().find(|done| done["response"]["conversation_id"].is_null()).unwrap();
    assert_eq!(aside["response"]["metadata"], json!({"topic": "summary"}));
    let item = aside["response"]["output"][0]["id"].as_str().unwrap();
    assert_eq!(
        bench.refused(&json!({"type": "conversation.item.delete", "item_id": item})).0,
        "item_delete_invalid_item_id"
    );
    assert_eq!(of_kind(&events, "conversation.item.added").len(), 1);
}

#[test]
fn a_cancel_ends_what_is_running_and_nothing_else() {
    let mut bench = Bench::phone();
    let cancel = json!({"type": "response.cancel"});
    assert_eq!(bench.refused(&cancel).0, "response_cancel_not_active");
    bench.send(&create());
    assert_eq!(
        bench.refused(&cancel).0,
        "response_cancel_not_active",
        "before response.created it finds nothing"
    );
    let mut events = bench.pass(400);
    let id = only(&events, "response.created")["response"]["id"].clone();
    assert_eq!(
        bench.refused(&json!({"type": "response.cancel", "response_id": "resp_other"})).0,
        "response_cancel_not_active"
    );
    events.extend(bench.ask(&json!({"type": "response.cancel", "response_id": id})));
    let done = &only(&events, "response.done")["response"];
    assert_eq!(done["status"], "cancelled");
    assert_eq!(done["status_details"], json!({"type": "cancelled", "reason": "client_cancelled"}));
    assert_eq!(done["output"][0]["status"], "incomplete");
    only(&events, "response.output_audio.done");
    assert!(
        done["usage"]["output_token_details"]["audio_tokens"].as_u64().unwrap() > 0,
        "what was made is billed"
    );
    assert_eq!(bench.pass(5_000), Vec::<Value>::new());
    let response = &bench.record().responses[0];
    assert_eq!((response.status, response.items.len()), ("cancelled", 1));
    assert_eq!(response.generated_ms, audio_of(&events).len() as u64 / 8);
}

#[test]
fn a_response_cancelled_before_it_spoke_has_no_output() {
    let mut bench = Bench::phone();
    bench.send(&create());
    bench.pass(100);
    let events = bench.ask(&json!({"type": "response.cancel"}));
    assert_eq!(kinds(&events), ["response.done"]);
    assert_eq!(events[0]["response"]["output"], json!([]));
}

#[test]
fn truncation_cuts_to_what_was_heard_and_never_past_the_end() {
    let mut bench = Bench::phone_with(&json!({}), Setup { speed: f32::INFINITY, ..setup() });
    bench.send(&create());
    let events = bench.pass(300);
    let item = events.iter().find_map(|event| event["item_id"].as_str()).unwrap().to_owned();
    let whole = whole_ms("greeting");

    let (code, error) = bench.refused(&truncate(&item, whole + 1));
    assert_eq!(code, "invalid_value");
    let message = format!("Audio content of {whole}ms is already shorter than {}ms", whole + 1);
    assert_eq!(error["message"], message);
    let retrieve = json!({"type": "conversation.item.retrieve", "item_id": item});
    let kept = &bench.ask(&retrieve)[0]["item"]["content"][0];
    assert!(kept["transcript"].is_string(), "nothing was cut: {kept}");

    let events = bench.ask(&truncate(&item, 1_234));
    assert_eq!(kinds(&events), ["conversation.item.truncated"]);
    assert_eq!((&events[0]["item_id"], &events[0]["audio_end_ms"]), (&json!(item), &json!(1_234)));
    let cut = bench.ask(&retrieve)[0]["item"]["content"][0].clone();
    assert!(cut["transcript"].is_null());
    assert_eq!(BASE64_STANDARD.decode(cut["audio"].as_str().unwrap()).unwrap().len(), 1_234 * 8);
    assert_eq!(bench.refused(&truncate(&item, 1_235)).0, "invalid_value");

    let asked: Vec<_> =
        bench.record().truncations.iter().map(|cut| (cut.audio_end_ms, cut.item_ms, cut.accepted)).collect();
    assert_eq!(asked, [(whole + 1, whole, false), (1_234, whole, true), (1_235, 1_234, false)]);
}

#[test]
fn only_the_agents_own_speech_can_be_truncated() {
    let mut bench = Bench::phone();
    assert_eq!(bench.refused(&truncate("item_nobody", 1)).0, "item_truncate_invalid_item_id");
    let events = bench.say_sentence("castle");
    let user = only(&events, "input_audio_buffer.committed")["item_id"].as_str().unwrap().to_owned();
    let (code, error) = bench.refused(&truncate(&user, 0));
    assert_eq!(code, "invalid_value");
    assert_eq!(error["message"], "Only model output audio messages can be truncated");
    let agent = bench.pass(5_000);
    let agent =
        agent.iter().find_map(|event| event["item_id"].as_str().filter(|id| *id != user)).unwrap().to_owned();
    for (key, value, code) in [
        ("content_index", json!(1), "invalid_value"),
        ("content_index", json!(-1), "invalid_value"),
        ("audio_end_ms", json!(-20), "invalid_value"),
        ("audio_end_ms", json!(12.5), "invalid_type"),
        ("audio_end_ms", json!("120"), "invalid_type"),
        ("extra", json!(1), "unknown_parameter"),
    ] {
        let mut event = truncate(&agent, 0);
        event[key] = value;
        assert_eq!(bench.refused(&event).0, code, "{event}");
    }
    for key in ["item_id", "content_index", "audio_end_ms"] {
        let mut event = truncate(&agent, 0);
        event.as_object_mut().unwrap().remove(key);
        assert_eq!(bench.refused(&event).0, "missing_required_parameter", "{event}");
    }
}

#[test]
fn an_agent_truncated_while_it_speaks_adds_no_more_to_its_item() {
    let mut bench = Bench::phone_with(&json!({}), Setup { speed: 1.0, ..setup() });
    bench.send(&create());
    let events = bench.pass(1_500);
    let item = events.iter().find_map(|event| event["item_id"].as_str()).unwrap().to_owned();
    bench.send(&truncate(&item, 700));
    bench.pass(5_000);
    let kept = bench.ask(&json!({"type": "conversation.item.retrieve", "item_id": item}));
    assert_eq!(
        BASE64_STANDARD.decode(kept[0]["item"]["content"][0]["audio"].as_str().unwrap()).unwrap().len(),
        5_600
    );
}

#[test]
fn text_is_written_instead_of_spoken_when_asked_for() {
    let mut bench = Bench::phone();
    bench.send(&json!({"type": "response.create", "response": {"output_modalities": ["text"]}}));
    let events = bench.pass(5_000);
    let greeting = speech::sentence("greeting").unwrap().text;
    let deltas: String = of_kind(&events, "response.output_text.delta")
        .iter()
        .map(|delta| delta["delta"].as_str().unwrap())
        .collect();
    assert_eq!(deltas, greeting);
    assert_eq!(only(&events, "response.output_text.done")["text"], greeting);
    assert_eq!(
        only(&events, "response.content_part.done")["part"],
        json!({"type": "text", "text": greeting})
    );
    let done = &only(&events, "response.done")["response"];
    assert_eq!(done["output"][0]["content"][0], json!({"type": "output_text", "text": greeting}));
    assert_eq!(done["usage"]["output_token_details"]["audio_tokens"], 0);
    assert_eq!(of_kind(&events, "response.output_audio.delta").len(), 0);
}

#[test]
fn tokens_are_counted_as_the_price_list_does() {
    let mut bench = Bench::phone();
    bench.send(&json!({"type": "session.update", "session": {"type": "realtime", "instructions": "x".repeat(4_000)}}));
    bench.pass(20);
    let mut events = bench.say_sentence("castle");
    events.extend(bench.pass(5_000));
    let usage = &only(&events, "response.done")["response"]["usage"];
    let turn = &bench.record().turns[0];
    let answer_ms = bench.record().responses[0].generated_ms;
    let answer = speech::sentence("late-arrival").unwrap();
    let spoken_tokens = answer.text.len().div_ceil(4) as u64;
    let caller_tokens = (turn.speech_stop_ms - turn.speech_start_ms).div_ceil(100);
    assert_eq!(usage["input_token_details"]["audio_tokens"], caller_tokens);
    assert_eq!(usage["input_token_details"]["text_tokens"], 1_000);
    assert_eq!(usage["input_token_details"]["cached_tokens"], 0);
    assert_eq!(usage["output_token_details"]["audio_tokens"], answer_ms.div_ceil(50));
    assert_eq!(usage["output_token_details"]["text_tokens"], spoken_tokens);
    let sum = |key: &str| usage[key].as_u64().unwrap();
    assert_eq!(sum("total_tokens"), sum("input_tokens") + sum("output_tokens"));

    bench.send(&create());
    let events = bench.pass(8_000);
    let usage = &only(&events, "response.done")["response"]["usage"]["input_token_details"];
    assert_eq!(
        usage["audio_tokens"],
        caller_tokens + answer_ms.div_ceil(50),
        "the whole conversation is read again"
    );
    assert_eq!(usage["cached_tokens_details"]["text_tokens"], 1_000 / 64 * 64);
}

#[test]
fn a_token_limit_leaves_a_response_incomplete() {
    let mut bench = Bench::phone();
    bench.send(&json!({"type": "response.create", "response": {"max_output_tokens": 20}}));
    let events = bench.pass(5_000);
    let done = &only(&events, "response.done")["response"];
    assert_eq!(done["status"], "incomplete");
    assert_eq!(done["status_details"], json!({"type": "incomplete", "reason": "max_output_tokens"}));
    assert_eq!(audio_of(&events).len(), 20 * 50 * 8);
    assert_eq!(bench.record().responses[0].status, "incomplete");
}

#[test]
fn response_fields_are_read_as_strictly_as_settings() {
    let mut bench = Bench::phone();
    let many: Map<String, Value> = (0..17).map(|n| (n.to_string(), json!("x"))).collect();
    for (response, code, param) in [
        (json!({"voice": "echo"}), "unknown_parameter", "response.voice"),
        (json!({"modalities": ["text"]}), "unknown_parameter", "response.modalities"),
        (json!({"conversation": "new"}), "invalid_value", "response.conversation"),
        (json!({"metadata": many}), "invalid_value", "response.metadata"),
        (json!({"metadata": {"n": 1}}), "invalid_value", "response.metadata"),
        (json!({"input": "hello"}), "invalid_type", "response.input"),
        (json!({"audio": {"input": {}}}), "unknown_parameter", "response.audio.input"),
        (json!({"audio": {"output": {"speed": 1.1}}}), "unknown_parameter", "response.audio.output.speed"),
    ] {
        let (found, error) = bench.refused(&json!({"type": "response.create", "response": response}));
        assert_eq!((found.as_str(), &error["param"]), (code, &json!(param)), "{response}");
    }
    assert_eq!(bench.pass(1_000), Vec::<Value>::new());
}
