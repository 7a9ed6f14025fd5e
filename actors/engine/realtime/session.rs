//! A realtime session as a pure state machine: provider events and commands in, effects out.
//!
//! It refuses to know sockets, actors, clocks and samples. What it knows is the protocol: when audio may flow, which
//! response is running, which audio is stale, and what the provider must be told after an interruption.

use std::collections::VecDeque;
use std::time::Duration;

use tandem_media::playout::{Heard, Part};
use tandem_wire::openai::client::ResponseConfig;
use tandem_wire::openai::item::Role;
use tandem_wire::openai::response::ResponseStatus;
use tandem_wire::openai::server::{self, AudioDelta, ServerEvent, TranscriptionUsage};
use tandem_wire::openai::{ApiError, BenignKind, ClientEvent, Response, Severity, Usage, classify};
use tandem_wire::openai::{item::NewItem, session::Session as Echoed};

use super::settings;
use crate::engine::{AudioChoice, Begin};
use crate::ledger::Speaker;
use crate::messages::{EngineFact, EngineFailure, FailureKind, Generation, Tag, TakeOver};
use crate::usage::{Amount, Used, Work};

/// Parts, drafts, truncations and interrupted responses remembered. A response has one part, rarely two, and may have
/// dozens of small ones; of the one before the last nothing can come any more.
const REMEMBERED_MAX: usize = 64;

/// Unheard audio below this is not worth deleting a transcript for: half a frame, the grain of our knowledge.
const UNHEARD_MS_MIN: u64 = 10;

/// What the actor is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send the event, under an id of ours where an error is to be told apart by it.
    Send(ClientEvent, Option<String>),
    Tell(EngineFact),
    /// The part's audio is complete: put its end into the lane.
    EndOfPart(Tag),
}

pub struct Session {
    begin: Begin,
    choice: AudioChoice,
    state: State,
    slot: Slot,
    /// A response to ask for as soon as the slot is free.
    wanted: Option<Request>,
    /// The last request of ours, until its response is done: the provider may still refuse it.
    unconfirmed: Option<Request>,
    /// The caller spoke between our request and its `response.created`: that response is to be cancelled.
    cancel_when_created: bool,
    generation: Generation,
    next_part: Part,
    /// Parts that may not have been heard to their end.
    open: VecDeque<OpenPart>,
    /// Responses whose late audio is dropped.
    interrupted: VecDeque<String>,
    /// Items of interrupted responses whose first audio came too late to be played at all, with their response.
    unplayed: VecDeque<(String, String, u32)>,
    drafts: VecDeque<Draft>,
    truncations: VecDeque<Truncation>,
    truncations_made: u32,
    pub stale_deltas: u64,
    pub benign_errors: u64,
    pub unknown_events: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waiting for `session.created`.
    Opening,
    /// Our settings are with the provider. No audio until they are in force.
    Configuring,
    Ready,
    /// Failed or finished: nothing matters any more.
    Over,
}

/// The provider runs one response at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Slot {
    Free,
    Requested,
    Active { response: String, cancelled: bool, prompted: bool },
}

/// A response that we ask for ourselves.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    instructions: Option<String>,
    /// Whether it is still wanted after the caller or the provider was quicker.
    essential: bool,
}

#[derive(Clone, Debug)]
struct OpenPart {
    tag: Tag,
    response: String,
    item: String,
    content_index: u32,
    bytes: u64,
    ended: bool,
}

/// A transcript that is still being written.
#[derive(Clone, Debug)]
struct Draft {
    item: String,
    text: String,
}

#[derive(Clone, Debug)]
struct Truncation {
    event_id: String,
    item: String,
    content_index: u32,
    /// Absent when nothing of the item was ever played.
    part: Option<Part>,
    resent: bool,
}

impl Session {
    pub fn new(begin: Begin, choice: AudioChoice) -> Self {
        Self {
            state: State::Opening,
            slot: Slot::Free,
            wanted: None,
            unconfirmed: None,
            cancel_when_created: false,
            generation: begin.generation,
            next_part: begin.first_part,
            open: VecDeque::new(),
            interrupted: VecDeque::new(),
            unplayed: VecDeque::new(),
            drafts: VecDeque::new(),
            truncations: VecDeque::new(),
            truncations_made: 0,
            stale_deltas: 0,
            benign_errors: 0,
            unknown_events: 0,
            begin,
            choice,
        }
    }

