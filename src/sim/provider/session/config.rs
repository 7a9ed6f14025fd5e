//! The settings of a session: their defaults, what an update may say, and how they are echoed.
//!
//! Knows nothing of what the settings do. All or nothing: an update with one bad field changes none.

use serde_json::{Value, json};

pub(crate) use self::{turn_detection::TurnDetection, voicing::Voicing};
use crate::provider::fields::{Field, Fields, Refused};

mod turn_detection;
mod voicing;

const TRANSCRIPTION_MODELS: [&str; 7] = [
    "gpt-transcribe",
    "gpt-live-transcribe",
    "gpt-realtime-whisper",
    "whisper-1",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-transcribe-diarize",
];

const EFFORTS: [&str; 5] = ["minimal", "low", "medium", "high", "xhigh"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// 16-bit little-endian, 24 kHz.
    Pcm,
    Pcmu,
    Pcma,
}

impl Format {
    pub(crate) fn bytes_per_ms(self) -> usize {
        match self {
            Self::Pcm => 48,
            Self::Pcmu | Self::Pcma => 8,
        }
    }

    /// Whole milliseconds of so many bytes.
    pub(crate) fn ms(self, bytes: usize) -> u64 {
        (bytes / self.bytes_per_ms()) as u64
    }

    /// Bytes of so many milliseconds; more than memory holds is as much as it holds.
    pub(crate) fn bytes(self, milliseconds: u64) -> usize {
        usize::try_from(milliseconds).unwrap_or(usize::MAX).saturating_mul(self.bytes_per_ms())
    }

    pub(crate) fn to_json(self) -> Value {
        match self {
            Self::Pcm => json!({"type": "audio/pcm", "rate": 24_000}),
            Self::Pcmu => json!({"type": "audio/pcmu"}),
            Self::Pcma => json!({"type": "audio/pcma"}),
        }
    }

    fn read(field: &Field<'_>) -> Result<Self, Refused> {
        let kind = field.object(&["type", "rate"])?.required("type")?;
        match kind.one_of(&["audio/pcm", "audio/pcmu", "audio/pcma"])? {
            "audio/pcm" => {
                if let Some(rate) = field.object(&["type", "rate"])?.get("rate") {
                    rate.integer(24_000..=24_000)?;
                }
                Ok(Self::Pcm)
            }
            other => {
                field.object(&["type"])?;
                Ok(if other == "audio/pcmu" { Self::Pcmu } else { Self::Pcma })
            }
        }
    }
}

/// Everything a `session.update` sets and a `session.updated` echoes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) model: String,
    pub(crate) voicing: Voicing,
    pub(crate) input: Format,
    pub(crate) transcription: Option<Value>,
    pub(crate) turn_detection: Option<TurnDetection>,
    noise_reduction: Value,
    speed: f64,
    truncation: Value,
    tracing: Value,
    include: Value,
}

impl Settings {
    /// As a fresh session has them, whatever the client wants later.
    pub(crate) fn new(model: String) -> Self {
        Self {
            model,
            voicing: Voicing::new(),
            input: Format::Pcm,
            transcription: None,
            turn_detection: Some(TurnDetection::server()),
            noise_reduction: Value::Null,
            speed: 1.0,
            truncation: json!("auto"),
            tracing: Value::Null,
            include: Value::Null,
        }
    }

    /// These settings after an update; `voice_locked` once the agent has been heard.
    pub(crate) fn updated(&self, session: &Field<'_>, voice_locked: bool) -> Result<Self, Refused> {
        let own = ["type", "model", "audio", "truncation", "tracing", "include"];
        let fields = session.object(&[&own[..], &voicing::FIELDS[..]].concat())?;
        if fields.required("type")?.one_of(&["realtime", "transcription"])? == "transcription" {
            let message =
                "Passing a transcription session update event to a realtime session is not allowed.";
            return Err(Refused::new("invalid_value", message).about("session.type"));
        }
        if let Some(model) = fields.get("model")
            && model.string()? != self.model
        {
            return Err(model.refuse("The model of a session cannot be changed after it was created."));
        }
        let mut new = Self { voicing: self.voicing.with(&fields, &self.model)?, ..self.clone() };
        if let Some(audio) = fields.some("audio") {
            let audio = audio.object(&["input", "output"])?;
            if let Some(input) = audio.some("input") {
                new.with_input(&input)?;
            }
            if let Some(output) = audio.some("output") {
                let output = output.object(&["format", "voice", "speed"])?;
                new.voicing.with_output(&output)?;
                new.speed = output.some("speed").map_or(Ok(self.speed), |speed| speed.number(0.25..=1.5))?;
            }
        }
        new.with_bookkeeping(&fields)?;
        new.voicing.keep_voice_of(&self.voicing, voice_locked, "session.audio.output.voice")?;
        Ok(new)
    }

