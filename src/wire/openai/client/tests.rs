//! Field names and shapes as the API's reference has them; the beta's as in the types of OpenAI's Python SDK.

use serde_json::{Map, Value, json};

use super::*;
use crate::openai::item::{NewMessage, NewPart, Role};
use crate::openai::session::{
    AudioConfig, AudioFormat, Eagerness, Effort, InputAudioConfig, NoiseReduction, SessionKind, Setting,
    Tracing, Transcription, Truncation, TurnDetection, Voice,
};

fn id(id: &str) -> String {
    id.to_owned()
}

fn json_of(event: &ClientEvent, dialect: Dialect) -> Value {
    serde_json::from_str(&event.to_json(dialect)).unwrap()
}

fn update(session: SessionConfig) -> ClientEvent {
    ClientEvent::SessionUpdate { session: Box::new(session) }
}

fn room_status() -> Tool {
    let parameters =
        json!({ "type": "object", "properties": { "room": { "type": "string" } }, "required": ["room"] });
    Tool::Function { name: id("room_status"), description: id("Look up a room."), parameters }
}

fn night_desk() -> SessionConfig {
    SessionConfig {
        instructions: Some(id("You are the night desk of a hotel.")),
        output_modalities: Some(Modality::Audio),
        audio: AudioConfig {
            input: InputAudioConfig {
                format: Some(AudioFormat::Pcmu),
                transcription: Setting::To(Transcription {
                    model: id("gpt-transcribe"),
                    languages: vec![id("en")],
                    ..Transcription::default()
                }),
                noise_reduction: Setting::Off,
                turn_detection: Setting::To(TurnDetection::ServerVad {
                    threshold: 0.55,
                    prefix_padding_ms: 300,
                    silence_duration_ms: 450,
                    idle_timeout_ms: None,
                    create_response: true,
                    interrupt_response: true,
                }),
            },
            output: OutputAudioConfig {
                format: Some(AudioFormat::Pcmu),
                voice: Some(Voice::Name(id("cedar"))),
                speed: Some(1.0),
            },
        },
        reasoning: Some(Reasoning { effort: Effort::Low }),
        tools: Some(vec![room_status()]),
        tool_choice: Some(ToolChoice::Auto),
        max_output_tokens: Some(MaxOutputTokens::Limit(1200)),
        truncation: Some(Truncation::Auto),
        ..SessionConfig::default()
    }
}

// --- GA

#[test]
fn a_session_update_has_the_shape_of_the_reference() {
    assert_eq!(
        json_of(&update(night_desk()), Dialect::Ga),
        json!({ "type": "session.update", "session": {
            "type": "realtime",
            "instructions": "You are the night desk of a hotel.",
            "output_modalities": ["audio"],
            "audio": {
                "input": {
                    "format": { "type": "audio/pcmu" },
                    "transcription": { "model": "gpt-transcribe", "languages": ["en"] },
                    "noise_reduction": null,
                    "turn_detection": {
                        "type": "server_vad", "threshold": 0.55, "prefix_padding_ms": 300,
                        "silence_duration_ms": 450, "create_response": true, "interrupt_response": true,
                        "idle_timeout_ms": null,
                    },
                },
                "output": { "format": { "type": "audio/pcmu" }, "voice": "cedar", "speed": 1.0 },
            },
            "reasoning": { "effort": "low" },
            "tools": [{
                "type": "function", "name": "room_status", "description": "Look up a room.",
                "parameters": { "type": "object", "properties": { "room": { "type": "string" } }, "required": ["room"] },
            }],
            "tool_choice": "auto",
            "max_output_tokens": 1200,
            "truncation": "auto",
        } })
    );
}

#[test]
fn what_is_not_set_is_not_sent_and_what_is_off_is_null() {
    let nothing = json!({ "type": "session.update", "session": { "type": "realtime" } });
    assert_eq!(json_of(&update(SessionConfig::default()), Dialect::Ga), nothing);
    let mut off = SessionConfig { tracing: Setting::Off, ..SessionConfig::default() };
    off.audio.input.turn_detection = Setting::Off;
    off.audio.input.transcription = Setting::Off;
    assert_eq!(
        json_of(&update(off), Dialect::Ga)["session"],
        json!({
            "type": "realtime", "tracing": null,
            "audio": { "input": { "turn_detection": null, "transcription": null } },
        })
    );
}

