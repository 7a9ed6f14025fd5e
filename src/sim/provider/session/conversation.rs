//! The items of a conversation, in order: what a client may put in, cut and take out, and what it all costs
//! to read.
//!
//! Knows no timing and makes no events.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use super::{config::Format, hearing::Utterance};
use crate::provider::{
    brain::Turn,
    fields::{Field, Refused},
};

/// Who made an item, and of what.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    /// A message of the client's, kept as it came: `role` and `content`.
    Message {
        role: &'static str,
        parts: Value,
    },
    /// A caller's utterance.
    UserAudio {
        utterance: Utterance,
        transcript: Option<String>,
    },
    /// The agent's speech. Once it was truncated it has no transcript; the model still knows what it said.
    AgentAudio {
        format: Format,
        bytes: Vec<u8>,
        words: String,
        is_cut: bool,
    },
    AgentText {
        text: String,
    },
    Call {
        call_id: String,
        name: String,
        arguments: String,
    },
    CallOutput {
        call_id: String,
        output: String,
    },
    /// MCP items, kept as they came.
    Other(Map<String, Value>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    pub(crate) id: String,
    pub(crate) status: &'static str,
    pub(crate) content: Content,
}

impl Item {
    pub(crate) fn new(id: String, status: &'static str, content: Content) -> Self {
        Self { id, status, content }
    }

    /// As events show it: without audio bytes, except in `conversation.item.retrieved`.
    pub(crate) fn to_json(&self, with_audio: bool) -> Value {
        let mut item = json!({"id": self.id, "object": "realtime.item", "status": self.status});
        let mut set = |key: &str, value: Value| item[key] = value;
        let audio =
            |bytes: &[u8]| if with_audio { json!(BASE64_STANDARD.encode(bytes)) } else { Value::Null };
        match &self.content {
            Content::Message { role, parts } => {
                set("type", json!("message"));
                set("role", json!(role));
                set("content", parts.clone());
            }
            Content::UserAudio { utterance, transcript } => {
                let part = json!({"type": "input_audio", "audio": audio(&utterance.bytes), "transcript": transcript});
                set("type", json!("message"));
                set("role", json!("user"));
                set("content", json!([part]));
            }
            Content::AgentAudio { bytes, words, is_cut, .. } => {
                let transcript = (!is_cut).then_some(words);
                let part = json!({"type": "output_audio", "audio": audio(bytes), "transcript": transcript});
                set("type", json!("message"));
                set("role", json!("assistant"));
                set("content", json!([part]));
            }
            Content::AgentText { text } => {
                set("type", json!("message"));
                set("role", json!("assistant"));
                set("content", json!([{"type": "output_text", "text": text}]));
            }
            Content::Call { call_id, name, arguments } => {
                set("type", json!("function_call"));
                set("call_id", json!(call_id));
                set("name", json!(name));
                set("arguments", json!(arguments));
            }
            Content::CallOutput { call_id, output } => {
                set("type", json!("function_call_output"));
                set("call_id", json!(call_id));
                set("output", json!(output));
            }
            Content::Other(fields) => {
                for (key, value) in fields {
                    set(key, value.clone());
                }
            }
        }
        item
    }

    /// As an item that has only just begun to be made: nothing in it yet.
    pub(crate) fn to_json_empty(&self) -> Value {
        let mut item = self.to_json(false);
        match &self.content {
            Content::AgentAudio { .. } | Content::AgentText { .. } => item["content"] = json!([]),
            Content::Call { .. } => item["arguments"] = json!(""),
            _ => {}
        }
        item
    }

    /// As the model remembers it, if it does.
    fn turn(&self) -> Option<Turn> {
        match &self.content {
            Content::UserAudio { .. } | Content::Message { role: "user", .. } => Some(Turn::Caller),
            Content::AgentAudio { words: text, .. } | Content::AgentText { text } => {
                Some(Turn::Agent(text.clone()))
            }
            Content::Message { role: "assistant", parts } => {
                let texts = parts.as_array().into_iter().flatten().filter_map(|part| part["text"].as_str());
                Some(Turn::Agent(texts.collect::<Vec<_>>().join(" ")))
            }
            Content::Call { name, arguments, .. } => {
                Some(Turn::Called { name: name.clone(), arguments: arguments.clone() })
            }
            Content::Message { .. } | Content::CallOutput { .. } | Content::Other(_) => None,
        }
    }

