//! One conversation with one fault: a caller who asks twice, and an ear that knows every word of the agent's.
//!
//! It refuses to know which faults there are.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;
use tandem_actors::call::decide::Role;
use tandem_actors::ledger::Speaker;
use tandem_actors::testing::{CallOptions, CarrierPeer, SabotageChild, Universe};

use super::models::{self, LINES, QUESTIONS, Word};
use super::provider::{Brain, Fault};

/// Everything moves in steps of a frame.
pub(crate) const TICK_MS: u64 = 20;

/// The caller speaks when the agent has finished and been silent for half a second.
const PAUSE_TICKS: usize = 25;

/// A conversation takes no longer, whatever befalls it.
const TICKS_MAX: usize = 1_500;

/// When the fault strikes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    /// So many milliseconds after the stream began.
    At(u64),
    /// When the provider knows that the caller has asked his `n`-th question, and before it answers.
    AnswerDue(usize),
}

pub(crate) struct Outcome {
    /// The longest that the caller heard no word while the agent owed him one, from the fault on.
    pub(crate) gap_ms: u64,
    /// What must not be.
    pub(crate) complaints: Vec<String>,
    pub(crate) story: String,
}

pub(crate) async fn live(fault: Fault, moment: Moment) -> Outcome {
    let mut universe = Universe::new();
    let options = CallOptions { cascade: Some(models::cascade()), ..CallOptions::default() };
    let (carrier, call) = universe.call(options).await;
    let mut line = Line::new(carrier);
    let mut brains: Vec<Brain> = Vec::new();
    let died = matches!(fault, Fault::Sabotage(_));
    let mut fault_opt = Some(fault);
    let mut struck_at = None;
    while !line.is_done() && line.heard.len() < TICKS_MAX {
        let is_now = match moment {
            Moment::At(ms) => line.heard.len() as u64 * TICK_MS >= ms,
            Moment::AnswerDue(n) => brains.iter().any(|brain| brain.owes_answer(n)),
        };
        if let Some(fault) = fault_opt.take_if(|_| is_now) {
            struck_at = Some(line.heard.len());
            match fault {
                Fault::Sabotage(how) => call.do_send(SabotageChild { role: Some(Role::Engine), how }),
                Fault::Lost(dials) => {
                    universe.plan_dials(dials);
                    brains.last_mut().into_iter().for_each(Brain::lose);
                }
                other => brains.last_mut().into_iter().for_each(|brain| brain.strike(&other)),
            }
        }
        brains.iter_mut().for_each(Brain::step);
        universe.advance(Duration::from_millis(TICK_MS)).await;
        brains.extend(universe.dialled().map(|provider| Brain::new(brains.len(), provider)));
        line.tick();
    }
    line.carrier.hang_up();
    brains.iter_mut().for_each(Brain::step);
    let report = universe.report().await;

    let mut complaints = Vec::new();
    let mut check = |holds: bool, what: String| complaints.extend((!holds).then_some(what));
    check(struck_at.is_some(), "nothing happened".to_owned());
    check(line.is_done(), "the conversation did not come to its end".to_owned());
    check(report.discrepancies.is_empty(), format!("{:?} {:?}", report.discrepancies, report.sheet));
    let heard = line.words();
    let as_expected = if died { is_said_once_but_for_one_line(&heard) } else { is_said_once(&heard) };
    check(as_expected, format!("the caller heard {heard:?}"));
    for question in 1..=QUESTIONS.len() {
        let words = models::question(question);
        let times =
            report.ledger.turns().filter(|turn| turn.who == Speaker::Caller && turn.text == words).count();
        check(times == 1, format!("{words:?} stands {times} times in the ledger"));
    }
    let mut story = String::new();
    for event in report.timeline.events() {
        writeln!(story, "{:8.3} {:?}", event.at().as_secs_f64(), event.what).expect("a String takes it");
    }
    for turn in report.ledger.turns() {
        writeln!(story, "{turn:?}").expect("a String takes it");
    }
    Outcome { gap_ms: line.gap_ms(struck_at.unwrap_or_default()), complaints, story }
}

fn expected() -> Vec<Word> {
    LINES.into_iter().flat_map(models::words_of).collect()
}

/// Whether every word was heard in its place, but for one that broke off at a seam: nobody knows whether that was heard,
/// so it may be missing or be said again.
fn is_said_once(heard: &[Word]) -> bool {
    let expected = expected();
    let same = heard.iter().zip(&expected).take_while(|(heard, expected)| heard == expected).count();
    let (heard, expected) = (&heard[same..], &expected[same..]);
    heard == expected || expected.get(1..) == Some(heard) || heard.get(1..) == Some(expected)
}

