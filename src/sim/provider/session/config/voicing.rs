//! How the agent answers: modality, voice, format, tools and limits, for a session or for one response.
//!
//! Knows nothing of what is said.

use serde_json::{Value, json};

use super::{EFFORTS, Format};
use crate::provider::fields::{Field, Fields, Refused};

const VOICES: [&str; 10] =
    ["alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"];

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
pub(super) const FIELDS: [&str; 8] = [
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
    pub(super) fn new() -> Self {
        Self {
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
        }
    }

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
        voicing.keep_voice_of(self, voice_locked, "response.audio.output.voice")?;
        Ok(voicing)
    }

    pub(super) fn with(&self, fields: &Fields<'_>, model: &str) -> Result<Self, Refused> {
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
        if let Some(parallel) = fields.some("parallel_tool_calls") {
            voicing.parallel_tool_calls = Some(parallel.boolean()?);
        }
        if let Some(reasoning) = fields.some("reasoning") {
            if !model.starts_with("gpt-realtime-2") {
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

    pub(super) fn with_output(&mut self, output: &Fields<'_>) -> Result<(), Refused> {
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

    /// Once the agent was heard in one voice, it cannot have another.
    pub(super) fn keep_voice_of(&self, before: &Self, is_locked: bool, path: &str) -> Result<(), Refused> {
        if is_locked && self.voice != before.voice {
            let message = "Cannot update a conversation's voice if assistant audio is present.";
            return Err(Refused::new("cannot_update_voice", message).about(path));
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
        if self.tool_choice == "required" {
            self.tools.iter().find_map(|tool| tool["name"].as_str())
        } else {
            self.tool_choice["name"].as_str().filter(|_| self.tool_choice["type"] == "function")
        }
    }

    pub(crate) fn may_call(&self, name: &str) -> bool {
        self.tool_choice != "none" && self.tools.iter().any(|tool| tool["name"] == name)
    }
}

fn read_tools(tools: &Field<'_>) -> Result<Vec<Value>, Refused> {
    for tool in tools.list()? {
        if tool.open_object()?.required("type")?.one_of(&["function", "mcp"])? == "function" {
            let fields = tool.object(&["type", "name", "description", "parameters"])?;
            fields.required("name")?.string()?;
            if let Some(parameters) = fields.some("parameters") {
                parameters.any_object()?;
            }
        } else {
            tool.open_object()?.required("server_label")?.string()?;
        }
    }
    Ok(tools.value().as_array().cloned().unwrap_or_default())
}

fn read_tool_choice(choice: &Field<'_>) -> Result<Value, Refused> {
    if choice.value().is_object() {
        let kind = choice.open_object()?.required("type")?.one_of(&["function", "mcp"])?;
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
