//! One response from request to `response.done`: its stages, and the events it makes on the way, in the order
//! of the real server.
//!
//! Decides neither what is said nor when it is interrupted.

use std::{collections::VecDeque, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    config::{Format, Voicing},
    conversation::{Content, Conversation, Item, agent_audio_tokens, text_tokens},
    outbox::Outbox,
    rendering::{Piece, What},
};
use crate::provider::record::{ResponseRecord, SessionRecord, Shared};

/// `response.created` follows the request by this much. A cancel that comes in between finds nothing to
/// cancel.
pub(crate) const CREATION_TAKES: Duration = Duration::from_millis(15);

/// Tokens per minute of the account, as `rate_limits.updated` tells it.
const RATE_LIMIT: u64 = 200_000;

/// How a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Completed,
    Cancelled { reason: &'static str },
    Incomplete { reason: &'static str },
    RateLimited,
}

impl Outcome {
    fn status(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Cancelled { .. } => "cancelled",
            Self::Incomplete { .. } => "incomplete",
            Self::RateLimited => "failed",
        }
    }

    fn details(self) -> Value {
        match self {
            Self::Completed => Value::Null,
            Self::Cancelled { reason } => json!({"type": "cancelled", "reason": reason}),
            Self::Incomplete { reason } => json!({"type": "incomplete", "reason": reason}),
            Self::RateLimited => json!({"type": "failed", "error": {
                "type": "rate_limit_error",
                "code": "rate_limit_exceeded",
                "message": "Rate limit reached for realtime model on tokens per min. Please try again later.",
            }}),
        }
    }
}

/// What a response is about to be.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) pieces: VecDeque<Piece>,
    pub(crate) content: Content,
    /// The words it will say, for the record.
    pub(crate) text: String,
    /// How it will end if nothing interrupts it.
    pub(crate) outcome: Outcome,
}

/// Input tokens of the conversation as (text, audio), now and at the response before, which is what the cache
/// holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InputTokens {
    pub(crate) now: (u64, u64),
    pub(crate) cached: (u64, u64),
}

#[derive(Debug)]
enum Stage {
    Requested { at: Instant },
    Created { opens_at: Instant },
    Open { since: Instant },
    Done,
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) id: String,
    /// False for `conversation: "none"`.
    pub(crate) in_conversation: bool,
    conversation_id: Option<String>,
    voicing: Voicing,
    metadata: Value,
    item_id: String,
    plan: Plan,
    input: InputTokens,
    first_piece_after: Duration,
    /// Once so much of its audio is out it goes silent for good: neither more of it nor an end.
    hangs_after: Option<Duration>,
    stage: Stage,
    audio_bytes: usize,
    words: String,
}

/// Where a response writes: its events, its item, its record.
pub(crate) struct Desk<'a> {
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) conversation: &'a mut Conversation,
    pub(crate) record: &'a Shared<SessionRecord>,
}

/// What a client asked for, with ids and settings filled in.
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) item_id: String,
    pub(crate) conversation_id: Option<String>,
    pub(crate) voicing: Voicing,
    pub(crate) metadata: Value,
    pub(crate) input: InputTokens,
    pub(crate) first_piece_after: Duration,
    pub(crate) hangs_after: Option<Duration>,
}

impl Response {
    pub(crate) fn requested(at: Instant, request: Request, plan: Plan) -> Self {
        Self {
            id: request.id,
            in_conversation: request.conversation_id.is_some(),
            conversation_id: request.conversation_id,
            voicing: request.voicing,
            metadata: request.metadata,
            item_id: request.item_id,
            plan,
            input: request.input,
            first_piece_after: request.first_piece_after,
            hangs_after: request.hangs_after,
            stage: Stage::Requested { at },
            audio_bytes: 0,
            words: String::new(),
        }
    }

