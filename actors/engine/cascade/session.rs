//! A cascade session as a pure state machine: sounds, words, thoughts and commands in, effects out.
//!
//! It refuses to know models, actors and samples, and has no clock: `now` is an argument. What it knows is the
//! conversation: whose turn it is, what has been said and heard, and what is owed.
//!
//! The caller's turn is open until the agent is heard answering it. So a pause in mid-sentence does no harm: what
//! follows belongs to the same turn, and an answer that nobody has heard is given up for a better one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tandem_media::playout::{Heard, Part};
use tokio::time::Instant;

use super::answer::{Answer, Ask, PER_MS, Spoken, append, want};
use super::ears::Sound;
use crate::agent::Agent;
use crate::engine::Begin;
use crate::ledger::{Ledger, Share, Speaker};
use crate::messages::{EngineFact, EngineFailure, FailureKind, Generation, Tag};
use crate::ports::{ChatPiece, ChatRequest, ChatTurn, ModelError};
use crate::usage::{Amount, Used, Work};

/// Sentences asked for while one is being spoken, so that none has to be waited for.
const LOOK_AHEAD: usize = 2;

/// No further sentence is asked for while so much waits to be heard: the caller may cut in, and then it was paid for in
/// vain. More than twice what the next one may take to begin ([`super::errands::SPEECH_MAX`]).
const LEAD_MAX: Duration = Duration::from_secs(8);

/// What is sent to the carrier comes back as echo so much later: its buffer, and the way there and back.
const ECHO_LINGERS: Duration = Duration::from_millis(300);

/// How long the call may take to say what was heard. It takes microseconds, unless the leg has just been lost; then the
/// caller's next words will tell.
const SETTLING_MAX: Duration = Duration::from_secs(1);

/// Unheard audio below this is no truncation: half a frame, the grain of our knowledge.
const UNHEARD_MS_MIN: u64 = 10;

/// What the actor is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Tell(EngineFact),
    /// Have an utterance written down (mu-law at 8 kHz).
    WriteDown(Bytes),
    /// Have an answer thought of.
    Think(ChatRequest),
    /// The model has said enough.
    StopThinking,
    /// Have a sentence spoken behind those that are.
    Speak(String),
    /// Have the sentence spoken that failed, in the place it had.
    SpeakAgain(String),
    /// Drop whatever models still make of an answer.
    Hush,
    /// The part's audio is complete: put its end into the lane.
    EndOfPart(Tag),
    /// Ask [`Session::proceed`] again then.
    WakeAt(Instant),
}

/// Why a model did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    Model(ModelError),
    /// Nothing came in time.
    Late,
}

pub struct Session {
    agent: Arc<Agent>,
    /// The conversation as the call's own ledger has it, for both are told the same; what a model is told is read from
    /// here. Only when a turn began is not known.
    ledger: Ledger,
    generation: Generation,
    next_part: Part,
    /// Parts before this one were settled by an earlier interruption.
    first_open: Part,
    /// The caller cut in, and the call has not said yet what was heard before. No model is asked meanwhile: it would
    /// be told the wrong thing.
    unsettled: bool,
    settled_by: Option<Instant>,
    /// The part that was cut off in the making.
    cut_short: Option<Part>,
    caller_speaking: bool,
    turn: Option<CallerTurn>,
    /// Utterances that wait to be written down, joined. One is a minute at most and waits for another for two times
    /// 4 s at most, while a burst of 20 s may come: 90 s, i.e. 720 KB, if it ever came to that.
    unwritten: Vec<u8>,
    writing: Option<Writing>,
    wanted: Option<Ask>,
    answer: Option<Answer>,
    /// The last part that was begun, and what it answered: should nothing of it be heard, that is owed again.
    last: Option<(Part, Ask)>,
    /// Until when the caller hears the agent, as far as the engine can tell.
    sounds_until: Option<Instant>,
    over: bool,
    /// Errors that were answered by a second try.
    pub benign_errors: u64,
}

/// The caller's turn that has not been heard answered.
#[derive(Debug)]
struct CallerTurn {
    item: String,
    words: String,
}

/// An utterance at the transcriber; kept for a second try.
#[derive(Debug)]
struct Writing {
    utterance: Bytes,
    retried: bool,
}

