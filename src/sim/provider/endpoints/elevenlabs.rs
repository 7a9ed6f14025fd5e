//! ElevenLabs' `POST /v1/text-to-speech/{voice}` and `.../stream`.
//!
//! Facts: the public SDK's client and the error pages of its documentation. The port is OpenAI's neighbour
//! here, which no client notices. Fields beyond the text are taken and not looked at; compressed formats are
//! not simulated and are refused.

use std::str::FromStr;

use hyper::{HeaderMap, StatusCode, header::HeaderValue};
use serde_json::{Value, json};
use tandem_media::{g711, resample::Rate};

use super::{Asked, Body, Desk, speech};
use crate::{
    provider::{
        answer::{Answer, Form},
        rejection::Rejection,
        sound,
        upgrade::query,
    },
    speech::speak,
};

/// Longest text of the fastest model, in characters.
const TEXT_CHARACTERS_MAX: usize = 40_000;

/// Whether a path, without its `/v1/`, is one of these.
pub(super) fn is_at(path: &str) -> bool {
    let voice = path.strip_prefix("text-to-speech/").map(|rest| rest.strip_suffix("/stream").unwrap_or(rest));
    voice.is_some_and(|voice| !voice.is_empty() && !voice.contains('/'))
}

pub(super) fn authorise(headers: &HeaderMap, api_key: Option<&str>) -> Result<(), Rejection> {
    let refuse = |code, message| Err(Rejection::new(StatusCode::UNAUTHORIZED, code, message));
    match headers.get("xi-api-key").map(HeaderValue::as_bytes) {
        None => refuse(
            "needs_authorization",
            "Neither authorization header nor xi-api-key received, please provide one.",
        ),
        Some(key) if api_key.is_some_and(|wanted| wanted.as_bytes() != key) => {
            refuse("invalid_api_key", "Invalid API key")
        }
        Some(_) => Ok(()),
    }
}

/// The formats that are simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Pcm(Rate),
    MuLaw,
    ALaw,
}

impl FromStr for Output {
    type Err = Rejection;

    fn from_str(name: &str) -> Result<Self, Rejection> {
        match name {
            "pcm_8000" => Ok(Self::Pcm(Rate::Hz8000)),
            "pcm_16000" => Ok(Self::Pcm(Rate::Hz16000)),
            "pcm_24000" => Ok(Self::Pcm(Rate::Hz24000)),
            "pcm_48000" => Ok(Self::Pcm(Rate::Hz48000)),
            "ulaw_8000" => Ok(Self::MuLaw),
            "alaw_8000" => Ok(Self::ALaw),
            other => {
                let message = format!(
                    "The output format '{other}' is not simulated: ask for pcm_8000, pcm_16000, pcm_24000, pcm_48000, \
                     ulaw_8000 or alaw_8000."
                );
                Err(Rejection::new(StatusCode::BAD_REQUEST, "invalid_output_format", message))
            }
        }
    }
}

impl Output {
    fn encode(self, samples: &[i16]) -> Vec<u8> {
        match self {
            Self::Pcm(rate) => sound::bytes(&sound::at_rate(samples, rate)),
            Self::MuLaw => samples.iter().map(|&sample| g711::ulaw_encode(sample)).collect(),
            Self::ALaw => samples.iter().map(|&sample| g711::alaw_encode(sample)).collect(),
        }
    }

    fn bytes_per_second(self) -> f64 {
        match self {
            Self::Pcm(Rate::Hz8000) => 16_000.0,
            Self::Pcm(Rate::Hz16000) => 32_000.0,
            Self::Pcm(Rate::Hz24000) => 48_000.0,
            Self::Pcm(Rate::Hz48000) => 96_000.0,
            Self::MuLaw | Self::ALaw => 8_000.0,
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Pcm(_) => "audio/pcm",
            Self::MuLaw | Self::ALaw => "audio/basic",
        }
    }
}

/// A body without what it needs is answered by the framework beneath, in a shape of its own.
pub(super) fn answer(asked: &Asked, desk: &mut Desk<'_>) -> Answer {
    let unprocessable = |kind: &str, place: Value, message: &str| {
        let detail = json!({"detail": [{"type": kind, "loc": place, "msg": message}]});
        Answer::refused(StatusCode::UNPROCESSABLE_ENTITY, &detail)
    };
    let Body::Json(body) = &asked.body else {
        return unprocessable("json_invalid", json!(["body", 0]), "JSON decode error");
    };
    let text = match body.get("text") {
        Some(Value::String(text)) => text,
        Some(_) => {
            return unprocessable("string_type", json!(["body", "text"]), "Input should be a valid string");
        }
        None => return unprocessable("missing", json!(["body", "text"]), "Field required"),
    };
    if text.chars().count() > TEXT_CHARACTERS_MAX {
        let message = format!("The text is longer than {TEXT_CHARACTERS_MAX} characters.");
        let rejection = Rejection::new(StatusCode::BAD_REQUEST, "max_character_limit_exceeded", message);
        return Answer::refused(rejection.status, &rejection.to_detail());
    }
    match query(&asked.head.uri, "output_format").unwrap_or("mp3_44100_128").parse::<Output>() {
        Err(rejection) => Answer::refused(rejection.status, &rejection.to_detail()),
        Ok(output) => {
            let said = if desk.instead.as_deref() == Some("") { Vec::new() } else { speak(text) };
            let pieces = speech::pieces(&output.encode(&said), output.bytes_per_second(), desk);
            Answer::new(Form::Audio(output.content_type()), desk.options.first_speech_delay, pieces)
        }
    }
}
