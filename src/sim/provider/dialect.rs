//! The beta spelling of the protocol, which some self-hosted servers still speak: a client's events into GA,
//! the session's events out of it.
//!
//! Knows spellings only; the session behind it speaks GA.

use serde_json::{Map, Value, json};

use super::session::outbox::Event as ServerEvent;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Ga,
    Beta,
}

impl Dialect {
    /// A client's text in GA spelling. What is no JSON stays as it is: the session refuses it.
    pub(super) fn read(self, text: &str) -> String {
        match (self, serde_json::from_str::<Value>(text)) {
            (Self::Beta, Ok(mut event)) => {
                client_to_ga(&mut event);
                event.to_string()
            }
            _ => text.to_owned(),
        }
    }

    /// A session's event as text, if this dialect has it.
    pub(super) fn write(self, event: ServerEvent) -> Option<String> {
        match self {
            Self::Ga => Some(event.to_text()),
            Self::Beta => server_to_beta(event).map(|event| event.to_text()),
        }
    }
}

/// Events whose names changed; all others are called the same in both dialects.
const RENAMED: [(&str, &str); 7] = [
    ("conversation.item.added", "conversation.item.created"),
    ("response.output_text.delta", "response.text.delta"),
    ("response.output_text.done", "response.text.done"),
    ("response.output_audio.delta", "response.audio.delta"),
    ("response.output_audio.done", "response.audio.done"),
    ("response.output_audio_transcript.delta", "response.audio_transcript.delta"),
    ("response.output_audio_transcript.done", "response.audio_transcript.done"),
];

/// Formats, as GA types them and as beta names them.
const FORMATS: [(&str, &str); 3] =
    [("audio/pcm", "pcm16"), ("audio/pcmu", "g711_ulaw"), ("audio/pcma", "g711_alaw")];

fn client_to_ga(event: &mut Value) {
    if event["type"] == "session.update" {
        if let Some(session) = event.get_mut("session").and_then(Value::as_object_mut) {
            settings_to_ga(session);
            session.insert("type".to_owned(), json!("realtime"));
        }
    } else if event["type"] == "response.create" {
        if let Some(response) = event.get_mut("response").and_then(Value::as_object_mut) {
            settings_to_ga(response);
        }
    } else if event["item"]["role"] == "assistant" {
        for part in event["item"]["content"].as_array_mut().into_iter().flatten() {
            if part["type"] == "text" {
                part["type"] = json!("output_text");
            }
        }
    }
}

/// Flat settings into nested ones. A name this does not know stays, and is then unknown to GA as well.
fn settings_to_ga(settings: &mut Map<String, Value>) {
    settings.remove("temperature");
    let format = |value: Value| {
        let named = FORMATS.iter().find(|(_, beta)| value == *beta);
        named.map_or(value, |(ga, _)| json!({"type": ga}))
    };
    let mut audio = json!({});
    for (beta, ga) in [
        ("input_audio_format", ["input", "format"]),
        ("input_audio_transcription", ["input", "transcription"]),
        ("input_audio_noise_reduction", ["input", "noise_reduction"]),
        ("turn_detection", ["input", "turn_detection"]),
        ("output_audio_format", ["output", "format"]),
        ("voice", ["output", "voice"]),
        ("speed", ["output", "speed"]),
    ] {
        if let Some(value) = settings.remove(beta) {
            audio[ga[0]][ga[1]] = if ga[1] == "format" { format(value) } else { value };
        }
    }
    if audio != json!({}) {
        settings.insert("audio".to_owned(), audio);
    }
    if let Some(modalities) = settings.remove("modalities") {
        let speaks = modalities.as_array().is_some_and(|list| list.contains(&json!("audio")));
        settings.insert("output_modalities".to_owned(), json!([if speaks { "audio" } else { "text" }]));
    }
    if let Some(limit) = settings.remove("max_response_output_tokens") {
        settings.insert("max_output_tokens".to_owned(), limit);
    }
}

fn server_to_beta(mut event: ServerEvent) -> Option<ServerEvent> {
    if event.kind == "conversation.item.done" {
        return None;
    }
    if let Some((_, beta)) = RENAMED.iter().find(|(ga, _)| *ga == event.kind) {
        event.kind = beta;
    }
    for key in ["session", "response", "item"] {
        if let Some(Value::Object(fields)) = event.body.get_mut(key) {
            match key {
                "session" => session_to_beta(fields),
                "response" => response_to_beta(fields),
                _ => item_to_beta(fields),
            }
        }
    }
    Some(event)
}

