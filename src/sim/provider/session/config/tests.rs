use super::*;

/// The settings after an update of a fresh session of a reasoning model.
fn update(session: &Value) -> Result<Settings, Refused> {
    update_of(&Settings::new("gpt-realtime-2.1".to_owned()), session, false)
}

fn update_of(settings: &Settings, session: &Value, voice_locked: bool) -> Result<Settings, Refused> {
    let event = json!({"session": session});
    let fields = Fields::of_event(event.as_object().unwrap(), &["session"]).unwrap();
    settings.updated(&fields.required("session").unwrap(), voice_locked)
}

#[test]
fn everything_an_update_may_say_is_echoed() {
    let session = json!({
        "type": "realtime",
        "model": "gpt-realtime-2.1",
        "instructions": "You are the night desk.",
        "output_modalities": ["audio"],
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "transcription": {"model": "gpt-transcribe", "languages": ["en"], "keywords": ["Tandem"]},
                "noise_reduction": {"type": "far_field"},
                "turn_detection": {
                    "type": "server_vad", "threshold": 0.55, "prefix_padding_ms": 200, "silence_duration_ms": 450,
                    "create_response": false, "interrupt_response": false, "idle_timeout_ms": 6000,
                },
            },
            "output": {"format": {"type": "audio/pcma"}, "voice": {"id": "voice_1"}, "speed": 1.25},
        },
        "reasoning": {"effort": "low"},
        "parallel_tool_calls": true,
        "tools": [
            {"type": "function", "name": "room", "description": "Look up.", "parameters": {"type": "object"}},
            {"type": "mcp", "server_label": "house", "server_url": "https://house.example"},
        ],
        "tool_choice": {"type": "function", "name": "room"},
        "max_output_tokens": 1200,
        "truncation": {"type": "retention_ratio", "retention_ratio": 0.8, "token_limits": {"post_instructions": 9000}},
        "tracing": {"workflow_name": "desk"},
        "prompt": {"id": "pmpt_1"},
        "include": ["item.input_audio_transcription.logprobs"],
    });
    let echo = update(&session).unwrap().to_json("sess_1", 7);
    for (key, value) in session.as_object().unwrap() {
        assert_eq!(&echo[key], value, "{key}");
    }
    assert_eq!(
        (&echo["id"], &echo["object"], &echo["expires_at"]),
        (&json!("sess_1"), &json!("realtime.session"), &json!(7))
    );
}

#[test]
fn what_an_update_leaves_out_stays_and_what_it_clears_is_gone() {
    let first = update(&json!({
        "type": "realtime", "instructions": "Be kind.", "tools": [{"type": "function", "name": "room"}],
        "max_output_tokens": 50,
        "audio": {"input": {"format": {"type": "audio/pcmu"}, "transcription": {"model": "whisper-1"}}},
    }))
    .unwrap();
    let same = update_of(&first, &json!({"type": "realtime"}), true).unwrap();
    assert_eq!(same, first);
    let cleared = json!({
        "type": "realtime", "instructions": "", "tools": null, "max_output_tokens": "inf",
        "audio": {"input": {"transcription": null, "turn_detection": null, "noise_reduction": null}},
    });
    let cleared = update_of(&first, &cleared, false).unwrap();
    assert_eq!((cleared.voicing.instructions.as_str(), cleared.voicing.tools.len()), ("", 0));
    assert_eq!((cleared.transcription, cleared.turn_detection, cleared.input), (None, None, Format::Pcmu));
    assert_eq!(cleared.voicing.tokens_max, None);
}