    /// Whether caller audio may be sent.
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Nothing that comes from now on is acted on.
    pub fn finish(&mut self) {
        self.state = State::Over;
    }

    /// Fails the session, once.
    pub fn fail(&mut self, kind: FailureKind, retry: bool, detail: String, effects: &mut Vec<Effect>) {
        if self.state != State::Over {
            self.state = State::Over;
            self.tell_drafts(effects);
            for open in self.open.iter().filter(|open| !open.ended) {
                let audio_ms = self.ms(open.bytes);
                effects.push(Effect::EndOfPart(open.tag)); // with what of it is no full frame
                effects.push(Effect::Tell(EngineFact::AgentBroke { part: open.tag.part, audio_ms }));
            }
            effects.push(Effect::Tell(EngineFact::Failed(EngineFailure { kind, retry, detail })));
        }
    }

    // ------------------------------------------------------------ audio of the agent

    /// Where a piece of audio belongs; nothing when it is of an interrupted response.
    pub fn place(&mut self, delta: &AudioDelta<'_>, effects: &mut Vec<Effect>) -> Option<Tag> {
        if self.state != State::Ready {
            return None;
        }
        if self.interrupted.iter().any(|id| *id == delta.response_id) {
            self.stale_deltas += 1;
            self.note_unplayed(delta);
            return None;
        }
        let known =
            |part: &&OpenPart| part.item == delta.item_id && part.content_index == delta.content_index;
        if let Some(part) = self.open.iter().rev().find(known) {
            return Some(part.tag);
        }
        let tag = Tag { generation: self.generation, part: self.next_part };
        self.next_part.0 += 1;
        remember(
            &mut self.open,
            OpenPart {
                tag,
                response: delta.response_id.to_string(),
                item: delta.item_id.to_string(),
                content_index: delta.content_index,
                bytes: 0,
                ended: false,
            },
        );
        let item = delta.item_id.to_string();
        let prompted = matches!(&self.slot, Slot::Active { prompted: true, .. });
        effects.push(Effect::Tell(EngineFact::AgentBegan { part: tag.part, item, prompted }));
        Some(tag)
    }

    /// An item that begins after its response was interrupted is never heard; the provider must be told when it is
    /// complete, or the model believes that it was.
    fn note_unplayed(&mut self, delta: &AudioDelta<'_>) {
        let same = |item: &str, index: u32| item == delta.item_id && index == delta.content_index;
        let known = self.open.iter().any(|part| same(&part.item, part.content_index))
            || self.truncations.iter().any(|cut| same(&cut.item, cut.content_index))
            || self.unplayed.iter().any(|(_, item, index)| same(item, *index));
        if !known {
            let item = (delta.response_id.to_string(), delta.item_id.to_string(), delta.content_index);
            remember(&mut self.unplayed, item);
        }
    }

    /// So many bytes of a part's audio went into the lane.
    pub fn took(&mut self, part: Part, bytes: usize) {
        if let Some(open) = self.open.iter_mut().rev().find(|open| open.tag.part == part) {
            open.bytes += bytes as u64;
        }
    }

    /// The lane is full: the response ends here, aloud, instead of losing words in its middle.
    pub fn overflowed(&mut self, part: Part, effects: &mut Vec<Effect>) {
        let Some(index) = self.open.iter().position(|open| open.tag.part == part) else { return };
        let open = self.open[index].clone();
        remember(&mut self.interrupted, open.response);
        self.cancel_active(effects);
        self.end_part(index, effects);
        let kept_ms = self.ms(open.bytes);
        self.truncate(Some(part), open.item, open.content_index, kept_ms, effects);
    }

