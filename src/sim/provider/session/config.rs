//! The settings of a session: their defaults, what an update may say, and how they are echoed.
//!
//! Knows nothing of what the settings do. All or nothing: an update with one bad field changes none.

use serde_json::{Value, json};

use super::fields::{Field, Fields, Refused};

/// Silence that ends an utterance unless the client says otherwise; the documentation's figure (its example has 200).
const SILENCE_MS: u64 = 500;
const PREFIX_PADDING_MS: u64 = 300;
const THRESHOLD: f64 = 0.5;

const VOICES: [&str; 10] =
    ["alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"];

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

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TurnDetection {
    Server {
        threshold: f64,
        prefix_padding_ms: u64,
        silence_duration_ms: u64,
        idle_timeout_ms: Option<u64>,
        create_response: bool,
        interrupt_response: bool,
    },
    Semantic {
        eagerness: &'static str,
        create_response: bool,
        interrupt_response: bool,
    },
}

impl TurnDetection {
    fn server() -> Self {
        Self::Server {
            threshold: THRESHOLD,
            prefix_padding_ms: PREFIX_PADDING_MS,
            silence_duration_ms: SILENCE_MS,
            idle_timeout_ms: None,
            create_response: true,
            interrupt_response: true,
        }
    }

    pub(crate) fn create_response(&self) -> bool {
        match self {
            Self::Server { create_response, .. } | Self::Semantic { create_response, .. } => *create_response,
        }
    }

    pub(crate) fn interrupt_response(&self) -> bool {
        match self {
            Self::Server { interrupt_response, .. } | Self::Semantic { interrupt_response, .. } => {
                *interrupt_response
            }
        }
    }

    pub(crate) fn threshold(&self) -> f64 {
        match self {
            Self::Server { threshold, .. } => *threshold,
            Self::Semantic { .. } => THRESHOLD,
        }
    }

    pub(crate) fn prefix_padding_ms(&self) -> u64 {
        match self {
            Self::Server { prefix_padding_ms, .. } => *prefix_padding_ms,
            Self::Semantic { .. } => PREFIX_PADDING_MS,
        }
    }

    /// The semantic kind waits up to 8, 4 or 2 s for a sentence that sounds unfinished, and far less for one that
    /// does not. This detection cannot tell, and takes a quarter of it.
    pub(crate) fn silence_ms(&self) -> u64 {
        match self {
            Self::Server { silence_duration_ms, .. } => *silence_duration_ms,
            Self::Semantic { eagerness: "low", .. } => 8_000 / 4,
            Self::Semantic { eagerness: "high", .. } => 2_000 / 4,
            Self::Semantic { .. } => 4_000 / 4,
        }
    }

    pub(crate) fn idle_timeout_ms(&self) -> Option<u64> {
        match self {
            Self::Server { idle_timeout_ms, .. } => *idle_timeout_ms,
            Self::Semantic { .. } => None,
        }
    }