    /// Tokens a model needs to read this item, as (text, audio).
    pub(crate) fn tokens(&self) -> (u64, u64) {
        match &self.content {
            Content::Message { parts, .. } => (text_tokens(&parts.to_string()), 0),
            Content::UserAudio { utterance, .. } => {
                (0, audio_tokens(utterance.bytes.len(), utterance.format, USER_TOKEN_MS))
            }
            Content::AgentAudio { format, bytes, words, is_cut } => {
                (if *is_cut { 0 } else { text_tokens(words) }, agent_audio_tokens(bytes.len(), *format))
            }
            Content::AgentText { text } => (text_tokens(text), 0),
            Content::Call { arguments, .. } => (text_tokens(arguments), 0),
            Content::CallOutput { output, .. } => (text_tokens(output), 0),
            Content::Other(_) => (0, 0),
        }
    }
}

/// One token per 100 ms of the caller's audio and per 50 ms of the agent's.
const USER_TOKEN_MS: u64 = 100;
const AGENT_TOKEN_MS: u64 = 50;

fn audio_tokens(bytes: usize, format: Format, token_ms: u64) -> u64 {
    bytes.div_ceil(format.bytes(token_ms)) as u64
}

/// What it costs to make so much agent audio, or to read it again.
pub(crate) fn agent_audio_tokens(bytes: usize, format: Format) -> u64 {
    audio_tokens(bytes, format, AGENT_TOKEN_MS)
}

/// English text has about four characters to a token.
pub(crate) fn text_tokens(text: &str) -> u64 {
    text.chars().count().div_ceil(4) as u64
}

/// How much agent audio so many output tokens allow.
pub(crate) fn agent_audio_ms(tokens: u64) -> u64 {
    tokens * AGENT_TOKEN_MS
}

/// A truncation that was asked for, whatever came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) item_ms: u64,
    pub(crate) result: Result<(), Refused>,
}

#[derive(Debug, Default)]
pub(crate) struct Conversation {
    items: Vec<Item>,
}