    fn end_part(&mut self, index: usize, effects: &mut Vec<Effect>) {
        let open = &mut self.open[index];
        if open.ended {
            return;
        }
        open.ended = true;
        let (tag, bytes) = (open.tag, open.bytes);
        effects.push(Effect::EndOfPart(tag));
        let audio_ms = self.ms(bytes);
        effects.push(Effect::Tell(EngineFact::AgentEnded { part: tag.part, audio_ms }));
    }

    fn ms(&self, bytes: u64) -> u64 {
        bytes
            / match self.choice {
                AudioChoice::Pcmu => 8,   // 1 byte, 8 a millisecond
                AudioChoice::Pcm24 => 48, // 2 bytes, 24 a millisecond
            }
    }

    // ------------------------------------------------------------ interruption

    /// The caller speaks: what was said before this moment is interrupted.
    fn caller_spoke(&mut self, item: Option<String>, effects: &mut Vec<Effect>) {
        self.generation.0 += 1;
        match &self.slot {
            Slot::Active { response, .. } => {
                let response = response.clone();
                remember(&mut self.interrupted, response);
            }
            Slot::Requested => self.cancel_when_created = true,
            Slot::Free => {}
        }
        let item = item.unwrap_or_else(|| format!("caller-{}", self.generation.0));
        effects.push(Effect::Tell(EngineFact::CallerSpeaking { generation: self.generation, item }));
    }

    /// The call knows what was heard: have the provider's history say the same.
    pub fn interrupted(&mut self, heard: Option<Heard>, effects: &mut Vec<Effect>) {
        if self.state != State::Ready {
            return;
        }
        if !self.begin.agent.turn_detection.interrupt_response && self.active_is_interrupted() {
            self.cancel_active(effects);
        }
        for open in std::mem::take(&mut self.open) {
            if open.tag.generation >= self.generation {
                self.open.push_back(open); // of a response that began after the interruption
                continue;
            }
            let received_ms = self.ms(open.bytes);
            if !open.ended {
                let audio_ms = received_ms;
                effects.push(Effect::Tell(EngineFact::AgentEnded { part: open.tag.part, audio_ms }));
            }
            let heard_ms = match heard {
                Some(heard) if open.tag.part < heard.part => received_ms,
                Some(heard) if open.tag.part == heard.part => heard.ms().min(received_ms),
                Some(_) | None => 0,
            };
            let heard_out = open.ended && received_ms - heard_ms < UNHEARD_MS_MIN;
            if !heard_out {
                self.truncate(Some(open.tag.part), open.item, open.content_index, heard_ms, effects);
            }
        }
    }

    fn active_is_interrupted(&self) -> bool {
        matches!(&self.slot, Slot::Active { response, .. } if self.interrupted.contains(response))
    }

    fn cancel_active(&mut self, effects: &mut Vec<Effect>) {
        if let Slot::Active { response, cancelled, .. } = &mut self.slot
            && !*cancelled
        {
            *cancelled = true;
            let response_id = Some(response.clone());
            effects.push(Effect::Send(ClientEvent::ResponseCancel { response_id }, None));
        }
    }

    fn truncate(
        &mut self,
        part: Option<Part>,
        item: String,
        content_index: u32,
        audio_end_ms: u64,
        effects: &mut Vec<Effect>,
    ) {
        self.truncations_made += 1;
        let event_id = format!("truncate-{}", self.truncations_made);
        effects.push(Effect::Send(
            ClientEvent::ItemTruncate { item_id: item.clone(), content_index, audio_end_ms },
            Some(event_id.clone()),
        ));
        if let Some(part) = part {
            effects.push(Effect::Tell(EngineFact::Truncated { part, audio_end_ms }));
        }
        remember(&mut self.truncations, Truncation { event_id, item, content_index, part, resent: false });
    }

    // ------------------------------------------------------------ responses of our own asking

    /// Has the agent say something when it next can.
    pub fn prompt(&mut self, instructions: String, effects: &mut Vec<Effect>) {
        self.wanted = Some(Request { instructions: Some(instructions), essential: true });
        self.ask(effects);
    }