#[test]
fn every_other_field_of_the_session_has_its_name_and_values() {
    let mut session = SessionConfig {
        kind: SessionKind::Transcription,
        model: Some(id("gpt-realtime-2.1")),
        output_modalities: Some(Modality::Text),
        parallel_tool_calls: Some(false),
        tools: Some(vec![Tool::Mcp(Map::from_iter([(id("server_label"), json!("docs"))]))]),
        tool_choice: Some(ToolChoice::Function { name: id("room_status") }),
        max_output_tokens: Some(MaxOutputTokens::Unlimited),
        truncation: Some(Truncation::RetentionRatio { ratio: 0.8, post_instructions: Some(8000) }),
        tracing: Setting::To(Tracing::Auto),
        include: Some(vec![id("item.input_audio_transcription.logprobs")]),
        ..SessionConfig::default()
    };
    session.audio.input = InputAudioConfig {
        format: Some(AudioFormat::Pcm { rate: 24_000 }),
        transcription: Setting::To(Transcription {
            model: id("gpt-realtime-whisper"),
            language: Some(id("de")),
            languages: vec![],
            keywords: vec![id("Tandem")],
            prompt: Some(id("hotel")),
            delay: Some(Effort::ExtraHigh),
        }),
        noise_reduction: Setting::To(NoiseReduction::NearField),
        turn_detection: Setting::To(TurnDetection::SemanticVad {
            eagerness: Eagerness::Auto,
            create_response: false,
            interrupt_response: false,
        }),
    };
    session.audio.output.voice = Some(Voice::Custom { id: id("voice_1") });
    assert_eq!(
        json_of(&update(session), Dialect::Ga)["session"],
        json!({
            "type": "transcription",
            "model": "gpt-realtime-2.1",
            "output_modalities": ["text"],
            "parallel_tool_calls": false,
            "tools": [{ "type": "mcp", "server_label": "docs" }],
            "tool_choice": { "type": "function", "name": "room_status" },
            "max_output_tokens": "inf",
            "truncation": {
                "type": "retention_ratio", "retention_ratio": 0.8, "token_limits": { "post_instructions": 8000 },
            },
            "tracing": "auto",
            "include": ["item.input_audio_transcription.logprobs"],
            "audio": {
                "input": {
                    "format": { "type": "audio/pcm", "rate": 24000 },
                    "transcription": {
                        "model": "gpt-realtime-whisper", "language": "de", "keywords": ["Tandem"],
                        "prompt": "hotel", "delay": "xhigh",
                    },
                    "noise_reduction": { "type": "near_field" },
                    "turn_detection": {
                        "type": "semantic_vad", "eagerness": "auto",
                        "create_response": false, "interrupt_response": false,
                    },
                },
                "output": { "voice": { "id": "voice_1" } },
            },
        })
    );
}

#[test]
fn choices_with_several_shapes_have_the_right_one() {
    let value = |choice: ToolChoice| serde_json::to_value(choice).unwrap();
    assert_eq!(value(ToolChoice::None), "none");
    assert_eq!(value(ToolChoice::Required), "required");
    let mcp = |name| ToolChoice::Mcp { server_label: id("docs"), name };
    assert_eq!(value(mcp(None)), json!({ "type": "mcp", "server_label": "docs" }));
    assert_eq!(
        value(mcp(Some(id("find")))),
        json!({ "type": "mcp", "server_label": "docs", "name": "find" })
    );
    let value = |truncation: Truncation| serde_json::to_value(truncation).unwrap();
    assert_eq!(value(Truncation::Disabled), "disabled");
    let ratio = Truncation::RetentionRatio { ratio: 0.5, post_instructions: None };
    assert_eq!(value(ratio), json!({ "type": "retention_ratio", "retention_ratio": 0.5 }));
    let named = Tracing::Named { workflow_name: id("calls"), group_id: id("g1"), metadata: BTreeMap::new() };
    assert_eq!(
        serde_json::to_value(named).unwrap(),
        json!({ "workflow_name": "calls", "group_id": "g1", "metadata": {} })
    );
    assert_eq!(serde_json::to_value(AudioFormat::Pcma).unwrap(), json!({ "type": "audio/pcma" }));
    let opus = AudioFormat::Other(id("audio/opus"));
    assert_eq!(serde_json::to_value(opus).unwrap(), json!({ "type": "audio/opus" }));
}

