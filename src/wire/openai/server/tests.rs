//! JSON composed after the API's reference: every server event, and where the dialects differ, both spellings.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::mutation::mutated;
use crate::openai::{AudioFormat, ItemKind, PartKind, ResponseStatus, StatusDetails, Usage};

/// One line of the reference: the event's spellings, its fields, those it is worthless without, what it is read as.
struct Case {
    kinds: &'static [&'static str],
    fields: Value,
    required: &'static [&'static str],
    event: ServerEvent<'static>,
}

impl Case {
    fn text(&self, kind: &str) -> String {
        let mut message = json!({ "type": kind, "event_id": "event_1", "obfuscation": "xY3z" });
        message.as_object_mut().unwrap().extend(self.fields.as_object().unwrap().clone());
        message.to_string()
    }

    fn text_with(&self, field: &str, value: Option<Value>) -> String {
        let mut message: Value = serde_json::from_str(&self.text(self.kinds[0])).unwrap();
        let fields = message.as_object_mut().unwrap();
        match value {
            Some(value) => fields.insert(field.to_owned(), value),
            None => fields.remove(field),
        };
        message.to_string()
    }
}

fn id(id: &str) -> String {
    id.to_owned()
}

fn part() -> Part {
    Part { response_id: id("resp_1"), item_id: id("item_1"), output_index: 2, content_index: 1 }
}

fn part_with(more: &Value) -> Value {
    let mut fields =
        json!({ "response_id": "resp_1", "item_id": "item_1", "output_index": 2, "content_index": 1 });
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fields
}

fn message_item() -> (Value, Box<Item>) {
    let json = json!({
        "id": "item_1", "object": "realtime.item", "type": "message", "status": "completed", "role": "assistant",
        "phase": "final_answer", "content": [{ "type": "output_audio", "transcript": "Good evening." }],
    });
    let item = Item {
        id: Some(id("item_1")),
        kind: ItemKind::Message,
        role: Some(id("assistant")),
        status: Some(id("completed")),
        phase: Some(id("final_answer")),
        content: vec![ContentPart {
            kind: PartKind::OutputAudio,
            transcript: Some(id("Good evening.")),
            ..ContentPart::default()
        }],
        ..Item::default()
    };
    (json, Box::new(item))
}

fn session() -> (Value, Box<Session>) {
    let json = json!({
        "type": "realtime", "object": "realtime.session", "id": "sess_1", "model": "gpt-realtime-2.1",
        "expires_at": 1_795_003_600, "output_modalities": ["audio"], "instructions": "Be brief.",
        "audio": {
            "input": {
                "format": { "type": "audio/pcmu" }, "transcription": null, "noise_reduction": null,
                "turn_detection": { "type": "server_vad", "threshold": 0.5 },
            },
            "output": { "format": { "type": "audio/pcm", "rate": 24000 }, "voice": "cedar", "speed": 1.0 },
        },
    });
    let session = Session {
        id: Some(id("sess_1")),
        model: Some(id("gpt-realtime-2.1")),
        expires_at: Some(1_795_003_600),
        input_format: Some(AudioFormat::Pcmu),
        output_format: Some(AudioFormat::Pcm { rate: 24_000 }),
        output_modalities: vec![id("audio")],
        instructions: Some(id("Be brief.")),
        voice: Some(id("cedar")),
        turn_detection: Some(json!({ "type": "server_vad", "threshold": 0.5 })),
        transcription: Some(Value::Null),
        noise_reduction: Some(Value::Null),
    };
    (json, Box::new(session))
}

