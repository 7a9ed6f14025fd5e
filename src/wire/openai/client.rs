//! What we send the provider: every client event of the Realtime API.
//! Knows no state: whether an event is allowed now is the session's to know.

use std::collections::BTreeMap;

use serde::Serialize;

use super::dialect::{self, Dialect};
use super::item::NewItem;
use super::session::{
    MaxOutputTokens, Modality, OutputAudioConfig, Reasoning, SessionConfig, Tool, ToolChoice,
};
use crate::audio;

/// One event of ours. A server answers each but the appends, mostly with an event of the same name.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type")]
pub enum ClientEvent {
    #[serde(rename = "session.update")]
    SessionUpdate { session: Box<SessionConfig> },
    /// Base64 in the session's input format, up to 15 MiB. For every frame there is [`append`].
    #[serde(rename = "input_audio_buffer.append")]
    InputAppend { audio: String },
    /// Makes a turn of the buffer, but no response. With turn detection on the server does it by itself.
    #[serde(rename = "input_audio_buffer.commit")]
    InputCommit,
    #[serde(rename = "input_audio_buffer.clear")]
    InputClear,
    #[serde(rename = "conversation.item.create")]
    ItemCreate {
        /// `"root"` is the first place; absent is the last.
        #[serde(skip_serializing_if = "Option::is_none")]
        previous_item_id: Option<String>,
        item: NewItem,
    },
    /// Asks for the server's copy, audio included.
    #[serde(rename = "conversation.item.retrieve")]
    ItemRetrieve { item_id: String },
    /// Cuts the agent's audio to what was heard, and deletes the part's transcript. Beyond its end it is refused.
    #[serde(rename = "conversation.item.truncate")]
    ItemTruncate { item_id: String, content_index: u32, audio_end_ms: u64 },
    #[serde(rename = "conversation.item.delete")]
    ItemDelete { item_id: String },
    #[serde(rename = "response.create")]
    ResponseCreate {
        #[serde(skip_serializing_if = "Option::is_none")]
        response: Option<Box<ResponseConfig>>,
    },
    #[serde(rename = "response.cancel")]
    ResponseCancel {
        /// Absent: the running response of the conversation.
        #[serde(skip_serializing_if = "Option::is_none")]
        response_id: Option<String>,
    },
    /// Only over WebRTC and SIP, after a cancel.
    #[serde(rename = "output_audio_buffer.clear")]
    OutputClear,
}

/// What one response does differently from the session.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ResponseConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_modalities: Option<Modality>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    #[serde(skip_serializing_if = "ResponseAudio::is_empty")]
    pub audio: ResponseAudio,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Tool>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Reasoning>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<MaxOutputTokens>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationChoice>,
    /// At most 16 pairs, keys to 64 characters, values to 512.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Instead of the conversation; empty is no context at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Vec<ResponseInput>>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ResponseAudio {
    /// Its speed is the session's alone: leave it out here.
    pub output: OutputAudioConfig,
}

/// Which conversation a response writes to. Only one response at a time may write to the default one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConversationChoice {
    Auto,
    /// Out of band: runs beside others, so tag it with `metadata`.
    None,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ResponseInput {
    Item(NewItem),
    Reference(ItemReference),
}

/// An item that is already in the conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "item_reference")]
pub struct ItemReference {
    pub id: String,
}

impl ClientEvent {
    /// The event as one text frame, in the spelling of `dialect`.
    pub fn to_json(&self, dialect: Dialect) -> String {
        dialect::write(&Envelope { event: self, event_id: None }, dialect)
    }

    /// The same with an id of ours, up to 512 characters: it comes back in the error, if there is one.
    pub fn to_json_with_id(&self, dialect: Dialect, event_id: &str) -> String {
        dialect::write(&Envelope { event: self, event_id: Some(event_id) }, dialect)
    }
}

/// Appends an `input_audio_buffer.append` event: audio in the session's input format. The spelling is the same in both
/// dialects.
pub fn append(out: &mut String, audio: &[u8]) {
    const OPEN: &str = r#"{"type":"input_audio_buffer.append","audio":""#;
    const CLOSE: &str = r#""}"#;
    out.reserve(OPEN.len() + audio::encoded_len(audio.len()) + CLOSE.len());
    out.push_str(OPEN);
    audio::encode_append(out, audio);
    out.push_str(CLOSE);
}

#[derive(Serialize)]
pub(super) struct Envelope<'a> {
    #[serde(flatten)]
    event: &'a ClientEvent,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'a str>,
}

impl ResponseAudio {
    fn is_empty(&self) -> bool {
        self.output.is_empty()
    }
}

#[cfg(test)]
mod tests;