    /// What is present replaces everything: absent fields take their defaults.
    fn read(field: &Field<'_>) -> Result<Self, Refused> {
        let kind = Fields::required(&all_of(field)?, "type")?.one_of(&["server_vad", "semantic_vad"])?;
        let both = ["type", "create_response", "interrupt_response"];
        let flag = |fields: &Fields<'_>, key| fields.some(key).map_or(Ok(true), |field| field.boolean());
        if kind == "semantic_vad" {
            let fields = field.object(&[&both[..], &["eagerness"]].concat())?;
            let eagerness =
                fields.some("eagerness").map(|field| field.one_of(&["low", "medium", "high", "auto"]));
            return Ok(Self::Semantic {
                eagerness: eagerness.transpose()?.unwrap_or("auto"),
                create_response: flag(&fields, "create_response")?,
                interrupt_response: flag(&fields, "interrupt_response")?,
            });
        }
        let server = ["threshold", "prefix_padding_ms", "silence_duration_ms", "idle_timeout_ms"];
        let fields = field.object(&[&both[..], &server[..]].concat())?;
        let ms = |key, default| fields.some(key).map_or(Ok(default), |field| field.integer(0..=60_000));
        Ok(Self::Server {
            threshold: fields.some("threshold").map_or(Ok(THRESHOLD), |field| field.number(0.0..=1.0))?,
            prefix_padding_ms: ms("prefix_padding_ms", PREFIX_PADDING_MS)?,
            silence_duration_ms: ms("silence_duration_ms", SILENCE_MS)?,
            idle_timeout_ms: fields
                .some("idle_timeout_ms")
                .map(|field| field.integer(5_000..=30_000))
                .transpose()?,
            create_response: flag(&fields, "create_response")?,
            interrupt_response: flag(&fields, "interrupt_response")?,
        })
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Server {
                threshold,
                prefix_padding_ms,
                silence_duration_ms,
                idle_timeout_ms,
                create_response,
                interrupt_response,
            } => json!({
                "type": "server_vad",
                "threshold": threshold,
                "prefix_padding_ms": prefix_padding_ms,
                "silence_duration_ms": silence_duration_ms,
                "idle_timeout_ms": idle_timeout_ms,
                "create_response": create_response,
                "interrupt_response": interrupt_response,
            }),
            Self::Semantic { eagerness, create_response, interrupt_response } => json!({
                "type": "semantic_vad",
                "eagerness": eagerness,
                "create_response": create_response,
                "interrupt_response": interrupt_response,
            }),
        }
    }
}

/// An object of which only `type` is looked at so far.
fn all_of<'a>(field: &Field<'a>) -> Result<Fields<'a>, Refused> {
    let map = field.any_object()?;
    field.object(&map.keys().map(String::as_str).collect::<Vec<_>>())
}

/// What a response needs to know: the session's settings, or one response's own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Voicing {
    pub(crate) text_only: bool,
    pub(crate) instructions: String,
    pub(crate) format: Format,
    pub(crate) voice: Value,
    pub(crate) tools: Vec<Value>,
    pub(crate) tool_choice: Value,
    pub(crate) parallel_tool_calls: Option<bool>,
    pub(crate) reasoning: Value,
    /// Absent means without limit.
    pub(crate) tokens_max: Option<u64>,
    pub(crate) prompt: Value,
}

/// Fields that a session and a single response have in common.
const VOICING: [&str; 8] = [
    "output_modalities",
    "instructions",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning",
    "max_output_tokens",
    "prompt",
];

impl Voicing {
    /// The settings of one `response.create`, over those of the session.
    pub(crate) fn for_response(
        &self,
        response: &Fields<'_>,
        model: &str,
        voice_locked: bool,
    ) -> Result<Self, Refused> {
        let mut voicing = self.with(response, model)?;
        if let Some(audio) = response.some("audio")
            && let Some(output) = audio.object(&["output"])?.some("output")
        {
            voicing.with_output(&output.object(&["format", "voice"])?)?;
        }
        if voice_locked && voicing.voice != self.voice {
            return Err(voice_is_locked("response.audio.output.voice"));
        }
        Ok(voicing)
    }

    fn with(&self, fields: &Fields<'_>, model: &str) -> Result<Self, Refused> {
        let mut voicing = self.clone();
        if let Some(modalities) = fields.get("output_modalities") {
            let mut list = modalities.list()?.into_iter();
            voicing.text_only = match (list.next(), list.next()) {
                (Some(only), None) => only.one_of(&["audio", "text"])? == "text",
                _ => {
                    return Err(
                        modalities.refuse("Invalid modalities: either ['audio'] or ['text'] is supported.")
                    );
                }
            };
        }
        if let Some(instructions) = fields.get("instructions") {
            instructions.string()?.clone_into(&mut voicing.instructions);
        }
        if let Some(tools) = fields.get("tools") {
            voicing.tools = if tools.is_null() { Vec::new() } else { read_tools(&tools)? };
        }
        if let Some(choice) = fields.get("tool_choice") {
            voicing.tool_choice = read_tool_choice(&choice)?;
        }
        let reasons = model.starts_with("gpt-realtime-2");
        if let Some(parallel) = fields.some("parallel_tool_calls") {
            voicing.parallel_tool_calls = Some(parallel.boolean()?);
        }
        if let Some(reasoning) = fields.some("reasoning") {
            if !reasons {
                return Err(reasoning.refuse(format!("Reasoning is not supported by model '{model}'.")));
            }
            reasoning.object(&["effort"])?.required("effort")?.one_of(&EFFORTS)?;
            voicing.reasoning = reasoning.value().clone();
        }
        if let Some(limit) = fields.get("max_output_tokens") {
            let unlimited = limit.value() == "inf" || limit.is_null();
            voicing.tokens_max = if unlimited { None } else { Some(limit.integer(1..=4_096)?) };
        }
        if let Some(prompt) = fields.get("prompt") {
            if !prompt.is_null() {
                prompt.object(&["id", "version", "variables"])?.required("id")?.string()?;
            }
            voicing.prompt = prompt.value().clone();
        }
        Ok(voicing)
    }