fn response() -> (Value, Box<Response>) {
    let json = json!({
        "id": "resp_1", "object": "realtime.response", "status": "cancelled",
        "status_details": { "type": "cancelled", "reason": "turn_detected" },
        "output": [message_item().0], "conversation_id": "conv_1", "output_modalities": ["audio"],
        "max_output_tokens": "inf", "metadata": { "purpose": "greeting" },
        "usage": {
            "total_tokens": 1410, "input_tokens": 1190, "output_tokens": 220,
            "input_token_details": {
                "text_tokens": 640, "audio_tokens": 550, "image_tokens": 3, "cached_tokens": 896,
                "cached_tokens_details": { "text_tokens": 576, "audio_tokens": 320, "image_tokens": 1 },
            },
            "output_token_details": { "text_tokens": 48, "audio_tokens": 172 },
        },
    });
    let mut usage = Usage { total_tokens: 1410, input_tokens: 1190, output_tokens: 220, ..Usage::default() };
    usage.input_token_details.text_tokens = 640;
    usage.input_token_details.audio_tokens = 550;
    usage.input_token_details.image_tokens = 3;
    usage.input_token_details.cached_tokens = 896;
    usage.input_token_details.cached_tokens_details.text_tokens = 576;
    usage.input_token_details.cached_tokens_details.audio_tokens = 320;
    usage.input_token_details.cached_tokens_details.image_tokens = 1;
    usage.output_token_details.text_tokens = 48;
    usage.output_token_details.audio_tokens = 172;
    let response = Response {
        id: id("resp_1"),
        status: ResponseStatus::Cancelled,
        status_details: Some(StatusDetails {
            kind: Some(id("cancelled")),
            reason: Some(id("turn_detected")),
            error: None,
        }),
        output: vec![*message_item().1],
        conversation_id: Some(id("conv_1")),
        metadata: [(id("purpose"), id("greeting"))].into(),
        usage: Some(usage),
    };
    (json, Box::new(response))
}

fn api_error() -> (Value, ApiError) {
    let json = json!({
        "type": "invalid_request_error", "code": "invalid_value", "message": "Invalid value.",
        "param": "session.audio", "event_id": "cfg-1",
    });
    let error = ApiError {
        kind: id("invalid_request_error"),
        code: Some(id("invalid_value")),
        message: id("Invalid value."),
        param: Some(id("session.audio")),
        event_id: Some(id("cfg-1")),
    };
    (json, error)
}

/// The whole table of server events.
fn cases() -> Vec<Case> {
    let mut cases = session_cases();
    cases.extend(caller_cases());
    cases.extend(transcript_cases());
    cases.extend(conversation_cases());
    cases.extend(response_cases());
    cases.extend(tool_cases());
    cases.extend(playback_cases());
    cases
}

fn session_cases() -> Vec<Case> {
    let (session_json, session) = session();
    let (error_json, error) = api_error();
    vec![
        Case {
            kinds: &["error"],
            fields: json!({ "error": error_json }),
            required: &["error"],
            event: ServerEvent::Error(error),
        },
        Case {
            kinds: &["session.created"],
            fields: json!({ "session": session_json }),
            required: &["session"],
            event: ServerEvent::SessionCreated(session.clone()),
        },
        Case {
            kinds: &["session.updated"],
            fields: json!({ "session": session_json }),
            required: &["session"],
            event: ServerEvent::SessionUpdated(session.clone()),
        },
        Case {
            kinds: &["transcription_session.updated"],
            fields: json!({ "session": session_json }),
            required: &["session"],
            event: ServerEvent::TranscriptionSessionUpdated(session),
        },
        Case {
            kinds: &["conversation.created"],
            fields: json!({ "conversation": { "id": "conv_1", "object": "realtime.conversation" } }),
            required: &[],
            event: ServerEvent::ConversationCreated { id: Some(id("conv_1")) },
        },
        Case {
            kinds: &["rate_limits.updated"],
            fields: json!({ "rate_limits": [
                { "name": "tokens", "limit": 200_000, "remaining": 199_000, "reset_seconds": 0.3 },
            ] }),
            required: &[],
            event: ServerEvent::RateLimitsUpdated(vec![RateLimit {
                name: id("tokens"),
                limit: Some(200_000),
                remaining: Some(199_000),
                reset_seconds: Some(0.3),
            }]),
        },
    ]
}

