//! The agent's side of a session: responses asked for, planned after the script, stepped through and
//! cancelled.
//!
//! Knows nothing of the caller's audio, and leaves the events of a response to the response.

use std::{mem, sync::Arc, time::Duration};

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{
    Session,
    config::{TurnDetection, Voicing},
    conversation::{self, Content},
    id,
    rendering::{self, Pace},
    response::{self, Desk, InputTokens, Outcome, Plan, Request, Response},
};
use crate::provider::{
    brain::{self, Next},
    fields::{Fields, Refused},
};

impl Session {
    fn running(&self) -> Option<&Response> {
        self.responses.iter().find(|response| response.in_conversation)
    }

    pub(super) fn create_response(&mut self, now: Instant, fields: &Fields<'_>) -> Result<(), Refused> {
        let own = [
            "output_modalities",
            "instructions",
            "audio",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
            "reasoning",
            "max_output_tokens",
            "conversation",
            "metadata",
            "prompt",
            "input",
        ];
        let empty = Map::new();
        let fields = match fields.some("response") {
            Some(response) => response.object(&own)?,
            None => Fields::of_event(&empty, &[])?,
        };
        let locked = self.agent_was_heard();
        let voicing = self.settings.voicing.for_response(&fields, &self.settings.model, locked)?;
        let in_conversation = match fields.some("conversation") {
            Some(which) => which.one_of(&["auto", "none"])? == "auto",
            None => true,
        };
        let metadata = read_metadata(&fields)?;
        if let Some(input) = fields.some("input") {
            input.list()?;
        }
        if in_conversation && let Some(running) = self.running() {
            let message = format!("Conversation already has an active response in progress: {}", running.id);
            return Err(Refused::new("conversation_already_has_active_response", message));
        }
        self.request(now, in_conversation, voicing, metadata);
        Ok(())
    }

    /// The response that turn detection starts. While one is running it cannot, and says so.
    pub(super) fn respond_by_itself(&mut self, now: Instant) {
        if let Some(running) = self.running() {
            let message = format!("Conversation already has an active response in progress: {}", running.id);
            self.refuse(&Refused::new("conversation_already_has_active_response", message), None);
        } else {
            self.request(now, true, self.settings.voicing.clone(), Value::Null);
        }
    }

    fn request(&mut self, now: Instant, in_conversation: bool, voicing: Voicing, metadata: Value) {
        self.idle_at = None;
        let plan = self.plan(in_conversation, &voicing);
        let text = conversation::text_tokens(&voicing.instructions)
            + voicing.tools.iter().map(|tool| conversation::text_tokens(&tool.to_string())).sum::<u64>();
        let (text_items, audio) = self.conversation.tokens();
        let tokens = (text + text_items, audio);
        let request = Request {
            id: id("resp", &mut self.rng),
            item_id: id("item", &mut self.rng),
            conversation_id: in_conversation.then(|| self.conversation_id.clone()),
            voicing,
            metadata,
            input: InputTokens { now: tokens, cached: mem::replace(&mut self.tokens_before, tokens) },
            first_piece_after: self.setup.first_audio_delay,
            hangs_after: self.setup.hangs_after,
        };
        self.responses.push(Response::requested(now, request, plan));
    }

    fn plan(&mut self, in_conversation: bool, voicing: &Voicing) -> Plan {
        let script = Arc::clone(&self.setup.script);
        let may_call = |name: &str| in_conversation && voicing.may_call(name);
        let line = match (voicing.forced_tool(), brain::next(&script, &self.conversation.turns(), may_call)) {
            (Some(name), _) if in_conversation => return self.plan_call(name, "{}"),
            (_, Next::Call(call)) => return self.plan_call(&call.name, &call.arguments),
            (_, Next::Say(line)) => line,
        };
        let text = line.text().to_owned();
        if voicing.text_only {
            let content = Content::AgentText { text: String::new() };
            return Plan {
                pieces: rendering::written(line.text()),
                content,
                text,
                outcome: self.outcome(false),
            };
        }
        let pace = Pace { speed: self.setup.speed, odd_chunks: self.setup.odd_chunks };
        let ms_max = voicing.tokens_max.map(conversation::agent_audio_ms);
        let (pieces, is_cut) =
            rendering::spoken(line.text(), &line.audio(), voicing.format, ms_max, pace, &mut self.rng);
        Plan { pieces, content: response::unsaid(voicing.format), text, outcome: self.outcome(is_cut) }
    }

