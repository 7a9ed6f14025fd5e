//! The session: what we ask for, in GA shape, and what the server says is in force, from either dialect.
//! Knows no agent: who answers and how is configuration elsewhere.
//!
//! The server's defaults differ between its own texts, so what matters is always sent explicitly. Reusable prompt
//! objects (`session.prompt`) are left out: the API drops them on 2026-11-30.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use super::lenient;

// --- what we ask for

/// The session as we want it. A field that is absent stays as it is at the server; `type` is always sent.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct SessionConfig {
    #[serde(rename = "type")]
    pub kind: SessionKind,
    /// Named in the URL too; an update cannot change it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// `""` clears. A change in mid-session breaks the server's prompt cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_modalities: Option<Modality>,
    #[serde(skip_serializing_if = "AudioConfig::is_empty")]
    pub audio: AudioConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Tool>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// Reasoning models only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    /// Reasoning models only; others refuse the update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Reasoning>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<MaxOutputTokens>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncation: Option<Truncation>,
    /// Cannot be changed once it is on.
    #[serde(skip_serializing_if = "Setting::is_keep")]
    pub tracing: Setting<Tracing>,
    /// Such as `item.input_audio_transcription.logprobs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include: Option<Vec<String>>,
}

/// A field for which the API gives `null` a meaning of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Setting<T> {
    /// Absent: as it is at the server.
    #[default]
    Keep,
    /// `null`: switched off.
    Off,
    To(T),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionKind {
    /// A conversation.
    #[default]
    Realtime,
    /// Hears and writes down, never answers.
    Transcription,
}

/// What the model puts out. Audio always brings a transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modality {
    Audio,
    Text,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct AudioConfig {
    #[serde(skip_serializing_if = "InputAudioConfig::is_empty")]
    pub input: InputAudioConfig,
    #[serde(skip_serializing_if = "OutputAudioConfig::is_empty")]
    pub output: OutputAudioConfig,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct InputAudioConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<AudioFormat>,
    /// Speech recognition by another model, billed apart.
    #[serde(skip_serializing_if = "Setting::is_keep")]
    pub transcription: Setting<Transcription>,
    #[serde(skip_serializing_if = "Setting::is_keep")]
    pub noise_reduction: Setting<NoiseReduction>,
    /// Off: we commit, then ask for the response.
    #[serde(skip_serializing_if = "Setting::is_keep")]
    pub turn_detection: Setting<TurnDetection>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct OutputAudioConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<AudioFormat>,
    /// Locked after the first audio: an update with another voice is refused as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voice: Option<Voice>,
    /// 0.25 to 1.5, 1.0 is normal; only between turns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<f64>,
}

/// A format of audio, mono throughout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AudioFormat {
    /// Signed 16 bit, little-endian; `rate` in Hz. OpenAI takes 24000 only.
    Pcm { rate: u32 },
    /// G.711 mu-law, 8 kHz.
    Pcmu,
    /// G.711 A-law, 8 kHz.
    Pcma,
    /// A server's own, by its name.
    Other(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Transcription {
    pub model: String,
    /// ISO 639-1. Newer models take `languages` instead; never send both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// How long a transcription model may wait for more context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Effort>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NoiseReduction {
    NearField,
    FarField,
}

/// Who decides when the caller has finished. Every field is written.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TurnDetection {
    /// By loudness.
    ServerVad {
        /// 0 to 1.
        threshold: f64,
        prefix_padding_ms: u32,
        silence_duration_ms: u32,
        /// 5000 to 30000, or never.
        idle_timeout_ms: Option<u32>,
        create_response: bool,
        interrupt_response: bool,
    },
    /// By meaning.
    SemanticVad { eagerness: Eagerness, create_response: bool, interrupt_response: bool },
}

/// How long semantic turn detection waits at most: 8 s, 4 s, 2 s; `auto` is `medium`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Eagerness {
    Low,
    Medium,
    High,
    #[default]
    Auto,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Voice {
    Name(String),
    Custom { id: String },
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Tool {
    Function {
        name: String,
        description: String,
        /// A JSON Schema.
        parameters: Value,
    },
    /// The provider calls it by itself; the object is passed on as it is, `type` apart.
    Mcp(serde_json::Map<String, Value>),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "Value")]