fn caller_cases() -> Vec<Case> {
    vec![
        Case {
            kinds: &["input_audio_buffer.speech_started"],
            fields: json!({ "item_id": "item_1", "audio_start_ms": 1240 }),
            required: &[],
            event: ServerEvent::SpeechStarted { item_id: Some(id("item_1")), audio_start_ms: Some(1240) },
        },
        Case {
            kinds: &["input_audio_buffer.speech_stopped"],
            fields: json!({ "item_id": "item_1", "audio_end_ms": 3100.7 }),
            required: &[],
            event: ServerEvent::SpeechStopped { item_id: Some(id("item_1")), audio_end_ms: Some(3100) },
        },
        Case {
            kinds: &["input_audio_buffer.committed"],
            fields: json!({ "item_id": "item_1", "previous_item_id": "item_0" }),
            required: &["item_id"],
            event: ServerEvent::Committed { item_id: id("item_1"), previous_item_id: Some(id("item_0")) },
        },
        Case {
            kinds: &["input_audio_buffer.cleared"],
            fields: json!({}),
            required: &[],
            event: ServerEvent::InputCleared,
        },
        Case {
            kinds: &["input_audio_buffer.timeout_triggered"],
            fields: json!({ "item_id": "item_1", "audio_start_ms": 0, "audio_end_ms": 6000 }),
            required: &["item_id"],
            event: ServerEvent::TimeoutTriggered {
                item_id: id("item_1"),
                audio_start_ms: Some(0),
                audio_end_ms: Some(6000),
            },
        },
        Case {
            kinds: &["input_audio_buffer.dtmf_event_received"],
            fields: json!({ "event": "9", "received_at": 1_795_000_000 }),
            required: &["event"],
            event: ServerEvent::DtmfReceived { digit: id("9"), received_at_unix_s: Some(1_795_000_000) },
        },
    ]
}

fn transcript_cases() -> Vec<Case> {
    vec![
        Case {
            kinds: &["conversation.item.input_audio_transcription.delta"],
            fields: json!({ "item_id": "item_1", "content_index": 1, "delta": "a room", "logprobs": null }),
            required: &["item_id", "delta"],
            event: ServerEvent::InputTranscriptDelta {
                item_id: id("item_1"),
                content_index: 1,
                delta: id("a room"),
            },
        },
        Case {
            kinds: &["conversation.item.input_audio_transcription.completed"],
            fields: json!({
                "item_id": "item_1", "content_index": 0, "transcript": "A room, please.", "languages": ["en"],
                "usage": {
                    "type": "tokens", "total_tokens": 20, "input_tokens": 14, "output_tokens": 6,
                    "input_token_details": { "text_tokens": 1, "audio_tokens": 13 },
                },
            }),
            required: &["item_id", "transcript"],
            event: ServerEvent::InputTranscriptCompleted {
                item_id: id("item_1"),
                content_index: 0,
                transcript: id("A room, please."),
                languages: vec![id("en")],
                usage: Some(TranscriptionUsage::Tokens {
                    total: 20,
                    input: 14,
                    output: 6,
                    input_text: 1,
                    input_audio: 13,
                }),
            },
        },
        Case {
            kinds: &["conversation.item.input_audio_transcription.segment"],
            fields: json!({
                "item_id": "item_1", "content_index": 0, "id": "seg_1", "text": "A room.", "speaker": "A",
                "start": 0.0, "end": 1.5,
            }),
            required: &["item_id", "text"],
            event: ServerEvent::InputTranscriptSegment {
                item_id: id("item_1"),
                content_index: 0,
                id: Some(id("seg_1")),
                text: id("A room."),
                speaker: Some(id("A")),
                start_s: Some(0.0),
                end_s: Some(1.5),
            },
        },
        Case {
            kinds: &["conversation.item.input_audio_transcription.failed"],
            fields: json!({ "item_id": "item_1", "content_index": 0, "error": api_error().0 }),
            required: &["item_id"],
            event: ServerEvent::InputTranscriptFailed {
                item_id: id("item_1"),
                content_index: 0,
                error: api_error().1,
            },
        },
    ]
}

