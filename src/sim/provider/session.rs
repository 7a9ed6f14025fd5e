//! One Realtime session as a machine: the client's events and the time go in, the server's events come out.
//!
//! Knows no socket, task or clock. It answers as the real server is documented to, refusals included, in the GA
//! dialect; what happened is written to the session's record.

use std::{collections::VecDeque, mem, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use rand::{RngExt, rngs::StdRng};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use self::{
    config::{Format, Settings, TurnDetection, Voicing},
    conversation::{Content, Conversation, Item},
    fields::{Fields, Refused},
    hearing::{Heard, Hearing, Utterance},
    outbox::{Event, Outbox},
    rendering::Pace,
    response::{Desk, InputTokens, Outcome, Plan, Request, Response},
};
use super::{
    record::{self, Shared, Truncation, Turn},
    script::{Script, ScriptedCall},
};

mod config;
mod conversation;
mod detector;
mod fields;
mod hearing;
pub(super) mod outbox;
mod rendering;
mod response;

/// An update is in force, and answered, this long after it came; what comes in between waits its turn.
const UPDATE_TAKES: Duration = Duration::from_millis(20);

/// What one append may carry.
const APPEND_BYTES_MAX: usize = 15 << 20;

/// A commit needs this much audio.
const COMMIT_MS_MIN: f64 = 100.0;

/// Sessions end after an hour.
pub(super) const LIFETIME: Duration = Duration::from_hours(1);

const CLIENT_EVENTS: [&str; 12] = [
    "session.update",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
    "conversation.item.create",
    "conversation.item.retrieve",
    "conversation.item.truncate",
    "conversation.item.delete",
    "response.create",
    "response.cancel",
    "output_audio_buffer.clear",
    "transcription_session.update",
];

/// How this session behaves: the provider's options and the faults that concern it.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) script: Arc<Script>,
    pub(super) first_audio_delay: Duration,
    pub(super) speed: f32,
    pub(super) expires_at_unix_s: u64,
    pub(super) lifetime: Duration,
    pub(super) opening_takes: Duration,
    pub(super) rate_limited: bool,
    pub(super) wrong_format: bool,
    pub(super) odd_chunks: bool,
    /// An `error` event of this code, so long after the upgrade.
    pub(super) error: Option<(String, Duration)>,
}

/// Why later events of the client have to wait.
#[derive(Debug)]
enum Busy {
    Opening,
    Updating(Map<String, Value>),
}

/// Everything a session does by itself at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    Busy,
    Error,
    Response(usize),
    Transcript(usize),
    Idle,
    Expiry,
}

#[derive(Debug)]
struct Transcript {
    at: Instant,
    item_id: String,
    text: String,
}

pub(super) struct Session {
    setup: Setup,
    conversation_id: String,
    rng: StdRng,
    record: Shared,
    outbox: Outbox,
    inbox: VecDeque<Value>,
    busy: Option<(Instant, Busy)>,
    settings: Settings,
    hearing: Hearing,
    /// Duration of everything appended, in 48ths of a millisecond.
    appended_48ths: u64,
    /// The item the utterance in progress will become.
    turn_item: Option<String>,
    utterances: usize,
    calls_made: Vec<usize>,
    conversation: Conversation,
    /// Items of responses outside the conversation.
    aside: Conversation,
    responses: Vec<Response>,
    tokens_before: (u64, u64),
    transcripts: Vec<Transcript>,
    idle_at: Option<Instant>,
    error_at: Option<Instant>,
    expires_at: Instant,
    closing: Option<(u16, &'static str)>,
}

impl Session {
    pub(super) fn open(now: Instant, setup: Setup, record: Shared, mut rng: StdRng) -> Self {
        let settings = Settings::new(setup.model.clone());
        Self {
            conversation_id: id("conv", &mut rng),
            rng,
            record,
            outbox: Outbox::default(),
            inbox: VecDeque::new(),
            busy: Some((now + setup.opening_takes, Busy::Opening)),
            hearing: Hearing::new(settings.input),
            settings,
            appended_48ths: 0,
            turn_item: None,
            utterances: 0,
            calls_made: Vec::new(),
            conversation: Conversation::default(),
            aside: Conversation::default(),
            responses: Vec::new(),
            tokens_before: (0, 0),
            transcripts: Vec::new(),
            idle_at: None,
            error_at: setup.error.as_ref().map(|(_, after)| now + *after),
            expires_at: now + setup.lifetime,
            closing: None,
            setup,
        }
    }