impl Session {
    pub fn new(begin: Begin) -> Self {
        let wanted = begin.opening.instructions(&begin.agent).map(Ask::Opening);
        Self {
            agent: begin.agent,
            ledger: begin.ledger,
            generation: begin.generation,
            next_part: begin.first_part,
            first_open: begin.first_part,
            unsettled: false,
            settled_by: None,
            cut_short: None,
            caller_speaking: false,
            turn: None,
            unwritten: Vec::new(),
            writing: None,
            wanted,
            answer: None,
            last: None,
            sounds_until: None,
            over: false,
            benign_errors: 0,
        }
    }

    /// Nothing need be dialled, so the session is ready at once.
    pub fn open(&mut self, effects: &mut Vec<Effect>) {
        effects.push(Effect::Tell(EngineFact::Ready { session: "cascade".to_owned() }));
    }

    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Nothing that comes from now on is acted on. What was being said is told as far as it came.
    pub fn finish(&mut self, effects: &mut Vec<Effect>) {
        if !std::mem::replace(&mut self.over, true) {
            self.tell_unfinished(effects);
        }
    }

    /// Whether the caller hears the agent, or its echo.
    pub fn sounds(&self, now: Instant) -> bool {
        self.sounds_until.is_some_and(|until| now < until + ECHO_LINGERS)
    }

    // ------------------------------------------------------------ the caller

    pub fn heard(&mut self, sound: Sound, effects: &mut Vec<Effect>) {
        if self.over {
            return;
        }
        match sound {
            Sound::Began => self.caller_spoke(effects),
            Sound::Ended(utterance) => self.caller_fell_silent(&utterance, effects),
        }
    }

    fn caller_spoke(&mut self, effects: &mut Vec<Effect>) {
        self.caller_speaking = true;
        self.generation.0 += 1;
        self.unsettled = self.next_part > self.first_open;
        self.sounds_until = None;
        let item = format!("caller-{}", self.generation.0);
        let turn = self.turn.get_or_insert(CallerTurn { item, words: String::new() });
        let item = turn.item.clone();
        self.ledger.caller_began(&item, 0);
        effects.push(Effect::Tell(EngineFact::CallerSpeaking { generation: self.generation, item }));
        self.give_up(effects);
    }

    fn caller_fell_silent(&mut self, utterance: &[u8], effects: &mut Vec<Effect>) {
        self.caller_speaking = false;
        self.unwritten.extend_from_slice(utterance);
        if let Some(turn) = &self.turn {
            effects.push(Effect::Tell(EngineFact::CallerSilent { item: turn.item.clone() }));
        }
    }

    /// The call knows what was heard: the history says the same from now on.
    pub fn interrupted(&mut self, heard: Option<Heard>, effects: &mut Vec<Effect>) {
        if self.over || !std::mem::take(&mut self.unsettled) {
            return;
        }
        self.ledger.cut(self.first_open..=Part(self.next_part.0.saturating_sub(1)), heard);
        for turn in self.ledger.turns() {
            let Some(part) = turn.part.map(Part).filter(|part| *part >= self.first_open) else { continue };
            let Share::Until { ms } = turn.heard else { continue };
            let heard_ms = ms.min(turn.audio_ms);
            if self.cut_short == Some(part) || turn.audio_ms - heard_ms >= UNHEARD_MS_MIN {
                effects.push(Effect::Tell(EngineFact::Truncated { part, audio_end_ms: heard_ms }));
            }
            if turn.heard_text().is_empty()
                && let Some((_, ask)) = self.last.take_if(|(last, _)| *last == part)
            {
                want(&mut self.wanted, ask);
            }
        }
        self.first_open = self.next_part;
        self.last = None;
    }

    /// Without an answer of the call, all counts as heard.
    fn settle(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let by = self.settled_by.take().unwrap_or(now + SETTLING_MAX);
        if self.unsettled && now < by {
            self.settled_by = Some(by);
            effects.push(Effect::WakeAt(by));
        } else if self.unsettled {
            self.unsettled = false;
            self.first_open = self.next_part;
        }
    }

    /// Has one utterance at a time written down; what came meanwhile goes together.
    fn write_down(&mut self, effects: &mut Vec<Effect>) {
        if self.writing.is_none() && !self.unwritten.is_empty() {
            let utterance = Bytes::from(std::mem::take(&mut self.unwritten));
            effects.push(Effect::WriteDown(utterance.clone()));
            self.writing = Some(Writing { utterance, retried: false });
        }
    }

