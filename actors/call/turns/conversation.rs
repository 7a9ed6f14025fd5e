//! The conversation of a traditional call as a pure state machine: which question is answered how, what a failure of
//! the engine means, and what the ledger says of it all. It can be written down after any turn, and gone on with by
//! whoever reads it.
//!
//! It refuses to know actors, clocks and models: it is told the time, in milliseconds since the call began, and says
//! when there is something to think about.
//!
//! Of words that the carrier speaks nobody tells us how much was heard. They count as heard, whole, as soon as the
//! carrier asks the next question. When that comes sooner than the words can be spoken, the caller has cut in, and the
//! call's timeline notes it; how many words are lost then remains unknown.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::exchange::{Answer, Question, Utterance};
use super::settings::TurnSettings;
use crate::call::decide::EndReason;
use crate::call::timeline::What;
use crate::engine::turn::session::Why;
use crate::fallback::ladder::Rung;
use crate::ledger::{Ledger, Share, Speaker};
use crate::mode::Mode;
use crate::ports::CallId;

/// How often in one thought the caller is asked for a moment's patience. With 8 s each, and the filler's own 2 s, an
/// answer may take half a minute; who waits longer has hung up.
const COLLECTS_MAX: u32 = 2;

/// Engines replaced in one call: the supervision table's intensity for this engine.
const RETRIES_MAX: u32 = 2;

/// Questions that can be answered again. The carrier asks one after the other and repeats only the last; four cover
/// repeats that come late.
const RECENT_MAX: usize = 4;

/// A question without a token is taken for a repeat when the same one came so shortly before. Proxies repeat at once;
/// nobody says the same thing twice in 5 s and hears an answer in between.
const REPEAT_WITHIN_MS: u64 = 5_000;

/// Speech at its fastest, 200 words a minute at 6 characters each: words cannot be spoken in less.
const MS_PER_CHARACTER_MIN: u64 = 50;

/// What a caller can say in one turn. The carrier listens for 60 s, i.e. 1,200 characters at that pace; twice that.
const SPEECH_CHARS_MAX: usize = 2_400;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    pub id: CallId,
    pub started_at: jiff::Timestamp,
    ledger: Ledger,
    stage: Stage,
    /// Utterances of the agent's so far, by which the ledger and the timeline name them.
    parts: u32,
    /// Silences in a row.
    silences: u32,
    retries: u32,
    collects: u32,
    /// What the carrier was last given to say in the agent's name.
    speaking_opt: Option<Speaking>,
    recent: VecDeque<Exchange>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Stage {
    /// Nobody has asked yet. The ledger may already hold what was said in another mode.
    Opening,
    Listening,
    Thinking(Thought),
    /// The answer is there, and the carrier is on its way to collect it.
    Answered(Utterance),
    /// There will be no answer in this mode.
    Failed {
        why: String,
        next: Rung,
    },
    Left,
}

/// An answer that the engine is to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Thought {
    item: String,
    go_on: bool,
    retried: bool,
    collects: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Speaking {
    item: String,
    part: u32,
    since_ms: u64,
    lasts_ms_min: u64,
}

/// A question, and the answer as soon as it is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Exchange {
    question: Question,
    token_opt: Option<String>,
    at_ms: u64,
    answer_opt: Option<Answer>,
}

/// What the call is up to beside the caller's turns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outlook {
    Stay,
    /// This media mode works again, and the agent wants to go back up.
    GoUp(Mode),
    Leave(EndReason),
}

/// What is to be done about a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    Answer(Answer),
    /// Have the engine make the answer, and wait for it.
    Think,
    /// Give this last answer: the call is over.
    Leave(Answer, EndReason),
}

/// What became of a question when it was asked before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repeated {
    Answered(Answer),
    /// It is being answered.
    Pending,
}

/// What a failure of the engine means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Have another engine answer.
    Retry,
    GiveUp,
    /// No answer was wanted of it.
    Never,
}