    /// The next event to send, in order.
    pub(super) fn pop_event(&mut self) -> Option<Event> {
        self.outbox.pop()
    }

    /// The close code and reason, once the session has ended by itself.
    pub(super) fn closing(&self) -> Option<(u16, &'static str)> {
        self.closing
    }

    // ------------------------------------------------------------------------------------------------------- time

    /// When [`Session::advance`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next_timer().map(|(at, _)| at)
    }

    /// Does everything that was due by `now`, each at its own time.
    pub(super) fn advance(&mut self, now: Instant) {
        while let Some((at, timer)) = self.next_timer().filter(|(at, _)| *at <= now) {
            self.fire(at, timer);
        }
    }

    fn next_timer(&self) -> Option<(Instant, Timer)> {
        if self.closing.is_some() {
            return None;
        }
        let responses = self
            .responses
            .iter()
            .enumerate()
            .filter_map(|(i, response)| Some((response.due()?, Timer::Response(i))));
        let transcripts =
            self.transcripts.iter().enumerate().map(|(i, wait)| (wait.at, Timer::Transcript(i)));
        self.busy
            .iter()
            .map(|(at, _)| (*at, Timer::Busy))
            .chain(self.error_at.map(|at| (at, Timer::Error)))
            .chain(responses)
            .chain(transcripts)
            .chain(self.idle_at.map(|at| (at, Timer::Idle)))
            .chain([(self.expires_at, Timer::Expiry)])
            .min_by_key(|(at, _)| *at)
    }