fn conversation_cases() -> Vec<Case> {
    let (item_json, item) = message_item();
    let fields = json!({ "previous_item_id": "item_0", "item": item_json });
    let previous_item_id = Some(id("item_0"));
    vec![
        Case {
            kinds: &["conversation.item.added", "conversation.item.created"],
            fields: fields.clone(),
            required: &["item"],
            event: ServerEvent::ItemAdded { previous_item_id: previous_item_id.clone(), item: item.clone() },
        },
        Case {
            kinds: &["conversation.item.done"],
            fields,
            required: &["item"],
            event: ServerEvent::ItemDone { previous_item_id, item: item.clone() },
        },
        Case {
            kinds: &["conversation.item.retrieved"],
            fields: json!({ "item": item_json }),
            required: &["item"],
            event: ServerEvent::ItemRetrieved { item },
        },
        Case {
            kinds: &["conversation.item.truncated"],
            fields: json!({ "item_id": "item_1", "content_index": 0, "audio_end_ms": 2340 }),
            required: &["item_id"],
            event: ServerEvent::ItemTruncated {
                item_id: id("item_1"),
                content_index: 0,
                audio_end_ms: Some(2340),
            },
        },
        Case {
            kinds: &["conversation.item.deleted"],
            fields: json!({ "item_id": "item_1" }),
            required: &["item_id"],
            event: ServerEvent::ItemDeleted { item_id: id("item_1") },
        },
    ]
}

fn response_cases() -> Vec<Case> {
    let (response_json, response) = response();
    let (item_json, item) = message_item();
    let output_item = json!({ "response_id": "resp_1", "output_index": 2, "item": item_json });
    let content_part = part_with(&json!({ "part": { "type": "audio", "transcript": "Good" } }));
    let spoken =
        ContentPart { kind: PartKind::OutputAudio, transcript: Some(id("Good")), ..ContentPart::default() };
    vec![
        Case {
            kinds: &["response.created"],
            fields: json!({ "response": response_json }),
            required: &["response"],
            event: ServerEvent::ResponseCreated(response.clone()),
        },
        Case {
            kinds: &["response.done"],
            fields: json!({ "response": response_json }),
            required: &["response"],
            event: ServerEvent::ResponseDone(response),
        },
        Case {
            kinds: &["response.output_item.added"],
            fields: output_item.clone(),
            required: &["response_id", "item"],
            event: ServerEvent::OutputItemAdded {
                response_id: id("resp_1"),
                output_index: 2,
                item: item.clone(),
            },
        },
        Case {
            kinds: &["response.output_item.done"],
            fields: output_item,
            required: &["response_id", "item"],
            event: ServerEvent::OutputItemDone { response_id: id("resp_1"), output_index: 2, item },
        },
        Case {
            kinds: &["response.content_part.added"],
            fields: content_part.clone(),
            required: &["response_id", "item_id", "part"],
            event: ServerEvent::ContentPartAdded { at: part(), part: spoken.clone() },
        },
        Case {
            kinds: &["response.content_part.done"],
            fields: content_part,
            required: &["response_id", "item_id", "part"],
            event: ServerEvent::ContentPartDone { at: part(), part: spoken },
        },
        Case {
            kinds: &["response.output_text.delta", "response.text.delta"],
            fields: part_with(&json!({ "delta": "Good" })),
            required: &["response_id", "item_id", "delta"],
            event: ServerEvent::TextDelta { at: part(), delta: id("Good") },
        },
        Case {
            kinds: &["response.output_text.done", "response.text.done"],
            fields: part_with(&json!({ "text": "Good evening." })),
            required: &["response_id", "item_id", "text"],
            event: ServerEvent::TextDone { at: part(), text: id("Good evening.") },
        },
        Case {
            kinds: &["response.output_audio.delta", "response.audio.delta"],
            fields: part_with(&json!({ "delta": "/39+AA==" })),
            required: &["response_id", "item_id", "delta"],
            event: ServerEvent::OutputAudioDelta(AudioDelta {
                response_id: "resp_1".into(),
                item_id: "item_1".into(),
                output_index: 2,
                content_index: 1,
                delta: "/39+AA==".into(),
            }),
        },
        Case {
            kinds: &["response.output_audio.done", "response.audio.done"],
            fields: part_with(&json!({})),
            required: &["response_id", "item_id"],
            event: ServerEvent::OutputAudioDone { at: part() },
        },
        Case {
            kinds: &["response.output_audio_transcript.delta", "response.audio_transcript.delta"],
            fields: part_with(&json!({ "delta": "Good" })),
            required: &["response_id", "item_id", "delta"],
            event: ServerEvent::TranscriptDelta { at: part(), delta: id("Good") },
        },
        Case {
            kinds: &["response.output_audio_transcript.done", "response.audio_transcript.done"],
            fields: part_with(&json!({ "transcript": "Good evening." })),
            required: &["response_id", "item_id", "transcript"],
            event: ServerEvent::TranscriptDone { at: part(), transcript: id("Good evening.") },
        },
    ]
}

