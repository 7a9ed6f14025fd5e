//! One Realtime session as a machine: the client's events and the time go in, the server's events come out.
//!
//! Knows no socket, task or clock. It answers as the real server is documented to, refusals included, in the
//! GA dialect; what happened is written to the session's record.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use rand::{RngExt, rngs::StdRng};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use self::{
    config::{Format, Settings},
    conversation::Conversation,
    hearing::Hearing,
    outbox::{Event, Outbox},
    response::Response,
};
use super::{
    fault::FaultKind,
    fields::{Fields, Refused},
    record::{self, SessionRecord, Shared, Truncation},
    script::Script,
};

mod answers;
mod config;
mod conversation;
mod detector;
mod hearing;
pub(super) mod outbox;
mod rendering;
mod response;
mod turns;

/// An update is in force, and answered, this long after it came; what comes in between waits its turn.
const UPDATE_TAKES: Duration = Duration::from_millis(20);

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
    /// After so much of its audio every response goes silent, unfinished.
    pub(super) hangs_after: Option<Duration>,
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
    record: Shared<SessionRecord>,
    outbox: Outbox,
    inbox: VecDeque<Value>,
    busy: Option<(Instant, Busy)>,
    settings: Settings,
    hearing: Hearing,
    /// Duration of everything appended, in 48ths of a millisecond.
    appended_48ths: u64,
    /// The item the utterance in progress will become.
    turn_item: Option<String>,
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
    pub(super) fn open(now: Instant, setup: Setup, record: Shared<SessionRecord>, mut rng: StdRng) -> Self {
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

    /// Begins to suffer from a fault; those that are none of a session's leave it alone. Times count from now.
    pub(super) fn suffer(&mut self, now: Instant, fault: &FaultKind) {
        match fault {
            FaultKind::RateLimit => self.setup.rate_limited = true,
            FaultKind::WrongFormat => self.setup.wrong_format = true,
            FaultKind::OddChunks => self.setup.odd_chunks = true,
            FaultKind::ExpireAfter(lifetime) => self.expires_at = now + *lifetime,
            FaultKind::HangAfter(audio) => {
                self.setup.hangs_after = Some(*audio);
                self.responses.iter_mut().for_each(|response| response.hang_after(*audio));
            }
            FaultKind::Error { code, after } => {
                self.setup.error = Some((code.clone(), *after));
                self.error_at = Some(now + *after);
            }
            _ => {}
        }
    }

    // -------------------------------------------------------------------------------------------------- time

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

    // ---------------------------------------------------------------------------------------------- messages

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
        if settings.turn_detection.is_none() {
            self.hearing.forget_turn();
        }
        self.settings = settings;
        let session = self.settings.to_json(&self.setup.id, self.setup.expires_at_unix_s);
        self.outbox.emit("session.updated", json!({"session": session}));
        self.record.with(|record| _ = record.updated_at.get_or_insert(now));
        Ok(())
    }

    fn agent_was_heard(&self) -> bool {
        self.record.with(|record| record.responses.iter().any(|response| response.first_audio_at.is_some()))
    }

    // ------------------------------------------------------------------------------------------------- items

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
}

fn event_id(event: &Map<String, Value>) -> Option<&str> {
    event.get("event_id").and_then(Value::as_str)
}

fn id(kind: &str, rng: &mut StdRng) -> String {
    format!("{kind}_{:016x}", rng.random::<u64>())
}

#[cfg(test)]
mod tests;