    fn with_input(&mut self, input: &Field<'_>) -> Result<(), Refused> {
        let fields = input.object(&["format", "transcription", "noise_reduction", "turn_detection"])?;
        if let Some(format) = fields.get("format") {
            self.input = Format::read(&format)?;
        }
        if let Some(transcription) = fields.get("transcription") {
            self.transcription =
                if transcription.is_null() { None } else { Some(read_transcription(&transcription)?) };
        }
        if let Some(reduction) = fields.get("noise_reduction") {
            if !reduction.is_null() {
                reduction.object(&["type"])?.required("type")?.one_of(&["near_field", "far_field"])?;
            }
            self.noise_reduction = reduction.value().clone();
        }
        if let Some(detection) = fields.get("turn_detection") {
            self.turn_detection =
                if detection.is_null() { None } else { Some(TurnDetection::read(&detection)?) };
        }
        Ok(())
    }

    fn with_bookkeeping(&mut self, fields: &Fields<'_>) -> Result<(), Refused> {
        if let Some(truncation) = fields.get("truncation") {
            if truncation.value().is_object() {
                let object = truncation.object(&["type", "retention_ratio", "token_limits"])?;
                object.required("type")?.one_of(&["retention_ratio"])?;
                object.required("retention_ratio")?.number(0.0..=1.0)?;
                if let Some(limits) = object.some("token_limits") {
                    limits.object(&["post_instructions"])?;
                }
            } else {
                truncation.one_of(&["auto", "disabled"])?;
            }
            self.truncation = truncation.value().clone();
        }
        if let Some(tracing) = fields.get("tracing") {
            if !self.tracing.is_null() && *tracing.value() != self.tracing {
                return Err(tracing.refuse("Tracing cannot be changed once it is on."));
            }
            if tracing.value().is_object() {
                tracing.object(&["workflow_name", "group_id", "metadata"])?;
            } else if !tracing.is_null() {
                tracing.one_of(&["auto"])?;
            }
            self.tracing = tracing.value().clone();
        }
        if let Some(include) = fields.get("include") {
            if !include.is_null() {
                for what in include.list()? {
                    what.one_of(&["item.input_audio_transcription.logprobs"])?;
                }
            }
            self.include = include.value().clone();
        }
        Ok(())
    }

    /// The complete session object, as `session.created` and `session.updated` carry it.
    pub(crate) fn to_json(&self, id: &str, expires_at: u64) -> Value {
        let voicing = &self.voicing;
        json!({
            "type": "realtime",
            "object": "realtime.session",
            "id": id,
            "model": self.model,
            "expires_at": expires_at,
            "output_modalities": voicing.modalities(),
            "instructions": voicing.instructions,
            "audio": {
                "input": {
                    "format": self.input.to_json(),
                    "transcription": self.transcription,
                    "noise_reduction": self.noise_reduction,
                    "turn_detection": self.turn_detection.as_ref().map(TurnDetection::to_json),
                },
                "output": { "format": voicing.format.to_json(), "voice": voicing.voice, "speed": self.speed },
            },
            "tools": voicing.tools,
            "tool_choice": voicing.tool_choice,
            "parallel_tool_calls": voicing.parallel_tool_calls,
            "reasoning": voicing.reasoning,
            "max_output_tokens": voicing.tokens_max_json(),
            "truncation": self.truncation,
            "tracing": self.tracing,
            "prompt": voicing.prompt,
            "include": self.include,
        })
    }
}

fn read_transcription(transcription: &Field<'_>) -> Result<Value, Refused> {
    let fields = transcription.object(&["model", "language", "languages", "keywords", "prompt", "delay"])?;
    let model = fields.some("model").map(|model| model.one_of(&TRANSCRIPTION_MODELS)).transpose()?;
    if fields.some("language").is_some()
        && let Some(languages) = fields.some("languages")
    {
        return Err(languages.refuse("Only one of 'language' and 'languages' may be given."));
    }
    if let Some(delay) = fields.some("delay") {
        delay.one_of(&EFFORTS)?;
        if model != Some("gpt-realtime-whisper") {
            return Err(delay.refuse("'delay' is only supported by 'gpt-realtime-whisper'."));
        }
    }
    if let Some(keywords) = fields.some("keywords")
        && !matches!(model, Some("gpt-transcribe" | "gpt-live-transcribe"))
    {
        return Err(
            keywords.refuse("'keywords' is only supported by 'gpt-transcribe' and 'gpt-live-transcribe'.")
        );
    }
    Ok(transcription.value().clone())
}

#[cfg(test)]
mod tests;
