//! `POST /v1/audio/transcriptions`: an upload written down.
//!
//! Facts: OpenAI's specification (`CreateTranscriptionRequest`, `TranscriptText*Event`). It reads WAV only;
//! other formats, subtitles and speakers are not simulated and are refused. It knows the demo's caller by
//! heart and of all others says how long they spoke.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Value, json};
use tandem_media::frame::PHONE_RATE;

use super::{Body, Desk, Trade, fit_for, multipart::Form, text};
use crate::{
    provider::{
        answer::{Answer, Form as AnswerForm},
        rejection::Rejection,
    },
    speech, wav,
};

const FIELDS: [&str; 16] = [
    "file",
    "model",
    "language",
    "languages[]",
    "keywords[]",
    "prompt",
    "response_format",
    "temperature",
    "timestamp_granularities[]",
    "include[]",
    "chunking_strategy",
    "known_speaker_names[]",
    "known_speaker_references[]",
    "stream",
    "hotwords",
    "without_timestamps",
];

const EXTENSIONS: [&str; 9] = ["flac", "mp3", "mp4", "mpeg", "mpga", "m4a", "ogg", "wav", "webm"];

/// The shortest upload, 100 ms at 8 kHz.
const SAMPLES_MIN: usize = 800;

/// A token of sound, 100 ms at 8 kHz.
const TOKEN_SAMPLES: usize = 800;

/// Nobody speaks in an upload of which no 20 ms are louder than -45 dBFS RMS: 32,768 / 10^(45 / 20).
const SILENT_RMS: f64 = 184.0;

/// How the answer is to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Json,
    Text,
    Verbose,
    Events,
}

pub(super) fn answer(body: &Body, desk: &mut Desk<'_>) -> Result<Answer, Rejection> {
    let Body::Form(form) = body else {
        return Err(Rejection::bare("Could not parse multipart form"));
    };
    if let Some(unknown) = form.parts.iter().find(|part| !FIELDS.contains(&part.name.as_str())) {
        let message = format!("Unknown parameter: '{}'.", unknown.name);
        return Err(
            Rejection::new(StatusCode::BAD_REQUEST, "unknown_parameter", message).about(&unknown.name)
        );
    }
    let model = form.text("model").unwrap_or_default();
    fit_for(model, Trade::Transcription)?;
    let shape = read_shape(form, model)?;
    let samples = read_file(form)?;
    let heard = samples.len();
    let text = desk.instead.clone().unwrap_or_else(|| written(&samples));
    let after = desk.options.transcription_delay;
    Ok(match shape {
        Shape::Json => Answer::json(after, &json!({"text": text, "usage": usage(model, &text, heard)})),
        Shape::Text => {
            Answer::new(AnswerForm::Text, after, vec![(Duration::ZERO, format!("{text}\n").into())])
        }
        Shape::Verbose => Answer::json(after, &verbose(form, model, &text, heard)),
        Shape::Events => {
            let mut events = text::Stream::default();
            for token in text::tokens(&text) {
                events.data(&json!({"type": "transcript.text.delta", "delta": token}).to_string());
                events.wait(desk.tokens_take(1));
            }
            let done =
                json!({"type": "transcript.text.done", "text": text, "usage": usage(model, &text, heard)});
            events.data(&done.to_string());
            Answer::new(AnswerForm::Events, after, events.pieces)
        }
    })
}

fn seconds_of(samples: usize) -> f64 {
    samples as f64 / f64::from(PHONE_RATE)
}

fn written(samples: &[i16]) -> String {
    let rms =
        |step: &[i16]| (step.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / step.len() as f64).sqrt();
    if samples.chunks(160).all(|step| rms(step) < SILENT_RMS) {
        return String::new();
    }
    speech::recognise(samples)
        .map_or_else(|| format!("(speech, {:.1} s)", seconds_of(samples.len())), str::to_owned)
}

fn read_shape(form: &Form, model: &str) -> Result<Shape, Rejection> {
    let refuse = |code, message: String| {
        Err(Rejection::new(StatusCode::BAD_REQUEST, code, message).about("response_format"))
    };
    let is_openais = model.starts_with("gpt-");
    let shape = match form.text("response_format").unwrap_or("json") {
        "json" => Shape::Json,
        name @ ("text" | "verbose_json") if is_openais => {
            return refuse(
                "unsupported_value",
                format!(
                    "response_format '{name}' is not compatible with model '{model}'. Use 'json' instead."
                ),
            );
        }
        "text" => Shape::Text,
        "verbose_json" => Shape::Verbose,
        name @ ("srt" | "vtt" | "diarized_json") => {
            return refuse("unsupported_value", format!("response_format '{name}' is not simulated."));
        }
        other => return refuse("invalid_value", format!("Invalid value: '{other}'.")),
    };
    match form.text("stream") {
        Some("true" | "True" | "1") if model != "whisper-1" => Ok(Shape::Events), // which ignores it
        Some("true" | "True" | "1" | "false" | "False" | "0") | None => Ok(shape),
        Some(other) => {
            let message = format!("Invalid value for 'stream': '{other}'.");
            Err(Rejection::new(StatusCode::BAD_REQUEST, "invalid_value", message).about("stream"))
        }
    }
}

fn read_file(form: &Form) -> Result<Vec<i16>, Rejection> {
    let refuse =
        |code, message: String| Err(Rejection::new(StatusCode::BAD_REQUEST, code, message).about("file"));
    let Some(file) = form.file("file") else {
        return refuse("missing_required_parameter", "Missing required parameter: 'file'.".to_owned());
    };
    let extension =
        file.filename.as_deref().and_then(|name| Some(name.rsplit_once('.')?.1)).unwrap_or_default();
    if !EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()) {
        let message = format!("Invalid file format. Supported formats: {EXTENSIONS:?}");
        return refuse("invalid_value", message);
    }
    match wav::parse(&file.content) {
        Err(error) => {
            refuse("invalid_value", format!("Audio file might be corrupted or unsupported: {error}"))
        }
        Ok(samples) if samples.len() < SAMPLES_MIN => refuse(
            "audio_too_short",
            "Audio file is too short. Minimum audio length is 0.1 seconds.".to_owned(),
        ),
        Ok(samples) => Ok(samples),
    }
}

/// By the second for the oldest model; for the others in tokens.
fn usage(model: &str, text: &str, samples: usize) -> Value {
    if model == "whisper-1" {
        return json!({"type": "duration", "seconds": seconds_of(samples).ceil()});
    }
    let heard = samples.div_ceil(TOKEN_SAMPLES) as u64;
    let written = text::token_count(text);
    json!({
        "type": "tokens",
        "input_tokens": heard,
        "input_token_details": {"text_tokens": 0, "audio_tokens": heard},
        "output_tokens": written,
        "total_tokens": heard + written,
    })
}

fn verbose(form: &Form, model: &str, text: &str, samples: usize) -> Value {
    let seconds = seconds_of(samples);
    let segment = json!({
        "id": 0,
        "seek": 0,
        "start": 0.0,
        "end": seconds,
        "text": text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": -0.2,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.01,
    });
    let segments = if text.is_empty() { json!([]) } else { json!([segment]) };
    json!({
        "language": form.text("language").unwrap_or("english"),
        "duration": seconds,
        "text": text,
        "segments": segments,
        "usage": usage(model, text, samples),
    })
}
