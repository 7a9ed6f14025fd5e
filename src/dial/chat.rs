//! A model that answers in text, over Chat Completions or Responses.
//!
//! It refuses to know what becomes of the words, and how long they may take.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::stream::{self, LocalBoxStream};
use futures_util::{StreamExt, TryFutureExt};
use secrecy::SecretString;
use tandem_actors::ledger::Speaker;
use tandem_actors::ports::{
    ChatModel, ChatPiece, ChatRequest, ChatStop, ChatTurn, ChatUsage, ModelError, ModelId,
};
use tandem_wire::openai::answer::{AnswerError, End, Message, Piece, Role, Stop};
use tandem_wire::openai::{chat, responses};
use tandem_wire::sse::EventReader;

use super::http::{self, Connections, Endpoint, KeyHeader, LineError};

/// The longest event is the last one of a Responses stream, which repeats the whole answer: 10,000 words, with as
/// much reasoning and all they are wrapped in, stay below.
const EVENT_BYTES_MAX: usize = 256 * 1024;

/// One model at one provider, for all calls of all threads.
pub struct ChatLine {
    endpoint: Arc<Endpoint>,
    options: ChatOptions,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatOptions {
    pub api: ChatApi,
    pub model: String,
    /// How hard the model thinks before it speaks; absent leaves it to the provider. Callers wait for it.
    pub reasoning_effort_opt: Option<String>,
    pub length_field: LengthField,
}

/// Which of its APIs the provider is asked over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatApi {
    /// Every self-hosted server speaks it.
    Completions,
    /// The only one for some of OpenAI's models.
    Responses,
}

/// How Chat Completions is told the bound of an answer; Responses has one name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthField {
    /// As OpenAI wants it.
    MaxCompletionTokens,
    /// As many self-hosted servers know it, and no other.
    MaxTokens,
}

/// An answer as it comes in.
struct Listening {
    endpoint: Arc<Endpoint>,
    /// Absent once it has come to its end.
    body_opt: Option<http::Answer>,
    reader: EventReader,
    events: VecDeque<String>,
    answer: Answer,
    pieces: VecDeque<ChatPiece>,
    is_over: bool,
}

enum Answer {
    Completions(chat::Answer),
    Responses(responses::Answer),
}

impl ChatLine {
    /// `base_url` is where the API's paths begin, such as `https://api.openai.com/v1`.
    pub fn new(
        connections: Arc<Connections>,
        base_url: &str,
        key_opt: Option<&SecretString>,
        options: ChatOptions,
    ) -> Result<Self, LineError> {
        let path = match options.api {
            ChatApi::Completions => "/chat/completions",
            ChatApi::Responses => "/responses",
        };
        let endpoint = Endpoint::new(connections, base_url, path, key_opt, KeyHeader::Bearer)?;
        Ok(Self { endpoint: Arc::new(endpoint), options })
    }

    fn body(&self, asked: &ChatRequest) -> String {
        let ChatOptions { api, model, reasoning_effort_opt, length_field } = &self.options;
        let turns = asked.turns.iter().map(message);
        let effort = reasoning_effort_opt.as_deref();
        match api {
            ChatApi::Completions => {
                let instructions = Message { role: Role::System, content: &asked.instructions };
                let instructions = (!asked.instructions.is_empty()).then_some(instructions);
                let mut request = chat::Request::new(model, instructions.into_iter().chain(turns).collect());
                request.reasoning_effort = effort;
                match length_field {
                    LengthField::MaxCompletionTokens => {
                        request.max_completion_tokens = asked.output_tokens_max;
                    }
                    LengthField::MaxTokens => request.max_tokens = asked.output_tokens_max,
                }
                request.to_json()
            }
            ChatApi::Responses => {
                let mut request = responses::Request::new(model, &asked.instructions, turns.collect());
                request.reasoning = effort.map(|effort| responses::Reasoning { effort });
                request.max_output_tokens = asked.output_tokens_max;
                request.to_json()
            }
        }
    }
}

impl ChatModel for ChatLine {
    fn model(&self) -> ModelId {
        self.endpoint.model(&self.options.model)
    }

