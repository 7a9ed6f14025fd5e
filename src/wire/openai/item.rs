//! Conversation items: messages, function calls and their outputs, as the server tells them and as we create them.
//! Knows no conversation: order and history are the ledger's.

use serde::{Deserialize, Serialize};

use super::errors::ApiError;
use super::lenient;

/// An item as the server tells it. All kinds share one record: which fields are filled follows from the kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Item {
    #[serde(deserialize_with = "lenient::text")]
    pub id: Option<String>,
    #[serde(rename = "type")]
    pub kind: ItemKind,
    /// `system`, `user` or `assistant`, of a message.
    #[serde(deserialize_with = "lenient::text")]
    pub role: Option<String>,
    /// `in_progress`, `completed` or `incomplete`.
    #[serde(deserialize_with = "lenient::text")]
    pub status: Option<String>,
    /// Of a reasoning model's message: `commentary` (a spoken preamble) or `final_answer`.
    #[serde(deserialize_with = "lenient::text")]
    pub phase: Option<String>,
    #[serde(deserialize_with = "lenient::or_default")]
    pub content: Vec<ContentPart>,
    /// Of a function call and of its output: what ties the two together.
    #[serde(deserialize_with = "lenient::text")]
    pub call_id: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub name: Option<String>,
    /// JSON text, as the model wrote it: not sure to be valid.
    #[serde(deserialize_with = "lenient::text")]
    pub arguments: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub output: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub server_label: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub approval_request_id: Option<String>,
    /// Of an MCP call that failed.
    pub error: Option<ApiError>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum ItemKind {
    Message,
    FunctionCall,
    FunctionCallOutput,
    McpListTools,
    McpCall,
    McpApprovalRequest,
    McpApprovalResponse,
    Other(String),
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ContentPart {
    #[serde(rename = "type")]
    pub kind: PartKind,
    #[serde(deserialize_with = "lenient::text")]
    pub text: Option<String>,
    /// What was said in an audio part.
    #[serde(deserialize_with = "lenient::text")]
    pub transcript: Option<String>,
    /// Base64; only in `conversation.item.retrieved`.
    #[serde(deserialize_with = "lenient::text")]
    pub audio: Option<String>,
}

/// The server says `output_audio` in items, `audio` in content parts, and either in examples: both are the same here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum PartKind {
    InputText,
    InputAudio,
    InputImage,
    OutputText,
    OutputAudio,
    Other(String),
}

/// An item we create. The provider refuses assistant audio: what the agent said is replayed as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NewItem {
    Message(NewMessage),
    FunctionCall {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        call_id: String,
        name: String,
        /// JSON text.
        arguments: String,
    },
    FunctionCallOutput {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        call_id: String,
        output: String,
    },
    McpApprovalResponse {
        /// Ours to choose; the schema requires it.
        id: String,
        approval_request_id: String,
        approve: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewMessage {
    /// Ours to choose; absent, the server makes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub role: Role,
    pub content: Vec<NewPart>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    System,
    User,
    Assistant,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NewPart {
    /// Of system and user.
    InputText { text: String },
    /// Of the user; base64 in the session's input format.
    InputAudio {
        audio: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        transcript: Option<String>,
    },
    /// Of the user; a `data:` URI. `detail` is `auto`, `low` or `high`.
    InputImage {
        image_url: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// Of the assistant.
    OutputText { text: String },
}

impl NewItem {
    /// A message of one text part, of the kind its role may have.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        let text = text.into();
        let part = match role {
            Role::System | Role::User => NewPart::InputText { text },
            Role::Assistant => NewPart::OutputText { text },
        };
        Self::Message(NewMessage { id: None, role, content: vec![part] })
    }
}

impl From<String> for ItemKind {
    fn from(kind: String) -> Self {
        match kind.as_str() {
            "message" => Self::Message,
            "function_call" => Self::FunctionCall,
            "function_call_output" => Self::FunctionCallOutput,
            "mcp_list_tools" => Self::McpListTools,
            "mcp_call" => Self::McpCall,
            "mcp_approval_request" => Self::McpApprovalRequest,
            "mcp_approval_response" => Self::McpApprovalResponse,
            _ => Self::Other(kind),
        }
    }
}

impl From<String> for PartKind {
    fn from(kind: String) -> Self {
        match kind.as_str() {
            "input_text" => Self::InputText,
            "input_audio" => Self::InputAudio,
            "input_image" => Self::InputImage,
            "output_text" | "text" => Self::OutputText,
            "output_audio" | "audio" => Self::OutputAudio,
            _ => Self::Other(kind),
        }
    }
}

impl Default for ItemKind {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

impl Default for PartKind {
    fn default() -> Self {
        Self::Other(String::new())
    }
}
