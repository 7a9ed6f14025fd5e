//! What the two APIs that answer in text have in common: the conversation they are given, and how an answer is told.
//! Knows neither API; [`chat`](super::chat) and [`responses`](super::responses) each read one.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::errors::ApiError;
use super::lenient;

/// One message of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Message<'a> {
    pub role: Role,
    pub content: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    System,
    User,
    Assistant,
}

/// What one event adds to an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Piece {
    /// To be spoken; mostly a word or two, often nothing.
    pub words: String,
    /// Nothing comes after it.
    pub end_opt: Option<End>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    pub stop: Stop,
    /// Absent when the server does not report it.
    pub usage_opt: Option<AnswerUsage>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    Complete,
    /// The bound on its length was reached.
    Length,
    /// The model refused, or the provider withheld the rest.
    Filtered,
}

/// Tokens. Cached ones are part of the input, reasoning is part of the output. What a server does not report is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AnswerUsage {
    pub input_tokens: u64,
    pub cached_input_tokens: u64,
    pub output_tokens: u64,
}

/// Why an event could not be taken as part of an answer. It shows nothing of an event that is not JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerError {
    NotJson,
    /// It is JSON, but holds no text where text must be.
    NoText,
    /// The provider says that the answer has failed.
    Reported(ApiError),
}

/// An event, or an answer that came whole.
pub(super) fn parse(json: &str) -> Result<Value, AnswerError> {
    serde_json::from_str(json).map_err(|_| AnswerError::NotJson)
}

/// Turns an error object into an error: in `error`, as OpenAI writes it, or the event itself.
pub(super) fn refuse_errors(event: &Value) -> Result<(), AnswerError> {
    let told = match &event["error"] {
        Value::Object(fields) if !fields.is_empty() => &event["error"],
        Value::String(message) if !message.is_empty() => &event["error"],
        _ if event["type"] == "error" || event["object"] == "error" => event,
        _ => return Ok(()),
    };
    Err(AnswerError::Reported(told.clone().into()))
}

/// Text as a server writes it: a string or, at some, a list of parts. Parts that are no text are not to be spoken.
pub(super) fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let is_text = |part: &&Value| part["type"] == "text" || part["type"] == "output_text";
            parts.iter().filter(is_text).filter_map(|part| part["text"].as_str()).collect()
        }
        _ => String::new(),
    }
}

/// A refusal's words, whatever they are, are not spoken.
pub(super) fn is_said(refusal: &Value) -> bool {
    refusal.as_str().is_some_and(|refusal| !refusal.is_empty())
}

impl AnswerUsage {
    /// Reads `usage` by the names that its API has for input, cached input and output.
    pub(super) fn read(usage: &Value, [input, cached, output]: [&str; 3]) -> Option<Self> {
        let tokens = |pointer: &str| lenient::as_count(usage.pointer(pointer));
        usage.is_object().then(|| Self {
            input_tokens: tokens(input),
            cached_input_tokens: tokens(cached),
            output_tokens: tokens(output),
        })
    }
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson => f.write_str("what came is not JSON"),
            Self::NoText => f.write_str("what came holds no text"),
            Self::Reported(error) => write!(f, "provider reported: {}", error.message),
        }
    }
}

impl std::error::Error for AnswerError {}