pub enum ToolChoice {
    Auto,
    None,
    Required,
    Function { name: String },
    Mcp { server_label: String, name: Option<String> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Reasoning {
    pub effort: Effort,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
    Minimal,
    Low,
    Medium,
    High,
    #[serde(rename = "xhigh")]
    ExtraHigh,
}

/// Per response, tool calls included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxOutputTokens {
    Limit(u32),
    /// `"inf"`.
    Unlimited,
}

/// What happens to old items when the context is full.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(into = "Value")]
pub enum Truncation {
    Auto,
    Disabled,
    /// Keep this share (0 to 1) of the context when it is cut: below 1 it is cut rarely and the cache stays warm.
    RetentionRatio {
        ratio: f64,
        /// Limit on the tokens after the instructions.
        post_instructions: Option<u32>,
    },
}

/// Where the session shows in the provider's own traces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "Value")]
pub enum Tracing {
    Auto,
    Named { workflow_name: String, group_id: String, metadata: BTreeMap<String, String> },
}

// --- what is in force

/// The session as the server echoes it. What a server does not tell is `None`: only the caller knows what it needs.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(from = "Value")]
pub struct Session {
    pub id: Option<String>,
    pub model: Option<String>,
    /// Unix seconds. An update does not extend it.
    pub expires_at: Option<u64>,
    pub input_format: Option<AudioFormat>,
    pub output_format: Option<AudioFormat>,
    pub output_modalities: Vec<String>,
    pub instructions: Option<String>,
    /// A name, or the id of a custom voice.
    pub voice: Option<String>,
    /// As it stands; `Null` is off.
    pub turn_detection: Option<Value>,
    /// As it stands; `Null` is off.
    pub transcription: Option<Value>,
    /// As it stands; `Null` is off.
    pub noise_reduction: Option<Value>,
}

impl From<Value> for Session {
    fn from(session: Value) -> Self {
        // GA nests where beta is flat.
        let either = |ga: &str, beta: &str| session.pointer(ga).or_else(|| session.get(beta));
        let format = |ga: &str, beta: &str| either(ga, beta).and_then(AudioFormat::from_echo);
        let voice = either("/audio/output/voice", "voice");
        Self {
            id: lenient::as_text(&session["id"]),
            model: lenient::as_text(&session["model"]),
            expires_at: lenient::as_whole(&session["expires_at"]),
            input_format: format("/audio/input/format", "input_audio_format"),
            output_format: format("/audio/output/format", "output_audio_format"),
            output_modalities: either("/output_modalities", "modalities")
                .map(lenient::as_texts)
                .unwrap_or_default(),
            instructions: lenient::as_text(&session["instructions"]),
            voice: voice.and_then(|voice| lenient::as_text(voice.get("id").unwrap_or(voice))),
            turn_detection: either("/audio/input/turn_detection", "turn_detection").cloned(),
            transcription: either("/audio/input/transcription", "input_audio_transcription").cloned(),
            noise_reduction: either("/audio/input/noise_reduction", "input_audio_noise_reduction").cloned(),
        }
    }
}

// --- how it is written and read

/// The rate the API means when it names PCM without one.
const PCM_RATE: u32 = 24_000;

impl AudioFormat {
    /// Reads a GA object or a beta name.
    fn from_echo(echo: &Value) -> Option<Self> {
        let name = echo.get("type").unwrap_or(echo).as_str()?;
        Some(match name {
            "audio/pcm" | "pcm16" => {
                let rate = echo.get("rate").and_then(lenient::as_whole).and_then(|rate| rate.try_into().ok());
                Self::Pcm { rate: rate.unwrap_or(PCM_RATE) }
            }
            "audio/pcmu" | "g711_ulaw" => Self::Pcmu,
            "audio/pcma" | "g711_alaw" => Self::Pcma,
            other => Self::Other(other.to_owned()),
        })
    }
}

impl Serialize for AudioFormat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Format<'a> {
            r#type: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            rate: Option<u32>,
        }
        let (r#type, rate) = match self {
            Self::Pcm { rate } => ("audio/pcm", Some(*rate)),
            Self::Pcmu => ("audio/pcmu", None),
            Self::Pcma => ("audio/pcma", None),
            Self::Other(name) => (name.as_str(), None),
        };
        Format { r#type, rate }.serialize(serializer)
    }
}

impl Serialize for Modality {
    /// The API takes a list of exactly one.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let name = match self {
            Self::Audio => "audio",
            Self::Text => "text",
        };
        [name].serialize(serializer)
    }
}

impl Serialize for MaxOutputTokens {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Limit(tokens) => serializer.serialize_u32(*tokens),
            Self::Unlimited => serializer.serialize_str("inf"),
        }
    }
}

impl<T: Serialize> Serialize for Setting<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            // Not reached as a field: `skip_serializing_if` leaves it out.
            Self::Keep => serializer.serialize_unit(),
            Self::Off => serializer.serialize_none(),
            Self::To(value) => value.serialize(serializer),
        }
    }
}

impl<T> Setting<T> {
    fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }
}

impl AudioConfig {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl InputAudioConfig {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl OutputAudioConfig {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl From<ToolChoice> for Value {
    fn from(choice: ToolChoice) -> Self {
        match choice {
            ToolChoice::Auto => json!("auto"),
            ToolChoice::None => json!("none"),
            ToolChoice::Required => json!("required"),
            ToolChoice::Function { name } => json!({ "type": "function", "name": name }),
            ToolChoice::Mcp { server_label, name: Some(name) } => {
                json!({ "type": "mcp", "server_label": server_label, "name": name })
            }
            ToolChoice::Mcp { server_label, name: None } => {
                json!({ "type": "mcp", "server_label": server_label })
            }
        }
    }
}

impl From<Truncation> for Value {
    fn from(truncation: Truncation) -> Self {
        match truncation {
            Truncation::Auto => json!("auto"),
            Truncation::Disabled => json!("disabled"),
            Truncation::RetentionRatio { ratio, post_instructions: Some(tokens) } => json!({
                "type": "retention_ratio",
                "retention_ratio": ratio,
                "token_limits": { "post_instructions": tokens },
            }),
            Truncation::RetentionRatio { ratio, post_instructions: None } => {
                json!({ "type": "retention_ratio", "retention_ratio": ratio })
            }
        }
    }
}

impl From<Tracing> for Value {
    fn from(tracing: Tracing) -> Self {
        match tracing {
            Tracing::Auto => json!("auto"),
            Tracing::Named { workflow_name, group_id, metadata } => {
                json!({ "workflow_name": workflow_name, "group_id": group_id, "metadata": metadata })
            }
        }
    }
}