#[test]
fn every_client_event_has_its_name_and_fields() {
    for (event, expected) in [
        (
            ClientEvent::InputAppend { audio: id("//8=") },
            json!({ "type": "input_audio_buffer.append", "audio": "//8=" }),
        ),
        (ClientEvent::InputCommit, json!({ "type": "input_audio_buffer.commit" })),
        (ClientEvent::InputClear, json!({ "type": "input_audio_buffer.clear" })),
        (
            ClientEvent::ItemCreate {
                previous_item_id: Some(id("root")),
                item: NewItem::text(Role::System, "Hi."),
            },
            json!({ "type": "conversation.item.create", "previous_item_id": "root", "item": {
                "type": "message", "role": "system", "content": [{ "type": "input_text", "text": "Hi." }],
            } }),
        ),
        (
            ClientEvent::ItemRetrieve { item_id: id("item_1") },
            json!({ "type": "conversation.item.retrieve", "item_id": "item_1" }),
        ),
        (
            ClientEvent::ItemTruncate { item_id: id("item_1"), content_index: 0, audio_end_ms: 2340 },
            json!({
                "type": "conversation.item.truncate", "item_id": "item_1", "content_index": 0, "audio_end_ms": 2340,
            }),
        ),
        (
            ClientEvent::ItemDelete { item_id: id("item_1") },
            json!({ "type": "conversation.item.delete", "item_id": "item_1" }),
        ),
        (ClientEvent::ResponseCreate { response: None }, json!({ "type": "response.create" })),
        (ClientEvent::ResponseCancel { response_id: None }, json!({ "type": "response.cancel" })),
        (
            ClientEvent::ResponseCancel { response_id: Some(id("resp_1")) },
            json!({ "type": "response.cancel", "response_id": "resp_1" }),
        ),
        (ClientEvent::OutputClear, json!({ "type": "output_audio_buffer.clear" })),
    ] {
        assert_eq!(json_of(&event, Dialect::Ga), expected);
        assert_eq!(json_of(&event, Dialect::Beta), expected, "these are spelled alike in both dialects");
        let mut with_id = expected;
        with_id["event_id"] = json!("bi-41");
        assert_eq!(
            serde_json::from_str::<Value>(&event.to_json_with_id(Dialect::Ga, "bi-41")).unwrap(),
            with_id
        );
        assert_eq!(
            serde_json::from_str::<Value>(&event.to_json_with_id(Dialect::Beta, "bi-41")).unwrap(),
            with_id
        );
    }
}

#[test]
fn every_item_we_can_create_has_its_shape() {
    let user = NewItem::Message(NewMessage {
        id: Some(id("item_u")),
        role: Role::User,
        content: vec![
            NewPart::InputText { text: id("look") },
            NewPart::InputAudio { audio: id("//8="), transcript: None },
            NewPart::InputImage { image_url: id("data:image/png;base64,AA=="), detail: Some(id("low")) },
        ],
    });
    for (item, expected) in [
        (
            user,
            json!({ "type": "message", "id": "item_u", "role": "user", "content": [
                { "type": "input_text", "text": "look" },
                { "type": "input_audio", "audio": "//8=" },
                { "type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low" },
            ] }),
        ),
        (
            NewItem::text(Role::Assistant, "Good evening."),
            json!({ "type": "message", "role": "assistant", "content": [
                { "type": "output_text", "text": "Good evening." },
            ] }),
        ),
        (
            NewItem::FunctionCall { id: None, call_id: id("call_1"), name: id("f"), arguments: id("{}") },
            json!({ "type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}" }),
        ),
        (
            NewItem::FunctionCallOutput { id: None, call_id: id("call_1"), output: id("{\"free\":true}") },
            json!({ "type": "function_call_output", "call_id": "call_1", "output": "{\"free\":true}" }),
        ),
        (
            NewItem::McpApprovalResponse {
                id: id("item_a"),
                approval_request_id: id("appr_1"),
                approve: false,
                reason: Some(id("no")),
            },
            json!({
                "type": "mcp_approval_response", "id": "item_a", "approval_request_id": "appr_1", "approve": false,
                "reason": "no",
            }),
        ),
    ] {
        assert_eq!(serde_json::to_value(item).unwrap(), expected);
    }
}

/// A response that differs from its session in everything it may.
fn out_of_band() -> ClientEvent {
    ClientEvent::ResponseCreate {
        response: Some(Box::new(ResponseConfig {
            output_modalities: Some(Modality::Audio),
            instructions: Some(id("Greet.")),
            audio: ResponseAudio {
                output: OutputAudioConfig {
                    format: Some(AudioFormat::Pcm { rate: 24_000 }),
                    voice: Some(Voice::Name(id("cedar"))),
                    speed: None,
                },
            },
            tools: Some(vec![room_status()]),
            tool_choice: Some(ToolChoice::None),
            parallel_tool_calls: Some(true),
            reasoning: Some(Reasoning { effort: Effort::Minimal }),
            max_output_tokens: Some(MaxOutputTokens::Limit(200)),
            conversation: Some(ConversationChoice::None),
            metadata: [(id("purpose"), id("greeting"))].into(),
            input: Some(vec![
                ResponseInput::Reference(ItemReference { id: id("item_1") }),
                ResponseInput::Item(NewItem::text(Role::Assistant, "Yes?")),
            ]),
        })),
    }
}

