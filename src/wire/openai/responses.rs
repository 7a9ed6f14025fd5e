//! The Responses API: the request, and the events in which the answer streams. Some models are reached only here.
//! Knows no tools and no conversation at the provider: each request brings its own.
//!
//! Source: OpenAI's API description (2026-08), `CreateResponse` and `Response*Event`.

use std::mem;

use serde::Serialize;
use serde_json::Value;

use super::answer::{self, AnswerError, AnswerUsage, End, Message, Piece, Stop};
use super::errors::ApiError;

/// The body of `POST {base}/responses`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Request<'a> {
    pub model: &'a str,
    pub instructions: &'a str,
    pub input: Vec<Message<'a>>,
    /// Bounds the answer, reasoning included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Reasoning<'a>>,
    /// Never: what callers say is not left at the provider.
    store: bool,
    stream: bool,
    stream_options: StreamOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Reasoning<'a> {
    /// `none`, `minimal`, `low`, `medium`, `high`: which ones, depends on the model.
    pub effort: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct StreamOptions {
    include_obfuscation: bool,
}

/// An answer as far as it has come.
#[derive(Debug, Default)]
pub struct Answer {
    /// Of the part of text that is being told: its end would say it again.
    part_has_words: bool,
    /// Of any part: the response at the end would say them again.
    has_words: bool,
    refused: bool,
}

impl<'a> Request<'a> {
    /// Asks for a stream, and leaves the rest to the provider.
    pub fn new(model: &'a str, instructions: &'a str, input: Vec<Message<'a>>) -> Self {
        Self {
            model,
            instructions,
            input,
            max_output_tokens: None,
            reasoning: None,
            store: false,
            stream: true,
            stream_options: StreamOptions { include_obfuscation: false },
        }
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("every key is a string and no field refuses to be written")
    }
}

impl Answer {
    /// Reads the data of one event, or the whole response of a server that does not stream. There is an end only if an
    /// event tells it: a stream that ends before has broken off.
    pub fn read(&mut self, data: &str) -> Result<Piece, AnswerError> {
        if data.trim() == "[DONE]" {
            return Ok(Piece::default()); // some servers say it, after the end
        }
        let event = answer::parse(data)?;
        answer::refuse_errors(&event)?;
        let kind = event["type"].as_str().unwrap_or_default();
        let words = match kind {
            "response.output_text.delta" => {
                let words = answer::text(&event["delta"]);
                self.part_has_words |= !words.is_empty();
                words
            }
            "response.output_text.done" if !mem::take(&mut self.part_has_words) => {
                answer::text(&event["text"])
            }
            "response.refusal.delta" | "response.refusal.done" => {
                self.refused = true;
                String::new()
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                return self.conclude(&event["response"], &kind["response.".len()..]);
            }
            "" if event["object"] == "response" => return self.conclude(&event, "in_progress"),
            _ => String::new(),
        };
        self.has_words |= !words.is_empty();
        Ok(Piece { words, end_opt: None })
    }

    /// The response as it ended: as its own status says, or else as its event is named.
    fn conclude(&mut self, response: &Value, event: &str) -> Result<Piece, AnswerError> {
        let mut words = String::new();
        for part in parts(response) {
            self.refused |= part["type"] == "refusal";
            if part["type"] == "output_text" && !self.has_words {
                words.push_str(part["text"].as_str().unwrap_or_default());
            }
        }
        let stop = match response["status"].as_str().unwrap_or(event) {
            "completed" if self.refused => Stop::Filtered,
            "completed" => Stop::Complete,
            "incomplete" if response["incomplete_details"]["reason"] == "max_output_tokens" => Stop::Length,
            "incomplete" => Stop::Filtered,
            "failed" | "cancelled" => {
                let mut error = ApiError::from(response["error"].clone());
                error.code.get_or_insert_with(|| "failed".to_owned());
                return Err(AnswerError::Reported(error));
            }
            _ => return Ok(Piece::default()),
        };
        let names = ["/input_tokens", "/input_tokens_details/cached_tokens", "/output_tokens"];
        let end = End { stop, usage_opt: AnswerUsage::read(&response["usage"], names) };
        Ok(Piece { words, end_opt: Some(end) })
    }
}

/// What the messages of a response hold. Reasoning and calls of tools are items of other kinds.
fn parts(response: &Value) -> impl Iterator<Item = &Value> {
    let items = response["output"].as_array().into_iter().flatten();
    items
        .filter(|item| item["type"] == "message")
        .flat_map(|item| item["content"].as_array().into_iter().flatten())
}

#[cfg(test)]
mod tests;