    /// The words of the utterance that was to be written down. None at all: it was no speech.
    pub fn written_down(&mut self, words: Result<String, Trouble>, effects: &mut Vec<Effect>) {
        let Some(writing) = self.writing.as_mut().filter(|_| !self.over) else { return };
        match words {
            Ok(words) => {
                let ms = writing.utterance.len() as u64 / PER_MS;
                let amount = Amount::Audio(Duration::from_millis(ms));
                effects.push(Effect::Tell(EngineFact::Used(Used { work: Work::Hearing, amount })));
                self.writing = None;
                self.understood(words.trim(), effects);
            }
            Err(Trouble::Model(error)) if error.retry() && !writing.retried => {
                writing.retried = true;
                self.benign_errors += 1;
                effects.push(Effect::WriteDown(writing.utterance.clone()));
            }
            Err(trouble) => self.fail("transcription", &trouble, false, effects),
        }
    }

    fn understood(&mut self, words: &str, effects: &mut Vec<Effect>) {
        let Some(turn) = self.turn.as_mut().filter(|_| !words.is_empty()) else { return };
        append(&mut turn.words, words);
        self.ledger.said(Speaker::Caller, &turn.item, &turn.words, 0);
        said(Speaker::Caller, turn.item.clone(), turn.words.clone(), effects);
        want(&mut self.wanted, Ask::Answer);
    }

    // ------------------------------------------------------------ the agent's thoughts

    /// Has the agent say something as soon as it can.
    pub fn prompt(&mut self, instructions: String) {
        want(&mut self.wanted, Ask::Prompt(instructions));
    }

    /// Begins what can be begun. To be asked after everything that happened, once for all that happened together.
    pub fn proceed(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.over {
            return;
        }
        self.settle(now, effects);
        self.write_down(effects);
        self.speak(now, effects);
        let busy = self.over || self.answer.is_some();
        let listening = self.caller_speaking || self.writing.is_some() || self.unsettled;
        if !busy
            && !listening
            && let Some(ask) = self.wanted.take()
        {
            effects.push(Effect::Think(self.request(&ask)));
            self.answer = Some(Answer::to(ask));
        }
    }

    /// What a model is told: the conversation as it was heard.
    fn request(&self, ask: &Ask) -> ChatRequest {
        let mut turns: Vec<ChatTurn> = Vec::new();
        for turn in self.ledger.turns() {
            let (who, text) = (turn.who, turn.heard_text());
            match turns.last_mut().filter(|last| last.who == who) {
                _ if text.is_empty() => {}
                Some(last) => append(&mut last.text, text),
                None => turns.push(ChatTurn { who, text: text.to_owned() }),
            }
        }
        let instructions = match ask {
            Ask::Answer => self.agent.instructions.clone(),
            Ask::Opening(instructions) | Ask::Prompt(instructions) => instructions.clone(),
        };
        ChatRequest { instructions, turns, output_tokens_max: self.agent.output_tokens_max }
    }

    /// The next piece of the answer that is being thought of.
    pub fn thought(&mut self, piece: Result<ChatPiece, Trouble>, effects: &mut Vec<Effect>) {
        let Some(answer) = self.answer.as_mut().filter(|answer| !answer.thought && !self.over) else {
            return;
        };
        match piece {
            Ok(ChatPiece::Text(words)) if words.is_empty() => {}
            Ok(ChatPiece::Text(words)) => {
                if !std::mem::replace(&mut answer.began, true) {
                    effects.push(Effect::Tell(EngineFact::ResponseBegan));
                }
                if !answer.take(&words) {
                    tracing::warn!("the model goes on and on: its answer ends with the last whole sentence");
                    effects.push(Effect::StopThinking);
                }
            }
            Ok(ChatPiece::Done { usage, .. }) => {
                answer.thought_out();
                if let Some(usage) = usage {
                    effects.push(Effect::Tell(EngineFact::Used(Used::tokens(usage.into()))));
                }
            }
            Err(Trouble::Model(error)) if error.retry() && !answer.is_used() && !answer.retried => {
                self.think_again(effects);
            }
            Err(trouble) => {
                let retry = answer.is_used();
                self.fail("chat", &trouble, retry, effects);
            }
        }
    }

