//! What is no proper request, and what providers are told to refuse.

use super::*;

/// The status, code and parameter that a body is refused with.
#[track_caller]
fn refused(path: &str, body: &Value) -> (u16, String, String) {
    let answer = Bench::new().post(path, body);
    let error = json_of(&answer)["error"].clone();
    let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
    assert!(!text("message").is_empty() && text("type") == "invalid_request_error", "{body}: {error}");
    (answer.status.as_u16(), text("code"), text("param"))
}

/// A proper body with some of it changed; null takes a field out.
fn with(mut body: Value, changes: &Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        if value.is_null() {
            body.as_object_mut().unwrap().remove(key);
        } else {
            body[key] = value.clone();
        }
    }
    body
}

#[track_caller]
fn assert_refused(path: &str, proper: &Value, cases: &[(Value, &str, &str)]) {
    assert_eq!(Bench::new().post(path, proper).status, StatusCode::OK, "the proper one");
    for (changes, code, param) in cases {
        let told = refused(path, &with(proper.clone(), changes));
        assert_eq!(told, (400, (*code).to_owned(), (*param).to_owned()), "{changes}");
    }
}

#[test]
fn chats_that_make_no_sense_are_refused() {
    let user = json!({"role": "user", "content": "Hello?"});
    let function = json!({"type": "function", "function": {"name": "f"}});
    let called = json!({"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "{}"});
    assert_refused(
        "chat/completions",
        &json!({"model": "gpt-6-luna", "messages": [user, called, result("c")], "temperature": 1}),
        &[
            (json!({"model": null}), "", ""),
            (json!({"model": 7}), "invalid_type", "model"),
            (json!({"model": "gpt-realtime-2.1"}), "unsupported_model", "model"),
            (json!({"model": "whisper-1"}), "unsupported_model", "model"),
            (json!({"messages": null}), "missing_required_parameter", "messages"),
            (json!({"messages": []}), "empty_array", "messages"),
            (json!({"messages": "Hello?"}), "invalid_type", "messages"),
            (json!({"messages": ["Hello?"]}), "invalid_type", "messages[0]"),
            (json!({"messages": [{"content": "Hello?"}]}), "missing_required_parameter", "messages[0].role"),
            (json!({"messages": [{"role": "caller", "content": ""}]}), "invalid_value", "messages[0].role"),
            (json!({"messages": [{"role": "user"}]}), "missing_required_parameter", "messages[0].content"),
            (
                json!({"messages": [{"role": "assistant"}]}),
                "missing_required_parameter",
                "messages[0].content",
            ),
            (
                json!({"messages": [{"role": "user", "content": [{"type": "poem"}]}]}),
                "invalid_value",
                "messages[0].content[0].type",
            ),
            (json!({"messages": [user, result("c")]}), "invalid_value", "messages[1]"),
            (json!({"messages": [user, called, result("d")]}), "invalid_value", "messages[2]"),
            (json!({"messages": [user, called, user]}), "", "messages"),
            (json!({"messages": [user, called]}), "", "messages"),
            (json!({"stream": "yes"}), "invalid_type", "stream"),
            (json!({"stream_options": {"include_usage": true}}), "invalid_value", "stream_options"),
            (json!({"max_completion_tokens": 0}), "invalid_value", "max_completion_tokens"),
            (json!({"max_tokens": 100}), "unsupported_parameter", "max_tokens"),
            (json!({"temperature": 3}), "invalid_value", "temperature"),
            (json!({"reasoning_effort": "huge"}), "invalid_value", "reasoning_effort"),
            (json!({"tools": [function]}), "", "reasoning_effort"),
            (json!({"tools": [{"type": "function", "name": "f"}]}), "unknown_parameter", "tools[0].name"),
            (json!({"tool_choice": "required"}), "invalid_value", "tool_choice"),
            (json!({"n": 2}), "invalid_value", "n"),
            (json!({"mesages": []}), "unknown_parameter", "mesages"),
        ],
    );
}

#[test]
fn responses_that_make_no_sense_are_refused() {
    let call = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"});
    let output = json!({"type": "function_call_output", "call_id": "c", "output": "{}"});
    assert_refused(
        "responses",
        &json!({"model": "gpt-6.1-sol", "input": [{"role": "user", "content": "Hello?"}, call, output]}),
        &[
            (json!({"model": null}), "", ""),
            (json!({"model": "gpt-4o-mini-tts"}), "unsupported_model", "model"),
            (json!({"input": null}), "missing_required_parameter", "input"),
            (json!({"input": 7}), "invalid_type", "input"),
            (json!({"input": [{"type": "thought"}]}), "invalid_value", "input[0].type"),
            (json!({"input": [{"role": "tool", "content": ""}]}), "invalid_value", "input[0].role"),
            (
                json!({"input": [{"role": "user", "content": [{"type": "output_text", "text": ""}]}]}),
                "invalid_value",
                "input[0].content[0].type",
            ),
            (json!({"input": [output]}), "", "input"),
            (json!({"input": [call]}), "", "input"),
            (
                json!({"previous_response_id": "resp_1"}),
                "previous_response_not_found",
                "previous_response_id",
            ),
            (json!({"conversation": "conv_1"}), "invalid_value", "conversation"),
            (json!({"background": true}), "invalid_value", "background"),
            (json!({"max_output_tokens": 15}), "integer_below_min_value", "max_output_tokens"),
            (json!({"reasoning": {"effort": "huge"}}), "invalid_value", "reasoning.effort"),
            (json!({"tools": [{"type": "web_search"}]}), "invalid_value", "tools[0].type"),
            (
                json!({"tools": [{"type": "function", "function": {"name": "f"}}]}),
                "unknown_parameter",
                "tools[0].function",
            ),
            (json!({"stream_options": {"include_obfuscation": false}}), "invalid_value", "stream_options"),
            (json!({"messages": []}), "unknown_parameter", "messages"),
        ],
    );
}

#[test]
fn texts_that_cannot_be_spoken_are_refused() {
    assert_refused(
        "audio/speech",
        &json!({"model": "kokoro", "voice": "af_bella", "input": "x".repeat(4_096), "response_format": "wav"}),
        &[
            (json!({"model": null}), "", ""),
            (json!({"model": "gpt-6-luna"}), "unsupported_model", "model"),
            (json!({"input": null}), "missing_required_parameter", "input"),
            (json!({"input": ""}), "string_below_min_length", "input"),
            (json!({"input": "x".repeat(4_097)}), "string_above_max_length", "input"),
            (json!({"voice": null}), "missing_required_parameter", "voice"),
            (json!({"voice": 7}), "invalid_type", "voice"),
            (json!({"response_format": null}), "unsupported_value", "response_format"),
            (json!({"response_format": "mp3"}), "unsupported_value", "response_format"),
            (json!({"response_format": "midi"}), "invalid_value", "response_format"),
            (json!({"speed": 5}), "invalid_value", "speed"),
            (json!({"stream_format": "morse"}), "invalid_value", "stream_format"),
            (json!({"model": "tts-1", "stream_format": "sse"}), "invalid_value", "stream_format"),
            (json!({"text": "Hello."}), "unknown_parameter", "text"),
        ],
    );
}

#[test]
fn what_is_no_json_object_is_refused_as_that() {
    for path in ["chat/completions", "responses", "audio/speech"] {
        for body in ["", "{", "[]", "\"Hello?\"", "\u{0}"] {
            let answer = Bench::new().ask(path, &[("authorization", "Bearer k")], body.as_bytes().to_vec());
            let message = json_of(&answer)["error"]["message"].as_str().unwrap().to_owned();
            assert!(
                answer.status == 400 && message.starts_with("We could not parse the JSON body"),
                "{path} {body:?}"
            );
        }
    }
}

#[test]
fn elevenlabs_refuses_in_its_own_words() {
    let path = "text-to-speech/rachel/stream?output_format=ulaw_8000";
    for (body, status, place) in [
        (json!({"model_id": "m"}), 422, json!(["body", "text"])),
        (json!({"text": 7}), 422, json!(["body", "text"])),
    ] {
        let answer = Bench::new().post(path, &body);
        assert_eq!((answer.status.as_u16(), &json_of(&answer)["detail"][0]["loc"]), (status, &place));
    }
    let answer = Bench::new().ask(path, &[("xi-api-key", "k")], b"{".to_vec());
    assert_eq!(json_of(&answer)["detail"][0]["type"], "json_invalid");
    let told = |path: &str, headers: &[(&str, &str)], text: &str, options: ProviderOptions| {
        let answer = Bench::with(options).ask(path, headers, json!({"text": text}).to_string().into_bytes());
        (answer.status.as_u16(), json_of(&answer)["detail"]["status"].as_str().unwrap().to_owned())
    };
    let open = ProviderOptions::default;
    let locked = || ProviderOptions { api_key: Some("right".to_owned()), ..ProviderOptions::default() };
    let key = [("xi-api-key", "wrong")];
    assert_eq!(told(path, &[], "Hi", open()), (401, "needs_authorization".to_owned()));
    assert_eq!(told(path, &key, "Hi", locked()), (401, "invalid_api_key".to_owned()));
    assert_eq!(told("text-to-speech/rachel", &key, "Hi", open()), (400, "invalid_output_format".to_owned()));
    let long = "x".repeat(40_001);
    assert_eq!(told(path, &key, &long, open()), (400, "max_character_limit_exceeded".to_owned()));
}

#[test]
fn a_key_is_needed_and_the_configured_one_where_there_is_one() {
    let locked =
        Bench::with(ProviderOptions { api_key: Some("sk-right".to_owned()), ..ProviderOptions::default() });
    for (bench, key, status) in [
        (&Bench::new(), None, 401),
        (&Bench::new(), Some("Basic sk-right"), 401),
        (&Bench::new(), Some("Bearer anything"), 200),
        (&locked, Some("Bearer anything"), 401),
        (&locked, Some("Bearer sk-right"), 200),
    ] {
        let headers: Vec<(&str, &str)> = key.map(|key| ("authorization", key)).into_iter().collect();
        assert_eq!(bench.ask("models", &headers, Vec::new()).status.as_u16(), status, "{key:?}");
    }
}

#[test]
fn an_ordered_status_comes_in_the_shape_of_every_endpoint() {
    for (status, kind, code) in [
        (401, "invalid_request_error", "invalid_api_key"),
        (429, "rate_limit_error", "rate_limit_exceeded"),
        (503, "server_error", "server_error"),
    ] {
        let bench = Bench::with_fault(&format!("http:{status}"));
        for path in ["chat/completions", "responses", "audio/speech", "audio/transcriptions", "models"] {
            let answer = bench.post(path, &json!({}));
            let error = json_of(&answer)["error"].clone();
            assert_eq!(
                (answer.status.as_u16(), &error["type"], &error["code"]),
                (status, &json!(kind), &json!(code))
            );
        }
        let answer = bench.post("text-to-speech/rachel/stream", &json!({}));
        assert_eq!((answer.status.as_u16(), &json_of(&answer)["detail"]["status"]), (status, &json!(code)));
    }
}