impl Conversation {
    pub(crate) fn get(&self, id: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Item> {
        self.items.iter_mut().find(|item| item.id == id)
    }

    /// Id of the item before this one, or of the last one for an item that is not here.
    pub(crate) fn previous(&self, id: &str) -> Option<&str> {
        let here = self.items.iter().position(|item| item.id == id).unwrap_or(self.items.len());
        here.checked_sub(1).map(|before| self.items[before].id.as_str())
    }

    pub(crate) fn push(&mut self, item: Item) {
        self.items.push(item);
    }

    /// Puts an item after another: `root` is the beginning, absence the end.
    pub(crate) fn insert(&mut self, item: Item, previous: Option<&Field<'_>>) -> Result<(), Refused> {
        if self.get(&item.id).is_some() {
            return Err(Refused::new(
                "item_create_duplicate_id",
                format!("Item with id '{}' already exists.", item.id),
            ));
        }
        if let Content::CallOutput { call_id, .. } = &item.content
            && !self
                .items
                .iter()
                .any(|known| matches!(&known.content, Content::Call { call_id: id, .. } if id == call_id))
        {
            let message = format!("Tool call ID '{call_id}' not found in conversation.");
            return Err(Refused::new("invalid_tool_call_id", message).about("item.call_id"));
        }
        let at = match previous.map(|field| Ok((field, field.string()?))).transpose()? {
            None => self.items.len(),
            Some((_, "root")) => 0,
            Some((field, id)) => match self.items.iter().position(|item| item.id == id) {
                Some(before) => before + 1,
                None => return Err(field.refuse(format!("Previous item with id '{id}' does not exist."))),
            },
        };
        self.items.insert(at, item);
        Ok(())
    }

    pub(crate) fn delete(&mut self, id: &str) -> Result<(), Refused> {
        let missing =
            || Refused::new("item_delete_invalid_item_id", format!("Item with item_id '{id}' not found."));
        let at = self.items.iter().position(|item| item.id == id).ok_or_else(missing)?;
        self.items.remove(at);
        Ok(())
    }

    pub(crate) fn retrieve(&self, id: &str) -> Result<Value, Refused> {
        let missing =
            || Refused::new("item_retrieve_invalid_item_id", format!("Item with item_id '{id}' not found."));
        self.get(id).map(|item| item.to_json(true)).ok_or_else(missing)
    }

    /// Cuts the agent's audio and drops its whole transcript, for the two are not aligned. Past the end is an
    /// error, and then nothing is cut.
    pub(crate) fn truncate(
        &mut self,
        id: &str,
        content_index: u64,
        audio_end_ms: u64,
    ) -> Result<Cut, Refused> {
        let missing =
            || Refused::new("item_truncate_invalid_item_id", format!("Item with item_id '{id}' not found."));
        let item = self.get_mut(id).ok_or_else(missing)?;
        let Content::AgentAudio { format, bytes, words, is_cut } = &mut item.content else {
            let message = "Only model output audio messages can be truncated";
            return Err(Refused::new("invalid_value", message).about("item_id"));
        };
        if content_index > 0 {
            let message = format!("Item '{id}' has no content part {content_index}.");
            return Err(Refused::new("invalid_value", message).about("content_index"));
        }
        let item_ms = format.ms(bytes.len());
        let result = if audio_end_ms > item_ms {
            let message = format!("Audio content of {item_ms}ms is already shorter than {audio_end_ms}ms");
            Err(Refused::new("invalid_value", message).about("audio_end_ms"))
        } else {
            let kept = format.bytes(audio_end_ms).min(bytes.len());
            words.truncate(words_within(words, kept, bytes.len()));
            bytes.truncate(kept);
            *is_cut = true;
            Ok(())
        };
        Ok(Cut { item_ms, result })
    }

    /// The conversation as the model remembers it.
    pub(crate) fn turns(&self) -> Vec<Turn> {
        self.items.iter().filter_map(Item::turn).collect()
    }

    /// Tokens of everything in it, as (text, audio).
    pub(crate) fn tokens(&self) -> (u64, u64) {
        self.items.iter().map(Item::tokens).fold((0, 0), |sum, item| (sum.0 + item.0, sum.1 + item.1))
    }
}

/// Bytes of the words that begin within `kept` of `whole` audio, if all are equally long.
fn words_within(words: &str, kept: usize, whole: usize) -> usize {
    let starts = words.split_inclusive(' ').scan(0, |end, word| {
        let start = *end;
        *end += word.len();
        Some((start, *end))
    });
    let begun = starts.take_while(|(start, _)| start * whole < kept * words.len());
    begun.last().map_or(0, |(_, end)| end)
}

/// An item as a client writes it. Absent ids are made by the caller.
pub(crate) fn read_item(
    field: &Field<'_>,
    fresh_id: impl FnOnce() -> String,
    input: Format,
) -> Result<Item, Refused> {
    let map = field.any_object()?;
    let every: Vec<&str> = map.keys().map(String::as_str).collect();
    let kinds = [
        "message",
        "function_call",
        "function_call_output",
        "mcp_list_tools",
        "mcp_call",
        "mcp_approval_request",
        "mcp_approval_response",
    ];
    let kind = field.object(&every)?.required("type")?.one_of(&kinds)?;
    let own: &[&str] = match kind {
        "message" => &["role", "content"],
        "function_call" => &["call_id", "name", "arguments"],
        "function_call_output" => &["call_id", "output"],
        _ => &every,
    };
    let fields = field.object(&[&["id", "object", "type", "status"], own].concat())?;
    let owned = |key| Ok::<_, Refused>(fields.required(key)?.string()?.to_owned());
    let id = fields.some("id").map(|id| id.string()).transpose()?.map_or_else(fresh_id, str::to_owned);
    let content = match kind {
        "message" => read_message(&fields.required("role")?, &fields.required("content")?, input)?,
        "function_call" => {
            let given = fields.some("call_id").map(|id| id.string()).transpose()?;
            let call_id = given.map_or_else(|| format!("call_{id}"), str::to_owned);
            Content::Call { call_id, name: owned("name")?, arguments: owned("arguments")? }
        }
        "function_call_output" => {
            Content::CallOutput { call_id: owned("call_id")?, output: owned("output")? }
        }
        _ => Content::Other(map.clone()),
    };
    Ok(Item::new(id, "completed", content))
}

fn read_message(role: &Field<'_>, content: &Field<'_>, input: Format) -> Result<Content, Refused> {
    let role = role.one_of(&["system", "user", "assistant"])?;
    let allowed: &[&'static str] = match role {
        "system" => &["input_text"],
        "user" => &["input_text", "input_audio", "input_image"],
        _ => &["output_text", "output_audio"],
    };
    let mut spoken = None;
    for part in content.list()? {
        let known = ["type", "text", "audio", "transcript", "image_url", "detail"];
        let fields = part.object(&known)?;
        match fields.required("type")?.one_of(allowed)? {
            "input_audio" => {
                let audio = fields.required("audio")?;
                let bytes = BASE64_STANDARD.decode(audio.string()?).map_err(|_| audio.refuse(NOT_BASE64))?;
                let transcript =
                    fields.some("transcript").map(|text| text.string()).transpose()?.map(str::to_owned);
                spoken =
                    Some(Content::UserAudio { utterance: Utterance { format: input, bytes }, transcript });
            }
            "output_audio" => {
                return Err(part.refuse("Assistant audio cannot be inserted into a conversation."));
            }
            "input_image" => drop(fields.required("image_url")?.string()?),
            _ => drop(fields.required("text")?.string()?),
        }
    }
    Ok(spoken.unwrap_or_else(|| Content::Message { role, parts: content.value().clone() }))
}

/// What is said of audio that is not standard base64 with padding.
pub(crate) const NOT_BASE64: &str = "Invalid 'audio'. Expected base64-encoded audio bytes.";