    fn ask(&mut self, effects: &mut Vec<Effect>) {
        if self.state != State::Ready || self.slot != Slot::Free {
            return;
        }
        let Some(request) = self.wanted.take() else { return };
        let response = request.instructions.clone().map(|instructions| {
            Box::new(ResponseConfig { instructions: Some(instructions), ..ResponseConfig::default() })
        });
        self.slot = Slot::Requested;
        self.unconfirmed = Some(request);
        effects.push(Effect::Send(ClientEvent::ResponseCreate { response }, Some("respond".to_owned())));
    }

    /// Our request met a response of the provider's own making.
    fn ask_again_later(&mut self, effects: &mut Vec<Effect>) {
        self.cancel_when_created = false; // what it was to cancel will not be created
        if let Slot::Active { prompted, .. } = &mut self.slot {
            *prompted = false; // we had taken the provider's own for ours
        }
        if let Some(request) = self.unconfirmed.take().filter(|request| request.essential) {
            self.wanted = Some(request);
        }
        if self.slot == Slot::Requested {
            self.slot = Slot::Free;
            // Its `response.done` may have passed already: then there is nothing to wait for.
            self.ask(effects);
        }
    }

    // ------------------------------------------------------------ events

    pub fn on_event(&mut self, event: ServerEvent<'_>, effects: &mut Vec<Effect>) {
        if self.state == State::Over {
            return;
        }
        match event {
            ServerEvent::SessionCreated(_) => self.configure(effects),
            ServerEvent::SessionUpdated(session) => self.agree(&session, effects),
            ServerEvent::Error(error) => self.on_error(&error, effects),
            ServerEvent::SpeechStarted { item_id, .. } => self.caller_spoke(item_id, effects),
            ServerEvent::SpeechStopped { item_id, .. } => {
                let item = item_id.unwrap_or_else(|| format!("caller-{}", self.generation.0));
                effects.push(Effect::Tell(EngineFact::CallerSilent { item }));
            }
            ServerEvent::InputTranscriptCompleted { item_id, transcript, usage, .. } => {
                said(Speaker::Caller, item_id, &transcript, effects);
                effects.push(Effect::Tell(EngineFact::Used(transcribed(usage))));
            }
            ServerEvent::InputTranscriptFailed { item_id, error, .. } => {
                tracing::warn!(item = item_id, code = error.code, "caller's words were not transcribed");
            }
            ServerEvent::ResponseCreated(response) => self.response_created(response.id, effects),
            ServerEvent::ResponseDone(response) => self.response_done(&response, effects),
            ServerEvent::OutputAudioDone { at } => self.audio_done(&at, effects),
            ServerEvent::TranscriptDelta { at, delta } => self.draft(at.item_id, &delta),
            ServerEvent::TranscriptDone { at, transcript } => {
                self.drafts.retain(|draft| draft.item != at.item_id);
                said(Speaker::Agent, at.item_id, &transcript, effects);
            }
            ServerEvent::Unknown { .. } => self.unknown_events += 1,
            _ => {} // told for the record: items, limits, content parts, text, tools that we did not offer
        }
    }

    fn configure(&mut self, effects: &mut Vec<Effect>) {
        if self.state == State::Opening {
            self.state = State::Configuring;
            let session = Box::new(settings::session_config(&self.begin.agent, self.choice));
            effects.push(Effect::Send(ClientEvent::SessionUpdate { session }, Some("settings".to_owned())));
        }
    }

    /// The provider says what is in force. Another audio format than ours would be heard as loud noise.
    fn agree(&mut self, session: &Echoed, effects: &mut Vec<Effect>) {
        let ours = settings::format(self.choice);
        let foreign = [&session.input_format, &session.output_format]
            .into_iter()
            .flatten() // what a provider does not tell cannot be held against it
            .find(|format| **format != ours);
        if let Some(format) = foreign {
            let detail = format!("session has audio {format:?} instead of {ours:?}");
            return self.fail(FailureKind::FormatMismatch, false, detail, effects);
        }
        if self.state != State::Configuring {
            return;
        }
        self.state = State::Ready;
        let session = session.id.clone().unwrap_or_default();
        effects.push(Effect::Tell(EngineFact::Ready { session }));
        self.open_conversation(effects);
    }