#[test]
fn a_response_of_its_own_has_the_shape_of_the_reference() {
    let response = json_of(&out_of_band(), Dialect::Ga)["response"].take();
    assert_eq!(
        response,
        json!({
            "output_modalities": ["audio"],
            "instructions": "Greet.",
            "audio": { "output": { "format": { "type": "audio/pcm", "rate": 24000 }, "voice": "cedar" } },
            "tools": [serde_json::to_value(room_status()).unwrap()],
            "tool_choice": "none",
            "parallel_tool_calls": true,
            "reasoning": { "effort": "minimal" },
            "max_output_tokens": 200,
            "conversation": "none",
            "metadata": { "purpose": "greeting" },
            "input": [
                { "type": "item_reference", "id": "item_1" },
                { "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "Yes?" }] },
            ],
        })
    );
    let plain = ClientEvent::ResponseCreate { response: Some(Box::default()) };
    assert_eq!(json_of(&plain, Dialect::Ga), json!({ "type": "response.create", "response": {} }));
    let auto = ResponseConfig { conversation: Some(ConversationChoice::Auto), ..ResponseConfig::default() };
    let no_context = ResponseConfig { input: Some(vec![]), ..auto };
    assert_eq!(serde_json::to_value(no_context).unwrap(), json!({ "conversation": "auto", "input": [] }));
}

// --- beta

#[test]
fn a_beta_session_is_flat_and_has_no_type() {
    let mut session = night_desk();
    session.audio.output.format = Some(AudioFormat::Pcm { rate: 24_000 });
    assert_eq!(
        json_of(&update(session), Dialect::Beta),
        json!({ "type": "session.update", "session": {
            "instructions": "You are the night desk of a hotel.",
            "modalities": ["audio", "text"],
            "input_audio_format": "g711_ulaw",
            "input_audio_transcription": { "model": "gpt-transcribe", "language": "en" },
            "input_audio_noise_reduction": null,
            "turn_detection": {
                "type": "server_vad", "threshold": 0.55, "prefix_padding_ms": 300, "silence_duration_ms": 450,
                "create_response": true, "interrupt_response": true,
            },
            "output_audio_format": "pcm16",
            "voice": "cedar",
            "speed": 1.0,
            "tools": [serde_json::to_value(room_status()).unwrap()],
            "tool_choice": "auto",
            "max_response_output_tokens": 1200,
        } })
    );
}

#[test]
fn beta_values_that_are_off_stay_null_and_text_stays_text() {
    let mut session = SessionConfig { output_modalities: Some(Modality::Text), ..SessionConfig::default() };
    session.audio.input.format = Some(AudioFormat::Pcma);
    session.audio.input.turn_detection = Setting::Off;
    session.audio.output.format = Some(AudioFormat::Other(id("opus")));
    assert_eq!(
        json_of(&update(session), Dialect::Beta)["session"],
        json!({
            "modalities": ["text"], "input_audio_format": "g711_alaw", "turn_detection": null,
            "output_audio_format": "opus",
        })
    );
}

#[test]
fn a_beta_transcription_session_has_an_event_of_its_own() {
    let session = SessionConfig { kind: SessionKind::Transcription, ..SessionConfig::default() };
    let expected = json!({ "type": "transcription_session.update", "session": {} });
    assert_eq!(json_of(&update(session), Dialect::Beta), expected);
}

#[test]
fn a_beta_response_is_flat_and_its_assistant_text_is_called_text() {
    assert_eq!(
        json_of(&out_of_band(), Dialect::Beta)["response"],
        json!({
            "modalities": ["audio", "text"],
            "instructions": "Greet.",
            "output_audio_format": "pcm16",
            "voice": "cedar",
            "tools": [serde_json::to_value(room_status()).unwrap()],
            "tool_choice": "none",
            "max_response_output_tokens": 200,
            "conversation": "none",
            "metadata": { "purpose": "greeting" },
            "input": [
                { "type": "item_reference", "id": "item_1" },
                { "type": "message", "role": "assistant", "content": [{ "type": "text", "text": "Yes?" }] },
            ],
        })
    );
    let said =
        ClientEvent::ItemCreate { previous_item_id: None, item: NewItem::text(Role::Assistant, "Yes?") };
    assert_eq!(json_of(&said, Dialect::Beta)["item"]["content"], json!([{ "type": "text", "text": "Yes?" }]));
}

// --- the frame path

#[test]
fn an_append_is_the_event_in_one_allocation_of_its_exact_size() {
    for len in [0, 1, 2, 3, 160, 960] {
        let sound = vec![0x7f; len];
        let mut text = String::new();
        append(&mut text, &sound);
        assert_eq!(text.capacity(), text.len(), "{len} bytes of audio");
        let mut base64 = String::new();
        audio::encode_append(&mut base64, &sound);
        let event = ClientEvent::InputAppend { audio: base64 };
        assert_eq!(text, event.to_json(Dialect::Ga));
    }
}
