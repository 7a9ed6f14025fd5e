//! Chat Completions: the request, and the events in which the answer streams.
//! Knows no tools, no pictures and no second choice: one conversation in text, one answer in text.
//!
//! Source: OpenAI's API description (2026-08), `CreateChatCompletionStreamResponse` and `ChatCompletionStreamOptions`.
//! Self-hosted servers leave out the choice's index, usage or `[DONE]`, or send the answer whole: all of it is read.

use serde::Serialize;
use serde_json::Value;

use super::answer::{self, AnswerError, AnswerUsage, End, Message, Piece, Stop};

/// The body of `POST {base}/chat/completions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Request<'a> {
    pub model: &'a str,
    /// The instructions first, as the system's message.
    pub messages: Vec<Message<'a>>,
    /// Bounds the answer, reasoning included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<u32>,
    /// The older name of it: refused by OpenAI's reasoning models, the only one that many self-hosted servers know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// `none`, `minimal`, `low`, `medium`, `high`: which ones, depends on the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<&'a str>,
    stream: bool,
    stream_options: StreamOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct StreamOptions {
    include_usage: bool,
    /// Filler that hides the length of words from who listens on the line; an encrypted phone call it is not.
    include_obfuscation: bool,
}

/// An answer as far as it has come.
#[derive(Debug, Default)]
pub struct Answer {
    /// As in deltas: a whole message at the end would say it again.
    has_words: bool,
    refused: bool,
    stop_opt: Option<Stop>,
    usage_opt: Option<AnswerUsage>,
}

impl<'a> Request<'a> {
    /// Asks for a stream with usage at its end, and leaves the rest to the provider.
    pub fn new(model: &'a str, messages: Vec<Message<'a>>) -> Self {
        Self {
            model,
            messages,
            max_completion_tokens: None,
            max_tokens: None,
            reasoning_effort: None,
            stream: true,
            stream_options: StreamOptions { include_usage: true, include_obfuscation: false },
        }
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("every key is a string and no field refuses to be written")
    }
}

impl Answer {
    /// Reads the data of one event, or the whole answer of a server that does not stream.
    pub fn read(&mut self, data: &str) -> Result<Piece, AnswerError> {
        if data.trim() == "[DONE]" {
            let stop = self.stop_opt.unwrap_or(Stop::Complete);
            return Ok(Piece { words: String::new(), end_opt: Some(self.end(stop)) });
        }
        let event = answer::parse(data)?;
        answer::refuse_errors(&event)?;
        let names = ["/prompt_tokens", "/prompt_tokens_details/cached_tokens", "/completion_tokens"];
        self.usage_opt = AnswerUsage::read(&event["usage"], names).or(self.usage_opt);
        let first = |choice: &&Value| choice["index"].as_u64().unwrap_or_default() == 0;
        let choice = event["choices"].as_array().and_then(|choices| choices.iter().find(first));
        Ok(Piece { words: choice.map(|choice| self.words(choice)).unwrap_or_default(), end_opt: None })
    }

    /// The stream has ended without `[DONE]`: how the answer ended, if it came to its end.
    pub fn finish(&self) -> Option<End> {
        self.stop_opt.map(|stop| self.end(stop))
    }

    fn words(&mut self, choice: &Value) -> String {
        let (said, is_delta) = match &choice["delta"] {
            delta @ Value::Object(_) => (delta, true),
            _ => (&choice["message"], false),
        };
        self.refused |= answer::is_said(&said["refusal"]);
        self.stop_opt = match choice["finish_reason"].as_str() {
            Some("length") => Some(Stop::Length),
            Some("content_filter") => Some(Stop::Filtered),
            Some(_) => Some(Stop::Complete),
            None => self.stop_opt,
        };
        if !is_delta && self.has_words {
            return String::new();
        }
        let words = answer::text(&said["content"]);
        self.has_words |= !words.is_empty();
        words
    }

    fn end(&self, stop: Stop) -> End {
        End { stop: if self.refused { Stop::Filtered } else { stop }, usage_opt: self.usage_opt }
    }
}

#[cfg(test)]
mod tests;