    fn plan_call(&mut self, name: &str, arguments: &str) -> Plan {
        let call_id = id("call", &mut self.rng);
        Plan {
            pieces: rendering::called(arguments),
            content: Content::Call { call_id, name: name.to_owned(), arguments: arguments.to_owned() },
            text: String::new(),
            outcome: self.outcome(false),
        }
    }

    fn outcome(&self, is_cut: bool) -> Outcome {
        match (self.setup.rate_limited, is_cut) {
            (true, _) => Outcome::RateLimited,
            (false, true) => Outcome::Incomplete { reason: "max_output_tokens" },
            (false, false) => Outcome::Completed,
        }
    }

    pub(super) fn cancel_response(&mut self, now: Instant, fields: &Fields<'_>) -> Result<(), Refused> {
        let wanted = fields.some("response_id").map(|id| id.string()).transpose()?;
        let named = |response: &Response| wanted.map_or(response.in_conversation, |id| response.id == id);
        // One that is requested and not created yet cannot be named, and does not count as running.
        let found = self.responses.iter().position(|response| named(response) && response.is_created());
        let Some(i) = found else {
            return Err(Refused::new(
                "response_cancel_not_active",
                "Cancellation failed: no active response found",
            ));
        };
        self.cancel_at(now, i, "client_cancelled");
        Ok(())
    }

    pub(super) fn cancel_running(&mut self, now: Instant, reason: &'static str) {
        if let Some(i) = self.responses.iter().position(|response| response.in_conversation) {
            self.cancel_at(now, i, reason);
        }
    }

    fn cancel_at(&mut self, now: Instant, i: usize, reason: &'static str) {
        let response = &mut self.responses[i];
        let conversation = if response.in_conversation { &mut self.conversation } else { &mut self.aside };
        response.cancel(
            now,
            reason,
            &mut Desk { outbox: &mut self.outbox, conversation, record: &self.record },
        );
        self.bury(now, i);
    }

    pub(super) fn step_response(&mut self, now: Instant, i: usize) {
        let response = &mut self.responses[i];
        let conversation = if response.in_conversation { &mut self.conversation } else { &mut self.aside };
        response.step(now, &mut Desk { outbox: &mut self.outbox, conversation, record: &self.record });
        if response.is_done() {
            self.bury(now, i);
        }
    }

    /// Forgets a response that is done. The time the caller may be idle begins when it has been played.
    fn bury(&mut self, now: Instant, i: usize) {
        let response = self.responses.remove(i);
        if response.in_conversation && !self.hearing.is_speaking() {
            let idle_ms = self.settings.turn_detection.as_ref().and_then(TurnDetection::idle_timeout_ms);
            self.idle_at = idle_ms.map(|idle_ms| now + Duration::from_millis(response.audio_ms() + idle_ms));
        }
    }
}

/// At most 16 pairs of texts, keys of 64 and values of 512 characters.
fn read_metadata(response: &Fields<'_>) -> Result<Value, Refused> {
    let Some(metadata) = response.some("metadata") else { return Ok(Value::Null) };
    let pairs = metadata.any_object()?;
    let fits = |(key, value): (&String, &Value)| {
        key.chars().count() <= 64 && value.as_str().is_some_and(|text| text.chars().count() <= 512)
    };
    if pairs.len() <= 16 && pairs.iter().all(fits) {
        Ok(metadata.value().clone())
    } else {
        Err(metadata
            .refuse("Metadata is at most 16 pairs of texts, keys of 64 and values of 512 characters."))
    }
}