    pub(crate) fn is_created(&self) -> bool {
        matches!(self.stage, Stage::Created { .. } | Stage::Open { .. })
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// Agent audio sent so far.
    pub(crate) fn audio_ms(&self) -> u64 {
        self.voicing.format.ms(self.audio_bytes)
    }

    /// Has it go silent as [`Request::hangs_after`] would have.
    pub(crate) fn hang_after(&mut self, audio: Duration) {
        self.hangs_after = Some(audio);
    }

    fn hangs(&self) -> bool {
        self.hangs_after.is_some_and(|limit| u128::from(self.audio_ms()) >= limit.as_millis())
    }

    /// When it has something to do next.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.stage {
            Stage::Requested { at } => Some(at + CREATION_TAKES),
            Stage::Created { opens_at } => Some(opens_at),
            Stage::Open { .. } if self.hangs() => None,
            Stage::Open { since } => {
                Some(since + self.plan.pieces.front().map_or(Duration::ZERO, |piece| piece.at))
            }
            Stage::Done => None,
        }
    }

    /// Does what was due at `now`: one step.
    pub(crate) fn step(&mut self, now: Instant, desk: &mut Desk<'_>) {
        match self.stage {
            Stage::Requested { at } => {
                self.create(now, desk);
                if self.plan.outcome == Outcome::RateLimited {
                    self.finish(now, Outcome::RateLimited, desk);
                } else {
                    self.stage = Stage::Created { opens_at: (at + self.first_piece_after).max(now) };
                }
            }
            Stage::Created { .. } => {
                self.open(desk);
                self.stage = Stage::Open { since: now };
            }
            Stage::Open { .. } => match self.plan.pieces.pop_front() {
                Some(piece) => self.let_out(now, piece.what, desk),
                None => self.finish(now, self.plan.outcome, desk),
            },
            Stage::Done => {}
        }
    }

    /// Ends it before its time. One that was only requested is created first: every response is, and every
    /// one ends.
    pub(crate) fn cancel(&mut self, now: Instant, reason: &'static str, desk: &mut Desk<'_>) {
        if matches!(self.stage, Stage::Requested { .. }) {
            self.create(now, desk);
        }
        if !self.is_done() {
            self.finish(now, Outcome::Cancelled { reason }, desk);
        }
    }

    fn create(&self, now: Instant, desk: &mut Desk<'_>) {
        desk.outbox.emit(
            "response.created",
            json!({"response": self.to_json("in_progress", &Value::Null, &[], &Value::Null)}),
        );
        let input_tokens = self.input.now.0 + self.input.now.1;
        desk.outbox.emit(
            "rate_limits.updated",
            json!({"rate_limits": [{
                "name": "tokens",
                "limit": RATE_LIMIT,
                "remaining": RATE_LIMIT.saturating_sub(input_tokens),
                "reset_seconds": input_tokens as f64 * 60.0 / RATE_LIMIT as f64,
            }]}),
        );
        desk.record.with(|record| {
            record.responses.push(ResponseRecord {
                id: self.id.clone(),
                items: Vec::new(),
                text: self.plan.text.clone(),
                generated_ms: 0,
                status: "in_progress",
                created_at: now,
                first_audio_at: None,
                done_at: None,
            });
        });
    }

    fn open(&mut self, desk: &mut Desk<'_>) {
        let item = Item::new(self.item_id.clone(), "in_progress", self.plan.content.clone());
        let shown = item.to_json_empty();
        let has_part = !matches!(item.content, Content::Call { .. });
        self.note(desk, |response| response.items.push(self.item_id.clone()));
        desk.outbox.emit(
            "response.output_item.added",
            json!({"response_id": self.id, "output_index": 0, "item": shown}),
        );
        if self.in_conversation {
            let previous = desk.conversation.previous(&self.item_id);
            desk.outbox.emit("conversation.item.added", json!({"previous_item_id": previous, "item": shown}));
        }
        desk.conversation.push(item);
        if has_part {
            let part = if self.voicing.text_only {
                json!({"type": "text", "text": ""})
            } else {
                json!({"type": "audio", "transcript": ""})
            };
            self.emit(desk, "response.content_part.added", json!({"content_index": 0, "part": part}));
        }
    }

    fn let_out(&mut self, now: Instant, what: What, desk: &mut Desk<'_>) {
        let content = desk.conversation.get_mut(&self.item_id).map(|item| &mut item.content);
        match what {
            What::Words(words) => {
                // A truncated or deleted item gets no more words.
                if let Some(
                    Content::AgentAudio { words: text, is_cut: false, .. } | Content::AgentText { text },
                ) = content
                {
                    text.push_str(&words);
                }
                self.words.push_str(&words);
                let kind = if self.voicing.text_only {
                    "response.output_text.delta"
                } else {
                    "response.output_audio_transcript.delta"
                };
                self.emit(desk, kind, json!({"content_index": 0, "delta": words}));
            }
            What::Audio(audio) => {
                if let Some(Content::AgentAudio { bytes, is_cut: false, .. }) = content {
                    bytes.extend_from_slice(&audio);
                }
                self.audio_bytes += audio.len();
                self.note(desk, |response| {
                    response.first_audio_at.get_or_insert(now);
                    response.generated_ms = self.audio_ms();
                });
                let delta = BASE64_STANDARD.encode(&audio);
                self.emit(desk, "response.output_audio.delta", json!({"content_index": 0, "delta": delta}));
            }
            What::Arguments(part) => {
                if let Content::Call { call_id, .. } = &self.plan.content {
                    let body = json!({"call_id": call_id, "delta": part});
                    self.emit(desk, "response.function_call_arguments.delta", body);
                }
            }
        }
    }

    fn finish(&mut self, now: Instant, outcome: Outcome, desk: &mut Desk<'_>) {
        let mut output = Vec::new();
        if matches!(self.stage, Stage::Open { .. }) {
            self.close_part(desk);
            let status = if outcome == Outcome::Completed { "completed" } else { "incomplete" };
            if let Some(item) = desk.conversation.get_mut(&self.item_id) {
                item.status = status;
                let item = item.to_json(false);
                desk.outbox.emit(
                    "response.output_item.done",
                    json!({"response_id": self.id, "output_index": 0, "item": item}),
                );
                if self.in_conversation {
                    let previous = desk.conversation.previous(&self.item_id);
                    desk.outbox
                        .emit("conversation.item.done", json!({"previous_item_id": previous, "item": item}));
                }
                output.push(item);
            }
        }
        self.stage = Stage::Done;
        let usage = if outcome == Outcome::RateLimited { Value::Null } else { self.usage() };
        let response = self.to_json(outcome.status(), &outcome.details(), &output, &usage);
        desk.outbox.emit("response.done", json!({"response": response}));
        self.note(desk, |response| {
            response.status = outcome.status();
            response.done_at = Some(now);
        });
    }

    fn close_part(&self, desk: &mut Desk<'_>) {
        match &self.plan.content {
            Content::Call { call_id, name, arguments } => {
                let body = json!({"call_id": call_id, "name": name, "arguments": arguments});
                self.emit(desk, "response.function_call_arguments.done", body);
            }
            _ if self.voicing.text_only => {
                self.emit(desk, "response.output_text.done", json!({"content_index": 0, "text": self.words}));
                let part = json!({"type": "text", "text": self.words});
                self.emit(desk, "response.content_part.done", json!({"content_index": 0, "part": part}));
            }
            _ => {
                self.emit(desk, "response.output_audio.done", json!({"content_index": 0}));
                let transcript = json!({"content_index": 0, "transcript": self.words});
                self.emit(desk, "response.output_audio_transcript.done", transcript);
                let part = json!({"type": "audio", "transcript": self.words});
                self.emit(desk, "response.content_part.done", json!({"content_index": 0, "part": part}));
            }
        }
    }

    /// Emits an event about this response's one item.
    fn emit(&self, desk: &mut Desk<'_>, kind: &'static str, mut body: Value) {
        body["response_id"] = json!(self.id);
        body["item_id"] = json!(self.item_id);
        body["output_index"] = json!(0);
        desk.outbox.emit(kind, body);
    }

    fn note(&self, desk: &Desk<'_>, write: impl FnOnce(&mut ResponseRecord)) {
        desk.record.with(|record| {
            record.responses.iter_mut().find(|response| response.id == self.id).map(write);
        });
    }

    fn usage(&self) -> Value {
        let InputTokens { now: (text_in, audio_in), cached } = self.input;
        // The cache works in blocks of 64 tokens.
        let (text_cached, audio_cached) = (cached.0.min(text_in) / 64 * 64, cached.1.min(audio_in) / 64 * 64);
        let audio_out = agent_audio_tokens(self.audio_bytes, self.voicing.format);
        let text_out = match &self.plan.content {
            Content::Call { arguments, .. } => text_tokens(arguments),
            _ => text_tokens(&self.words),
        };
        json!({
            "total_tokens": text_in + audio_in + text_out + audio_out,
            "input_tokens": text_in + audio_in,
            "output_tokens": text_out + audio_out,
            "input_token_details": {
                "text_tokens": text_in,
                "audio_tokens": audio_in,
                "image_tokens": 0,
                "cached_tokens": text_cached + audio_cached,
                "cached_tokens_details": {
                    "text_tokens": text_cached,
                    "audio_tokens": audio_cached,
                    "image_tokens": 0,
                },
            },
            "output_token_details": {"text_tokens": text_out, "audio_tokens": audio_out},
        })
    }

    fn to_json(&self, status: &str, details: &Value, output: &[Value], usage: &Value) -> Value {
        json!({
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": output,
            "conversation_id": self.conversation_id,
            "output_modalities": self.voicing.modalities(),
            "audio": {"output": {"format": self.voicing.format.to_json(), "voice": self.voicing.voice}},
            "max_output_tokens": self.voicing.tokens_max_json(),
            "metadata": self.metadata,
            "usage": usage,
        })
    }
}

/// An agent's speech before a word of it is out.
pub(crate) fn unsaid(format: Format) -> Content {
    Content::AgentAudio { format, bytes: Vec::new(), words: String::new(), is_cut: false }
}