/// An engine that dies takes along what it has not told yet, the words of the sentence that it is in: that sentence is
/// begun again.
fn is_said_once_but_for_one_line(heard: &[Word]) -> bool {
    let expected = expected();
    let same = heard.iter().zip(&expected).take_while(|(heard, expected)| heard == expected).count();
    let again = heard.get(same).and_then(|word| expected.iter().position(|expected| expected == word));
    is_said_once(heard) || again.is_some_and(|again| again <= same && heard[same..] == expected[again..])
}

/// The caller's end: his mouth, his ear, and the carrier between.
struct Line {
    carrier: CarrierPeer,
    sent_ms: u64,
    /// What is played, and the marks in it, with where they lie.
    queue: VecDeque<u8>,
    marks: VecDeque<(u64, String)>,
    received: u64,
    played: u64,
    /// One entry per tick: the word that sounded.
    heard: Vec<Option<Word>>,
    /// Ticks since the last word.
    silent: usize,
    /// Frames of the current question that are still to be said.
    to_say: VecDeque<[u8; 160]>,
    asked: usize,
    /// From when to when the agent owed words, in ticks.
    owed: Vec<(usize, Option<usize>)>,
}

impl Line {
    fn new(carrier: CarrierPeer) -> Self {
        Self {
            carrier,
            sent_ms: 0,
            queue: VecDeque::new(),
            marks: VecDeque::new(),
            received: 0,
            played: 0,
            heard: Vec::new(),
            silent: 0,
            to_say: VecDeque::new(),
            asked: 0,
            owed: vec![(0, None)],
        }
    }

    /// Both questions are answered.
    fn is_done(&self) -> bool {
        self.asked == QUESTIONS.len()
            && self.to_say.is_empty()
            && self.has_finished()
            && self.silent >= PAUSE_TICKS
    }

    /// The agent's current line was heard to its last word.
    fn has_finished(&self) -> bool {
        self.owed.last().is_some_and(|(_, until)| until.is_some())
    }

    fn tick(&mut self) {
        self.hear();
        self.speak();
    }

    fn hear(&mut self) {
        for message in self.carrier.peer.drain_json() {
            match message["event"].as_str().unwrap_or_default() {
                "media" => {
                    let payload = message["media"]["payload"].as_str().expect("media carries audio");
                    let mut audio = vec![0; tandem_wire::audio::decoded_len(payload)];
                    tandem_wire::audio::decode_into(payload, &mut audio).expect("base64");
                    self.received += audio.len() as u64;
                    self.queue.extend(audio);
                }
                "mark" => {
                    let name = message["mark"]["name"].as_str().expect("marks have names").to_owned();
                    self.marks.push_back((self.received, name));
                }
                "clear" => {
                    self.played += self.queue.len() as u64;
                    self.queue.clear();
                }
                other => panic!("the carrier knows no {other}"),
            }
        }
        let audio: Vec<u8> = self.queue.drain(..self.queue.len().min(160)).collect();
        self.played += audio.len() as u64;
        while let Some((_, name)) = self.marks.pop_front_if(|(at, _)| *at <= self.played) {
            self.carrier.echo(&name);
        }
        let word = models::word_in(&audio, self.asked);
        self.silent = if word.is_some() { 0 } else { self.silent + 1 };
        self.heard.push(word);
        let now = self.heard.len();
        if let Some((_, until)) = self.owed.last_mut().filter(|_| word.is_some_and(models::is_last)) {
            until.get_or_insert(now);
        }
    }

    fn speak(&mut self) {
        if self.to_say.is_empty()
            && self.has_finished()
            && self.silent >= PAUSE_TICKS
            && let Some(frames) = QUESTIONS.get(self.asked)
        {
            self.asked += 1;
            self.to_say = (0..*frames).map(|n| models::caller_frame(self.asked, n)).collect();
            // The provider waits for half a second of silence.
            self.owed.push((self.heard.len() + frames + PAUSE_TICKS, None));
        }
        let frame = self.to_say.pop_front().unwrap_or([0xFF; 160]);
        let mut payload = String::new();
        tandem_wire::audio::encode_append(&mut payload, &frame);
        self.carrier.peer.say(&json!({
            "event": "media", "streamSid": self.carrier.stream_sid,
            "media": {"track": "inbound", "timestamp": self.sent_ms.to_string(), "payload": payload}
        }));
        self.sent_ms += TICK_MS;
    }

    /// The words that were heard, each once for as long as it sounded.
    fn words(&self) -> Vec<Word> {
        let mut words: Vec<Word> = self.heard.iter().flatten().copied().collect();
        words.dedup();
        words
    }

    fn gap_ms(&self, struck_at: usize) -> u64 {
        let end = self.heard.len();
        let after = self.owed.iter().find(|(_, until)| until.is_none_or(|until| until > struck_at));
        let Some((from, until)) = after else { return 0 };
        let owed = self.heard.get(struck_at.max(*from)..until.unwrap_or(end)).unwrap_or_default();
        let longest = owed.split(Option::is_some).map(<[_]>::len).max().unwrap_or_default();
        longest as u64 * TICK_MS
    }
}