    /// Serves the call from now on, after having stood by.
    pub fn take_over(&mut self, take_over: TakeOver, effects: &mut Vec<Effect>) {
        let TakeOver { ledger, generation, opening } = take_over;
        (self.begin.ledger, self.generation, self.begin.opening) = (ledger, generation, opening);
        if self.state == State::Ready {
            self.open_conversation(effects);
        }
    }

    /// Tells the provider what was said before, and has it say what is owed.
    fn open_conversation(&mut self, effects: &mut Vec<Effect>) {
        let ledger = std::mem::take(&mut self.begin.ledger); // as long as the call; needed once
        for turn in ledger.turns().filter(|turn| !turn.heard_text().is_empty()) {
            let role = match turn.who {
                Speaker::Caller => Role::User,
                Speaker::Agent => Role::Assistant, // as text: the provider takes no audio of its own making
            };
            let item = NewItem::text(role, turn.heard_text());
            effects.push(Effect::Send(ClientEvent::ItemCreate { previous_item_id: None, item }, None));
        }
        let owed = self.begin.opening.instructions(&self.begin.agent);
        self.wanted = owed.map(|instructions| Request { instructions: Some(instructions), essential: false });
        self.ask(effects);
    }

    fn response_created(&mut self, response: String, effects: &mut Vec<Effect>) {
        let prompted = self.slot == Slot::Requested;
        self.slot = Slot::Active { response: response.clone(), cancelled: false, prompted };
        if std::mem::take(&mut self.cancel_when_created) {
            remember(&mut self.interrupted, response);
            self.cancel_active(effects);
        } else {
            effects.push(Effect::Tell(EngineFact::ResponseBegan));
        }
    }

    fn response_done(&mut self, response: &Response, effects: &mut Vec<Effect>) {
        if matches!(&self.slot, Slot::Active { response: active, .. } if *active != response.id) {
            tracing::debug!(response = response.id, "end of a response that is not the running one");
        } else {
            self.slot = Slot::Free;
            self.unconfirmed = None;
            self.cancel_when_created = false;
        }
        for index in 0..self.open.len() {
            if self.open[index].response == response.id {
                self.end_part(index, effects);
            }
        }
        for (of, item, content_index) in std::mem::take(&mut self.unplayed) {
            if of == response.id {
                self.truncate(None, item, content_index, 0, effects);
            } else {
                self.unplayed.push_back((of, item, content_index));
            }
        }
        self.tell_drafts(effects);
        effects.push(Effect::Tell(EngineFact::ResponseEnded));
        if let Some(usage) = response.usage {
            effects.push(Effect::Tell(EngineFact::Used(Used::tokens(usage))));
        }
        if response.status == ResponseStatus::Failed {
            let error = response.status_details.as_ref().and_then(|details| details.error.clone());
            return self.response_failed(&error.unwrap_or_default(), effects);
        }
        self.ask(effects);
    }

    fn audio_done(&mut self, at: &server::Part, effects: &mut Vec<Effect>) {
        let known = |open: &OpenPart| open.item == at.item_id && open.content_index == at.content_index;
        if let Some(index) = self.open.iter().rposition(known) {
            self.end_part(index, effects);
        }
    }

    fn draft(&mut self, item: String, delta: &str) {
        match self.drafts.iter_mut().rev().find(|draft| draft.item == item) {
            Some(draft) => draft.text.push_str(delta),
            None => remember(&mut self.drafts, Draft { item, text: delta.to_owned() }),
        }
    }

    /// Words that were cut off before their transcript was complete.
    fn tell_drafts(&mut self, effects: &mut Vec<Effect>) {
        for draft in std::mem::take(&mut self.drafts) {
            said(Speaker::Agent, draft.item, &draft.text, effects);
        }
    }

    // ------------------------------------------------------------ errors