    fn fire(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Busy => self.finish_business(now),
            Timer::Error => self.fail(),
            Timer::Response(i) => self.step_response(now, i),
            Timer::Transcript(i) => self.transcribe(i),
            Timer::Idle => self.prompt_the_idle(now),
            Timer::Expiry => {
                let message = "Your session hit the maximum duration of 60 minutes.";
                self.refuse(&Refused::new("session_expired", message), None);
                self.closing = Some((1001, message));
            }
        }
    }

    fn finish_business(&mut self, now: Instant) {
        match self.busy.take().map(|(_, business)| business) {
            None => {}
            Some(Busy::Opening) => {
                let session = self.settings.to_json(&self.setup.id, self.setup.expires_at_unix_s);
                self.outbox.emit("session.created", json!({"session": session}));
                let conversation = json!({"id": self.conversation_id, "object": "realtime.conversation"});
                self.outbox.emit("conversation.created", json!({"conversation": conversation}));
            }
            Some(Busy::Updating(event)) => {
                if let Err(refused) = self.update(now, &event) {
                    self.refuse(&refused, event_id(&event));
                }
            }
        }
        while self.busy.is_none() && self.closing.is_none() {
            let Some(event) = self.inbox.pop_front() else { break };
            self.handle(now, event);
        }
    }

    /// The scripted fault: a server error has a type and no code.
    fn fail(&mut self) {
        self.error_at = None;
        let Some((code, _)) = self.setup.error.take() else { return };
        let mut refused =
            Refused::new("", "The server had an error while processing your request. Sorry about that!");
        if code == "server_error" {
            (refused.kind, refused.code) = ("server_error", None);
        } else {
            refused.code = Some(code.into());
        }
        self.refuse(&refused, None);
    }

    fn step_response(&mut self, now: Instant, i: usize) {
        let response = &mut self.responses[i];
        let conversation = if response.in_conversation { &mut self.conversation } else { &mut self.aside };
        response.step(now, &mut Desk { outbox: &mut self.outbox, conversation, record: &self.record });
        if response.is_done() {
            self.bury(now, i);
        }
    }

    fn bury(&mut self, now: Instant, i: usize) {
        let response = self.responses.remove(i);
        let idle_ms = self.settings.turn_detection.as_ref().and_then(TurnDetection::idle_timeout_ms);
        self.idle_at = idle_ms
            .filter(|_| response.in_conversation && !self.hearing.is_speaking())
            .map(|idle_ms| now + Duration::from_millis(response.audio_ms() + idle_ms));
    }

    fn transcribe(&mut self, i: usize) {
        let Transcript { item_id, text, .. } = self.transcripts.remove(i);
        let model = self
            .settings
            .transcription
            .as_ref()
            .and_then(|wanted| wanted["model"].as_str())
            .unwrap_or_default();
        let Some(item) = self.conversation.get_mut(&item_id) else { return };
        let (_, audio_tokens) = item.tokens();
        let Content::UserAudio { utterance, transcript } = &mut item.content else { return };
        *transcript = Some(text.clone());
        let usage = if model == "whisper-1" {
            json!({"type": "duration", "seconds": utterance.duration_ms() / 1_000.0})
        } else {
            let written = conversation::text_tokens(&text);
            json!({
                "type": "tokens",
                "total_tokens": audio_tokens + written,
                "input_tokens": audio_tokens,
                "output_tokens": written,
                "input_token_details": {"text_tokens": 0, "audio_tokens": audio_tokens},
            })
        };
        self.outbox.emit(
            "conversation.item.input_audio_transcription.delta",
            json!({"item_id": item_id, "content_index": 0, "delta": text}),
        );
        self.outbox.emit(
            "conversation.item.input_audio_transcription.completed",
            json!({"item_id": item_id, "content_index": 0, "transcript": text, "usage": usage}),
        );
    }

    fn prompt_the_idle(&mut self, now: Instant) {
        self.idle_at = None;
        let end_ms = self.hearing.position_ms();
        let utterance = self.hearing.take_all();
        let item_id = id("item", &mut self.rng);
        let start_ms = end_ms.saturating_sub(utterance.format.ms(utterance.bytes.len()));
        self.outbox.emit(
            "input_audio_buffer.timeout_triggered",
            json!({"item_id": item_id, "audio_start_ms": start_ms, "audio_end_ms": end_ms}),
        );
        self.commit(now, item_id, utterance, false);
        self.respond_by_itself(now);
    }

    // ---------------------------------------------------------------------------------------------------- messages

    /// Takes a text frame of the client's.
    pub(super) fn receive(&mut self, now: Instant, text: &str) {
        self.advance(now);
        let event: Value = serde_json::from_str(text).unwrap_or_default();
        let kind = event["type"].as_str().unwrap_or("(none)");
        let known = CLIENT_EVENTS.into_iter().find(|known| *known == kind);
        self.record.with(|record| {
            if record.client_events.len() < record::CLIENT_EVENTS_KEPT_MAX {
                let kind = known.map_or_else(|| kind.to_owned().into(), Into::into);
                record.client_events.push((now, kind));
            }
            if known == Some("input_audio_buffer.append") && record.updated_at.is_none() {
                if record.appends_before_updated == 0 {
                    record.violations.push("audio before the format was agreed".to_owned());
                }
                record.appends_before_updated += 1;
            }
        });
        if self.busy.is_some() {
            self.inbox.push_back(event);
        } else {
            self.handle(now, event);
        }
    }

    /// Takes a binary frame, which the protocol does not have.
    pub(super) fn receive_binary(&mut self, now: Instant) {
        self.advance(now);
        self.violation("a binary frame");
        self.refuse(&Refused::new("invalid_event", "Binary frames are not supported; send JSON text."), None);
    }

    fn violation(&self, what: impl Into<String>) {
        self.record.with(|record| record.violations.push(what.into()));
    }

    fn refuse(&mut self, refused: &Refused, event_id: Option<&str>) {
        let code = refused.code.as_deref();
        self.record.with(|record| record.errors_sent.push(code.unwrap_or(refused.kind).to_owned()));
        let error = json!({
            "type": refused.kind,
            "code": code,
            "message": refused.message,
            "param": refused.param,
            "event_id": event_id,
        });
        self.outbox.emit("error", json!({"error": error}));
    }

    fn handle(&mut self, now: Instant, event: Value) {
        let Value::Object(event) = event else {
            self.violation("a text frame that is no JSON object");
            self.refuse(
                &Refused::new("invalid_event", "The event could not be parsed as a JSON object."),
                None,
            );
            return;
        };
        if event.get("type").and_then(Value::as_str) == Some("session.update") {
            self.busy = Some((now + UPDATE_TAKES, Busy::Updating(event)));
        } else if let Err(refused) = self.obey(now, &event) {
            self.refuse(&refused, event_id(&event));
        }
    }

    fn obey(&mut self, now: Instant, event: &Map<String, Value>) -> Result<(), Refused> {
        let Some(kind) = event.get("type") else {
            return Err(Refused::new("invalid_event", "The 'type' field is missing."));
        };
        let fields = |own: &[&str]| Fields::of_event(event, &[&["type", "event_id"], own].concat());
        if event_id(event).is_some_and(|id| id.chars().count() > 512) {
            return Err(
                Refused::new("invalid_value", "'event_id' is longer than 512 characters.").about("event_id")
            );
        }
        match kind.as_str().unwrap_or_default() {
            "input_audio_buffer.append" => self.append(now, &fields(&["audio"])?),
            "input_audio_buffer.commit" => fields(&[]).and_then(|_| self.commit_by_hand(now)),
            "input_audio_buffer.clear" => {
                fields(&[])?;
                self.hearing.clear();
                self.outbox.emit("input_audio_buffer.cleared", json!({}));
                Ok(())
            }
            "conversation.item.create" => self.create_item(&fields(&["item", "previous_item_id"])?),
            "conversation.item.retrieve" => {
                let item =
                    self.conversation.retrieve(fields(&["item_id"])?.required("item_id")?.string()?)?;
                self.outbox.emit("conversation.item.retrieved", json!({"item": item}));
                Ok(())
            }
            "conversation.item.truncate" => {
                self.truncate(now, &fields(&["item_id", "content_index", "audio_end_ms"])?)
            }
            "conversation.item.delete" => {
                let item_id = fields(&["item_id"])?.required("item_id")?.string()?;
                self.conversation.delete(item_id)?;
                self.outbox.emit("conversation.item.deleted", json!({"item_id": item_id}));
                Ok(())
            }
            "response.create" => self.create_response(now, &fields(&["response"])?),
            "response.cancel" => self.cancel_response(now, &fields(&["response_id"])?),
            "output_audio_buffer.clear" => {
                let message = "output_audio_buffer.clear is only supported for WebRTC and SIP sessions.";
                Err(Refused::new("invalid_value", message).about("type"))
            }
            "transcription_session.update" => {
                let message = "transcription_session.update is not supported; use session.update.";
                Err(Refused::new("invalid_value", message).about("type"))
            }
            other => {
                let known = CLIENT_EVENTS.map(|kind| format!("'{kind}'")).join(", ");
                let message = format!("Invalid value: '{other}'. Supported values are: {known}.");
                Err(Refused::new("invalid_value", message).about("type"))
            }
        }
    }

    fn update(&mut self, now: Instant, event: &Map<String, Value>) -> Result<(), Refused> {
        let session = Fields::of_event(event, &["type", "event_id", "session"])?.required("session")?;
        let mut settings = self.settings.updated(&session, self.agent_was_heard())?;
        if self.setup.wrong_format {
            (settings.input, settings.voicing.format) = (Format::Pcm, Format::Pcm);
        }
        self.hearing.set_format(settings.input);
        self.settings = settings;
        let session = self.settings.to_json(&self.setup.id, self.setup.expires_at_unix_s);
        self.outbox.emit("session.updated", json!({"session": session}));
        self.record.with(|record| _ = record.updated_at.get_or_insert(now));
        Ok(())
    }

    fn agent_was_heard(&self) -> bool {
        self.record.with(|record| record.responses.iter().any(|response| response.first_audio_at.is_some()))
    }

    // ------------------------------------------------------------------------------------------------ caller audio

    fn append(&mut self, now: Instant, fields: &Fields<'_>) -> Result<(), Refused> {
        let audio = fields.required("audio")?;
        let bytes =
            BASE64_STANDARD.decode(audio.string()?).map_err(|_| audio.refuse(conversation::NOT_BASE64))?;
        if bytes.len() > APPEND_BYTES_MAX {
            return Err(audio.refuse("Audio of more than 15 MiB cannot be appended at once."));
        }
        if bytes.is_empty() {
            self.violation("an append without audio");
        }
        if self.settings.input == Format::Pcm && bytes.len() % 2 == 1 {
            self.violation("an append that ends within a 16-bit sample");
        }
        // 48 bytes of PCM are a millisecond, and 8 of G.711: counted in 48ths, appends of any length add up.
        self.appended_48ths += (bytes.len() * 48 / self.settings.input.bytes_per_ms()) as u64;
        self.record.with(|record| {
            record.appends += 1;
            let kept = record::AUDIO_KEPT_BYTES_MAX.saturating_sub(record.audio.len()).min(bytes.len());
            record.audio.extend_from_slice(&bytes[..kept]);
            record.audio_received_ms = self.appended_48ths / 48;
        });
        self.hearing.append(&bytes);
        while let Some(heard) = self.hearing.listen(self.settings.turn_detection.as_ref()) {
            self.notice(now, heard);
        }
        Ok(())
    }

    fn notice(&mut self, now: Instant, heard: Heard) {
        let detection = self.settings.turn_detection.clone();
        match heard {
            Heard::Started { audio_start_ms } => {
                let item_id = self.turn_item.insert(id("item", &mut self.rng)).clone();
                self.idle_at = None;
                self.outbox.emit(
                    "input_audio_buffer.speech_started",
                    json!({"item_id": item_id, "audio_start_ms": audio_start_ms}),
                );
                if detection.is_some_and(|detection| detection.interrupt_response()) {
                    self.cancel_running(now, "turn_detected");
                }
            }
            Heard::Stopped { audio_start_ms, audio_end_ms } => {
                let item_id = self.turn_item.take().unwrap_or_else(|| id("item", &mut self.rng));
                self.outbox.emit(
                    "input_audio_buffer.speech_stopped",
                    json!({"item_id": item_id, "audio_end_ms": audio_end_ms}),
                );
                self.record.with(|record| {
                    record.turns.push(Turn {
                        item_id: item_id.clone(),
                        speech_start_ms: audio_start_ms,
                        speech_stop_ms: audio_end_ms,
                        at: now,
                    });
                });
                let utterance = self.hearing.take_turn();
                self.commit(now, item_id, utterance, true);
                if detection.is_some_and(|detection| detection.create_response()) {
                    self.respond_by_itself(now);
                }
            }
        }
    }

    fn commit_by_hand(&mut self, now: Instant) -> Result<(), Refused> {
        let buffered_ms = self.hearing.buffered_ms();
        if buffered_ms < COMMIT_MS_MIN {
            let message = format!(
                "Error committing input audio buffer: buffer too small. Expected at least {COMMIT_MS_MIN:.0}ms of \
                 audio, but buffer only has {buffered_ms:.2}ms of audio."
            );
            return Err(Refused::new("input_audio_buffer_commit_empty", message));
        }
        let item_id = self.turn_item.take().unwrap_or_else(|| id("item", &mut self.rng));
        let utterance = self.hearing.take_all();
        self.commit(now, item_id, utterance, true);
        Ok(())
    }

    /// Makes an utterance an item, and has it transcribed if that is wanted and there is something to transcribe.
    fn commit(&mut self, now: Instant, item_id: String, utterance: Utterance, has_speech: bool) {
        let seconds = utterance.duration_ms() / 1_000.0;
        let previous = self.conversation.previous(&item_id).map(str::to_owned);
        self.outbox
            .emit("input_audio_buffer.committed", json!({"previous_item_id": previous, "item_id": item_id}));
        let item =
            Item::new(item_id.clone(), "completed", Content::UserAudio { utterance, transcript: None });
        self.announce(&item, previous.as_deref());
        self.conversation.push(item);
        if !has_speech {
            return;
        }
        let scripted = self.setup.script.caller_lines.get(self.utterances).cloned();
        self.utterances += 1;
        if self.settings.transcription.is_some() {
            // One in four comes late, as happens: often after the response it belongs to.
            let late = if self.rng.random_ratio(1, 4) { 2_000 } else { 0 };
            let at = now + Duration::from_millis(late + self.rng.random_range(120..=600));
            let text = scripted.unwrap_or_else(|| format!("(speech, {seconds:.1} s)"));
            self.transcripts.push(Transcript { at, item_id, text });
        }
    }

    fn announce(&mut self, item: &Item, previous: Option<&str>) {
        let body = json!({"previous_item_id": previous, "item": item.to_json(false)});
        self.outbox.emit("conversation.item.added", body.clone());
        self.outbox.emit("conversation.item.done", body);
    }

    // ------------------------------------------------------------------------------------------------------ items

    fn create_item(&mut self, fields: &Fields<'_>) -> Result<(), Refused> {
        let rng = &mut self.rng;
        let item =
            conversation::read_item(&fields.required("item")?, || id("item", rng), self.settings.input)?;
        self.conversation.insert(item.clone(), fields.some("previous_item_id").as_ref())?;
        let previous = self.conversation.previous(&item.id).map(str::to_owned);
        self.announce(&item, previous.as_deref());
        Ok(())
    }

    fn truncate(&mut self, now: Instant, fields: &Fields<'_>) -> Result<(), Refused> {
        let item_id = fields.required("item_id")?.string()?;
        let content_index = fields.required("content_index")?.integer(0..=u64::MAX)?;
        let audio_end_ms = fields.required("audio_end_ms")?.integer(0..=u64::MAX)?;
        let cut = self.conversation.truncate(item_id, content_index, audio_end_ms)?;
        self.record.with(|record| {
            record.truncations.push(Truncation {
                item_id: item_id.to_owned(),
                audio_end_ms,
                item_ms: cut.item_ms,
                accepted: cut.result.is_ok(),
                at: now,
            });
        });
        cut.result?;
        self.outbox.emit(
            "conversation.item.truncated",
            json!({"item_id": item_id, "content_index": content_index, "audio_end_ms": audio_end_ms}),
        );
        Ok(())
    }

    // -------------------------------------------------------------------------------------------------- responses

    fn running(&self) -> Option<&Response> {
        self.responses.iter().find(|response| response.in_conversation)
    }

    fn create_response(&mut self, now: Instant, fields: &Fields<'_>) -> Result<(), Refused> {
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
    fn respond_by_itself(&mut self, now: Instant) {
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
        };
        self.responses.push(Response::requested(now, request, plan));
    }

    fn plan(&mut self, in_conversation: bool, voicing: &Voicing) -> Plan {
        if let Some((name, arguments)) = self.wanted_call(voicing).filter(|_| in_conversation) {
            return Plan {
                pieces: rendering::called(&arguments),
                content: Content::Call { call_id: id("call", &mut self.rng), name, arguments },
                text: String::new(),
                outcome: self.outcome(false),
            };
        }
        let script = Arc::clone(&self.setup.script);
        let sentence = self.conversation.next_line(&script);
        let text = sentence.text.to_owned();
        if voicing.text_only {
            let content = Content::AgentText { text: String::new() };
            return Plan {
                pieces: rendering::written(sentence),
                content,
                text,
                outcome: self.outcome(false),
            };
        }
        let pace = Pace { speed: self.setup.speed, odd_chunks: self.setup.odd_chunks };
        let ms_max = voicing.tokens_max.map(conversation::agent_audio_ms);
        let (pieces, is_cut) = rendering::spoken(sentence, voicing.format, ms_max, pace, &mut self.rng);
        Plan { pieces, content: response::unsaid(voicing.format), text, outcome: self.outcome(is_cut) }
    }

    fn outcome(&self, is_cut: bool) -> Outcome {
        match (self.setup.rate_limited, is_cut) {
            (true, _) => Outcome::RateLimited,
            (false, true) => Outcome::Incomplete { reason: "max_output_tokens" },
            (false, false) => Outcome::Completed,
        }
    }

    /// A tool the client insists on, or the script calls for at this turn.
    fn wanted_call(&mut self, voicing: &Voicing) -> Option<(String, String)> {
        if let Some(name) = voicing.forced_tool() {
            return Some((name.to_owned(), "{}".to_owned()));
        }
        let script = Arc::clone(&self.setup.script);
        let due = |(i, call): &(usize, &ScriptedCall)| {
            call.turn == self.utterances && voicing.may_call(&call.name) && !self.calls_made.contains(i)
        };
        let (i, call) = script.calls.iter().enumerate().find(due)?;
        self.calls_made.push(i);
        Some((call.name.clone(), call.arguments.clone()))
    }

    fn cancel_response(&mut self, now: Instant, fields: &Fields<'_>) -> Result<(), Refused> {
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

    fn cancel_running(&mut self, now: Instant, reason: &'static str) {
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
}

fn event_id(event: &Map<String, Value>) -> Option<&str> {
    event.get("event_id").and_then(Value::as_str)
}

fn id(kind: &str, rng: &mut StdRng) -> String {
    format!("{kind}_{:016x}", rng.random::<u64>())
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

#[cfg(test)]
mod tests;