fn tool_cases() -> Vec<Case> {
    let call = json!({ "response_id": "resp_1", "item_id": "item_1", "output_index": 2 });
    let call_with = |more: Value| {
        let mut fields = call.clone();
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fields
    };
    let mut cases = vec![
        Case {
            kinds: &["response.function_call_arguments.delta"],
            fields: call_with(json!({ "call_id": "call_1", "delta": "{\"ro" })),
            required: &["response_id", "item_id", "call_id", "delta"],
            event: ServerEvent::FunctionCallArgumentsDelta {
                response_id: id("resp_1"),
                item_id: id("item_1"),
                output_index: 2,
                call_id: id("call_1"),
                delta: id("{\"ro"),
            },
        },
        Case {
            kinds: &["response.function_call_arguments.done"],
            fields: call_with(
                json!({ "call_id": "call_1", "name": "room_status", "arguments": "{\"room\":\"204\"}" }),
            ),
            required: &["response_id", "item_id", "call_id", "arguments"],
            event: ServerEvent::FunctionCallArgumentsDone {
                response_id: id("resp_1"),
                item_id: id("item_1"),
                output_index: 2,
                call_id: id("call_1"),
                name: Some(id("room_status")),
                arguments: id("{\"room\":\"204\"}"),
            },
        },
        Case {
            kinds: &["response.mcp_call_arguments.delta"],
            fields: call_with(json!({ "delta": "{" })),
            required: &["response_id", "item_id", "delta"],
            event: ServerEvent::McpCallArgumentsDelta {
                response_id: id("resp_1"),
                item_id: id("item_1"),
                output_index: 2,
                delta: id("{"),
            },
        },
        Case {
            kinds: &["response.mcp_call_arguments.done"],
            fields: call_with(json!({ "arguments": "{}" })),
            required: &["response_id", "item_id", "arguments"],
            event: ServerEvent::McpCallArgumentsDone {
                response_id: id("resp_1"),
                item_id: id("item_1"),
                output_index: 2,
                arguments: id("{}"),
            },
        },
    ];
    for (kinds, progress) in [
        (&["response.mcp_call.in_progress"], Progress::InProgress),
        (&["response.mcp_call.completed"], Progress::Completed),
        (&["response.mcp_call.failed"], Progress::Failed),
    ] {
        let event = ServerEvent::McpCall { item_id: id("item_1"), output_index: 2, progress };
        let fields = json!({ "item_id": "item_1", "output_index": 2 });
        cases.push(Case { kinds, fields, required: &["item_id"], event });
    }
    for (kinds, progress) in [
        (&["mcp_list_tools.in_progress"], Progress::InProgress),
        (&["mcp_list_tools.completed"], Progress::Completed),
        (&["mcp_list_tools.failed"], Progress::Failed),
    ] {
        let event = ServerEvent::McpListTools { item_id: id("item_1"), progress };
        cases.push(Case { kinds, fields: json!({ "item_id": "item_1" }), required: &["item_id"], event });
    }
    cases
}

fn playback_cases() -> Vec<Case> {
    let response_id = id("resp_1");
    let case = |kinds, event| Case {
        kinds,
        fields: json!({ "response_id": "resp_1" }),
        required: &["response_id"],
        event,
    };
    vec![
        case(
            &["output_audio_buffer.started"],
            ServerEvent::OutputBufferStarted { response_id: response_id.clone() },
        ),
        case(
            &["output_audio_buffer.stopped"],
            ServerEvent::OutputBufferStopped { response_id: response_id.clone() },
        ),
        case(&["output_audio_buffer.cleared"], ServerEvent::OutputBufferCleared { response_id }),
    ]
}

// --- the table, line by line

#[test]
fn every_event_of_the_reference_is_read_in_both_spellings() {
    let spellings: Vec<_> = cases().iter().flat_map(|case| case.kinds).copied().collect();
    // 47 events of the GA reference, among them the older `conversation.item.created`; six more spelled otherwise in beta.
    assert_eq!(spellings.len(), 47 + 6);
    for case in cases() {
        for kind in case.kinds {
            assert_eq!(ServerEvent::parse(&case.text(kind)).unwrap(), case.event, "{kind}");
        }
    }
}