    fn think_again(&mut self, effects: &mut Vec<Effect>) {
        let Some(answer) = self.answer.take() else { return };
        self.benign_errors += 1;
        effects.push(Effect::Think(self.request(&answer.ask)));
        let mut again = Answer::to(answer.ask);
        again.retried = true;
        self.answer = Some(again);
    }

    // ------------------------------------------------------------ the agent's words

    /// Hands sentences to the voice, and ends the answer when the last is spoken.
    fn speak(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Some(answer) = &mut self.answer else { return };
        while answer.spoken.len() <= LOOK_AHEAD {
            let Some(text) = answer.next() else { break };
            if let Some(until) = self.sounds_until.filter(|until| *until > now + LEAD_MAX) {
                answer.hold(text);
                effects.push(Effect::WakeAt(until - LEAD_MAX));
                break;
            }
            effects.push(Effect::Speak(text.clone()));
            answer.spoken.push_back(Spoken { text, began: false, retried: false });
        }
        if answer.is_complete() {
            self.complete(effects);
        }
    }

    fn complete(&mut self, effects: &mut Vec<Effect>) {
        match &self.answer {
            Some(Answer { part: Some(part), .. }) => {
                effects.push(Effect::EndOfPart(Tag { generation: self.generation, part: *part }));
                self.close(effects);
            }
            Some(Answer { retried: false, .. }) => self.think_again(effects),
            Some(_) => {
                let nothing = Trouble::Model(ModelError::Broken("answered with nothing, twice".to_owned()));
                self.fail("chat", &nothing, false, effects);
            }
            None => {}
        }
    }

    /// Where the audio that came belongs; nothing when nobody waits for it.
    pub fn place(&mut self, effects: &mut Vec<Effect>) -> Option<Tag> {
        let answer = self.answer.as_mut().filter(|_| !self.over)?;
        answer.spoken.front_mut()?.began = true;
        let part = *answer.part.get_or_insert_with(|| {
            let part = self.next_part;
            self.next_part.0 += 1;
            let item = item_of(part);
            self.ledger.agent_began(&item, part, 0);
            self.turn = None; // the answer is heard from now on
            self.last = Some((part, answer.ask.clone()));
            let prompted = matches!(answer.ask, Ask::Prompt(_));
            effects.push(Effect::Tell(EngineFact::AgentBegan { part, item, prompted }));
            part
        });
        Some(Tag { generation: self.generation, part })
    }

    /// So many samples of it, at 8 kHz, went into the lane.
    pub fn took(&mut self, samples: u64, now: Instant) {
        if let Some(answer) = &mut self.answer {
            answer.samples += samples;
            let from = self.sounds_until.map_or(now, |until| until.max(now));
            self.sounds_until = Some(from + Duration::from_micros(samples * 1_000 / PER_MS));
        }
    }

    /// Whether the sentence that ends now has made any sound.
    pub fn sentence_began(&self) -> bool {
        self.answer.as_ref().and_then(|answer| answer.spoken.front()).is_some_and(|spoken| spoken.began)
    }

    /// The voice is through with a sentence. One without a sound was not spoken.
    pub fn sentence_ended(&mut self, effects: &mut Vec<Effect>) {
        if !self.sentence_began() {
            let silent = Trouble::Model(ModelError::Broken("no audio".to_owned()));
            return self.voice_failed(&silent, effects);
        }
        if let Some(answer) = &mut self.answer {
            answer.sentence_ended();
        }
    }

    /// The voice failed in the sentence whose audio was coming.
    pub fn voice_failed(&mut self, trouble: &Trouble, effects: &mut Vec<Effect>) {
        let answer = self.answer.as_mut().filter(|_| !self.over);
        let Some(spoken) = answer.and_then(|answer| answer.spoken.front_mut()) else { return };
        match trouble {
            Trouble::Model(error) if error.retry() && !spoken.began && !spoken.retried => {
                spoken.retried = true;
                self.benign_errors += 1;
                effects.push(Effect::SpeakAgain(spoken.text.clone()));
            }
            trouble => {
                let retry = spoken.began;
                self.fail("speech", trouble, retry, effects);
            }
        }
    }

