//! One answer in the making, as a pure state machine: what a chat model is asked, what becomes of its words, and when
//! there were enough of them.
//!
//! It refuses to know streams, deadlines and carriers.

use std::sync::Arc;

use super::speakable::{plain, whole_sentences};
use crate::agent::Agent;
use crate::engine::Opening;
use crate::ledger::{Ledger, Speaker};
use crate::messages::{EngineFact, EngineFailure, FailureKind};
use crate::ports::{ChatPiece, ChatRequest, ChatStop, ChatTurn, ModelError};
use crate::usage::Used;

/// A model that has written so many times what can be said, and still is not done saying it, writes noise.
const NOISE_FACTOR: usize = 8;

/// Why the model is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The caller has said something.
    CallerSpoke,
    /// Another engine was lost in mid-conversation; the caller may be owed the rest of a sentence.
    GoOn,
}

/// What is to be done with the model's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Read on.
    Read,
    /// Ask again, in a stream of its own.
    Ask(ChatRequest),
    /// Nothing more of it is wanted.
    Drop,
}

pub struct Session {
    agent: Arc<Agent>,
    answer_chars_max: usize,
    thought_opt: Option<Thought>,
}

/// An answer that is not complete.
struct Thought {
    item: String,
    request: ChatRequest,
    /// As the model wrote it.
    text: String,
    /// With so many bytes it may be enough.
    look_at_bytes: usize,
    /// The model was asked again, as it had answered with nothing.
    asked_again: bool,
}

impl Session {
    /// An answer is cut to whole sentences within `answer_chars_max` characters.
    pub fn new(agent: Arc<Agent>, answer_chars_max: usize) -> Self {
        Self { agent, answer_chars_max, thought_opt: None }
    }

    /// Begins the answer that the ledger will know as `item`; one that is under way is forgotten.
    pub fn begin(&mut self, item: String, ledger: &Ledger, why: Why) -> ChatRequest {
        let go_on = (why == Why::GoOn).then(|| Opening::GoOn.instructions(&self.agent)).flatten();
        let instructions = go_on.unwrap_or_else(|| self.agent.instructions.clone());
        let heard = ledger.turns().map(|turn| ChatTurn { who: turn.who, text: turn.heard_text().to_owned() });
        let request = ChatRequest {
            instructions,
            turns: heard.filter(|turn| !turn.text.trim().is_empty()).collect(),
            output_tokens_max: self.agent.output_tokens_max,
        };
        self.thought_opt = Some(Thought {
            item,
            request: request.clone(),
            text: String::new(),
            look_at_bytes: self.answer_chars_max,
            asked_again: false,
        });
        request
    }

    /// The next piece of the stream, or its end without a [`ChatPiece::Done`].
    pub fn take(
        &mut self,
        piece_opt: Option<Result<ChatPiece, ModelError>>,
        facts: &mut Vec<EngineFact>,
    ) -> Next {
        let Some(thought) = &mut self.thought_opt else { return Next::Drop };
        match piece_opt {
            Some(Ok(ChatPiece::Text(text))) => {
                if thought.text.is_empty() && !text.is_empty() {
                    facts.push(EngineFact::ResponseBegan);
                }
                thought.text.push_str(&text);
                if !thought.is_enough(self.answer_chars_max) {
                    return Next::Read;
                }
                self.conclude(false, facts)
            }
            Some(Ok(ChatPiece::Done { stop, usage })) => {
                facts.extend(usage.map(|usage| EngineFact::Used(Used::tokens(usage.into()))));
                self.conclude(stop == ChatStop::Complete, facts)
            }
            Some(Err(error)) => {
                let kind = match &error {
                    ModelError::Unreachable(_) => FailureKind::Dial,
                    ModelError::Unauthorized(_) => FailureKind::Unauthorized,
                    ModelError::RateLimited => FailureKind::RateLimited,
                    ModelError::Broken(_) => FailureKind::SocketLost,
                    ModelError::Status { .. } | ModelError::Reported { .. } => FailureKind::Provider,
                };
                self.fail(kind, error.retry(), error.to_string(), facts)
            }
            None => self.fail(FailureKind::SocketLost, true, "answer has no end".to_owned(), facts),
        }
    }

    fn conclude(&mut self, finished: bool, facts: &mut Vec<EngineFact>) -> Next {
        let Some(mut thought) = self.thought_opt.take() else { return Next::Drop };
        let text = plain(&thought.text);
        let text = whole_sentences(&text, self.answer_chars_max, finished);
        if !text.is_empty() {
            let (item, text) = (thought.item, text.to_owned());
            facts.push(EngineFact::Said { who: Speaker::Agent, item, text });
            return Next::Drop;
        }
        if thought.asked_again {
            return self.fail(FailureKind::Provider, true, "model answers with nothing".to_owned(), facts);
        }
        thought.asked_again = true;
        thought.text.clear();
        let request = thought.request.clone();
        self.thought_opt = Some(thought);
        Next::Ask(request)
    }

    fn fail(&mut self, kind: FailureKind, retry: bool, detail: String, facts: &mut Vec<EngineFact>) -> Next {
        self.thought_opt = None;
        facts.push(EngineFact::Failed(EngineFailure { kind, retry, detail }));
        Next::Drop
    }
}

impl Thought {
    /// Whether what the model has written fills an answer. Looked at in steps, as looking means to read all of it.
    fn is_enough(&mut self, chars_max: usize) -> bool {
        if self.text.len() < self.look_at_bytes {
            return false;
        }
        self.look_at_bytes = self.text.len() + chars_max / 4;
        self.text.len() >= NOISE_FACTOR * chars_max || plain(&self.text).chars().count() > chars_max
    }
}

#[cfg(test)]
mod tests;