#[test]
fn a_known_event_without_what_it_needs_is_an_error_that_names_the_field() {
    for case in cases() {
        for field in case.fields.as_object().unwrap().keys() {
            let parsed = format!("{:?}", ServerEvent::parse(&case.text_with(field, None)));
            let kind = case.kinds[0];
            if case.required.contains(&field.as_str()) {
                assert_eq!(parsed, format!("Err(Missing {{ kind: {kind:?}, field: {field:?} }})"));
            } else {
                assert!(parsed.starts_with("Ok("), "{kind} without {field}: {parsed}");
            }
        }
    }
}

#[test]
fn null_is_the_same_as_absent() {
    for case in cases() {
        for field in case.fields.as_object().unwrap().keys() {
            let null = case.text_with(field, Some(Value::Null));
            let absent = case.text_with(field, None);
            let (null, absent) = (ServerEvent::parse(&null), ServerEvent::parse(&absent));
            assert_eq!(format!("{null:?}"), format!("{absent:?}"), "{}: {field}", case.kinds[0]);
        }
    }
}

#[test]
fn a_field_of_another_shape_is_an_error_value_or_taken_leniently() {
    for case in cases() {
        for field in case.fields.as_object().unwrap().keys() {
            for shape in [json!(-7.5), json!("text"), json!(["text", 5]), json!({ "type": 5 }), json!(true)] {
                match ServerEvent::parse(&case.text_with(field, Some(shape.clone()))) {
                    Ok(ServerEvent::Unknown { kind }) => {
                        panic!("{kind} became unknown through {field}: {shape}")
                    }
                    Ok(_) | Err(ServerEventError::Malformed { .. } | ServerEventError::Missing { .. }) => {}
                    Err(error) => panic!("{error} for {field}: {shape}"),
                }
            }
        }
    }
}

// --- the audio delta