    fn answer(&self, request: ChatRequest) -> LocalBoxStream<'static, Result<ChatPiece, ModelError>> {
        let (endpoint, body, api) = (Arc::clone(&self.endpoint), self.body(&request), self.options.api);
        let begun = async move {
            let answer = endpoint.post(http::JSON, body).await?;
            let listening = Listening::new(endpoint, answer, api).await?;
            Ok(stream::try_unfold(listening, |mut listening| async move {
                Ok(listening.next().await?.map(|piece| (piece, listening)))
            }))
        };
        begun.try_flatten_stream().boxed_local()
    }
}

impl Listening {
    async fn new(endpoint: Arc<Endpoint>, body: http::Answer, api: ChatApi) -> Result<Self, ModelError> {
        let answer = match api {
            ChatApi::Completions => Answer::Completions(chat::Answer::default()),
            ChatApi::Responses => Answer::Responses(responses::Answer::default()),
        };
        let mut listening = Self {
            endpoint,
            body_opt: None,
            reader: EventReader::new(EVENT_BYTES_MAX),
            events: VecDeque::new(),
            answer,
            pieces: VecDeque::new(),
            is_over: false,
        };
        if body.is_json() {
            // A server that does not stream: its whole answer is one event.
            listening.events.push_back(body.whole(EVENT_BYTES_MAX).await?);
        } else {
            listening.body_opt = Some(body);
        }
        Ok(listening)
    }

    async fn next(&mut self) -> Result<Option<ChatPiece>, ModelError> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Ok(Some(piece));
            }
            if self.is_over {
                return Ok(None);
            }
            match self.events.pop_front() {
                Some(event) => self.take(&event)?,
                None => self.read_on().await?,
            }
        }
    }

    fn take(&mut self, event: &str) -> Result<(), ModelError> {
        let Piece { words, end_opt } = self.answer.read(event).map_err(|error| self.endpoint.fault(error))?;
        if !words.is_empty() {
            self.pieces.push_back(ChatPiece::Text(words));
        }
        if let Some(end) = end_opt {
            self.end(end);
        }
        Ok(())
    }

    async fn read_on(&mut self) -> Result<(), ModelError> {
        let Some(body) = &mut self.body_opt else {
            return self.break_off(ModelError::Broken("it ended before it was complete".to_owned()));
        };
        match body.next().await {
            Ok(Some(bytes)) => {
                let too_long = |error: tandem_wire::sse::EventTooLong| ModelError::Broken(error.to_string());
                self.reader.read(&bytes, &mut self.events).map_err(too_long)
            }
            Ok(None) => {
                self.body_opt = None;
                self.reader.finish(&mut self.events);
                Ok(())
            }
            Err(error) => self.break_off(error),
        }
    }

    /// Nothing more will come. If the model had said that it is done, only formalities are missing.
    fn break_off(&mut self, error: ModelError) -> Result<(), ModelError> {
        let end = self.answer.finish().ok_or(error)?;
        self.end(end);
        Ok(())
    }

    fn end(&mut self, end: End) {
        self.is_over = true;
        self.pieces.push_back(done(end));
        if let Some(body) = self.body_opt.take() {
            body.let_rest_pass();
        }
    }
}

impl Answer {
    fn read(&mut self, event: &str) -> Result<Piece, AnswerError> {
        match self {
            Self::Completions(answer) => answer.read(event),
            Self::Responses(answer) => answer.read(event),
        }
    }

    fn finish(&self) -> Option<End> {
        match self {
            Self::Completions(answer) => answer.finish(),
            Self::Responses(_) => None, // an event of its own says so
        }
    }
}

fn message(turn: &ChatTurn) -> Message<'_> {
    let role = match turn.who {
        Speaker::Caller => Role::User,
        Speaker::Agent => Role::Assistant,
    };
    Message { role, content: &turn.text }
}

fn done(end: End) -> ChatPiece {
    let stop = match end.stop {
        Stop::Complete => ChatStop::Complete,
        Stop::Length => ChatStop::Length,
        Stop::Filtered => ChatStop::Filtered,
    };
    let usage = end.usage_opt.map(|usage| ChatUsage {
        input_tokens: usage.input_tokens,
        cached_input_tokens: usage.cached_input_tokens,
        output_tokens: usage.output_tokens,
    });
    ChatPiece::Done { stop, usage }
}

#[cfg(test)]
mod tests;