    fn on_error(&mut self, error: &ApiError, effects: &mut Vec<Effect>) {
        match classify(error) {
            Severity::Benign(kind) => {
                self.benign_errors += 1;
                match kind {
                    BenignKind::ResponseActive => self.ask_again_later(effects),
                    BenignKind::TruncatePastEnd { audio_ms } => self.truncate_again(error, audio_ms, effects),
                    BenignKind::NothingToCancel | BenignKind::NothingToCommit | BenignKind::UnknownItem => {}
                }
            }
            Severity::Fatal => self.fail(kind_of(error), false, describe(error), effects),
            Severity::Session { retryable } if self.state != State::Ready => {
                self.fail(FailureKind::SettingsRejected, retryable, describe(error), effects);
            }
            Severity::Session { retryable: true } => {
                self.fail(kind_of(error), true, describe(error), effects);
            }
            Severity::Session { retryable: false } => {
                // One request of ours was refused; to close would hurt the caller more than going on without it.
                tracing::warn!(error = describe(error), "provider refused a request");
                self.benign_errors += 1;
                if self.slot == Slot::Requested && error.event_id.as_deref() == Some("respond") {
                    self.slot = Slot::Free;
                    self.unconfirmed = None;
                    self.cancel_when_created = false;
                }
            }
        }
    }

    /// The provider's idea of an item's length is shorter than ours: its own figure is accepted, once.
    fn truncate_again(&mut self, error: &ApiError, audio_ms: u64, effects: &mut Vec<Effect>) {
        let refused = |truncation: &&mut Truncation| {
            error.event_id.as_ref().is_none_or(|event_id| *event_id == truncation.event_id)
        };
        let Some(truncation) = self.truncations.iter_mut().rev().find(refused) else { return };
        if std::mem::replace(&mut truncation.resent, true) {
            return;
        }
        let event = ClientEvent::ItemTruncate {
            item_id: truncation.item.clone(),
            content_index: truncation.content_index,
            audio_end_ms: audio_ms,
        };
        let part = truncation.part;
        effects.push(Effect::Send(event, Some(truncation.event_id.clone())));
        if let Some(part) = part {
            effects.push(Effect::Tell(EngineFact::Truncated { part, audio_end_ms: audio_ms }));
        }
    }

    /// A response that failed is an answer the caller waits for in vain.
    fn response_failed(&mut self, error: &ApiError, effects: &mut Vec<Effect>) {
        let retry = matches!(classify(error), Severity::Session { .. } | Severity::Benign(_));
        self.fail(kind_of(error), retry, describe(error), effects);
    }
}

fn kind_of(error: &ApiError) -> FailureKind {
    match error.code.as_deref().unwrap_or_default() {
        "invalid_api_key" => FailureKind::Unauthorized,
        "rate_limit_exceeded" | "insufficient_quota" => FailureKind::RateLimited,
        "session_expired" => FailureKind::SessionExpired,
        _ => FailureKind::Provider,
    }
}

fn describe(error: &ApiError) -> String {
    format!("{}: {}", error.code.as_deref().unwrap_or(&error.kind), error.message)
}

fn said(who: Speaker, item: String, text: &str, effects: &mut Vec<Effect>) {
    let text = text.trim();
    if !text.is_empty() {
        effects.push(Effect::Tell(EngineFact::Said { who, item, text: text.to_owned() }));
    }
}

/// What writing down the caller's words took; some servers do not say.
fn transcribed(usage_opt: Option<TranscriptionUsage>) -> Used {
    let amount = match usage_opt {
        Some(TranscriptionUsage::Tokens { total, input, output, input_text, input_audio }) => {
            let mut usage =
                Usage { total_tokens: total, input_tokens: input, output_tokens: output, ..Usage::default() };
            usage.input_token_details.text_tokens = input_text;
            usage.input_token_details.audio_tokens = input_audio;
            usage.output_token_details.text_tokens = output;
            Amount::Tokens(usage)
        }
        Some(TranscriptionUsage::Seconds(seconds)) => {
            Duration::try_from_secs_f64(seconds).map_or(Amount::Untold, Amount::Audio)
        }
        None => Amount::Untold,
    };
    Used { work: Work::Hearing, amount }
}

fn remember<T>(list: &mut VecDeque<T>, entry: T) {
    if list.len() == REMEMBERED_MAX {
        list.pop_front();
    }
    list.push_back(entry);
}

#[cfg(test)]
mod tests;