#[test]
fn an_audio_delta_is_borrowed_and_one_with_escapes_or_new_fields_is_read_all_the_same() {
    let plain = r#"{"type":"response.output_audio.delta","event_id":"e","response_id":"r","item_id":"i","output_index":0,"content_index":0,"delta":"//8=","obfuscation":"zz"}"#;
    let escaped = plain.replace("//8=", r"\/\/8=");
    let with_news = plain.replace(r#""event_id""#, r#""news":{"a":[1]},"event_id""#);
    for (text, borrowed) in [(plain, true), (escaped.as_str(), false), (with_news.as_str(), false)] {
        match ServerEvent::parse(text) {
            Ok(ServerEvent::OutputAudioDelta(delta)) => {
                assert_eq!((&*delta.response_id, &*delta.item_id, &*delta.delta), ("r", "i", "//8="));
                assert_eq!(matches!(delta.delta, Cow::Borrowed(_)), borrowed, "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_audio_delta_without_indexes_is_the_first_part_of_the_first_item() {
    let text = r#"{"type":"response.audio.delta","response_id":"r","item_id":"i","delta":"//8="}"#;
    match ServerEvent::parse(text) {
        Ok(ServerEvent::OutputAudioDelta(delta)) => {
            assert_eq!((delta.output_index, delta.content_index), (0, 0));
        }
        other => panic!("{other:?}"),
    }
}

// --- liberties

#[test]
fn unknown_events_are_kept_by_name_whatever_they_hold() {
    for text in [
        r#"{"type":"response.cancelled"}"#,
        r#"{"type":"conversation.item.input_audio_transcription.updated","item_id":5,"transcript":["x"]}"#,
        r#"{"session":"text","error":7,"type":"response.olfactory.delta"}"#,
        r#"{"type":"response\u002eodd","response":[]}"#,
    ] {
        let expected = serde_json::from_str::<Value>(text).unwrap()["type"].as_str().unwrap().to_owned();
        assert_eq!(ServerEvent::parse(text).unwrap(), ServerEvent::Unknown { kind: Cow::Owned(expected) });
    }
}

#[test]
fn a_session_in_beta_spelling_reads_like_one_in_ga() {
    let text = json!({ "type": "session.updated", "session": {
        "id": "sess_1", "model": "gpt-realtime-2.1", "expires_at": 1_795_003_600, "modalities": ["audio"],
        "instructions": "Be brief.", "voice": "cedar", "input_audio_format": "g711_ulaw",
        "output_audio_format": "pcm16", "input_audio_transcription": null, "input_audio_noise_reduction": null,
        "turn_detection": { "type": "server_vad", "threshold": 0.5 }, "temperature": 0.8,
    } })
    .to_string();
    assert_eq!(ServerEvent::parse(&text).unwrap(), ServerEvent::SessionUpdated(session().1));
}

#[test]
fn formats_and_voices_are_read_in_every_spelling() {
    let read = |session: Value| Session::from(session);
    for (echo, format) in [
        (json!({ "type": "audio/pcm" }), AudioFormat::Pcm { rate: 24_000 }),
        (json!({ "type": "audio/pcm", "rate": 16_000 }), AudioFormat::Pcm { rate: 16_000 }),
        (json!({ "type": "audio/pcma" }), AudioFormat::Pcma),
        (json!("g711_alaw"), AudioFormat::Pcma),
        (json!("g711_ulaw"), AudioFormat::Pcmu),
        (json!({ "type": "audio/opus" }), AudioFormat::Other(id("audio/opus"))),
    ] {
        assert_eq!(read(json!({ "audio": { "input": { "format": echo } } })).input_format, Some(format));
    }
    assert_eq!(read(json!({ "input_audio_format": 5 })).input_format, None);
    assert_eq!(
        read(json!({ "audio": { "output": { "voice": { "id": "voice_1" } } } })).voice,
        Some(id("voice_1"))
    );
    assert_eq!(
        read(json!({ "turn_detection": null })).turn_detection,
        Some(Value::Null),
        "off is not untold"
    );
    assert_eq!(read(json!({})), Session::default());
}

#[test]
fn parts_of_all_four_spellings_are_two_kinds() {
    for (spelling, kind) in [
        ("audio", PartKind::OutputAudio),
        ("output_audio", PartKind::OutputAudio),
        ("text", PartKind::OutputText),
        ("output_text", PartKind::OutputText),
        ("input_text", PartKind::InputText),
        ("input_audio", PartKind::InputAudio),
        ("input_image", PartKind::InputImage),
        ("hologram", PartKind::Other(id("hologram"))),
    ] {
        let part: ContentPart = serde_json::from_value(json!({ "type": spelling })).unwrap();
        assert_eq!(part.kind, kind);
    }
}

#[test]
fn items_of_every_kind_keep_what_their_kind_has() {
    let read = |item: Value| serde_json::from_value::<Item>(item).unwrap();
    let call = read(json!({ "type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}" }));
    assert_eq!(call.kind, ItemKind::FunctionCall);
    assert_eq!(
        (call.call_id, call.name, call.arguments),
        (Some(id("call_1")), Some(id("f")), Some(id("{}")))
    );
    let mcp = read(json!({
        "type": "mcp_call", "server_label": "docs", "output": null, "approval_request_id": "appr_1",
        "error": { "type": "http_error", "code": 502, "message": "bad gateway" },
    }));
    assert_eq!((mcp.kind, mcp.server_label, mcp.output), (ItemKind::McpCall, Some(id("docs")), None));
    let error = mcp.error.unwrap();
    assert_eq!((error.kind, error.code), (id("http_error"), Some(id("502"))));
    for (kind, expected) in [
        ("function_call_output", ItemKind::FunctionCallOutput),
        ("mcp_list_tools", ItemKind::McpListTools),
        ("mcp_approval_request", ItemKind::McpApprovalRequest),
        ("mcp_approval_response", ItemKind::McpApprovalResponse),
        ("memory", ItemKind::Other(id("memory"))),
    ] {
        assert_eq!(read(json!({ "type": kind, "content": null })).kind, expected);
    }
}

#[test]
fn a_response_tells_how_it_ended() {
    let read = |response: Value| serde_json::from_value::<Response>(response).unwrap();
    for (status, expected) in [
        ("in_progress", ResponseStatus::InProgress),
        ("completed", ResponseStatus::Completed),
        ("incomplete", ResponseStatus::Incomplete),
        ("paused", ResponseStatus::Other(id("paused"))),
    ] {
        assert_eq!(read(json!({ "id": "resp_1", "status": status })).status, expected);
    }
    let failed = read(json!({
        "id": "resp_1", "status": "failed", "usage": null, "output": null, "metadata": null,
        "status_details": { "type": "failed", "error": { "type": "tokens", "code": "rate_limit_exceeded" } },
    }));
    assert_eq!(failed.status, ResponseStatus::Failed);
    let error = failed.status_details.and_then(|details| details.error).unwrap();
    assert_eq!(error.code.as_deref(), Some("rate_limit_exceeded"));
    assert_eq!((failed.usage, failed.output.len()), (None, 0));
}

#[test]
fn usage_that_is_not_told_is_nothing() {
    let read = |usage: Value| Usage::from(usage);
    assert_eq!(read(json!({})), Usage::default());
    assert_eq!(read(json!({ "input_token_details": null, "total_tokens": null })), Usage::default());
    assert_eq!(read(json!({ "total_tokens": 12.0 })).total_tokens, 12);
    let seconds = TranscriptionUsage::from(json!({ "type": "duration", "seconds": 2.5 }));
    assert_eq!(seconds, TranscriptionUsage::Seconds(2.5));
}

#[test]
fn an_error_may_be_a_bare_text() {
    let text = r#"{"type":"error","error":"model is loading","code":"busy"}"#;
    let expected = ApiError { message: id("model is loading"), ..ApiError::default() };
    assert_eq!(ServerEvent::parse(text).unwrap(), ServerEvent::Error(expected));
}

// --- what cannot be used

#[test]
fn what_cannot_be_used_is_named() {
    for text in ["", "garbage", "[]", r#"["session.created"]"#, "5", "null", "\"type\""] {
        assert!(matches!(ServerEvent::parse(text), Err(ServerEventError::NotAnObject)), "{text}");
    }
    for text in ["{", r#"{"type":"error""#, r#"{"type":"error"} x"#, r#"{"type":"x","session":5,}"#] {
        assert!(matches!(ServerEvent::parse(text), Err(ServerEventError::NotJson(_))), "{text}");
    }
    for text in [
        "{}",
        r#"{"type":null}"#,
        r#"{"type":5}"#,
        r#"{"type":""}"#,
        r#"{"session":5}"#,
        r#"{"type":"","session":5}"#,
    ] {
        assert!(matches!(ServerEvent::parse(text), Err(ServerEventError::NoType)), "{text}");
    }
    let malformed = r#"{"type":"response.done","response":{"id":5}}"#;
    assert!(
        matches!(ServerEvent::parse(malformed), Err(ServerEventError::Malformed { kind, .. }) if kind == "response.done")
    );
}

#[test]
fn every_error_says_what_failed() {
    for (text, message, has_source) in [
        ("5", "provider message is not a JSON object", false),
        ("{", "provider message is not JSON", true),
        ("{}", "provider message has no type", false),
        (r#"{"type":"error"}"#, "provider event error has no error", false),
        (
            r#"{"type":"response.done","response":5}"#,
            "provider event response.done has a field of another shape",
            true,
        ),
    ] {
        let error = ServerEvent::parse(text).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(std::error::Error::source(&error).is_some(), has_source, "{text}");
    }
}

// --- whatever comes

/// Every event in every spelling, and one as the quick reader likes it.
fn texts() -> Vec<String> {
    let delta =
        r#"{"type":"response.audio.delta","response_id":"r","item_id":"i","content_index":0,"delta":"//8="}"#;
    let cases = cases();
    let texts = cases.iter().flat_map(|case| case.kinds.iter().map(|kind| case.text(kind)));
    texts.chain([delta.to_owned()]).collect()
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(?s:.{0,99})") {
        drop(ServerEvent::parse(&text));
    }

    #[test]
    fn the_quick_reader_never_disagrees_with_the_thorough_one(text in mutated(texts())) {
        let thorough = thorough(&text);
        if let Some(delta) = quick_audio_delta(&text) {
            prop_assert_eq!(thorough.ok(), Some(ServerEvent::OutputAudioDelta(delta)), "{}", text);
        }
    }
}