    /// The lane is full: the answer ends here, aloud, instead of losing words in its middle.
    pub fn overflowed(&mut self, effects: &mut Vec<Effect>) {
        if let Some(Answer { part: Some(part), samples, .. }) = &self.answer {
            let (part, audio_end_ms) = (*part, samples / PER_MS);
            effects.push(Effect::Hush); // what follows the gap is not played
            effects.push(Effect::EndOfPart(Tag { generation: self.generation, part }));
            self.close(effects);
            effects.push(Effect::Tell(EngineFact::Truncated { part, audio_end_ms }));
        }
    }

    /// Stops an answer that the caller cuts into. What was not heard at all is still owed.
    fn give_up(&mut self, effects: &mut Vec<Effect>) {
        let Some(answer) = &self.answer else { return };
        effects.push(Effect::Hush);
        if answer.part.is_some() {
            self.cut_short = answer.part;
            self.close(effects);
        } else if let Some(answer) = self.answer.take() {
            want(&mut self.wanted, answer.ask);
        }
    }

    /// The answer has all the audio that it will have.
    fn close(&mut self, effects: &mut Vec<Effect>) {
        let Some(answer) = self.answer.take() else { return };
        let Some(part) = answer.part else { return };
        let (item, text) = (item_of(part), answer.text());
        let audio_ms = answer.samples / PER_MS;
        self.ledger.said(Speaker::Agent, &item, &text, 0);
        self.ledger.agent_ended(part, audio_ms);
        effects.push(Effect::Tell(EngineFact::AgentEnded { part, audio_ms }));
        said(Speaker::Agent, item, text, effects);
    }

    /// An answer that is left incomplete: its rest is owed by a successor, if there is one.
    fn tell_unfinished(&mut self, effects: &mut Vec<Effect>) {
        let Some(answer) = self.answer.take() else { return };
        if let Some(part) = answer.part {
            said(Speaker::Agent, item_of(part), answer.text(), effects);
            let audio_ms = answer.samples / PER_MS;
            effects.push(Effect::Tell(EngineFact::AgentBroke { part, audio_ms }));
        }
    }

    // ------------------------------------------------------------ failing

    /// The call waits no longer.
    pub fn give_up_waiting(&mut self, detail: &str, effects: &mut Vec<Effect>) {
        if !self.over {
            self.finish(effects);
            let (kind, detail) = (FailureKind::Stalled, detail.to_owned());
            effects.push(Effect::Tell(EngineFact::Failed(EngineFailure { kind, retry: true, detail })));
        }
    }

    /// Fails the session, once. `fresh` says that the step had worked until now. Otherwise a second try has failed too,
    /// or is not worth it: then neither is another engine of this kind.
    fn fail(&mut self, step: &str, trouble: &Trouble, fresh: bool, effects: &mut Vec<Effect>) {
        self.finish(effects);
        let (kind, retry, detail) = match trouble {
            Trouble::Late => (FailureKind::Stalled, false, format!("{step}: nothing came in time")),
            Trouble::Model(error) => (kind_of(error), fresh && error.retry(), format!("{step}: {error}")),
        };
        effects.push(Effect::Tell(EngineFact::Failed(EngineFailure { kind, retry, detail })));
    }
}

/// Parts are numbered for the call, so this is no other turn's name.
fn item_of(part: Part) -> String {
    format!("agent-{}", part.0)
}

fn said(who: Speaker, item: String, text: String, effects: &mut Vec<Effect>) {
    if !text.is_empty() {
        effects.push(Effect::Tell(EngineFact::Said { who, item, text }));
    }
}

fn kind_of(error: &ModelError) -> FailureKind {
    match error {
        ModelError::Unreachable(_) => FailureKind::Dial,
        ModelError::Unauthorized(_) => FailureKind::Unauthorized,
        ModelError::RateLimited => FailureKind::RateLimited,
        ModelError::Broken(_) => FailureKind::SocketLost,
        ModelError::Status { .. } => FailureKind::Provider,
        ModelError::Reported { code, .. } => match code.as_str() {
            "invalid_api_key" => FailureKind::Unauthorized,
            "rate_limit_exceeded" | "insufficient_quota" => FailureKind::RateLimited,
            _ => FailureKind::Provider,
        },
    }
}

#[cfg(test)]
mod tests;