fn format_to_beta(format: &Value) -> Value {
    let named = FORMATS.iter().find(|(ga, _)| format["type"] == *ga);
    named.map_or(Value::Null, |(_, beta)| json!(beta))
}

fn modalities_to_beta(fields: &mut Map<String, Value>) {
    let text_only = fields.remove("output_modalities") == Some(json!(["text"]));
    fields
        .insert("modalities".to_owned(), if text_only { json!(["text"]) } else { json!(["audio", "text"]) });
}

fn session_to_beta(session: &mut Map<String, Value>) {
    let audio = session.remove("audio").unwrap_or_default();
    session.remove("type");
    modalities_to_beta(session);
    let limit = session.remove("max_output_tokens").unwrap_or_default();
    for (name, value) in [
        ("input_audio_format", format_to_beta(&audio["input"]["format"])),
        ("input_audio_transcription", audio["input"]["transcription"].clone()),
        ("input_audio_noise_reduction", audio["input"]["noise_reduction"].clone()),
        ("turn_detection", audio["input"]["turn_detection"].clone()),
        ("output_audio_format", format_to_beta(&audio["output"]["format"])),
        ("voice", audio["output"]["voice"].clone()),
        ("speed", audio["output"]["speed"].clone()),
        ("max_response_output_tokens", limit),
        ("temperature", json!(0.8)),
    ] {
        session.insert(name.to_owned(), value);
    }
}

fn response_to_beta(response: &mut Map<String, Value>) {
    let audio = response.remove("audio").unwrap_or_default();
    modalities_to_beta(response);
    response.insert("voice".to_owned(), audio["output"]["voice"].clone());
    response.insert("output_audio_format".to_owned(), format_to_beta(&audio["output"]["format"]));
    for item in response.get_mut("output").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::Object(item) = item {
            item_to_beta(item);
        }
    }
}

fn item_to_beta(item: &mut Map<String, Value>) {
    for part in item.get_mut("content").and_then(Value::as_array_mut).into_iter().flatten() {
        match part["type"].as_str() {
            Some("output_text") => part["type"] = json!("text"),
            Some("output_audio") => part["type"] = json!("audio"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_settings_become_nested_ones() {
        let text = json!({"type": "session.update", "session": {
            "modalities": ["audio", "text"], "voice": "echo", "temperature": 0.7, "instructions": "Be kind.",
            "input_audio_format": "g711_ulaw", "output_audio_format": "pcm16", "turn_detection": null,
            "input_audio_transcription": {"model": "whisper-1"}, "max_response_output_tokens": 50,
        }});
        let ga: Value = serde_json::from_str(&Dialect::Beta.read(&text.to_string())).unwrap();
        assert_eq!(
            ga,
            json!({"type": "session.update", "session": {
                "type": "realtime", "output_modalities": ["audio"], "instructions": "Be kind.", "max_output_tokens": 50,
                "audio": {
                    "input": {"format": {"type": "audio/pcmu"}, "transcription": {"model": "whisper-1"},
                              "turn_detection": null},
                    "output": {"format": {"type": "audio/pcm"}, "voice": "echo"},
                },
            }})
        );
        assert_eq!(Dialect::Ga.read("no json"), "no json");
        assert_eq!(Dialect::Beta.read("no json"), "no json");
    }

    #[test]
    fn events_are_renamed_and_one_is_left_out() {
        let event = |kind, body| ServerEvent { kind, id: "event_1".to_owned(), body };
        let write = |kind, body| Dialect::Beta.write(event(kind, body));
        assert_eq!(
            write("response.output_audio.delta", json!({"delta": "AA=="})).unwrap(),
            r#"{"type":"response.audio.delta","event_id":"event_1","delta":"AA=="}"#
        );
        assert_eq!(write("conversation.item.done", json!({})), None);
        let item = json!({"item": {"role": "assistant", "content": [{"type": "output_audio"}, {"type": "output_text"}]}});
        let created = write("conversation.item.added", item).unwrap();
        assert!(created.contains("conversation.item.created"), "{created}");
        assert!(created.contains(r#"[{"type":"audio"},{"type":"text"}]"#), "{created}");
    }
}
