//! The two spellings of the API: GA, and the beta that self-hosted servers still speak.
//! Knows no session and no state: an event is written as GA, then the names in it that differ are replaced.
//!
//! Source: the beta types of OpenAI's Python SDK. `api.openai.com` has refused the beta dialect since 2026-05-12.

use serde_json::{Map, Value, json};

use super::client::Envelope;

/// How the server spells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    #[default]
    Ga,
    Beta,
}

/// Where the beta dialect, whose sessions and responses are flat, has what GA nests or names otherwise.
const MOVES: [(&str, &str); 9] = [
    ("/output_modalities", "modalities"),
    ("/audio/input/format", "input_audio_format"),
    ("/audio/input/transcription", "input_audio_transcription"),
    ("/audio/input/noise_reduction", "input_audio_noise_reduction"),
    ("/audio/input/turn_detection", "turn_detection"),
    ("/audio/output/format", "output_audio_format"),
    ("/audio/output/voice", "voice"),
    ("/audio/output/speed", "speed"),
    ("/max_output_tokens", "max_response_output_tokens"),
];

/// What has moved, and what the beta dialect does not have.
const DROPPED: [&str; 7] = [
    "type",
    "audio",
    "output_modalities",
    "max_output_tokens",
    "parallel_tool_calls",
    "reasoning",
    "truncation",
];

pub(super) fn write(event: &Envelope<'_>, dialect: Dialect) -> String {
    let json = match dialect {
        Dialect::Ga => serde_json::to_string(event),
        Dialect::Beta => serde_json::to_value(event).map(|event| beta(event).to_string()),
    };
    json.expect("every key is a string and no field refuses to be written")
}

fn beta(mut event: Value) -> Value {
    if event["session"]["type"] == "transcription" {
        event["type"] = json!("transcription_session.update");
    }
    for config in ["session", "response"] {
        if let Some(config) = event.get_mut(config).and_then(Value::as_object_mut) {
            flatten(config);
        }
    }
    let inputs = event.pointer_mut("/response/input").and_then(Value::as_array_mut);
    inputs.into_iter().flatten().for_each(rename_parts);
    event.get_mut("item").into_iter().for_each(rename_parts);
    event
}

fn flatten(config: &mut Map<String, Value>) {
    let ga = Value::Object(std::mem::take(config));
    for (pointer, name) in MOVES {
        if let Some(value) = ga.pointer(pointer) {
            config.insert(name.to_owned(), respell(name, value.clone()));
        }
    }
    let Value::Object(ga) = ga else { return };
    config.extend(ga.into_iter().filter(|(name, _)| !DROPPED.contains(&name.as_str())));
}

/// The beta's spelling of a value that was moved to `name`.
fn respell(name: &str, mut value: Value) -> Value {
    match name {
        // In the beta dialect audio alone is not a choice.
        "modalities" if value == json!(["audio"]) => json!(["audio", "text"]),
        "input_audio_format" | "output_audio_format" => match value["type"].as_str() {
            Some("audio/pcm") => json!("pcm16"),
            Some("audio/pcmu") => json!("g711_ulaw"),
            Some("audio/pcma") => json!("g711_alaw"),
            _ => value["type"].take(),
        },
        "input_audio_transcription" => {
            // The dialect is older than lists of languages.
            if let Some(transcription) = value.as_object_mut()
                && let Some(languages) = transcription.remove("languages")
            {
                transcription.entry("language").or_insert_with(|| languages[0].clone());
            }
            value
        }
        "turn_detection" => {
            // Younger than the dialect: sent only when it asks for something.
            if let Some(detection) = value.as_object_mut() {
                detection.retain(|_, field| !field.is_null());
            }
            value
        }
        _ => value,
    }
}

fn rename_parts(item: &mut Value) {
    for part in item.get_mut("content").and_then(Value::as_array_mut).into_iter().flatten() {
        if part["type"] == "output_text" {
            part["type"] = json!("text");
        }
    }
}