#[test]
fn turn_detection_that_is_given_again_starts_from_its_defaults() {
    let detection = |json: &Value| {
        let session = json!({"type": "realtime", "audio": {"input": {"turn_detection": json}}});
        update(&session).unwrap().turn_detection.unwrap()
    };
    let server = detection(&json!({"type": "server_vad"}));
    assert_eq!((server.threshold(), server.prefix_padding_ms(), server.silence_ms()), (0.5, 300, 500));
    assert!(server.create_response() && server.interrupt_response() && server.idle_timeout_ms().is_none());
    let waits = ["low", "medium", "high", "auto"]
        .map(|eagerness| detection(&json!({"type": "semantic_vad", "eagerness": eagerness})).silence_ms());
    assert_eq!(waits, [2_000, 1_000, 500, 1_000]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_bad_field_is_refused_by_its_path() {
    let audio = |input: Value, output: Value| json!({"type": "realtime", "audio": {"input": input, "output": output}});
    let none = || json!({});
    let detection = |json: Value| audio(json!({"turn_detection": json}), json!({}));
    let transcription = |json: Value| audio(json!({"transcription": json}), json!({}));
    let session = |key: &str, value: Value| json!({"type": "realtime", key: value});
    for (update_json, code, param) in [
        (json!("realtime"), "invalid_type", "session"),
        (json!({}), "missing_required_parameter", "session.type"),
        (json!({"type": "transcription"}), "invalid_value", "session.type"),
        (json!({"type": "chat"}), "invalid_value", "session.type"),
        // The beta dialect.
        (session("voice", json!("echo")), "unknown_parameter", "session.voice"),
        (session("modalities", json!(["audio", "text"])), "unknown_parameter", "session.modalities"),
        (
            session("input_audio_format", json!("g711_ulaw")),
            "unknown_parameter",
            "session.input_audio_format",
        ),
        (session("temperature", json!(0.8)), "unknown_parameter", "session.temperature"),
        (session("turn_detection", Value::Null), "unknown_parameter", "session.turn_detection"),
        (audio(json!({"format": "g711_ulaw"}), none()), "invalid_type", "session.audio.input.format"),
        // Values.
        (session("model", json!("gpt-realtime")), "invalid_value", "session.model"),
        (
            session("output_modalities", json!(["audio", "text"])),
            "invalid_value",
            "session.output_modalities",
        ),
        (session("output_modalities", json!([])), "invalid_value", "session.output_modalities"),
        (session("output_modalities", json!(["video"])), "invalid_value", "session.output_modalities[0]"),
        (session("instructions", json!(7)), "invalid_type", "session.instructions"),
        (session("max_output_tokens", json!(0)), "invalid_value", "session.max_output_tokens"),
        (session("max_output_tokens", json!("many")), "invalid_type", "session.max_output_tokens"),
        (session("reasoning", json!({"effort": "huge"})), "invalid_value", "session.reasoning.effort"),
        (session("truncation", json!("sometimes")), "invalid_value", "session.truncation"),
        (
            session("truncation", json!({"type": "retention_ratio", "retention_ratio": 2})),
            "invalid_value",
            "session.truncation.retention_ratio",
        ),
        (session("tracing", json!("on")), "invalid_value", "session.tracing"),
        (session("prompt", json!({})), "missing_required_parameter", "session.prompt.id"),
        (session("include", json!(["everything"])), "invalid_value", "session.include[0]"),
        (session("tool_choice", json!("maybe")), "invalid_value", "session.tool_choice"),
        (
            session("tool_choice", json!({"type": "function"})),
            "missing_required_parameter",
            "session.tool_choice.name",
        ),
        (
            session("tools", json!([{"type": "function", "function": {"name": "room"}}])),
            "unknown_parameter",
            "session.tools[0].function",
        ),
        (session("tools", json!([{"name": "room"}])), "missing_required_parameter", "session.tools[0].type"),
        (
            session("tools", json!([{"type": "mcp"}])),
            "missing_required_parameter",
            "session.tools[0].server_label",
        ),
        // Audio.
        (
            audio(json!({"format": {}}), none()),
            "missing_required_parameter",
            "session.audio.input.format.type",
        ),
        (
            audio(json!({"format": {"type": "audio/opus"}}), none()),
            "invalid_value",
            "session.audio.input.format.type",
        ),
        (
            audio(json!({"format": {"type": "audio/pcm", "rate": 16000}}), none()),
            "invalid_value",
            "session.audio.input.format.rate",
        ),
        (
            audio(none(), json!({"format": {"type": "audio/pcmu", "rate": 8000}})),
            "unknown_parameter",
            "session.audio.output.format.rate",
        ),
        (audio(json!({"voice": "echo"}), none()), "unknown_parameter", "session.audio.input.voice"),
        (audio(none(), json!({"voice": "hal"})), "invalid_value", "session.audio.output.voice"),
        (audio(none(), json!({"speed": 2.0})), "invalid_value", "session.audio.output.speed"),
        (
            audio(json!({"noise_reduction": {"type": "all"}}), none()),
            "invalid_value",
            "session.audio.input.noise_reduction.type",
        ),
        // Turn detection.
        (detection(json!({})), "missing_required_parameter", "session.audio.input.turn_detection.type"),
        (
            detection(json!({"type": "server_vad", "threshold": 1.5})),
            "invalid_value",
            "session.audio.input.turn_detection.threshold",
        ),
        (
            detection(json!({"type": "server_vad", "eagerness": "low"})),
            "unknown_parameter",
            "session.audio.input.turn_detection.eagerness",
        ),
        (
            detection(json!({"type": "server_vad", "idle_timeout_ms": 100})),
            "invalid_value",
            "session.audio.input.turn_detection.idle_timeout_ms",
        ),
        (
            detection(json!({"type": "semantic_vad", "threshold": 0.5})),
            "unknown_parameter",
            "session.audio.input.turn_detection.threshold",
        ),
        // Transcription.
        (
            transcription(json!({"model": "gpt-5"})),
            "invalid_value",
            "session.audio.input.transcription.model",
        ),
        (
            transcription(json!({"model": "gpt-transcribe", "language": "en", "languages": ["en"]})),
            "invalid_value",
            "session.audio.input.transcription.languages",
        ),
        (
            transcription(json!({"model": "gpt-transcribe", "delay": "low"})),
            "invalid_value",
            "session.audio.input.transcription.delay",
        ),
        (
            transcription(json!({"model": "whisper-1", "keywords": ["x"]})),
            "invalid_value",
            "session.audio.input.transcription.keywords",
        ),
    ] {
        let refused = update(&update_json).expect_err(&update_json.to_string());
        assert_eq!(
            (refused.code.as_deref(), refused.param.as_deref()),
            (Some(code), Some(param)),
            "{update_json}"
        );
    }
}

#[test]
fn what_depends_on_what_is_already_set_is_refused_too() {
    let plain = Settings::new("gpt-realtime-1.5".to_owned());
    let refused =
        update_of(&plain, &json!({"type": "realtime", "reasoning": {"effort": "low"}}), false).unwrap_err();
    assert!(refused.message.contains("gpt-realtime-1.5"), "{}", refused.message);

    let traced = update(&json!({"type": "realtime", "tracing": "auto"})).unwrap();
    let refused = update_of(&traced, &json!({"type": "realtime", "tracing": null}), false).unwrap_err();
    assert_eq!(refused.param.as_deref(), Some("session.tracing"));

    let voice = |name: &str| json!({"type": "realtime", "audio": {"output": {"voice": name}}});
    assert!(update_of(&plain, &voice("alloy"), true).is_ok(), "the same voice is no change");
    let refused = update_of(&plain, &voice("echo"), true).unwrap_err();
    assert_eq!(refused.code.as_deref(), Some("cannot_update_voice"));
}
