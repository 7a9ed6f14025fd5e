//! `POST /v1/audio/speech`: a text as sound, raw or in events.
//!
//! Facts: OpenAI's specification (`CreateSpeechRequest`, `SpeechAudio*Event`). Compressed formats are not
//! simulated and are refused; `speed` is checked and otherwise ignored.

use std::{ops::RangeInclusive, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use hyper::StatusCode;
use rand::RngExt;
use serde_json::{Map, Value, json};
use tandem_media::resample::Rate;

use super::{Desk, Trade, model, text};
use crate::{
    provider::{
        answer::{Answer, Form},
        fields::{Field, Fields},
        rejection::Rejection,
        sound,
    },
    speech,
};

/// Longest text, in characters.
const INPUT_CHARACTERS_MAX: usize = 4_096;

/// Bytes of a piece: 40 to 240 ms of 24 kHz, and cut anywhere, so that samples straddle pieces as they do in
/// life.
const PIECE_BYTES: RangeInclusive<usize> = 1_920..=11_520;

/// 24 kHz, two bytes a sample.
const BYTES_PER_SECOND: f64 = 48_000.0;

/// A WAV head for 24 kHz mono whose lengths, as in every stream, are not known yet.
const WAV_HEAD: [u8; 44] = *b"RIFF\xFF\xFF\xFF\xFFWAVEfmt \x10\0\0\0\x01\0\x01\0\xC0\x5D\0\0\x80\xBB\0\0\x02\0\x10\0data\xFF\xFF\xFF\xFF";

pub(super) fn answer(body: &Map<String, Value>, desk: &mut Desk<'_>) -> Result<Answer, Rejection> {
    let own = ["model", "input", "voice", "instructions", "response_format", "speed", "stream_format"];
    let fields = Fields::of_event(body, &own)?;
    let model = model(&fields, Trade::Speech)?;
    let input = read_input(&fields.required("input")?)?;
    let voice = fields.required("voice")?;
    if voice.value().is_object() {
        voice.object(&["id"])?.required("id")?.string()?;
    } else {
        voice.string()?;
    }
    fields.some("instructions").map(|text| text.string()).transpose()?;
    fields.some("speed").map(|speed| speed.number(0.25..=4.0)).transpose()?;
    let is_wav = read_format(&fields)? == "wav";
    let in_events = match fields.some("stream_format") {
        Some(format) if format.one_of(&["audio", "sse"])? == "sse" => {
            if model.starts_with("tts-1") {
                return Err(format.refuse(format!("'sse' is not supported by model '{model}'.")).into());
            }
            true
        }
        _ => false,
    };

    let said = if desk.instead.as_deref() == Some("") { Vec::new() } else { speech::speak(input) };
    let audio = sound::bytes(&sound::at_rate(&said, Rate::Hz24000));
    let mut pieces = pieces(&audio, BYTES_PER_SECOND, desk);
    if is_wav {
        pieces.insert(0, (Duration::ZERO, Bytes::from_static(&WAV_HEAD)));
    }
    let after = desk.options.first_speech_delay;
    if in_events {
        let pieces = events(pieces, text::token_count(input), (audio.len() as u64).div_ceil(2_400));
        return Ok(Answer::new(Form::Events, after, pieces));
    }
    Ok(Answer::new(Form::Audio(if is_wav { "audio/wav" } else { "audio/pcm" }), after, pieces))
}

/// Sound in pieces of changing size, each leaving when it is made.
pub(super) fn pieces(audio: &[u8], bytes_per_second: f64, desk: &mut Desk<'_>) -> Vec<(Duration, Bytes)> {
    let speed = bytes_per_second * f64::from(desk.options.speech_speed);
    let mut pieces = Vec::new();
    let mut from = 0;
    while from < audio.len() {
        let to = audio.len().min(from + desk.rng.random_range(PIECE_BYTES));
        let at = Duration::try_from_secs_f64(from as f64 / speed).unwrap_or_default();
        pieces.push((at, Bytes::copy_from_slice(&audio[from..to])));
        from = to;
    }
    pieces
}

/// The same as events. A token of sound is 50 ms, 2,400 bytes.
fn events(pieces: Vec<(Duration, Bytes)>, input_tokens: u64, output_tokens: u64) -> Vec<(Duration, Bytes)> {
    let event = |at, body: Value| (at, Bytes::from(format!("data: {body}\n\n")));
    let end = pieces.last().map_or(Duration::ZERO, |(at, _)| *at);
    let usage = json!({
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
    });
    let done = event(end, json!({"type": "speech.audio.done", "usage": usage}));
    let delta = |(at, piece)| {
        event(at, json!({"type": "speech.audio.delta", "audio": BASE64_STANDARD.encode::<Bytes>(piece)}))
    };
    pieces.into_iter().map(delta).chain([done]).collect()
}

fn read_input<'a>(input: &Field<'a>) -> Result<&'a str, Rejection> {
    let text = input.string()?;
    let characters = text.chars().count();
    let wrong = |code, what: String| {
        Err(Rejection::new(StatusCode::BAD_REQUEST, code, format!("Invalid 'input': {what}")).about("input"))
    };
    match characters {
        0 => wrong(
            "string_below_min_length",
            "string too short. Expected a string with minimum length 1, but got an empty string instead."
                .to_owned(),
        ),
        1..=INPUT_CHARACTERS_MAX => Ok(text),
        _ => wrong(
            "string_above_max_length",
            format!(
                "string too long. Expected a string with maximum length {INPUT_CHARACTERS_MAX}, but got a string with \
                 length {characters} instead."
            ),
        ),
    }
}

fn read_format(fields: &Fields<'_>) -> Result<&'static str, Rejection> {
    let Some(format) = fields.some("response_format") else {
        let message = "The default format, mp3, is not simulated: ask for 'pcm' or 'wav'.";
        return Err(
            Rejection::new(StatusCode::BAD_REQUEST, "unsupported_value", message).about("response_format")
        );
    };
    match format.one_of(&["mp3", "opus", "aac", "flac", "wav", "pcm"])? {
        known @ ("wav" | "pcm") => Ok(known),
        other => {
            let message = format!("The format '{other}' is not simulated: ask for 'pcm' or 'wav'.");
            Err(Rejection::new(StatusCode::BAD_REQUEST, "unsupported_value", message)
                .about("response_format"))
        }
    }
}