impl Conversation {
    pub fn new(id: CallId, started_at: jiff::Timestamp) -> Self {
        Self::from_ledger(id, started_at, Ledger::default())
    }

    /// A conversation that began in another mode.
    pub fn from_ledger(id: CallId, started_at: jiff::Timestamp, ledger: Ledger) -> Self {
        Self {
            id,
            started_at,
            ledger,
            stage: Stage::Opening,
            parts: 0,
            silences: 0,
            retries: 0,
            collects: 0,
            speaking_opt: None,
            recent: VecDeque::new(),
        }
    }

    /// Another actor goes on with the conversation, perhaps on another node. What the last one was about to answer,
    /// nobody is; a thought is thought again. Clips lie where they were made, so what is repeated is said in words.
    pub fn taken_over(&mut self) {
        if self.thinking().is_none() {
            self.recent.retain(|exchange| exchange.answer_opt.is_some());
        }
        if let Stage::Answered(say) = &mut self.stage {
            say.clip_opt = None;
        }
        let answers = self.recent.iter_mut().filter_map(|exchange| exchange.answer_opt.as_mut());
        for say in answers.filter_map(Answer::utterance_mut) {
            say.clip_opt = None;
        }
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The utterance that the timeline names last.
    pub fn part(&self) -> u32 {
        self.parts
    }

    /// The answer that is wanted of the engine, and why.
    pub fn thinking(&self) -> Option<(&str, Why)> {
        let Stage::Thinking(thought) = &self.stage else { return None };
        Some((&thought.item, if thought.go_on { Why::GoOn } else { Why::CallerSpoke }))
    }

    // ------------------------------------------------------------ questions

    /// Whether the question was asked before: then it takes no turn.
    pub fn repeated(&self, question: &Question, token_opt: Option<&str>, at_ms: u64) -> Option<Repeated> {
        // A call that is beginning begins once, whichever of its webhooks the carrier repeats meanwhile.
        let is_beginning = |exchange: &&Exchange| {
            exchange.question == Question::Began
                && *question == Question::Began
                && exchange.answer_opt.is_none()
        };
        let same = self.recent.iter().find(|exchange| exchange.is(question, token_opt, at_ms));
        let exchange = same.or_else(|| self.recent.back().filter(is_beginning))?;
        Some(exchange.answer_opt.clone().map_or(Repeated::Pending, Repeated::Answered))
    }

    /// A question that was not asked before.
    pub fn asked(
        &mut self,
        question: Question,
        token_opt: Option<String>,
        at_ms: u64,
        settings: &TurnSettings,
        outlook: Outlook,
        events: &mut Vec<What>,
    ) -> Move {
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        let words_opt = words(&question);
        let began = question == Question::Began;
        let collects = matches!(question, Question::Collect { .. });
        self.recent.push_back(Exchange { question, token_opt, at_ms, answer_opt: None });
        if self.stage == Stage::Left {
            return Move::Leave(Answer::HangUp { say: Utterance::default() }, EndReason::CallerHungUp);
        }
        self.heard(words_opt.is_some(), at_ms, events);
        if let Some(words) = &words_opt {
            self.silences = 0;
            let item = self.item(at_ms);
            self.ledger.said(Speaker::Caller, &item, words, at_ms);
            events.push(What::CallerSilent);
        }
        match (outlook, &self.stage) {
            (Outlook::Leave(reason), _) => return self.leave(&settings.goodbye, reason, at_ms, events),
            (Outlook::GoUp(mode), Stage::Listening | Stage::Thinking(_) | Stage::Failed { .. }) if !began => {
                self.stage = Stage::Opening; // should the other mode not be reached, we begin again with what it owes
                return Move::Leave(Answer::Connect, EndReason::HandedOver(Rung::Mode(mode)));
            }
            _ => {}
        }
        if words_opt.is_some() {
            return self.think(false, at_ms);
        }
        match &self.stage {
            Stage::Opening => self.open(settings, at_ms),
            Stage::Listening if began => self.listen("", at_ms),
            // Nobody owes an answer: what was lost, the caller will say again.
            Stage::Listening if collects => self.listen(&settings.reprompt, at_ms),
            Stage::Listening => self.silence(settings, at_ms, events),
            Stage::Thinking(_) | Stage::Answered(_) | Stage::Failed { .. } | Stage::Left => {
                self.deliver(settings, at_ms).unwrap_or(Move::Think)
            }
        }
    }

    /// The answer that has been thought, or what is left when there is none. Nothing while it is still thought about.
    pub fn deliver(&mut self, settings: &TurnSettings, at_ms: u64) -> Option<Move> {
        match std::mem::replace(&mut self.stage, Stage::Listening) {
            Stage::Answered(say) => {
                self.speak(&say.words, at_ms);
                Some(Move::Answer(Answer::Listen { say }))
            }
            Stage::Failed { why, next } => {
                self.stage = Stage::Left;
                let human = settings.human_number_opt.as_ref().filter(|_| next == Rung::Human);
                Some(match (next, human) {
                    (Rung::Mode(_), _) => Move::Leave(Answer::Connect, EndReason::HandedOver(next)),
                    (_, Some(number)) => {
                        let say = Utterance::of(&settings.handing_over);
                        let number = number.clone();
                        Move::Leave(Answer::Dial { say, number }, EndReason::HandedOver(next))
                    }
                    (_, None) => {
                        let sorry = Answer::HangUp { say: Utterance::of(&settings.sorry) };
                        Move::Leave(sorry, EndReason::EngineLost(why))
                    }
                })
            }
            stage => {
                self.stage = stage;
                None
            }
        }
    }

    /// An answer was given: whoever asks the same again gets the same.
    pub fn given(&mut self, answer: &Answer) {
        for exchange in self.recent.iter_mut().filter(|exchange| exchange.answer_opt.is_none()) {
            exchange.answer_opt = Some(answer.clone());
        }
    }

    /// Says goodbye, whatever was going on.
    pub fn leave(&mut self, words: &str, reason: EndReason, at_ms: u64, events: &mut Vec<What>) -> Move {
        self.stage = Stage::Left;
        self.speak(words, at_ms);
        events.push(What::FarewellBegan { reason: reason.name() });
        Move::Leave(Answer::HangUp { say: Utterance::of(words) }, reason)
    }

    // ------------------------------------------------------------ the engine

    /// The engine has made an answer.
    pub fn thought(&mut self, item: &str, say: Utterance) {
        if self.thinking().is_some_and(|(wanted, _)| wanted == item) {
            self.stage = Stage::Answered(say);
        }
    }

    /// The carrier cannot be kept waiting any longer. Nothing when the caller cannot either: then the engine has failed.
    pub fn late(&mut self, filler: &Utterance) -> Option<Move> {
        let Stage::Thinking(thought) = &mut self.stage else { return None };
        if thought.collects == COLLECTS_MAX {
            return None;
        }
        thought.collects += 1;
        Some(self.collect(filler.clone()))
    }

    /// The engine has failed, or died; `retry` when another attempt is worth its time, and `next` what comes when none is.
    pub fn failed(&mut self, why: &str, retry: bool, next: Rung) -> Verdict {
        let Stage::Thinking(thought) = &mut self.stage else { return Verdict::Never };
        if retry && !thought.retried && self.retries < RETRIES_MAX {
            thought.retried = true;
            thought.collects = 0;
            self.retries += 1;
            return Verdict::Retry;
        }
        self.stage = Stage::Failed { why: why.to_owned(), next };
        Verdict::GiveUp
    }

    /// Has the caller wait for the second attempt.
    pub fn apologise(&mut self, settings: &TurnSettings) -> Move {
        self.collect(Utterance::of(&settings.apology))
    }

    // ------------------------------------------------------------ small things

    /// A new call is opened with the greeting; a conversation that another engine began is gone on with.
    fn open(&mut self, settings: &TurnSettings, at_ms: u64) -> Move {
        match self.ledger.last() {
            None => self.listen(&settings.greeting, at_ms),
            Some(turn) if turn.who == Speaker::Agent && turn.complete && turn.heard == Share::All => {
                self.listen("", at_ms)
            }
            // What he said was lost with the engine that heard it.
            Some(turn) if turn.who == Speaker::Caller && turn.text.is_empty() => {
                self.listen(&settings.pardon, at_ms)
            }
            Some(_) => self.think(true, at_ms),
        }
    }

    fn silence(&mut self, settings: &TurnSettings, at_ms: u64, events: &mut Vec<What>) -> Move {
        self.silences += 1;
        if self.silences > settings.reprompts_max {
            return self.leave(&settings.goodbye, EndReason::CallerIdle, at_ms, events);
        }
        self.listen(&settings.reprompt, at_ms)
    }

    fn think(&mut self, go_on: bool, at_ms: u64) -> Move {
        self.parts += 1;
        let item = self.item(at_ms);
        self.stage = Stage::Thinking(Thought { item, go_on, retried: false, collects: 0 });
        Move::Think
    }

    fn listen(&mut self, words: &str, at_ms: u64) -> Move {
        self.stage = Stage::Listening;
        if !words.is_empty() {
            self.parts += 1;
        }
        self.speak(words, at_ms);
        Move::Answer(Answer::Listen { say: Utterance::of(words) })
    }

    fn collect(&mut self, say: Utterance) -> Move {
        self.collects += 1;
        Move::Answer(Answer::Collect { say, number: self.collects })
    }

    fn speak(&mut self, words: &str, at_ms: u64) {
        if words.is_empty() {
            return;
        }
        let item = self.item(at_ms);
        self.ledger.agent_text(&item, words, at_ms);
        let lasts_ms_min = words.chars().count() as u64 * MS_PER_CHARACTER_MIN;
        self.speaking_opt = Some(Speaking { item, part: self.parts, since_ms: at_ms, lasts_ms_min });
    }

    /// The carrier asks again: it has said what it was given to say.
    fn heard(&mut self, caller_answers: bool, at_ms: u64, events: &mut Vec<What>) {
        let Some(speaking) = self.speaking_opt.take() else { return };
        self.ledger.text_heard(&speaking.item);
        let part = speaking.part;
        let heard_ms = at_ms.saturating_sub(speaking.since_ms);
        events.push(if caller_answers && heard_ms < speaking.lasts_ms_min {
            What::Interrupted { part, heard_ms }
        } else {
            What::PlayedOut { part }
        });
    }

    /// The caller has hung up. What he had the time to hear he has heard.
    pub fn hung_up(&mut self, at_ms: u64) {
        let spoken =
            |speaking: &mut Speaking| at_ms.saturating_sub(speaking.since_ms) >= speaking.lasts_ms_min;
        if let Some(speaking) = self.speaking_opt.take_if(spoken) {
            self.ledger.text_heard(&speaking.item);
        }
    }

    /// A name that no other turn of the call has, not even one of an earlier stretch in this mode.
    fn item(&self, at_ms: u64) -> String {
        format!("turn-{at_ms}-{}", self.parts)
    }
}

impl Exchange {
    fn is(&self, question: &Question, token_opt: Option<&str>, at_ms: u64) -> bool {
        match (&self.token_opt, token_opt) {
            (Some(own), Some(token)) => own == token,
            (None, None) => self.question == *question && at_ms.saturating_sub(self.at_ms) < REPEAT_WITHIN_MS,
            _ => false,
        }
    }
}

/// What the caller said, as the model is told it.
fn words(question: &Question) -> Option<String> {
    match question {
        Question::Speech { text, .. } if !text.trim().is_empty() => {
            Some(text.trim().chars().take(SPEECH_CHARS_MAX).collect())
        }
        Question::Digits(digits) if !digits.is_empty() => {
            Some(format!("(keys: {})", digits.chars().take(SPEECH_CHARS_MAX).collect::<String>()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