    fn with_output(&mut self, output: &Fields<'_>) -> Result<(), Refused> {
        if let Some(format) = output.get("format") {
            self.format = Format::read(&format)?;
        }
        if let Some(voice) = output.get("voice") {
            if voice.value().is_string() {
                voice.one_of(&VOICES)?;
            } else {
                voice.object(&["id"])?.required("id")?.string()?;
            }
            self.voice = voice.value().clone();
        }
        Ok(())
    }

    pub(crate) fn modalities(&self) -> Value {
        json!([if self.text_only { "text" } else { "audio" }])
    }

    pub(crate) fn tokens_max_json(&self) -> Value {
        self.tokens_max.map_or_else(|| json!("inf"), Value::from)
    }

    /// Name of the tool a response has to call, if it must call one.
    pub(crate) fn forced_tool(&self) -> Option<&str> {
        let first = || self.tools.iter().find_map(|tool| tool["name"].as_str());
        if self.tool_choice == "required" { first() } else { self.tool_choice["name"].as_str() }
    }

    pub(crate) fn may_call(&self, name: &str) -> bool {
        self.tool_choice != "none" && self.tools.iter().any(|tool| tool["name"] == name)
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
            voicing: Voicing {
                text_only: false,
                instructions:
                    "You are a helpful assistant. Be brief and friendly, and answer in the caller's language."
                        .to_owned(),
                format: Format::Pcm,
                voice: json!("alloy"),
                tools: Vec::new(),
                tool_choice: json!("auto"),
                parallel_tool_calls: None,
                reasoning: Value::Null,
                tokens_max: None,
                prompt: Value::Null,
            },
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
        let fields = session.object(&[&own[..], &VOICING[..]].concat())?;
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
        if voice_locked && new.voicing.voice != self.voicing.voice {
            return Err(voice_is_locked("session.audio.output.voice"));
        }
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

fn voice_is_locked(path: &str) -> Refused {
    let message = "Cannot update a conversation's voice if assistant audio is present.";
    Refused::new("cannot_update_voice", message).about(path)
}

fn read_tools(tools: &Field<'_>) -> Result<Vec<Value>, Refused> {
    for tool in tools.list()? {
        if all_of(&tool)?.required("type")?.one_of(&["function", "mcp"])? == "function" {
            let fields = tool.object(&["type", "name", "description", "parameters"])?;
            fields.required("name")?.string()?;
            if let Some(parameters) = fields.some("parameters") {
                parameters.any_object()?;
            }
        } else {
            all_of(&tool)?.required("server_label")?.string()?;
        }
    }
    Ok(tools.value().as_array().cloned().unwrap_or_default())
}

fn read_tool_choice(choice: &Field<'_>) -> Result<Value, Refused> {
    if choice.value().is_object() {
        let kind = all_of(choice)?.required("type")?.one_of(&["function", "mcp"])?;
        let wanted = if kind == "function" {
            ("name", ["type", "name"].as_slice())
        } else {
            ("server_label", &["type", "server_label", "name"][..])
        };
        choice.object(wanted.1)?.required(wanted.0)?.string()?;
    } else {
        choice.one_of(&["auto", "none", "required"])?;
    }
    Ok(choice.value().clone())
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
