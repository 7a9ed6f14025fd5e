//! `GET /v1/models`: a few of the models of late 2026, with the days on which some of them end.
//!
//! Knows nothing of which endpoint takes which: any name is taken that does not belong elsewhere.

use std::time::Duration;

use serde_json::{Value, json};

use crate::provider::answer::Answer;

/// Names and ends, as OpenAI's deprecation page has them.
const MODELS: [(&str, Option<&str>); 10] = [
    ("gpt-6-luna", None),
    ("gpt-6.1-sol", None),
    ("gpt-realtime-2.1", None),
    ("gpt-realtime-2.1-mini", None),
    ("gpt-realtime", Some("2027-01-20")),
    ("gpt-transcribe", None),
    ("gpt-live-transcribe", None),
    ("gpt-4o-transcribe", Some("2027-02-26")),
    ("whisper-1", Some("2027-02-26")),
    ("gpt-4o-mini-tts", Some("2027-01-06")),
];

/// 2026-01-01, in Unix seconds.
const CREATED: u64 = 1_767_225_600;

pub(super) fn answer() -> Answer {
    let model = |(id, end): &(&str, Option<&str>)| json!({"id": id, "object": "model", "created": CREATED, "owned_by": "openai", "shutdown_date": end});
    let models: Vec<Value> = MODELS.iter().map(model).collect();
    Answer::json(Duration::ZERO, &json!({"object": "list", "data": models}))
}
